"""Devices: a browser is known after a whole sign-in, and may be remembered where the establishment lets it; its secret rotates and is taken once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from idp.signin.devices import FORMER_TAKEN_FOR
from tests.conftest import MakeWorld
from tests.flows.refusal import issued
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.second_factors import Phone, enrol_phone
from tests.support.world import World

COOKIE = "__Host-vestibule-device"
DAYS = 30


@pytest.fixture
def phone(world: World) -> Phone:
    """Claire's, enrolled at work; Les Tilleuls let browsers be remembered."""
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"remember_device_days": DAYS})
    return enrol_phone(world, world.application.signin.second_factors)


def come(world: World, browser: Browser, person: str = "claire", client: str = "carnet") -> Page:
    """To the page after the password; signed out first."""
    browser.jar = {key: cookie for key, cookie in browser.jar.items() if not cookie.name.endswith("-session")}
    page = browser.get(world.relying_party(client).begin())
    return browser.sign_in(world.person(person).username, PASSWORD, page=page)


def confirm(world: World, browser: Browser, page: Page, phone: Phone, **fields: str) -> Page:
    world.clock.advance(timedelta(seconds=30))
    return browser.submit("factor-form", page=page, code=phone.code(world.clock), **fields)


def remembered(world: World, phone: Phone) -> Browser:
    """A browser outside that Claire has asked to be remembered."""
    browser = world.browser(address=OUTSIDE)
    page = confirm(world, browser, come(world, browser), phone, remember="1")
    assert page.callback is not None, page
    return browser


def secret(browser: Browser) -> str:
    cookie = browser.cookie(COOKIE)
    assert cookie is not None
    assert cookie.secure
    assert cookie.http_only
    return cookie.value


def known(world: World, person: str = "claire") -> int:
    with world.database.read() as tx:
        return len(tx.devices.open_of(world.account(person).id))


