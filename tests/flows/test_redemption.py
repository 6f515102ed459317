"""/reset from the outside: both halves, what the person still has, and a means of sign-in of their own."""

from datetime import timedelta

import pytest

from tests.conftest import MakeRoom
from tests.flows.test_account_pages import NEW
from tests.support.authenticator import Lies
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.keyholder import FORM, enrolled
from tests.support.reset_desk import Halves, ResetDesk
from tests.support.second_factors import ORIGIN, Phone, enrol_phone
from tests.support.sms_gateway import SmsGateway
from tests.support.smtp import SmtpServer
from tests.support.world import World

RESETS = {"second_person": [], "approval": "any_factor"}


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=RESETS), smtp)


@pytest.fixture
def world(desk: ResetDesk) -> World:
    return desk.world


def redeem(browser: Browser, halves: Halves) -> Page:
    """Type both halves."""
    browser.get("/reset")
    return browser.submit("reset-form", spoken=halves.spoken, sent=halves.sent)


def phone_of(world: World, person: str = "claire") -> Phone:
    return enrol_phone(world, world.application.signin.second_factors, person)


def give_code(world: World, browser: Browser, phone: Phone) -> Page:
    world.clock.advance(timedelta(seconds=30))
    return browser.submit("factor-form", code=phone.code(world.clock))


def test_nurse_chooses_her_own_password_after_both_halves_and_her_factor(desk: ResetDesk, world: World) -> None:
    phone = phone_of(world)
    elsewhere = world.sign_in("claire", scope="openid offline_access")
    halves = desk.issue("claire", "password")
    assert elsewhere.party.refresh(elsewhere.tokens.refresh).status_code == 400
    browser = world.browser(language="en", address=OUTSIDE)
    page = redeem(browser, halves)
    assert "factor-form" in page.forms
    assert browser.get("/reset/password").url.endswith("/reset/factor")
    browser.get("/reset/factor")
    page = give_code(world, browser, phone)
    assert "Both codes are right" in page.text
    page = browser.submit("password-form", new_password="azerty123", confirm_password="azerty123")
    assert page.status == 422
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done")
    assert desk.reset(halves.reset_id).state == "done"
    done = world.last_event("reset.done")
    assert done["details"]["seconds"] > 0
    assert done["account_id"] == world.account("claire").id
    assert browser.get("/reset/password").forms.keys() == {"reset-form"}
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get("/account"))
    assert page.status == 403
    page = browser.sign_in("claire.dubois", NEW)
    page = give_code(world, browser, phone)
    assert page.url.endswith("/account")


def test_nurse_enrols_a_new_factor_by_her_password_after_both_halves(desk: ResetDesk, world: World) -> None:
    lost = phone_of(world)
    halves = desk.issue("claire", "factor")
    browser = world.browser(language="en", address=OUTSIDE)
    page = redeem(browser, halves)
    assert "signin-form" in page.forms
    page = browser.sign_in("claire.dubois", PASSWORD)
    page = browser.submit("enrol-choice", button="totp")
    phone = Phone.scanning(page.markup)
    assert phone.secret != lost.secret
    page = browser.submit("totp-form", code=phone.code(world.clock))
    assert desk.reset(halves.reset_id).state == "done"
    assert world.last_event("factor.enrolled")["details"]["opened_by"] == "pass"
    page = browser.get(page.url)  # from the recovery codes on
    assert page.url.endswith("/account")
    assert "Claire Dubois" in page.text
    assert world.last_event("signin.succeeded")["amr"] == ["pwd", "otp", "mfa"]


def test_nurse_without_anything_chooses_a_password_and_enrols_when_two_agreed(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "both")
    browser = world.browser(language="en")
    redeem(browser, halves)
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert "signin-form" in page.forms
    assert desk.reset(halves.reset_id).state == "redeemed"
    page = browser.sign_in("claire.dubois", NEW)
    page = browser.submit("enrol-choice", button="totp")
    page = browser.submit("totp-form", code=Phone.scanning(page.markup).code(world.clock))
    assert desk.reset(halves.reset_id).state == "done"


