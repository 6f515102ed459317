"""The real server: `vestibule serve` as its own process, started, asked, hurt and stopped."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.operator import ACTOR, Operator
from tests.support.processes import free_port

pytestmark = pytest.mark.timeout(120)
PATIENCE_SECONDS = 60.0
ESTABLISHED = "01"


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def has_connection(port: int) -> bool:
    """Whether somebody is connected to a local port, by the kernel's table (proc(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we were looking
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class Serving:
    """A running server."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.port, self.admin_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = operator.folder / "log.jsonl"
        self.settings: dict[str, Any] = {
            "issuer": self.url,
            "server": {"listen": f"127.0.0.1:{self.port}", "admin_listen": f"127.0.0.1:{self.admin_port}", "workers": 1, "threads": 4},
        }
        operator.configure(**self.settings)
        environment = {key: value for key, value in os.environ.items() if key != "PROMETHEUS_MULTIPROC_DIR"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from idp.cli import main; main()", "--config", str(operator.config_path), "serve"],
                stderr=log,
                env=environment,
            )

    def ready(self) -> None:
        until(lambda: self.process.poll() is not None or answers(f"{self.url}/jwks"), "the server answers")
        assert self.process.poll() is None, self.log.read_text()

    def admin(self, path: str) -> httpx.Response | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5)
        except httpx.HTTPError:
            return None

    def work_pid(self) -> int | None:
        return next((pid for pid in children(self.process.pid) if "idp.work" in command_line(pid)), None)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def serving(operator: Operator) -> Iterator[Serving]:
    server = Serving(operator)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def test_server_answers_counts_and_stops_without_orphans(operator: Operator) -> None:
    with serving(operator) as server:
        server.ready()
        assert httpx.get(f"{server.url}/.well-known/openid-configuration").json()["issuer"] == server.url
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        until(lambda: (answer := server.admin("/healthz")) and answer.status_code == 200, "the worker is alive")
        metrics = until(lambda: server.admin("/metrics"), "metrics").text
        assert 'vestibule_requests_total{route="/.well-known/openid-configuration",status="200"} 1.0' in metrics
        assert "vestibule_outbox_waiting 0.0" in metrics
        started = operator.last_event("server.started")
        assert started["actor"] == ACTOR
        family = children(server.process.pid)
        assert len(family) == 2
        assert server.stop() == 0
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), "children are gone")
    for line in server.log.read_text().splitlines():
        assert json.loads(line)["level"] in {"info", "warning"}, line


@pytest.mark.sqlite
def test_server_finishes_the_request_in_flight_when_told_to_stop(operator: Operator) -> None:
    with serving(operator) as server:
        server.ready()
        # A refusal writes an audit line: it waits for as long as somebody else holds the database.
        database = sqlite3.connect(operator.folder / "vestibule.db", isolation_level=None, check_same_thread=False)
        database.execute("BEGIN IMMEDIATE")
        answered: list[int] = []
        asking = threading.Thread(
            target=lambda: answered.append(httpx.get(f"{server.url}/authorize?client_id=nobody", timeout=30).status_code)
        )
        asking.start()
        until(lambda: has_connection(server.port), "somebody is asking")
        time.sleep(0.7)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert answered == []
        assert server.process.poll() is None
        database.execute("ROLLBACK")
        database.close()
        asking.join(PATIENCE_SECONDS)
        assert answered == [400]
        assert server.process.wait(PATIENCE_SECONDS) == 0
    assert operator.last_event("authorization.refused")["reason"] == "unknown_client"


def test_server_starts_the_worker_again_when_it_dies(operator: Operator) -> None:
    with serving(operator) as server:
        server.ready()
        first = until(server.work_pid, "a worker")
        os.kill(first, signal.SIGKILL)
        until(lambda: "work_process_died" in server.log.read_text(), "its death is noticed")
        second = until(lambda: (pid := server.work_pid()) != first and pid, f"another worker: {server.log.read_text()}")
        assert second != first


def test_no_child_survives_when_the_server_is_killed(operator: Operator) -> None:
    with serving(operator) as server:
        server.ready()
        until(lambda: (answer := server.admin("/healthz")) and answer.status_code == 200, "the worker is alive")
        family = children(server.process.pid)
        server.process.kill()
        server.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), "children are gone")


def test_server_refuses_to_start_when_the_configuration_is_wrong(operator: Operator) -> None:
    operator.configure(sessions={"idle": "30"})
    assert "sessions.idle: a duration is" in operator.refused("serve")
    operator.configure()
    assert operator.events("server.started") == []


def test_server_refuses_to_start_with_demo_accounts_when_others_can_reach_it(operator: Operator) -> None:
    operator.do("account", "add", "--username", "demo", "--demo")
    operator.configure(issuer="https://connexion.example", demo=False, server={"listen": f"127.0.0.1:{free_port()}"})
    assert "1 demonstration account" in operator.refused("serve")
    assert operator.events("server.started") == []


def test_server_refuses_an_address_that_is_taken(operator: Operator) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        operator.configure(server={"listen": f"127.0.0.1:{taken.getsockname()[1]}"})
        assert "cannot listen" in operator.refused("serve")
