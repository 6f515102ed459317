"""Guarded enrolment: who may add a factor, from where, after which proof; removing one; what each writes."""

from datetime import timedelta

import pytest

from idp.audit import Author, Reason
from idp.signin.enrolment import MOST_FACTORS, EnrolmentRefused
from idp.signin.passes import NewPass
from idp.signin.second_factors import SecondFactors
from idp.store.base import Device
from policies.zones import Whereabouts
from tests.conftest import MakeWorld
from tests.support.second_factors import AT_WORK, ORIGIN, OUTSIDE, SHARED, Phone, asking, enrol_phone, open_parts
from tests.support.world import World

OPERATOR = Author("operator:essai", ORIGIN)
VPN = Whereabouts(zone="tilleuls/vpn", kind="vpn", why="network_of_zone", is_inside=False, is_shared=False, may_enrol=False)
EGRESS = Whereabouts(zone="tilleuls/box", kind="trusted", why="egress_with_workstation", is_inside=True, is_shared=False, may_enrol=False)


@pytest.fixture
def parts(world: World) -> SecondFactors:
    return open_parts(world)


def level(world: World, value: str) -> None:
    """Give Les Tilleuls another regulatory level."""
    from sqlalchemy import text

    with world.arranging() as tx:
        tx.connection.execute(text("UPDATE establishments SET regulatory_level = :level WHERE slug = 'tilleuls'"), {"level": value})


def add(world: World, parts: SecondFactors, person: str = "claire", **position: object) -> None:
    """Try to add an authenticator application."""
    offer = parts.totp.begin(world.account(person))
    asked = asking(world, person, **position)  # type: ignore[arg-type]  # positions are asking()'s own
    parts.totp.enrol(asked, offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)


def refused(world: World, parts: SecondFactors, **position: object) -> str:
    """Why it was not added; the Event says the same and nothing was written."""
    with pytest.raises(EnrolmentRefused) as raised:
        add(world, parts, **position)  # type: ignore[arg-type]
    line = world.last_event("enrolment.refused")
    assert line["reason"] == raised.value.reason
    assert line["account_id"] == world.account("claire").id
    return raised.value.reason


def test_a_first_factor_is_added_at_work_after_a_fresh_sign_in(world: World, parts: SecondFactors) -> None:
    add(world, parts, signed_in_ago=timedelta(minutes=5))


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ({"where": OUTSIDE}, Reason.ENROLMENT_NEEDS_TRUSTED_ZONE),
        ({"where": VPN}, Reason.ENROLMENT_NEEDS_TRUSTED_ZONE),
        ({"where": EGRESS}, Reason.ENROLMENT_NEEDS_TRUSTED_ZONE),
        ({"where": SHARED}, Reason.ENROLMENT_SHARED_ZONE),
        ({"where": AT_WORK, "signed_in_ago": timedelta(minutes=5, seconds=1)}, Reason.ENROLMENT_SIGN_IN_TOO_OLD),
        ({"where": OUTSIDE, "signed_in_ago": timedelta(0), "proved_ago": timedelta(0)}, Reason.ENROLMENT_NEEDS_TRUSTED_ZONE),
    ],
)
def test_a_first_factor_is_refused(world: World, parts: SecondFactors, position: dict[str, object], reason: Reason) -> None:
    assert refused(world, parts, **position) == reason
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == ()


@pytest.mark.parametrize("name", ["rie-2026", "psc", "unheard-of"])
def test_on_every_other_level_a_first_factor_takes_a_pass_even_at_work(world: World, parts: SecondFactors, name: str) -> None:
    level(world, name)
    assert refused(world, parts, where=AT_WORK) == Reason.ENROLMENT_NEEDS_PASS


@pytest.mark.parametrize("where", [AT_WORK, SHARED, OUTSIDE])
def test_a_pass_opens_it_anywhere_and_is_used_up(world: World, parts: SecondFactors, where: Whereabouts) -> None:
    level(world, "rie-2026")
    claire = world.account("claire")
    with world.arranging() as tx:
        code, _ = parts.passes.issue(tx, NewPass(purpose="enrol", account_id=claire.id), OPERATOR)
    digest = parts.passes.check(claire.id, code, ORIGIN)
    add(world, parts, where=where, pass_digest=digest, signed_in_ago=timedelta(hours=1))
    # Somebody who kept the page open cannot add a second one with the same pass.
    assert refused(world, parts, where=where, pass_digest=digest) == Reason.PASS_NOT_VALID


def test_a_pass_of_somebody_else_opens_nothing(world: World, parts: SecondFactors) -> None:
    rose = world.account("rose")
    with world.arranging() as tx:
        code, _ = parts.passes.issue(tx, NewPass(purpose="enrol", account_id=rose.id), OPERATOR)
    digest = parts.passes.check(rose.id, code, ORIGIN)
    assert refused(world, parts, where=OUTSIDE, pass_digest=digest) == Reason.PASS_NOT_VALID
    add(world, parts, "rose", where=OUTSIDE, pass_digest=digest)  # it was not used up by the other


def test_a_further_factor_takes_one_that_was_just_given_wherever_that_is(world: World, parts: SecondFactors) -> None:
    add(world, parts)
    assert refused(world, parts, where=AT_WORK) == Reason.ENROLMENT_NEEDS_FACTOR
    assert refused(world, parts, where=AT_WORK, proved_ago=timedelta(minutes=10, seconds=1)) == Reason.ENROLMENT_NEEDS_FACTOR
    add(world, parts, where=OUTSIDE, proved_ago=timedelta(minutes=10), signed_in_ago=timedelta(hours=8))
    assert world.last_event("factor.enrolled")["details"]["opened_by"] == "factor"
    assert world.last_event("factor.enrolled")["details"]["first"] is False


