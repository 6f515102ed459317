"""Signing in with a passkey and nothing else: the same end as with a password, the person's directory asked first, every refusal with its reason."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued, refusal
from tests.support.authenticator import UV, Authenticator, Lies
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE
from tests.support.keyholder import FORM, Keyholder, at_second_factor, enrolled, keyholder, options_on, passkeys_of
from tests.support.slapd import PASSWORD, Slapd
from tests.support.world import World

BOUND = timedelta(minutes=5)


def flipped(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


def at_sign_in_outside(world: World, **parameters: str) -> tuple[Browser, Page]:
    browser = world.browser(address=OUTSIDE)
    return at_sign_in(world, browser=browser, **parameters)


@pytest.mark.parametrize("address", ["127.0.0.1", OUTSIDE], ids=["at work", "outside"])
def test_nurse_signs_in_with_her_passkey_alone(world: World, address: str) -> None:
    holder = enrolled(world)
    browser, party = world.browser(address=address), world.relying_party()
    page = browser.get(party.begin(scope="openid establishment"))
    asked = json.loads(options_on(page))
    assert (asked["userVerification"], asked["allowCredentials"]) == ("required", [])
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    assert (claims["sub"], claims["amr"], claims["acr"]) == (world.account("claire").id, ["pop", "user", "mfa"], "phr")
    assert claims["auth_time"] == world.clock.timestamp()
    event = world.last_event("signin.succeeded")
    assert (event["account_id"], event["connector"]) == (world.account("claire").id, "local")
    with world.database.read() as tx:
        session = max(tx.sessions.open_of(world.account("claire").id), key=lambda one: one.id)
    assert [(proof.method, proof.factor_id) for proof in session.proofs] == [("passkey_verified", passkeys_of(world)[0])]


def test_person_without_a_password_signs_in(world: World) -> None:
    holder = enrolled(world)
    with world.arranging() as tx:
        tx.connection.exec_driver_sql("DELETE FROM passwords")
    browser, page = at_sign_in_outside(world)
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


def test_person_of_two_homes_is_asked_where_they_work(world: World) -> None:
    holder = keyholder_of_two_homes(world)
    browser, page = at_sign_in_outside(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert "establishment-form" in page.forms


def keyholder_of_two_homes(world: World) -> Keyholder:
    holder = Keyholder(world, "amina", Authenticator(world.issuer), world.browser())
    page = holder.sign_in_at_work()
    holder.browser.submit("establishment-form", page=page, button="tilleuls")
    assert holder.enrol().status == 200
    return holder


def test_password_given_by_somebody_else_must_still_be_changed(world: World) -> None:
    holder = enrolled(world)
    with world.arranging() as tx:
        tx.connection.exec_driver_sql("UPDATE passwords SET must_change = true")
    browser, page = at_sign_in_outside(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert "password-form" in page.forms
    page = browser.submit(
        "password-form", page=page, new_password="Trottinette-Myrtille-81-Phare", confirm_password="Trottinette-Myrtille-81-Phare"
    )
    assert page.callback is not None


LIES = [
    ("wrong origin", Lies(origin="https://mechant.example"), "passkey_wrong_origin"),
    ("another site", Lies(rp_id="mechant.example"), "passkey_wrong_origin"),
    ("invented challenge", Lies(challenge="D" * 43), "passkey_challenge_expired"),
    ("tampered signature", Lies(signature=flipped), "passkey_wrong_signature"),
    ("the person not verified", Lies(no_flags=UV), "passkey_not_verified"),
    ("unknown credential", Lies(credential_id=b"z" * 32), "passkey_unknown"),
    ("another person's handle", Lies(user_handle="A" * 43), "passkey_of_another_account"),
    ("no handle", Lies(no_user_handle=True), "passkey_malformed"),
]


@pytest.mark.parametrize(("lies", "reason"), [(lies, reason) for _, lies, reason in LIES], ids=[name for name, _, _ in LIES])
def test_sign_in_is_refused_when_the_answer_lies(world: World, lies: Lies, reason: str) -> None:
    holder = enrolled(world)
    browser, page = at_sign_in_outside(world)
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page, lies))
    assert page.status == 403
    event = refusal(world, page, before)
    assert (event["reason"], event["client_id"], event["details"]["kind"]) == (reason, "carnet", "passkey")
    assert "signin-form" in page.forms  # the password remains
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


def test_answer_serves_once(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_sign_in_outside(world)
    credential = holder.answer(page)
    assert browser.submit(FORM, page=page, credential=credential).callback is not None
    thief, page = at_sign_in_outside(world)
    before = issued(world)
    page = thief.submit(FORM, page=page, credential=credential)
    assert refusal(world, page, before)["reason"] == "passkey_challenge_expired"


def test_answer_of_another_browser_is_refused(world: World) -> None:
    holder = enrolled(world)
    _, seen = at_sign_in_outside(world)
    thief, page = at_sign_in_outside(world)
    before = issued(world)
    page = thief.submit(FORM, page=page, credential=holder.answer(seen))
    assert refusal(world, page, before)["reason"] == "passkey_challenge_misplaced"


def test_answer_to_the_second_factor_does_not_sign_in(world: World) -> None:
    holder = enrolled(world)
    _, asked = at_second_factor(holder)
    thief, page = at_sign_in_outside(world)
    before = issued(world)
    page = thief.submit(FORM, page=page, credential=holder.answer(asked))
    assert refusal(world, page, before)["reason"] == "passkey_challenge_misplaced"


def test_page_may_stay_open_as_long_as_the_sign_in(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_sign_in_outside(world)
    world.clock.advance(timedelta(minutes=29))
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


def test_passkey_that_was_removed_does_not_sign_in(world: World) -> None:
    holder = enrolled(world)
    with world.arranging() as tx:
        tx.factors.end(passkeys_of(world)[0], world.clock.now())
    browser, page = at_sign_in_outside(world)
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    event = refusal(world, page, before)
    assert (event["reason"], event["account_id"]) == ("passkey_unknown", None)


def test_proof_dies_with_the_passkey_that_gave_it(world: World) -> None:
    holder = keyholder_of_two_homes(world)
    browser, page = at_sign_in_outside(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    with world.arranging() as tx:
        tx.factors.end(passkeys_of(world, "amina")[0], world.clock.now())
    before = issued(world)
    page = browser.submit("establishment-form", page=page, button="tilleuls")
    assert page.callback is None
    assert issued(world) == before


@pytest.mark.parametrize("status", ["suspended", "ended"])
def test_account_that_was_cut_does_not_sign_in(world: World, status: str) -> None:
    holder = enrolled(world)
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), status=status)
    browser, page = at_sign_in_outside(world)
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    event = refusal(world, page, before)
    assert event["reason"] == "account_not_active"
    assert page.status == 403


def test_alarm_is_raised_when_the_counter_goes_backwards(world: World) -> None:
    holder = enrolled(world)
    browser, page = at_sign_in_outside(world)
    assert browser.submit(FORM, page=page, credential=holder.answer(page, Lies(count=9))).callback is not None
    browser, page = at_sign_in_outside(world)
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(count=8)))
    assert refusal(world, page, before)["reason"] == "passkey_cloned"
    assert len(world.events("passkey.suspected")) == 1


def test_passkey_alone_is_not_offered_when_the_configuration_says_so(make_world: MakeWorld) -> None:
    world = make_world(factors={"passwordless": False})
    holder = enrolled(world)
    browser, page = at_sign_in_outside(world)
    assert FORM not in page.forms
    assert "webauthn" not in page.markup
    before = issued(world)
    fields = {"csrf_token": page.forms["signin-form"].fields["csrf_token"], "credential": "{}"}
    page = browser.post(page.forms["signin-form"].action.replace("/login", "/passkey-login"), fields)
    assert refusal(world, page, before)["reason"] == "passkey_not_offered"
    browser, page = at_second_factor(holder)
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


def test_field_offers_passkeys_except_where_people_follow_one_another(world: World) -> None:
    page = at_sign_in(world)[1]
    assert page.forms["signin-form"].autocomplete["identifier"] == "username webauthn"
    assert "data-autofill" in page.markup
    with world.arranging() as tx:
        tx.connection.exec_driver_sql("UPDATE zones SET kind = 'shared_workstation'")
        tx.revisions.advance("zones")
    world.clock.advance(timedelta(seconds=2))  # the edge may look once a second
    page = at_sign_in(world)[1]
    assert "webauthn" not in page.forms["signin-form"].autocomplete.get("identifier", "")
    assert "data-autofill" not in page.markup
    assert FORM in page.forms


# People of a directory


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> Iterator[World]:
    """The world's two homes, their people in a directory."""
    return make_world(directories=[slapd.settings()])


