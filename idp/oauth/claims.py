"""Claims: what a scope or a `claims` request releases of an Account, its establishment and its attachments.

Owns the mapping only; the store gave the facts, idp/oauth/tokens.py signs. OpenID Connect Core sections 5.1, 5.4 and 5.5. Two scopes are ours:
`establishment` (the active one, the sector and the roles there, the zone) and `establishments` (wherever else the person may use this application).
Of attachments, only those that open the application are ever seen here. The application decides what a role may see (R2, R87); being inside is no
proof, so the zone is a claim beside `amr` and never in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp.config import ClientSettings
from idp.store.base import Account, Attachment, Establishment

SCOPES: Mapping[str, tuple[str, ...]] = {
    "openid": (),
    "profile": ("name", "family_name", "given_name", "preferred_username", "locale", "zoneinfo", "updated_at"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "address": ("address",),
    "offline_access": (),
    "establishment": ("establishment", "sector", "roles", "zone", "zone_kind", "zone_why"),
    "establishments": ("attachments",),
}
# An ID token travels in addresses (id_token_hint) and cookies: somebody of a whole group would not fit. Userinfo names them all.
MOST_IN_ID_TOKEN = 20
SUPPORTED = ("sub", *(claim for claims in SCOPES.values() for claim in claims))


@dataclass(frozen=True, slots=True)
class Zone:
    """Where the person was when the application was given this, and how that was concluded (policies/zones.py)."""

    name: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The facts claims are made of for one client, at one instant. `establishment` and `attachments` are empty when no claim asked needs them.

    `attachments` are those that open the client now (`opening`), and no others.
    """

    client: ClientSettings
    account: Account
    establishment: Establishment | None
    attachments: tuple[tuple[Attachment, Establishment], ...]
    zone: Zone
    now: datetime


def opening(
    client: ClientSettings, attachments: Iterable[Attachment], places: Mapping[str, Establishment], *, now: datetime
) -> tuple[tuple[Attachment, Establishment], ...]:
    """The attachments that open this client now, each with its establishment; `places` are by id. The others are no business of the application."""
    found = ((one, places[one.establishment_id]) for one in attachments if one.is_valid(now) and one.establishment_id in places)
    return tuple(
        (one, place)
        for one, place in found
        if place.ended_at is None
        and (not client.establishments or place.slug in client.establishments)
        and (not client.profiles or one.profile in client.profiles)
    )


def roles_of(client: ClientSettings, attachments: Iterable[Attachment]) -> list[str]:
    """What a person may be called in this application, by attachments that open it. Every token and every endpoint asks here."""
    profiles = {one.profile for one in attachments}
    if not client.roles:
        return sorted(profiles)
    return sorted({role for profile in profiles for role in client.roles.get(profile, ())})


def needs_elsewhere(names: frozenset[str]) -> bool:
    """Whether the named claims say where else the person may use the client."""
    return not names.isdisjoint(SCOPES["establishments"])


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
    ours = {name for value in ("establishment", "establishments") if value in scope for name in SCOPES[value]}
    return frozenset(ours) | requested(request, "id_token").keys()


def gather_for_id_token(names: frozenset[str], subject: Subject) -> dict[str, Any]:
    """As `gather`, without a list of attachments that is too long for a token: whoever finds none asks userinfo."""
    is_long = len(subject.attachments) > MOST_IN_ID_TOKEN
    return gather(names - set(SCOPES["establishments"]) if is_long else names, subject)


def gather(names: frozenset[str], subject: Subject) -> dict[str, Any]:
    """The values of the named claims; a claim we have no value for is left out, never null or empty."""
    found = _personal(names, subject)
    if not names.isdisjoint((*SCOPES["establishment"], *SCOPES["establishments"])):
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
    active = subject.establishment
    here = [attachment for attachment, place in subject.attachments if active is not None and place.id == active.id]
    values: dict[str, Any] = {
        "establishment": describe(active) if active else None,
        "sector": next((attachment.sector for attachment in here if attachment.sector), None),
        "roles": roles_of(subject.client, here),
        "attachments": [_attachment(subject.client, attachment, place) for attachment, place in subject.attachments],
        "zone": subject.zone.name,
        "zone_kind": subject.zone.kind,
        "zone_why": subject.zone.why,
    }
    return {name: values[name] for name in names if name in values}


def _attachment(client: ClientSettings, attachment: Attachment, place: Establishment) -> dict[str, Any]:
    values = {
        "establishment": describe(place),
        "profile": attachment.profile,
        "roles": roles_of(client, (attachment,)),
        "sector": attachment.sector,
    }
    return {name: value for name, value in values.items() if value}


def describe(establishment: Establishment) -> dict[str, str]:
    """An establishment as a claim."""
    values = {
        "slug": establishment.slug,
        "name": establishment.name,
        "finess": establishment.finess,
        "siret": establishment.siret,
    }
    return {name: value for name, value in values.items() if value}