def test_a_kind_that_is_not_offered_is_not_added(make_world: MakeWorld) -> None:
    world = make_world(factors={"offered": ["passkey"]})
    assert refused(world, open_parts(world)) == Reason.NO_SUCH_FACTOR


def test_nobody_is_given_a_factor_while_being_cut_off(world: World, parts: SecondFactors) -> None:
    with pytest.raises(EnrolmentRefused, match="account_not_active"):
        add(world, parts, "paul")


def test_factors_have_a_limit(world: World, parts: SecondFactors) -> None:
    add(world, parts)
    for _ in range(MOST_FACTORS - 1):
        add(world, parts, proved_ago=timedelta(0))
    assert refused(world, parts, proved_ago=timedelta(0)) == Reason.TOO_MANY_FACTORS


def test_adding_a_factor_ends_no_session(world: World, parts: SecondFactors) -> None:
    signed_in = world.sign_in("claire")
    add(world, parts)
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200


def test_the_last_factor_stays_while_a_rule_wants_one(world: World, parts: SecondFactors) -> None:
    enrol_phone(world, parts)
    claire = world.account("claire")
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(claire.id)
    with pytest.raises(EnrolmentRefused, match="last_factor_needed"):
        parts.enrolment.remove(asking(world, proved_ago=timedelta(0)), factor.id, ORIGIN)
    assert world.last_event("enrolment.refused")["reason"] == "last_factor_needed"


def test_the_last_factor_goes_with_its_recovery_codes_where_nothing_wants_one(make_world: MakeWorld) -> None:
    world = make_world(policy={"rules": [{"name": "everywhere", "effect": "allow", "when": {"not": {"zone_kind": ["blocked"]}}}]})
    parts = open_parts(world)
    enrol_phone(world, parts)
    claire = world.account("claire")
    parts.recovery.renew(claire.id, ORIGIN)
    signed_in = world.sign_in("claire")
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(claire.id)
    with pytest.raises(EnrolmentRefused, match="enrolment_needs_factor"):
        parts.enrolment.remove(asking(world), factor.id, ORIGIN)
    parts.enrolment.remove(asking(world, proved_ago=timedelta(0)), factor.id, ORIGIN)
    assert world.last_event("factor.removed")["details"] == {"kind": "totp", "factor": factor.id, "left": 0}
    assert parts.recovery.left(claire.id).count == 0
    # The person has just proven another of their factors, or this one: what is open was opened with as much.
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
    with pytest.raises(EnrolmentRefused, match="no_such_factor"):
        parts.enrolment.remove(asking(world, proved_ago=timedelta(0)), factor.id, ORIGIN)


def test_one_of_two_factors_may_go_and_nobody_removes_another_s(world: World, parts: SecondFactors) -> None:
    enrol_phone(world, parts)
    enrol_phone(world, parts, "rose")
    add(world, parts, proved_ago=timedelta(0))
    with world.database.read() as tx:
        first, second = tx.factors.open_of(world.account("claire").id)
    with pytest.raises(EnrolmentRefused, match="no_such_factor"):
        parts.enrolment.remove(asking(world, "rose", proved_ago=timedelta(0)), first.id, ORIGIN)
    assert not parts.enrolment.rename(asking(world, "rose"), first.id, "à moi", origin=ORIGIN)
    parts.enrolment.remove(asking(world, proved_ago=timedelta(0)), first.id, ORIGIN)
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == (second,)


def test_a_factor_gets_another_name(world: World, parts: SecondFactors) -> None:
    enrol_phone(world, parts)
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(world.account("claire").id)
    assert parts.enrolment.rename(asking(world), factor.id, " Téléphone \x00 bleu ", origin=ORIGIN)
    assert not parts.enrolment.rename(asking(world), factor.id, " \n", origin=ORIGIN)
    with world.database.read() as tx:
        renamed = tx.factors.get(factor.id)
    assert renamed is not None
    assert renamed.label == "Téléphone bleu"
    assert world.last_event("factor.renamed")["details"] == {"kind": "totp", "factor": factor.id}


def test_the_grace_is_over_with_the_first_factor(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    with world.arranging() as tx:
        tx.people.change(claire.id, world.clock.now(), grace_began_at=world.clock.now())
    add(world, parts)
    assert world.account("claire").grace_began_at is None


def test_no_browser_stays_remembered_for_a_factor_that_is_gone(world: World, parts: SecondFactors) -> None:
    claire, now = world.account("claire"), world.clock.now()
    add(world, parts)
    add(world, parts, proved_ago=timedelta(0))
    device = Device(
        id=world.clock.new_id(),
        account_id=claire.id,
        secret_digest=world.clock.new_token(),
        previous_digest=None,
        rotated_at=now,
        user_agent="",
        address="198.51.100.7",
        remembered_at=now,
        remembered_until=now + timedelta(days=30),
        last_seen_at=now,
        created_at=now,
        ended_at=None,
    )
    with world.arranging() as tx:
        tx.devices.add(device)
        first, _ = tx.factors.open_of(claire.id)
    parts.enrolment.remove(asking(world, proved_ago=timedelta(0)), first.id, ORIGIN)
    with world.database.read() as tx:
        (kept,) = tx.devices.open_of(claire.id)
    assert (kept.remembered_until, kept.ended_at) == (world.clock.now(), None)
