"""/account from the outside: who I am, where I am signed in, ending that, my password, and leaving."""

from datetime import timedelta
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.cast import AT_GLYCINES, OUTSIDE, PASSWORD
from tests.support.second_factors import enrol_phone
from tests.support.world import World

NEW = "Une-Autre-Girafe-Violette-84"
COOKIE = "__Host-vestibule-session"


def at_account(world: World, person: str = "claire", *, browser: Browser | None = None) -> tuple[Browser, Page]:
    """Signed in through our own page, no application involved."""
    browser = browser or world.browser(language="en")
    page = browser.get("/account")
    page = browser.sign_in(world.person(person).username, PASSWORD, page=page)
    return browser, page


def form(page: Page, action: str) -> dict[str, str]:
    """What the form's first button sends."""
    found = next(form for form in page.document.forms if form.action == action)
    return {**found.fields, **{name: value for name, value, _ in found.buttons[:1] if name}}


def open_sessions(world: World, person: str) -> int:
    with world.database.read() as tx:
        return len(tx.sessions.open_of(world.account(person).id))


def test_nurse_sees_herself_when_she_comes_without_an_application(world: World) -> None:
    browser, page = at_account(world)
    assert page.status == 200
    assert page.url.endswith("/account")
    for words in ("Claire Dubois", "Les Tilleuls", "Unité Alzheimer", "This browser", "Firefox, Linux", "30 min"):
        assert words in page.text
    assert world.last_event("signin.succeeded")["client_id"] is None
    assert browser.get("/").url.endswith("/account")


@pytest.mark.parametrize(
    ("asked", "landed"),
    [
        ("/account/history?before=2026-11-01T00:00:00%2B00:00", "/account/history?before=2026-11-01T00:00:00%2B00:00"),
        ("/account?done=%0d%0aLocation:https://evil.example/", "/account?done=%0d%0aLocation:https://evil.example/"),
        ("/account?next=https://evil.example/", "/account?next=https://evil.example/"),
        # Nobody of ours writes so much, and it would be kept for a stranger.
        ("/account?home=" + "x" * 2_000, "/account"),
    ],
)
def test_nurse_lands_where_she_asked_for_with_its_query_when_she_had_to_sign_in(world: World, asked: str, landed: str) -> None:
    browser = world.browser(language="en")
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(asked))
    assert page.status == 200
    assert page.url == f"{world.issuer}{landed}"


def test_person_without_attachment_is_refused_at_the_account_page_too(world: World) -> None:
    _, page = at_account(world, "hugo")
    assert page.status == 403
    assert world.last_event("signin.refused")["reason"] == "no_attachment"
    assert open_sessions(world, "hugo") == 0


def test_session_ends_when_the_person_signs_out_and_the_next_sign_in_asks(world: World) -> None:
    signed = world.sign_in("claire")
    page = signed.browser.get("/account")
    page = signed.browser.post("/account/signout", form(page, "/account/signout"))
    assert page.status == 200
    assert signed.browser.cookie(COOKIE) is None
    event = world.last_event("session.ended")
    assert (event["reason"], event["details"]) == ("signed_out", {"grants": 1, "notices": 1})
    with world.database.read() as tx:
        assert tx.outbox.waiting() == 1
    assert "signin-form" in signed.browser.get(signed.party.begin()).forms


def test_signing_out_twice_changes_nothing(world: World) -> None:
    browser, page = at_account(world)
    fields = form(page, "/account/signout")
    browser.post("/account/signout", fields)
    assert browser.post("/account/signout", fields).status == 200
    assert len(world.events("session.ended")) == 1


def test_person_ends_another_session_of_theirs(world: World) -> None:
    elsewhere = world.sign_in("claire")
    browser, page = at_account(world)
    page = browser.post("/account/sessions/end", form(page, "/account/sessions/end"))
    assert "The session is closed." in page.text
    assert world.last_event("session.ended")["reason"] == "ended_by_person"
    assert "closed from another device" in text_in_english(elsewhere.browser, elsewhere.party.begin())
    assert browser.get("/account").status == 200


def text_in_english(browser: Browser, url: str) -> str:
    browser.headers["Accept-Language"] = "en"
    return browser.get(url).text


def test_person_cannot_end_the_session_of_somebody_else(world: World) -> None:
    world.sign_in("karim")
    world.sign_in("claire")
    with world.database.read() as tx:
        (theirs,) = tx.sessions.open_of(world.account("karim").id)
    browser, page = at_account(world)
    fields = {**form(page, "/account/sessions/end"), "session_id": theirs.id}
    page = browser.post("/account/sessions/end", fields)
    assert "The session is closed." not in page.text
    assert open_sessions(world, "karim") == 1


def test_person_ends_all_other_sessions_at_once(world: World) -> None:
    world.sign_in("claire")
    world.sign_in("claire")
    browser, page = at_account(world)
    assert open_sessions(world, "claire") == 3
    page = browser.post("/account/sessions/end-others", form(page, "/account/sessions/end-others"))
    assert "Your other sessions are closed." in page.text
    assert open_sessions(world, "claire") == 1


def test_person_works_at_the_other_establishment_from_now_on(world: World) -> None:
    browser = world.browser(language="en")
    signed = world.sign_in("amina", browser=browser, establishment="tilleuls")
    phone = enrol_phone(world, world.application.signin.second_factors, "amina")
    page = browser.get("/account")
    page = browser.post("/account/establishment", {**form(page, "/account/establishment"), "establishment": "glycines"})
    assert world.account("amina").last_establishment_id == world.establishment("tilleuls").id, "from here the other home is outside"
    page = browser.submit("factor-form", page=page, code=phone.code(world.clock))
    assert "Les Glycines" in page.text
    assert urlsplit(page.url).path == "/account"
    assert world.account("amina").last_establishment_id == world.establishment("glycines").id
    world.move(browser, AT_GLYCINES)
    browser.get(signed.party.begin())
    assert world.last_event("authorization.granted")["establishment_id"] == world.establishment("glycines").id


