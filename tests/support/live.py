"""A real `vestibule serve`, workers and all, on free loopback ports with the cast inside. Real time: nothing here moves a clock."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from idp.clock import SystemClock
from idp.config import load
from idp.crypto import PasswordHasher
from idp.store.migrations import upgrade
from tests.support.browser import Browser
from tests.support.cast import PASSWORD, Registered, clients, settle
from tests.support.listener import Listener
from tests.support.processes import answers, free_port, running, vestibule
from tests.support.relying_party import RelyingParty
from tests.support.stores import Stores
from tests.support.world import open_database, write_config


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A running server. `admin_url` is the private listener."""

    issuer: str
    admin_url: str
    folder: Path
    config_path: Path
    log: Path
    registered: Mapping[str, Registered]
    password: str = PASSWORD
    _opened: ExitStack = field(default_factory=ExitStack)

    def browser(self, *origins: str, language: str = "fr", address: str | None = None) -> Browser:
        """A browser that follows redirects within the issuer and the named origins; `address` is one of this machine's loopback network."""
        return Browser(self._client(address), self.issuer, language=language, origins=origins)

    def relying_party(self, key: str = "carnet") -> RelyingParty:
        """The application behind a registered client."""
        return RelyingParty(self.registered[key], self._client(), self.issuer, clock=SystemClock())

    def command(self, *arguments: str, typed: str = "") -> str:
        """An operator's command on this server's stores."""
        return vestibule(self.config_path, *arguments, typed=typed)

    def _client(self, address: str | None = None) -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=address)
        return self._opened.enter_context(httpx.Client(base_url=self.issuer, timeout=20, transport=transport))

    def notices(self) -> list[dict[str, Any]]:
        """The outbox, newest first."""
        found: list[dict[str, Any]] = json.loads(self.command("outbox", "list", "--json"))["notices"]
        return found


@contextmanager
def live_server(
    folder: Path, listener: Listener, settings: Mapping[str, Any] | None = None, *, stores: Stores | None = None
) -> Iterator[LiveServer]:
    """Serve from a private folder for the length of the block."""
    clock = SystemClock()
    port, admin_port = free_port(), free_port()
    issuer = f"http://localhost:{port}"
    (folder / "master.key").write_text(clock.new_token(), encoding="utf-8")
    listens = {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}", "workers": 1}
    # Retries come at once: a test that waits for one must not wait long.
    base: dict[str, Any] = {"issuer": issuer, "logout": {"retries": ["500ms", "1s", "1s", "2s"]}}
    stores = stores or Stores()
    given = {**base, **(settings or {})}
    config_path = write_config(folder, {**given, "server": {**listens, **given.get("server", {})}}, stores.place(folder))
    registered = clients(clock, listener.url)
    database = open_database(load(config_path))
    upgrade(database)
    password_hash = PasswordHasher(clock, concurrency=1).hash(PASSWORD)
    with database.write() as tx:
        settle(tx, clock, registered=registered, password_hash=password_hash)
    database.close()
    log = folder / "vestibule.log"
    with running(vestibule_command(config_path, "serve"), log=log, ready=lambda: answers(f"{issuer}/readyz"), seconds=90):
        server = LiveServer(issuer, f"http://127.0.0.1:{admin_port}", folder, config_path, log, registered)
        with server._opened:
            yield server
    stores.remove(folder)


def vestibule_command(config_path: Path, *arguments: str) -> list[str]:
    """The command line of our program in this environment."""
    return [str(Path(sys.executable).with_name("vestibule")), "--config", str(config_path), *arguments]
