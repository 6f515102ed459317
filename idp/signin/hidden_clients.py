"""The self-check of the network: when nearly every sign-in of a day seems to come from one place, a proxy hides who asks, and zones mean nothing.

Owns the judgement and its words; idp/work.py asks every hour, `vestibule zone check` when somebody wants to know. Reads the trail only.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.audit import Reason
from idp.signin.whereabouts import zone_facts
from idp.store.database import Transaction
from policies.zones import ADDRESS_DOUBTFUL, ZoneIndex

LOOKS_BACK = timedelta(hours=24)
# Fewer people than this may well sit in one room.
FEWEST_PEOPLE = 20
NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What looks wrong: `reason` is clients_hidden or one_address; `sign_ins` of `total` within a day, by `people`, from `address`."""

    reason: Reason
    address: str
    sign_ins: int
    total: int
    people: int


def find_suspicion(tx: Transaction, now: datetime) -> Suspicion | None:
    """What is suspicious about where the last day's sign-ins came from; None when nothing is, or too few people signed in to tell."""
    counted = tx.events.sign_in_addresses(now - LOOKS_BACK)
    people = tx.events.count_signed_in(now - LOOKS_BACK)
    total = sum(place.sign_ins for place in counted)
    if people < FEWEST_PEOPLE or total == 0:
        return None
    most = max(counted, key=lambda place: place.sign_ins)
    hidden = sum(place.sign_ins for place in counted if place.zone_why == ADDRESS_DOUBTFUL)
    if hidden >= NEARLY_ALL * total:
        return Suspicion(Reason.CLIENTS_HIDDEN, most.address, hidden, total, people)
    if most.sign_ins < NEARLY_ALL * total or (most.establishments == 1 and _is_egress(tx, most.address, now)):
        return None
    return Suspicion(Reason.ONE_ADDRESS, most.address, most.sign_ins, total, people)


def words(found: Suspicion) -> str:
    """For an operator, in plain words."""
    seen = f"{found.sign_ins} of the {found.total} sign-ins of the last day, by {found.people} people"
    if found.reason is Reason.CLIENTS_HIDDEN:
        return (
            f"{seen}, came through a trusted proxy that does not say for whom (last seen at {found.address}): everybody is taken for outside."
            " Make the proxy send X-Forwarded-For, and name every proxy on the way in server.trusted_proxies"
        )
    return (
        f"{seen}, came from {found.address}: most likely a proxy or a translation of addresses stands in front and hides who asks, so that inside and"
        " outside cannot be told apart. Name the proxy in server.trusted_proxies and make it send X-Forwarded-For; if this is really one site that"
        " leaves by one address, say so: a zone with egress: true"
    )


def _is_egress(tx: Transaction, address: str, now: datetime) -> bool:
    found = ZoneIndex(zone_facts(zone, slug) for zone, slug in tx.zones.open_with_slugs()).find(address, now)
    return found is not None and found.is_egress
