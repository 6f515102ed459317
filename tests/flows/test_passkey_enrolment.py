"""Adding a passkey: at work and not outside, behind the guard twice; what the browser is asked; each lie in the answer is refused with its reason."""

import json
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.conftest import MakeWorld
from tests.support.authenticator import UP, Authenticator, Lies, cose
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.keyholder import ENROL, FORM, enrolled, keyholder, options_on, passkeys_of
from tests.support.world import World

WEAK_RSA = cose(rsa.generate_private_key(65537, 1024))
WRONG_CURVE = cose(ec.generate_private_key(ec.SECP384R1()))
OFF_THE_CURVE = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"\x01" * 32, -3: b"\x02" * 32})


@pytest.mark.parametrize("algorithm", [-7, -8, -257], ids=["ES256", "EdDSA", "RS256"])
def test_nurse_adds_a_passkey_at_work(world: World, algorithm: int) -> None:
    holder = keyholder(world, algorithm=algorithm)
    page = holder.enrol(label="Mon  téléphone\u202e")
    assert page.status == 200
    (factor_id,) = passkeys_of(world)
    event = world.last_event("factor.enrolled")
    assert (event["account_id"], event["details"]["kind"], event["details"]["opened_by"]) == (
        world.account("claire").id,
        "passkey",
        "place",
    )
    with world.database.read() as tx:
        factor = tx.factors.get(factor_id)
    assert factor is not None
    assert (factor.label, factor.sign_count, factor.is_synced, factor.transports) == ("Mon téléphone", 0, False, "hybrid internal")
    assert factor.enrolled_zone == "tilleuls/lan"
    assert "Mon téléphone" in holder.browser.get("/account/factors").text


def test_what_the_browser_is_asked_says_nothing_of_the_person_that_lasts(world: World) -> None:
    holder = keyholder(world)
    asked = json.loads(options_on(holder.browser.get(ENROL)))
    assert asked["rp"] == {"id": "connexion.example", "name": "Vestibule"}
    assert asked["attestation"] == "none"
    assert [one["alg"] for one in asked["pubKeyCredParams"]] == [-7, -8, -257]
    assert asked["authenticatorSelection"]["userVerification"] == "preferred"
    assert asked["authenticatorSelection"]["residentKey"] == "preferred"
    handle = urlsafe_b64decode(asked["user"]["id"] + "==")
    account = world.account("claire")
    assert len(handle) == 43
    for known in (account.id, account.username, account.email):
        assert known is not None
        assert known.encode() not in handle
    again = json.loads(options_on(holder.browser.get(ENROL)))
    assert again["user"]["id"] == asked["user"]["id"]
    assert again["challenge"] != asked["challenge"]
    assert len(urlsafe_b64decode(asked["challenge"] + "==")) == 32
    other = json.loads(options_on(keyholder(world, "rose").browser.get(ENROL)))
    assert other["user"]["id"] != asked["user"]["id"]


def test_an_authenticator_that_holds_a_passkey_is_not_asked_for_another(world: World) -> None:
    holder = enrolled(world)
    asked = json.loads(options_on(holder.browser.get(ENROL)))
    assert [entry["id"] for entry in asked["excludeCredentials"]] != []
    with pytest.raises(AssertionError, match="InvalidStateError"):
        holder.enrol()
    second = Authenticator(world.issuer)
    holder.authenticator = second
    assert holder.enrol().status == 200
    assert len(passkeys_of(world)) == 2


def test_synchronised_passkey_is_kept_as_such(world: World) -> None:
    enrolled(world, synced=True)
    with world.database.read() as tx:
        factor = tx.factors.get(passkeys_of(world)[0])
    assert factor is not None
    assert factor.is_synced


LIES = [
    ("wrong origin", Lies(origin="https://connexion.example.mechant.example"), "passkey_wrong_origin"),
    ("http origin", Lies(origin="http://connexion.example"), "passkey_wrong_origin"),
    ("a frame", Lies(cross_origin=True), "passkey_wrong_origin"),
    ("another site", Lies(rp_id="mechant.example"), "passkey_wrong_origin"),
    ("invented challenge", Lies(challenge="A" * 43), "passkey_challenge_expired"),
    ("an assertion", Lies(kind="webauthn.get"), "passkey_malformed"),
    ("nobody touched it", Lies(no_flags=UP), "passkey_not_verified"),
    ("unasked attestation", Lies(fmt="fido-u2f"), "passkey_malformed"),
    ("unreadable attestation", Lies(fmt="packed", statement={"alg": -7, "sig": b"no"}), "passkey_malformed"),
    ("maker's certificate", Lies(fmt="packed", statement={"alg": -7, "sig": b"no", "x5c": [b"no"]}), "passkey_malformed"),
    ("statement in none", Lies(statement={"sig": b"no"}), "passkey_malformed"),
    ("weak key", Lies(public_key=WEAK_RSA), "passkey_malformed"),
    ("wrong curve", Lies(public_key=WRONG_CURVE), "passkey_malformed"),
    ("a point off the curve", Lies(public_key=OFF_THE_CURVE), "passkey_malformed"),
    ("no key", Lies(public_key=cbor2.dumps({})), "passkey_malformed"),
    ("guessable credential id", Lies(credential_id=b"court"), "passkey_malformed"),
]


@pytest.mark.parametrize(("lies", "reason"), [(lies, reason) for _, lies, reason in LIES], ids=[name for name, _, _ in LIES])
def test_passkey_is_not_added_when_the_answer_lies(world: World, lies: Lies, reason: str) -> None:
    holder = keyholder(world)
    page = holder.enrol(lies)
    assert page.status == 422
    assert FORM in page.forms  # the page again, with a new challenge
    event = world.last_event("enrolment.refused")
    assert (event["reason"], event["request_id"], event["account_id"]) == (reason, page.support_code, world.account("claire").id)
    assert passkeys_of(world) == []
    assert holder.enrol().status == 200


