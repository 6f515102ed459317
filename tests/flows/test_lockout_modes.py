"""What each way of slowing guesses down does to a person: waits, locks, and who opens them again."""

from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Origin
from policies.lockout import Standing
from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued, refusal
from tests.support.browser import Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.operator import ACTOR, Operator
from tests.support.world import World

WRONG = "Pas-Le-Bon-Mot-De-Passe-"
AT_WORK = "127.0.0.1"


def attempt(world: World, password: str, *, identifier: str = "claire.dubois", address: str = AT_WORK) -> Page:
    browser = world.browser(address=address)
    return browser.sign_in(identifier, password, page=browser.get(world.relying_party().begin()))


def is_in(page: Page) -> bool:
    """Whether the password was taken: outside more is asked then, or refused for want of a second proof."""
    return page.callback is not None or "signin-form" not in page.forms


def fail(
    world: World, times: int, *, address: str = AT_WORK, identifier: str = "claire.dubois", apart: timedelta = timedelta(0)
) -> list[int]:
    statuses = []
    for number in range(times):
        statuses.append(attempt(world, f"{WRONG}{number} {world.clock.now()}", identifier=identifier, address=address).status)
        world.clock.advance(apart)
    return statuses


def forget_counters(world: World) -> None:
    """What a Redis without append-only file does at a restart."""
    ephemeral = world.application.ephemeral
    for kind in ("login.failures", "login.account_failures", "login.last_failure"):
        for side in ("near", "outside"):
            for identifier in ("claire.dubois", "personne.inconnue"):
                account = world.account("claire").id if identifier == "claire.dubois" else None
                keys = world.application.signin.throttle.keys(identifier, account, Origin("0123456789", "local"), standing=Standing.INSIDE)
                ephemeral.forget(f"{kind}.{side}", keys.identifier)
                ephemeral.forget(f"{kind}.{side}", keys.person)


def throttled(world: World) -> Any:
    return world.last_event("signin.refused")["details"].get("throttle")


# Timed


@pytest.mark.parametrize("identifier", ["claire.dubois", "personne.inconnue"])
def test_waits_grow_as_the_cnil_figures_say(world: World, identifier: str) -> None:
    assert fail(world, 5, identifier=identifier) == [403] * 5
    for number, minutes in enumerate((1, 2, 4, 8, 15, 30, 30)):
        page = attempt(world, f"{WRONG}x{number}", identifier=identifier)
        assert page.status == 429
        assert int(page.headers["Retry-After"]) == minutes * 60
        world.clock.advance(timedelta(minutes=minutes))
        assert attempt(world, f"{WRONG}y{number}", identifier=identifier).status == 403


def test_the_day_is_over_after_twenty_five_failures_and_comes_back(world: World) -> None:
    fail(world, 25, apart=timedelta(minutes=31))
    assert attempt(world, PASSWORD).status == 429
    assert throttled(world) == "daily_cap_reached"
    world.clock.advance(timedelta(hours=24))
    assert attempt(world, PASSWORD).callback is not None


def test_waits_outside_are_no_waits_at_work(world: World) -> None:
    assert fail(world, 8, address=OUTSIDE) == [403] * 5 + [429] * 3
    assert attempt(world, PASSWORD).callback is not None
    assert attempt(world, PASSWORD, address=OUTSIDE).status == 429, "what was typed outside is not forgotten by a success at work"


def test_waits_at_work_are_no_waits_outside(world: World) -> None:
    fail(world, 8)
    assert attempt(world, PASSWORD).status == 429
    assert is_in(attempt(world, PASSWORD, address=OUTSIDE))


def test_outside_a_person_tried_under_every_name_is_closed_without_a_word(world: World) -> None:
    names = ("claire.dubois", "claire.dubois@tilleuls.example", "10042")
    for number in range(18):
        attempt(world, f"{WRONG}{number}", identifier=names[number % 3], address=OUTSIDE)
        world.clock.advance(timedelta(minutes=31))
    browser, page = at_sign_in(world)
    before, counted = issued(world), world.application.hasher.hash_count
    browser = world.browser(address=OUTSIDE)
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(world.relying_party().begin()))
    assert page.status == 403, "a name that nobody has would read so by now"
    assert world.application.hasher.hash_count - counted == 1
    event = refusal(world, page, before)
    assert (event["reason"], event["details"]["throttle"]) == ("throttled", "daily_cap_reached")
    assert attempt(world, PASSWORD).callback is not None


