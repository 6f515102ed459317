"""`vestibule serve`: the server processes and one worker, started, watched and stopped together.

Order: configuration, migrations, the registry, signing keys, the SERVER_STARTED Event, then processes. Everything a server process needs is
imported before they fork, so that they share it and answer within a moment. Stops on SIGTERM or SIGINT: requests that have begun are answered,
then children are reaped. Only this module knows granian.
"""

import gc
import os
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from idp.audit import Author, Event, EventType
from idp.clock import SystemClock
from idp.config import Config, load
from idp.errors import VestibuleError
from idp.supervision import WorkSupervisor, end_with_parent

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class CannotServe(VestibuleError):
    """The server refuses to start; `detail` says why, in English, for an operator."""


def serve(config_path: Path, author: Author) -> None:
    """Serve until told to stop; raises ConfigurationError, StoreUnavailable or CannotServe before anything is started."""
    config = load(config_path)
    host, port = _address(config.server.listen)
    _refuse_taken(host, port)
    prepare(config, author)
    with ExitStack() as stack:
        _share_metrics(stack)
        # Now, and not at the top: the metrics' directory must be known before the library is imported.
        from idp.app import CONFIG_VARIABLE
        from idp.telemetry import configure_logging

        os.environ[CONFIG_VARIABLE] = str(config_path.absolute())
        configure_logging(config.log_level)
        _preload()
        _run(config, host=host, port=port, stack=stack)


def prepare(config: Config, author: Author) -> None:
    """Bring the store to where a server may answer from it; raises CannotServe when it holds what this issuer must not offer."""
    from idp.app import open_stores
    from idp.oauth.keys import ensure
    from idp.registry import apply
    from idp.store.migrations import upgrade

    stores = open_stores(config, SystemClock())
    try:
        _, revision = upgrade(stores.database)
        with stores.database.read() as tx:
            demo = tx.people.count_demo()
            has_keys = any(key.state == "current" for key in tx.keys.all())
        if demo and not config.is_loopback:
            raise CannotServe(
                "demo_account",
                f"the store holds {demo} demonstration account(s), and {config.issuer} is not on this machine: end them first",
            )
        apply(stores.database, config, author, clock=stores.clock)
        with stores.database.write() as tx:
            if not has_keys:
                ensure(tx, stores.keyring, stores.clock)
            tx.events.append(
                Event(
                    type=EventType.SERVER_STARTED,
                    at=stores.clock.now(),
                    actor=author.actor,
                    origin=author.origin,
                    details={"revision": revision, "workers": config.server.workers, "threads": config.server.threads},
                )
            )
    finally:
        stores.database.close()


def application() -> "WSGIApplication":
    """What each server process calls once."""
    end_with_parent()
    from idp.app import from_environment

    made = from_environment()
    # What was built at start lives as long as the process: the collector need not look at it again at every pass.
    gc.collect()
    gc.freeze()
    return made


def _run(config: Config, *, host: str, port: int, stack: ExitStack) -> None:
    import structlog
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    from idp.telemetry import server_logging

    log = structlog.get_logger(__name__)
    stop_timeout_seconds = max(1, int(config.server.stop_timeout.total_seconds()))
    server = Server(
        target="idp.serve:application",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        websockets=False,
        workers=config.server.workers,
        blocking_threads=config.server.threads,
        backlog=config.server.backlog,
        respawn_failed_workers=True,
        workers_kill_timeout=stop_timeout_seconds,
        log_level=LogLevels(config.log_level),
        log_dictconfig=server_logging(),
    )
    supervisor = WorkSupervisor(
        (sys.executable, "-m", "idp.work"), stop_timeout_seconds=stop_timeout_seconds, tell=log.info, elapsed=perf_counter
    )
    stack.callback(supervisor.stop)
    server.on_startup(supervisor.start)
    log.info("serving", listen=config.server.listen, issuer=config.issuer, workers=config.server.workers)
    server.serve()
    log.info("stopped")


def _preload() -> None:
    import idp.web.machine
    import idp.web.pages  # noqa: F401 - shared by the processes that fork from here


def _share_metrics(stack: ExitStack) -> None:
    """A directory where every process adds its counts; ours, unless the operator names one."""
    if os.environ.get(METRICS_VARIABLE):
        return
    directory = tempfile.mkdtemp(prefix="vestibule-metrics-")
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    os.environ[METRICS_VARIABLE] = directory
    stack.callback(os.environ.pop, METRICS_VARIABLE, None)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return "127.0.0.1" if host == "localhost" else host.strip("[]"), int(port)


def _refuse_taken(host: str, port: int) -> None:
    """Server processes share the port among themselves, so a second server would share it too, in silence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotServe("address_taken", f"cannot listen on {host}:{port}: {error.strerror}") from error