def test_self_attestation_is_taken(world: World) -> None:
    assert keyholder(world).enrol(Lies(fmt="packed")).status == 200
    assert len(passkeys_of(world)) == 1


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "{}",
        "null",
        "[]",
        "0",
        '"x"',
        "[" * 5000,
        "\u0000",
        '{"id":1}',
        '{"id":"é","rawId":"é","type":"public-key","response":{}}',
        "x" * 20000,
    ],
)
def test_page_is_shown_again_when_the_browser_sends_no_passkey(world: World, credential: str) -> None:
    holder = keyholder(world)
    page = holder.browser.submit(FORM, page=holder.browser.get(ENROL), credential=credential)
    assert page.status == 422
    assert "JavaScript" in page.text
    assert world.last_event("enrolment.refused")["reason"] == "passkey_malformed"


def test_passkey_is_not_added_when_the_page_was_open_too_long(world: World) -> None:
    holder = enrolled(world)  # a passkey that was just given lets another be added for longer than a challenge lasts
    holder.authenticator = Authenticator(world.issuer)
    page = holder.browser.get(ENROL)
    created = holder.authenticator.create(options_on(page))
    world.clock.advance(timedelta(minutes=5, seconds=1))
    page = holder.browser.submit(FORM, page=page, credential=created)
    assert page.status == 422
    assert world.last_event("enrolment.refused")["reason"] == "passkey_challenge_expired"


def test_passkey_is_added_once_when_the_answer_is_sent_twice_at_once(world: World) -> None:
    holder = keyholder(world)
    page = holder.browser.get(ENROL)
    fields = {**page.forms[FORM].fields, "credential": holder.authenticator.create(options_on(page))}
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: holder.browser.request("POST", ENROL, data=fields), range(2)))
    assert len(passkeys_of(world)) == len(world.events("factor.enrolled")) == 1
    # The second is refused for its challenge, or, once the first is written, because whoever has a factor gives it before another; its page likewise.
    reasons = {event["reason"] for event in world.events("enrolment.refused")}
    assert reasons
    assert reasons <= {"passkey_challenge_expired", "enrolment_needs_factor"}


def test_passkey_belongs_to_one_account(world: World) -> None:
    claire = enrolled(world)
    taken = claire.authenticator.passkeys[0].credential_id
    rose = keyholder(world, "rose")
    page = rose.enrol(Lies(credential_id=taken))
    assert page.status == 422
    assert world.last_event("enrolment.refused")["reason"] == "passkey_already_enrolled"
    assert passkeys_of(world, "rose") == []


def test_challenge_of_somebody_else_is_refused(world: World) -> None:
    claire, rose = keyholder(world), keyholder(world, "rose")
    options = options_on(claire.browser.get(ENROL))
    page = rose.browser.submit(FORM, page=rose.browser.get(ENROL), credential=rose.authenticator.create(options))
    assert page.status == 422
    assert world.last_event("enrolment.refused")["reason"] == "passkey_challenge_misplaced"
    # Taken all the same: it serves nobody any more.
    page = claire.browser.submit(FORM, page=claire.browser.get(ENROL), credential=claire.authenticator.create(options))
    assert world.last_event("enrolment.refused")["reason"] == "passkey_challenge_expired"
    assert passkeys_of(world) == passkeys_of(world, "rose") == []


def test_challenge_of_another_browser_is_refused(world: World) -> None:
    here, there = keyholder(world), keyholder(world)
    options = options_on(here.browser.get(ENROL))
    page = there.browser.submit(FORM, page=there.browser.get(ENROL), credential=there.authenticator.create(options))
    assert page.status == 422
    assert world.last_event("enrolment.refused")["reason"] == "passkey_challenge_misplaced"


def test_first_passkey_is_not_added_outside_with_a_password_alone(world: World) -> None:
    holder = keyholder(world)
    page = holder.browser.get(ENROL)
    created = holder.authenticator.create(options_on(page))
    # The same browser, carried home with the page open: the guard is asked again.
    home = world.browser(address=OUTSIDE)
    home.jar = holder.browser.jar
    answer = home.submit(FORM, page=page, credential=created)
    assert (answer.status, world.last_event("signin.refused")["reason"]) == (403, "no_factor_enrolled")
    assert passkeys_of(world) == []
    assert FORM not in home.get(ENROL).forms


def test_first_passkey_is_not_added_when_the_sign_in_is_old(world: World) -> None:
    holder = keyholder(world)
    page = holder.browser.get(ENROL)
    created = holder.authenticator.create(options_on(page))
    world.clock.advance(timedelta(minutes=5))
    world.clock.advance(timedelta(seconds=1))
    page = holder.browser.submit(FORM, page=page, credential=created)
    assert world.last_event("enrolment.refused")["reason"] == "enrolment_sign_in_too_old"
    assert passkeys_of(world) == []
    assert "signin-form" in page.forms


def test_passkeys_are_not_offered_at_a_bare_address(make_world: MakeWorld) -> None:
    world = make_world(issuer="http://127.0.0.1:8400")
    browser = world.browser()
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get("/account"))
    assert page.status == 200
    assert FORM not in browser.get(ENROL).forms
    assert FORM not in world.browser().get("/account").forms


def test_passkeys_are_not_offered_when_the_configuration_has_none(make_world: MakeWorld) -> None:
    world = make_world(factors={"offered": ["totp"]})
    browser = world.browser()
    browser.sign_in("claire.dubois", PASSWORD, page=browser.get("/account"))
    assert FORM not in browser.get(ENROL).forms
    assert world.last_event("enrolment.refused")["account_id"] == world.account("claire").id
