"""A furnished Vestibule in a private folder: configuration, migrated stores, the cast, and the built application.

The furnished stores are made once a session and copied for each test. What a test does goes through the application from the outside; the
World's own Database is there to look, and to arrange what no page can.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import httpx
import yaml

from idp import app as composition
from idp.config import Config, load
from idp.crypto import PasswordHasher
from idp.store.base import Account, Establishment
from idp.store.database import Database, Transaction
from idp.store.events import EventFilter
from idp.store.migrations import upgrade
from tests.support.browser import Browser
from tests.support.cast import LANS, PASSWORD, PEOPLE, Person, Registered, clients, settle
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.pens import pens_of
from tests.support.relying_party import RelyingParty
from tests.support.stores import Settings, Stores

ISSUER = "https://connexion.example"


@dataclass(frozen=True, slots=True)
class Furniture:
    """The folder every World is a copy of, and what its clients know."""

    folder: Path
    registered: Mapping[str, Registered]
    stores: Stores


class World:
    """One Vestibule and those around it."""

    def __init__(self, furniture: Furniture, folder: Path, *, clock: FixedClock, listener: Listener, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.clock = clock
        self.listener = listener
        self.registered = furniture.registered
        self.password = PASSWORD
        self.stores = furniture.stores
        for file in furniture.folder.iterdir():
            shutil.copy(file, folder / file.name)
        self.config_path = write_config(folder, settings, furniture.stores.place(folder, copied_from=furniture.folder))

    @cached_property
    def config(self) -> Config:
        """The loaded configuration."""
        return load(self.config_path)

    @cached_property
    def issuer(self) -> str:
        """The issuer of this world."""
        return self.config.issuer

    @cached_property
    def application(self) -> composition.Application:
        """The built program, on the fixed clock."""
        return composition.build(self.config, self.clock)

    @cached_property
    def wsgi(self) -> WSGIApplication:
        """The public WSGI callable."""
        return composition.wsgi(self.application)

    @cached_property
    def database(self) -> Database:
        """A Database of the test's own on the same file."""
        return open_database(self.config)

    @cached_property
    def machine(self) -> httpx.Client:
        """How applications reach the machine endpoints: no cookies of a person, no redirects followed."""
        return self.transport()

    def transport(self, *, address: str = "127.0.0.1") -> httpx.Client:
        """A client into the application as seen from a peer address."""
        return httpx.Client(transport=httpx.WSGITransport(self.wsgi, remote_addr=address), base_url=self.issuer)

    def browser(self, *, language: str = "fr", address: str = "127.0.0.1", user_agent: str | None = None) -> Browser:
        """A new browser, nobody signed in."""
        browser = Browser(self.transport(address=address), self.issuer, language=language)
        if user_agent is not None:
            browser.headers["User-Agent"] = user_agent
        return browser

    def relying_party(self, key: str = "carnet") -> RelyingParty:
        """The application behind a registered client."""
        return RelyingParty(self.registered[key], self.machine, self.issuer, clock=self.clock)

    def sign_in(self, person: str = "claire", client: str = "carnet", *, browser: Browser | None = None, **parameters: str) -> "SignedIn":
        """A whole sign-in: authorize, identify, exchange the code. Extra parameters go to /authorize."""
        party = self.relying_party(client)
        browser = browser or self.browser(address=self.lan_of(person, client, parameters.get("establishment")))
        page = browser.get(party.begin(**parameters))
        if page.callback is None:
            page = browser.sign_in(self.person(person).username, PASSWORD, page=page)
        if page.callback is None and "establishment-form" in page.forms:
            raise AssertionError("this person must choose an establishment: pass establishment=<slug>")
        if page.callback is None:
            raise AssertionError(f"the sign-in did not come back to the application: {page!r}")
        return SignedIn(browser, party, party.exchange(page.callback))

    def lan_of(self, person: str, client: str = "carnet", establishment: str | None = None) -> str:
        """The address of somebody at work: where the sign-in says, else where the application or their only attachment does."""
        slug = establishment or self.registered[client].settings.default_establishment
        return LANS[slug or next((place for place, *_ in self.person(person).attachments), "tilleuls")]

    def move(self, browser: Browser, address: str) -> None:
        """Take a browser somewhere else, with all that it holds."""
        browser.client = self.transport(address=address)

    def person(self, key: str) -> Person:
        """A member of the cast."""
        return next(person for person in PEOPLE if person.key == key)

    def account(self, key: str) -> Account:
        """The stored account of a member of the cast, as it is now."""
        with self.database.read() as tx:
            (account,) = tx.people.matching(self.person(key).username, None)
            return account

    def establishment(self, slug: str) -> Establishment:
        """A stored establishment."""
        with self.database.read() as tx:
            found = tx.establishments.by_slug(slug)
        if found is None:
            raise AssertionError(f"no establishment {slug!r}")
        return found

    def events(self, type_prefix: str | None = None, **wanted: Any) -> list[dict[str, Any]]:
        """The audit lines so far, oldest first; `wanted` as in EventFilter."""
        with self.database.read() as tx:
            return list(tx.events.read(EventFilter(type_prefix=type_prefix, **wanted)))

    def last_event(self, type_prefix: str | None = None) -> dict[str, Any]:
        """The newest audit line (of a type)."""
        found = self.events(type_prefix)
        if not found:
            raise AssertionError(f"no audit line {type_prefix!r}; there are {[line['type'] for line in self.events()]}")
        return found[-1]

    @contextmanager
    def arranging(self) -> Iterator[Transaction]:
        """A write transaction, to arrange what no page or command can."""
        with self.database.write() as tx:
            yield tx

    def close(self) -> None:
        """Close what was opened."""
        if "machine" in self.__dict__:
            self.machine.close()
        if "application" in self.__dict__:
            self.application.close()
        if "database" in self.__dict__:
            self.database.close()
        self.stores.remove(self.folder)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What World.sign_in leaves."""

    browser: Browser
    party: RelyingParty
    tokens: Any


def write_config(folder: Path, settings: Mapping[str, Any], stores: Settings) -> Path:
    """Write the configuration of a world into its folder. `settings` are top-level keys; mappings are merged into the defaults."""
    base: dict[str, Any] = {
        "issuer": ISSUER,
        "master_key": f"file:{folder / 'master.key'}",
        "server": {"hash_concurrency": 4, "workers": 1},
        "egress": {"networks": ["127.0.0.0/8", "::1/128"]},  # where the applications of these tests live
        **stores,
    }
    for key, value in settings.items():
        base[key] = {**base.get(key, {}), **value} if isinstance(value, Mapping) else value
    path = folder / "vestibule.yaml"
    path.write_text(yaml.safe_dump(base, allow_unicode=True), encoding="utf-8")
    return path


def open_database(config: Config) -> Database:
    """A Database of a world, as another process has it."""
    settings = config.database.model_copy(update={"busy_timeout": timedelta(seconds=10)})
    return Database.of(settings, pool_size=4, pens=pens_of(config))


def furnish(folder: Path, clock: FixedClock, listener: Listener, *, stores: Stores) -> Furniture:
    """Make the folder that worlds copy: key, migrated database, cast, and whatever the first build writes (signing keys)."""
    (folder / "master.key").write_text(clock.new_token(), encoding="utf-8")
    config = load(write_config(folder, {}, stores.place(folder)))
    registered = clients(clock, listener.url)
    password_hash = PasswordHasher(clock, concurrency=1).hash(PASSWORD)
    database = open_database(config)
    upgrade(database)
    with database.write() as tx:
        settle(tx, clock, registered=registered, password_hash=password_hash)
    database.close()
    composition.build(config, clock).close()
    return Furniture(folder, registered, stores)
