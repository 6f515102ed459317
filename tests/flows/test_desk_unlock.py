"""Where somebody is stuck, and the unlock where the lock is: on a real slapd and a real domain; and those on whom nobody acts from here."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Author, Reason
from idp.desk.authority import Agent, operator
from idp.desk.finding import Finding, Obstacle
from idp.desk.reach import OutOfReach
from idp.people import accounts
from idp.signin.factor import FactorRefused
from idp.store.base import Account, Link
from policies.acts import Act
from tests.conftest import MakeWorld
from tests.support.agents import AgentAtWork, enter_console
from tests.support.browser import Page
from tests.support.cast import LANS, OUTSIDE
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.operator import ACTOR, Operator
from tests.support.second_factors import ORIGIN, enrol_phone
from tests.support.slapd import DISABLED_FOREVER, PASSWORD, Slapd
from tests.support.smtp import SmtpServer
from tests.support.world import World

WRONG = "Sans-Doute-47-Faux"
DESK = Author("operator:test", ORIGIN)
ENTRA = {
    "name": "office",
    "type": "entra",
    "label": "Office 365",
    "tenants": ["72f988bf-0000-4000-8000-00000000beef"],
    "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e",
    "client_secret": "env:OFFICE_SECRET",
    "mapping": [{"role": "Nurse", "establishment": "tilleuls", "profile": "nurse"}],
}


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd, smtp: SmtpServer) -> Iterator[World]:
    """The world's two homes, some of their people in a directory that lets the desk act."""
    return make_world(directories=[slapd.settings(desk=slapd.desk())], mail=smtp.settings())


