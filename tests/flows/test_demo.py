"""`make run` from the outside: what its terminal says, and that it leaves nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.people import PEOPLE
from tests.support.demonstration import REPOSITORY, Demonstration, demonstration
from tests.support.processes import free_port, vestibule, wait_until

pytestmark = pytest.mark.timeout(300)
SOME_DAY = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)


def listens(url: str) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) == 0


def demo(folder: Path, *ports: int) -> "subprocess.CompletedProcess[str]":
    """Run it to its end: for those runs that must refuse."""
    options = ["--port", str(ports[0]), "--app-port", str(ports[1]), "--folder", str(folder)]
    command = [sys.executable, "-m", "demo", *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def test_a_visitor_finds_the_same_people_after_a_second_start_and_nothing_runs_after_ctrl_c(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with demonstration(tmp_path, python=sys.executable, ports=ports) as running:
        said = running.output()
        assert running.app_url in said
        assert f"{running.app_url}/telephone" in said
        assert all(person.username in said and person.password in said for person in PEOPLE)
        config = running.config_path
        # What is printed under "why?" can be typed as it stands.
        printed = re.search(r"--config (\S+) (policy explain .*)", said)
        assert printed is not None
        assert (REPOSITORY / printed[1]) == config
        assert "Fatou Diallo is asked for a code" in vestibule(config, *printed[2].split())
        vestibule(config, "account", "suspend", "marc.lenoir")
        kept = running.codes(SOME_DAY)
        # As the release left its folder that knew no second factors, but for a person who has them already.
        vestibule(config, "factor", "reset", "fatou.diallo", "--reason", "not enrolled yet")
        (running.folder / "seeded").write_text("")
        second = demo(running.folder, free_port(), free_port())
        assert second.returncode == 1
        assert "déjà" in second.stderr
    assert running.process.returncode == 0
    assert not listens(running.issuer)
    assert not listens(running.app_url)
    with demonstration(tmp_path, python=sys.executable, ports=ports) as again:
        shown = json.loads(vestibule(again.config_path, "account", "list", "--json"))
        assert len(shown) == len(PEOPLE)
        assert {person["username"] for person in shown if person["status"] == "suspended"} == {"paul.garnier", "marc.lenoir"}
        changed = {username for username, digits in again.codes(SOME_DAY).items() if kept[username] != digits}
        assert changed == {"fatou.diallo"}
        factors = json.loads(vestibule(again.config_path, "factor", "list", "fatou.diallo", "--json"))["factors"]
        assert [factor["kind"] for factor in factors] == ["totp"]
        care_app = _child(again)
        os.kill(care_app, signal.SIGKILL)
        wait_until(lambda: again.process.poll() is not None, seconds=30, log=again.log)
        assert again.process.returncode == 1
        assert "Carnet de soins s'est arrêté" in again.output()
        assert not listens(again.issuer)


def test_a_visitor_is_told_another_command_when_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port: int = taken.getsockname()[1]
        refused = demo(tmp_path / "data", port, free_port())
    assert refused.returncode == 1
    assert f"{port}" in refused.stderr
    assert "make run PORT=" in refused.stderr
    assert not (tmp_path / "data").exists()


def _child(running: Demonstration) -> int:
    """The process of the care application."""
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return next(int(pid) for pid in children if b"care_app" in Path(f"/proc/{pid}/cmdline").read_bytes())
