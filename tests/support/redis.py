"""Real Redis servers for tests, each in a folder and on a port of its own: started, stopped, hung, and three Sentinels over a pair of them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.processes import free_port, freeze, program, running, stop, wait_until

MASTER = "vestibule"
PACKAGE = "redis-server"


@dataclass(slots=True)
class RedisServer:
    """One server. `options` are lines of redis.conf."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Its address, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, empty unless the folder holds a dump."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = ("bind 127.0.0.1", f"port {self.port}", f"dir {self.folder}", 'save ""', "daemonize no", *self.options)
        path = self.folder / "redis.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [program("redis-server", PACKAGE), str(path)]
        self.process = self._stack.enter_context(running(command, log=self.folder / "redis.log", ready=self.answers))

    def answers(self) -> bool:
        """Whether it answers now."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> "redis.Redis":
        """A client of the test's own."""
        return redis.Redis(port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def empty(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()

    def remembered(self) -> dict[bytes, bytes]:
        """All that it holds, as `put_back` takes it."""
        with self.client() as client:
            found: dict[bytes, bytes | None] = {key: client.dump(key) for key in client.keys("*")}  # type: ignore[misc]
        return {key: dumped for key, dumped in found.items() if dumped is not None}  # one may have passed meanwhile

    def put_back(self, remembered: dict[bytes, bytes]) -> None:
        """Hold exactly what it held then, as a replica that had not followed does once it is the master."""
        with self.client() as client:
            client.flushall()
            for key, dumped in remembered.items():
                client.restore(key, 3_600_000, dumped)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._stack.close()

    def hang(self) -> None:
        """Alive and deaf (SIGSTOP)."""
        if self.process is not None:
            freeze(self.process.pid)

    def wake(self) -> None:
        """Go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop."""
        if self.process is not None and self.process.poll() is None:
            self.wake()
        self._stack.close()

    def _signal(self, number: int) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)


@contextmanager
def redis_serving(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server for the length of the block."""
    server = RedisServer(folder, free_port(), options)
    server.start()
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True, slots=True)
class SentinelSet:
    """A master, its replica, and three Sentinels that agree when two of them do."""

    master: RedisServer
    replica: RedisServer
    ports: tuple[int, ...]

    @property
    def url(self) -> str:
        """The address for our settings."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{MASTER}/0"

    def present_master(self) -> int | None:
        """The port of the master that the first Sentinel names."""
        with redis.Redis(port=self.ports[0], socket_timeout=5) as client:
            named: Any = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return int(named[1]) if named else None


@contextmanager
def sentinels_serving(folder: Path) -> Iterator[SentinelSet]:
    """The set for the length of the block, once the Sentinels know one another and the replica."""
    with ExitStack() as stack:
        master = stack.enter_context(redis_serving(folder / "master"))
        replica = stack.enter_context(redis_serving(folder / "replica", f"replicaof 127.0.0.1 {master.port}"))
        ports = tuple(free_port() for _ in range(3))
        for number, port in enumerate(ports):
            stack.enter_context(_sentinel(folder / f"sentinel-{number}", port, master.port))
        made = SentinelSet(master, replica, ports)
        wait_until(lambda: all(_sees_everybody(port) for port in ports), seconds=60)
        yield made


@contextmanager
def _sentinel(folder: Path, port: int, master_port: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    path = folder / "sentinel.conf"
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {folder}",
        f"sentinel monitor {MASTER} 127.0.0.1 {master_port} 2",
        f"sentinel down-after-milliseconds {MASTER} 1000",
        f"sentinel failover-timeout {MASTER} 5000",
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # The same program under both names; this one is what redis-sentinel runs.
    command = [program("redis-server", PACKAGE), str(path), "--sentinel"]
    with running(command, log=folder / "sentinel.log", ready=lambda: _pings(port)) as process:
        yield
        stop(process)


def _pings(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _sees_everybody(port: int) -> bool:
    with redis.Redis(port=port, socket_timeout=5, decode_responses=True) as client:
        state: Any = client.sentinel_master(MASTER)
    return int(state["num-slaves"]) == 1 and int(state["num-other-sentinels"]) == 2
