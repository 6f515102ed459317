"""Claims: what a scope or a `claims` request releases of an Account, its establishment and its attachments.

Owns the mapping only; the store gave the facts, idp/oauth/tokens.py signs. OpenID Connect Core sections 5.1, 5.4 and 5.5. The `establishment`
scope is ours: the active establishment, the sector, the roles, every valid attachment and the zone. The application decides what a role may see (R2,
R87); being inside is no proof, so the zone is a claim beside `amr` and never in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp.store.base import Account, Attachment, Establishment

SCOPES: Mapping[str, tuple[str, ...]] = {
    "openid": (),
    "profile": ("name", "family_name", "given_name", "preferred_username", "locale", "zoneinfo", "updated_at"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "address": ("address",),
    "offline_access": (),
    "establishment": ("establishment", "sector", "roles", "attachments", "zone", "zone_kind", "zone_why"),
}
SUPPORTED = ("sub", *(claim for claims in SCOPES.values() for claim in claims))


@dataclass(frozen=True, slots=True)
class Zone:
    """Where the person was when the application was given this, and how that was concluded (policies/zones.py)."""

    name: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The facts claims are made of, at one instant. `establishment` and `attachments` are empty when no claim asked needs them."""

    account: Account
    establishment: Establishment | None
    attachments: tuple[tuple[Attachment, Establishment], ...]
    zone: Zone
    now: datetime


def is_valid(attachment: Attachment, now: datetime) -> bool:
    """Whether an attachment holds at an instant."""
    return (
        attachment.ended_at is None
        and (attachment.valid_from is None or attachment.valid_from <= now)
        and (attachment.valid_until is None or now < attachment.valid_until)
    )


def held_by(scopes: Iterable[str]) -> frozenset[str]:
    """The claims that the scopes of a client's registration hold: it gets no other, whatever it was granted before they were taken from it."""
    return frozenset(name for scope in scopes for name in SCOPES.get(scope, ()))


def requested(request: Mapping[str, Any] | None, part: str) -> Mapping[str, Any]:
    """The claims asked one by one for `id_token` or `userinfo` (the `claims` parameter), those we have."""
    asked = (request or {}).get(part) or {}
    return {name: demand for name, demand in asked.items() if name in SUPPORTED}


def released_to_userinfo(scope: Iterable[str], request: Mapping[str, Any] | None) -> frozenset[str]:
    """The names userinfo gives."""
    return frozenset(name for value in scope for name in SCOPES.get(value, ())) | requested(request, "userinfo").keys()


def released_to_id_token(scope: Iterable[str], request: Mapping[str, Any] | None) -> frozenset[str]:
    """The names an ID token gives: those asked one by one, and the establishment's, which applications need before anything else.

    The other scopes' claims are for userinfo, since a token is always issued with the code flow (section 5.4).
    """
    establishment = SCOPES["establishment"] if "establishment" in scope else ()
    return frozenset(establishment) | requested(request, "id_token").keys()


def gather(names: frozenset[str], subject: Subject) -> dict[str, Any]:
    """The values of the named claims; a claim we have no value for is left out, never null or empty."""
    found = _personal(names, subject)
    if not names.isdisjoint(SCOPES["establishment"]):
        found |= _situation(names, subject)
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def _personal(names: frozenset[str], subject: Subject) -> dict[str, Any]:
    account = subject.account
    values: dict[str, Any] = {
        "name": account.name,
        "family_name": account.family_name,
        "given_name": account.given_name,
        "preferred_username": account.username,
        "locale": account.locale,
        "zoneinfo": subject.establishment.time_zone if subject.establishment else None,
        "updated_at": int(account.updated_at.timestamp()),
        "email": account.email,
        "email_verified": account.email_verified if account.email else None,
        "phone_number": account.phone_number,
        "phone_number_verified": account.phone_number_verified if account.phone_number else None,
        "address": dict(account.address) if account.address else None,
    }
    return {name: values[name] for name in names if name in values}


def _situation(names: frozenset[str], subject: Subject) -> dict[str, Any]:
    valid = [(attachment, place) for attachment, place in subject.attachments if is_valid(attachment, subject.now)]
    active = subject.establishment
    here = [attachment for attachment, place in valid if active is not None and place.id == active.id]
    values: dict[str, Any] = {
        "establishment": describe(active) if active else None,
        "sector": next((attachment.sector for attachment in here if attachment.sector), None),
        "roles": sorted({attachment.profile for attachment in here}),
        "attachments": [
            {
                name: value
                for name, value in (("establishment", describe(place)), ("profile", attachment.profile), ("sector", attachment.sector))
                if value
            }
            for attachment, place in valid
        ],
        "zone": subject.zone.name,
        "zone_kind": subject.zone.kind,
        "zone_why": subject.zone.why,
    }
    return {name: values[name] for name in names if name in values}


def describe(establishment: Establishment) -> dict[str, str]:
    """An establishment as a claim."""
    values = {
        "slug": establishment.slug,
        "name": establishment.name,
        "finess": establishment.finess,
        "siret": establishment.siret,
    }
    return {name: value for name, value in values.items() if value}
