"""A person is disabled while codes are exchanged and tokens refreshed in their name, by twenty threads: no token that was given out is alive after.

The directory is a real slapd, and what is said of it goes through the watch; each round they are let in again, by themselves.
A few rounds each time; all two hundred in `make soak`.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from connectors.base import Heard
from idp.lifecycle.watch import Watch
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.cast import LANS
from tests.support.fixed_clock import FixedClock
from tests.support.running_clock import RunningClock
from tests.support.slapd import PASSWORD, Slapd
from tests.support.world import SignedIn, World

IS_SOAK = "SOAK_MINUTES" in os.environ
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if IS_SOAK else 120)]

THREADS = 20
ROUNDS = 200 if IS_SOAK else 4
CODES, REFRESHES = 7, 7
ASKS = THREADS - CODES - REFRESHES - 1
BETWEEN = timedelta(seconds=10)  # more than eight authorizations a minute of one browser would look like a loop
SCOPE = "openid profile offline_access"


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """The world's homes, their people in a directory; it serves so many at once, and codes wait for the race."""
    return make_world(
        directories=[slapd.settings()],
        server={"threads": THREADS},
        tokens={"code_life": "10m"},
        sessions={"idle": "12h", "absolute": "14h"},
        work={"reconcile_at": None},
    )


@pytest.fixture
def watch(homes: World) -> Iterator[Watch]:
    """What acts on the words of the directory, under the lease."""
    worker = Worker(homes.application)
    worker.stand()
    (made,) = worker.watching._watches
    yield made
    worker.deliverer.close()


@pytest.fixture
def clock() -> FixedClock:
    """A real one: which word came last is told by it."""
    return RunningClock()


def sign_in(world: World) -> SignedIn:
    browser, party = world.browser(address=LANS["tilleuls"]), world.relying_party("carnet")
    page = browser.sign_in("d.claire", PASSWORD, page=browser.get(party.begin(scope=SCOPE)))
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def code_for(world: World, here: SignedIn) -> str:
    world.clock.advance(BETWEEN)
    page = here.browser.get(here.party.begin(scope=SCOPE))
    assert page.callback is not None, page
    return page.callback["code"]


def all_at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """What each gave; they begin at the same instant."""
    barrier = threading.Barrier(len(acts), timeout=60)

    def begin(act: Callable[[], Any]) -> Any:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(begin, acts))


def disable(watch: Watch, world: World, subject: str) -> None:
    watch._take(Heard(kind="person", heard_at=world.clock.now(), subject=subject))


def test_no_live_token_survives_when_a_person_is_disabled_in_the_middle_of_exchanges_and_refreshes(
    homes: World, slapd: Slapd, watch: Watch
) -> None:
    subject = slapd.subject("d.claire")
    given = 0
    for number in range(1, ROUNDS + 1):
        here = sign_in(homes)
        party = here.party
        tokens = [party.redeem(code_for(homes, here)).json()["refresh_token"] for _ in range(REFRESHES)]
        codes = [code_for(homes, here) for _ in range(CODES)]
        slapd.disable("d.claire")
        # The disabling first, in the middle and last, whatever the threads make of it.
        acts: list[Callable[[], Any]] = [partial(party.redeem, code) for code in codes] + [partial(party.refresh, one) for one in tokens]
        acts += [partial(party.introspect, here.tokens.access)] * ASKS
        acts.insert(number * 7 % len(acts), partial(disable, watch, homes, subject))
        assert len(acts) == THREADS
        answers: list[httpx.Response] = [one for one in all_at_once(acts) if one is not None]
        assert len(answers) == THREADS - 1
        assert {answer.status_code for answer in answers} <= {200, 400}, [answer.text for answer in answers]
        for answer in answers:
            found = answer.json()
            if "access_token" not in found:
                continue
            given += 1
            assert party.introspect(found["access_token"]).json() == {"active": False}
            assert party.userinfo(found["access_token"]).status_code == 401
            assert party.refresh(found["refresh_token"]).status_code == 400
        assert_nothing_is_open(homes, here.tokens.claims["sub"], count=number)
        slapd.enable("d.claire")
        homes.clock.advance(timedelta(minutes=1))
        disable(watch, homes, subject)
    assert given, "the disabling always came first: nothing was tried"


def test_no_session_survives_when_a_person_is_disabled_in_the_middle_of_their_sign_ins(make_world: MakeWorld, slapd: Slapd) -> None:
    homes = make_world(directories=[slapd.settings()], server={"threads": THREADS}, work={"reconcile_at": None})
    worker = Worker(homes.application)
    worker.stand()
    (watch,) = worker.watching._watches
    subject = slapd.subject("d.claire")
    party = homes.relying_party("carnet")

    def leave() -> None:
        slapd.disable("d.claire")
        disable(watch, homes, subject)

    for number in range(1, ROUNDS + 1):
        here = sign_in(homes)
        browsers = [homes.browser(address=LANS["tilleuls"]) for _ in range(6)]
        pages = [browser.get(party.begin(scope=SCOPE)) for browser in browsers]
        acts: list[Callable[[], Any]] = [
            partial(browser.sign_in, "d.claire", PASSWORD, page=page) for browser, page in zip(browsers, pages, strict=True)
        ]
        acts.insert(number % len(acts), leave)
        for page in all_at_once(acts):
            if page is None or page.callback is None or "code" not in page.callback.parameters:
                continue
            answer = party.redeem(page.callback["code"])
            assert answer.status_code == 400, answer.text
        assert_nothing_is_open(homes, here.tokens.claims["sub"], count=number)
        slapd.enable("d.claire")
        homes.clock.advance(timedelta(minutes=16))  # past what failed tries make wait
        disable(watch, homes, subject)
    worker.deliverer.close()


def assert_nothing_is_open(world: World, account_id: str, *, count: int) -> None:
    with world.database.read() as tx:
        account = tx.people.get(account_id)
        assert account is not None
        assert account.status == "suspended"
        assert tx.sessions.open_of(account_id) == ()
        assert tx.grants.open_of_account(account_id) == ()
        assert len(tx.cuts.of_account(account_id, limit=1000)) == count
