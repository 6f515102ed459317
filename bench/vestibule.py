"""Our own server as a subject: its configuration, its people, its start, and its WSGI application for the profile.

The only module of the bench that names anything of Vestibule, with bench.homes for its directory: when a setting, a
command or the application's factory changes, it changes here. One web worker on SQLite, when nothing else is asked; people
and clients are made as an operator makes them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from click.testing import CliRunner

from bench import processes
from bench.profiling import Application
from bench.subject import Client, Endpoints, PreparationError, Subject

NAME = "Vestibule"
DISCOVERY = "/.well-known/openid-configuration"
REDIRECT_URI = "http://127.0.0.1:9/callback"
PASSWORD = "Trois-tasses-de-tilleul-7"
SYNCHRONOUS = os.environ.get("SYNCHRONOUS", "full")  # SYNCHRONOUS=normal make bench: the other setting of the product
STORE = f"SQLite WAL, synchronous={SYNCHRONOUS}"
THREADS = 8
FREE_TRIES = 10
ESTABLISHMENT = "les-tilleuls"
PROFILE = "nurse"
CONFIGURATION = "vestibule.yaml"
WRONG, UNKNOWN, SUSPENDED, PASSWORDLESS = "wrong password", "unknown identifier", "suspended", "no password"


def program() -> str:
    return str(Path(sys.executable).parent / "vestibule")


def run(configuration: Path, arguments: Sequence[str], typed: str = "") -> str:
    """One command of ours, in this process: hundreds of them would otherwise each start a Python. Its output."""
    cli = importlib.import_module("idp.cli")
    done = CliRunner().invoke(cli.vestibule, ["--config", str(configuration), *arguments], input=typed)
    if done.exit_code != 0:
        raise PreparationError(f"vestibule {' '.join(arguments)}: {done.output[-2000:]} {done.exception or ''}")
    return done.output


@dataclass(frozen=True, slots=True)
class Used:
    """What a process used: seconds on the clock and of processor, the largest resident memory in MB."""

    seconds: float
    cpu_seconds: float
    peak_rss_mb: float


def watched(configuration: Path, arguments: Sequence[str], *, name: str) -> tuple[Any, Used]:
    """One command of ours as a process of its own on the server's core: the JSON that it prints, and what it used.

    Output and log are kept beside the configuration, as `name`. Raises PreparationError when it fails.
    """
    output, log = configuration.with_name(f"{name}.json"), configuration.with_name(f"{name}.log")
    command = [program(), "--config", str(configuration), *arguments, "--json"]
    began = time.perf_counter()
    with output.open("wb") as said, log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=errors, preexec_fn=_on_the_server_core)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise PreparationError(
            f"vestibule {' '.join(arguments)}: exit code {process.returncode}: {log.read_text(errors='replace')[-2000:]}"
        )
    told = json.loads(output.read_text(encoding="utf-8"))
    return told, Used(seconds=seconds, cpu_seconds=used.ru_utime + used.ru_stime, peak_rss_mb=used.ru_maxrss * 1024 / 1e6)


def _on_the_server_core() -> None:
    os.sched_setaffinity(0, {processes.SERVER_CORE})


def new_client() -> Client:
    """The client of a configuration that is about to be written."""
    return Client("bench", secrets.token_urlsafe(32), REDIRECT_URI)


def write_configuration(
    folder: Path, port: int, alg: str, client: Client, *, more: Mapping[str, Any] | None = None, workers: int = 1
) -> Path:
    """A configuration for one loopback server in `folder`, all secrets in files beside it; `more` replaces keys. JSON is YAML."""
    secret_file, master_file = folder / "client.secret", folder / "master.key"
    secret_file.write_text(client.client_secret)
    run(folder / CONFIGURATION, ["keys", "new-master", str(master_file)])
    settings = {
        "issuer": f"http://127.0.0.1:{port}",
        "master_key": f"file:{master_file}",
        "server": {
            "listen": f"127.0.0.1:{port}",
            "admin_listen": f"127.0.0.1:{processes.free_port()}",
            "workers": workers,
            "threads": THREADS,
        },
        "database": {"url": f"sqlite:///{folder / 'vestibule.db'}", "sqlite_synchronous": SYNCHRONOUS},
        "ephemeral": {"url": f"sqlite:///{folder / 'ephemeral.db'}"},
        # A bench signs the same people in thousands of times.
        "sessions": {"concurrent": None},
        # Failures are timed on a few people each, all from one address.
        "lockout": {
            "free_tries": FREE_TRIES,
            "daily_cap": 100,
            "spraying_names": 1000,
            "spraying_names_everywhere": 100_000,
            "address_failures": 10_000,
        },
        "demo": True,
        "log_level": "warning",
        "clients": [
            {
                "client_id": client.client_id,
                "name": "Bench",
                "secret": f"file:{secret_file}",
                "redirect_uris": [client.redirect_uri],
                "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
                "scopes": ["openid", "profile", "email", "establishment", "offline_access"],
                "audiences": [f"http://127.0.0.1:{port}"],
                "id_token_signed_response_alg": alg,
                "access_token_signed_response_alg": alg,
            }
        ],
        **(more or {}),
    }
    path = folder / CONFIGURATION
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return path


def set_workers(configuration: Path, workers: int) -> None:
    """Change how many web workers the next start has."""
    settings = json.loads(configuration.read_text(encoding="utf-8"))
    settings["server"]["workers"] = workers
    configuration.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def register(
    configuration: Path, identifiers: Sequence[str], *, password: str | None = PASSWORD, establishment: str = ESTABLISHMENT
) -> None:
    """Add people with an attachment to one establishment, and the password if there is one.

    They are demonstration accounts: any other has to choose a new password at its first sign-in.
    """
    for identifier in identifiers:
        name = ["--username", identifier, "--given-name", "Camille", "--family-name", "Marchand"]
        place = ["--establishment", establishment, "--profile", PROFILE]
        run(configuration, ["account", "add", "--demo", *name, *place])
        if password is not None:
            run(configuration, ["account", "set-password", identifier, "--stdin", "--no-must-change"], f"{password}\n")


def suspend(configuration: Path, identifiers: Sequence[str]) -> None:
    """Suspend people."""
    for identifier in identifiers:
        run(configuration, ["account", "suspend", identifier])


def start(alg: str, folder: Path, people: int) -> Subject:
    """A running server that signs with `alg`, everything it writes in `folder`. Raises PreparationError, StartError."""
    client = new_client()
    configuration = write_configuration(folder, processes.free_port(), alg, client)
    identifiers = tuple(f"personne{number}" for number in range(people))
    run(configuration, ["migrate"])
    run(configuration, ["establishment", "add", ESTABLISHMENT, "--name", "Les Tilleuls"])
    # The load comes from this very machine: people at work.
    run(configuration, ["zone", "add", ESTABLISHMENT, "lan", "--kind", "trusted", "--network", "127.0.0.0/8"])
    register(configuration, identifiers)
    return serve(configuration, client, alg=alg, identifiers=identifiers, password=PASSWORD)


def serve(
    configuration: Path,
    client: Client,
    *,
    alg: str,
    identifiers: Sequence[str],
    password: str,
    store: str = STORE,
    beside: tuple[subprocess.Popen[bytes], ...] = (),
    cores: Iterable[int] = (processes.SERVER_CORE,),
) -> Subject:
    """The server of a configuration, running; what is `beside` it (its stores) is accounted to it. Raises StartError."""
    folder = configuration.parent
    log, port = folder / "vestibule.log", urlsplit(json.loads(configuration.read_text(encoding="utf-8"))["issuer"]).port or 0
    command = [program(), "--config", str(configuration), "serve"]

    def start_server() -> tuple[subprocess.Popen[bytes], ...]:
        return (processes.spawn(command, log=log, folder=folder, cores=cores),)

    server, document, cold_start_s = processes.start_timed(start_server, port, DISCOVERY, log)
    return Subject(
        name=NAME,
        alg=alg,
        store=store,
        password_hash="argon2id 19 MiB t=2 p=1",
        version=importlib.metadata.version("vestibule"),
        server=processes.Server(port, server.processes, beside),
        endpoints=Endpoints.read(document, DISCOVERY),
        client=client,
        identifiers=tuple(identifiers),
        password=password,
        is_ours=True,
        cold_start_s=cold_start_s,
    )


def people_who_fail(configuration: Path, each: int) -> Mapping[str, Sequence[str]]:
    """`each` identifiers for every kind of sign-in failure, registered so that they fail that way."""
    wrong, suspended, passwordless = ([f"{kind}{number}" for number in range(each)] for kind in ("erreur", "suspendu", "sansmotdepasse"))
    register(configuration, wrong)
    register(configuration, suspended)
    register(configuration, passwordless, password=None)
    suspend(configuration, suspended)
    return {
        WRONG: wrong,
        UNKNOWN: [f"inconnu{number}" for number in range(each)],
        SUSPENDED: suspended,
        PASSWORDLESS: passwordless,
    }


def open_application(configuration: Path) -> Application:
    """Our WSGI application in this process, for the profile."""
    composition, clock = importlib.import_module("idp.app"), importlib.import_module("idp.clock")
    settings = importlib.import_module("idp.config").load(configuration)
    return cast(Application, composition.wsgi(composition.build(settings, clock.SystemClock())))
