"""People are disabled in their directory while everything that can die does: then nothing of theirs is left, and nobody else is cut.

One server with its worker, a second worker on standby, slapd, Samba, PostgreSQL, Redis and the application: each is killed (kill -9) and started
again, before, while or after somebody is disabled. A sample runs with the rest; SOAK_MINUTES (make soak) makes it two hundred deaths.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from idp.clock import SystemClock
from idp.config import load
from idp.crypto import PasswordHasher
from idp.errors import StoreUnavailable
from idp.store.base import Account
from idp.store.database import Database
from idp.store.migrations import upgrade
from tests.support.browser import Browser
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.cast import Registered, clients, settle
from tests.support.ldap_server import LdapServer
from tests.support.live import vestibule_command
from tests.support.postgresql import PostgreSQLServer, postgresql_serving
from tests.support.processes import answers, free_port, running, wait_until
from tests.support.redis import RedisServer, redis_serving
from tests.support.relying_party import RelyingParty
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD as DOMAIN_PASSWORD
from tests.support.samba_domain import Domain
from tests.support.slapd import PASSWORD as DIRECTORY_PASSWORD
from tests.support.slapd import Slapd
from tests.support.world import open_database, write_config

IS_LONG = float(os.environ.get("SOAK_MINUTES", "0")) > 0
DEATHS = 200 if IS_LONG else 7
STAY = 3  # of each directory: that everybody leaves is never believed
SETTLED_WITHIN_SECONDS = 240.0
LONGEST_AWAY_SECONDS = 1.5
SEED = 20261123


class Application:
    """The application's back-channel endpoint, which can die: nobody listens on its port then."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is told."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def kill(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@dataclass
