"""A leaver is out within the bound: what a real slapd says is asked again at refresh, introspection, userinfo and authorization.

Disabled, deleted or out of scope ends Account, Sessions and Grants; leaving the group ends what stood on it; the applications are told. A directory
that does not answer changes nothing for a while, and revives nobody.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from idp.composition.cut import open_deliverer
from tests.conftest import MakeWorld
from tests.support.cast import LANS
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.slapd import PASSWORD, Slapd
from tests.support.world import SignedIn, World

BOUND = timedelta(minutes=5)
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> Iterator[World]:
    """The world's two homes, their people in a directory; sessions that outlive the grace."""
    return make_world(directories=[slapd.settings()], sessions={"idle": "12h"})


def sign_in(world: World, uid: str = "d.claire", client: str = "carnet", **parameters: str) -> SignedIn:
    at_work = LANS[parameters.get("establishment", "tilleuls")]
    browser, party = world.browser(address=at_work), world.relying_party(client)
    page = browser.sign_in(uid, PASSWORD, page=browser.get(party.begin(scope="openid profile email establishment", **parameters)))
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def disable(slapd: Slapd) -> None:
    slapd.disable("d.claire")


def delete(slapd: Slapd) -> None:
    slapd.delete(slapd.dn("d.claire"))


def expire(slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.claire"), {"objectClass": ["inetOrgPerson", "shadowAccount"], "shadowExpire": "10000"})


def put_out_of_scope(slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.claire"), {"employeeType": "prestataire"})


LEAVING = [
    (disable, "directory_disabled"),
    (delete, "directory_gone"),
    (expire, "directory_expired"),
    (put_out_of_scope, "directory_out_of_scope"),
]


@pytest.mark.parametrize(("leave", "reason"), LEAVING)
def test_leaver_is_refused_at_the_next_refresh_past_the_bound_and_the_application_told(
    homes: World, slapd: Slapd, leave: Callable[[Slapd], None], reason: str
) -> None:
    here = sign_in(homes)
    leave(slapd)
    within = here.party.refresh(here.tokens.refresh)
    assert within.status_code == 200  # the directory's word of a moment ago still stands
    homes.clock.advance(BOUND + A_MOMENT)
    refused = here.party.refresh(within.json()["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    ended = homes.last_event("account.suspended")
    assert (ended["reason"], ended["connector"]) == (reason, "annuaire")
    assert homes.last_event("session.ended")["reason"] == reason
    assert homes.last_event("grant.ended")["reason"] == reason
    with closing(open_deliverer(homes.application)) as outbox:
        outbox.run_once()
        homes.listener.wait(1)
    assert here.party.introspect(here.tokens.access).json() == {"active": False}


@pytest.mark.parametrize(("leave", "reason"), LEAVING)
def test_leaver_is_refused_at_introspection_userinfo_and_authorization(
    homes: World, slapd: Slapd, leave: Callable[[Slapd], None], reason: str
) -> None:
    here = sign_in(homes)
    there = sign_in(homes, "d.claire", "autre")
    leave(slapd)
    homes.clock.advance(BOUND - A_MOMENT)
    fresh = there.party.refresh(there.tokens.refresh).json()["access_token"]
    homes.clock.advance(2 * A_MOMENT)
    assert there.party.userinfo(fresh).status_code == 401
    page = here.browser.get(here.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    page = here.browser.get(here.party.begin())
    assert "signin-form" in page.forms
    assert homes.last_event("account.suspended")["reason"] == reason


def test_leaver_is_cut_at_a_silent_authorization(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.disable("d.claire")
    homes.clock.advance(BOUND + A_MOMENT)
    page = here.browser.get(here.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    assert homes.last_event("session.ended")["reason"] == "directory_disabled"


def test_person_is_told_why_they_were_signed_out(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.disable("d.claire")
    homes.clock.advance(BOUND + A_MOMENT)
    page = here.browser.get(here.party.begin())
    assert "annuaire" in page.text


def test_nobody_is_asked_about_within_the_bound(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.stop()
    homes.clock.advance(BOUND)
    assert here.party.refresh(here.tokens.refresh).status_code == 200
    slapd.start()


def test_who_leaves_the_group_loses_what_stood_on_it(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert homes.last_event("session.ended")["reason"] == "attachment_lost"
    assert homes.last_event("attachment.ended")["connector"] == "annuaire"
    slapd.join("tilleuls-infirmiers", slapd.dn("d.claire"))
    assert sign_in(homes).tokens.claims["roles"] == ["nurse"]


def test_who_leaves_one_home_of_two_keeps_the_other(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes, "d.amina", establishment="tilleuls")
    there = sign_in(homes, "d.amina", establishment="glycines")
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.amina"))
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert there.party.refresh(there.tokens.refresh).status_code == 200


@pytest.mark.parametrize("leave", [disable, put_out_of_scope])
def test_who_is_let_in_again_is_back_at_the_next_sign_in(homes: World, slapd: Slapd, leave: Callable[[Slapd], None]) -> None:
    here = sign_in(homes)
    leave(slapd)
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    if leave is disable:
        slapd.enable("d.claire")
    else:
        slapd.modify(slapd.dn("d.claire"), {"employeeType": None})
    assert here.party.refresh(here.tokens.refresh).status_code == 400  # what was cut stays cut
    again = sign_in(homes)
    assert again.tokens.claims["sub"] == here.tokens.claims["sub"]
    assert homes.last_event("account.reinstated")["connector"] == "annuaire"


def test_an_operator_cannot_revive_somebody_whom_the_directory_still_refuses(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.disable("d.claire")
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    with homes.arranging() as tx:
        tx.people.change(here.tokens.claims["sub"], homes.clock.now(), status="active", cut_by=None)
    browser = homes.browser()
    page = browser.sign_in("d.claire", PASSWORD, page=browser.get(here.party.begin()))
    assert page.status == 403
    assert homes.last_event("account.suspended")["reason"] == "directory_disabled"
    with homes.database.read() as tx:
        account = tx.people.get(here.tokens.claims["sub"])
    assert account is not None
    assert not account.is_active


def test_a_lock_ends_nothing(homes: World, slapd: Slapd) -> None:
    """Whoever knows a nurse's name can type wrong passwords: that must not throw her out of the care application."""
    here = sign_in(homes)
    slapd.lock("d.claire")
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 200


# A directory that does not answer


def degraded(answer: Any, world: World) -> tuple[bool, bool]:
    payload = answer.json()["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return bool(claims.get("degraded")), bool(world.last_event("token.issued")["details"].get("degraded"))


def test_people_who_are_signed_in_go_on_for_the_grace_marked_as_degraded(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.stop()
    homes.clock.advance(BOUND + A_MOMENT)
    answer = here.party.refresh(here.tokens.refresh)
    assert answer.status_code == 200
    assert degraded(answer, homes) == (True, True)
    page = here.browser.get(here.party.begin(prompt="none"))
    assert page.callback is not None
    assert "code" in page.callback.parameters
    homes.clock.advance(timedelta(hours=4))
    late = here.party.refresh(answer.json()["refresh_token"])
    assert (late.status_code, late.json()["error"]) == (503, "temporarily_unavailable")
    assert homes.last_event("token.refused")["reason"] == "directory_unreachable"
    page = here.browser.get(here.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "temporarily_unavailable"
    slapd.start()
    homes.clock.advance(timedelta(minutes=1))
    back = here.party.refresh(answer.json()["refresh_token"])  # nothing was taken by the refusal
    assert back.status_code == 200
    assert degraded(back, homes) == (False, False)


def test_a_disabled_person_is_not_revived_by_an_outage(homes: World, slapd: Slapd) -> None:
    here = sign_in(homes)
    slapd.disable("d.claire")
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    slapd.stop()
    homes.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    page = here.browser.get(here.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    slapd.start()


def test_a_directory_taken_from_the_configuration_vouches_for_nobody(make_world: MakeWorld, slapd: Slapd) -> None:
    world = make_world(directories=[slapd.settings()], standing={"grace": "10m"})
    here = sign_in(world)
    world.application.directories.close()
    world.application.directories._opened.clear()
    world.clock.advance(timedelta(minutes=16))
    assert here.party.refresh(here.tokens.refresh).status_code == 503


# The break-glass account


def test_break_glass_account_signs_in_when_the_directory_is_down_and_rings(homes: World, slapd: Slapd, caplog: Any) -> None:
    with homes.arranging() as tx:
        (account,) = tx.people.matching("claire.dubois", None)
        tx.people.change(account.id, homes.clock.now(), is_break_glass=True)
    slapd.stop()
    browser, party = homes.browser(), homes.relying_party()
    for _ in range(7):
        page = browser.sign_in("claire.dubois", "Sans-Doute-47-Faux", page=browser.get(party.begin()))
        assert page.callback is None
    page = browser.sign_in("claire.dubois", LOCAL_PASSWORD, page=browser.get(party.begin()))
    assert page.callback is not None, "a stranger's wrong tries must not close the last door"
    assert homes.last_event("break_glass.used")["account_id"] == account.id
    browser.get("/account/password")
    new = "Hamac-Cerfeuil-83-Tournesol"
    page = browser.submit("password-form", current_password=LOCAL_PASSWORD, new_password=new, confirm_password=new)
    assert page.status == 422
    assert homes.last_event("password.change_refused")["reason"] == "password_sealed"
    slapd.start()
