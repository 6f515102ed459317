"""Where a request comes from: concluded once at the edge, from configured proxies only, and carried with everything it causes."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from idp.audit import Origin
from idp.clock import Clock
from policies import network

KEY = "vestibule.origin"


class OriginReader:
    """Makes the Origin of a WSGI request, once: it is kept in the environ, so that pages and machine endpoints agree on its request id."""

    def __init__(self, trusted_proxies: tuple[IPv4Network | IPv6Network, ...], clock: Clock) -> None:
        self._trusted = trusted_proxies
        self._clock = clock

    def read(self, environ: dict[str, Any]) -> Origin:
        """The Origin; a header from anybody but a trusted proxy changes nothing."""
        known: Origin | None = environ.get(KEY)
        if known is not None:
            return known
        found = network.resolve(
            environ.get("REMOTE_ADDR", ""),
            _lines(environ.get("HTTP_X_FORWARDED_FOR")),
            _lines(environ.get("HTTP_FORWARDED")),
            self._trusted,
        )
        origin = Origin(
            request_id=self._clock.new_code(10),
            address=found.address,
            network_chain=found.chain,
            user_agent=_printable(environ.get("HTTP_USER_AGENT", "")),
        )
        environ[KEY] = origin
        return origin


def _lines(header: str | None) -> tuple[str, ...]:
    return () if header is None else (header,)


def _printable(text: str) -> str:
    return "".join(character for character in text[:300] if character.isprintable())
