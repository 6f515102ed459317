"""Where a request comes from: concluded once at the edge, from configured proxies only, and carried with everything it causes.

The zone is the address's, before anybody is known: whether it is trusted for the person is concluded again, in the transaction that decides
(idp/signin/whereabouts.py). Nothing here fails: what is not known is outside.
"""

from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from idp.audit import Origin
from idp.clock import Clock
from idp.signin.whereabouts import Locator
from policies import network

KEY = "vestibule.origin"
RESOLVED_KEPT = 1_024
LONGEST_KEPT = 200  # characters: what strangers write must not fill the memory


class OriginReader:
    """Makes the Origin of a WSGI request, once: it is kept in the environ, so that pages and machine endpoints agree on its request id."""

    def __init__(self, trusted_proxies: tuple[IPv4Network | IPv6Network, ...], locator: Locator, *, clock: Clock) -> None:
        self._resolve = partial(network.resolve, trusted_proxies=trusted_proxies)
        self._resolve_again = lru_cache(RESOLVED_KEPT)(self._resolve)
        self._locator = locator
        self._clock = clock

    def read(self, environ: dict[str, Any]) -> Origin:
        """The Origin; a header from anybody but a trusted proxy changes nothing."""
        known: Origin | None = environ.get(KEY)
        if known is not None:
            return known
        peer = environ.get("REMOTE_ADDR", "")
        # A header that is there but blank is not the same as none.
        x_forwarded_for, forwarded = ((environ[name],) if name in environ else () for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"))
        is_short = len(peer) + sum(map(len, (*x_forwarded_for, *forwarded))) <= LONGEST_KEPT
        found = (self._resolve_again if is_short else self._resolve)(peer, x_forwarded_for, forwarded)
        place = self._locator.at_edge(found.address, is_doubtful=found.is_doubtful, claimed=found.claimed)
        origin = Origin(
            request_id=self._clock.new_code(10),
            address=found.address,
            network_chain=found.chain,
            zone=place.zone,
            user_agent=_printable(environ.get("HTTP_USER_AGENT", "")),
            zone_kind=place.kind,
            zone_why=place.why,
            is_doubtful=found.is_doubtful,
            claimed=found.claimed,
        )
        environ[KEY] = origin
        return origin


def _printable(text: str) -> str:
    start = text[:300]
    return start if start.isprintable() else "".join(character for character in start if character.isprintable())
