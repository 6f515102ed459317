"""Codes by SMS and e-mail: asked for, carried by a real HTTPS service or mail server, typed once; numbers and addresses proven before they count."""

import re
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Reason
from idp.signin.code_offer import CodeOffer
from idp.signin.enrolment import EnrolmentRefused
from idp.signin.factor import FactorProof, FactorRefused
from idp.store.base import Factor
from policies.assurance import Method
from tests.conftest import MakeRoom, MakeWorld
from tests.support.messaging import HINT, NUMBER, ORIGIN, Messaging
from tests.support.second_factors import OUTSIDE
from tests.support.sms_gateway import Answer, SmsGateway
from tests.support.smtp import SmtpServer

MINUTE = timedelta(minutes=1)


@pytest.fixture
def room(make_room: MakeRoom, gateway: SmsGateway, smtp: SmtpServer) -> Messaging:
    return make_room(sms=gateway.settings(), mail=smtp.settings(), factors={"offered": ["sms", "email"]})


def refusal(caught: "pytest.ExceptionInfo[FactorRefused]") -> tuple[str, int | None]:
    return caught.value.reason, caught.value.tries_left


def asked(room: Messaging, factor: Factor) -> None:
    """A code is sent to the factor and delivered; the minute before another may be asked is over."""
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.deliver()
    room.world.clock.advance(MINUTE)


def prove(room: Messaging, factor: Factor, typed: str) -> FactorRefused | None:
    """None when the code proved the factor."""
    try:
        room.codes.prove(factor.account_id, factor, typed, origin=ORIGIN)
    except FactorRefused as refused:
        return refused
    return None


# SMS


