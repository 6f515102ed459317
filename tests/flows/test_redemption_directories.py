"""A reset of a directory's password, up to the person's own change of it: slapd, then Active Directory (Samba), whose rules hold to the end."""

import pytest

from tests.conftest import MakeRoom
from tests.flows.test_redemption import RESETS, redeem
from tests.support.cast import AT_TILLEULS
from tests.support.reset_desk import ResetDesk
from tests.support.slapd import PASSWORD, Slapd
from tests.support.smtp import SmtpServer
from tests.support.world import World

NEW = "Hamac-Cerfeuil-83-Tournesol"


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer, slapd: Slapd) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=RESETS, directories=[slapd.settings(desk=slapd.desk())]), smtp)


def arrive(world: World, name: str, password: str = PASSWORD) -> str:
    """Their first sign-in: their account's id."""
    browser = world.browser(address=AT_TILLEULS)
    page = browser.sign_in(name, password, page=browser.get("/account"))
    assert page.url.endswith("/account"), page
    return str(world.last_event("signin.succeeded")["account_id"])


def test_nurse_of_slapd_chooses_her_password_there_and_the_old_one_opens_nothing(desk: ResetDesk, slapd: Slapd) -> None:
    world = desk.world
    arrive(world, "d.claire")
    halves = desk.issue_to("d.claire", "password")
    assert not slapd.can_bind(slapd.dn("d.claire"), PASSWORD)
    assert slapd.values("d.claire", "pwdReset") == ["TRUE"]
    browser = world.browser(language="en", address=AT_TILLEULS)
    redeem(browser, halves)
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done"), page
    assert slapd.can_bind(slapd.dn("d.claire"), NEW)
    assert slapd.values("d.claire", "pwdReset") == []
    reset = desk.reset(halves.reset_id)
    assert (reset.state, reset.sealed) == ("done", None)
    again = world.browser(language="en", address=AT_TILLEULS)
    assert again.sign_in("d.claire", PASSWORD, page=again.get("/account")).status == 403
    assert again.sign_in("d.claire", NEW).url.endswith("/account")


def test_the_directorys_own_rule_refuses_and_the_nurse_tries_again(desk: ResetDesk, slapd: Slapd) -> None:
    world = desk.world
    slapd.set_policy(pwdMinLength="20")
    arrive(world, "d.claire")
    halves = desk.issue_to("d.claire", "password")
    browser = world.browser(language="en", address=AT_TILLEULS)
    redeem(browser, halves)
    short = "Hamac-Cerfeuil-83"
    page = browser.submit("password-form", new_password=short, confirm_password=short)
    assert page.status == 422
    assert desk.reset(halves.reset_id).state == "redeemed"
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done"), page


def test_the_nurse_is_told_to_try_again_when_slapd_does_not_answer(desk: ResetDesk, slapd: Slapd) -> None:
    world = desk.world
    arrive(world, "d.claire")
    halves = desk.issue_to("d.claire", "password")
    browser = world.browser(language="en", address=AT_TILLEULS)
    redeem(browser, halves)
    slapd.stop()
    try:
        page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
        assert page.status == 422
        assert "does not answer" in page.text
        assert desk.reset(halves.reset_id).state == "redeemed"
    finally:
        slapd.start()
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done"), page
