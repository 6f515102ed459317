"""Pens for tests that open a store by themselves and write to its audit trail."""

from idp.clock import SystemClock
from idp.config import Config
from idp.crypto import Keyring
from idp.store.chain import Notary, Pens

NOTARY = Notary(b"k" * 32)


def some_pens() -> Pens:
    """The pens of a process of a store that has no configuration."""
    return Pens(NOTARY, SystemClock().new_id)


def pens_of(config: Config) -> Pens:
    """The pens of another process of a configured Vestibule."""
    clock = SystemClock()
    return Pens.of(Keyring(config.master_key.encode(), clock), clock)
