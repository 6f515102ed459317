"""`vestibule serve`: the server processes and one worker, started, watched, replaced (`vestibule reload`) and stopped together.

Order: configuration, the store made ready (idp/readiness.py), then processes. Everything a server process needs is
imported before they fork, so that they share it and answer within a moment. Stops on SIGTERM or SIGINT: requests that have begun are answered,
then children are reaped. Only this module knows granian.
"""

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from idp.audit import Author, EventType
from idp.config import Config, load
from idp.readiness import CannotServe, prepare
from idp.reload import Reloads, Say
from idp.supervision import WorkSupervisor, end_with_parent

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LONGEST_TRIAL_SECONDS = 300
FIXED_AT_START = ("listen", "workers", "threads", "backlog", "stop_timeout")


def serve(config_path: Path, author: Author) -> None:
    """Serve until told to stop; raises ConfigurationError, StoreUnavailable or CannotServe before anything is started."""
    config = load(config_path)
    host, port = _address(config.server.listen)
    _refuse_taken(host, port)
    prepare(config, author, EventType.SERVER_STARTED)
    with ExitStack() as stack:
        _share_metrics(stack)
        # Now, and not at the top: the metrics' directory must be known before the library is imported.
        from idp.app import CONFIG_VARIABLE
        from idp.telemetry import configure_logging

        os.environ[CONFIG_VARIABLE] = str(config_path.absolute())
        configure_logging(config.log_level)
        _preload()
        _run(config, config_path, host=host, port=port, stack=stack)


def application() -> "WSGIApplication":
    """What each server process calls once."""
    end_with_parent()
    from idp.app import from_environment

    made = from_environment()
    # What was built at start lives as long as the process: the collector need not look at it again at every pass.
    gc.collect()
    gc.freeze()
    return made


def _run(config: Config, config_path: Path, *, host: str, port: int, stack: ExitStack) -> None:
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
    reloads = Reloads(config_path, Reload(config, config_path, server, supervisor))
    server.on_startup(supervisor.start)
    server.on_startup(reloads.start)
    # Granian's own answer to the signal would replace its processes whatever the file says by then.
    server.on_startup(lambda: signal.signal(signal.SIGHUP, reloads.signalled))
    log.info("serving", listen=config.server.listen, issuer=config.issuer, workers=config.server.workers)
    server.serve()
    log.info("stopped")


@dataclass(frozen=True, slots=True)
class Reload:
    """The configuration read again: judged, tried and applied by a process of its own, then every process replaced, one after another.

    A configuration that is wrong, or that a server cannot be built from, changes nothing: this server goes on with the one it has.
    """

    config: Config
    config_path: Path
    server: Any  # granian's
    supervisor: WorkSupervisor

    def __call__(self, operator: str, say: Say) -> bool:
        """Whether it was done; each stage is said."""
        command = [sys.executable, "-m", "idp.readiness", str(self.config_path), operator]
        # Its counts are nobody's.
        environment = {name: value for name, value in os.environ.items() if name != METRICS_VARIABLE}
        # close_fds: so that it is spawned and not forked, whatever a thread of ours holds at this moment.
        tried = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            close_fds=False,
            timeout=LONGEST_TRIAL_SECONDS,
            check=False,
        )
        for line in tried.stdout.splitlines():
            say(line)
        if tried.returncode:
            say("nothing was changed: the server goes on with the configuration it has")
            return False
        for name in self._kept(load(self.config_path)):
            say(f"server.{name} counts from the next start on, not now")
        self.supervisor.restart()
        return self._replace(say)

    def _kept(self, new: Config) -> list[str]:
        return [name for name in FIXED_AT_START if getattr(new.server, name) != getattr(self.config.server, name)]

    def _replace(self, say: Say) -> bool:
        former = list(self.server.wrks)
        patience_seconds = len(former) * (self.config.server.stop_timeout.total_seconds() + 10)
        self.server.signal_handler_reload()
        began = perf_counter()
        # The new ones answer beside the old ones at first: it is done when nobody is answered by the old configuration any more.
        while any(process.is_alive() for process in former):
            if perf_counter() - began > patience_seconds:
                say("the server processes were not all replaced: see the server's log")
                return False
            sleep(0.1)
        say(f"{len(former)} server process(es) and the worker were replaced")
        return True


def _preload() -> None:
    import idp.web.machine
    import idp.web.pages  # noqa: F401 - shared by the processes that fork from here

    # A collector that goes through what is shared writes to it, and each process would have a copy.
    gc.collect()
    gc.freeze()


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
