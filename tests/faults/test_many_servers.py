"""Three hosts behind nginx, sharing their stores: one is killed every few seconds under steady sign-ins, then each is restarted in turn.

What was answered stays good: its tokens work, its refresh token works once. A sample runs with the rest; SOAK_MINUTES makes it long (make soak).
"""

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from idp.clock import SystemClock
from idp.config import load
from idp.crypto import PasswordHasher
from idp.store.migrations import upgrade
from tests.support.browser import Browser
from tests.support.cast import PASSWORD, Registered, clients, settle
from tests.support.listener import Listener
from tests.support.live import vestibule_command
from tests.support.nginx import PROXY, Nginx, nginx_before
from tests.support.postgresql import PostgreSQLServer
from tests.support.processes import answers, free_port, running
from tests.support.redis import RedisServer
from tests.support.relying_party import RelyingParty
from tests.support.stores import Stores
from tests.support.world import open_database, write_config

MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
KILLING_SECONDS = MINUTES * 60 or 10.0
PAUSE_SECONDS = 3.0
SETTLED_SECONDS = 3.0
HOSTS = 3
NGINX = "127.0.0.9"  # people are at 127.0.0.1, on the LAN: an address is a proxy's or a person's
PEOPLE = 4
CLIENT = "tablette"  # public: a refresh token has no second chance
USERNAMES = ("claire.dubois", "rose.marchand")


@dataclass(slots=True)
class Host:
    """One `vestibule serve` with its own configuration file, worker and all."""

    name: str
    config_path: Path
    url: str
    process: Any = None
    began: float | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = self.config_path.parent / f"vestibule-{time.monotonic_ns()}.log"
        command = vestibule_command(self.config_path, "serve")
        self.process = self._stack.enter_context(running(command, log=log, ready=lambda: answers(f"{self.url}/readyz"), seconds=120))
        self.began = time.monotonic()

    def is_settled(self) -> bool:
        """Whether it has answered for longer than nginx goes on believing that it does not."""
        return self.began is not None and time.monotonic() - self.began > SETTLED_SECONDS

    def kill(self) -> None:
        """The machine goes down: kill -9 of the server, its processes and its worker at once."""
        self.began = None
        os.killpg(self.process.pid, signal.SIGKILL)
        self._stack.close()

    def restart(self) -> int:
        """As an operator does: SIGTERM, wait, start; the exit status."""
        self.process.terminate()
        status: int = self.process.wait(60)
        self._stack.close()
        self.start()
        return status

    def close(self) -> None:
        """Stop."""
        self._stack.close()


@dataclass(slots=True)
class Answered:
    """A sign-in that the application holds tokens of."""

    access: str
    refresh: str


@dataclass(slots=True)
class Group:
    """The hosts behind their nginx, and what people and applications lived through."""

    nginx: Nginx
    hosts: list[Host]
    registered: dict[str, Registered]
    answered: list[Answered] = field(default_factory=list)
    outcomes: "Counter[str]" = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def party(self, client: httpx.Client) -> RelyingParty:
        """The application."""
        return RelyingParty(self.registered[CLIENT], client, self.nginx.url, clock=SystemClock())

    def sign_in_again_and_again(self, username: str) -> None:
        """One person after another, as many as there is time for."""
        with httpx.Client(base_url=self.nginx.url, timeout=40) as client:
            party = self.party(client)
            assert party.metadata  # read once, as applications do
            while not self.over.is_set():
                try:
                    self._sign_in(username, party, Browser(client, self.nginx.url))
                except httpx.HTTPError as error:
                    self.outcomes[f"no answer ({type(error).__name__})"] += 1
                except Exception as error:
                    self.wrong.append(repr(error)[:500])

    def _sign_in(self, username: str, party: RelyingParty, browser: Browser) -> None:
        page = browser.get(party.begin())
        if "signin-form" in page.forms:
            page = browser.sign_in(username, PASSWORD, page=page)
        if page.status == 200 and "signin-form" in page.forms:
            # The host that was ending it died: nothing was written, another shows the page again and says so.
            self.outcomes["asked twice"] += 1
            page = browser.sign_in(username, PASSWORD, page=page)
        if page.callback is not None:
            self._redeem(party, page.callback)
            return
        # 200 without the form: a host died after it had finished, another says that this sign-in is over, begin again.
        known = page.status in {410, 502, 503, 504} or (page.status == 200 and "signin-form" not in page.forms)
        self.outcomes[f"page {page.status}"] += 1
        if not known:
            self.wrong.append(repr(page)[:500])

    def _redeem(self, party: RelyingParty, callback: Any) -> None:
        code = callback["code"]
        answer = party.redeem(code)
        if answer.status_code >= 500:
            # Was it redeemed or not? The application cannot know; asking again is answered once at most.
            self.outcomes[f"token {answer.status_code}"] += 1
            answer = party.redeem(code)
            if answer.status_code != 200:
                return
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text[:300]}")
            return
        self.outcomes["answered"] += 1
        tokens = answer.json()
        self.answered.append(Answered(tokens["access_token"], tokens["refresh_token"]))

    def check(self) -> None:
        """Everything that was answered is good."""
        with ThreadPoolExecutor(PEOPLE) as pool:
            list(pool.map(self._check, [self.answered[first::PEOPLE] for first in range(PEOPLE)]))

    def _check(self, answered: list[Answered]) -> None:
        with httpx.Client(base_url=self.nginx.url, timeout=40) as client:
            party = self.party(client)
            for each in answered:
                first = party.refresh(each.refresh)
                assert first.status_code == 200, first.text
                assert party.userinfo(first.json()["access_token"]).status_code == 200
                second = party.refresh(first.json()["refresh_token"])
                assert second.status_code == 200, second.text
                assert party.refresh(each.refresh).status_code == 400
                assert party.refresh(second.json()["refresh_token"]).status_code == 400, "a second use left the family alive"

    def kill_one_after_another(self, seconds: float) -> int:
        """Every PAUSE_SECONDS one host, unless it would be the last one, until the time is over; how many were killed."""
        until = time.monotonic() + seconds
        starting: list[threading.Thread] = []
        killed = 0
        for host in itertools.cycle(self.hosts):
            time.sleep(PAUSE_SECONDS)
            if time.monotonic() > until:
                break
            if host.is_settled() and any(other.is_settled() for other in self.hosts if other is not host):
                host.kill()
                killed += 1
                starting.append(threading.Thread(target=host.start))
                starting[-1].start()
        for thread in starting:
            thread.join()
        return killed