@pytest.fixture
def contact(homes: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(homes)


def attempt(world: World, identifier: str, password: str = PASSWORD, *, address: str = LANS["tilleuls"]) -> Page:
    browser = world.browser(address=address)
    return browser.sign_in(identifier, password, page=browser.get(world.relying_party().begin()))


def account_of(world: World, identifier: str) -> Account:
    with world.database.read() as tx:
        return accounts.named(tx, identifier)


def known(world: World, identifier: str) -> Account:
    """Somebody of the directory who has signed in here."""
    assert attempt(world, identifier).callback is not None
    return account_of(world, identifier)


def findings(world: World, account: Account, slug: str = "tilleuls") -> tuple[Finding, ...]:
    return world.application.desk.diagnosis.of(account, world.establishment(slug))


def obstacles(world: World, account: Account, slug: str = "tilleuls") -> dict[Obstacle, Finding]:
    return {one.obstacle: one for one in findings(world, account, slug)}


def unlock(world: World, account: Account, agent: Agent | None = None) -> Any:
    return world.application.desk.unlock.unlock(agent or operator(DESK), account)


def refusal(world: World, account: Account) -> OutOfReach:
    with pytest.raises(OutOfReach) as caught:
        unlock(world, account)
    return caught.value


# Unlocking


def test_contact_unlocks_a_nurse_in_her_directory_and_she_signs_in(homes: World, slapd: Slapd, contact: AgentAtWork) -> None:
    nurse = known(homes, "d.claire")
    slapd.lock("d.claire")
    assert attempt(homes, "d.claire").callback is None
    finding = findings(homes, nurse)[0]
    assert (finding.obstacle, finding.act, finding.is_blocking) == (Obstacle.DIRECTORY_LOCKED, Act.UNLOCK, True)
    assert (finding.source, finding.source_kind) == ("annuaire", "ldap")
    page = contact.get(f"/admin/people/{nurse.id}")
    page = contact.proved(contact.browser.press("unlock-1", page=page))
    assert page.status == 200, page
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    assert attempt(homes, "d.claire").callback is not None
    event = homes.last_event("directory.unlocked")
    assert (event["account_id"], event["connector"]) == (nurse.id, "annuaire")
    assert event["actor"] == f"account:{homes.account('rose').id}"
    assert homes.last_event("account.unblocked")["account_id"] == nurse.id
    assert [one["details"]["purpose"] for one in homes.events("message.queued", account_id=nurse.id)].count("account_unlocked") == 1
    assert Obstacle.DIRECTORY_LOCKED not in obstacles(homes, nurse)


def test_contact_unlocks_everything_at_once(homes: World, slapd: Slapd) -> None:
    """Ours, the directory's and the second factor's, by one act; the answer says what was closed."""
    nurse = known(homes, "d.claire")
    throttle = homes.application.signin.second_factors.throttle
    with suppress(FactorRefused):
        for _ in range(30):
            throttle.admit(nurse.id, "recovery", ORIGIN)
    for number in range(12):
        attempt(homes, "d.claire", f"{WRONG}-{number}", address=OUTSIDE)
    slapd.lock("d.claire")
    seen = obstacles(homes, nurse)
    assert {Obstacle.THROTTLED_HERE, Obstacle.FACTOR_BLOCKED, Obstacle.DIRECTORY_LOCKED} <= set(seen)
    assert {seen[one].act for one in (Obstacle.THROTTLED_HERE, Obstacle.FACTOR_BLOCKED, Obstacle.DIRECTORY_LOCKED)} == {Act.UNLOCK}
    until = seen[Obstacle.THROTTLED_HERE].until
    assert until is not None
    assert until > homes.clock.now()
    assert not seen[Obstacle.THROTTLED_HERE].is_blocking  # strangers have closed outside alone
    done = unlock(homes, nurse)
    assert done.was_closed_here
    assert "recovery" in done.factors
    assert [(one.connector, one.outcome) for one in done.directories] == [("annuaire", "unlocked")]
    assert done.is_whole
    assert done.is_anything
    left = set(obstacles(homes, nurse)) - {Obstacle.REFUSED_LATELY, Obstacle.WRONG_NETWORK, Obstacle.NO_FACTOR}
    assert left == set()
    assert homes.last_event("factors.unblocked")["account_id"] == nurse.id
    attempt(homes, "d.claire", address=OUTSIDE)  # the password is tried and taken: what is asked next is a second factor
    assert homes.last_event("signin.refused")["reason"] == "no_factor_enrolled"
    lately = [one for one in findings(homes, nurse) if one.obstacle is Obstacle.REFUSED_LATELY]
    assert (lately[0].reason, lately[0].act) == (Reason.NO_FACTOR_ENROLLED, Act.ISSUE_PASS)


def test_unlock_of_somebody_who_is_not_locked_says_so_and_tells_them_nothing(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    done = unlock(homes, nurse)
    assert not done.is_anything
    assert [one.outcome for one in done.directories] == ["was_not_locked"]
    assert homes.events("message.queued", account_id=nurse.id) == []
    assert homes.events("directory.unlocked") == []


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        ({"pwdAccountLockedTime": DISABLED_FOREVER}, Reason.DIRECTORY_DISABLED),
        ({"shadowExpire": "1"}, Reason.DIRECTORY_EXPIRED),
        ({"employeeType": "prestataire"}, Reason.DIRECTORY_OUT_OF_SCOPE),
    ],
)
def test_nothing_is_opened_to_somebody_whom_the_directory_bars(
    homes: World, slapd: Slapd, contact: AgentAtWork, bar: dict[str, str], reason: Reason
) -> None:
    nurse = known(homes, "d.claire")
    for number in range(12):
        attempt(homes, "d.claire", f"{WRONG}-{number}", address=OUTSIDE)
    slapd.modify(slapd.dn("d.claire"), bar)
    before = {name: slapd.values("d.claire", name) for name in bar}
    page = contact.get(f"/admin/people/{nurse.id}/unlock")
    page = contact.browser.press("unlock-confirm", page=page)
    assert contact.proved(page).status in {403, 409}
    event = homes.last_event("desk.refused")
    assert (event["reason"], event["account_id"], event["details"]["act"]) == (str(reason), nurse.id, "unlock")
    assert {name: slapd.values("d.claire", name) for name in bar} == before
    assert homes.events("account.unblocked") == []
    assert homes.events("directory.unlocked") == []
    error = refusal(homes, nurse)
    assert (error.code, error.connector) == (reason, "annuaire")
    found = obstacles(homes, nurse)
    barred = {Obstacle.DIRECTORY_DISABLED, Obstacle.DIRECTORY_EXPIRED, Obstacle.DIRECTORY_OUT_OF_SCOPE} & set(found)
    assert [(found[one].act, found[one].is_blocking) for one in barred] == [(None, True)]


