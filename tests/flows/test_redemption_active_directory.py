"""A reset of a domain's password (Samba), up to the person's own change of it.

The world stands at the real time, which a domain controller goes by.
"""

import pytest

from tests.conftest import MakeRoom
from tests.flows.test_active_directory_signin import clock, furniture
from tests.flows.test_redemption import RESETS, redeem
from tests.support.cast import AT_TILLEULS
from tests.support.reset_desk import ResetDesk
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD
from tests.support.smtp import SmtpServer

NEW = "Hamac-Cerfeuil-83-Tournesol"
pytestmark = pytest.mark.slow
__all__ = ["clock", "furniture"]


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer, samba: Samba) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=RESETS, directories=[samba.settings(desk=samba.desk())]), smtp)


def test_nurse_of_a_domain_chooses_her_password_there_and_the_old_one_is_refused_at_once(desk: ResetDesk, samba: Samba) -> None:
    world = desk.world
    browser = world.browser(address=AT_TILLEULS)
    assert browser.sign_in("a.claire", PASSWORD, page=browser.get("/account")).url.endswith("/account")
    halves = desk.issue_to("a.claire", "password")
    assert samba.values("a.claire", "pwdLastSet") == ["0"]
    refused = world.browser(language="en", address=AT_TILLEULS)
    page = refused.sign_in("a.claire", PASSWORD, page=refused.get("/account"))
    assert page.status == 403, page
    browser = world.browser(language="en", address=AT_TILLEULS)
    redeem(browser, halves)
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done"), page
    assert samba.values("a.claire", "pwdLastSet") != ["0"]
    # For an hour the controller takes the former ones by LDAP; our door does not.
    again = world.browser(language="en", address=AT_TILLEULS)
    assert again.sign_in("a.claire", PASSWORD, page=again.get("/account")).status == 403
    assert world.last_event("signin.refused")["connector"] == "domaine"
    assert again.sign_in("a.claire", NEW).url.endswith("/account")
    assert desk.reset(halves.reset_id).state == "done"


def test_the_domains_rule_refuses_and_the_nurse_tries_again(desk: ResetDesk, samba: Samba) -> None:
    world = desk.world
    browser = world.browser(address=AT_TILLEULS)
    browser.sign_in("a.claire", PASSWORD, page=browser.get("/account"))
    halves = desk.issue_to("a.claire", "password")
    browser = world.browser(language="en", address=AT_TILLEULS)
    redeem(browser, halves)
    page = browser.submit("password-form", new_password=PASSWORD, confirm_password=PASSWORD)
    assert page.status == 422
    assert world.last_event("password.change_refused")["reason"] == "directory_refused_change"
    assert desk.reset(halves.reset_id).state == "redeemed"
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/reset/done"), page