def directory_holder(world: World) -> Authenticator:
    """d.claire, who added a passkey at work."""
    browser, authenticator = world.browser(), Authenticator(world.issuer)
    browser.sign_in("d.claire", PASSWORD, page=browser.get("/account"))
    page = browser.get("/account/factors/passkey")
    page = browser.submit(FORM, page=page, credential=authenticator.create(options_on(page)))
    assert page.status == 200
    return authenticator


def sign_in_with(world: World, authenticator: Authenticator) -> Page:
    browser, page = at_sign_in_outside(world)
    return browser.submit(FORM, page=page, credential=authenticator.get(options_on(page)))


def test_person_of_a_directory_signs_in_and_belongs_to_it(homes: World) -> None:
    authenticator = directory_holder(homes)
    assert sign_in_with(homes, authenticator).callback is not None
    assert homes.last_event("signin.succeeded")["connector"] == "annuaire"


def test_directory_is_asked_however_fresh_its_word(homes: World, slapd: Slapd) -> None:
    authenticator = directory_holder(homes)
    slapd.disable("d.claire")
    before = issued(homes)
    page = sign_in_with(homes, authenticator)
    assert refusal(homes, page, before)["reason"] == "account_not_active"
    assert homes.last_event("account.suspended")["reason"] == "directory_disabled"


