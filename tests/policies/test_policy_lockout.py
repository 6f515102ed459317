"""policies.lockout: waits that grow, the cap of a day, and the lock that was chosen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lockout import LockoutFacts, LockoutMode, LockoutRules, Throttle, decide

NOW = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TIMED = LockoutRules()
ADMIN = LockoutRules(mode=LockoutMode.ADMIN)
BOTH = LockoutRules(mode=LockoutMode.TIMED_THEN_ADMIN)


def _after(failures: int, *, ago: timedelta = timedelta(0), today: int | None = None) -> LockoutFacts:
    return LockoutFacts(failures, failures if today is None else today, NOW - ago if failures else None, NOW)


def _allowed(tries_left: int) -> Throttle:
    return Throttle(is_allowed=True, wait=timedelta(0), tries_left_before_wait=tries_left, reason="not_throttled")


def _refused(reason: str, wait: timedelta) -> Throttle:
    return Throttle(is_allowed=False, wait=wait, tries_left_before_wait=0, reason=reason)


@pytest.mark.parametrize(("failures", "minutes"), [(5, 1), (6, 2), (7, 4), (8, 8), (9, 15), (10, 30), (11, 30), (24, 30)])
def test_each_failure_from_the_fifth_brings_a_longer_wait(failures: int, minutes: int) -> None:
    wait = minutes * MINUTE
    assert decide(_after(failures), TIMED) == _refused("wait_after_failures", wait)
    assert decide(_after(failures, ago=wait - timedelta(seconds=1)), TIMED).wait == timedelta(seconds=1)
    assert decide(_after(failures, ago=wait), TIMED) == _allowed(1)


@pytest.mark.parametrize(
    ("rules", "facts", "expected"),
    [
        (TIMED, _after(0), _allowed(5)),
        (TIMED, _after(4), _allowed(1)),
        (TIMED, _after(1, today=23), _allowed(2)),
        (TIMED, _after(1, today=25, ago=MINUTE), _refused("daily_cap_reached", timedelta(hours=24) - MINUTE)),
        (TIMED, _after(0, today=25), _refused("daily_cap_reached", timedelta(hours=24))),
        (TIMED, _after(10, today=10, ago=31 * MINUTE), _allowed(1)),
        (ADMIN, _after(0), _allowed(10)),
        (ADMIN, _after(9), _allowed(1)),
        (ADMIN, _after(10), _refused("locked_until_admin", timedelta(0))),
        (ADMIN, _after(10, ago=timedelta(days=400), today=0), _refused("locked_until_admin", timedelta(0))),
        (ADMIN, _after(2, today=25), _refused("daily_cap_reached", timedelta(hours=24))),
        (BOTH, _after(5), _refused("wait_after_failures", MINUTE)),
        (BOTH, _after(9, ago=15 * MINUTE), _allowed(1)),
        (BOTH, _after(10, ago=timedelta(days=1)), _refused("locked_until_admin", timedelta(0))),
    ],
)
def test_a_try_is_allowed_or_refused_by_the_mode_chosen(rules: LockoutRules, facts: LockoutFacts, expected: Throttle) -> None:
    assert decide(facts, rules) == expected


def test_a_record_without_the_last_failure_is_refused_for_the_whole_wait() -> None:
    facts = LockoutFacts(7, 7, None, NOW)
    assert decide(facts, TIMED) == _refused("wait_after_failures", 4 * MINUTE)


def test_a_clock_that_went_back_does_not_lengthen_the_wait() -> None:
    assert decide(_after(5, ago=-timedelta(hours=3)), TIMED).wait == MINUTE


_rules = st.builds(
    LockoutRules,
    mode=st.sampled_from(LockoutMode),
    first_wait_at=st.integers(1, 10),
    waits=st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=2)), min_size=1, max_size=6).map(lambda waits: tuple(sorted(waits))),
    max_failures_24h=st.integers(1, 40),
    lock_at=st.integers(1, 20),
)
_age = st.timedeltas(timedelta(0), timedelta(hours=30))


@given(_rules, st.integers(0, 50), st.integers(0, 50), _age)
def test_one_more_failure_never_helps(rules: LockoutRules, failures: int, today: int, ago: timedelta) -> None:
    facts = LockoutFacts(failures, today, NOW - ago, NOW)
    before = decide(facts, rules)
    after = decide(replace(facts, consecutive_failures=failures + 1, failures_24h=today + 1), rules)
    assert before.is_allowed or not after.is_allowed
    if before.reason == after.reason == "wait_after_failures":
        assert after.wait >= before.wait


@given(_rules, st.integers(0, 50), st.integers(0, 50), _age)
def test_the_answer_is_consistent_and_says_when_to_come_back(rules: LockoutRules, failures: int, today: int, ago: timedelta) -> None:
    facts = LockoutFacts(failures, today, NOW - ago, NOW)
    throttle = decide(facts, rules)
    assert throttle.is_allowed == (throttle.tries_left_before_wait > 0)
    assert throttle.is_allowed == (throttle.reason == "not_throttled")
    assert throttle.wait >= timedelta(0)
    if throttle.reason == "wait_after_failures":
        assert throttle.wait > timedelta(0)
        assert decide(replace(facts, now=NOW + throttle.wait), rules).is_allowed
    if throttle.is_allowed:
        last = throttle.tries_left_before_wait
        used = replace(facts, consecutive_failures=failures + last, failures_24h=today + last, last_failure_at=NOW)
        assert not decide(used, rules).is_allowed


@pytest.mark.parametrize(
    "change",
    [
        {"first_wait_at": 0},
        {"lock_at": 0},
        {"max_failures_24h": 0},
        {"waits": ()},
        {"waits": (timedelta(0),)},
        {"waits": (2 * MINUTE, MINUTE)},
    ],
)
def test_rules_that_would_never_or_always_refuse_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"threshold|wait"):
        replace(TIMED, **change)  # type: ignore[arg-type]  # one bad field at a time, of several types
