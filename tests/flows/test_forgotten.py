"""/forgotten: asking for a reset by name, establishment and profile; one answer for everybody, and the request made behind it."""

from typing import Any

import pytest
import yaml

from idp.config import check
from tests.conftest import MakeRoom
from tests.flows.test_account_pages import NEW
from tests.flows.test_redemption import give_code, phone_of
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.reset_desk import ResetDesk
from tests.support.smtp import SmtpServer
from tests.support.world import World

BY_EMAIL = {"modes": [{"mode": "admin+email_code"}], "second_person": []}
ALONE = {"modes": [{"mode": "self"}], "second_person": []}


def desk_with(make_room: MakeRoom, smtp: SmtpServer, resets: dict[str, Any]) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=resets), smtp)


def ask(world: World, name: str, place: str = "Les Tilleuls", profile: str = "nurse", **more: str) -> tuple[Browser, Page]:
    browser = world.browser(language="en", address=OUTSIDE)
    browser.get("/forgotten")
    return browser, browser.submit("forgotten-form", name=name, establishment=place, profile=profile, **more)


def open_of(world: World, person: str = "claire") -> list[str]:
    with world.database.read() as tx:
        return [one.state for one in tx.resets.open_of(world.account(person).id)]


def said(page: Page) -> str:
    """What the page says, without what is another at each."""
    text = page.text.replace(page.support_code or "", "").split("Support code")[0]
    return " ".join(word for word in text.split() if not (len(word) == 9 and word[4] == "-"))


def test_the_sign_in_page_offers_nothing_where_only_an_agent_resets(world: World) -> None:
    browser = world.browser(language="en")
    browser.get("/account")
    assert "Forgotten password?" not in said(browser.page)  # type: ignore[arg-type]  # a page was just got
    page = browser.get("/forgotten")
    assert "a person does it, who knows you" in page.text
    assert "forgotten-form" not in page.forms
    token = browser.get("/stop").forms["stop-form"].fields["csrf_token"]
    fields = {"csrf_token": token, "name": "Claire Dubois", "establishment": "Les Tilleuls", "profile": "nurse", "kind": "password"}
    assert browser.post("/forgotten", fields).status == 403
    assert open_of(world) == []


@pytest.mark.parametrize(
    "name", ["Claire Dubois", "dubois  CLAIRE", "Claïre-Dubois", "claire.dubois", "Claire.Dubois@tilleuls.example", "10042"]
)
def test_nurse_asks_by_any_name_of_hers_and_an_agent_sees_it(make_room: MakeRoom, smtp: SmtpServer, name: str) -> None:
    desk = desk_with(make_room, smtp, BY_EMAIL)
    _, page = ask(desk.world, name, "les tilleuls")
    assert "your request is made" in page.text
    assert open_of(desk.world) == ["asked"]
    asked = desk.world.last_event("reset.asked")
    assert (asked["actor"], asked["details"]["own"]) == ("anonymous", True)


@pytest.mark.parametrize(
    ("name", "place", "profile", "reason"),
    [
        ("Personne Dutout", "Les Tilleuls", "nurse", "unknown_identifier"),
        # What an agent's search finds her by names nobody here.
        ("Clai Dub", "Les Tilleuls", "nurse", "unknown_identifier"),
        ("Claire", "Les Tilleuls", "nurse", "unknown_identifier"),
        ("Claire Dubois Martin", "Les Tilleuls", "nurse", "unknown_identifier"),
        ("Claire Dubois", "Les Glycines", "nurse", "unknown_identifier"),
        ("Claire Dubois", "Nulle Part", "nurse", "unknown_identifier"),
        ("Claire Dubois", "Les Tilleuls", "doctor", "unknown_identifier"),
        ("Paul Garnier", "Les Tilleuls", "aide", "account_not_active"),
        ("Ines Roche", "Les Glycines", "aide", "unknown_identifier"),
    ],
)
def test_who_asks_wrongly_reads_the_same_and_nothing_is_made(
    make_room: MakeRoom, smtp: SmtpServer, name: str, place: str, profile: str, reason: str
) -> None:
    desk = desk_with(make_room, smtp, BY_EMAIL)
    _, right = ask(desk.world, "Claire Dubois")
    _, wrong = ask(desk.world, name, place, profile)
    assert (wrong.status, said(wrong)) == (right.status, said(right))
    refused = desk.world.last_event("reset.refused")
    assert refused["reason"] == reason
    assert name not in str(desk.world.events("reset.refused"))
    assert len(desk.world.events("reset.asked")) == 1


def test_nobody_is_looked_for_before_the_answer_is_out(make_room: MakeRoom, smtp: SmtpServer) -> None:
    """How long the answer takes cannot depend on who was named: it is sent first."""
    world = desk_with(make_room, smtp, BY_EMAIL).world
    browser = world.browser(language="en", address=OUTSIDE)
    token = browser.get("/forgotten").forms["forgotten-form"].fields["csrf_token"]
    fields = {"csrf_token": token, "name": "Claire Dubois", "establishment": "Les Tilleuls", "profile": "nurse", "kind": "password"}
    with browser.client.stream("POST", f"{world.issuer}/forgotten", data=fields, headers={"Cookie": cookies(browser)}) as answer:
        assert answer.status_code == 200
        assert b"forgotten-answer" in next(answer.iter_bytes())
        assert open_of(world) == []
    assert open_of(world) == ["asked"]


def cookies(browser: Browser) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar.values())


def test_what_is_missing_is_said_and_nothing_typed_is_lost(make_room: MakeRoom, smtp: SmtpServer) -> None:
    world = desk_with(make_room, smtp, BY_EMAIL).world
    _, page = ask(world, "Claire Dubois", profile="")
    assert page.status == 422
    assert page.forms["forgotten-form"].fields["name"] == "Claire Dubois"
    assert open_of(world) == []


