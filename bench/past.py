"""A past that never was: thirty days of sign-ins, with the facts that rules decide on, written into a real store by the product's own code.

With bench.vestibule and bench.homes the only module of the bench that names anything of Vestibule. The same seed makes the same past.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from idp.audit import Event, EventType, Origin
from idp.clock import SystemClock
from idp.config import load
from idp.crypto import Keyring
from idp.store.base import Account, Establishment, Factor
from idp.store.chain import Pens
from idp.store.database import Database, Transaction
from policies.rules import DEFAULT_RULE_SET, SignInFacts

DAYS = 30
BATCH = 5_000
PARIS = "Europe/Paris"
CLIENTS = ("carnet-de-soins", "planning", "messagerie", "pharmacie", "achats")
PROFILES = ("nurse", "aide", "doctor", "administrative", "manager", "external")
# When people sign in: the three shifts, the office, and some at night from home.
HOURS = (6, 6, 7, 7, 8, 9, 13, 13, 14, 14, 17, 20, 21, 21, 22, 3)
EQUIPPED = 0.6
OUTSIDE = 0.15
SILENT = 0.5


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the past."""

    account_id: str
    establishment: Establishment
    profile: str
    has_factor: bool
    is_administrator: bool


def write(configuration: Path, *, sign_ins: int, people: int, establishments: int, seed: int, tell: Callable[[int], None]) -> None:
    """Fill the migrated store of a configuration; `tell` is given how many sign-ins were just written."""
    dice = random.Random(seed)
    config, clock = load(configuration), SystemClock()
    database = Database.of(config.database, pool_size=2, pens=Pens.of(Keyring(config.master_key.encode(), clock), clock))
    now = datetime.now(UTC)
    try:
        with database.write() as tx:
            everybody = list(_people(tx, dice, people=people, establishments=establishments, now=now))
        moments = sorted(_moment(dice, now) for _ in range(sign_ins))
        for at in range(0, sign_ins, BATCH):
            with database.write() as tx:
                for moment in moments[at : at + BATCH]:
                    tx.events.append(_sign_in(dice, dice.choice(everybody), moment))
            tell(min(BATCH, sign_ins - at))
    finally:
        database.close()


def _people(tx: Transaction, dice: random.Random, *, people: int, establishments: int, now: datetime) -> Iterator[Person]:
    clock = SystemClock()
    homes = [_home(clock.new_id(), number, now) for number in range(establishments)]
    for home in homes:
        tx.establishments.add(home)
    for number in range(people):
        person = Person(clock.new_id(), dice.choice(homes), dice.choice(PROFILES), dice.random() < EQUIPPED, number % 200 == 0)
        tx.people.add(_account(person, number, now), found_by=())
        if person.has_factor:
            tx.factors.add(_factor(clock.new_id(), person, now))
        yield person


def _sign_in(dice: random.Random, person: Person, at: datetime) -> Event:
    is_outside = dice.random() < OUTSIDE
    zone = "outside" if is_outside else f"{person.establishment.slug}/{dice.choice(('lan', 'soins', 'direction'))}"
    kind = "outside" if is_outside else "trusted"
    client = dice.choice(CLIENTS)
    is_silent = dice.random() < SILENT
    facts = SignInFacts(
        zone=zone,
        zone_kind=kind,
        client=client,
        profiles=frozenset({person.profile}),
        establishment=person.establishment.slug,
        level="tolerant",
        local_time=at.astimezone(ZoneInfo(PARIS)),
        connector="siege",
        methods=frozenset({"password", "totp"} if is_outside and person.has_factor else {"password"}),
        factors=frozenset({"totp"} if person.has_factor else ()),
        device_known=dice.random() < 0.8,
        workstation=not is_outside and dice.random() < 0.3,
        requested_acr=frozenset(),
        administrator=person.is_administrator,
        break_glass=False,
        degraded=False,
    )
    why = "no_zone" if is_outside else "network_of_zone"
    address = f"198.51.100.{dice.randrange(1, 255)}" if is_outside else f"10.20.{dice.randrange(256)}.{dice.randrange(1, 255)}"
    return Event(
        type=EventType.AUTHORIZATION_GRANTED if is_silent else EventType.SIGNIN_SUCCEEDED,
        at=at,
        actor=f"account:{person.account_id}",
        origin=Origin(f"{dice.getrandbits(40):010X}", address, (address,), zone, "Mozilla/5.0", kind, why),
        account_id=person.account_id,
        client_id=client,
        establishment_id=person.establishment.id,
        connector="siege",
        amr=("pwd",),
        acr="urn:vestibule:acr:password",
        decision={"facts": facts.as_json(), **DEFAULT_RULE_SET.decide(facts).as_json()},
    )


def _moment(dice: random.Random, now: datetime) -> datetime:
    day = now - timedelta(days=dice.randrange(1, DAYS))
    return day.replace(hour=dice.choice(HOURS), minute=dice.randrange(60), second=dice.randrange(60))


def _home(id: str, number: int, now: datetime) -> Establishment:
    return Establishment(
        id=id,
        slug=f"residence-{number}",
        name=f"Résidence {number}",
        finess=None,
        siret=None,
        time_zone=PARIS,
        contact_name="",
        contact_phone="",
        contact_email="",
        logo_type=None,
        source="operator",
        created_at=now,
        ended_at=None,
    )


def _account(person: Person, number: int, now: datetime) -> Account:
    return Account(
        id=person.account_id,
        status="active",
        username=f"personne{number}",
        given_name="Camille",
        family_name=f"Marchand {number}",
        email=None,
        email_verified=False,
        phone_number=None,
        phone_number_verified=False,
        address=None,
        locale=None,
        is_demo=False,
        last_establishment_id=None,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )


def _factor(id: str, person: Person, now: datetime) -> Factor:
    return Factor(
        id=id,
        account_id=person.account_id,
        kind="totp",
        label="Téléphone",
        hint="",
        sealed=b"",
        last_step=None,
        credential_digest=None,
        credential_id=None,
        public_key=None,
        sign_count=None,
        transports=None,
        is_synced=None,
        aaguid=None,
        enrolled_zone="outside",
        last_used_at=None,
        created_at=now,
        ended_at=None,
    )
