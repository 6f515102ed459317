"""Enrolled workstations from the outside: the pass, the rotating secret, its zone, a copy that comes back, and taking one back."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from idp.audit import Author, Origin
from idp.config import ZoneSettings
from idp.signin.passes import NewPass, Passes
from idp.store.base import Workstation
from idp.zones import put_zone
from tests.support.browser import Browser, Page
from tests.support.cast import AT_GLYCINES, OUTSIDE
from tests.support.operator import Operator
from tests.support.world import World

COOKIE = "__Host-vestibule-workstation"
AUTHOR = Author("operator:nadia", Origin("0123456789", "local"))
IssuePass = Callable[..., str]


@pytest.fixture
def issue(world: World) -> IssuePass:
    """Make a pass, as `vestibule workstation pass` does."""

    def make(slug: str = "tilleuls", *, zone: str = "lan", name: str = "Poste de soins 2", is_shared: bool = False) -> str:
        application = world.application
        passes = Passes(application.database, application.keyring, world.clock, settings=world.config.factors)
        with world.arranging() as tx:
            place = world.establishment(slug)
            found = tx.zones.named(place.id, zone)
            assert found is not None
            new = NewPass(purpose="workstation", establishment_id=place.id, zone_id=found.id, is_shared=is_shared, label=name)
            return passes.issue(tx, new, AUTHOR)[0]

    return make


@pytest.fixture
def enrolled(world: World, issue: IssuePass) -> Browser:
    """The browser of an enrolled machine."""
    browser = world.browser()
    assert typed(browser, issue()).status == 200
    return browser


def typed(browser: Browser, code: str) -> Page:
    browser.get("/workstation")
    return browser.submit("workstation-form", workstation_pass=code)


def stored(world: World) -> tuple[Workstation, ...]:
    with world.database.read() as tx:
        return tx.workstations.open()


def secret(browser: Browser) -> str | None:
    cookie = browser.cookie(COOKIE)
    return cookie.value if cookie else None


def seen(browser: Browser) -> str:
    """What the page says of the computer."""
    text = browser.get("/workstation").text
    return "away" if "pas sur son réseau" in text else "here" if "est enregistré sous" in text else "unknown"


def copy_of(world: World, browser: Browser, *, address: str = "127.0.0.1") -> Browser:
    """Somebody who copied the cookies."""
    thief = world.browser(address=address)
    thief.jar = dict(browser.jar)
    return thief


# Enrolment


def test_contact_enrols_a_computer_with_a_pass_typed_as_people_type(world: World, issue: IssuePass) -> None:
    browser = world.browser()
    assert "n’est pas enregistré" in browser.get("/workstation").text
    page = typed(browser, f" {issue(is_shared=True).lower().replace('-', ' ')} ")
    assert (page.status, page.url) == (200, f"{world.issuer}/workstation")
    assert "enregistré sous le nom Poste de soins 2" in page.text
    assert "Plusieurs personnes" in page.text
    cookie = browser.cookie(COOKIE)
    assert cookie is not None
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")
    (machine,) = stored(world)
    assert (machine.name, machine.is_shared, machine.enrolled_by) == ("Poste de soins 2", True, "operator:nadia")
    assert cookie.value not in str(world.events())
    assert all(part not in machine.secret_digest for part in cookie.value.split("."))
    line = world.last_event("workstation.enrolled")
    assert (line["workstation_id"], line["zone"], line["zone_kind"], line["zone_why"]) == (
        machine.id,
        "tilleuls/lan",
        "trusted",
        "network_of_zone",
    )
    assert (line["details"]["zone"], line["details"]["issued_by"]) == ("tilleuls/lan", "operator:nadia")
    assert world.last_event("pass.used")["details"]["issued_by"] == "operator:nadia"


@pytest.mark.parametrize("address", [OUTSIDE, AT_GLYCINES])
def test_a_pass_opens_nothing_from_elsewhere_and_stays_good(world: World, issue: IssuePass, address: str) -> None:
    code = issue()
    page = typed(world.browser(address=address), code)
    assert page.status == 422
    assert "autre réseau" in page.text
    line = world.last_event("workstation.refused")
    assert (line["reason"], line["address"]) == ("wrong_zone", address)
    assert (stored(world), world.events("pass.used")) == ((), [])
    assert typed(world.browser(), code).status == 200


def test_a_pass_serves_once_and_for_fifteen_minutes(world: World, issue: IssuePass) -> None:
    code, late = issue(), issue(name="Poste 3")
    assert typed(world.browser(), code).status == 200
    world.clock.advance(timedelta(minutes=15))
    for refused in (code, late, "", "ABCDE-ABCDE-ABCDE", "é" * 50):
        browser = world.browser()
        page = typed(browser, refused)
        assert page.status == 422
        assert "n’ouvre rien" in page.text
        assert secret(browser) is None
        assert world.last_event("workstation.refused")["reason"] == "pass_not_valid"
    assert len(stored(world)) == 1


def test_a_pass_for_a_person_enrols_no_computer(world: World) -> None:
    application = world.application
    passes = Passes(application.database, application.keyring, world.clock, settings=world.config.factors)
    with world.arranging() as tx:
        code, _ = passes.issue(tx, NewPass(purpose="enrol", account_id=world.account("claire").id), AUTHOR)
    assert typed(world.browser(), code).status == 422
    assert stored(world) == ()


def test_contact_enrols_a_computer_again_and_its_former_name_ends(world: World, issue: IssuePass, enrolled: Browser) -> None:
    (former,) = stored(world)
    assert "Accueil" in typed(enrolled, issue(name="Accueil")).text
    (machine,) = stored(world)
    assert machine.name == "Accueil"
    line = world.last_event("workstation.ended")
    assert (line["workstation_id"], line["reason"]) == (former.id, "replaced")
    assert seen(enrolled) == "here"


def test_a_form_of_another_site_enrols_nothing(world: World, issue: IssuePass) -> None:
    browser = world.browser()
    browser.get("/workstation")
    page = browser.post("/workstation", {"workstation_pass": issue()}, headers={"Origin": "https://evil.example"})
    assert page.status == 400
    assert stored(world) == ()


# The secret


def test_the_secret_stays_for_an_hour_and_is_then_replaced(world: World, enrolled: Browser) -> None:
    first = secret(enrolled)
    world.clock.advance(timedelta(minutes=59))
    assert seen(enrolled) == "here"
    assert secret(enrolled) == first
    world.clock.advance(timedelta(minutes=2))
    assert seen(enrolled) == "here"
    second = secret(enrolled)
    assert second != first
    assert stored(world)[0].rotated_at < world.clock.now() - timedelta(hours=1)  # nothing is written before the browser shows the new one
    assert seen(enrolled) == "here"
    assert stored(world)[0].rotated_at == stored(world)[0].last_seen_at == world.clock.now()
    assert secret(enrolled) == second


def test_a_lost_answer_does_no_harm_however_long_the_browser_is_away(world: World, enrolled: Browser) -> None:
    for _ in range(3):
        world.clock.advance(timedelta(days=2))
        before = dict(enrolled.jar)
        assert seen(enrolled) == "here"
        enrolled.jar = before  # the answer never arrived
    assert seen(enrolled) == "here"
    assert len(stored(world)) == 1
    assert world.events("workstation.stolen") == []


def test_two_tabs_are_given_the_same_next_secret(world: World, enrolled: Browser) -> None:
    world.clock.advance(timedelta(hours=2))
    tab = copy_of(world, enrolled)
    assert seen(enrolled) == seen(tab) == "here"
    assert secret(enrolled) == secret(tab)


def test_a_slow_tab_is_still_taken_for_some_minutes_and_is_given_the_new_secret(world: World, enrolled: Browser) -> None:
    slow = copy_of(world, enrolled)
    world.clock.advance(timedelta(hours=2))
    assert [seen(enrolled), seen(enrolled)] == ["here", "here"]
    world.clock.advance(timedelta(minutes=9))
    assert seen(slow) == "here"
    assert secret(slow) == secret(enrolled)


def rotated(world: World, browser: Browser) -> None:
    """An hour passes, and the browser takes its next secret into use."""
    world.clock.advance(timedelta(minutes=61))
    assert [seen(browser), seen(browser)] == ["here", "here"]


@pytest.mark.parametrize("rotations", [1, 4])
@pytest.mark.parametrize("address", ["127.0.0.1", OUTSIDE])
def test_a_copied_secret_that_comes_back_late_ends_the_workstation(world: World, enrolled: Browser, rotations: int, address: str) -> None:
    thief = copy_of(world, enrolled, address=address)
    (machine,) = stored(world)
    for _ in range(rotations):
        rotated(world, enrolled)
    world.clock.advance(timedelta(minutes=11))
    with capture_logs() as logs:
        assert seen(thief) == "unknown"
    assert [(entry["log_level"], entry["event_type"]) for entry in logs if entry["event"] == "alarm"] == [
        ("critical", "workstation.stolen")
    ]
    assert secret(thief) is None
    line = world.last_event("workstation.stolen")
    assert (line["reason"], line["workstation_id"], line["address"]) == ("secret_copied", machine.id, address)
    assert world.last_event("workstation.ended")["reason"] == "secret_copied"
    assert stored(world) == ()
    assert seen(enrolled) == "unknown"
    assert secret(enrolled) is None


def test_a_thief_who_rotates_first_is_found_out_when_the_computer_comes_back(world: World, enrolled: Browser) -> None:
    thief = copy_of(world, enrolled)
    rotated(world, thief)
    world.clock.advance(timedelta(minutes=11))
    assert seen(enrolled) == "unknown"
    assert seen(thief) == "unknown"
    assert len(world.events("workstation.stolen")) == 1


def test_a_stranger_cannot_end_a_workstation_with_an_invention(world: World, enrolled: Browser) -> None:
    (machine,) = stored(world)
    value = secret(enrolled) or ""
    for invented in (f"{machine.id}.{'A' * 43}.{'B' * 22}", value[:-1] + "!", value.upper(), "a.b", "." * 60, "x" * 3000):
        answer = world.transport().get("/workstation", headers={b"Cookie": f"{COOKIE}={invented}".encode()})
        assert answer.status_code == 200
        assert "n’est pas enregistré" in answer.text
    assert stored(world) == (machine,)
    assert world.events("workstation.stolen") == []


# Its zone, and its end


def test_a_workstation_counts_only_in_its_own_zone_and_rotates_nowhere_else(world: World, enrolled: Browser) -> None:
    first = secret(enrolled)
    world.clock.advance(timedelta(hours=5))
    for address in (OUTSIDE, AT_GLYCINES):
        away = copy_of(world, enrolled, address=address)
        assert seen(away) == "away"
        assert secret(away) == first
    assert seen(enrolled) == "here"


def test_operator_revokes_a_workstation_and_it_is_unknown_at_once(world: World, enrolled: Browser) -> None:
    operator = Operator(world.config_path, clock=world.clock)
    (row,) = operator.ask("workstation", "list", "--establishment", "tilleuls", "--json")
    assert (row["name"], row["zone"], row["shared"]) == ("Poste de soins 2", "tilleuls/lan", False)
    assert operator.do("workstation", "revoke", row["id"], "--yes").startswith("Poste de soins 2 revoked: 0 sessions")
    line = world.last_event("workstation.ended")
    assert (line["reason"], line["workstation_id"]) == ("ended_by_operator", row["id"])
    assert seen(enrolled) == "unknown"
    assert secret(enrolled) is None
    assert "no workstation" in operator.refused("workstation", "revoke", row["id"], "--yes")


def test_a_workstation_ends_with_its_zone(world: World, enrolled: Browser) -> None:
    operator = Operator(world.config_path, clock=world.clock)
    assert "1 workstations" in operator.do("zone", "end", "tilleuls", "lan", "--yes")
    assert world.last_event("workstation.ended")["reason"] == "zone_ended"
    world.clock.advance(timedelta(seconds=2))
    assert seen(enrolled) == "unknown"


def test_sessions_opened_on_a_workstation_end_with_it(world: World, enrolled: Browser) -> None:
    signed = world.sign_in("claire", browser=enrolled)
    (machine,) = stored(world)
    with world.database.read() as tx:
        (session,) = tx.sessions.open_of(world.account("claire").id)
    assert session.workstation_id == machine.id
    operator = Operator(world.config_path, clock=world.clock)
    assert "1 sessions" in operator.do("workstation", "revoke", machine.id, "--yes")
    line = world.last_event("session.ended")
    assert (line["session_id"], line["reason"]) == (session.id, "ended_by_operator")
    assert signed.browser.get("/account").url.startswith(f"{world.issuer}/signin/")


def test_sessions_opened_on_a_copied_workstation_end_offline_access_and_all(world: World, enrolled: Browser) -> None:
    thief = copy_of(world, enrolled)
    rotated(world, enrolled)
    signed = world.sign_in("claire", browser=enrolled, scope="openid offline_access")
    world.clock.advance(timedelta(minutes=11))
    assert seen(thief) == "unknown"
    assert world.last_event("session.ended")["reason"] == "secret_copied"
    assert signed.party.refresh(signed.tokens.refresh).status_code == 400


def test_a_workstation_makes_a_site_s_own_way_out_inside_and_no_other_computer_there(world: World, issue: IssuePass) -> None:
    settings = ZoneSettings.model_validate({"name": "sortie", "kind": "trusted", "networks": ["203.0.113.9"], "egress": True})
    with world.arranging() as tx:
        put_zone(tx, world.establishment("tilleuls"), settings, AUTHOR, source="operator", clock=world.clock)
    guest = world.browser(address="203.0.113.9")
    page = guest.get(world.relying_party("carnet").begin())
    assert guest.sign_in(world.person("claire").username, world.password, page=page).callback is None
    machine = world.browser(address="203.0.113.9")
    assert typed(machine, issue(zone="sortie")).status == 200
    world.sign_in("claire", browser=machine)
    line = world.last_event("signin.succeeded")
    assert (line["zone"], line["zone_kind"], line["zone_why"]) == ("tilleuls/sortie", "trusted", "egress_with_workstation")
    assert line["workstation_id"] == stored(world)[0].id
    # Elsewhere the same computer is any computer.
    away = copy_of(world, machine, address=OUTSIDE)
    away.jar.pop(("connexion.example", "__Host-vestibule-session"))
    page = away.get(world.relying_party("carnet").begin())
    assert away.sign_in(world.person("claire").username, world.password, page=page).callback is None
