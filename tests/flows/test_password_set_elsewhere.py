"""Somebody's password is set in their directory, by the help desk or on a computer: what the former one opened is over, and they sign in again."""

from datetime import timedelta

import pytest

from tests.conftest import MakeWorld
from tests.support.browser import Browser
from tests.support.operator import Operator
from tests.support.processes import wait_until
from tests.support.running_clock import RunningClock
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD as DOMAIN_PASSWORD
from tests.support.slapd import PASSWORD, Slapd
from tests.support.watched_world import PATIENCE_SECONDS, cuts, settings, sign_in, working
from tests.support.world import World

NEW = "Bruyere-Lanterne-27-Castor"
BOUND = timedelta(minutes=5)
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """The world's two homes, their people in a directory that nobody listens to."""
    return make_world(directories=[slapd.settings(name="annuaire", watch={"enabled": False})], sessions={"idle": "12h"})


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/account").url.endswith("/account")


def status_of(world: World, account_id: str) -> str:
    with world.database.read() as tx:
        account = tx.people.get(account_id)
    assert account is not None
    return account.status


def test_what_the_former_password_opened_is_over_and_the_new_one_opens_again(homes: World, slapd: Slapd) -> None:
    here, elsewhere = sign_in(homes), homes.sign_in("claire")
    slapd.change_password("d.claire", NEW)
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert here.party.introspect(here.tokens.access).json() == {"active": False}
    event = homes.last_event("password.set_elsewhere")
    sub = str(here.tokens.claims["sub"])
    assert (event["reason"], event["connector"], event["account_id"]) == ("directory_password_set", "annuaire", sub)
    assert homes.last_event("session.ended")["reason"] == "directory_password_set"
    assert status_of(homes, sub) == "active"
    assert elsewhere.party.refresh(elsewhere.tokens.refresh).status_code == 200, "a colleague of another source"
    browser, party = homes.browser(), homes.relying_party()
    browser.sign_in("d.claire", NEW, page=browser.get(party.begin()))
    page = browser.submit("password-form", current_password=NEW, new_password=f"{NEW}-2", confirm_password=f"{NEW}-2")
    assert page.callback is not None, page
    tokens = party.exchange(page.callback)
    homes.clock.advance(BOUND + A_MOMENT)
    assert party.refresh(tokens.refresh).status_code == 200
    assert len(homes.events("password.set_elsewhere")) == 1


def test_a_reading_of_the_whole_directory_sees_it_too(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.change_password("d.claire", NEW)
    homes.clock.advance(A_MOMENT)
    Operator(homes.config_path, clock=homes.clock).do("sync", "annuaire")
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert homes.last_event("password.set_elsewhere")["reason"] == "directory_password_set"


def test_who_changes_it_on_our_page_stays_signed_in_there(homes: World) -> None:
    other, browser = sign_in(homes), homes.browser()
    browser.sign_in("d.claire", PASSWORD, page=browser.get("/account"))
    browser.get("/account/password")
    page = browser.submit("password-form", current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.status == 200, page
    assert is_signed_in(browser)
    assert other.party.refresh(other.tokens.refresh).status_code == 400
    for _ in range(2):
        homes.clock.advance(BOUND + A_MOMENT)
        assert is_signed_in(browser)
    assert not homes.events("password.set_elsewhere")


def test_a_sign_in_that_was_half_done_with_the_former_password_does_not_go_on(make_world: MakeWorld, slapd: Slapd) -> None:
    homes = make_world(directories=[slapd.settings(name="annuaire", watch={"enabled": False})])
    browser, party = homes.browser(), homes.relying_party()
    slapd.must_change("d.claire")
    page = browser.sign_in("d.claire", PASSWORD, page=browser.get(party.begin()))
    assert "password-form" in page.forms
    slapd.change_password("d.claire", NEW)
    homes.clock.advance(A_MOMENT)
    Operator(homes.config_path, clock=homes.clock).do("sync", "annuaire")
    page = browser.submit("password-form", page=page, current_password=PASSWORD, new_password=f"{NEW}-2", confirm_password=f"{NEW}-2")
    assert page.callback is None
    assert slapd.can_bind(slapd.dn("d.claire"), NEW)


class TestListening:
    """The directory says so itself, in real time."""

    @pytest.fixture
    def clock(self) -> RunningClock:
        """The worlds here live in real time."""
        return RunningClock()

    def test_the_application_is_told_at_once_and_nobody_has_left(self, make_world: MakeWorld, slapd: Slapd) -> None:
        homes = make_world(**settings(slapd))
        with working(homes):
            here = sign_in(homes)
            slapd.change_password("d.claire", NEW)
            (received,) = homes.listener.wait(1)
            assert here.party.read_logout_token(received.logout_token)["sid"] == here.tokens.claims["sid"]
            assert here.party.refresh(here.tokens.refresh).status_code == 400
        assert cuts(homes) == ()
        assert homes.last_event("password.set_elsewhere")["actor"] == "connector:annuaire"

    def test_a_reset_with_a_password_to_be_chosen_in_a_domain_is_one(self, make_world: MakeWorld, samba: Samba) -> None:
        homes = make_world(**settings(samba))
        with working(homes):
            here = sign_in(homes, "a.claire")
            samba.must_change("a.claire")
            (received,) = homes.listener.wait(1)
            assert here.party.read_logout_token(received.logout_token)["sid"] == here.tokens.claims["sid"]
            there = sign_in(homes, "a.zoe")
            samba.set_password("a.zoe", f"{DOMAIN_PASSWORD}-2")
            homes.listener.wait(2)
            wait_until(lambda: there.party.refresh(there.tokens.refresh).status_code == 400, seconds=PATIENCE_SECONDS)
        assert cuts(homes) == ()
