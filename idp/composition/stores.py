"""Stores: what remembers and what seals it, built from the configuration. Operators' commands need no more; idp.app builds the rest on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from idp.audit import Event
from idp.clock import Clock, SystemClock
from idp.config import Config
from idp.crypto import Keyring
from idp.store.chain import Pens
from idp.store.database import Database


@dataclass(frozen=True, slots=True)
class Stores:
    """What remembers, and what seals it: enough for operators' commands."""

    config: Config
    clock: Clock
    keyring: Keyring
    database: Database


def open_stores(config: Config, clock: Clock | None = None, on_events: Callable[[Sequence[Event]], None] | None = None) -> Stores:
    """The database and the keyring of a configuration; connects at first use. `on_events` is told what was committed to the audit trail."""
    clock = clock or SystemClock()
    keyring = Keyring(config.master_key.encode(), clock)
    database = Database.of(config.database, pool_size=config.server.threads + 2, pens=Pens.of(keyring, clock), on_events=on_events)
    return Stores(config, clock, keyring, database)
