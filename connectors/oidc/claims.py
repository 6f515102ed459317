"""From a provider's claims to an Identity, by the names that the settings give. Pure; believes what it is given (provider.py has validated it)."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from connectors.base import Identity
from connectors.oidc.presets import PRO_SANTE_CONNECT
from connectors.oidc.settings import OidcSettings

LONGEST_VALUE = 500
MOST_VALUES = 2000
RPPS = re.compile(r"8(\d{11})")


def identity_of(claims: Mapping[str, Any], settings: OidcSettings, *, connector: str, seen_at: datetime) -> Identity:
    """Who the claims say the person is. `sub` must be there; anything else that is missing or of another kind is left out."""
    names = settings.claims
    email = _text(claims, names.email)
    if claims.get("email_verified") is not True and not settings.trusts_unverified_email:
        email = None
    attributes = {name.lower(): values for name in names.attributes if (values := tuple(_values(claims, name)))}
    roles = tuple(value for name in names.roles for value in _values(claims, name))
    if roles:
        attributes["roles"] = roles
    if settings.preset == PRO_SANTE_CONNECT and (found := RPPS.fullmatch(_text(claims, names.number) or "")):
        attributes["rpps"] = (found[1],)
    return Identity(
        connector=connector,
        subject=claims["sub"],
        seen_at=seen_at,
        username=_text(claims, names.username),
        given_name=_text(claims, names.given_name) or "",
        family_name=_text(claims, names.family_name) or "",
        email=email,
        number=_text(claims, names.number),
        phone_number=_text(claims, names.phone),
        groups=frozenset(value.lower() for value in (*(one for name in names.groups for one in _values(claims, name)), *roles)),
        attributes=attributes or None,
    )


def _text(claims: Mapping[str, Any], name: str | None) -> str | None:
    return next(_values(claims, name), None) if name is not None else None


def _values(claims: Mapping[str, Any], name: str) -> Iterator[str]:
    """Every text, number or truth value under a name. A claim whose own name has points (a URL) is found before its parts are."""
    found = [claims[name]] if name in claims else _reached(claims, name.split("."))
    given = 0
    for value in _flat(found):
        text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        text = text.strip()
        if text and text.isprintable() and len(text) <= LONGEST_VALUE:
            given += 1
            yield text
        if given == MOST_VALUES:
            return


def _reached(value: Any, path: list[str]) -> list[Any]:
    reached = [value]
    for step in path:
        reached = [one[step] for one in _objects(reached) if step in one]
    return reached


def _objects(values: list[Any]) -> Iterator[Mapping[str, Any]]:
    for value in values:
        if isinstance(value, list):
            yield from (one for one in value if isinstance(one, dict))
        elif isinstance(value, dict):
            yield value


def _flat(values: list[Any]) -> Iterator[str | int | float | bool]:
    for value in values:
        if isinstance(value, list):
            yield from (one for one in value if isinstance(one, str | int | float))
        elif isinstance(value, str | int | float):
            yield value
