"""What the provider says of itself (OpenID Connect Discovery 1.0): read, checked, kept for an hour.

Owns which of its addresses may be used: each https (or this very machine), the issuer letter for letter the one that was configured (section 4.3),
for whoever may write another issuer there may pass off another provider's answers as his own. Calls wire.py.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.base import Clock, SourceMisbehaved, SourceUnreachable
from connectors.oidc.settings import OidcSettings, is_safe
from connectors.oidc.wire import Wire

FRESH = timedelta(hours=1)
USABLE = timedelta(hours=24)  # while it cannot be read again
RETRY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part that is used; `said` is the whole document."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    names_itself: bool
    said: Mapping[str, Any]

    def listed(self, name: str) -> tuple[str, ...] | None:
        """A list of the document; None when it does not have it."""
        found = self.said.get(name)
        return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else None


class MetadataSource:
    """The provider's metadata, read when it is wanted. Safe to share between threads."""

    def __init__(self, settings: OidcSettings, wire: Wire, clock: Clock) -> None:
        self._settings = settings
        self._wire = wire
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Metadata | None = None
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None

    def current(self) -> Metadata:
        """As read within the hour; older, up to a day, while the provider does not answer. Raises SourceUnreachable or SourceMisbehaved."""
        with self._lock:
            now = self._clock.now()
            known, age = self._known, now - self._read_at if self._read_at else USABLE
            if known is not None and (age < FRESH or (age < USABLE and self._tried_at is not None and now - self._tried_at < RETRY)):
                return known
            self._tried_at = now
            try:
                self._known = self.read()
            except SourceUnreachable:
                if known is None or age >= USABLE:
                    raise
                return known
            self._read_at = now
            return self._known

    def read(self) -> Metadata:
        """Read it now. Raises as `current`."""
        said = self._wire.read_object(self._settings.document_url)
        if said.get("issuer") != self._settings.issuer:
            detail = f"its metadata is of issuer {ascii(said.get('issuer'))[:200]}, not {self._settings.issuer!r}"
            raise SourceMisbehaved(detail, problem="issuer")
        return Metadata(
            authorization_endpoint=self._address(said, "authorization_endpoint"),
            token_endpoint=self._address(said, "token_endpoint"),
            jwks_uri=self._address(said, "jwks_uri"),
            userinfo_endpoint=self._address(said, "userinfo_endpoint") if said.get("userinfo_endpoint") is not None else None,
            names_itself=said.get("authorization_response_iss_parameter_supported") is True,
            said=said,
        )

    def _address(self, said: Mapping[str, Any], name: str) -> str:
        found = said.get(name)
        # An endpoint may have a query (RFC 6749 section 3.1); an http one is for an issuer that is itself on this machine.
        if not isinstance(found, str) or not is_safe(found.partition("?")[0]) or "#" in found:
            raise SourceMisbehaved(f"its metadata has no usable {name}")
        if found.startswith("http://") and not self._settings.issuer.startswith("http://"):
            raise SourceMisbehaved(f"its metadata has an unprotected {name}")
        return found
