"""A real PostgreSQL server for tests, in a folder and on a port of its own: started, stopped, killed, hung; databases copied from a template.

PostgreSQL refuses root: the server runs as an unprivileged user then. Nothing of it must survive a power cut.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.support.processes import free_port, freeze, wait_until

PROGRAMS = Path("/usr/lib/postgresql")
USER = "vestibule"
SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "shared_buffers=64MB",
    "max_connections=200",
    "autovacuum=off",
    "deadlock_timeout=200ms",
    "log_min_messages=warning",
    "max_wal_size=128MB",
)
MEMORY, MEMORY_ENOUGH = Path("/dev/shm"), 4 * 2**30


def postgresql_program(name: str) -> str:
    """The newest installed one of a name; the test fails, and says which Debian package to install, when there is none. Never a skip."""
    found = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail(f"{name} is not on this machine: `make packages` as root, or apt-get install postgresql", pytrace=False)
    return str(found[-1])


@dataclass(slots=True)
class PostgreSQLServer:
    """One server. `settings` are name=value lines beside SETTINGS."""

    folder: Path
    port: int
    settings: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _owner: psycopg.Connection | None = None

    def url(self, database: str = "postgres") -> str:
        """The address of a database, for our settings."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, from scratch the first time."""
        data = self.folder / "data"
        if not data.exists():
            options = ("--no-sync", "--auth=trust", "--no-instructions", "-E", "UTF8", "--locale=C.UTF-8", "-U", USER)
            self._run([postgresql_program("initdb"), "-D", str(data), *options]).check_returncode()
        listening = (f"listen_addresses=127.0.0.1 port={self.port} unix_socket_directories={self.folder}").split()
        options = [part for setting in (*SETTINGS, *listening, *self.settings) for part in ("-c", setting)]
        log = self.folder / "postgresql.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [postgresql_program("postgres"), "-D", str(data), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
                **_nobody(),
            )
        wait_until(self.answers, seconds=60, process=self.process, log=log)

    def answers(self) -> bool:
        """Whether it answers now."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """The orderly stop of an operator: connections are ended (57P01), nothing is lost."""
        self._forget()
        if self.process is not None and self.process.poll() is None:
            self.wake()
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def kill(self) -> None:
        """kill -9 of all of it."""
        self._forget()
        if self.process is not None:
            freeze(self.process.pid)  # it must not start another meanwhile
            children = self._children()
            self.process.kill()
            self.process.wait()
            for pid in children:
                _signal(pid, signal.SIGKILL)
            # While one of them is there the memory that they share is in use, and no other can start.
            wait_until(lambda: not any(_is_there(pid) for pid in children), seconds=30)
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def hang(self) -> None:
        """Alive and deaf (SIGSTOP), every process of it."""
        if self.process is not None:
            # The parent first: it must not start another meanwhile.
            for pid in (self.process.pid, *self._children()):
                freeze(pid)

    def wake(self) -> None:
        """Go on (SIGCONT)."""
        if self.process is not None:
            for pid in (*self._children(), self.process.pid):
                _signal(pid, signal.SIGCONT)

    def execute(self, statement: str) -> None:
        """A statement of the owner of everything, outside a transaction."""
        if self._owner is None or self._owner.closed:
            self._owner = psycopg.connect(self.url(), autocommit=True)
        self._owner.execute(statement)  # type: ignore[call-overload]  # made of names of ours

    def create(self, template: str | None = None, *, name: str | None = None) -> str:
        """The name of a new database, empty or a copy of another that nobody is connected to."""
        name = name or f"test_{next(self._numbers)}"
        # A copy of the files is three times as fast as one through the log.
        self.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template} STRATEGY file_copy" if template else ""))
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def end_connections(self, database: str) -> None:
        """As an administrator does: whoever is connected gets 57P01."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    def close(self) -> None:
        """Stop and delete."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _forget(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def _children(self) -> list[int]:
        if self.process is None:
            return []
        return [int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def _run(self, command: list[str]) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(command, cwd=self.folder, capture_output=True, check=False, **_nobody())


@contextmanager
def postgresql_serving(*settings: str) -> Iterator[PostgreSQLServer]:
    """A server for the length of the block. Its folder is not pytest's, which only its own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="vestibule-postgresql-", dir=_memory()))
    if user := _nobody():
        shutil.chown(folder, user=user["user"])
    server = PostgreSQLServer(folder, free_port(), settings)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _memory() -> Path | None:
    """Where a database costs no disk: each is six hundred files, made and deleted for one test. None where the machine has little of it."""
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_ENOUGH
    return MEMORY if has_room else None


def _nobody() -> dict[str, str]:
    """Whom the server runs as when we are root: the package's user, else nobody."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    return {"user": "postgres" if "postgres" in known else "nobody"}


def _end_with_parent() -> None:
    """An orderly stop when the test run is killed; after the change of user, which would undo it."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _is_there(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