@pytest.fixture
def group(tmp_path: Path, listener: Listener, postgresql_session: PostgreSQLServer, redis_session: RedisServer) -> Iterator[Group]:
    """Three hosts on PostgreSQL and Redis, one issuer: nginx's address."""
    stores = Stores(postgresql_session, redis_session)
    shared = stores.place(tmp_path)
    clock = SystemClock()
    port, ports = free_port(), [free_port() for _ in range(HOSTS)]
    (tmp_path / "master.key").write_text(clock.new_token(), encoding="utf-8")
    hosts = []
    for number, own in enumerate(ports):
        folder = tmp_path / f"host-{number}"
        folder.mkdir()
        settings = {
            "issuer": f"http://localhost:{port}",
            "master_key": f"file:{tmp_path / 'master.key'}",
            "server": {
                "listen": f"127.0.0.1:{own}",
                "admin_listen": f"127.0.0.1:{free_port()}",
                "workers": 2 if number == 0 else 1,
                "threads": 4,
                "trusted_proxies": [NGINX],
            },
            "sessions": {"concurrent": None, "idle": "14h"},
            "work": {"lease": "3s"},
        }
        hosts.append(Host(f"host-{number}", write_config(folder, settings, shared), f"http://127.0.0.1:{own}"))
    registered = clients(clock, listener.url)
    database = open_database(load(hosts[0].config_path))
    upgrade(database)
    with database.write() as tx:
        settle(tx, clock, registered=registered, password_hash=PasswordHasher(clock, concurrency=1).hash(PASSWORD))
    database.close()
    with ExitStack() as stack:
        stack.callback(stores.remove, tmp_path)
        starting = [threading.Thread(target=host.start) for host in hosts]  # at once: none waits for another
        for host, thread in zip(hosts, starting, strict=True):
            stack.callback(host.close)
            thread.start()
        for thread in starting:
            thread.join()
        servers = [f"127.0.0.1:{own}" for own in ports]
        nginx = stack.enter_context(
            nginx_before(tmp_path / "nginx", port, servers, ready="/readyz", proxy=f"{PROXY}    proxy_bind {NGINX};\n")
        )
        yield Group(nginx, hosts, registered)


@pytest.mark.slow
@pytest.mark.timeout(KILLING_SECONDS * 2 + 240)
def test_every_answered_sign_in_stays_good_when_hosts_are_killed_and_then_restarted(group: Group) -> None:
    threads = [threading.Thread(target=group.sign_in_again_and_again, args=(USERNAMES[index % len(USERNAMES)],)) for index in range(PEOPLE)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        killed = group.kill_one_after_another(KILLING_SECONDS)
        while_killed, refused = group.outcomes.copy(), group.nginx.refused()
        for host in group.hosts:
            assert host.restart() == 0
    finally:
        group.over.set()
        for thread in threads:
            thread.join(60)
    seconds = time.monotonic() - began
    while_restarted = group.outcomes - while_killed
    servers, statuses = group.nginx.asked()
    print(
        f"\n{seconds:.0f} s, {killed} kills, then {HOSTS} restarts; {len(group.answered)} sign-ins answered ({share(group.outcomes)} were not)"
    )
    print(f"while killed: {dict(while_killed)}: {share(while_killed)} not answered; nginx: {dict(refused)}")
    print(
        f"while restarted: {dict(while_restarted)}: {share(while_restarted)} not answered; nginx: {dict(group.nginx.refused() - refused)}"
    )
    print(f"requests by server: {dict(servers)}; by status: {dict(sorted(statuses.items()))}")
    assert group.wrong == []
    assert group.answered
    assert min(servers[f"127.0.0.1:{host.url.rpartition(':')[2]}"] for host in group.hosts) > 0
    group.check()


def test_the_documented_nginx_is_the_one_that_is_tested() -> None:
    text = (Path(__file__).parents[2] / "docs" / "run-on-several-hosts.md").read_text(encoding="utf-8")
    lines = {line.strip() for line in text.splitlines()}
    for line in PROXY.splitlines():
        assert line.strip() in lines or line == "{servers}", line
    assert "server 192.0.2.11:8400 max_fails=1 fail_timeout=2s;" in lines


def share(outcomes: "Counter[str]") -> str:
    """How many sign-ins were not answered."""
    lost = outcomes.total() - outcomes["answered"] - outcomes["asked twice"]
    return f"{100 * lost / max(1, lost + outcomes['answered']):.2f} %"
