"""Composition: builds every part from the configuration and passes it to those that need it. With idp.cli, the only module that names them all.

`build` makes the parts, `wsgi` the application that a server process answers with; granian's workers call `from_environment`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from idp.audit import Event
from idp.clock import Clock, SystemClock
from idp.config import Config, load
from idp.crypto import Keyring, PasswordHasher
from idp.oauth.provider import Provider
from idp.signin.password_change import load_block_list
from idp.signin.signin import SignIn
from idp.store.base import Ephemeral
from idp.store.database import Database
from idp.store.ephemeral import EmbeddedEphemeral

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from idp.oauth.logout import Deliverer
    from idp.telemetry import Metrics

CONFIG_VARIABLE = "VESTIBULE_CONFIG"


@dataclass(frozen=True, slots=True)
class Stores:
    """What remembers, and what seals it: enough for operators' commands."""

    config: Config
    clock: Clock
    keyring: Keyring
    database: Database


@dataclass(frozen=True, slots=True)
class Application:
    """Every part of a running program."""

    config: Config
    clock: Clock
    keyring: Keyring
    database: Database
    ephemeral: Ephemeral
    hasher: PasswordHasher
    metrics: "Metrics"
    provider: Provider
    signin: SignIn

    def close(self) -> None:
        """Let go of the stores."""
        self.ephemeral.close()
        self.database.close()


def open_stores(config: Config, clock: Clock | None = None, on_events: Callable[[Sequence[Event]], None] | None = None) -> Stores:
    """The database and the keyring of a configuration; connects at first use. `on_events` is told what was committed to the audit trail."""
    clock = clock or SystemClock()
    database = Database(
        config.database.url,
        synchronous=config.database.sqlite_synchronous,
        busy_timeout_seconds=config.database.busy_timeout.total_seconds(),
        pool_size=config.server.threads + 2,
        on_events=on_events,
    )
    return Stores(config, clock, Keyring(config.master_key.encode(), clock), database)


def build(config: Config, clock: Clock | None = None) -> Application:
    """The parts, on a migrated database."""
    # Imported here: the metrics library decides at its import whether processes count together, which only idp.serve knows.
    from idp.telemetry import Metrics

    metrics = Metrics()
    stores = open_stores(config, clock, metrics.count_events)
    ephemeral = EmbeddedEphemeral(config.ephemeral.url, stores.clock)
    hasher = PasswordHasher(stores.clock, concurrency=config.server.hash_concurrency, in_progress=metrics.hashes)
    provider = Provider(config, stores.database, stores.keyring, stores.clock)
    signin = SignIn(
        config=config,
        clock=stores.clock,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        hasher=hasher,
        blocked=load_block_list(config.passwords.block_list),
        load_client=provider.registry.record,
    )
    return Application(config, stores.clock, stores.keyring, stores.database, ephemeral, hasher, metrics, provider, signin)


def deliverer(application: Application) -> "Deliverer":
    """The sender of the outbox, for the worker."""
    from idp.oauth.logout import Deliverer  # brings an HTTP client, which servers do not need

    return Deliverer(application.config, application.database, application.provider.registry, application.provider.mint, application.clock)


def wsgi(application: Application) -> "WSGIApplication":
    """The WSGI application: machine endpoints first, then pages."""
    # Imported here so that the worker and the operators' commands do not load the web layer.
    from idp.telemetry import ObservedPages
    from idp.web.machine import MachineEndpoints
    from idp.web.origin import OriginReader
    from idp.web.pages import create_pages
    from idp.web.rooms import Rooms

    origins = OriginReader(application.config.server.trusted_proxies, application.clock)
    rooms = Rooms(
        config=application.config,
        clock=application.clock,
        database=application.database,
        ephemeral=application.ephemeral,
        keyring=application.keyring,
        hasher=application.hasher,
        signin=application.signin,
        provider=application.provider,
        origins=origins,
    )
    observe = application.metrics.observe_request
    return MachineEndpoints(application.provider, origins, ObservedPages(create_pages(rooms), observe, perf_counter), observe)


def from_environment() -> "WSGIApplication":
    """What a granian worker calls once: the application of the configuration that VESTIBULE_CONFIG names."""
    from idp.telemetry import configure_logging

    config = load(Path(os.environ[CONFIG_VARIABLE]))
    configure_logging(config.log_level)
    return wsgi(build(config))