def test_a_nurse_types_the_code_that_her_telephone_received(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    sent = room.codes.send(factor.account_id, factor, ORIGIN)
    assert (sent.kind, sent.hint) == ("sms", HINT)
    assert sent.resend_at - room.world.clock.now() == MINUTE
    assert gateway.asked == ()  # not on the request's time
    assert room.deliver() == 1
    (request,) = gateway.asked
    assert request.json["to"] == NUMBER
    room.world.clock.advance(MINUTE)
    proof = room.codes.prove(factor.account_id, factor, gateway.code(), origin=ORIGIN)
    assert (proof.account_id, proof.method, proof.factor_id, proof.at) == (factor.account_id, Method.SMS, factor.id, room.world.clock.now())
    with room.world.database.read() as tx:
        kept = tx.factors.get(factor.id)
    assert kept is not None
    assert kept.last_used_at == room.world.clock.now()


def test_a_nurse_may_type_the_code_with_spaces(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    asked(room, factor)
    code = gateway.code()
    assert prove(room, factor, f" {code[:3]} {code[3:]} ") is None


def test_a_code_serves_once(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    asked(room, factor)
    assert prove(room, factor, gateway.code()) is None
    again = prove(room, factor, gateway.code())
    assert again is not None
    assert again.reason == Reason.CODE_NOT_OPEN
    assert room.world.last_event("factor.refused")["reason"] == "code_not_open"


def test_a_code_is_good_for_ten_minutes(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    asked(room, factor)
    room.world.clock.advance(8 * MINUTE + timedelta(seconds=59))
    assert room.codes.sent(factor.account_id, factor) is not None
    assert prove(room, factor, gateway.code()) is None
    asked(room, factor)
    room.world.clock.advance(9 * MINUTE)
    late = prove(room, factor, gateway.code())
    assert late is not None
    assert late.reason == Reason.CODE_NOT_OPEN
    assert room.codes.sent(factor.account_id, factor) is None


def test_a_newer_code_replaces_the_one_before(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    asked(room, factor)
    first = gateway.code()
    asked(room, factor)
    if first != gateway.code():
        refused = prove(room, factor, first)
        assert refused is not None
        assert (refused.reason, refused.tries_left) == (Reason.WRONG_CODE, 4)
    assert prove(room, factor, gateway.code()) is None


def test_a_code_falls_after_five_wrong_tries(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    asked(room, factor)
    right = gateway.code()
    wrong = f"{(int(right) + 1) % 10**6:06}"
    left = [refused.tries_left for _ in range(5) if (refused := prove(room, factor, wrong))]
    assert left == [4, 3, 2, 1, 0]
    room.world.clock.advance(2 * MINUTE)  # past the wait that the throttle asks
    fallen = prove(room, factor, right)
    assert fallen is not None
    assert fallen.reason == Reason.CODE_NOT_OPEN
    assert [line["reason"] for line in room.world.events("factor.refused")] == ["wrong_code"] * 5 + ["code_not_open"]


def test_another_code_is_not_sent_before_a_minute(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.world.clock.advance(timedelta(seconds=20))
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(factor.account_id, factor, ORIGIN)
    assert caught.value.reason == Reason.CODE_TOO_SOON
    assert caught.value.wait == timedelta(seconds=40)
    assert room.deliver() == 1
    assert prove(room, factor, gateway.code()) is None  # the first is still good
    assert room.world.last_event("code.refused")["details"] == {"kind": "sms"}


def test_a_person_is_sent_five_sms_a_day_whatever_the_ephemeral_store_forgets(room: Messaging, gateway: SmsGateway) -> None:
    factor, other = room.factor(), room.factor(address="+33700000099", hint="07 ** ** ** 99")
    for turn in range(5):
        asked(room, factor if turn % 2 else other)
    room.ephemeral.forget("code.asked", factor.id)
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(factor.account_id, factor, ORIGIN)
    assert caught.value.reason == Reason.CODES_OF_THE_DAY
    assert len(gateway.asked) == 5
    assert room.world.last_event("code.refused")["reason"] == "codes_of_the_day"
    room.world.clock.advance(timedelta(hours=24))
    room.codes.send(factor.account_id, factor, ORIGIN)


def test_no_sms_is_sent_when_the_month_has_cost_enough(make_world: MakeWorld, gateway: SmsGateway) -> None:
    room = Messaging(make_world(sms=gateway.settings(price=0.10, monthly_cap=0.20)))
    factor, other = room.factor(), room.factor("karim")
    asked(room, factor)
    asked(room, factor)
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(other.account_id, other, ORIGIN)
    assert caught.value.reason == Reason.MESSAGES_COST_CAP
    room.world.clock.advance(timedelta(days=8))  # the first of December, in Paris
    room.codes.send(other.account_id, other, ORIGIN)
    room.close()


def test_an_establishment_has_a_cap_of_its_own(make_world: MakeWorld, gateway: SmsGateway) -> None:
    room = Messaging(make_world(sms=gateway.settings(price=0.10, monthly_cap_establishment=0.10)))
    factor, other = room.factor(), room.factor("karim")
    tilleuls, glycines = (room.world.establishment(slug).id for slug in ("tilleuls", "glycines"))
    room.codes.send(factor.account_id, factor, ORIGIN, establishment_id=tilleuls)
    room.world.clock.advance(MINUTE)
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(factor.account_id, factor, ORIGIN, establishment_id=tilleuls)
    assert caught.value.reason == Reason.MESSAGES_COST_CAP
    room.codes.send(other.account_id, other, ORIGIN, establishment_id=glycines)
    room.close()


def test_what_the_gateway_surely_refused_costs_nothing(make_world: MakeWorld, gateway: SmsGateway) -> None:
    room = Messaging(make_world(sms=gateway.settings(price=0.10, monthly_cap=0.10)))
    factor = room.factor()
    gateway.answers.append(Answer(422, '{"error": "number"}'))
    asked(room, factor)
    assert [message.cost_micros for message in room.messages()] == [0]
    asked(room, factor)
    assert len(gateway.asked) == 2
    room.close()


def test_an_sms_is_one_part_bound_to_our_host_and_says_to_give_it_to_nobody(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.world.clock.advance(MINUTE)
    room.codes.send(factor.account_id, factor, ORIGIN, language="en")
    room.deliver()
    for text in gateway.texts:
        code = text[:6]
        assert re.fullmatch(r"\d{6}", code)
        assert text.endswith(f"\n@connexion.example #{code}")
        assert len(text) <= 160
    french, english = sorted(gateway.texts, key=lambda text: "is your" in text)
    assert "Ne le donnez à personne" in french
    assert "Give it to nobody" in english


def test_nobody_is_sent_a_code_when_no_gateway_is_set(make_world: MakeWorld) -> None:
    room = Messaging(make_world())
    factor = room.factor()
    assert not room.codes.is_set("sms")
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(factor.account_id, factor, ORIGIN)
    assert caught.value.reason == Reason.MESSAGES_NOT_SET
    room.close()


def test_a_suspended_person_is_sent_nothing(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor("paul")
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(factor.account_id, factor, ORIGIN)
    assert caught.value.reason == Reason.ACCOUNT_NOT_ACTIVE
    assert room.messages() == ()


def test_a_code_does_not_prove_a_factor_that_was_removed_meanwhile(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    asked(room, factor)
    with room.world.arranging() as tx:
        tx.factors.end(factor.id, room.world.clock.now())
    refused = prove(room, factor, gateway.code())
    assert refused is not None
    assert refused.reason == Reason.NO_SUCH_FACTOR


# E-mail


def test_a_code_by_mail_is_a_second_step_and_says_so(room: Messaging, smtp: SmtpServer) -> None:
    factor = room.factor(kind="email", address="claire.perso@courriel.example", hint="c***@c***.example")
    before = len(smtp.mails())
    sent = room.codes.send(factor.account_id, factor, ORIGIN)
    assert sent.hint == "c***@c***.example"
    assert room.deliver() == 1
    mail = smtp.mails()[before:][-1]
    assert mail["To"] == "claire.perso@courriel.example"
    code = re.search(r"^  (\d{6})$", mail.get_content(), re.MULTILINE)
    assert code is not None
    assert code[1] not in mail["Subject"]
    proof = room.codes.prove(factor.account_id, factor, code[1], origin=ORIGIN)
    assert proof.method == Method.EMAIL


# A telephone that is to become a factor


def begin(room: Messaging, typed: str = NUMBER, person: str = "claire", **position: Any) -> CodeOffer:
    """Ask for a code to a number that is to become a factor."""
    return room.offers.begin(room.asking(person, **position), "sms", typed, origin=ORIGIN)


def enrol(room: Messaging, code: str, person: str = "claire") -> tuple[Factor, FactorProof]:
    """Type the code."""
    return room.offers.enrol(room.asking(person), "sms", code, label="  Mon téléphone ", origin=ORIGIN)


def factors(room: Messaging) -> tuple[Factor, ...]:
    """Claire's."""
    with room.world.database.read() as tx:
        return tx.factors.open_of(room.world.account("claire").id)


@pytest.mark.parametrize("typed", ["06 12 34 56 42", "+33 6 12 34 56 42", "0033612345642", "06.12.34.56.42"])
def test_a_nurse_adds_her_telephone_with_the_code_it_received(room: Messaging, gateway: SmsGateway, typed: str) -> None:
    assert begin(room, typed).hint == HINT
    assert factors(room) == ()
    room.deliver()
    assert gateway.asked[-1].json["to"] == NUMBER
    factor, proof = enrol(room, gateway.code())
    assert (factor.kind, factor.hint, factor.label) == ("sms", HINT, "Mon téléphone")
    assert (proof.method, proof.factor_id) == (Method.SMS, factor.id)
    assert factors(room) == (factor,)
    assert room.world.last_event("factor.enrolled")["details"]["kind"] == "sms"
    assert room.offers.pending(factor.account_id, "sms") is None
    room.world.clock.advance(MINUTE)
    asked(room, factor)
    assert gateway.asked[-1].json["to"] == NUMBER
    assert prove(room, factor, gateway.code()) is None


def test_a_wrong_code_adds_nothing_and_the_offer_stays(room: Messaging, gateway: SmsGateway) -> None:
    begin(room)
    room.deliver()
    right = gateway.code()
    with pytest.raises(FactorRefused) as caught:
        enrol(room, f"{(int(right) + 1) % 10**6:06}")
    assert caught.value.reason == Reason.WRONG_CODE
    assert factors(room) == ()
    pending = room.offers.pending(room.world.account("claire").id, "sms")
    assert pending is not None
    assert pending.sent is not None
    assert pending.hint == HINT
    enrol(room, right)


def test_a_nurse_asks_for_another_code_for_the_same_number(room: Messaging, gateway: SmsGateway) -> None:
    begin(room)
    with pytest.raises(FactorRefused) as caught:
        room.offers.resend(room.asking(), "sms", origin=ORIGIN)
    assert caught.value.reason == Reason.CODE_TOO_SOON
    room.world.clock.advance(MINUTE)
    room.offers.resend(room.asking(), "sms", origin=ORIGIN)
    room.deliver()
    assert len(gateway.asked) == 2
    newest = {asked.json["reference"]: asked.json["text"][:6] for asked in gateway.asked}[room.messages()[0].id]
    factor, _ = enrol(room, newest)
    assert factor.hint == HINT


def test_another_number_does_not_spare_the_minute(room: Messaging) -> None:
    begin(room)
    with pytest.raises(FactorRefused) as caught:
        begin(room, "07 00 00 00 99")
    assert caught.value.reason == Reason.CODE_TOO_SOON


def test_a_nurse_who_mistyped_her_number_gives_another(room: Messaging, gateway: SmsGateway) -> None:
    begin(room, "07 00 00 00 99")
    room.deliver()
    wrong = gateway.code()
    room.world.clock.advance(MINUTE)
    room.offers.drop(room.world.account("claire").id, "sms")
    begin(room)
    room.deliver()
    if wrong != gateway.code():
        with pytest.raises(FactorRefused):
            enrol(room, wrong)
    assert enrol(room, gateway.code())[0].hint == HINT


@pytest.mark.parametrize("typed", ["08 92 70 12 34", "01 23 45 67 89", "+1 212 555 0100", "06 12 34", "+336123456789", "a", ""])
def test_a_number_that_is_no_french_mobile_is_refused(room: Messaging, typed: str) -> None:
    with pytest.raises(FactorRefused) as caught:
        begin(room, typed)
    assert caught.value.reason == Reason.NUMBER_NOT_SERVED
    assert room.messages() == ()
    assert room.world.last_event("code.refused")["reason"] == "number_not_served"


def test_nothing_is_sent_to_a_number_that_may_not_be_added_from_there(room: Messaging) -> None:
    with pytest.raises(EnrolmentRefused) as caught:
        begin(room, where=OUTSIDE)
    assert caught.value.reason == Reason.ENROLMENT_NEEDS_TRUSTED_ZONE
    assert room.messages() == ()


def test_an_offer_is_over_after_twenty_minutes(room: Messaging, gateway: SmsGateway) -> None:
    begin(room)
    room.deliver()
    room.world.clock.advance(21 * MINUTE)
    with pytest.raises(FactorRefused) as caught:
        enrol(room, gateway.code())
    assert caught.value.reason == Reason.OFFER_EXPIRED


def test_an_offer_serves_once(room: Messaging, gateway: SmsGateway) -> None:
    begin(room)
    room.deliver()
    enrol(room, gateway.code())
    with pytest.raises((FactorRefused, EnrolmentRefused)):
        room.offers.enrol(room.asking(proved_ago=timedelta(0)), "sms", gateway.code(), label="", origin=ORIGIN)


def test_the_directory_s_number_is_proposed_as_people_write_it(room: Messaging) -> None:
    assert room.offers.proposal(room.world.account("claire"), "sms") == "0600000042"
    assert room.offers.proposal(room.world.account("karim"), "sms") is None
    assert room.offers.proposal(room.world.account("claire"), "email") == "claire.dubois@tilleuls.example"
