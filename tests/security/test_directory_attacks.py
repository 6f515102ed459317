"""What somebody with an account in a directory, or with none, may not get out of it. A real slapd, with the cast of tests/support/slapd_cast.py."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.base import Identity
from idp.audit import Author, Origin
from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.slapd import PASSWORD, Slapd
from tests.support.world import World

WRONG = "Sans-Doute-47-Faux"
NEW = "Hamac-Cerfeuil-83-Tournesol"
BOUND = timedelta(minutes=5, seconds=1)
AUTHOR = Author("connector:annuaire", Origin("0123456789", "local"))


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> Iterator[World]:
    """The world's two homes, their people in a directory."""
    return make_world(directories=[slapd.settings()])


def attempt(world: World, identifier: str, password: str, *, browser: Browser | None = None) -> Page:
    browser = browser or world.browser()
    return browser.sign_in(identifier, password, page=browser.get(world.relying_party().begin()))


def claims_of(world: World, identifier: str) -> dict[str, Any]:
    party, browser = world.relying_party(), world.browser()
    page = browser.sign_in(identifier, PASSWORD, page=browser.get(party.begin()))
    assert page.callback is not None, page
    return party.exchange(page.callback).claims


# Guessing


def test_own_success_under_anothers_login_does_not_make_guesses_at_it_forgotten(homes: World, slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.zoe"), {"mail": "claire.dubois"})
    seen = []
    for turn in range(3):
        seen += [attempt(homes, "claire.dubois", f"{WRONG}{turn}{number}").status for number in range(4)]
        seen.append(attempt(homes, "claire.dubois", PASSWORD).status)
    assert 429 in seen
    homes.clock.advance(timedelta(days=1, minutes=1))
    assert attempt(homes, "claire.dubois", LOCAL_PASSWORD).callback is not None


def test_guesses_at_one_person_under_many_addresses_are_counted_together(homes: World, slapd: Slapd) -> None:
    addresses = [f"claire{number}@annuaire.example" for number in range(12)]
    slapd.modify(slapd.dn("d.claire"), {"mail": addresses})
    slapd.set_policy(pwdMaxFailure="0")
    statuses = [attempt(homes, address, f"{WRONG}{number}").status for number, address in enumerate(addresses)]
    assert statuses[:4] == [403] * 4
    assert set(statuses[6:]) == {429}
    assert attempt(homes, "d.claire", PASSWORD).status == 429, "a right password must read like a wrong one by now"


# Staying in


def test_who_left_the_group_does_not_stay_by_locking_themselves_out(homes: World, slapd: Slapd) -> None:
    party, browser = homes.relying_party(), homes.browser()
    page = browser.sign_in("d.claire", PASSWORD, page=browser.get(party.begin()))
    assert page.callback is not None
    tokens = party.exchange(page.callback)
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
    slapd.lock("d.claire")
    homes.clock.advance(timedelta(minutes=4, seconds=50))
    assert attempt(homes, "d.claire", WRONG).status == 403
    homes.clock.advance(timedelta(seconds=11))
    assert party.refresh(tokens.refresh).status_code == 400
    assert homes.last_event("attachment.ended")["connector"] == "annuaire"


def test_an_earlier_yes_does_not_undo_a_later_no(homes: World, slapd: Slapd) -> None:
    sub = claims_of(homes, "d.claire")["sub"]
    earlier = homes.clock.now()
    said = Identity(connector="annuaire", subject=slapd.subject("d.claire"), seen_at=earlier, username="d.claire")
    homes.clock.advance(timedelta(seconds=2))
    linking = homes.application.linking
    with homes.arranging() as tx:
        (link,) = tx.links.of_account(sub)
        linking.apply_word(tx, link, "disabled", AUTHOR)
    with homes.arranging() as tx:
        assert not linking.adopt(tx, said, AUTHOR, is_signing_in=True).account.is_active


def test_what_was_proven_with_an_old_directory_password_dies_with_it(homes: World) -> None:
    half_way = homes.browser()
    page = attempt(homes, "d.amina", PASSWORD, browser=half_way)
    assert "establishment-form" in page.forms
    elsewhere = homes.browser()
    page = elsewhere.sign_in("d.amina", PASSWORD, page=elsewhere.get("/account"))
    if "establishment-form" in page.forms:
        elsewhere.submit("establishment-form", button="tilleuls")
    elsewhere.get("/account/password")
    page = elsewhere.submit("password-form", current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.status == 200, page
    page = half_way.submit("establishment-form", page=half_way.page, button="tilleuls")
    assert page.callback is None
    assert "signin-form" in page.forms
    assert homes.last_event("signin.restarted")["reason"] == "credential_changed"


def test_an_operator_suspends_whom_the_directory_has_suspended_and_it_stays_so(homes: World, slapd: Slapd) -> None:
    from idp.people import accounts

    sub = claims_of(homes, "d.claire")["sub"]
    slapd.disable("d.claire")
    homes.clock.advance(BOUND)
    attempt(homes, "d.claire", PASSWORD)
    with homes.arranging() as tx:
        account = tx.people.get(sub)
        assert account is not None
        assert account.cut_by == "annuaire"
        accounts.suspend(tx, account, AUTHOR, clock=homes.clock)
    slapd.enable("d.claire")
    assert attempt(homes, "d.claire", PASSWORD).status == 403
    assert homes.last_event("signin.refused")["reason"] == "account_not_active"


# Being taken for somebody else


def test_an_address_written_by_oneself_is_not_told_to_applications(homes: World, slapd: Slapd) -> None:
    victim = homes.account("claire")
    slapd.modify(slapd.dn("d.zoe"), {"mail": victim.email or ""})
    claims = claims_of(homes, "d.zoe")
    assert claims["sub"] != victim.id
    assert "email" not in claims
    assert homes.last_event("account.linked")["details"]["left_to_others"] == "email"


# One directory of two is down


@pytest.fixture
def two(make_world: MakeWorld, slapd: Slapd) -> World:
    """One directory that answers and one where nobody listens."""
    return make_world(directories=[slapd.settings(), slapd.settings(name="sud", servers=["ldaps://127.0.0.1:1"])])


def test_nobody_can_tell_who_is_known_while_a_directory_is_down(two: World) -> None:
    texts = set()
    for identifier in ("d.claire", "zz.nemo", "claire.dubois"):
        page = attempt(two, identifier, WRONG)
        assert page.status == 503
        texts.add(page.text.replace(identifier, "").split("Code d")[0])
    assert len(texts) == 1
    assert two.events("signin.refused")[0]["reason"] == "wrong_password"


def test_people_of_the_directory_that_answers_sign_in_while_the_other_is_down(two: World) -> None:
    assert claims_of(two, "d.claire")["roles"] == ["nurse"]
