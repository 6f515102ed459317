"""What an Entra authority publishes of itself: its endpoints, the issuer of each tenant's tokens, its keys and whose they are.

Source: "OpenID Connect on the Microsoft identity platform". For several tenants the issuer is a template, https://…/{tenantid}/v2.0, and each key
says in `issuer` whose tokens it may sign: a key of one tenant must not sign for another.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.base import Clock, SourceMisbehaved, SourceUnreachable
from connectors.entra.refusals import words_of
from connectors.entra.settings import EntraSettings
from connectors.entra.wire import Wire

METADATA_LIFE = timedelta(hours=24)  # as Microsoft's own libraries keep it
TENANT = "{tenantid}"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The discovery document, as far as it is used."""

    issuer: str
    jwks_uri: str
    read_at: datetime


class Publications:
    """Reads and keeps them. Safe to share between threads; whoever calls is inside a passage of the wire."""

    def __init__(self, settings: EntraSettings, wire: Wire, clock: Clock) -> None:
        self._settings = settings
        self._wire = wire
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None
        self._key_issuers: Mapping[str, str] = {}

    @property
    def authority(self) -> str:
        """Where people are sent: to the one tenant, or to their own."""
        tenants = self._settings.tenants
        return f"{self._settings.authority}/{tenants[0] if len(tenants) == 1 else 'organizations'}"

    def metadata(self) -> Metadata:
        """The discovery document. Raises SourceUnreachable, or SourceMisbehaved when it is not this authority's."""
        with self._lock:
            kept = self._metadata
        if kept is None or self._clock.now() - kept.read_at >= METADATA_LIFE:
            kept = self._read()
            with self._lock:
                self._metadata = kept
        return kept

    def issuer_of(self, tenant: str) -> str:
        """The `iss` of that tenant's tokens, letter for letter."""
        return self.metadata().issuer.replace(TENANT, tenant)

    def keys(self) -> Mapping[str, Any]:
        """The published key set, as it is now (connectors/id_token.py keeps it)."""
        answer = self._wire.get(self.metadata().jwks_uri)
        if answer.status >= 400:
            raise SourceUnreachable(f"Entra answered {answer.status} to the reading of its keys", trouble="unavailable")
        keys = answer.body.get("keys")
        issuers = {}
        for key in keys if isinstance(keys, list) else ():
            if isinstance(key, dict) and isinstance(key.get("kid"), str) and isinstance(key.get("issuer"), str):
                issuers[key["kid"]] = key["issuer"]
        with self._lock:
            # Those that were withdrawn stay known: a token may be under way that was verified by the set before.
            self._key_issuers = {**self._key_issuers, **issuers}
        return answer.body

    def signs_for(self, kid: str, tenant: str) -> bool:
        """Whether the key may sign tokens of the tenant. One that does not say whose it is may where the set is of one tenant alone."""
        with self._lock:
            issuer = self._key_issuers.get(kid)
        if issuer is None:
            return len(self._settings.tenants) == 1
        return issuer.replace(TENANT, tenant) == self.issuer_of(tenant)

    def _read(self) -> Metadata:
        where = f"{self.authority}/v2.0/.well-known/openid-configuration"
        answer = self._wire.get(where)
        if answer.status >= 400:
            raise SourceUnreachable(
                words_of(answer.body) if answer.body else f"{where} answered {answer.status}", trouble="service_account"
            )
        found = answer.body
        issuer = found.get("issuer")
        for name in ENDPOINTS:
            if not isinstance(found.get(name), str) or not found[name].startswith("https://"):
                raise SourceMisbehaved(f"{where}: {name} is missing, or not https")
        mark = self._settings.tenants[0] if len(self._settings.tenants) == 1 else TENANT
        if not isinstance(issuer, str) or not issuer.startswith("https://") or not issuer.endswith(f"/{mark}/v2.0"):
            raise SourceMisbehaved(f"{where}: its issuer is not that of {mark}", problem="issuer")
        return Metadata(issuer, found["jwks_uri"], self._clock.now())
