"""One-time passes: for one purpose, one person, one use, until an hour; and who issued them."""

import re
from datetime import timedelta

import pytest

from idp.audit import Author, Reason
from idp.signin.factor import FactorRefused
from idp.signin.passes import NewPass
from idp.signin.second_factors import SecondFactors
from idp.store.base import Pass
from policies.assurance import Method
from tests.support.second_factors import ORIGIN, OUTSIDE, Phone, asking, open_parts
from tests.support.world import World

CONTACT = Author("operator:nadia", ORIGIN)


@pytest.fixture
def parts(world: World) -> SecondFactors:
    return open_parts(world)


def issue(world: World, parts: SecondFactors, purpose: str, person: str = "claire", *, life: timedelta | None = None) -> tuple[str, Pass]:
    new = NewPass(purpose=purpose, account_id=world.account(person).id, life=life)  # type: ignore[arg-type]  # the tests name purposes that exist
    with world.arranging() as tx:
        return parts.passes.issue(tx, new, CONTACT)


def refused(parts: SecondFactors, account_id: str, code: str, *, purpose: str = "sign_in") -> Reason:
    act = parts.passes.prove if purpose == "sign_in" else parts.passes.check
    with pytest.raises(FactorRefused) as raised:
        act(account_id, code, ORIGIN)
    return Reason(raised.value.reason)


def test_a_pass_has_seventy_five_bits_and_says_who_issued_it(world: World, parts: SecondFactors) -> None:
    code, kept = issue(world, parts, "sign_in")
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){2}[0-9A-HJKMNP-TV-Z]{5}", code)
    assert kept.issued_by == "operator:nadia"
    assert kept.expires_at == world.clock.now() + timedelta(hours=12)
    issued = world.last_event("pass.issued")
    assert (issued["actor"], issued["account_id"], issued["details"]["purpose"]) == (
        "operator:nadia",
        world.account("claire").id,
        "sign_in",
    )
    assert code not in str(world.events())
    assert kept.digest not in str(world.events())


def test_a_pass_signs_in_once(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    code, _ = issue(world, parts, "sign_in")
    proof = parts.passes.prove(claire.id, code.lower().replace("-", " "), ORIGIN)
    assert (proof.method, proof.factor_id) == (Method.PASS, None)
    assert world.last_event("pass.used")["details"] == {"purpose": "sign_in", "issued_by": "operator:nadia"}
    assert refused(parts, claire.id, code) == Reason.PASS_NOT_VALID


def test_a_pass_is_worth_nothing_after_its_end(world: World, parts: SecondFactors) -> None:
    code, _ = issue(world, parts, "sign_in", life=timedelta(hours=1))
    world.clock.advance(timedelta(hours=1))
    assert refused(parts, world.account("claire").id, code) == Reason.PASS_NOT_VALID


def test_a_pass_is_for_its_person_and_its_purpose(world: World, parts: SecondFactors) -> None:
    claire, rose = world.account("claire"), world.account("rose")
    enrol, _ = issue(world, parts, "enrol")
    sign_in, _ = issue(world, parts, "sign_in")
    assert refused(parts, rose.id, sign_in) == Reason.PASS_NOT_VALID
    assert refused(parts, rose.id, enrol, purpose="enrol") == Reason.PASS_NOT_VALID
    assert refused(parts, claire.id, enrol) == Reason.PASS_NOT_VALID
    assert refused(parts, claire.id, sign_in, purpose="enrol") == Reason.PASS_NOT_VALID
    assert parts.passes.prove(claire.id, sign_in, ORIGIN)
    assert parts.passes.check(claire.id, enrol, ORIGIN)


def test_a_new_pass_ends_the_unused_one_of_the_same_purpose(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    first, _ = issue(world, parts, "sign_in")
    enrol, _ = issue(world, parts, "enrol")
    second, _ = issue(world, parts, "sign_in")
    assert refused(parts, claire.id, first) == Reason.PASS_NOT_VALID
    assert parts.passes.prove(claire.id, second, ORIGIN)
    assert parts.passes.check(claire.id, enrol, ORIGIN)


def test_a_pass_to_enrol_is_used_with_the_factor_and_not_by_an_abandoned_page(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    code, _ = issue(world, parts, "enrol")
    abandoned = parts.passes.check(claire.id, code, ORIGIN)
    digest = parts.passes.check(claire.id, code, ORIGIN)
    assert abandoned == digest
    from_outside = asking(world, where=OUTSIDE, pass_digest=digest)
    offer = parts.totp.begin(claire)
    wrong = "000000" if Phone(offer.secret).code(world.clock) != "000000" else "000001"
    with pytest.raises(FactorRefused, match="wrong_code"):
        parts.totp.enrol(from_outside, offer.token, wrong, label="", origin=ORIGIN)
    parts.totp.enrol(from_outside, offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)
    assert world.last_event("factor.enrolled")["details"]["opened_by"] == "pass"
    assert world.last_event("pass.used")["details"]["purpose"] == "enrol"
    assert refused(parts, claire.id, code, purpose="enrol") == Reason.PASS_NOT_VALID


def test_a_workstation_s_pass_needs_nobody_and_serves_nobody(world: World, parts: SecondFactors) -> None:
    place = world.establishment("tilleuls")
    with world.arranging() as tx:
        code, kept = parts.passes.issue(
            tx, NewPass(purpose="workstation", establishment_id=place.id, is_shared=True, label="Soins 2"), CONTACT
        )
    assert refused(parts, world.account("claire").id, code) == Reason.PASS_NOT_VALID
    with world.arranging() as tx:
        assert parts.passes.redeem_workstation(tx, "AAAAA-AAAAA-AAAAA", CONTACT) is None
        found = parts.passes.redeem_workstation(tx, code, CONTACT)
        assert found is not None
        assert (found.label, found.is_shared, found.digest) == ("Soins 2", True, kept.digest)
        assert parts.passes.redeem_workstation(tx, code, CONTACT) is None
