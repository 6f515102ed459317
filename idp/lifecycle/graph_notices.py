"""What Microsoft Graph tells us by itself: that something changed at a provider. Only a reason to ask, passed from a server process to the worker.

Owns the address, the secret that each notice must repeat, and the sign that one came, in the ephemeral store: losing it costs one period of asking
(`providers[].watch.every`). The request is idp/web/graph.py's, the subscriptions are connectors/entra/subscription.py's.
"""

from collections.abc import Iterable
from datetime import timedelta

import structlog

from idp.config import Config
from idp.config.directories import EntraProviderSettings
from idp.crypto import Keyring, same
from idp.errors import StoreUnavailable
from idp.store.base import Ephemeral

ROOT = "/graph/notifications"
KIND = "graph.notice"
KEPT = timedelta(minutes=10)
PURPOSE = "graph client state"
log = structlog.get_logger(__name__)


class GraphNotices:
    """Of every provider that has subscriptions. Safe between threads and processes."""

    def __init__(self, config: Config, ephemeral: Ephemeral, keyring: Keyring) -> None:
        self._issuer = config.issuer
        self._ephemeral = ephemeral
        self._keyring = keyring
        entra = (one for one in config.providers if isinstance(one, EntraProviderSettings))
        self.providers = frozenset(one.name for one in entra if one.watch is not None and one.watch.subscriptions)

    def address(self, provider: str) -> str:
        """Where Microsoft tells us."""
        return f"{self._issuer}{ROOT}/{provider}"

    def client_state(self, provider: str) -> str:
        """The secret of a provider's subscriptions, 43 characters: the same in every process, another with another master key."""
        return self._keyring.keyed_hash(PURPOSE, provider)

    def receive(self, provider: str, states: Iterable[str]) -> bool:
        """Let the worker ask at once, when one of the notices repeats the secret; whether one does. Raises StoreUnavailable."""
        wanted = self.client_state(provider)
        is_ours = any([same(state, wanted) for state in states])  # noqa: C419 - none is left out: the time tells nothing
        if is_ours:
            self._ephemeral.put(KIND, provider, b"1", KEPT)
        return is_ours

    def warn(self, provider: str, detail: str) -> None:
        """A subscription cannot be made or renewed: an operator reads why, and asking every so often goes on."""
        log.warning("graph_subscription_failed", connector=provider, detail=detail)

    def were_heard(self, provider: str) -> bool:
        """Whether one has come since this was asked last. Without the store none has: the provider is asked every so often all the same."""
        try:
            return self._ephemeral.get(KIND, provider) is not None and self._ephemeral.take(KIND, provider) is not None
        except StoreUnavailable as error:
            log.warning("graph_notices_unknown", connector=provider, detail=error.detail)
            return False