def test_nothing_is_opened_to_somebody_who_is_suspended_here(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.lock("d.claire")
    with homes.arranging() as tx:
        accounts.suspend(tx, nurse, DESK, clock=homes.clock)
    assert refusal(homes, nurse).code == Reason.ACCOUNT_NOT_ACTIVE
    assert slapd.values("d.claire", "pwdAccountLockedTime") != []
    suspended = obstacles(homes, nurse)[Obstacle.ACCOUNT_SUSPENDED]
    assert (suspended.act, suspended.is_blocking) == (Act.SUSPEND, True)


@pytest.mark.parametrize("narrowed", [{"bases": ["ou=nights,ou=people,dc=annuaire,dc=test"]}, {"protected": "(uid=d.claire)"}])
def test_nothing_is_opened_to_somebody_outside_what_was_delegated(make_world: MakeWorld, slapd: Slapd, narrowed: dict[str, Any]) -> None:
    world = make_world(directories=[slapd.settings(desk=slapd.desk(**narrowed))])
    nurse = known(world, "d.claire")
    slapd.lock("d.claire")
    before = slapd.values("d.claire", "pwdAccountLockedTime")
    assert refusal(world, nurse).code == Reason.ACT_ON_PROTECTED
    assert slapd.values("d.claire", "pwdAccountLockedTime") == before
    seen = obstacles(world, nurse)
    assert seen[Obstacle.DIRECTORY_LOCKED].act is None
    assert not seen[Obstacle.DIRECTORY_PROTECTED].is_blocking


def test_nothing_is_opened_while_the_directory_does_not_answer(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.stop()
    error = refusal(homes, nurse)
    assert (error.code, error.connector) == (Reason.DIRECTORY_UNREACHABLE, "annuaire")
    assert homes.events("account.unblocked") == []
    silent = obstacles(homes, nurse)[Obstacle.DIRECTORY_UNREACHABLE]
    assert (silent.act, silent.is_blocking) == (None, True)


def test_ours_is_open_and_the_directory_s_lock_stays_when_nothing_was_delegated(make_world: MakeWorld, slapd: Slapd) -> None:
    world = make_world(directories=[slapd.settings()])
    nurse = known(world, "d.claire")
    for number in range(12):
        attempt(world, "d.claire", f"{WRONG}-{number}", address=OUTSIDE)
    slapd.lock("d.claire")
    assert obstacles(world, nurse)[Obstacle.DIRECTORY_LOCKED].act is None
    done = unlock(world, nurse)
    assert done.was_closed_here
    assert not done.is_whole
    assert [(one.outcome, one.reason) for one in done.directories] == [("refused", Reason.DIRECTORY_NOT_DELEGATED)]
    event = world.last_event("directory_act.refused")
    assert (event["reason"], event["connector"], event["details"]) == ("directory_not_delegated", "annuaire", {"act": "unlock"})
    assert slapd.values("d.claire", "pwdAccountLockedTime") != []


def test_two_agents_at_once_lift_one_lock(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.lock("d.claire")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: unlock(homes, nurse), range(2)))
    outcomes = sorted(one.outcome for each in done for one in each.directories)
    assert outcomes == ["unlocked", "was_not_locked"]
    assert len(homes.events("directory.unlocked")) == 1


def test_agent_of_another_establishment_unlocks_nobody_here(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.lock("d.claire")
    other = enter_console(homes, "karim", "it_contact", "glycines")
    page = other.get(f"/admin/people/{nurse.id}")
    assert page.status == 403
    assert homes.last_event("desk.refused")["reason"] == "act_outside_establishment"
    assert slapd.values("d.claire", "pwdAccountLockedTime") != []


# A domain


@pytest.fixture
def domain_world(make_world: MakeWorld, samba: Any) -> World:
    """The same with a domain."""
    return make_world(directories=[samba.settings(desk=samba.desk(), old_password_window="0m")])


@pytest.mark.slow
def test_contact_unlocks_an_aide_in_the_domain(domain_world: World, samba: Any) -> None:
    nurse = known(domain_world, "a.claire")
    samba.lock("a.claire")
    finding = obstacles(domain_world, nurse)[Obstacle.DIRECTORY_LOCKED]
    assert (finding.act, finding.source_kind) == (Act.UNLOCK, "active-directory")
    contact = enter_console(domain_world)
    page = contact.get(f"/admin/people/{nurse.id}")
    page = contact.proved(contact.browser.press("unlock-1", page=page))
    assert page.status == 200, page
    assert samba.values("a.claire", "lockoutTime") == ["0"]
    assert attempt(domain_world, "a.claire").callback is not None
    assert domain_world.last_event("directory.unlocked")["connector"] == "domaine"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["password", "factor", "both"])
def test_nobody_unlocks_or_resets_a_domain_admin(domain_world: World, samba: Any, kind: Any) -> None:
    nurse = known(domain_world, "a.claire")
    samba.modify(samba.dn("Domain Admins"), {"member": [samba.dn("Administrator"), samba.dn("a.claire")]})
    samba.lock("a.claire")
    before = samba.values("a.claire", "lockoutTime"), samba.values("a.claire", "pwdLastSet")
    contact = enter_console(domain_world)
    page = contact.get(f"/admin/people/{nurse.id}/reset")
    page = contact.proved(contact.browser.submit("reset-ask", page=page, kind=kind, why="elle le demande"))
    assert page.status in {403, 409}
    event = domain_world.last_event("desk.refused")
    assert (event["reason"], event["account_id"]) == ("act_on_protected", nurse.id)
    with domain_world.database.read() as tx:
        assert tx.resets.of_account(nurse.id) == ()
    assert refusal(domain_world, nurse).code == Reason.ACT_ON_PROTECTED
    assert (samba.values("a.claire", "lockoutTime"), samba.values("a.claire", "pwdLastSet")) == before
    seen = obstacles(domain_world, nurse)
    assert seen[Obstacle.DIRECTORY_LOCKED].act is None
    assert Obstacle.DIRECTORY_PROTECTED in seen


# Where somebody is stuck


def test_nurse_whose_directory_wants_another_password_is_found_so(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.must_change("d.claire")
    found = obstacles(homes, nurse)[Obstacle.DIRECTORY_MUST_CHANGE]
    assert (found.act, found.is_blocking) == (Act.RESET_PASSWORD, False)


def test_nurse_who_is_gone_from_the_directory_is_found_so(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.delete(slapd.dn("d.claire"))
    found = obstacles(homes, nurse)[Obstacle.DIRECTORY_GONE]
    assert (found.act, found.is_blocking, found.source) == (None, True, "annuaire")
    assert refusal(homes, nurse).code == Reason.DIRECTORY_GONE


def test_people_who_are_not_yet_or_no_longer_attached_are_found_so(world: World) -> None:
    assert Obstacle.NO_ATTACHMENT in obstacles(world, world.account("karim"))
    day = timedelta(days=1)
    claire = world.account("claire")
    for change, obstacle in (
        ({"valid_from": world.clock.now() + day}, Obstacle.ATTACHMENT_NOT_BEGUN),
        ({"valid_from": None, "valid_until": world.clock.now() - day}, Obstacle.ATTACHMENT_ENDED),
    ):
        with world.arranging() as tx:
            for one in tx.people.attachments(claire.id):
                tx.people.change_attachment(one.id, **change)
        found = obstacles(world, claire)[obstacle]
        assert (found.act, found.is_blocking) == (Act.ATTACH, True)


def test_nobody_is_stuck_who_is_not(world: World) -> None:
    claire = world.account("claire")
    enrol_phone(world, world.application.signin.second_factors, "claire")
    assert findings(world, claire) == ()


def test_nurse_refused_for_where_she_is_is_found_so_by_her_support_code(make_world: MakeWorld) -> None:
    only_here = {"name": "only-here", "effect": "deny", "when": {"zone_kind": ["outside"]}}
    world = make_world(policy={"rules": [only_here, {"name": "everybody", "effect": "allow"}]})
    browser = world.browser(address=OUTSIDE)
    page = browser.sign_in("claire.dubois", LOCAL_PASSWORD, page=browser.get(world.relying_party().begin()))
    assert page.status == 403, page
    refused = world.last_event("signin.refused")
    found = obstacles(world, world.account("claire"))[Obstacle.WRONG_NETWORK]
    assert (found.reason, found.support_code, found.is_blocking) == (Reason.DENIED_BY_RULE, refused["request_id"], False)
    assert found.address == OUTSIDE
    assert found.since == world.clock.now()


def test_what_was_refused_lately_is_said_until_the_next_success(world: World) -> None:
    claire = world.account("claire")
    page = attempt(world, "claire.dubois", WRONG)
    found = obstacles(world, claire)[Obstacle.REFUSED_LATELY]
    assert (found.reason, found.act) == (Reason.WRONG_PASSWORD, Act.RESET_PASSWORD)
    assert found.support_code == page.support_code
    assert attempt(world, "claire.dubois", LOCAL_PASSWORD).callback is not None
    assert Obstacle.REFUSED_LATELY not in obstacles(world, claire)
    attempt(world, "claire.dubois", WRONG)
    world.clock.advance(timedelta(days=1, minutes=1))
    assert Obstacle.REFUSED_LATELY not in obstacles(world, claire)


@pytest.mark.parametrize(("address", "is_blocking"), [(LANS["tilleuls"], True), (OUTSIDE, False)])
def test_lock_of_ours_is_found_and_lifted(make_world: MakeWorld, address: str, is_blocking: bool) -> None:
    world = make_world(lockout={"mode": "admin"})
    claire = world.account("claire")
    for number in range(12):
        attempt(world, "10042", f"{WRONG}-{number}", address=address)  # by her staff number: it is she who is locked
    found = obstacles(world, claire)[Obstacle.LOCKED_HERE]
    assert (found.act, found.is_blocking, found.until) == (Act.UNLOCK, is_blocking, None)
    assert unlock(world, claire).was_closed_here
    assert Obstacle.LOCKED_HERE not in obstacles(world, claire)
    assert attempt(world, "claire.dubois", LOCAL_PASSWORD).callback is not None


def test_nurse_of_a_provider_is_told_to_be_helped_there(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFICE_SECRET", "s" * 20)
    world = make_world(providers=[ENTRA])
    claire, now = world.account("claire"), world.clock.now()
    link = Link(
        connector="office",
        subject="72f988bf-0000-4000-8000-00000000beef/6731de76-14a6-49ae-97bc-6eba6914391e",
        account_id=claire.id,
        word="usable",
        word_at=now,
        seen_digest="",
        held_by_run=None,
        held_until=None,
        password_changed_at=None,
        created_at=now,
        kind="upstream",
        how="proven",
    )
    with world.arranging() as tx:
        assert tx.links.add(link)
    found = obstacles(world, claire)[Obstacle.PROVIDER_OWNS]
    assert (found.act, found.is_blocking, found.source, found.source_kind) == (None, False, "office", "entra")
    with world.arranging() as tx:
        tx.links.hear("office", link.subject, word="disabled", at=now, seen_digest="")
    found = obstacles(world, claire)[Obstacle.PROVIDER_REFUSES]
    assert (found.act, found.is_blocking, found.since) == (None, True, now)


def test_account_that_is_over_is_found_so(world: World) -> None:
    claire = world.account("claire")
    with world.arranging() as tx:
        accounts.end(tx, claire, DESK, clock=world.clock)
    found = obstacles(world, claire)[Obstacle.ACCOUNT_ENDED]
    assert (found.act, found.is_blocking) == (None, True)
    assert refusal(world, claire).code == Reason.ACCOUNT_NOT_ACTIVE


# At a terminal


def test_operator_sees_where_a_nurse_is_stuck_and_unlocks_her(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.lock("d.claire")
    operator_here = Operator(homes.config_path, clock=homes.clock)
    found = operator_here.ask("account", "stuck", "d.claire", "--establishment", "tilleuls", "--json")
    assert (found[0]["obstacle"], found[0]["act"], found[0]["source"]) == ("directory_locked", "unlock", "annuaire")
    assert "The directory has locked them" in operator_here.do("account", "stuck", "d.claire")
    assert "the lock of annuaire" in operator_here.do("account", "unlock", "d.claire")
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    assert homes.last_event("directory.unlocked")["actor"] == ACTOR
    assert homes.last_event("directory.unlocked")["account_id"] == nurse.id
    assert "nothing was closed" in operator_here.do("account", "unlock", "d.claire")


def test_operator_is_told_why_somebody_is_not_unlocked(homes: World, slapd: Slapd) -> None:
    nurse = known(homes, "d.claire")
    slapd.disable("d.claire")
    operator_here = Operator(homes.config_path, clock=homes.clock)
    assert "disabled" in operator_here.refused("account", "unlock", "d.claire")
    event = homes.last_event("desk.refused")
    assert (event["actor"], event["reason"], event["account_id"]) == (ACTOR, "directory_disabled", nurse.id)
    assert slapd.values("d.claire", "pwdAccountLockedTime") == [DISABLED_FOREVER]
