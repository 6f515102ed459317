"""Composition: builds every part from the configuration and passes it to those that need it. With idp.cli, the only module that names them all.

`build` makes the parts, `wsgi` the application that a server process answers with; granian's workers call `from_environment`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectors.base import Directory
from idp.audit import Event
from idp.clock import Clock, SystemClock
from idp.config import Config, DirectorySettings, LdapDirectorySettings, load
from idp.crypto import Keyring, PasswordHasher
from idp.lifecycle.standing import Standing
from idp.oauth.provider import Provider
from idp.signin.directories import Directories
from idp.signin.linking import Linking
from idp.signin.passes import Passes
from idp.signin.passkeys import Passkeys
from idp.signin.password_change import load_block_list
from idp.signin.second_factors import open_second_factors
from idp.signin.sent_codes import open_sent_codes
from idp.signin.signin import SignIn
from idp.signin.whereabouts import Locator
from idp.signin.workstations import Workstations
from idp.store.base import Ephemeral
from idp.store.database import Database
from idp.store.ephemeral import open_ephemeral

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from connectors.delivery import Gateway
    from idp.messages.messenger import Messenger
    from idp.messages.sender import Sender
    from idp.oauth.logout import Deliverer
    from idp.store.leases import Fenced
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
    directories: Directories
    linking: Linking
    provider: Provider
    signin: SignIn
    locator: Locator
    workstations: Workstations

    def close(self) -> None:
        """Let go of the stores and the directories."""
        self.directories.close()
        self.ephemeral.close()
        self.database.close()


def open_stores(config: Config, clock: Clock | None = None, on_events: Callable[[Sequence[Event]], None] | None = None) -> Stores:
    """The database and the keyring of a configuration; connects at first use. `on_events` is told what was committed to the audit trail."""
    clock = clock or SystemClock()
    database = Database.of(config.database, pool_size=config.server.threads + 2, on_events=on_events)
    return Stores(config, clock, Keyring(config.master_key.encode(), clock), database)


def open_directories(config: Config, clock: Clock) -> Directories:
    """The directories of a configuration, in its order; nothing is asked before it is needed."""
    opened: dict[str, Directory] = {}
    for settings in config.directories:
        opened[settings.name] = OPENERS[type(settings)](settings, clock)
    return Directories(opened)


def _open_ldap(settings: LdapDirectorySettings, clock: Clock) -> Directory:
    from connectors.ldap.directory import LdapDirectory  # its library, for those who have such a directory

    return LdapDirectory(settings.name, settings, clock)


# The one place where a kind of directory in the configuration meets the connector that speaks to it.
OPENERS: dict[type[DirectorySettings], Callable[[Any, Clock], Directory]] = {LdapDirectorySettings: _open_ldap}


def build(config: Config, clock: Clock | None = None) -> Application:
    """The parts, on a migrated database."""
    # Imported here: the metrics library decides at its import whether processes count together, which only idp.serve knows.
    from idp.telemetry import Metrics

    metrics = Metrics()
    stores = open_stores(config, clock, metrics.count_events)
    ephemeral = open_ephemeral(config.ephemeral, stores.clock, connections=config.server.threads + 2)
    hasher = PasswordHasher(stores.clock, concurrency=config.server.hash_concurrency, in_progress=metrics.hashes)
    directories = open_directories(config, stores.clock)
    linking = Linking(config, stores.clock)
    locator = Locator(stores.database, stores.clock)
    workstations = Workstations(
        stores.database,
        stores.keyring,
        clock=stores.clock,
        locator=locator,
        passes=Passes(stores.database, stores.keyring, stores.clock, settings=config.factors),
    )
    standing = Standing(stores.database, directories, linking, clock=stores.clock, settings=config.standing)
    second_factors = open_second_factors(
        config,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        rules=config.policy.rule_set,
        locator=locator,
        tell=messenger(stores).tell,
    )
    passkeys = Passkeys(
        config,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        factors=second_factors,
        ask_standing=standing.ask_now,
    )
    sent_codes = open_sent_codes(
        config,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        throttle=second_factors.throttle,
        enrolment=second_factors.enrolment,
    )
    provider = Provider(config, stores.database, stores.keyring, stores.clock, ask_standing=standing.ask, tell=sent_codes.messenger.tell)
    signin = SignIn(
        config=config,
        clock=stores.clock,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        hasher=hasher,
        blocked=load_block_list(config.passwords.block_list),
        directories=directories,
        linking=linking,
        ask_standing=standing.ask,
        locator=locator,
        second_factors=second_factors,
        passkeys=passkeys,
        sent_codes=sent_codes,
        load_client=provider.registry.record,
    )
    return Application(
        config=config,
        clock=stores.clock,
        keyring=stores.keyring,
        database=stores.database,
        ephemeral=ephemeral,
        hasher=hasher,
        metrics=metrics,
        directories=directories,
        linking=linking,
        provider=provider,
        signin=signin,
        locator=locator,
        workstations=workstations,
    )


def deliverer(application: Application, database: "Fenced | None" = None) -> "Deliverer":
    """The sender of the outbox, for the worker; `database` is the store as the lease's holder sees it."""
    from idp.oauth.logout import Deliverer  # brings an HTTP client, which servers do not need

    provider = application.provider
    return Deliverer(application.config, database or application.database, provider.registry, provider.mint, application.clock)


def messenger(stores: Stores | Application) -> "Messenger":
    """What queues messages to people."""
    from idp.messages.messenger import Messenger

    return Messenger(stores.config, keyring=stores.keyring, clock=stores.clock)


def sender(stores: Stores | Application, database: "Fenced | None" = None) -> "Sender":
    """What sends the queued messages, for the worker; `database` is the store as the lease's holder sees it."""
    from idp.messages.sender import Sender

    gateways = open_gateways(stores.config, stores.clock)
    return Sender(stores.config, database or stores.database, gateways, messenger=messenger(stores), clock=stores.clock)


def open_gateways(config: Config, clock: Clock) -> "dict[str, Gateway]":
    """The configured ways of reaching people, by channel; nothing is asked before it is needed."""
    found: dict[str, Gateway] = {}
    if config.sms.http is not None:
        from connectors.sms.http import HttpSms

        found["sms"] = HttpSms(config.sms.http, clock, sender=config.sms.sender)
    elif config.sms.file is not None:
        from connectors.sms.file import FileSms

        found["sms"] = FileSms(config.sms.file)
    if config.mail.is_set:
        from connectors.mail.smtp import Mail

        found["email"] = Mail(config.mail, clock, host=urlsplit(config.issuer).hostname or "", sender_name=config.pages.product_name)
    return found


def wsgi(application: Application) -> "WSGIApplication":
    """The WSGI application: machine endpoints first, then pages."""
    # Imported here so that the worker and the operators' commands do not load the web layer.
    from idp.telemetry import ObservedPages
    from idp.web.machine import MachineEndpoints
    from idp.web.origin import OriginReader
    from idp.web.pages import create_pages
    from idp.web.rooms import Rooms

    origins = OriginReader(application.config.server.trusted_proxies, application.locator, clock=application.clock)
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
        workstations=application.workstations,
    )
    observe = application.metrics.observe_request
    return MachineEndpoints(application.provider, origins, ObservedPages(create_pages(rooms), observe, perf_counter), observe)


def from_environment() -> "WSGIApplication":
    """What a granian worker calls once: the application of the configuration that VESTIBULE_CONFIG names."""
    from idp.telemetry import configure_logging

    config = load(Path(os.environ[CONFIG_VARIABLE]))
    configure_logging(config.log_level)
    return wsgi(build(config))
