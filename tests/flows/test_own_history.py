"""/account/history: people see their own sign-ins, and "this was not me" ends everything at once and raises the alarm."""

from datetime import timedelta

from idp.store.events import EventFilter
from tests.conftest import MakeWorld
from tests.flows.test_account_pages import NEW, at_account, open_sessions
from tests.support.browser import Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.world import World

WRONG = "Pas-Du-Tout-Le-Bon-12"


def lines_of(page: Page) -> list[int]:
    """The audit lines that a page of the history shows."""
    return [int(value) for _, value, _ in page.forms["history-form"].buttons]


def kept(world: World, person: str) -> list[int]:
    """The lines that the person should see, newest first."""
    with world.database.read() as tx:
        found = tx.events.read(EventFilter(type_prefix="signin.", account_id=world.account(person).id))
        return [row["id"] for row in found if row["type"] in {"signin.succeeded", "signin.refused"}][::-1]


def test_nurse_sees_her_own_sign_ins_and_nobody_elses(world: World) -> None:
    world.sign_in("claire")
    world.sign_in("amina", establishment="tilleuls")
    thief = world.browser(address=OUTSIDE, user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/141.0")
    thief.sign_in("claire.dubois", WRONG, page=thief.get("/account"))
    browser, page = at_account(world)
    page = browser.get("/account/history")
    assert page.status == 200
    for words in ("Chrome, Windows", "Outside your establishment's network", "the password was not right", "This session", OUTSIDE):
        assert words in page.text
    assert lines_of(page) == kept(world, "claire")


def test_nurse_pages_back_through_many_sign_ins_without_losing_one(world: World) -> None:
    thief = world.browser(address=OUTSIDE)
    for _ in range(40):
        world.clock.advance(timedelta(minutes=20))
        thief.sign_in("claire.dubois", WRONG, page=thief.get("/account"))
    browser, page = at_account(world)
    seen, page = [], browser.get("/account/history")
    while True:
        seen += lines_of(page)
        older = next((href for href, _ in page.document.links if "before=" in href), None)
        if older is None:
            break
        page = browser.get(older)
    assert len(seen) == 41
    assert seen == kept(world, "claire")


def test_everything_ends_when_the_nurse_says_that_it_was_not_her(make_world: MakeWorld) -> None:
    world = make_world(mail={"host": "courriel.example", "sender": "vestibule@tilleuls.example"})
    elsewhere = world.sign_in("claire", scope="openid offline_access")
    browser, _ = at_account(world)
    page = browser.get("/account/history")
    line = lines_of(page)[-1]
    page = browser.submit("history-form", button=str(line))
    assert page.status == 200
    assert "Everything is closed" in page.text
    assert open_sessions(world, "claire") == 0
    assert elsewhere.party.refresh(elsewhere.tokens.refresh).status_code == 400
    event = world.last_event("signin.disowned")
    assert (event["account_id"], event["details"]["line"], event["details"]["sessions"]) == (world.account("claire").id, line, 2)
    assert event["establishment_id"] == world.establishment("tilleuls").id
    with world.database.read() as tx:
        assert tx.devices.open_of(world.account("claire").id) == ()
        assert "signin_disowned" in {one.purpose for one in tx.messages.recent(5)}
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get("/account"))
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/account")
    assert world.last_event("password.changed")["details"]["forced"] is True


def test_a_sign_in_half_way_with_the_known_password_is_worth_nothing_after_it(world: World) -> None:
    browser, page = at_account(world, "amina")
    page = browser.submit("establishment-form", button="tilleuls")
    thief = world.browser(language="en")
    half_way = thief.sign_in("amina.benali", PASSWORD, page=thief.get("/account"))
    assert "establishment-form" in half_way.forms
    browser.get("/account/history")
    world.clock.advance(timedelta(seconds=1))
    browser.submit("history-form")
    page = thief.submit("establishment-form", page=half_way, button="tilleuls")
    assert "signin-form" in page.forms
    assert open_sessions(world, "amina") == 0
    assert world.last_event("signin.restarted")["reason"] == "credential_changed"


def test_a_line_of_somebody_else_ends_nothing(world: World) -> None:
    world.sign_in("amina", establishment="tilleuls")
    other = world.last_event("signin.succeeded")["id"]
    browser, _ = at_account(world)
    page = browser.get("/account/history")
    for line in (str(other), "", "-1", "9" * 30, "deux"):
        browser.post("/account/history/not-me", {**page.forms["history-form"].fields, "line": line})
    assert open_sessions(world, "amina") == open_sessions(world, "claire") == 1
    assert world.events("signin.disowned") == []


def test_nobody_ends_anything_without_a_session_or_the_form_token(world: World) -> None:
    browser, _ = at_account(world)
    line = lines_of(browser.get("/account/history"))[0]
    stranger = world.browser(language="en")
    assert "signin-form" in stranger.get("/account/history").forms
    assert browser.post("/account/history/not-me", {"line": str(line)}).status == 400
    assert open_sessions(world, "claire") == 1
    assert world.last_event("request.refused")["reason"] == "bad_form_token"
