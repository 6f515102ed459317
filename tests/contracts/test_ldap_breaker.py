"""What stands before every source: so many at once, left alone after failures, tried again by one (connectors.breaker)."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta

import pytest

from connectors.base import CredentialsRefused, SourceUnreachable
from connectors.breaker import Guard
from tests.support.fixed_clock import FixedClock

PAUSE = timedelta(seconds=10)
WAIT = timedelta(milliseconds=50)


@pytest.fixture
def guard(clock: FixedClock) -> Guard:
    return Guard("annuaire", clock, concurrency=3, failures=3, pause=PAUSE, slot_wait=WAIT, lookup_wait=2 * WAIT)


def fail(guard: Guard) -> str:
    """A request that the source does not answer; the trouble that came out."""
    with pytest.raises(SourceUnreachable) as caught, guard.passage():
        raise SourceUnreachable("no answer", trouble="timeout")
    return caught.value.trouble


def ask(guard: Guard) -> str:
    """A request that is answered."""
    try:
        with guard.passage():
            return "answered"
    except SourceUnreachable as error:
        return error.trouble


def throttle(guard: Guard, wait: timedelta) -> None:
    """A request that is answered by: not now, and not before."""
    with contextlib.suppress(SourceUnreachable), guard.passage():
        guard.leave_alone(wait)
        raise SourceUnreachable("429", trouble="unavailable")


def look_up(guard: Guard) -> str:
    """The same by ourselves."""
    try:
        with guard.lookup_passage():
            return "answered"
    except SourceUnreachable as error:
        return error.trouble


def refuse(guard: Guard) -> None:
    with pytest.raises(CredentialsRefused), guard.passage():
        raise CredentialsRefused("wrong password")


def test_guard_pauses_the_source_when_it_failed_often_enough_in_a_row(guard: Guard) -> None:
    assert [fail(guard) for _ in range(4)] == ["timeout", "timeout", "timeout", "paused"]
    assert guard.is_paused


def test_guard_does_not_pause_when_passwords_are_wrong(guard: Guard) -> None:
    for _ in range(20):
        refuse(guard)
    assert ask(guard) == "answered"


@pytest.mark.parametrize("answer", [ask, refuse])
def test_guard_forgets_failures_when_the_source_answers(guard: Guard, answer: Callable[[Guard], object]) -> None:
    for _ in range(5):
        assert [fail(guard), fail(guard)] == ["timeout", "timeout"]
        answer(guard)
    assert not guard.is_paused


def test_guard_lets_exactly_one_try_when_the_pause_is_over(guard: Guard, clock: FixedClock) -> None:
    for _ in range(3):
        fail(guard)
    clock.advance(PAUSE - timedelta(seconds=1))
    assert ask(guard) == "paused"
    clock.advance(timedelta(seconds=1))
    with guard.passage(), ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: ask(guard), range(8))) == {"paused"}
    assert ask(guard) == "answered"


def test_guard_pauses_again_when_the_trial_fails(guard: Guard, clock: FixedClock) -> None:
    for _ in range(3):
        fail(guard)
    clock.advance(PAUSE)
    assert [fail(guard), fail(guard)] == ["timeout", "paused"]
    clock.advance(PAUSE)
    assert ask(guard) == "answered"
    assert [fail(guard), fail(guard), fail(guard), fail(guard)] == ["timeout", "timeout", "timeout", "paused"]


def test_guard_lets_another_try_when_the_trial_broke_for_a_reason_of_ours(guard: Guard, clock: FixedClock) -> None:
    for _ in range(3):
        fail(guard)
    clock.advance(PAUSE)
    with pytest.raises(ZeroDivisionError), guard.passage():
        raise ZeroDivisionError
    assert ask(guard) == "answered"


def test_guard_refuses_at_once_when_too_many_wait(guard: Guard) -> None:
    entered, leave = threading.Barrier(3), threading.Event()

    def hold() -> str:
        with guard.passage():
            entered.wait(60)
            leave.wait(60)
            return "answered"

    with ThreadPoolExecutor(2) as threads:
        held = [threads.submit(hold) for _ in range(2)]
        entered.wait(60)
        assert ask(guard) == "busy"
        leave.set()
        assert [future.result() for future in held] == ["answered", "answered"]
    assert ask(guard) == "answered"
    assert not guard.is_paused, "a full house is no failure of the source"


@contextmanager
def held(*passages: AbstractContextManager[None]) -> Iterator[None]:
    """So many inside, until the block ends."""
    with ExitStack() as stack:
        for passage in passages:
            stack.enter_context(passage)
        yield


def test_guard_keeps_a_slot_for_look_ups_when_sign_ins_flood(guard: Guard) -> None:
    with held(guard.passage(), guard.passage()):
        assert [ask(guard), look_up(guard)] == ["busy", "answered"]
    with held(guard.passage(), guard.passage(), guard.lookup_passage()):
        assert [ask(guard), look_up(guard)] == ["busy", "busy"]
    with held(*(guard.lookup_passage() for _ in range(3))):
        assert [ask(guard), look_up(guard)] == ["busy", "busy"], "look-ups may take them all"
    assert [ask(guard), look_up(guard)] == ["answered", "answered"]


def test_guard_of_one_slot_lets_a_sign_in_pass(clock: FixedClock) -> None:
    guard = Guard("annuaire", clock, concurrency=1, failures=3, pause=PAUSE, slot_wait=WAIT, lookup_wait=WAIT)
    with held(guard.passage()):
        assert look_up(guard) == "busy"
    assert ask(guard) == "answered"


def test_guard_lets_in_whoever_came_first(clock: FixedClock) -> None:
    """Whoever comes again and again must not pass by those who wait."""
    guard = Guard("annuaire", clock, concurrency=1, failures=3, pause=PAUSE, slot_wait=timedelta(seconds=30))
    entered: list[int] = []
    ready = threading.Barrier(4)

    def ask_often(who: int) -> None:
        ready.wait(30)
        for _ in range(60):
            with guard.passage():
                entered.append(who)
                time.sleep(0.005)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask_often, range(4)))
    first_done = min(max(at for at, one in enumerate(entered) if one == who) for who in range(4))
    assert all(entered[:first_done].count(who) > 30 for who in range(4)), entered


def test_guard_wakes_whom_the_slot_is_for(clock: FixedClock) -> None:
    """One sign-in and one look-up wait; the slot that becomes free is for the look-up only."""
    guard = Guard(
        "annuaire", clock, concurrency=2, failures=3, pause=PAUSE, slot_wait=timedelta(seconds=30), lookup_wait=timedelta(seconds=30)
    )
    with ThreadPoolExecutor(2) as threads:
        with held(guard.passage()):
            with held(guard.lookup_passage()):
                waiting = [threads.submit(ask, guard), threads.submit(look_up, guard)]
            assert waiting[1].result(30) == "answered"
            assert not waiting[0].done()
        assert waiting[0].result(30) == "answered"


def test_guard_does_not_prolong_the_pause_when_requests_that_were_under_way_fail(guard: Guard, clock: FixedClock) -> None:
    entered, leave = threading.Barrier(2), threading.Event()

    def late() -> None:
        with guard.passage():
            entered.wait(60)
            leave.wait(60)
            raise SourceUnreachable("no answer", trouble="timeout")

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(late)
        entered.wait(60)
        for _ in range(3):
            fail(guard)
        clock.advance(PAUSE - timedelta(seconds=1))
        leave.set()
        assert isinstance(held.exception(), SourceUnreachable)
    clock.advance(timedelta(seconds=1))
    assert ask(guard) == "answered"


def test_nobody_waits_when_somebody_has_been_inside_for_long(clock: FixedClock) -> None:
    patient = Guard("annuaire", clock, concurrency=2, failures=3, pause=PAUSE, slot_wait=timedelta(seconds=60))
    with patient.passage(), ThreadPoolExecutor(1) as elsewhere:
        clock.advance(timedelta(milliseconds=600))
        assert elsewhere.submit(ask, patient).result(timeout=30) == "busy"


def test_guard_leaves_the_source_alone_for_as_long_as_it_asked(guard: Guard, clock: FixedClock) -> None:
    with guard.passage():
        guard.leave_alone(3 * PAUSE)  # an answer that was under way when another was told to wait
    assert ask(guard) == "paused"
    clock.advance(2 * PAUSE)
    assert ask(guard) == "paused"
    guard.leave_alone(PAUSE / 2)  # a later, shorter word does not shorten it
    clock.advance(PAUSE)
    assert ask(guard) == "answered"
    assert not guard.is_paused


def test_guard_keeps_to_the_rest_when_the_one_that_tries_again_fails(guard: Guard, clock: FixedClock) -> None:
    for _ in range(3):
        fail(guard)
    clock.advance(PAUSE)
    throttle(guard, 5 * PAUSE)
    clock.advance(4 * PAUSE)
    assert ask(guard) == "paused"
    clock.advance(PAUSE)
    assert ask(guard) == "answered"
