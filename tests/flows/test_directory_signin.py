"""People of a real slapd sign in: by what they are called there, with the profile their groups give, and are told what the directory says of them.

The cast is in tests/support/slapd_cast.py.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import LANS
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.slapd import PASSWORD, PEOPLE, Slapd
from tests.support.world import World

NOTHING = Issued(0, 0, 0, 0)
NEW = "Hamac-Cerfeuil-83-Tournesol"


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> Iterator[World]:
    """The world's two homes, their people in a directory."""
    return make_world(directories=[slapd.settings()])


def at_page(world: World) -> tuple[Browser, Page]:
    browser = world.browser()
    return browser, browser.get(world.relying_party().begin())


def claims_of(world: World, identifier: str, *, at_work: str = "tilleuls", **parameters: str) -> dict[str, Any]:
    browser, party = world.browser(address=LANS[at_work]), world.relying_party()
    page = browser.sign_in(identifier, PASSWORD, page=browser.get(party.begin(**parameters)))
    assert page.callback is not None, page
    return party.exchange(page.callback).claims


@pytest.mark.parametrize("typed", ["d.claire", "D.Claire", "d.claire@annuaire.example", "70001", "  d.claire\u200b "])
def test_nurse_signs_in_by_uid_address_or_number(homes: World, typed: str) -> None:
    claims = claims_of(homes, typed)
    assert claims["establishment"]["slug"] == "tilleuls"
    assert claims["roles"] == ["nurse"]
    assert claims["amr"] == ["pwd"]
    opened = homes.last_event("session.opened")
    assert (opened["connector"], opened["reason"]) == ("annuaire", None)
    linked = homes.last_event("account.linked")
    assert (linked["connector"], linked["account_id"]) == ("annuaire", claims["sub"])


def test_aide_has_the_profile_of_a_group_within_a_group(homes: World) -> None:
    claims = claims_of(homes, "d.hugo", at_work="glycines")
    assert (claims["establishment"]["slug"], claims["roles"]) == ("glycines", ["aide"])


def test_nurse_of_two_homes_chooses(homes: World) -> None:
    claims = claims_of(homes, "d.amina", at_work="glycines", establishment="glycines")
    assert claims["establishment"]["slug"] == "glycines"


def test_the_same_person_is_the_same_account_however_they_are_found(homes: World) -> None:
    subjects = {claims_of(homes, typed)["sub"] for typed in ("d.claire", "70001", "d.claire@annuaire.example")}
    assert len(subjects) == 1
    assert len(homes.events("account.linked")) == 1


def test_sub_stays_when_the_entry_is_renamed_and_moved(homes: World, slapd: Slapd) -> None:
    before = claims_of(homes, "d.claire")
    slapd.add_entry(f"ou=depart,{PEOPLE}", ["organizationalUnit"], {"ou": "depart"})
    old = slapd.dn("d.claire")
    new = slapd.rename(old, "uid=d.durand", under=f"ou=depart,{PEOPLE}")
    slapd.join("tilleuls-infirmiers", new)
    slapd.leave("tilleuls-infirmiers", old)
    after = claims_of(homes, "d.durand")
    assert after["sub"] == before["sub"]
    with homes.database.read() as tx:
        account = tx.people.get(after["sub"])
    assert account is not None
    assert account.username == "d.durand"
    assert "username" in homes.last_event("account.changed")["details"]["fields"]


def test_a_wrong_password_and_an_unknown_name_read_alike(homes: World) -> None:
    texts = set()
    for typed in ("d.claire", "zz.nemo", "claire.dubois"):
        browser, page = at_page(homes)
        page = browser.sign_in(typed, "Sans-Doute-47-Faux", page=page)
        assert page.status == 403
        texts.add(page.text.replace(typed, "").replace(page.support_code or "", "").replace((page.support_code or "")[:5], ""))
    reasons = [event["reason"] for event in homes.events("signin.refused")]
    assert reasons == ["wrong_password", "unknown_identifier", "wrong_password"]
    assert len({text.split("Code")[0] for text in texts}) == 1
    assert issued(homes) == NOTHING


def test_a_local_account_still_signs_in_beside_a_directory(homes: World) -> None:
    browser, page = at_page(homes)
    page = browser.sign_in("claire.dubois", LOCAL_PASSWORD, page=page)
    assert page.callback is not None
    assert homes.last_event("session.opened")["connector"] == "local"


def test_somebody_whom_no_rule_places_is_told_and_not_kept(homes: World, slapd: Slapd) -> None:
    slapd.add_person("d.seul")
    browser, page = at_page(homes)
    page = browser.sign_in("d.seul", PASSWORD, page=page)
    assert page.status == 403
    assert "aucun établissement ne vous a ouvert d’accès" in page.text
    assert homes.last_event("signin.refused")["reason"] == "nothing_grants"
    assert homes.events("account.linked") == []
    assert issued(homes) == NOTHING