def test_person_stays_at_the_establishment_when_the_other_one_asks_what_they_have_not(world: World) -> None:
    browser = world.sign_in("amina", establishment="tilleuls").browser
    page = browser.get("/account")
    page = browser.post("/account/establishment", {**form(page, "/account/establishment"), "establishment": "glycines"})
    assert (page.status, urlsplit(page.url).path.split("/")[1]) == (403, "signin")
    assert world.last_event("signin.refused")["reason"] == "no_factor_enrolled"
    assert browser.get("/account").status == 200


def test_account_pages_ask_again_when_the_session_of_the_lan_is_taken_home(world: World) -> None:
    browser = world.sign_in("claire").browser
    world.move(browser, OUTSIDE)
    page = browser.get("/account")
    assert (page.status, world.last_event("signin.refused")["reason"]) == (403, "no_factor_enrolled")
    enrol_phone(world, world.application.signin.second_factors, "claire")
    assert "factor-form" in browser.get("/account/password").forms


def test_establishment_stays_when_the_other_is_not_theirs(world: World) -> None:
    browser, page = at_account(world)
    token = form(page, "/account/signout")
    page = browser.post("/account/establishment", {**token, "establishment": "glycines"})
    assert "You are now at" not in page.text
    assert world.account("claire").last_establishment_id == world.establishment("tilleuls").id


def test_person_changes_their_password_and_is_signed_out_everywhere_else(world: World) -> None:
    elsewhere = world.sign_in("claire")
    browser, _ = at_account(world)
    page = browser.get("/account/password")
    page = browser.submit("password-form", page=page, current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert "Your password is changed." in page.text
    assert world.last_event("password.changed")["details"] == {"forced": False, "sessions_ended": 1}
    assert world.events("session.ended")[-1]["reason"] == "credential_changed"
    assert "signin-form" in elsewhere.browser.get(elsewhere.party.begin()).forms
    assert elsewhere.party.refresh(elsewhere.tokens.answer["refresh_token"]).status_code == 400


def test_password_stays_when_the_present_one_is_wrong_and_guessing_is_slowed_down(world: World) -> None:
    browser, _ = at_account(world)
    page = browser.get("/account/password")
    hasher = world.application.hasher
    for attempt in range(5):
        counted = hasher.hash_count
        page = browser.submit("password-form", page=page, current_password=f"faux {attempt}", new_password=NEW, confirm_password=NEW)
        assert page.status == 422
        assert hasher.hash_count - counted == 1
        assert world.last_event("password.change_refused")["reason"] == "wrong_password"
    counted = hasher.hash_count
    page = browser.submit("password-form", page=page, current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.status == 429
    assert hasher.hash_count == counted
    event = world.last_event("password.change_refused")
    assert (event["reason"], event["request_id"]) == ("throttled", page.support_code)
    assert world.events("password.changed") == []


def test_none_of_the_last_three_passwords_comes_back(world: World) -> None:
    browser, _ = at_account(world)
    used = [PASSWORD, NEW, "Un-Velo-Orange-Sous-La-Pluie-3", "Douze-Moulins-Tournent-Encore-9"]
    for current, new in pairwise(used):
        page = browser.get("/account/password")
        page = browser.submit("password-form", page=page, current_password=current, new_password=new, confirm_password=new)
        assert "Your password is changed." in page.text
    for old in used[1:]:
        page = browser.get("/account/password")
        page = browser.submit("password-form", page=page, current_password=used[-1], new_password=old, confirm_password=old)
        assert page.status == 422
        assert world.last_event("password.change_refused")["reason"] == "password_reused"
    page = browser.get("/account/password")
    page = browser.submit("password-form", page=page, current_password=used[-1], new_password=PASSWORD, confirm_password=PASSWORD)
    assert "Your password is changed." in page.text


def test_visitor_is_taken_to_sign_in_and_back_when_not_signed_in(world: World) -> None:
    browser = world.browser(language="en")
    page = browser.get("/account/password")
    assert "signin-form" in page.forms
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert "password-form" in page.forms
    assert page.url.endswith("/account/password")


def test_page_asks_who_is_there_when_the_account_was_cut_meanwhile(world: World) -> None:
    browser, _ = at_account(world)
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), status="suspended")
    page = browser.get("/account")
    assert page.status in {200, 403}
    assert "Unité Alzheimer" not in page.text


def test_reading_the_account_page_counts_as_activity(world: World) -> None:
    browser, _ = at_account(world)
    for _ in range(3):
        world.clock.advance(timedelta(minutes=20))
        page = browser.get("/account")
        assert "Claire Dubois" in page.text
        assert "30 min" in page.text
    world.clock.advance(timedelta(minutes=31))
    assert "signin-form" in browser.get("/account").forms


def test_cookies_have_no_host_prefix_when_the_issuer_is_this_machine(make_world: MakeWorld) -> None:
    world = make_world(issuer="http://127.0.0.1:8400", demo=True)
    browser, page = at_account(world)
    assert "Claire Dubois" in page.text
    cookie = browser.cookie("vestibule-session")
    assert cookie is not None
    assert not cookie.secure
    assert "Strict-Transport-Security" not in page.headers