def test_gesture_is_spared_in_a_remembered_browser_and_never_called_a_proof(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    world.clock.advance(timedelta(days=1))
    page = come(world, browser)
    assert page.callback is not None, page
    event = world.last_event("signin.succeeded")
    assert (event["amr"], event["acr"]) == (["pwd"], "urn:vestibule:acr:password")
    assert event["decision"]["facts"]["methods"] == ["password", "remembered_device"]
    assert event["device_id"]


def test_gesture_is_asked_again_when_the_days_are_over(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    world.clock.advance(timedelta(days=DAYS, seconds=1))
    assert "factor-form" in come(world, browser).forms


def test_using_a_remembered_browser_does_not_lengthen_its_days(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    for _ in range(3):
        world.clock.advance(timedelta(days=9))
        assert come(world, browser).callback is not None
    world.clock.advance(timedelta(days=4))
    assert "factor-form" in come(world, browser).forms


def test_gesture_is_asked_of_somebody_else_in_a_remembered_browser(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    enrol_phone(world, world.application.signin.second_factors, "rose")
    assert "factor-form" in come(world, browser, "rose").forms


def test_two_people_are_remembered_in_one_browser(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    other = enrol_phone(world, world.application.signin.second_factors, "rose")
    assert confirm(world, browser, come(world, browser, "rose"), other, remember="1").callback is not None
    assert come(world, browser).callback is not None
    assert come(world, browser, "rose").callback is not None


def test_browser_is_not_remembered_when_nobody_asked(world: World, phone: Phone) -> None:
    browser = world.browser(address=OUTSIDE)
    assert confirm(world, browser, come(world, browser), phone).callback is not None
    assert "factor-form" in come(world, browser).forms


def test_nothing_is_offered_where_the_establishment_remembers_nothing(world: World, phone: Phone) -> None:
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"remember_device_days": 0})
    browser = world.browser(address=OUTSIDE)
    page = come(world, browser)
    assert "remember" not in page.markup
    action, token = page.forms["factor-form"].action or "", page.forms["factor-form"].fields["csrf_token"]
    world.clock.advance(timedelta(seconds=30))
    page = browser.post(action, {"csrf_token": token, "code": phone.code(world.clock), "remember": "1"})
    assert page.callback is not None
    assert "factor-form" in come(world, browser).forms


def test_nothing_is_remembered_at_a_shared_workstation(world: World, phone: Phone) -> None:
    with world.arranging() as tx:
        (lan,) = tx.zones.of(world.establishment("tilleuls").id)
        tx.zones.change(lan.id, {"kind": "shared_workstation"})
        tx.establishments.change(world.establishment("tilleuls").id, {"regulatory_level": "rie-2026"})
        tx.revisions.advance("zones")
    browser = world.browser()
    page = come(world, browser)
    assert "factor-form" in page.forms
    assert "remember" not in page.markup
    assert confirm(world, browser, page, phone).callback is not None
    assert browser.cookie(COOKIE) is None
    assert known(world) == 0


def test_remembered_browser_does_not_spare_a_level_that_the_application_insists_on(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    party = world.relying_party("autre")
    page = browser.get(party.begin(claims='{"id_token":{"acr":{"essential":true,"values":["urn:vestibule:acr:mfa"]}}}', prompt="login"))
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert "factor-form" in page.forms


# Known, and told


def test_browser_is_known_after_a_whole_sign_in_and_keeps_one_place(world: World, phone: Phone) -> None:
    browser = world.browser()
    come(world, browser)
    first = secret(browser)
    assert known(world) == 1
    world.clock.advance(timedelta(hours=1))
    come(world, browser)
    assert known(world) == 1
    assert secret(browser) != first
    facts = world.last_event("signin.succeeded")["decision"]["facts"]
    assert facts["device_known"] is True
    come(world, world.browser())
    assert known(world) == 2
    assert world.last_event("signin.succeeded")["decision"]["facts"]["device_known"] is False


def test_browser_is_not_known_before_the_sign_in_is_whole(world: World, phone: Phone) -> None:
    browser = world.browser(address=OUTSIDE)
    come(world, browser)
    assert browser.cookie(COOKIE) is None
    assert known(world) == 0


def test_step_up_keeps_the_browser_that_is_known(world: World, phone: Phone) -> None:
    signed = world.sign_in("claire")
    page = signed.browser.get(signed.party.begin(acr_values="urn:vestibule:acr:mfa"))
    assert confirm(world, signed.browser, page, phone, remember="1").callback is not None
    assert known(world) == 1
    world.move(signed.browser, OUTSIDE)
    assert come(world, signed.browser).callback is not None


# The secret


def test_former_secret_serves_for_minutes_when_an_answer_was_lost(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    before = dict(browser.jar)
    assert come(world, browser).callback is not None
    browser.jar = before
    world.clock.advance(FORMER_TAKEN_FOR - timedelta(seconds=1))
    assert come(world, browser).callback is not None
    world.clock.advance(timedelta(days=1))
    assert come(world, browser).callback is not None, "the answer that arrived holds the present secret"
    assert known(world) == 1


def test_former_secret_that_comes_late_ends_the_device(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    thief = world.browser(address=OUTSIDE)
    thief.jar = dict(browser.jar)
    assert come(world, browser).callback is not None
    world.clock.advance(FORMER_TAKEN_FOR + timedelta(seconds=1))
    page = come(world, thief)
    assert "factor-form" in page.forms
    assert confirm(world, thief, page, phone).callback is not None
    assert world.last_event("device.ended")["reason"] == "device_secret_replayed"
    assert "factor-form" in come(world, browser).forms, "whoever holds which copy cannot be told"


@pytest.mark.parametrize("value", ["", ".", "x", "a" * 43, "é" * 10, ".".join(["b" * 43] * 40), "c" * 5_000])
def test_invented_secret_opens_nothing(world: World, phone: Phone, value: str) -> None:
    browser = remembered(world, phone)
    host = ("connexion.example", COOKIE)
    cookie = browser.jar[host]
    browser.jar[host] = type(cookie)(
        cookie.name, value.encode("ascii", "ignore").decode(), "/", secure=True, http_only=True, same_site="lax"
    )
    assert "factor-form" in come(world, browser).forms


def test_only_one_of_two_answers_at_the_same_instant_carries_the_next_secret(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    with world.database.read() as tx:
        (device,) = tx.devices.open_of(world.account("claire").id)
    assert secret(browser)
    both = Barrier(2)

    def rotate(successor: str) -> bool:
        both.wait()
        with world.database.write() as tx:
            return tx.devices.rotate(
                device.id, device.secret_digest, successor=successor, now=world.clock.now(), user_agent="", address="198.51.100.7"
            )

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(rotate, ("a" * 43, "b" * 43))) == [False, True]


def test_browser_that_was_forgotten_meanwhile_spares_nothing(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    page = come(world, browser, client="curieux")
    assert "consent-form" in page.forms
    with world.arranging() as tx:
        tx.devices.end_of(world.account("claire").id, world.clock.now())
    before = issued(world)
    page = browser.submit("consent-form", page=page)
    assert "factor-form" in page.forms
    assert issued(world) == before


def test_secret_is_nowhere_in_the_store(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    content = b"".join(path.read_bytes() for path in world.folder.iterdir() if ".db" in path.name)
    assert secret(browser).encode() not in content


# Ended


def test_person_forgets_a_browser_on_the_account_page(world: World, phone: Phone) -> None:
    lost = remembered(world, phone)
    at_work = world.sign_in("claire").browser
    page = at_work.get("/account")
    assert "Navigateurs qui me connaissent" in page.text
    with world.database.read() as tx:
        device = next(one for one in tx.devices.open_of(world.account("claire").id) if one.remembered_at is not None)
    token = page.document.forms[0].fields["csrf_token"]
    before = issued(world)
    page = at_work.post("/account/devices/end", {"csrf_token": token, "device_id": device.id})
    assert "Le navigateur est oublié" in page.text
    assert issued(world) == before
    assert world.last_event("device.ended")["reason"] == "ended_by_person"
    party = world.relying_party()
    page = lost.get(party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    assert "factor-form" in come(world, lost).forms


def test_person_cannot_forget_the_browser_of_somebody_else(world: World, phone: Phone) -> None:
    remembered(world, phone)
    with world.database.read() as tx:
        (theirs,) = tx.devices.open_of(world.account("claire").id)
    browser = world.sign_in("rose").browser
    token = browser.get("/account").document.forms[0].fields["csrf_token"]
    browser.post("/account/devices/end", {"csrf_token": token, "device_id": theirs.id})
    assert known(world) == 1


def test_every_browser_is_forgotten_when_the_password_changes(world: World, phone: Phone) -> None:
    browser = remembered(world, phone)
    at_work = world.sign_in("claire").browser
    page = at_work.get("/account/password")
    new = "Une-Autre-Girafe-Violette-84"
    at_work.submit("password-form", page=page, current_password=PASSWORD, new_password=new, confirm_password=new)
    assert known(world) == 0
    page = browser.get(world.relying_party().begin())
    assert "factor-form" in browser.sign_in("claire.dubois", new, page=page).forms


def test_account_page_says_where_and_how_the_person_signed_in(world: World, phone: Phone) -> None:
    page = world.sign_in("claire").browser.get("/account")
    assert "Sur le réseau de votre établissement (lan)" in page.text
    page = remembered(world, phone).get("/account")
    assert "Hors du réseau de votre établissement" in page.text
    assert "mot de passe, code d’une application d’authentification" in page.text


# Told


def told(world: World) -> list[str]:
    """Who was told of a new browser, masked, oldest first."""
    return [str(line["details"]["to"]) for line in world.events("message.queued") if line["details"]["purpose"] == "new_device"]


def test_person_is_told_of_a_browser_that_is_new(make_world: MakeWorld) -> None:
    world = make_world(mail={"host": "courriel.example", "sender": "vestibule@tilleuls.example"})
    phone = enrol_phone(world, world.application.signin.second_factors)
    come(world, world.browser())
    assert told(world) == [], "the first one, at work: there is nothing that it would differ from"
    at_work = world.browser()
    come(world, at_work)
    assert told(world) == ["c***@t***.example"]
    come(world, at_work)
    assert len(told(world)) == 1
    away = world.browser(address=OUTSIDE)
    page = come(world, away)
    assert len(told(world)) == 1, "not before the sign-in is whole"
    confirm(world, away, page, phone)
    assert len(told(world)) == 2


def test_person_is_told_of_their_very_first_browser_when_it_is_outside(make_world: MakeWorld) -> None:
    world = make_world(mail={"host": "courriel.example", "sender": "vestibule@tilleuls.example"})
    phone = enrol_phone(world, world.application.signin.second_factors)
    browser = world.browser(address=OUTSIDE)
    confirm(world, browser, come(world, browser), phone)
    assert len(told(world)) == 1
