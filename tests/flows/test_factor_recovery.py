"""Recovery codes: shown once, burned one by one, typed as people type, ended by new ones."""

import re

import pytest

from idp.audit import Author, Reason
from idp.errors import Refused
from idp.people.factors import reset
from idp.signin.factor import FactorRefused
from idp.signin.second_factors import SecondFactors
from policies.assurance import Method
from tests.conftest import MakeWorld
from tests.support.second_factors import ORIGIN, enrol_phone, open_parts
from tests.support.world import World


@pytest.fixture
def parts(world: World) -> SecondFactors:
    found = open_parts(world)
    enrol_phone(world, found)
    return found


def refused(parts: SecondFactors, account_id: str, code: str) -> Reason:
    with pytest.raises(FactorRefused) as raised:
        parts.recovery.prove(account_id, code, ORIGIN)
    return Reason(raised.value.reason)


def test_ten_codes_of_sixty_bits_that_people_can_type(world: World, parts: SecondFactors) -> None:
    codes = parts.recovery.renew(world.account("claire").id, ORIGIN)
    assert len(set(codes)) == 10
    for code in codes:
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", code)
    assert world.last_event("recovery_codes.renewed")["details"] == {"codes": 10}


def test_a_code_burns_once(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    first, second, *_ = parts.recovery.renew(claire.id, ORIGIN)
    proof = parts.recovery.prove(claire.id, first, ORIGIN)
    assert (proof.method, proof.factor_id) == (Method.RECOVERY, None)
    assert world.last_event("recovery_codes.used")["details"] == {"codes": 9}
    assert refused(parts, claire.id, first) == Reason.WRONG_CODE
    assert parts.recovery.prove(claire.id, second, ORIGIN)


def test_a_code_may_be_typed_in_small_letters_with_spaces_and_misread_letters(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    codes = parts.recovery.renew(claire.id, ORIGIN)
    for code, mangle in zip(codes, (str.lower, lambda text: text.replace("-", " "), lambda text: text.replace("-", "")), strict=False):
        assert parts.recovery.prove(claire.id, mangle(code), ORIGIN)
    misread = codes[3].replace("0", "O").replace("1", "l")
    assert parts.recovery.prove(claire.id, misread, ORIGIN)


def test_a_warning_comes_when_two_are_left(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    assert parts.recovery.left(claire.id).made_at is None
    assert not parts.recovery.left(claire.id).is_few  # somebody who never had any is told otherwise
    codes = parts.recovery.renew(claire.id, ORIGIN)
    for code in codes[:7]:
        parts.recovery.prove(claire.id, code, ORIGIN)
    assert not parts.recovery.left(claire.id).is_few
    parts.recovery.prove(claire.id, codes[7], ORIGIN)
    left = parts.recovery.left(claire.id)
    assert (left.count, left.is_few, left.made_at) == (2, True, world.clock.now())


def test_new_codes_end_the_old_ones(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    old = parts.recovery.renew(claire.id, ORIGIN)
    new = parts.recovery.renew(claire.id, ORIGIN)
    assert refused(parts, claire.id, old[0]) == Reason.WRONG_CODE
    assert parts.recovery.prove(claire.id, new[0], ORIGIN)


def test_after_a_reset_it_is_as_if_there_had_never_been_any(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    code, *_ = parts.recovery.renew(claire.id, ORIGIN)
    parts.recovery.prove(claire.id, code, ORIGIN)
    with world.arranging() as tx:
        reset(tx, claire, Author("operator:essai", ORIGIN), reason="téléphone perdu", clock=world.clock)
    left = parts.recovery.left(claire.id)
    assert (left.count, left.made_at) == (0, None)  # so that the next factor comes with new ones
    assert world.last_event("factors.reset")["details"]["recovery_codes"] == 9


def test_one_person_s_code_is_nobody_else_s(world: World, parts: SecondFactors) -> None:
    codes = parts.recovery.renew(world.account("claire").id, ORIGIN)
    enrol_phone(world, parts, "rose")
    parts.recovery.renew(world.account("rose").id, ORIGIN)
    assert refused(parts, world.account("rose").id, codes[0]) == Reason.WRONG_CODE
    assert parts.recovery.prove(world.account("claire").id, codes[0], ORIGIN)


def test_nobody_has_codes_without_a_factor_to_recover(world: World, parts: SecondFactors) -> None:
    with pytest.raises(Refused, match="no_such_factor"):
        parts.recovery.renew(world.account("rose").id, ORIGIN)


@pytest.mark.parametrize("typed", ["", " ", "----", "ÉÀÇ", "U" * 12, "0" * 500])
def test_what_is_no_code_burns_nothing(world: World, parts: SecondFactors, typed: str) -> None:
    claire = world.account("claire")
    parts.recovery.renew(claire.id, ORIGIN)
    assert refused(parts, claire.id, typed) == Reason.WRONG_CODE
    assert parts.recovery.left(claire.id).count == 10


def test_how_many_is_a_setting(make_world: MakeWorld) -> None:
    world = make_world(factors={"recovery_codes": 8})
    parts = open_parts(world)
    enrol_phone(world, parts)
    assert len(parts.recovery.renew(world.account("claire").id, ORIGIN)) == 8
