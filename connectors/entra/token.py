"""Entra's ID token, validated in full by us: connectors/id_token.py for what OpenID Connect says, and here for what Entra adds to it.

The tenant is on the allow list, iss is that tenant's letter for letter, the key may sign for it, ver is 2.0, oid is there, the person is no guest.
Source: "ID token claims reference" and "Secure applications and APIs by validating claims". People are keyed by tid and oid: an e-mail address or a
preferred_username is whatever a tenant's administrator writes, and is reused.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.base import Clock, PersonNotUsable, SourceMisbehaved, State
from connectors.entra.code_flow import Tokens
from connectors.entra.metadata import Publications
from connectors.entra.settings import GUID, EntraSettings
from connectors.id_token import IdTokenValidator, auth_time_of

ALGORITHMS = ("RS256",)
MOST_VALUES = 1000


@dataclass(frozen=True, slots=True)
class Word:
    """What a validated ID token says. `groups` is None when there are too many to be in it, and Graph must be asked."""

    tenant: str
    oid: str
    claims: Mapping[str, Any] = field(repr=False)
    auth_time: datetime | None
    roles: tuple[str, ...]
    groups: tuple[str, ...] | None
    contexts: frozenset[str]

    @property
    def subject(self) -> str:
        """The person's lasting id."""
        return f"{self.tenant}/{self.oid}"


class TokenReader:
    """Reads the ID tokens of one registration. Safe to share between threads; whoever calls is inside a passage of the wire."""

    def __init__(self, settings: EntraSettings, publications: Publications, clock: Clock) -> None:
        self._settings = settings
        self._publications = publications
        self._validator = IdTokenValidator(publications.keys, clock, algorithms=ALGORITHMS)

    def read(self, tokens: Tokens, *, nonce: str | None, since: datetime | None = None, needs_auth_time: bool = False) -> Word:
        """The word of an ID token. `nonce` is None for a refresh only; `since`: the person must have been there after that.

        Raises SourceMisbehaved with its problem, or PersonNotUsable (a guest).
        """
        claims = self._validator.validate(
            tokens.id_token,
            issuer=self._issuer,
            audience=self._settings.client_id,
            nonce=nonce,
            authenticated_since=since,
            needs_auth_time=needs_auth_time,
            access_token=tokens.access_token,
        )
        self._check_key(tokens.id_token or "", claims["tid"])
        oid = claims.get("oid")
        if not isinstance(oid, str) or not re.match(GUID, oid):
            raise SourceMisbehaved("oid is missing or no GUID", problem="subject")
        if claims.get("ver") != "2.0":
            raise SourceMisbehaved("a token that is not of version 2.0", problem="token_malformed")
        word = Word(
            tenant=claims["tid"].lower(),
            oid=oid.lower(),
            claims=claims,
            auth_time=auth_time_of(claims),
            roles=_texts(claims.get("roles")),
            groups=None if _has_too_many_groups(claims) else _texts(claims.get("groups")),
            contexts=frozenset(_texts(claims.get("acrs"))),
        )
        if self._is_guest(word):
            self.refuse_guest(word.subject, is_proven=nonce is not None)
        return word

    def refuse_guest(self, subject: str, *, is_proven: bool) -> None:
        """Raise PersonNotUsable, unless guests are let in."""
        if not self._settings.guests:
            words = "a guest of the tenant; guests are not let in (setting `guests`)"
            raise PersonNotUsable(words, state=State.OUT_OF_SCOPE, subject=subject, is_proven=is_proven)

    def _issuer(self, claims: Mapping[str, Any]) -> str:
        tenant = claims.get("tid")
        if not isinstance(tenant, str) or tenant.lower() not in self._settings.tenants:
            raise SourceMisbehaved("a tenant that is not on the allow list", problem="tenant")
        return self._publications.issuer_of(tenant.lower())

    def _check_key(self, token: str, tenant: str) -> None:
        kid = _header(token).get("kid")
        if not isinstance(kid, str):
            raise SourceMisbehaved("a token that names no key", problem="key_unknown")
        if not self._publications.signs_for(kid, tenant.lower()):
            raise SourceMisbehaved("signed by a key that is another tenant's", problem="key_unknown")

    @staticmethod
    def _is_guest(word: Word) -> bool:
        """`idp` is there when somebody is authenticated elsewhere than in the tenant; `acct` (optional) is 1 for a guest."""
        home = word.claims.get("idp")
        return word.claims.get("acct") in (1, "1") or (home is not None and word.tenant not in str(home).lower())


def _header(token: str) -> Mapping[str, Any]:
    """The header of a token that was verified."""
    part = token.partition(".")[0]
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found if isinstance(found, dict) else {}


def _has_too_many_groups(claims: Mapping[str, Any]) -> bool:
    """Overage (over 200 groups): a reference in place of the list. Its address is not believed, nor of today: Graph's is in the settings."""
    names = claims.get("_claim_names")
    return (isinstance(names, Mapping) and "groups" in names) or claims.get("hasgroups") in (True, "true")


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values[:MOST_VALUES] if isinstance(one, str) and one)
