"""TOTP: what is offered, which codes are right, when, and how often. RFC 6238, RFC 4226."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from idp.audit import Reason
from idp.signin.enrolment import EnrolmentRefused
from idp.signin.factor import FactorRefused
from idp.signin.factor_throttle import FAILURES
from idp.signin.second_factors import SecondFactors
from idp.signin.totp import SEAL
from idp.store.ephemeral import open_ephemeral
from policies.assurance import Method
from tests.support.second_factors import ORIGIN, Phone, asking, enrol_phone, open_parts
from tests.support.world import World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def parts(world: World) -> SecondFactors:
    """The parts that guard, count, add and prove."""
    return open_parts(world)


def refused(parts: SecondFactors, account_id: str, code: str) -> FactorRefused:
    """A try that must fail."""
    with pytest.raises(FactorRefused) as raised:
        parts.totp.prove(account_id, code, ORIGIN)
    return raised.value


def test_the_offer_is_what_authenticator_applications_read(world: World, parts: SecondFactors) -> None:
    offer = parts.totp.begin(world.account("claire"))
    uri = urlsplit(offer.uri)
    query = parse_qs(uri.query)
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert query["issuer"] == ["Vestibule"]
    assert query["secret"] == [offer.secret]
    assert len(offer.secret) == 32  # 160 bits (RFC 4226 section 4, R6)
    # What is not said is the default that every application knows: SHA-1, six digits, thirty seconds.
    assert {name: query[name] for name in ("algorithm", "digits", "period") if name in query} == {}
    assert uri.path.endswith(":claire.dubois")
    assert re.fullmatch(r"([A-Z2-7]{4} ){7}[A-Z2-7]{4}", offer.typed)


def test_the_qr_code_is_drawn_here_without_anything_a_strict_page_forbids(world: World, parts: SecondFactors) -> None:
    svg = parts.totp.begin(world.account("claire")).svg
    assert svg.startswith("<svg ")
    assert not re.search(r"style=|<script|href=|http", svg)


def test_nothing_is_kept_of_an_offer_that_nobody_takes(world: World, parts: SecondFactors) -> None:
    parts.totp.begin(world.account("claire"))
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == ()


def test_a_factor_is_added_after_a_right_code_only(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    offer = parts.totp.begin(claire)
    phone = Phone(offer.secret)
    wrong = "000000" if phone.code(world.clock) != "000000" else "000001"
    with pytest.raises(FactorRefused, match="wrong_code"):
        parts.totp.enrol(asking(world), offer.token, wrong, label="", origin=ORIGIN)
    assert parts.totp.again(claire, offer.token).secret == offer.secret
    factor, proof = parts.totp.enrol(asking(world), offer.token, phone.code(world.clock), label="  Mon \n téléphone ", origin=ORIGIN)
    assert (factor.label, factor.enrolled_zone, factor.kind) == ("Mon téléphone", "tilleuls/lan", "totp")
    assert (proof.method, proof.factor_id) == (Method.TOTP, factor.id)
    enrolled = world.last_event("factor.enrolled")
    assert enrolled["details"] == {"kind": "totp", "factor": factor.id, "opened_by": "place", "first": True}
    assert enrolled["account_id"] == claire.id


def test_the_code_that_enrolled_does_not_sign_in(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    offer = parts.totp.begin(claire)
    code = Phone(offer.secret).code(world.clock)
    parts.totp.enrol(asking(world), offer.token, code, label="", origin=ORIGIN)
    assert refused(parts, claire.id, code).reason == Reason.CODE_ALREADY_USED


def test_an_offer_is_taken_once_by_its_own_person_and_for_a_while(world: World, parts: SecondFactors) -> None:
    offer = parts.totp.begin(world.account("claire"))
    code = Phone(offer.secret).code(world.clock)
    for person, token in (("rose", offer.token), ("claire", offer.token[:-2] + "AA"), ("claire", ""), ("claire", "x.é")):
        with pytest.raises(FactorRefused, match="offer_expired"):
            parts.totp.enrol(asking(world, person), token, code, label="", origin=ORIGIN)
    parts.totp.enrol(asking(world), offer.token, code, label="", origin=ORIGIN)
    world.clock.advance(MINUTE)
    again = asking(world, proved_ago=timedelta(0))
    with pytest.raises(EnrolmentRefused, match="offer_expired"):
        parts.totp.enrol(again, offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)
    late = parts.totp.begin(world.account("rose"))
    world.clock.advance(timedelta(minutes=21))
    with pytest.raises(FactorRefused, match="offer_expired"):
        parts.totp.enrol(asking(world, "rose"), late.token, Phone(late.secret).code(world.clock), label="", origin=ORIGIN)
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("rose").id) == ()


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_is_right_one_step_around_now(world: World, parts: SecondFactors, steps: int) -> None:
    phone = enrol_phone(world, parts)
    world.clock.advance(10 * MINUTE)
    proof = parts.totp.prove(world.account("claire").id, phone.code(world.clock, steps=steps), ORIGIN)
    assert proof.method == Method.TOTP
    assert proof.at == world.clock.now()


def test_people_put_spaces_in_codes(world: World, parts: SecondFactors) -> None:
    phone = enrol_phone(world, parts)
    code = phone.code(world.clock)
    assert parts.totp.prove(world.account("claire").id, f" {code[:3]}\u00a0{code[3:]} ", ORIGIN)


def test_a_step_serves_once_and_no_earlier_one_serves_after_it(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    world.clock.advance(10 * MINUTE)
    earlier, now = phone.code(world.clock, steps=-1), phone.code(world.clock)
    parts.totp.prove(claire.id, now, ORIGIN)
    assert refused(parts, claire.id, now).reason == Reason.CODE_ALREADY_USED
    assert refused(parts, claire.id, earlier).reason == Reason.CODE_ALREADY_USED
    assert world.last_event("factor.refused")["reason"] == "code_already_used"
    assert parts.totp.prove(claire.id, phone.code(world.clock, steps=1), ORIGIN)


def test_that_a_step_has_served_is_not_forgotten_with_the_ephemeral_store(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    code = phone.code(world.clock)
    parts.totp.prove(claire.id, code, ORIGIN)
    if world.stores.redis is not None:
        world.stores.redis.empty()
    else:
        for file in world.folder.glob("ephemeral.db*"):
            file.unlink()
    fresh = open_ephemeral(world.config.ephemeral, world.clock)
    assert fresh.peek(FAILURES, "anything") == 0
    assert refused(open_parts(world, ephemeral=fresh), claire.id, code).reason == Reason.CODE_ALREADY_USED
    fresh.close()


@pytest.mark.parametrize("minutes", [-9, -2, 2, 9])
def test_a_wrong_clock_is_told_apart_and_is_still_a_refusal(world: World, parts: SecondFactors, minutes: int) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    world.clock.advance(30 * MINUTE)
    found = refused(parts, claire.id, Phone(phone.secret, minutes * MINUTE).code(world.clock))
    assert found.reason == Reason.TOTP_CLOCK_DRIFT
    assert found.tries_left == 4
    assert world.last_event("factor.refused")["reason"] == "totp_clock_drift"


def test_a_code_of_an_hour_ago_is_simply_wrong(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    world.clock.advance(60 * MINUTE)
    assert refused(parts, claire.id, Phone(phone.secret, -11 * MINUTE).code(world.clock)).reason == Reason.WRONG_CODE


def test_a_code_that_was_told_to_be_of_the_future_does_not_serve_when_its_time_comes(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    guessed = phone.code(world.clock, steps=6)
    assert refused(parts, claire.id, guessed).reason == Reason.TOTP_CLOCK_DRIFT
    world.clock.advance(3 * MINUTE)
    assert phone.code(world.clock) == guessed
    assert refused(parts, claire.id, guessed).reason == Reason.CODE_ALREADY_USED
    world.clock.advance(timedelta(seconds=30))
    assert parts.totp.prove(claire.id, phone.code(world.clock), ORIGIN)


def test_one_person_s_code_is_nobody_else_s(world: World, parts: SecondFactors) -> None:
    phone = enrol_phone(world, parts)
    enrol_phone(world, parts, "rose")
    world.clock.advance(MINUTE)
    assert refused(parts, world.account("rose").id, phone.code(world.clock)).reason == Reason.WRONG_CODE
    assert refused(parts, world.account("hugo").id, phone.code(world.clock)).reason == Reason.NO_SUCH_FACTOR


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "abcdef", "１２３４５", "12 34 56 78", "\u0661\u0662\u0663\u0664\u0665\u0666", "\x00" * 6]
)
def test_what_is_no_code_is_wrong(world: World, parts: SecondFactors, typed: str) -> None:
    enrol_phone(world, parts)
    assert refused(parts, world.account("claire").id, typed).reason == Reason.WRONG_CODE


def test_each_of_several_telephones_serves(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    first = enrol_phone(world, parts)
    offer = parts.totp.begin(claire)
    second = Phone(offer.secret)
    added, _ = parts.totp.enrol(
        asking(world, proved_ago=timedelta(0)), offer.token, second.code(world.clock), label="Tablette", origin=ORIGIN
    )
    world.clock.advance(MINUTE)
    assert parts.totp.prove(claire.id, first.code(world.clock), ORIGIN).factor_id != added.id
    assert parts.totp.prove(claire.id, second.code(world.clock), ORIGIN).factor_id == added.id


def test_a_removed_telephone_serves_no_more(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    with world.arranging() as tx:
        (factor,) = tx.factors.open_of(claire.id)
        assert tx.factors.end(factor.id, world.clock.now())
    assert refused(parts, claire.id, phone.code(world.clock)).reason == Reason.NO_SUCH_FACTOR


def test_the_secret_is_sealed_to_its_factor(world: World, parts: SecondFactors) -> None:
    phone = enrol_phone(world, parts)
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(world.account("claire").id)
    raw = pyotp.TOTP(phone.secret).byte_secret()
    assert factor.sealed is not None
    assert raw not in factor.sealed
    assert world.application.keyring.unseal(SEAL, factor.sealed, factor.id) == raw


def test_what_an_offer_holds_is_not_shown_by_a_traceback(world: World, parts: SecondFactors) -> None:
    offer = parts.totp.begin(world.account("claire"))
    assert offer.secret not in repr(offer)
    assert offer.secret not in offer.token
