"""Real servers for tests: programs found by name or named plainly when missing, free ports, start, wait, stop with their children."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

STOP_SECONDS = 30.0
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that was free a moment ago, never given twice, and that no outgoing connection will be given (those begin at 32768)."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8  # whose server may have been stopped for a moment
    while True:
        port = random.SystemRandom().randrange(20_000 + worker, 32_000, 8)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port


def program(name: str, package: str) -> str:
    """The path of a program; the test fails, and says which Debian package to install, when it is missing. Never a skip."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is not on this machine: `make packages` as root, or apt-get install {package}", pytrace=False)
    return found


def needed_file(path: Path, package: str) -> Path:
    """A file that a Debian package brings."""
    if not path.exists():
        pytest.fail(f"{path} is missing: `make packages` as root, or apt-get install {package}", pytrace=False)
    return path


def vestibule(config: Path, *arguments: str, typed: str = "") -> str:
    """Run an operator's command; what it printed on standard output. AssertionError when it failed."""
    command = [str(Path(sys.executable).with_name("vestibule")), "--config", str(config), *arguments]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"vestibule {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until it has stopped: on a busy machine its threads go on answering for a moment. Nothing for a process that is gone."""
    try:
        os.kill(pid, signal.SIGSTOP)
        while any(_state(task) not in "TtZX" for task in Path(f"/proc/{pid}/task").iterdir()):
            time.sleep(0.001)
    except (ProcessLookupError, FileNotFoundError):
        return


def _state(task: Path) -> str:
    # The name in brackets may hold anything; the state follows it.
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 60.0,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server for the length of the block; its log is shown when it does not start."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
    try:
        wait_until(ready, seconds=seconds, process=process, log=log)
        yield process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> int:
    """Ask a server to end, insist after a while; its exit code. Nothing of its process group stays."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def wait_until(
    holds: Callable[[], bool], *, seconds: float, process: "subprocess.Popen[bytes] | None" = None, log: Path | None = None
) -> None:
    """Wait for something real to happen; AssertionError, with the end of the log, when it does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            words = log.read_text(encoding="utf-8", errors="replace")[-4000:] if log else ""
            raise AssertionError(f"{'it ended' if ended else f'not within {seconds} s'}; the log ends with:\n{words}")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a URL answers 200 now."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
