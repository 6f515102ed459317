"""Servers as processes: started on their own core, watched through /proc, stopped with their children.

Owns CPU and memory accounting of a process tree. Linux only (proc(5)). Knows nothing of OpenID.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.http import get, parse_response

# Read before anything is pinned: a pinned process sees only its own core. The last is the generator's.
CORES = tuple(sorted(os.sched_getaffinity(0)))
SERVER_CORE, GENERATOR_CORE = CORES[0], CORES[-1]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class StartError(Exception):
    """A server ended or stayed silent at start; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A started server: every process whose tree is accounted to it (a database server beside it is one too).

    `beside` are accounted to it as well, but somebody else stops them.
    """

    port: int
    processes: tuple[subprocess.Popen[bytes], ...]
    beside: tuple[subprocess.Popen[bytes], ...] = ()

    def cpu_seconds(self) -> float:
        """User and system time used so far by all its processes, ended children included."""
        return cpu_seconds(self._pids())

    def rss_mb(self) -> tuple[float, float]:
        """Resident memory in MB (10^6 bytes): of its largest process, and of all of them together."""
        sizes = [_rss_bytes(pid) / 1e6 for pid in self._pids()]
        return max(sizes), sum(sizes)

    def _pids(self) -> list[int]:
        return list(tree(process.pid for process in (*self.processes, *self.beside)))

    def stop(self) -> None:
        """Ask every process to end, then make the stubborn ones."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                for pid in tree([process.pid]):
                    os.kill(pid, signal.SIGKILL)
                process.wait()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def pin_this_process(cores: Iterable[int] = (GENERATOR_CORE,)) -> None:
    """Keep the load generator off the server's core, or put it on other `cores`; what it starts from now on inherits them."""
    os.sched_setaffinity(0, set(cores))


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    cores: Iterable[int] = (SERVER_CORE,),
) -> subprocess.Popen[bytes]:
    """Start a program on the server's core, or on other `cores`, its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: os.sched_setaffinity(0, set(cores)),
        )


def wait_until_answers(port: int, path: str, *, processes: Iterable[subprocess.Popen[bytes]], log: Path, seconds: float = 30.0) -> bytes:
    """Ask for `path` until it answers 200 and return the body. Raises StartError."""
    watched = tuple(processes)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        body = _ask(port, path)
        if body is not None:
            return body
        if any(process.poll() is not None for process in watched):
            break
        time.sleep(0.005)
    raise StartError(f"no answer from {path}; the log ends with:\n{log.read_text(errors='replace')[-3000:]}")


def _ask(port: int, path: str) -> bytes | None:
    buffer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(get(f"127.0.0.1:{port}", path))
            while (parsed := parse_response(buffer)) is None:
                data = sock.recv(65536)
                if not data:
                    return None
                buffer += data
    except OSError:
        return None
    return parsed[0].body if parsed[0].status == 200 else None


def start_timed(start: Callable[[], tuple[subprocess.Popen[bytes], ...]], port: int, path: str, log: Path) -> tuple[Server, bytes, float]:
    """Start a server and wait for its first answer: the server, that answer's body, seconds from spawn to answer."""
    began = time.perf_counter()
    processes = start()
    try:
        body = wait_until_answers(port, path, processes=processes, log=log)
    except StartError:
        Server(port, processes).stop()
        raise
    return Server(port, processes), body, time.perf_counter() - began


def tree(roots: Iterable[int]) -> Iterable[int]:
    """The processes `roots` and all their living descendants."""
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        try:
            threads = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue
        yield pid
        for thread in threads:
            with suppress(OSError):  # the thread has ended since, and its process has not
                waiting.extend(map(int, (thread / "children").read_text().split()))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time used so far by processes, their ended children included."""
    return sum(map(_cpu_ticks, pids)) / _TICKS_PER_SECOND


def load_average() -> float:
    """Processes that wanted a core during the last minute."""
    return os.getloadavg()[0]


def rss_mb(pid: int) -> float:
    """Resident memory of one process in MB (10^6 bytes)."""
    return _rss_bytes(pid) / 1e6


def _cpu_ticks(pid: int) -> int:
    try:
        # The name, in brackets, may hold spaces: count fields from after it. utime, stime, cutime, cstime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
