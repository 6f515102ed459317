"""Shared workstations from the outside: nothing is suggested or kept, idle sooner, locked for a moment, and handed over to the next person."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from idp.audit import Author, Origin
from idp.config import ZoneSettings, check
from idp.signin.passes import NewPass, Passes
from idp.store.base import Session
from idp.work import Worker
from idp.zones import put_zone
from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued, refusal
from tests.flows.test_oidcc_backchannel_logout import deliver
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.keyholder import FORM, enrolled
from tests.support.world import SignedIn, World

SALON = "10.20.6.9"
COOKIE = "__Host-vestibule-session"
DEVICE = "__Host-vestibule-device"
AUTHOR = Author("operator:nadia", Origin("0123456789", "local"))
SECOND = timedelta(seconds=1)
TEN_MINUTES = timedelta(minutes=10)


def furnish_salon(world: World) -> World:
    """A shared zone at Les Tilleuls."""
    with world.arranging() as tx:
        salon = ZoneSettings.model_validate({"name": "salon", "kind": "shared_workstation", "networks": ["10.20.6.0/24"]})
        put_zone(tx, world.establishment("tilleuls"), salon, AUTHOR, source="operator", clock=world.clock)
    return world


@pytest.fixture
def salon(world: World) -> World:
    return furnish_salon(world)


@pytest.fixture
def worker(salon: World) -> Iterator[Worker]:
    made = Worker(salon.application)
    made.stand()
    yield made
    made.deliverer.close()


def in_salon(world: World, person: str = "claire", client: str = "carnet", *, language: str = "en", **parameters: str) -> SignedIn:
    browser = world.browser(address=SALON, language=language)
    return world.sign_in(person, client, browser=browser, **parameters)


def session_of(world: World, signed: SignedIn) -> Session:
    with world.database.read() as tx:
        found = tx.sessions.get(str(signed.tokens.claims["sid"]))
    assert found is not None
    return found


def lock(browser: Browser) -> Page:
    return browser.press("account-lock", page=browser.get("/account"))


def change(browser: Browser) -> Page:
    return browser.press("change-person", page=browser.get("/account"))


def silent(signed: SignedIn) -> str | None:
    """What an application hears without a page: an error, or None for a code."""
    callback = signed.browser.get(signed.party.begin(prompt="none")).callback
    assert callback is not None
    return callback.get("error")


# Nothing is suggested


def test_sign_in_page_suggests_and_keeps_nothing_on_a_shared_workstation(salon: World) -> None:
    holder = enrolled(salon)
    _, page = at_sign_in(salon, browser=salon.browser(address=SALON), login_hint="claire.dubois")
    assert 'id="signin-form" method="post"' in page.markup
    assert 'autocomplete="one-time-code"' in page.markup
    for suggesting in ("current-password", "webauthn", "data-autofill", "claire.dubois"):
        assert suggesting not in page.markup
    # A passkey is used by pressing a button.
    assert page.forms[FORM].action.endswith("/passkey-login")
    browser = salon.browser(address=SALON)
    page = browser.get(salon.relying_party().begin())
    assert browser.submit(FORM, page=page, credential=holder.answer(page)).callback is not None


def test_sign_in_page_of_ones_own_workstation_helps_password_managers(salon: World) -> None:
    _, page = at_sign_in(salon, login_hint="claire.dubois")
    assert 'autocomplete="current-password"' in page.markup
    assert page.forms["signin-form"].fields["identifier"] == "claire.dubois"


def test_enrolled_workstation_marked_shared_is_one_wherever_it_stands(salon: World) -> None:
    browser = salon.browser()
    application = salon.application
    passes = Passes(application.database, application.keyring, salon.clock, settings=salon.config.factors)
    with salon.arranging() as tx:
        place = salon.establishment("tilleuls")
        zone = tx.zones.named(place.id, "lan")
        assert zone is not None
        new = NewPass(purpose="workstation", establishment_id=place.id, zone_id=zone.id, is_shared=True, label="Poste de soins")
        code = passes.issue(tx, new, AUTHOR)[0]
    browser.get("/workstation")
    browser.submit("workstation-form", workstation_pass=code)
    page = browser.get(salon.relying_party().begin())
    assert 'autocomplete="one-time-code"' in page.markup
    signed = salon.sign_in("claire", browser=browser)
    assert session_of(salon, signed).is_shared


def test_no_device_is_remembered_on_a_shared_workstation(salon: World) -> None:
    assert in_salon(salon).browser.cookie(DEVICE) is None
    assert salon.sign_in("claire").browser.cookie(DEVICE) is not None


def test_last_person_is_not_named_when_an_application_asks_again(salon: World) -> None:
    signed = in_salon(salon)
    page = signed.browser.get(signed.party.begin(prompt="login"))
    assert page.forms["signin-form"].fields["identifier"] == ""
    # But who is still signed in here is said, with the way out.
    assert "Claire Dubois" in page.text
    assert signed.browser.press("change-person", page=page).status == 200
    assert session_of(salon, signed).ended_cause == "person_changed"


# Idle sooner


def test_shared_session_ends_at_its_own_idle_limit(salon: World, worker: Worker) -> None:
    shared, own = in_salon(salon), salon.sign_in("claire")
    salon.clock.advance(TEN_MINUTES - SECOND)
    assert worker.end_overdue_sessions() == 0
    tokens = shared.party.refresh(shared.tokens.refresh).json()
    assert shared.party.userinfo(tokens["access_token"]).status_code == 200
    salon.clock.advance(SECOND)
    # Before anybody has looked: the instant decides and not the sweep.
    assert shared.party.userinfo(tokens["access_token"]).status_code == 401
    assert shared.party.introspect(tokens["access_token"]).json() == {"active": False}
    assert shared.party.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert worker.end_overdue_sessions() == 1
    line = salon.last_event("session.ended")
    assert (line["session_id"], line["reason"], line["details"]) == (shared.tokens.claims["sid"], "idle", {"grants": 1, "notices": 1})
    deliver(worker.deliverer)
    assert salon.listener.received[0].path == "/carnet"
    assert own.party.refresh(own.tokens.refresh).status_code == 200


def test_person_is_told_why_at_the_instant(salon: World) -> None:
    signed = in_salon(salon)
    salon.clock.advance(TEN_MINUTES - SECOND)
    assert silent(signed) is None
    salon.clock.advance(TEN_MINUTES)
    page = signed.browser.get("/account")
    assert "signed out because nothing had happened" in page.text
    assert salon.last_event("session.ended")["reason"] == "idle"


def test_application_that_refreshes_keeps_no_shared_session_alive(salon: World) -> None:
    signed = in_salon(salon)
    salon.clock.advance(timedelta(minutes=6))
    answer = signed.party.refresh(signed.tokens.refresh)
    assert answer.status_code == 200
    salon.clock.advance(timedelta(minutes=4))
    assert signed.party.refresh(answer.json()["refresh_token"]).json()["error"] == "invalid_grant"


def test_page_or_authorization_keeps_a_shared_session_alive(salon: World) -> None:
    signed = in_salon(salon)
    for _ in range(3):
        salon.clock.advance(timedelta(minutes=9))
        assert signed.browser.get("/account").url.endswith("/account")
        salon.clock.advance(timedelta(minutes=9))
        assert silent(signed) is None


@pytest.mark.parametrize("way", ["idle", "change", "sign out"])
def test_offline_access_given_on_a_shared_workstation_ends_with_the_session(salon: World, way: str) -> None:
    signed = in_salon(salon, scope="openid offline_access")
    if way == "idle":
        salon.clock.advance(TEN_MINUTES)
    else:
        signed.browser.press("change-person" if way == "change" else "account-signout", page=signed.browser.get("/account"))
    assert signed.party.refresh(signed.tokens.refresh).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("way", ["page", "authorization"])
def test_tablet_that_comes_into_the_shared_zone_is_held_to_its_limit(salon: World, way: str) -> None:
    signed = salon.sign_in("claire")
    salon.move(signed.browser, SALON)
    assert silent(signed) is None if way == "authorization" else "signed out at" in signed.browser.get("/account?lang=en").text
    assert session_of(salon, signed).is_shared
    salon.clock.advance(TEN_MINUTES)
    assert silent(signed) == "login_required"


def test_limit_of_the_configuration_is_the_one_that_counts(make_world: MakeWorld) -> None:
    world = furnish_salon(make_world(sessions={"shared_idle": "1m"}))
    signed = in_salon(world)
    for _ in range(3):  # a short limit is not cut by how seldom activity is written down
        world.clock.advance(timedelta(seconds=20))
        assert signed.browser.get("/account").url.endswith("/account")
    world.clock.advance(timedelta(seconds=60))
    assert silent(signed) == "login_required"


def test_account_page_says_when_it_ends_with_and_without_javascript(salon: World) -> None:
    page = in_salon(salon).browser.get("/account")
    assert "signed out at 09:10" in page.text
    assert 'data-seconds-left="600"' in page.markup
    assert '<meta http-equiv="refresh" content="605;url=/lock">' in page.markup
    assert "http-equiv" not in salon.sign_in("claire").browser.get("/account").markup


def test_page_that_comes_back_by_itself_is_no_activity(salon: World) -> None:
    signed = in_salon(salon)
    salon.clock.advance(TEN_MINUTES - SECOND)
    assert "Stepping away?" in signed.browser.get("/lock").text
    salon.clock.advance(SECOND)
    assert "nothing had happened" in signed.browser.get("/lock").text


# The lock


def test_locked_session_gives_nothing_before_its_person_is_back(salon: World) -> None:
    signed = in_salon(salon)
    page = lock(signed.browser)
    assert "Session locked" in page.text
    assert "Claire Dubois" in page.text
    assert "claire.dubois" not in page.markup
    line = salon.last_event("session.locked")
    assert (line["account_id"], line["session_id"]) == (salon.account("claire").id, signed.tokens.claims["sid"])
    before = issued(salon)
    assert silent(signed) == "login_required"
    for path in ("/account", "/account/password", "/account/factors", "/account/factors/totp", "/lock"):
        page = signed.browser.get(path)
        assert "/signin/" in page.url
        assert "Session locked" in page.text
    page = signed.browser.get(signed.party.begin())
    assert (page.callback, "Session locked" in page.text) == (None, True)
    assert issued(salon) == before
    # What an application was given goes on: it is told of ends, not of locks.
    assert signed.party.userinfo(signed.tokens.access).status_code == 200
    assert signed.party.introspect(signed.tokens.access).json()["active"] is True


def test_same_person_goes_on_with_the_password(salon: World) -> None:
    signed = in_salon(salon)
    lock(signed.browser)
    former = signed.browser.cookie(COOKIE)
    salon.clock.advance(timedelta(minutes=3))
    page = signed.browser.get(signed.party.begin())
    page = signed.browser.submit("signin-form", page=page, password=PASSWORD)
    assert page.callback is not None
    claims = signed.party.exchange(page.callback).claims
    assert (claims["sid"], claims["auth_time"]) == (signed.tokens.claims["sid"], salon.clock.timestamp())
    session = session_of(salon, signed)
    assert (session.locked_at, session.ended_at) == (None, None)
    assert salon.last_event("session.unlocked")["session_id"] == session.id
    assert signed.browser.cookie(COOKIE) != former
    assert silent(signed) is None


def test_same_person_goes_on_with_a_passkey(salon: World) -> None:
    holder = enrolled(salon)
    signed = in_salon(salon)
    page = lock(signed.browser)
    page = signed.browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.url.endswith("/account")
    assert session_of(salon, signed).locked_at is None


def test_person_without_a_name_to_sign_in_by_types_what_they_have(salon: World) -> None:
    signed = in_salon(salon, "rose")
    lock(signed.browser)
    with salon.arranging() as tx:
        tx.people.change(salon.account("rose").id, salon.clock.now(), username=None)
    page = signed.browser.get("/account")
    assert "Session locked" in page.text
    assert signed.browser.sign_in("10077", PASSWORD, page=page).url.endswith("/account")
    assert session_of(salon, signed).locked_at is None


def test_new_password_is_not_offered_to_be_kept_on_a_shared_workstation(salon: World) -> None:
    page = in_salon(salon).browser.get("/account/password")
    assert "new-password" not in page.markup
    assert "current-password" not in page.markup


def test_wrong_password_at_the_lock_counts_as_at_a_sign_in(salon: World) -> None:
    signed = in_salon(salon)
    lock(signed.browser)
    page = signed.browser.get("/account")
    before = issued(salon)
    for number in range(5):
        page = signed.browser.submit("signin-form", page=page, password=f"Pas-le-bon-{number}")
    assert page.status == 403
    assert "The password is not right." in page.text
    assert refusal(salon, page, before)["reason"] == "wrong_password"
    page = signed.browser.submit("signin-form", page=page, password=PASSWORD)
    assert page.status == 429
    assert refusal(salon, page, before)["reason"] == "throttled"
    assert session_of(salon, signed).locked_at is not None
    # And the same person is no further elsewhere.
    elsewhere, page = at_sign_in(salon)
    assert elsewhere.sign_in("claire.dubois", PASSWORD, page=page).status == 429


def test_locked_session_is_no_activity_and_ends_when_it_is_idle(salon: World, worker: Worker) -> None:
    signed = in_salon(salon)
    salon.clock.advance(timedelta(minutes=1))
    lock(signed.browser)
    salon.clock.advance(timedelta(minutes=9))
    assert "Session locked" in signed.browser.get("/account").text
    salon.clock.advance(timedelta(minutes=1))
    assert worker.end_overdue_sessions() == 1
    assert "signin-form" in signed.browser.get("/account").forms


def test_password_typed_before_the_lock_opens_nothing_after_it(salon: World) -> None:
    browser = salon.browser(address=SALON, language="en")
    salon.sign_in("amina", browser=browser, establishment="tilleuls")
    waiting = browser.get(salon.relying_party("curieux").begin(prompt="login"))
    waiting = browser.sign_in("amina.benali", PASSWORD, page=waiting)
    assert "consent-form" in waiting.forms
    lock(browser)
    page = browser.submit("consent-form", page=waiting)
    assert (page.callback, "Session locked" in page.text) == (None, True)


def test_second_factor_of_a_locked_session_stays_as_old_as_it_is(world: World) -> None:
    """Away from the establishment she gave two factors; after a short lock the password is enough, and the tokens say what is true."""
    holder = enrolled(world)
    browser = world.browser(address=OUTSIDE, language="en")
    party = world.relying_party()
    page = browser.sign_in(holder.username, PASSWORD, page=browser.get(party.begin()))
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert page.callback is not None
    first = party.exchange(page.callback).claims
    lock(browser)
    world.clock.advance(timedelta(minutes=2))
    page = browser.submit("signin-form", page=browser.get(party.begin()), password=PASSWORD)
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    assert (claims["amr"], claims["acr"], claims["sid"]) == (first["amr"], first["acr"], first["sid"])
    with world.database.read() as tx:
        session = tx.sessions.get(claims["sid"])
    assert session is not None
    assert [world.clock.now() - proof.at for proof in session.proofs] == [timedelta(0), timedelta(minutes=2)]
    # Who asks for a new sign-in gets a whole one.
    lock(browser)
    page = browser.submit("signin-form", page=browser.get(party.begin(prompt="login")), password=PASSWORD)
    assert (page.callback, FORM in page.forms) == (None, True)


def test_lock_and_activity_at_the_same_instant_leave_it_locked(salon: World) -> None:
    """An authorization that was judged before the lock writes after it: nothing comes of it."""
    signed = in_salon(salon)
    with salon.arranging() as tx:
        assert tx.sessions.lock(session_of(salon, signed).id, salon.clock.now())
    with salon.arranging() as tx:
        assert not tx.sessions.touch(session_of(salon, signed).id, salon.clock.now())
        assert not tx.sessions.lock(session_of(salon, signed).id, salon.clock.now())


def test_bookmark_asks_before_it_locks(salon: World) -> None:
    signed = in_salon(salon)
    page = signed.browser.get("/lock")
    assert session_of(salon, signed).locked_at is None
    page = signed.browser.press("lock-submit", page=page)
    assert "Session locked" in page.text
    assert session_of(salon, signed).locked_at is not None
    # Twice is once, and without a Session there is nothing to lock.
    assert len(salon.events("session.locked")) == 1
    assert "signin-form" in salon.browser().get("/lock").forms


def test_another_site_locks_and_changes_nothing(salon: World) -> None:
    signed = in_salon(salon)
    for path in ("/lock", "/change-person"):
        assert signed.browser.post(path, {}, headers={"Origin": "https://mechant.example"}).status == 400
    session = session_of(salon, signed)
    assert (session.locked_at, session.ended_at) == (None, None)


def test_locked_session_is_signed_out_by_an_application(salon: World) -> None:
    signed = in_salon(salon)
    lock(signed.browser)
    assert signed.browser.get(signed.party.sign_out_url(id_token_hint=signed.tokens.identity)).status == 200
    assert session_of(salon, signed).ended_at is not None


# Changing the person


def test_change_of_person_ends_the_former_with_the_applications_first(salon: World, worker: Worker) -> None:
    signed = in_salon(salon)
    other = salon.relying_party("autre")
    page = signed.browser.get(other.begin())
    assert page.callback is not None
    other.exchange(page.callback)
    page = change(signed.browser)
    # The sign-in is shown, and everything of the former is over already.
    assert "signin-form" in page.forms
    assert "The person before is signed out" in page.text
    assert "Claire" not in page.text
    assert signed.browser.cookie(COOKIE) is None
    line = salon.last_event("session.ended")
    assert (line["reason"], line["details"]) == ("person_changed", {"grants": 2, "notices": 2})
    assert salon.last_event("logout.requested")["reason"] == "person_changed"
    deliver(worker.deliverer, 2)
    assert sorted(received.path for received in salon.listener.received) == ["/autre", "/carnet"]
    assert signed.party.userinfo(signed.tokens.access).status_code == 401
    assert signed.party.refresh(signed.tokens.refresh).json()["error"] == "invalid_grant"
    page = signed.browser.sign_in("rose.marchand", PASSWORD, page=page)
    assert "Rose Marchand" in page.text
    assert "Claire" not in page.text


def test_page_of_the_former_gives_nothing_when_it_is_opened_again(salon: World) -> None:
    signed = in_salon(salon)
    account = signed.browser.get("/account")
    cookie = signed.browser.cookie(COOKIE)
    assert cookie is not None
    change(signed.browser)
    assert silent(signed) == "login_required"
    for page in (signed.browser.get(account.url), signed.browser.press("account-lock", page=account)):
        assert "signin-form" in page.forms
        assert "Claire" not in page.text
    thief = salon.browser(address=SALON)
    thief.jar = {("connexion.example", COOKIE): cookie}
    assert "signin-form" in thief.get("/account").forms


def test_sign_in_half_way_is_the_next_persons_from_its_beginning(salon: World) -> None:
    browser = salon.browser(address=SALON, language="en")
    party = salon.relying_party("curieux")
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(party.begin()))
    assert "consent-form" in page.forms
    assert "Claire Dubois" in page.text
    asked = page.url
    page = browser.press("change-person", page=page)
    assert page.url == asked
    assert "signin-form" in page.forms
    page = browser.sign_in("rose.marchand", PASSWORD, page=page)
    assert "Claire" not in page.text
    page = browser.submit("consent-form", page=page)
    assert page.callback is not None
    assert party.exchange(page.callback).claims["sub"] == salon.account("rose").id


def test_lock_page_lets_the_next_person_in_where_the_application_asked(salon: World) -> None:
    signed = in_salon(salon)
    lock(signed.browser)
    page = signed.browser.get(signed.party.begin())
    page = signed.browser.press("change-person", page=page)
    assert session_of(salon, signed).ended_cause == "person_changed"
    page = signed.browser.sign_in("rose.marchand", PASSWORD, page=page)
    assert page.callback is not None
    assert signed.party.exchange(page.callback).claims["sub"] == salon.account("rose").id


def test_another_persons_proof_ends_the_former_before_they_are_in(salon: World) -> None:
    signed = in_salon(salon)
    page = signed.browser.get(salon.relying_party("curieux").begin(prompt="login"))
    page = signed.browser.sign_in("rose.marchand", PASSWORD, page=page)
    # Rose is asked for her consent and has no Session yet; Claire's is over.
    assert "consent-form" in page.forms
    session = session_of(salon, signed)
    assert (session.ended_cause, session.ended_at) == ("person_changed", salon.clock.now())
    with salon.database.read() as tx:
        assert tx.outbox.waiting() == 1
        assert tx.sessions.open_of(salon.account("rose").id) == ()
    assert signed.browser.submit("consent-form", page=page).callback is not None


def test_nobody_is_suggested_after_a_change_until_somebody_has_signed_in(salon: World) -> None:
    browser = salon.sign_in("claire", browser=salon.browser(language="en")).browser
    page = browser.get("/lock")
    page = browser.press("change-person", page=page)
    page = browser.get(salon.relying_party().begin(login_hint="claire.dubois"))
    assert page.forms["signin-form"].fields["identifier"] == ""
    salon.sign_in("rose", browser=browser)
    page = browser.get(salon.relying_party().begin(login_hint="claire.dubois", prompt="login"))
    assert page.forms["signin-form"].fields["identifier"] == "claire.dubois"


def test_change_of_person_where_nobody_is_signed_in_shows_the_sign_in(salon: World) -> None:
    browser, page = at_sign_in(salon)
    token = page.forms["signin-form"].fields["csrf_token"]
    assert "signin-form" in browser.post("/change-person", {"csrf_token": token}).forms
    assert salon.events("session.ended") == []


# The settings


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ({"shared_idle": "59s"}, "between 1m and 1h"),
        ({"shared_idle": "61m", "idle": "2h"}, "between 1m and 1h"),
        ({"shared_idle": "20m", "idle": "15m"}, "longer than sessions.idle"),
    ],
)
def test_check_config_refuses_a_shared_limit_that_is_none(make_world: MakeWorld, sessions: dict[str, str], said: str) -> None:
    _, findings = check(make_world(sessions=sessions).config_path)
    (finding,) = [finding for finding in findings if finding.path == "sessions.shared_idle"]
    assert finding.severity == "error"
    assert said in finding.message