def test_many_requests_of_one_address_wait(make_room: MakeRoom, smtp: SmtpServer) -> None:
    world = desk_with(make_room, smtp, BY_EMAIL).world
    statuses = [ask(world, f"Personne Dutout{number}")[1].status for number in range(13)]
    assert statuses == [200] * 12 + [429]


def test_nurse_helps_herself_with_the_number_the_mail_and_her_factor(make_room: MakeRoom, smtp: SmtpServer) -> None:
    desk = desk_with(make_room, smtp, ALONE)
    world = desk.world
    phone = phone_of(world)
    signed = world.sign_in("claire")
    smtp.forget()
    browser, page = ask(world, "Claire Dubois")
    assert open_of(world) == ["issued"]
    number = next(word for word in page.text.split() if len(word) == 9 and word[4] == "-")
    assert "code" in signed.browser.get(signed.party.begin(prompt="none")).callback.parameters  # type: ignore[union-attr]  # nothing has ended yet
    browser.get("/reset")
    page = browser.submit("reset-form", spoken=number, sent=desk.received())
    assert "factor-form" in page.forms
    give_code(world, browser, phone)
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done")
    assert "error" in signed.browser.get(signed.party.begin(prompt="none")).callback.parameters  # type: ignore[union-attr]  # now it has


def test_who_has_no_factor_does_not_help_themselves_alone(make_room: MakeRoom, smtp: SmtpServer) -> None:
    desk = desk_with(make_room, smtp, ALONE)
    _, page = ask(desk.world, "Claire Dubois")
    assert open_of(desk.world) == ["asked"]  # an agent sees to it
    number = next(word for word in page.text.split() if len(word) == 9 and word[4] == "-")
    browser = desk.world.browser(language="en", address=OUTSIDE)
    browser.get("/reset")
    assert browser.submit("reset-form", spoken=number, sent="ABCD-EFGH").status == 403


def test_a_factor_that_went_meanwhile_is_asked_all_the_same(make_room: MakeRoom, smtp: SmtpServer) -> None:
    desk = desk_with(make_room, smtp, ALONE)
    world = desk.world
    phone_of(world)
    smtp.forget()
    browser, page = ask(world, "Claire Dubois")
    number = next(word for word in page.text.split() if len(word) == 9 and word[4] == "-")
    with world.arranging() as tx:
        for factor in tx.factors.open_of(world.account("claire").id):
            tx.factors.end(factor.id, world.clock.now())
    browser.get("/reset")
    page = browser.submit("reset-form", spoken=number, sent=desk.received())
    assert page.url.endswith("/reset/factor")
    assert browser.get("/reset/password").url.endswith("/reset/factor")
    assert world.events("password.changed") == []


@pytest.mark.parametrize("said", [True, False, "", "Le nom de votre premier animal ?", {"questions": 3}])
def test_a_secret_question_is_refused_by_the_configuration_with_the_reason(world: World, said: object) -> None:
    settings = yaml.safe_load(world.config_path.read_text(encoding="utf-8"))
    path = world.folder / "asking.yaml"
    path.write_text(yaml.safe_dump({**settings, "resets": {"secret_question": said}}), encoding="utf-8")
    (finding,) = (one for one in check(path)[1] if one.severity == "error")
    assert finding.path == "resets.secret_question"
    assert "CNIL" in finding.message


PARTLY = {"modes": [{"mode": "admin+email_code"}, {"mode": "self", "establishment": "tilleuls"}], "second_person": []}


@pytest.mark.parametrize("used_at", ["tilleuls", "glycines", None])
def test_number_is_shown_by_the_establishment_typed_whatever_browser_and_whoever_is_named(
    make_room: MakeRoom, smtp: SmtpServer, used_at: str | None
) -> None:
    world = desk_with(make_room, smtp, PARTLY).world
    for place, is_shown in (("Les Tilleuls", True), ("Les Glycines", False)):
        for name in ("Claire Dubois", "Karim Haddad", "Personne Dutout"):
            page = ask_from(world, used_at, name, place)
            assert ('id="forgotten-number"' in page.markup) is is_shown, (place, name)


CLOSED_THERE = {"modes": [{"mode": "admin"}, {"mode": "self", "establishment": "tilleuls"}], "second_person": []}


@pytest.mark.parametrize("used_at", ["tilleuls", "glycines", None])
def test_request_is_taken_whatever_establishment_the_browser_was_used_at(
    make_room: MakeRoom, smtp: SmtpServer, used_at: str | None
) -> None:
    world = desk_with(make_room, smtp, CLOSED_THERE).world
    for name in ("Karim Haddad", "Personne Dutout"):
        assert ask_from(world, used_at, name, "Les Glycines").status == 200
    assert world.events("reset.asked") == []
    page = ask_from(world, used_at, "Claire Dubois", "Les Tilleuls")
    assert (page.status, 'id="forgotten-number"' in page.markup) == (200, True)
    assert open_of(world) != []


def ask_from(world: World, used_at: str | None, name: str, place: str) -> Page:
    """The form sent from a browser that was last used at an establishment, or nowhere."""
    browser = world.browser(language="en", address=OUTSIDE)
    if used_at is not None:
        browser.sign_in(world.person("claire" if used_at == "tilleuls" else "karim").username, PASSWORD, page=browser.get("/account"))
        browser.get("/account")
    token = browser.get("/stop").forms["stop-form"].fields["csrf_token"]
    fields = {"csrf_token": token, "name": name, "establishment": place, "profile": "nurse", "kind": "password"}
    return browser.post("/forgotten", fields)
