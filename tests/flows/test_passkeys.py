"""Passkeys as a second factor outside: the proof they leave; each lie is refused with its reason, once, and counted where it could be a guess."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.flows.refusal import issued, refusal
from tests.support.authenticator import UP, UV, Authenticator, Lies
from tests.support.keyholder import FORM, at_second_factor, enrolled, options_on, passkeys_of
from tests.support.world import World


def flipped(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


@pytest.mark.parametrize("algorithm", [-7, -8, -257], ids=["ES256", "EdDSA", "RS256"])
def test_nurse_outside_goes_on_with_her_passkey(world: World, algorithm: int) -> None:
    holder = enrolled(world, algorithm=algorithm)
    browser, page = at_second_factor(holder)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.callback is not None
    event = world.last_event("signin.succeeded")
    assert event["zone"] == "outside"
    assert event["amr"] == ["pwd", "pop", "user", "mfa"]
    assert event["acr"] == "phr"


def test_tokens_say_what_the_passkey_proved(world: World) -> None:
    holder = enrolled(world)
    browser = world.browser(address="198.51.100.7")
    party = world.relying_party()
    page = browser.sign_in(holder.username, world.password, page=browser.get(party.begin()))
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    assert (claims["amr"], claims["acr"]) == (["pwd", "pop", "user", "mfa"], "phr")


def test_person_who_was_not_verified_is_still_two_factors_with_the_password(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    assert json.loads(options_on(page))["userVerification"] == "preferred"
    page = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(no_flags=UV)))
    assert page.callback is not None
    with world.database.read() as tx:
        session = max(tx.sessions.open_of(world.account("claire").id), key=lambda one: one.id)
    assert [proof.method for proof in session.proofs] == ["password", "passkey"]
    assert session.proofs[1].factor_id == passkeys_of(world)[0]


def test_only_the_persons_own_passkeys_are_asked(world: World) -> None:
    enrolled(world, "rose")
    holder = enrolled(world)
    _, page = at_second_factor(holder)
    asked = json.loads(options_on(page))
    (allowed,) = asked["allowCredentials"]
    assert allowed["transports"] == ["hybrid", "internal"]
    assert holder.answer(page)
    assert asked["rpId"] == "connexion.example"


LIES = [
    ("wrong origin", Lies(origin="https://mechant.example"), "passkey_wrong_origin"),
    ("a frame", Lies(cross_origin=True), "passkey_wrong_origin"),
    ("signed for another site", Lies(rp_id="mechant.example"), "passkey_wrong_origin"),
    ("invented challenge", Lies(challenge="B" * 43), "passkey_challenge_expired"),
    ("a registration", Lies(kind="webauthn.create"), "passkey_malformed"),
    ("tampered signature", Lies(signature=flipped), "passkey_wrong_signature"),
    ("no signature", Lies(signature=lambda _: b""), "passkey_wrong_signature"),
    ("nobody touched it", Lies(no_flags=UP), "passkey_not_verified"),
    ("unknown credential", Lies(credential_id=b"z" * 32), "passkey_unknown"),
    ("another person's handle", Lies(user_handle="A" * 43), "passkey_of_another_account"),
    ("impossible flags", Lies(flags=0x10), "passkey_wrong_signature"),
    ("counter too low and a wrong signature", Lies(count=0, signature=flipped), "passkey_wrong_signature"),
]


@pytest.mark.parametrize(("lies", "reason"), [(lies, reason) for _, lies, reason in LIES], ids=[name for name, _, _ in LIES])
def test_passkey_is_refused_when_the_answer_lies(world: World, lies: Lies, reason: str) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page, lies))
    event = refusal(world, page, before, type_prefix="factor.refused")
    assert (event["reason"], event["account_id"], event["details"]["kind"]) == (reason, world.account("claire").id, "passkey")
    assert page.status in {403, 422}
    assert world.events("passkey.suspected") == []
    page = browser.submit(FORM, page=page, credential=holder.answer(page))  # the page again, with a new challenge
    assert page.callback is not None


@pytest.mark.parametrize(
    "credential", ["", "{}", "null", "[" * 5000, "\u0000", "x" * 20000], ids=["none", "empty", "null", "deep", "NUL", "long"]
)
def test_page_says_what_else_can_be_done_when_no_passkey_was_sent(world: World, credential: str) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=credential)
    assert refusal(world, page, before, type_prefix="factor.refused")["reason"] == "passkey_malformed"
    assert "JavaScript" in page.text


def test_assertion_serves_once(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    credential = holder.answer(page)
    assert browser.submit(FORM, page=page, credential=credential).callback is not None
    other, page = at_second_factor(holder)
    before = issued(world)
    page = other.submit(FORM, page=page, credential=credential)
    assert refusal(world, page, before, type_prefix="factor.refused")["reason"] == "passkey_challenge_expired"


def test_assertion_serves_once_when_sent_twice_at_once(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    form = page.forms[FORM]
    fields = {**form.fields, "credential": holder.answer(page)}
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: browser.request("POST", form.action, data=fields), range(2)))
    assert len(world.events("factor.refused")) <= 1
    assert 303 in {answer.status_code for answer in answers}


def test_answer_is_refused_when_the_page_was_open_too_long(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    before = issued(world)
    credential = holder.answer(page)
    world.clock.advance(timedelta(minutes=5, seconds=1))
    page = browser.submit(FORM, page=page, credential=credential)
    assert refusal(world, page, before, type_prefix="factor.refused")["reason"] == "passkey_challenge_expired"
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


def test_answer_to_another_page_is_refused(world: World) -> None:
    holder = enrolled(world)
    here, page = at_second_factor(holder)
    _, elsewhere = at_second_factor(holder)
    credential = holder.answer(elsewhere)
    before = issued(world)
    page = here.submit(FORM, page=page, credential=credential)
    assert refusal(world, page, before, type_prefix="factor.refused")["reason"] == "passkey_challenge_misplaced"


def test_passkey_of_another_account_is_refused(world: World) -> None:
    rose, claire = enrolled(world, "rose"), enrolled(world)
    browser, page = at_second_factor(claire)
    before = issued(world)
    stolen = rose.authenticator.get(options_on(page), passkey=rose.authenticator.passkeys[0])
    page = browser.submit(FORM, page=page, credential=stolen)
    event = refusal(world, page, before, type_prefix="factor.refused")
    assert (event["reason"], event["account_id"]) == ("passkey_of_another_account", world.account("claire").id)


def test_removed_passkey_opens_nothing(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    with world.arranging() as tx:
        tx.factors.end(passkeys_of(world)[0], world.clock.now())
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.callback is None
    assert FORM not in page.forms
    assert issued(world) == before


def test_passkey_of_a_suspended_account_is_refused(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    credential = holder.answer(page)
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), status="suspended")
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=credential)
    assert issued(world) == before
    assert page.callback is None


# A copied key


def test_alarm_is_raised_when_the_counter_goes_backwards(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    assert browser.submit(FORM, page=page, credential=holder.answer(page, Lies(count=7))).callback is not None
    browser, page = at_second_factor(holder)
    before = issued(world)
    with capture_logs() as logs:
        page = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(count=7)))
    assert [entry["event_type"] for entry in logs if (entry["event"], entry["log_level"]) == ("alarm", "critical")] == ["passkey.suspected"]
    assert refusal(world, page, before, type_prefix="factor.refused")["reason"] == "passkey_cloned"
    alarm = world.last_event("passkey.suspected")
    assert (alarm["reason"], alarm["account_id"]) == ("passkey_cloned", world.account("claire").id)
    assert (alarm["details"]["count"], alarm["details"]["last_count"]) == (7, 7)
    page = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(count=0)))
    assert world.last_event("factor.refused")["reason"] == "passkey_cloned"
    assert browser.submit(FORM, page=page, credential=holder.answer(page, Lies(count=8))).callback is not None


def test_passkey_without_a_counter_serves_again_and_again(world: World) -> None:
    holder = enrolled(world, synced=True)
    for _ in range(3):
        browser, page = at_second_factor(holder)
        assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None
    assert world.events("passkey.suspected") == []


# Tries


def test_tries_that_could_be_guesses_are_counted(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    for _ in range(5):
        page = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(signature=flipped)))
    if FORM in page.forms:
        page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.callback is None
    assert world.last_event("factor.refused")["reason"] == "throttled"


def test_a_page_left_open_ten_times_blocks_nobody(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    for _ in range(10):
        page = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(challenge="C" * 43)))
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


@pytest.mark.sqlite
def test_nothing_is_admitted_when_challenges_cannot_be_kept(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_second_factor(holder)
    credential, before = holder.answer(page), issued(world)
    world.application.ephemeral.close()
    page = browser.submit(FORM, page=page, credential=credential)
    assert page.status == 503
    assert issued(world) == before


def test_two_passkeys_of_one_person_both_serve(world: World) -> None:
    holder = enrolled(world)
    first = holder.authenticator
    holder.authenticator = Authenticator(world.issuer)
    assert holder.enrol().status == 200
    for authenticator in (first, holder.authenticator):
        holder.authenticator = authenticator
        browser, page = at_second_factor(holder)
        assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None