# Locked until an administrator


@pytest.mark.parametrize("identifier", ["claire.dubois", "personne.inconnue"])
def test_ten_failures_lock_until_somebody_unlocks(make_world: MakeWorld, identifier: str) -> None:
    world = make_world(lockout={"mode": "admin"})
    assert fail(world, 10, identifier=identifier) == [403] * 10
    (event,) = world.events("account.locked")
    assert event["details"] == {"side": "near"}
    assert bool(event["account_id"]) != bool(event["identifier_hash"])
    world.clock.advance(timedelta(days=30))
    page = attempt(world, PASSWORD, identifier=identifier)
    assert page.status == 429
    assert "Retry-After" not in page.headers
    assert throttled(world) == "locked_until_admin"


def test_a_lock_from_outside_closes_outside_alone(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "admin"})
    assert fail(world, 12, address=OUTSIDE) == [403] * 5 + [429] * 7
    (event,) = world.events("account.locked")
    assert event["details"] == {"side": "outside"}
    assert attempt(world, PASSWORD).callback is not None
    world.clock.advance(timedelta(days=30))
    assert attempt(world, PASSWORD, address=OUTSIDE).status == 429


def test_waits_come_before_the_lock_when_both_are_chosen(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "timed_then_admin", "daily_cap": 10})
    assert fail(world, 6) == [403] * 5 + [429]
    world.clock.advance(timedelta(minutes=1))
    for _ in range(5):
        fail(world, 1)
        attempt(world, f"{WRONG}{world.clock.now()}")
        world.clock.advance(timedelta(minutes=31))
    assert attempt(world, PASSWORD).status == 429
    assert throttled(world) == "locked_until_admin"
    world.clock.advance(timedelta(days=2))
    assert attempt(world, PASSWORD).status == 429


@pytest.mark.parametrize("mode", ["admin", "timed_then_admin"])
@pytest.mark.parametrize("identifier", ["claire.dubois", "personne.inconnue"])
def test_a_lock_outlives_the_counters(make_world: MakeWorld, mode: str, identifier: str) -> None:
    world = make_world(lockout={"mode": mode, "daily_cap": 10})
    fail(world, 10, identifier=identifier, apart=timedelta(minutes=31))
    world.clock.advance(timedelta(days=2))
    forget_counters(world)
    assert attempt(world, PASSWORD, identifier=identifier).status == 429
    assert throttled(world) == "locked_until_admin"
    assert len(world.events("account.locked")) == 1


def test_an_operator_unlocks_and_it_is_written(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "admin"})
    fail(world, 6, address=OUTSIDE)
    fail(world, 5)
    operator = Operator(world.config_path, clock=world.clock)
    assert "2 locks lifted" in operator.do("account", "unblock", "claire.dubois")
    event = world.last_event("account.unblocked")
    assert (event["actor"], event["details"]) == (ACTOR, {"locks": 2})
    assert event["account_id"] == world.account("claire").id
    assert is_in(attempt(world, PASSWORD, address=OUTSIDE))
    assert attempt(world, PASSWORD).callback is not None
    assert fail(world, 9) == [403] * 9


def test_the_same_wrong_password_locks_nobody(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "admin"})
    assert [attempt(world, WRONG).status for _ in range(12)] == [403] * 12
    assert world.events("account.locked") == []
    assert attempt(world, PASSWORD).callback is not None


def test_locks_on_names_that_nobody_has_are_swept_after_a_while(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "admin"})
    fail(world, 10)
    fail(world, 10, identifier="personne.inconnue")
    with world.arranging() as tx:
        assert tx.locks.sweep(world.clock.now() + timedelta(seconds=1)) == 1
        assert len(tx.locks.of_account(world.account("claire").id)) == 1
