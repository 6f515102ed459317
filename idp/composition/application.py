"""Application: every part of a running program, as idp.app builds it and as those that use several parts are given it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp.composition.stores import Stores
from idp.crypto import PasswordHasher
from idp.desk.desk import Desk
from idp.oauth.provider import Provider
from idp.signin.directories import Directories
from idp.signin.linking import Linking
from idp.signin.providers import Providers
from idp.signin.signin import SignIn
from idp.signin.whereabouts import Locator
from idp.signin.workstations import Workstations
from idp.store.base import Ephemeral

if TYPE_CHECKING:
    from idp.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Application(Stores):
    """Every part of a running program."""

    ephemeral: Ephemeral
    hasher: PasswordHasher
    metrics: "Metrics"
    directories: Directories
    providers: Providers
    linking: Linking
    provider: Provider
    signin: SignIn
    locator: Locator
    workstations: Workstations
    desk: Desk

    def close(self) -> None:
        """Let go of the stores, the directories and the providers."""
        self.directories.close()
        self.providers.close()
        self.signin.windows.close()
        self.ephemeral.close()
        self.database.close()