def test_an_address_of_another_account_is_left_to_it(homes: World, slapd: Slapd) -> None:
    """Never adopted by address: somebody who can write their own mail in the directory would become somebody else here."""
    local = homes.account("claire")
    slapd.modify(slapd.dn("d.claire"), {"mail": local.email or "claire.dubois@tilleuls.example"})
    claims = claims_of(homes, "d.claire")
    assert claims["sub"] != local.id
    browser, page = at_page(homes)
    assert browser.sign_in(local.username or "", LOCAL_PASSWORD, page=page).callback is not None


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        ("disabled", "directory_disabled", "fermé"),
        ("expired", "directory_expired", "expiré"),
    ],
)
def test_person_is_told_why_only_when_the_password_is_right(homes: World, slapd: Slapd, state: str, reason: str, says: str) -> None:
    if state == "disabled":
        slapd.disable("d.claire")
    else:
        slapd.modify(slapd.dn("d.claire"), {"objectClass": ["inetOrgPerson", "shadowAccount"], "shadowExpire": "10000"})
    for password in ("Sans-Doute-47-Faux", PASSWORD):
        browser, page = at_page(homes)
        page = browser.sign_in("d.claire", password, page=page)
        assert page.status == 403
        assert homes.last_event("signin.refused")["reason"] in {reason, "wrong_password"}
        if password != PASSWORD:
            assert says not in page.text
    assert homes.last_event("signin.refused")["reason"] == reason
    assert issued(homes) == NOTHING


def test_a_locked_person_is_refused_and_the_reason_recorded(homes: World, slapd: Slapd) -> None:
    slapd.lock("d.claire")
    browser, page = at_page(homes)
    page = browser.sign_in("d.claire", PASSWORD, page=page)
    assert page.status == 403
    assert homes.last_event("signin.refused")["reason"] == "directory_locked"
    assert issued(homes) == NOTHING


def test_person_outside_the_scope_is_nobody(homes: World) -> None:
    browser, page = at_page(homes)
    page = browser.sign_in("d.remi", PASSWORD, page=page)
    assert page.status == 403
    assert homes.last_event("signin.refused")["reason"] == "unknown_identifier"


def test_person_changes_the_directory_password_on_our_page_when_it_must_be(homes: World, slapd: Slapd) -> None:
    slapd.must_change("d.claire")
    browser, party = homes.browser(), homes.relying_party()
    page = browser.sign_in("d.claire", PASSWORD, page=browser.get(party.begin()))
    assert "password-form" in page.forms, page
    page = browser.submit("password-form", current_password="Sans-Doute-47-Faux", new_password=NEW, confirm_password=NEW)
    assert page.status == 422
    assert homes.last_event("password.change_refused")["reason"] == "wrong_password"
    page = browser.submit("password-form", current_password=PASSWORD, new_password=PASSWORD, confirm_password=PASSWORD)
    assert page.status == 422
    assert homes.last_event("password.change_refused")["reason"] == "directory_refused_change"
    page = browser.submit("password-form", current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.callback is not None, page
    assert party.exchange(page.callback).claims["roles"] == ["nurse"]
    assert slapd.can_bind(slapd.dn("d.claire"), NEW)
    changed = homes.last_event("password.changed")
    assert changed["connector"] == "annuaire"


def test_person_changes_the_directory_password_from_their_account(homes: World, slapd: Slapd) -> None:
    browser = homes.browser()
    browser.sign_in("d.claire", PASSWORD, page=browser.get("/account"))
    browser.get("/account/password")
    page = browser.submit("password-form", current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.status == 200, page
    assert slapd.can_bind(slapd.dn("d.claire"), NEW)


def test_an_operators_suspension_is_not_lifted_by_the_directory(homes: World) -> None:
    sub = claims_of(homes, "d.claire")["sub"]
    with homes.arranging() as tx:
        tx.people.change(sub, homes.clock.now(), status="suspended", cut_by="operator")
    browser, page = at_page(homes)
    page = browser.sign_in("d.claire", PASSWORD, page=page)
    assert page.status == 403
    assert homes.last_event("signin.refused")["reason"] == "account_not_active"


# Faults


def test_page_says_that_the_directory_does_not_answer_and_nobody_is_locked_out(homes: World, slapd: Slapd) -> None:
    slapd.stop()
    for _ in range(8):
        browser, page = at_page(homes)
        page = browser.sign_in("d.claire", PASSWORD, page=page)
        assert page.status == 503
        assert "annuaire" in page.text
    refused = homes.last_event("signin.refused")
    assert (refused["reason"], refused["connector"]) == ("directory_unreachable", "annuaire")
    assert refused["details"]["trouble"] in {"refused", "paused"}
    slapd.start()
    homes.clock.advance(timedelta(seconds=11))
    assert claims_of(homes, "d.claire")["roles"] == ["nurse"]


def test_local_accounts_sign_in_while_the_directory_is_down(homes: World, slapd: Slapd) -> None:
    slapd.stop()
    browser, page = at_page(homes)
    assert browser.sign_in("claire.dubois", LOCAL_PASSWORD, page=page).callback is not None
    slapd.start()
