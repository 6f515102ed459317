"""`vestibule reload` on a running server: what is new counts, what is wrong changes nothing, and nobody who is signing in notices."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server, vestibule_command
from tests.support.processes import wait_until

SQUATTER = """
import hashlib, socket, sys
name = "\\0vestibule-" + hashlib.sha256(sys.argv[1].encode()).hexdigest()[:32]
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
listener.listen()
print("listening", flush=True)
caller, _ = listener.accept()
caller.sendall(b'{"said": "the configuration is applied"}\\n{"done": true}\\n')
sys.stdin.read()
"""
HOME = {"slug": "mimosas", "name": "Les Mimosas", "contact": {"phone": "01 02 03 04 05"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("reload"), session_listener) as started:
        yield started


def test_server_takes_a_new_home_and_a_new_name_when_it_is_reloaded(server: LiveServer) -> None:
    change(server, establishments=[HOME], pages={"product_name": "Portail du groupe"})
    done = reload(server)
    assert done.returncode == 0, done.stdout
    assert "the configuration is applied: 1 of its establishments and applications changed" in done.stdout
    assert "were replaced" in done.stdout
    assert all("Portail du groupe" in page(server, "/account") for _ in range(20))  # no old process answers any more
    assert "Les Mimosas" in page(server, "/?establishment=mimosas")
    assert "configuration.reloaded" in server.command("audit", "export", "--type", "configuration.reloaded")


def test_server_goes_on_as_it_was_when_the_new_configuration_is_wrong(server: LiveServer) -> None:
    change(server, pages={"product_name": "Le bon nom"})
    assert reload(server).returncode == 0
    good = server.config_path.read_text(encoding="utf-8")
    try:
        change(server, pages={"product_nam": "Le mauvais nom"}, tokens={"code_life": "soon"})
        refused = reload(server)
        assert refused.returncode == 1
        assert "pages.product_nam: this setting does not exist; product_name?" in refused.stdout
        assert "tokens.code_life" in refused.stdout
        assert "the server goes on with the configuration it has" in refused.stdout
        assert "Le bon nom" in page(server, "/account")
    finally:
        server.config_path.write_text(good, encoding="utf-8")


def test_nobody_is_turned_away_when_the_server_is_reloaded(server: LiveServer) -> None:
    stop, answers = threading.Event(), list[int]()

    def ask() -> None:
        while not stop.is_set():
            with httpx.Client() as client:
                answers.append(client.get(f"{server.issuer}/.well-known/openid-configuration", timeout=30).status_code)
            stop.wait(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert reload(server).returncode == 0
    finally:
        stop.set()
        asking.join()
    assert set(answers) == {200}


def test_server_is_reloaded_when_it_is_sent_the_signal(server: LiveServer) -> None:
    change(server, pages={"product_name": "Par le signal"})
    os.kill(main_process(server), signal.SIGHUP)
    wait_until(lambda: "Par le signal" in page(server, "/account"), seconds=60)


def test_operator_is_told_what_waits_for_a_start_when_the_number_of_processes_changes(server: LiveServer) -> None:
    change(server, server={**read(server)["server"], "workers": 2})
    done = reload(server)
    assert done.returncode == 0
    assert "server.workers counts from the next start on, not now" in done.stdout


def test_operator_is_told_plainly_when_no_server_runs(server: LiveServer, tmp_path: Path) -> None:
    elsewhere = tmp_path / "vestibule.yaml"
    elsewhere.write_text(server.config_path.read_text(encoding="utf-8"), encoding="utf-8")
    asked = subprocess.run(vestibule_command(elsewhere, "reload"), capture_output=True, text=True, check=False)
    assert asked.returncode == 2
    assert "no server of" in asked.stderr


def read(server: LiveServer) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(server.config_path.read_text(encoding="utf-8"))
    return found


def change(live: LiveServer, /, **sections: Any) -> None:
    live.config_path.write_text(yaml.safe_dump({**read(live), **sections}), encoding="utf-8")


def reload(server: LiveServer) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(vestibule_command(server.config_path, "reload"), capture_output=True, text=True, timeout=100, check=False)


def page(server: LiveServer, path: str) -> str:
    with httpx.Client(follow_redirects=True) as client:
        return client.get(f"{server.issuer}{path}", timeout=30).text


def main_process(server: LiveServer) -> int:
    """The parent of the server's processes: the oldest one that has this configuration on its command line."""
    found = subprocess.run(["pgrep", "-o", "-f", "--", f"--config {server.config_path} serve"], capture_output=True, text=True, check=True)
    return int(found.stdout)


def test_operator_is_not_told_that_all_is_done_by_a_program_of_another_account(tmp_path: Path) -> None:
    config = tmp_path / "vestibule.yaml"
    config.write_text("issuer: http://localhost:8400\n", encoding="utf-8")
    squatter = subprocess.Popen(
        ["/usr/bin/python3", "-c", SQUATTER, config.resolve()], stdout=subprocess.PIPE, text=True, user="nobody", cwd="/", env={}
    )
    try:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "listening\n"
        asked = subprocess.run(vestibule_command(config, "reload"), capture_output=True, text=True, timeout=60, check=False)
    finally:
        squatter.kill()
        squatter.communicate()
    assert asked.returncode == 2
    assert "runs as nobody" in asked.stderr
    assert "applied" not in asked.stdout