def test_person_whom_strangers_locked_out_of_the_directory_signs_in(homes: World, slapd: Slapd) -> None:
    authenticator = directory_holder(homes)
    slapd.lock("d.claire")
    assert sign_in_with(homes, authenticator).callback is not None


def test_silent_directory_is_believed_within_the_bound_and_not_after(homes: World, slapd: Slapd) -> None:
    authenticator = directory_holder(homes)
    slapd.stop()
    try:
        assert sign_in_with(homes, authenticator).callback is not None
        homes.clock.advance(BOUND + timedelta(seconds=1))
        before = issued(homes)
        page = sign_in_with(homes, authenticator)
        assert page.status == 503
        assert refusal(homes, page, before)["reason"] == "directory_unreachable"
    finally:
        slapd.start()


def test_person_who_was_never_seen_here_learns_nothing(world: World) -> None:
    stranger = Authenticator(world.issuer)
    keyholder(world)
    browser, page = at_sign_in_outside(world)
    options = json.loads(options_on(page))
    made = {"rp": {"id": options["rpId"]}, "user": {"id": "QUFBQQ"}, "challenge": options["challenge"], "excludeCredentials": []}
    stranger.create(json.dumps({**made, "pubKeyCredParams": [{"alg": -7}]}))
    before = issued(world)
    page = browser.submit(FORM, page=page, credential=stranger.get(json.dumps(options)))
    event = refusal(world, page, before)
    assert (event["reason"], event["account_id"]) == ("passkey_unknown", None)
