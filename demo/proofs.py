"""Gives the invented people their second factors, through the rooms that pages use: a one-time pass is issued, and the person redeems it.

No command does it, and none should: an operator never adds a factor for somebody. Here the operator and every person are the same program. Only
demonstration accounts are touched, which no other configuration lets sign in.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from demo.people import PEOPLE, DemoPerson
from demo.place import Place
from demo.telephone import Entry, Paper, Telephone
from idp.audit import Author, Event, EventType
from idp.cli.place import Place as CommandPlace
from idp.clock import Clock
from idp.people import accounts
from idp.people.factors import issue_pass
from idp.signin.enrolment import Asking
from idp.signin.factor import FactorRefused
from idp.signin.second_factors import SecondFactors, open_second_factors
from idp.signin.sent_codes import SentCodes, open_sent_codes
from idp.signin.whereabouts import Locator
from idp.store.base import Account, Role
from idp.store.database import Database
from policies.acts import GROUP_ONLY
from policies.zones import OUTSIDE, Whereabouts

ARRIVES_WITHIN_SECONDS = 20.0
TOTP_STEP = timedelta(seconds=30)
# A pass opens enrolment from anywhere, so nothing need be pretended about the place.
NOWHERE = Whereabouts(zone=OUTSIDE, kind=OUTSIDE, why="no_zone", is_inside=False, is_shared=False, may_enrol=False)


class NotEnrolled(Exception):
    """The SMS of an invented telephone did not arrive."""


@dataclass(frozen=True, slots=True)
class _Rooms:
    database: Database
    clock: Clock
    factors: SecondFactors
    sent: SentCodes
    telephone: Telephone
    author: Author


def enrol(place: Place) -> None:
    """Add every factor and role that is missing. The provider runs: its worker carries the SMS. Raises NotEnrolled."""
    with _open(place) as rooms:
        for person in PEOPLE:
            with rooms.database.read() as tx:
                account = accounts.named(tx, person.username)
                kinds = {factor.kind for factor in tx.factors.open_of(account.id)}
            if not account.is_active or not account.is_demo:
                continue
            proofs = person.proofs
            if proofs.has_application and "totp" not in kinds:
                _enrol_application(rooms, account, person)
            if proofs.phone and "sms" not in kinds:
                _enrol_phone(rooms, account, person, number=proofs.phone)
            if proofs.has_recovery_codes and rooms.factors.recovery.left(account.id).made_at is None:
                codes = rooms.factors.recovery.renew(account.id, rooms.author.origin)
                rooms.telephone.put_paper(Paper(person.name, person.username, codes))
            if person.role:
                _give_role(rooms, account, person)
        rooms.telephone.forget_messages()


@contextmanager
def _open(place: Place) -> Iterator[_Rooms]:
    with ExitStack() as stack:
        here = CommandPlace(place.config, stack)
        factors = open_second_factors(
            here.config,
            database=here.database,
            ephemeral=here.ephemeral,
            keyring=here.keyring,
            clock=here.clock,
            rules=here.config.policy.rule_set,
            locator=Locator(here.database, here.clock),
        )
        sent = open_sent_codes(
            here.config,
            database=here.database,
            ephemeral=here.ephemeral,
            keyring=here.keyring,
            clock=here.clock,
            throttle=factors.throttle,
            enrolment=factors.enrolment,
        )
        yield _Rooms(here.database, here.clock, factors, sent, Telephone(place.folder), here.author)


def _asking(rooms: _Rooms, account: Account) -> Asking:
    """The person, with a pass that was just handed over."""
    with rooms.database.write() as tx:
        code, _ = issue_pass(tx, account, "enrol", rooms.author, passes=rooms.factors.passes)
    digest = rooms.factors.passes.check(account.id, code, rooms.author.origin)
    return Asking(account_id=account.id, establishment_id=None, whereabouts=NOWHERE, signed_in_at=None, proved_at=None, pass_digest=digest)


def _enrol_application(rooms: _Rooms, account: Account, person: DemoPerson) -> None:
    offer = rooms.factors.totp.begin(account)
    # First: a factor whose key nobody has would lock the visitor out.
    rooms.telephone.add(Entry(person.name, offer.secret, person.username))
    asking = _asking(rooms, account)
    # The code of the step before, which is still good, leaves the present one to the visitor; it is good no more when a step ended just now.
    try:
        code = _digits(rooms.telephone, person, rooms.clock.now() - TOTP_STEP)
        rooms.factors.totp.enrol(asking, offer.token, code, label=_label(person), origin=rooms.author.origin)
    except FactorRefused:
        code = _digits(rooms.telephone, person, rooms.clock.now())
        rooms.factors.totp.enrol(asking, offer.token, code, label=_label(person), origin=rooms.author.origin)


def _enrol_phone(rooms: _Rooms, account: Account, person: DemoPerson, *, number: str) -> None:
    rooms.telephone.forget_messages()
    asking = _asking(rooms, account)
    rooms.sent.offers.begin(asking, "sms", number, origin=rooms.author.origin)
    deadline = time.monotonic() + ARRIVES_WITHIN_SECONDS
    while not (arrived := rooms.telephone.messages(rooms.clock.now())):
        if time.monotonic() > deadline:
            raise NotEnrolled(f"the SMS to {person.name} did not arrive")
        time.sleep(0.05)
    rooms.sent.offers.enrol(asking, "sms", arrived[0].code, label=_label(person), origin=rooms.author.origin)


def _give_role(rooms: _Rooms, account: Account, person: DemoPerson) -> None:
    """As `vestibule admin give`, which rightly refuses demonstration accounts: a real group must not hang on one."""
    with rooms.database.write() as tx:
        if tx.roles.open_of(account.id):
            return
        now = rooms.clock.now()
        place = None if person.role in GROUP_ONLY else tx.establishments.by_slug(person.posts[0].establishment)
        given_by = rooms.author.actor
        tx.roles.add(
            Role(
                id=rooms.clock.new_id(),
                account_id=account.id,
                role=person.role,
                establishment_id=place.id if place is not None else None,
                given_by=given_by,
                created_at=now,
                ended_at=None,
            )
        )
        tx.events.append(
            Event(
                type=EventType.ROLE_GIVEN,
                at=now,
                actor=given_by,
                origin=rooms.author.origin,
                account_id=account.id,
                establishment_id=place.id if place is not None else None,
                details={"role": person.role},
            )
        )


def _digits(telephone: Telephone, person: DemoPerson, at: datetime) -> str:
    return next(shown.digits for shown in telephone.codes(at) if shown.account == person.username)


def _label(person: DemoPerson) -> str:
    return f"Téléphone de {person.given_name}"