class Program:
    """A `vestibule serve` or `vestibule work`; kill -9 takes the whole of it."""

    command: list[str]
    folder: Path
    ready: Callable[[], bool]
    process: Any = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start, and wait until it answers, which it does not while a store is away."""
        log = self.folder / f"program-{time.monotonic_ns()}.log"
        self.process = self._stack.enter_context(running(self.command, log=log, ready=self.ready, seconds=90))

    def kill(self) -> None:
        """The machine goes down."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._stack.close()

    def kill_worker(self) -> None:
        """Only its worker: its supervisor starts another."""
        done = subprocess.run(["pgrep", "-g", str(self.process.pid), "-f", "idp.work"], capture_output=True, text=True, check=False)
        for pid in done.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def close(self) -> None:
        """Stop."""
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of a directory whom the application holds tokens of. `disable` writes it there."""

    name: str
    account_id: str
    refresh: str
    disable: Callable[[], None]
    at: LdapServer


@dataclass
class House:
    """Everything, running."""

    config_path: Path
    registered: dict[str, Registered]
    server: Program
    standby: Program
    slapd: Slapd
    samba: Samba
    postgresql: PostgreSQLServer
    redis: RedisServer
    application: Application
    http: httpx.Client

    def party(self) -> RelyingParty:
        """The application's other side: it asks for tokens."""
        return RelyingParty(self.registered["carnet"], self.http, str(self.http.base_url).rstrip("/"), clock=SystemClock())

    def sign_in(self, name: str, password: str, at: LdapServer, disable: Callable[[], None]) -> Person:
        """A whole sign-in."""
        browser, party = Browser(self.http, str(self.http.base_url).rstrip("/")), self.party()
        page = browser.sign_in(name, password, page=browser.get(party.begin()))
        assert page.callback is not None, page
        tokens = party.exchange(page.callback)
        return Person(name, str(tokens.claims["sub"]), tokens.refresh, disable, at)

    def deaths(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        """What can die: how, and how it comes back."""
        return {
            "worker": (self.server.kill_worker, lambda: None),
            "server": (self.server.kill, self.server.start),
            "standby": (self.standby.kill, self.standby.start),
            "slapd": (self.slapd.kill, self.slapd.start),
            "samba": (self.samba.kill, self.samba.start),
            "postgresql": (self.postgresql.kill, self.postgresql.start),
            "redis": (self.redis.kill, self.redis.start),
            "application": (self.application.kill, self.application.start),
        }


@pytest.fixture
def house(tmp_path: Path, samba_domain: Domain) -> Iterator[House]:
    clock, port, application = SystemClock(), free_port(), Application()
    issuer = f"http://localhost:{port}"
    with ExitStack() as stack:
        slapd = Slapd(tmp_path / "slapd")
        samba = Samba(samba_domain, tmp_path / "samba")
        postgresql = stack.enter_context(postgresql_serving())
        redis = stack.enter_context(redis_serving(tmp_path / "redis", "appendonly yes"))
        for directory in (slapd, samba):
            directory.start()
            stack.callback(directory.close if isinstance(directory, Samba) else directory.stop)
        application.start()
        stack.callback(application.kill)
        (tmp_path / "master.key").write_text(clock.new_token(), encoding="utf-8")
        stores = {"database": {"url": postgresql.url(postgresql.create())}, "ephemeral": {"url": redis.url}}

        def program(name: str, command: str) -> Program:
            folder, admin = tmp_path / name, free_port()
            folder.mkdir()
            settings: dict[str, Any] = {
                "issuer": issuer,
                "master_key": f"file:{tmp_path / 'master.key'}",
                "server": {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin}", "workers": 1, "threads": 4},
                "directories": [slapd.settings(watch={"heartbeat": "1s"}), samba.settings(watch={"heartbeat": "1s"})],
                "sync": {"brake_people": 1_000_000, "brake_percent": 100},
                "sessions": {"concurrent": None},
                "work": {"lease": "3s", "reconcile_at": None},
                "logout": {"timeout": "2s", "retries": ["500ms"] * 100},
            }
            path = write_config(folder, settings, stores)
            ready = f"{issuer}/readyz" if command == "serve" else f"http://127.0.0.1:{admin}/healthz"
            made = Program(vestibule_command(path, command), folder, lambda: answers(ready))
            stack.callback(made.close)
            return made

        server, standby = program("server", "serve"), program("standby", "work")
        config_path = tmp_path / "server" / "vestibule.yaml"
        registered = clients(clock, application.url)
        database = open_database(load(config_path))
        upgrade(database)
        with database.write() as tx:
            settle(tx, clock, registered=registered, password_hash=PasswordHasher(clock, concurrency=1).hash(LOCAL_PASSWORD))
        database.close()
        server.start()
        standby.start()
        http = stack.enter_context(httpx.Client(base_url=issuer, timeout=40))
        yield House(config_path, registered, server, standby, slapd, samba, postgresql, redis, application, http)


def everybody(house: House, leavers: int) -> list[Person]:
    """So many people of each directory, and STAY more, all signed in."""
    people = []
    for number in range(leavers + STAY):
        uid, login = f"l{number:04}", f"w{number:04}"
        house.slapd.join("tilleuls-infirmiers", house.slapd.add_person(uid))
        house.samba.join("tilleuls-infirmiers", house.samba.add_person(login))
        people.append(house.sign_in(uid, DIRECTORY_PASSWORD, house.slapd, lambda uid=uid: house.slapd.disable(uid)))  # type: ignore[misc]
        people.append(house.sign_in(login, DOMAIN_PASSWORD, house.samba, lambda login=login: house.samba.disable(login)))  # type: ignore[misc]
    return people


@pytest.mark.sqlite  # its stores are its own: once is enough
@pytest.mark.slow
@pytest.mark.timeout(7200 if IS_LONG else 600)
def test_nobody_disabled_is_left_with_anything_and_nobody_else_is_cut_whatever_dies(house: House) -> None:
    chance = random.Random(SEED)
    people = everybody(house, leavers=(DEATHS + 1) // 2)
    leavers, stay = people[: -2 * STAY], people[-2 * STAY :]
    chance.shuffle(leavers)
    deaths = house.deaths()
    order = [name for _ in range(DEATHS // len(deaths) + 1) for name in chance.sample(sorted(deaths), len(deaths))][:DEATHS]
    for name, person in zip(order, leavers, strict=False):
        die, come_back = deaths[name]
        is_before = name not in {"slapd", "samba"} and chance.random() < 0.5  # nobody is disabled in a directory that is away
        if is_before:
            die()
            time.sleep(chance.uniform(0, 0.3))
        person.disable()
        if not is_before:
            time.sleep(chance.uniform(0, 0.3))
            die()
        time.sleep(chance.uniform(0, LONGEST_AWAY_SECONDS))
        come_back()
    gone = leavers[: len(order)]
    database = open_database(load(house.config_path))
    try:
        wait_until(lambda: is_settled(database, gone), seconds=SETTLED_WITHIN_SECONDS)
        with database.read() as tx:
            for person in (*gone, *stay):
                account, is_gone = tx.people.get(person.account_id), person in gone
                assert account is not None
                assert is_active(account) is not is_gone, f"{person.name}: {account.status}"
                assert bool(tx.sessions.open_of(person.account_id)) is not is_gone, person.name
    finally:
        database.close()
    wait_until(lambda: answers(str(house.http.base_url.join("/readyz"))), seconds=60)
    party = house.party()
    for person in gone:
        answer = party.refresh(person.refresh)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), person.name
    for person in stay:
        assert party.refresh(person.refresh).status_code == 200, person.name


def is_settled(database: Database, gone: list[Person]) -> bool:
    """Whether everybody is cut, and every application has been told."""
    try:
        with database.read() as tx:
            for person in gone:
                account, cuts = tx.people.get(person.account_id), tx.cuts.of_account(person.account_id)
                notices = [notice for cut in cuts for notice in tx.cuts.notices(cut.id)]
                if account is None or is_active(account) or not notices or not all(notice.delivered_at for notice in notices):
                    return False
    except (StoreUnavailable, psycopg.OperationalError):
        return False
    return True


def is_active(account: Account) -> bool:
    """Whether they may be here at all."""
    return account.status == "active"
