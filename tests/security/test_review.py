"""Ways to a wrong "yes" that a review found, each closed: proofs that outlive what they proved, claims nobody agreed to, doors closed meanwhile.

RFC 9700 sections 2.1 and 4.14, RFC 7662 section 2.2, RFC 8252 section 7.3, RFC 8707 section 2.2, OpenID Connect Core sections 3.1.2.4 and 5.5.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from idp.audit import Author, Origin, Reason
from idp.config import ClientSettings
from idp.crypto import PasswordHasher, digest
from idp.people import attachments as people_attachments
from idp.people import passwords as people_passwords
from idp.registry import end_client
from idp.store.base import Account
from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.cast import PASSWORD
from tests.support.refusals import assert_token_refused, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import World

OPERATOR = Author("operator:test", Origin("0000000000", "local"))
RESET = "Pivoine-Funiculaire-38-Hermine"
CHOSEN = "Bruyère-Autocar-74-Mésange"


def set_password(world: World, account: Account, password: str, *, must_change: bool = True) -> None:
    """What `vestibule account set-password` does."""
    encoded = PasswordHasher(world.clock, concurrency=1).hash(password)
    with world.arranging() as tx:
        people_passwords.write(tx, account, encoded, OPERATOR, must_change=must_change, clock=world.clock)


def change_registration(world: World, key: str, **values: object) -> None:
    """What an operator does to a client, without a new secret."""
    registered = world.registered[key]
    settings = ClientSettings.model_validate({**registered.settings.model_dump(), **values})
    with world.arranging() as tx:
        present = tx.clients.get(key)
        assert present is not None
        tx.clients.put(settings, secret_digest=present.secret_digest, source="operator", now=world.clock.now())


def begin(world: World, browser: Browser, party: RelyingParty, person: str, **parameters: str) -> Page:
    """A sign-in up to the page that follows the password."""
    page = browser.get(party.begin(**parameters))
    return browser.sign_in(world.person(person).username, PASSWORD, page=page)


# Proofs that outlive what they proved


def test_whoever_knew_the_old_password_cannot_choose_a_new_one_when_an_operator_replaced_it(world: World) -> None:
    browser, party = world.browser(), world.relying_party()
    page = begin(world, browser, party, "lea")
    assert "password-form" in page.forms
    world.clock.advance(timedelta(minutes=1))
    set_password(world, world.account("lea"), RESET)
    with nothing_issued(world):
        page = browser.submit("password-form", page=page, new_password=CHOSEN, confirm_password=CHOSEN)
    assert page.callback is None
    assert world.events("password.changed") == []
    other = world.browser()
    page = other.get(party.begin())
    assert "password-form" in other.sign_in("lea.moreau", RESET, page=page).forms


def test_old_password_opens_nothing_when_it_was_replaced_before_the_proof_but_written_after(world: World) -> None:
    """A change takes its instant before it commits: a try in between reads the old hash, and is younger than the change."""
    browser, party = world.browser(), world.relying_party()
    page = begin(world, browser, party, "amina")
    assert "establishment-form" in page.forms
    encoded = PasswordHasher(world.clock, concurrency=1).hash(RESET)
    with world.arranging() as tx:
        account = world.account("amina")
        tx.people.set_password(account.id, encoded, must_change=False, now=world.clock.now() - timedelta(seconds=1))
    with nothing_issued(world):
        page = browser.submit("establishment-form", page=page, button="tilleuls")
    assert page.callback is None
    assert "signin-form" in page.forms
    assert world.last_event("signin.restarted")["reason"] == "credential_changed"


def test_next_person_at_the_browser_proves_themselves_when_the_last_one_signed_out(world: World) -> None:
    """A page left half way in another tab holds a proof: signing out takes it back."""
    browser = world.browser()
    half_way = begin(world, browser, world.relying_party("carnet"), "amina")
    assert "establishment-form" in half_way.forms
    world.clock.advance(timedelta(minutes=1))
    world.sign_in("amina", "autre", browser=browser, establishment="tilleuls")
    world.clock.advance(timedelta(minutes=1))
    browser.get("/account")
    browser.press("account-signout")
    with nothing_issued(world):
        page = browser.get(half_way.url)
        assert "signin-form" in page.forms, page
        page = browser.post(
            half_way.forms["establishment-form"].action, {**half_way.forms["establishment-form"].fields, "establishment": "tilleuls"}
        )
        assert page.callback is None


def test_page_left_open_goes_on_when_somebody_signed_out_before_the_password(world: World) -> None:
    browser, party = world.browser(), world.relying_party()
    world.sign_in("claire", browser=browser)
    page = browser.get(party.begin(prompt="login"))
    world.clock.advance(timedelta(minutes=1))
    browser.get("/account")
    browser.press("account-signout")
    world.clock.advance(timedelta(minutes=1))
    page = browser.get(page.url)
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


def test_agreement_of_one_person_is_not_another_s_when_both_use_one_page(world: World) -> None:
    browser, party = world.browser(), world.relying_party("curieux")
    world.sign_in("claire", browser=browser)
    sign_in_page = browser.get(party.begin(prompt="login"))
    consent = browser.get(party.begin(prompt="consent"))
    form = consent.forms["consent-form"]
    answered = browser.request("POST", form.action, data=form.fields, headers={"Origin": world.issuer})
    assert answered.status_code == 303
    login = form.action.replace("/consent", "/login")
    fields = {"identifier": "rose.marchand", "password": PASSWORD, "csrf_token": sign_in_page.forms["signin-form"].fields["csrf_token"]}
    page = browser.post(login, fields)
    assert "consent-form" in page.forms, page
    assert world.events("consent.given") == []


def test_lost_device_gets_no_more_tokens_when_its_session_is_closed_from_elsewhere(world: World) -> None:
    lost = world.sign_in("claire", scope="openid offline_access")
    mine = world.sign_in("claire", "autre", scope="openid offline_access")
    mine.browser.get("/account")
    mine.browser.press("account-end-others")
    with nothing_issued(world):
        assert_token_refused(world, lost.party.refresh(lost.tokens.refresh), error="invalid_grant", reason="grant_not_alive")
    assert mine.party.refresh(mine.tokens.refresh).status_code == 200


# Claims nobody agreed to


def test_application_gets_no_claim_by_name_that_its_scopes_do_not_hold(world: World) -> None:
    change_registration(world, "carnet", scopes=("openid", "email"))
    claims = {"id_token": {"phone_number": None, "attachments": None}, "userinfo": {"address": {"essential": True}, "email": None}}
    signed_in = world.sign_in("claire", scope="openid", claims=json.dumps(claims))
    assert not signed_in.tokens.claims.keys() & {"phone_number", "attachments"}
    assert signed_in.party.userinfo(signed_in.tokens.access).json().keys() == {"sub", "email"}


def test_person_is_asked_when_a_claim_is_named_that_they_did_not_agree_to(world: World) -> None:
    browser, party = world.browser(), world.relying_party("curieux")
    page = begin(world, browser, party, "claire", scope="openid")
    assert browser.submit("consent-form", page=page).callback is not None
    assert browser.get(party.begin(scope="openid")).callback is not None
    claims = json.dumps({"userinfo": {"phone_number": None}})
    with nothing_issued(world):
        page = browser.get(party.begin(scope="openid", claims=claims, prompt="none"))
        assert page.callback is not None
        assert page.callback["error"] == "consent_required"
        page = browser.get(party.begin(scope="openid", claims=claims))
        assert "téléphone" in page.text
    callback = browser.submit("consent-form", page=page).callback
    assert callback is not None
    tokens = party.exchange(callback)
    assert party.userinfo(tokens.access).json().keys() == {"sub", "phone_number"}
    assert browser.get(party.begin(scope="openid", claims=claims, prompt="none")).callback is not None


# Doors closed meanwhile


def close_by_profile(world: World) -> None:
    change_registration(world, "carnet", profiles=("doctor",))


def close_by_establishment(world: World) -> None:
    change_registration(world, "carnet", establishments=("glycines",))


@pytest.mark.parametrize("close", [close_by_profile, close_by_establishment])
def test_application_gets_no_more_tokens_when_it_is_no_longer_open_to_the_person(world: World, close: Callable[[World], None]) -> None:
    signed_in = world.sign_in("claire", "carnet", scope="openid offline_access")
    page = signed_in.browser.get(signed_in.party.begin())
    assert page.callback is not None
    close(world)
    with nothing_issued(world):
        refused = signed_in.party.redeem(page.callback["code"])
        assert_token_refused(world, refused, error="invalid_grant", reason=reason_of(close))
        refused = signed_in.party.refresh(signed_in.tokens.refresh)
        assert_token_refused(world, refused, error="invalid_grant", reason=reason_of(close))


def reason_of(close: Callable[[World], None]) -> str:
    is_profile = close is close_by_profile
    return str(Reason.CLIENT_NOT_OPEN_TO_PROFILE if is_profile else Reason.CLIENT_NOT_OPEN_TO_ESTABLISHMENT)


def test_application_gets_no_more_tokens_when_only_another_profile_is_left_to_the_person(world: World) -> None:
    """Two attachments at one establishment: the one that opened the application ends, and the Session stands on the other."""
    change_registration(world, "carnet", profiles=("nurse",))
    account = world.account("claire")
    with world.arranging() as tx:
        (nurse,) = tx.people.attachments(account.id)
        tx.people.attach(replace(nurse, id=world.clock.new_id(), profile="aide"))
    signed_in = world.sign_in("claire", "carnet", scope="openid")
    with world.arranging() as tx:
        people_attachments.detach(tx, nurse, OPERATOR, clock=world.clock)
    with nothing_issued(world):
        refused = signed_in.party.refresh(signed_in.tokens.refresh)
    assert_token_refused(world, refused, error="invalid_grant", reason="client_not_open_to_profile")


def test_refresh_gives_no_scope_that_was_taken_from_the_application(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet", scope="openid profile phone")
    change_registration(world, "carnet", scopes=("openid", "profile"))
    answer = signed_in.party.refresh(signed_in.tokens.refresh).json()
    assert answer["scope"] == "openid profile"
    assert "phone_number" not in signed_in.party.userinfo(answer["access_token"]).json()


def test_no_token_holds_a_claim_whose_scope_was_taken_from_the_application(world: World) -> None:
    claims = json.dumps({"id_token": {"email": None}, "userinfo": {"phone_number": None}})
    signed_in = world.sign_in("claire", "carnet", scope="openid profile establishment", claims=claims)
    change_registration(world, "carnet", scopes=("openid", "profile"))
    assert "phone_number" not in signed_in.party.userinfo(signed_in.tokens.access).json()
    again = signed_in.party.read_tokens(signed_in.party.refresh(signed_in.tokens.refresh))
    assert not again.claims.keys() & {"email", "establishment", "roles", "attachments", "zone"}


def test_no_token_is_made_for_a_resource_that_was_taken_from_the_application(world: World) -> None:
    first, second = world.registered["carnet"].settings.resources
    browser = world.sign_in("claire", "carnet").browser
    party = world.relying_party("carnet")
    callback = browser.get(party.begin(scope="profile", resource=first)).callback
    assert callback is not None
    refresh = party.redeem(callback["code"]).json()["refresh_token"]
    change_registration(world, "carnet", resources=(second,))
    for extra in ({}, {"resource": first}):
        with nothing_issued(world):
            assert_token_refused(world, party.refresh(refresh, **extra), error="invalid_target", reason="invalid_target")


def test_own_token_of_an_application_is_not_active_when_the_application_was_withdrawn(world: World) -> None:
    token = world.relying_party("signataire").client_credentials().json()["access_token"]
    reader = world.relying_party("carnet")
    assert reader.introspect(token).json()["active"] is True
    with world.arranging() as tx:
        end_client(tx, "signataire", OPERATOR, clock=world.clock)
    assert reader.introspect(token).json() == {"active": False}


@pytest.mark.parametrize("hours", [0, 2])
def test_no_code_goes_to_an_address_that_was_taken_from_the_registration(world: World, hours: int) -> None:
    """A sign-in page may stay open, and begin again by itself, for hours after its request was checked."""
    browser, party = world.browser(), world.relying_party()
    page = browser.get(party.begin())
    change_registration(world, "carnet", redirect_uris=("https://carnet.example/autre-retour",))
    world.clock.advance(timedelta(hours=hours))
    page = browser.get(page.url)
    with nothing_issued(world):
        page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.callback is None
    assert page.status == 400
    assert world.last_event("authorization.refused")["reason"] == "redirect_uri_mismatch"


# Letter for letter


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:4711/retour?", "http://127.0.0.1:4711/retour#", " http://127.0.0.1:4711/retour", "HTTP://127.0.0.1:4711/retour"],
)
def test_native_application_gets_nothing_but_a_free_port(world: World, uri: str) -> None:
    page = world.browser().get(world.relying_party("bureau").begin(redirect_uri=uri))
    assert page.callback is None
    assert page.status == 400
    assert world.last_event("authorization.refused")["reason"] == "redirect_uri_mismatch"


def test_repeated_refresh_is_not_answered_with_a_token_for_another_resource(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    resources = world.registered["carnet"].settings.resources
    page = signed_in.browser.get(signed_in.party.begin(resource=resources[0]))
    assert page.callback is not None
    tokens = signed_in.party.exchange(page.callback)
    assert signed_in.party.refresh(tokens.refresh, resource=resources[0]).status_code == 200
    with nothing_issued(world):
        refused = signed_in.party.refresh(tokens.refresh)
        assert_token_refused(world, refused, error="invalid_target", reason="invalid_target")
    assert signed_in.party.refresh(tokens.refresh, resource=resources[0]).status_code == 200


# What is written down


def test_audit_trail_does_not_hold_what_opens_a_sign_in_page(world: World) -> None:
    browser, party = world.browser(), world.relying_party()
    page = browser.get(party.begin())
    interaction_id = page.url.rpartition("/")[2]
    browser.post(page.forms["signin-form"].action, {"identifier": "claire.dubois", "password": PASSWORD})
    event = world.last_event("request.refused")
    assert event["reason"] == "bad_form_token"
    assert interaction_id not in json.dumps(event)
    assert event["details"]["path"] == "/signin/<interaction_id>/<act>"


def test_one_interaction_is_closed_once_when_a_form_in_flight_stored_it_again(world: World) -> None:
    signin = world.application.signin
    interaction = signin.keep(signin.open(None, "navigateur"))
    assert signin.close(interaction)
    signin.interactions.save(interaction)
    assert not signin.close(interaction)


@pytest.mark.sqlite
def test_page_goes_on_when_the_database_did_not_answer_at_the_end_of_the_sign_in(make_world: MakeWorld) -> None:
    world = make_world(database={"busy_timeout": "100ms"})
    browser, party = world.browser(), world.relying_party()
    form = browser.get(party.begin()).forms["signin-form"]
    fields = {**form.fields, "identifier": "claire.dubois", "password": PASSWORD}
    where = browser.request("POST", form.action, data=fields, headers={"Origin": world.issuer}).headers["Location"]
    other = sqlite3.connect(world.folder / "vestibule.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert browser.get(where).status == 503
    other.execute("ROLLBACK")
    other.close()
    assert browser.get(where).callback is not None
    assert len(world.events("authorization.granted")) == 1
    assert browser.get(where).callback is None


def test_agreements_end_with_the_application_they_were_given_to(world: World) -> None:
    """The same client_id may be given to another application one day."""
    browser, party = world.browser(), world.relying_party("curieux")
    page = begin(world, browser, party, "claire")
    assert browser.submit("consent-form", page=page).callback is not None
    with world.arranging() as tx:
        end_client(tx, "curieux", OPERATOR, clock=world.clock)
        settings = world.registered["curieux"].settings
        secret = digest(world.registered["curieux"].secret or "")
        tx.clients.put(settings, secret_digest=secret, source="operator", now=world.clock.now())
    page = browser.get(party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "consent_required"


def test_request_that_is_too_long_is_recorded_when_it_is_refused(world: World) -> None:
    for path in ("/authorize", "/logout"):
        page = world.browser().post(path, {"state": "x" * 9000})
        assert page.status == 413
        line = world.last_event("request.refused")
        assert (line["reason"], line["request_id"]) == ("too_large", page.support_code)


def test_userinfo_reads_no_body_of_a_get(world: World) -> None:
    """RFC 6750 section 2.2: the form is for POST alone."""
    signed_in = world.sign_in("claire")
    response = world.machine.request("GET", "/userinfo", data={"access_token": signed_in.tokens.access})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_wish_for_languages_is_dropped_when_it_is_longer_than_its_column(world: World) -> None:
    """SQLite keeps any length; PostgreSQL would refuse the Grant."""
    world.sign_in("claire", claims_locales=" ".join(["fr"] * 60))
    with world.database.read() as tx:
        (grant,) = tx.grants.open_of_account(world.account("claire").id)
    assert len(grant.claims_locales or "") <= 60


def test_session_lives_on_when_it_was_renewed_by_somebody_who_took_their_time(world: World) -> None:
    """Activity is the end of the sign-in, not the password that began it."""
    browser, party = world.browser(), world.relying_party("curieux")
    world.sign_in("amina", browser=browser, establishment="tilleuls")
    page = begin(world, browser, party, "amina", prompt="login", establishment="tilleuls")
    world.clock.advance(timedelta(minutes=9))
    callback = browser.submit("consent-form", page=page).callback
    assert callback is not None
    world.clock.advance(timedelta(minutes=25))
    page = browser.get(party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback.get("error") is None


def test_two_people_cannot_both_be_meant_by_one_claims_parameter(world: World) -> None:
    claims = {part: {"sub": {"value": world.account(person).id}} for part, person in (("id_token", "claire"), ("userinfo", "karim"))}
    page = world.browser().get(world.relying_party().begin(claims=json.dumps(claims)))
    assert page.callback is not None
    assert page.callback["error"] == "invalid_request"


def test_access_token_of_a_person_is_no_hint_and_a_hint_is_no_access_token(world: World) -> None:
    change_registration(world, "autre", userinfo_signed_response_alg="RS256")
    signed_in = world.sign_in("claire", "autre")
    party = signed_in.party
    userinfo = party.userinfo(signed_in.tokens.access).text
    assert party.userinfo(signed_in.tokens.identity).status_code == 401
    assert party.userinfo(userinfo).status_code == 401
    for token in (signed_in.tokens.access, userinfo):
        page = signed_in.browser.get(party.begin(id_token_hint=token))
        assert page.callback is not None
        assert page.callback["error"] == "invalid_request"
        assert signed_in.browser.get(party.sign_out_url(id_token_hint=token)).status == 400
