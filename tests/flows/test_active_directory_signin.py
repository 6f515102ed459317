"""People of a real Active Directory domain (Samba) at our door: each form of their name, the profile their groups give, and what the domain says.

The cast is in tests/support/samba_cast.py. The world stands at the real time, which a domain controller goes by.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import LANS
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.samba import Samba
from tests.support.samba_cast import NIGHTS, OTHER_SUFFIX, PASSWORD
from tests.support.stores import Stores
from tests.support.world import Furniture, World, furnish

NOTHING = Issued(0, 0, 0, 0)
NEW = "Hamac-Cerfeuil-83-Tournesol"
WRONG = "Sans-Doute-47-Faux"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def furniture(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Furniture:
    """What the worlds of this module are copied from: made today."""
    return furnish(tmp_path_factory.mktemp("furniture-today"), FixedClock(datetime.now(UTC)), session_listener, stores=stores)


@pytest.fixture
def clock() -> FixedClock:
    """Now."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def homes(make_world: MakeWorld, samba: Samba) -> Iterator[World]:
    """The world's two homes, their people in a domain."""
    return make_world(directories=[samba.settings()])


def attempt(world: World, identifier: str, password: str = PASSWORD) -> tuple[Browser, Page]:
    browser = world.browser()
    return browser, browser.sign_in(identifier, password, page=browser.get(world.relying_party().begin()))


def claims_of(world: World, identifier: str, password: str = PASSWORD, *, at_work: str = "tilleuls", **parameters: str) -> dict[str, Any]:
    browser, party = world.browser(address=LANS[at_work]), world.relying_party()
    page = browser.sign_in(identifier, password, page=browser.get(party.begin(**parameters)))
    assert page.callback is not None, page
    return party.exchange(page.callback).claims


def refusal(world: World, identifier: str, password: str = PASSWORD) -> tuple[Page, str]:
    _, page = attempt(world, identifier, password)
    assert page.status == 403, page
    assert issued(world) == NOTHING
    return page, world.last_event("signin.refused")["reason"]


@pytest.mark.parametrize(
    "forms",
    [
        ["a.claire", f"claire.dumas@{OTHER_SUFFIX}", "a.claire@ehpad.test", "EHPAD\\a.claire"],
        ["a.claire", f"a.claire@{OTHER_SUFFIX}", "80001", "ehpad.test\\A.Claire"],
    ],
)
def test_nurse_is_one_account_by_every_form_of_her_name(homes: World, forms: list[str]) -> None:
    found = [claims_of(homes, typed) for typed in forms]
    assert len({claims["sub"] for claims in found}) == 1
    assert {(claims["establishment"]["slug"], *claims["roles"], *claims["amr"]) for claims in found} == {("tilleuls", "nurse", "pwd")}
    assert len(homes.events("account.linked")) == 1
    assert homes.last_event("session.opened")["connector"] == "domaine"


def test_aide_has_the_profile_of_a_group_three_groups_down(homes: World) -> None:
    claims = claims_of(homes, "a.hugo", at_work="glycines")
    assert (claims["establishment"]["slug"], claims["roles"]) == ("glycines", ["aide"])


def test_nurse_has_the_profile_of_her_primary_group(homes: World) -> None:
    claims = claims_of(homes, "a.amina", establishment="tilleuls")
    assert (claims["establishment"]["slug"], claims["roles"]) == ("tilleuls", ["nurse"])


@pytest.mark.parametrize("typed", ["AUTRE\\a.claire", "a.*", "a.claire)(objectClass=*", "EHPAD\\*", "a.remi"])
def test_other_names_are_nobodys_at_the_door(homes: World, typed: str) -> None:
    _, reason = refusal(homes, typed)
    assert reason == "unknown_identifier"


@pytest.mark.parametrize(
    ("act", "reason", "says"),
    [
        ("disable", "directory_disabled", "fermé"),
        ("expire_account", "directory_expired", "expiré"),
    ],
)
def test_person_is_told_why_only_when_the_password_is_right(homes: World, samba: Samba, act: str, reason: str, says: str) -> None:
    getattr(samba, act)("a.claire")
    page, why = refusal(homes, "a.claire", WRONG)
    assert why == "wrong_password"
    assert says not in page.text
    page, why = refusal(homes, "a.claire")
    assert why == reason
    assert says in page.text


def test_locked_person_is_refused_and_the_reason_recorded(homes: World, samba: Samba) -> None:
    samba.lock("a.claire")
    page, reason = refusal(homes, "a.claire")
    assert reason == "directory_locked"
    assert "bloqué votre compte" not in page.text, "a controller says so to everybody: whoever typed has proven nothing"


def test_person_outside_their_hours_is_told_so(homes: World, samba: Samba) -> None:
    samba.modify(samba.dn("a.claire"), {"logonHours": bytes(21)})
    page, reason = refusal(homes, "a.claire")
    assert reason == "directory_not_now"
    assert "à cette heure-ci" in page.text


