"""The demonstration's two servers as processes: started apart from the terminal's Ctrl-C, watched together, stopped in order."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS = 12


@dataclass(frozen=True, slots=True)
class Server:
    """A started server and where it writes."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    health: str

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """Ask it to end, wait, insist."""
        if self.has_ended():
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start(name: str, command: Sequence[str], *, log: Path, health: str, environment: Mapping[str, str]) -> Server:
    """Start a server in a session of its own, so that Ctrl-C reaches us alone and we choose the order."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own programs, arguments from our own options
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    return Server(name, process, log, health)


def wait_until_healthy(servers: Sequence[Server], *, seconds: float) -> Server | None:
    """Wait for every server to answer; the one that ended or stayed silent, or None when all is well."""
    deadline = time.monotonic() + seconds
    for server in servers:
        while not _answers(server.health):
            if server.has_ended() or time.monotonic() > deadline:
                return server
            time.sleep(0.1)
    return None


def wait_until_one_ends(servers: Sequence[Server]) -> Server:
    """Block while all run; the first that ended."""
    while True:
        for server in servers:
            if server.has_ended():
                return server
        time.sleep(0.3)


def is_free(port: int) -> bool:
    """Whether a loopback port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:  # noqa: S310 - our own http URL
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
