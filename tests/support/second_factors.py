"""Second factors in tests: a telephone with an authenticator application, the parts that judge it, and where people stand when they ask."""

import re
from dataclasses import dataclass
from datetime import timedelta

import pyotp

from idp.audit import Origin
from idp.signin.enrolment import Asking
from idp.signin.second_factors import SecondFactors, open_second_factors
from idp.signin.whereabouts import Locator
from idp.store.base import Ephemeral
from idp.store.database import Database
from policies.zones import Whereabouts
from tests.support.fixed_clock import FixedClock
from tests.support.world import World

ORIGIN = Origin(request_id="0123456789", address="127.0.0.1")
AT_WORK = Whereabouts(zone="tilleuls/lan", kind="trusted", why="network_of_zone", is_inside=True, is_shared=False, may_enrol=True)
SHARED = Whereabouts(
    zone="tilleuls/soins", kind="shared_workstation", why="network_of_zone", is_inside=True, is_shared=True, may_enrol=False
)
OUTSIDE = Whereabouts(zone="outside", kind="outside", why="no_zone", is_inside=False, is_shared=False, may_enrol=False)


@dataclass(frozen=True, slots=True)
class Phone:
    """An authenticator application that holds one secret. `fast_by` is how wrong its clock is."""

    secret: str
    fast_by: timedelta = timedelta(0)

    @classmethod
    def scanning(cls, markup: str) -> "Phone":
        """One that was given the key that a page shows for typing."""
        found = re.search(r'class="code key"[^>]*>([A-Z2-7 ]+)<', markup)
        if found is None:
            raise AssertionError("the page shows no key")
        return cls(found[1].replace(" ", ""))

    def code(self, clock: FixedClock, *, steps: int = 0) -> str:
        """What it shows, `steps` half minutes from now."""
        at = clock.now() + self.fast_by + steps * timedelta(seconds=30)
        return pyotp.TOTP(self.secret).at(int(at.timestamp()))


def open_parts(world: World, *, database: Database | None = None, ephemeral: Ephemeral | None = None) -> SecondFactors:
    """The parts as one process has them, on the world's stores; other ones where they are given."""
    database = database or world.database
    return open_second_factors(
        world.config,
        database=database,
        ephemeral=ephemeral or world.application.ephemeral,
        keyring=world.application.keyring,
        clock=world.clock,
        rules=world.config.policy.rule_set,
        locator=Locator(database, world.clock),
    )


def asking(
    world: World,
    person: str = "claire",
    *,
    where: Whereabouts = AT_WORK,
    signed_in_ago: timedelta = timedelta(minutes=1),
    proved_ago: timedelta | None = None,
    pass_digest: str | None = None,
    place: str = "tilleuls",
) -> Asking:
    """Somebody who wants to change their factors."""
    now = world.clock.now()
    return Asking(
        account_id=world.account(person).id,
        establishment_id=world.establishment(place).id,
        whereabouts=where,
        signed_in_at=now - signed_in_ago,
        proved_at=None if proved_ago is None else now - proved_ago,
        pass_digest=pass_digest,
    )


def enrol_phone(world: World, parts: SecondFactors, person: str = "claire") -> Phone:
    """A telephone that a person has enrolled at work; the clock has moved on, so that its next code has not served."""
    offer = parts.totp.begin(world.account(person))
    phone = Phone(offer.secret)
    parts.totp.enrol(asking(world, person), offer.token, phone.code(world.clock), label="", origin=ORIGIN)
    world.clock.advance(timedelta(seconds=30))
    return phone