def test_nurse_gives_the_factor_that_is_left_by_sms_or_on_paper(make_room: MakeRoom, smtp: SmtpServer, gateway: SmsGateway) -> None:
    room = make_room(mail=smtp.settings(), sms=gateway.settings(), resets=RESETS, factors={"offered": ["totp", "sms"]})
    desk, world = ResetDesk(room, smtp), room.world
    telephone = room.factor()
    paper = world.application.signin.second_factors.recovery.renew(world.account("claire").id, ORIGIN)
    halves = desk.issue("claire", "password")
    browser = world.browser(language="en", address=OUTSIDE)
    page = redeem(browser, halves)
    assert "factor-form" not in page.forms, "nothing is sent before it is asked for"
    page = browser.submit("factor-switch", button="recovery")
    assert browser.submit("factor-form", code="AAAA-BBBB-CCCC").status == 403
    browser.get("/reset/factor")
    page = browser.submit("factor-switch", button=telephone.id)
    room.deliver()
    assert browser.submit("factor-form", code="000000").status == 403
    page = browser.submit("factor-form", code=gateway.code())
    assert "password-form" in page.forms
    assert paper[0] not in page.markup
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done")


def test_nurse_gives_a_recovery_code_for_the_telephone_at_home(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    paper = world.application.signin.second_factors.recovery.renew(world.account("claire").id, ORIGIN)
    halves = desk.issue("claire", "password")
    browser = world.browser(language="en", address=OUTSIDE)
    redeem(browser, halves)
    browser.submit("factor-switch", button="recovery")
    page = browser.submit("factor-form", code=paper[0])
    assert "password-form" in page.forms


def test_nurse_enrols_where_no_rule_asks_a_factor(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "factor")
    browser = world.browser(language="en")  # at work, where the password alone lets her in
    redeem(browser, halves)
    page = browser.sign_in("claire.dubois", PASSWORD)
    assert "enrol-choice" in page.forms
    page = browser.submit("enrol-choice", button="totp")
    browser.submit("totp-form", code=Phone.scanning(page.markup).code(world.clock))
    assert world.last_event("factor.enrolled")["details"]["opened_by"] == "pass"
    assert desk.reset(halves.reset_id).state == "done"


def test_a_locked_nurse_is_let_in_with_what_she_has_chosen(make_room: MakeRoom, smtp: SmtpServer) -> None:
    room = make_room(mail=smtp.settings(), resets=RESETS, lockout={"mode": "admin"})
    desk, world = ResetDesk(room, smtp), room.world
    browser = world.browser(language="en")
    for guess in range(10):
        browser.sign_in("claire.dubois", f"Faux-Mot-De-Passe-{guess}", page=browser.get("/account"))
        world.clock.advance(timedelta(hours=1))
    halves = desk.issue("claire", "password")
    redeem(browser, halves)
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done")
    assert browser.sign_in("claire.dubois", NEW, page=browser.get("/account")).url.endswith("/account")


def test_an_old_page_leads_to_what_is_left(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire", "password")
    browser = world.browser(language="en")
    page = redeem(browser, halves)
    assert browser.get("/reset/enrol").url.endswith("/reset/password")
    assert browser.get("/reset").url.endswith("/reset/password")
    stale = browser.post("/reset/password", {"csrf_token": "", "new_password": NEW, "confirm_password": NEW})
    assert stale.status == 400
    assert "/reset" in [href for href, _ in stale.document.links]
    assert browser.get("/reset/factor").url.endswith("/reset/password")
    browser.submit("password-form", page=page, new_password=NEW, confirm_password=NEW)
    again = browser.submit("password-form", page=page, new_password=NEW, confirm_password=NEW)
    assert again.status == 410
    assert len(world.events("password.changed")) == 1


def test_nurse_gives_the_passkey_that_is_left(desk: ResetDesk, world: World) -> None:
    holder = enrolled(world)
    halves = desk.issue("claire", "password")
    browser = world.browser(language="en", address=OUTSIDE)
    page = redeem(browser, halves)
    lied = browser.submit(FORM, page=page, credential=holder.answer(page, Lies(origin="https://mechant.example")))
    assert lied.status == 403
    page = browser.get("/reset/factor")
    page = browser.submit(FORM, page=page, credential=holder.answer(page))
    assert "password-form" in page.forms
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done")
