"""A group of homes as a subject: our server with a slapd, its establishments, its stores; `vestibule sync` as a process that is watched.

Beside bench.vestibule the only module that names anything of Vestibule. The stores are the embedded ones, or a PostgreSQL and a Redis started
as the tests start them (tests/support): then their processor time counts as the server's.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import processes, slapd, vestibule
from bench.subject import Client, PreparationError, Subject

ALG = "ES256"
STORES = ("sqlite", "postgresql")
EXTERNAL_STORES = "PostgreSQL with fsync, Redis with appendonly"


@dataclass(frozen=True, slots=True)
class Homes:
    """A configuration that is ready to be served. `directory` is None where the configuration names none."""

    configuration: Path
    client: Client
    directory: slapd.Directory | None
    store: str
    beside: tuple[subprocess.Popen[bytes], ...]

    def register(self, identifiers: Iterable[str], establishment: str) -> None:
        """Add local people, with bench.vestibule.PASSWORD."""
        vestibule.register(self.configuration, tuple(identifiers), establishment=establishment)

    @contextmanager
    def serving(self, cores: Iterable[int] = (processes.SERVER_CORE,)) -> Iterator[Subject]:
        """The server for the length of the block; its people are those of the directory."""
        people = self.directory.people if self.directory else ()
        password = self.directory.password if self.directory else vestibule.PASSWORD
        more: dict[str, Any] = {"store": self.store, "beside": self.beside, "cores": cores}
        subject = vestibule.serve(self.configuration, self.client, alg=ALG, identifiers=people, password=password, **more)
        try:
            yield subject
        finally:
            subject.server.stop()


@contextmanager
def furnished(
    folder: Path, directory: slapd.Directory | None, establishments: Iterable[str], *, stores: str, workers: int = 1
) -> Iterator[Homes]:
    """A configuration in `folder`, its schema and its establishments; external stores run for the length of the block."""
    with ExitStack() as stack:
        settings, store, beside = _stores(stores, folder, stack)
        client = vestibule.new_client()
        # One address is never inside two homes, and the load comes from one: the password is enough from anywhere.
        policy = {"policy": {"rules": [{"name": "one-address", "effect": "allow", "when": {}}]}}
        more = settings | policy | ({"directories": [directory.settings()]} if directory else {})
        configuration = vestibule.write_configuration(folder, processes.free_port(), ALG, client, more=more, workers=workers)
        vestibule.run(configuration, ["migrate"])
        for slug in establishments:
            vestibule.run(configuration, ["establishment", "add", slug, "--name", slug.replace("-", " ").capitalize()])
        yield Homes(configuration, client, directory, store, beside)


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One `vestibule sync`: seconds on the clock and of processor, the largest resident memory in MB, and what it reported."""

    seconds: float
    cpu_seconds: float
    slapd_cpu_seconds: float
    peak_rss_mb: float
    added: int
    changed: int
    unchanged: int
    unplaced: int


def synchronise(homes: Homes) -> SyncRun:
    """Run `vestibule sync` to its end, on the server's core. Raises PreparationError when it fails."""
    if homes.directory is None:
        raise PreparationError("there is no directory to synchronise")
    slapd_before = homes.directory.cpu_seconds()
    report, used = vestibule.watched(homes.configuration, ["sync", slapd.NAME], name="sync")
    return SyncRun(
        seconds=used.seconds,
        cpu_seconds=used.cpu_seconds,
        slapd_cpu_seconds=homes.directory.cpu_seconds() - slapd_before,
        peak_rss_mb=used.peak_rss_mb,
        **{what: report[what] for what in ("added", "changed", "unchanged", "unplaced")},
    )


def _stores(stores: str, folder: Path, stack: ExitStack) -> tuple[dict[str, Any], str, tuple[subprocess.Popen[bytes], ...]]:
    """The settings of the stores, what they are in words, and the processes that are theirs."""
    if stores == "sqlite":
        return {}, vestibule.STORE, ()
    try:
        from tests.support.postgresql import SETTINGS, postgresql_serving
        from tests.support.redis import redis_serving
    except ImportError as error:
        raise PreparationError(f"the stores of tests/support are not there: {error}") from error
    # Durable, unlike the tests: the last value of a setting counts.
    durable = [f"{name}=on" for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum") if f"{name}=off" in SETTINGS]
    postgresql = stack.enter_context(postgresql_serving(*durable))
    redis = stack.enter_context(redis_serving(folder / "redis", "appendonly yes"))
    running = tuple(process for process in (postgresql.process, redis.process) if process is not None)
    settings = {"database": {"url": postgresql.url(postgresql.create())}, "ephemeral": {"url": redis.url}}
    return settings, EXTERNAL_STORES, running


def group_folder(stack: ExitStack) -> Path:
    """A folder for one configuration, deleted with the stack."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-bench-homes-")))
