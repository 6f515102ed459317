"""Rooms: what the composition hands to the web layer. Built once by idp/app.py; holds nothing of a request."""

from dataclasses import dataclass

from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, PasswordHasher
from idp.desk.desk import Desk
from idp.oauth.provider import Provider
from idp.signin.signin import SignIn
from idp.signin.workstations import Workstations
from idp.store.base import Ephemeral
from idp.store.database import Database
from idp.web.origin import OriginReader


@dataclass(frozen=True, slots=True)
class Rooms:
    """Every part that a page may call."""

    config: Config
    clock: Clock
    database: Database
    ephemeral: Ephemeral
    keyring: Keyring
    hasher: PasswordHasher
    signin: SignIn
    provider: Provider
    origins: OriginReader
    workstations: Workstations
    desk: Desk