@pytest.mark.parametrize("act", ["must_change", "expire_password"])
def test_person_changes_the_domains_password_on_our_page(homes: World, samba: Samba, act: str) -> None:
    getattr(samba, act)("a.claire")
    browser, party = homes.browser(), homes.relying_party()
    page = browser.sign_in("a.claire", PASSWORD, page=browser.get(party.begin()))
    assert "password-form" in page.forms, page
    page = browser.submit("password-form", current_password=WRONG, new_password=NEW, confirm_password=NEW)
    assert page.status == 422
    assert homes.last_event("password.change_refused")["reason"] == "wrong_password"
    page = browser.submit("password-form", current_password=PASSWORD, new_password=PASSWORD, confirm_password=PASSWORD)
    assert page.status == 422
    assert homes.last_event("password.change_refused")["reason"] == "directory_refused_change"
    assert issued(homes) == NOTHING
    page = browser.submit("password-form", current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.callback is not None, page
    assert party.exchange(page.callback).claims["roles"] == ["nurse"]
    assert samba.can_bind(samba.dn("a.claire"), NEW)
    assert homes.last_event("password.changed")["connector"] == "domaine"
    assert claims_of(homes, "a.claire", NEW)["roles"] == ["nurse"]


def test_guesses_on_the_change_page_spend_the_sign_ins_tries(homes: World, samba: Samba) -> None:
    """A controller counts no wrong present password in a change: it would be an oracle without end."""
    samba.must_change("a.claire")
    browser, party = homes.browser(), homes.relying_party()
    browser.sign_in("a.claire", PASSWORD, page=browser.get(party.begin()))
    reasons = []
    for number in range(12):
        page = browser.submit("password-form", current_password=f"{WRONG}{number}", new_password=NEW, confirm_password=NEW)
        reasons.append(homes.last_event("password.change_refused")["reason"])
        if "password-form" not in page.forms:
            break
    assert reasons[0] == "wrong_password"
    assert reasons[-1] == "throttled"
    assert samba.can_bind(samba.dn("a.hugo"), PASSWORD)
    assert not samba.can_bind(samba.dn("a.claire"), NEW)


def test_person_changes_the_password_from_their_account(homes: World, samba: Samba) -> None:
    browser = homes.browser()
    browser.sign_in("a.claire", PASSWORD, page=browser.get("/account"))
    browser.get("/account/password")
    page = browser.submit("password-form", current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert page.status == 200, page
    assert samba.can_bind(samba.dn("a.claire"), NEW)
    browser.get("/account/password")
    page = browser.submit("password-form", current_password=NEW, new_password=f"{NEW}-2", confirm_password=f"{NEW}-2")
    assert page.status == 422
    assert "demain" in page.text, "too young: the domain's minPwdAge is a day"


def test_sub_stays_when_the_person_is_renamed_and_moved(homes: World, samba: Samba) -> None:
    before = claims_of(homes, "a.claire")
    moved = samba.rename(samba.dn("a.claire"), "CN=Claire Durand", under=NIGHTS)
    samba.modify(moved, {"sAMAccountName": "a.durand", "userPrincipalName": "a.durand@ehpad.test", "sn": "Durand"})
    after = claims_of(homes, "EHPAD\\a.durand")
    assert after["sub"] == before["sub"]
    assert after["roles"] == ["nurse"]
    with homes.database.read() as tx:
        account = tx.people.get(after["sub"])
    assert account is not None
    assert account.username == "a.durand"


def test_former_password_is_refused_right_after_a_reset(homes: World, samba: Samba) -> None:
    """The controller's own default is 60 minutes."""
    claims = claims_of(homes, "a.claire")
    samba.set_password("a.claire", NEW)
    assert samba.can_bind(samba.dn("a.claire"), PASSWORD), "the controller still takes it"
    opened = len(homes.events("session.opened"))
    _, page = attempt(homes, "a.claire")
    assert page.status == 403
    assert homes.last_event("signin.refused")["reason"] == "wrong_password"
    assert len(homes.events("session.opened")) == opened
    assert claims_of(homes, "a.claire", NEW)["sub"] == claims["sub"]


def test_former_password_does_not_open_the_change_page(homes: World, samba: Samba) -> None:
    samba.set_password("a.claire", NEW)
    samba.must_change("a.claire")
    _, reason = refusal(homes, "a.claire")
    assert reason == "wrong_password"


def test_leaver_is_signed_out_within_the_bound(homes: World, samba: Samba) -> None:
    browser, party = homes.browser(), homes.relying_party()
    page = browser.sign_in("a.claire", PASSWORD, page=browser.get(party.begin()))
    assert page.callback is not None
    samba.disable("a.claire")
    homes.clock.advance(timedelta(minutes=5, seconds=1))
    page = browser.get(party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"


def test_nobody_notices_when_one_of_two_controllers_stops(make_world: MakeWorld, samba: Samba, second_samba: Samba, tmp_path: Any) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(samba.ca_file.read_bytes() + second_samba.ca_file.read_bytes())
    homes = make_world(directories=[samba.settings(servers=[samba.ldaps, second_samba.ldaps], ca_file=str(both))])
    before = claims_of(homes, "a.claire")
    samba.stop()
    assert claims_of(homes, "a.claire")["sub"] == before["sub"]
    _, page = attempt(homes, "a.claire", WRONG)
    assert page.status == 403
    second_samba.stop()
    _, page = attempt(homes, "a.claire")
    assert page.status == 503
    assert homes.last_event("signin.refused")["reason"] == "directory_unreachable"


def test_domain_that_locks_leaves_the_inside_its_tries(homes: World, samba: Samba) -> None:
    """Strangers outside cannot lock a nurse at her desk: the domain's own threshold is known, and a part of it kept."""
    samba.set_policy(lockoutThreshold="5", lockOutObservationWindow=str(-30 * 60 * 10**7))
    for number in range(8):
        browser = homes.browser(address="203.0.113.9")
        browser.sign_in("a.claire", f"{WRONG}{number}", page=browser.get(homes.relying_party().begin()))
    assert int(samba.values("a.claire", "badPwdCount")[0]) < 5
    assert claims_of(homes, "a.claire")["roles"] == ["nurse"]
