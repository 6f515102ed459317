"""policies.lockout: waits that grow, the cap of a day, and the lock that was chosen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lockout import (
    NEVER_LOCKS,
    BindFacts,
    BindVerdict,
    Budget,
    LockoutFacts,
    LockoutMode,
    LockoutRules,
    SprayFacts,
    Standing,
    Throttle,
    budget_below,
    decide,
    is_spraying,
    may_bind,
)

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


# Outside and near


def _outside(failures: int, *, today: int | None = None, near: int = 0, near_today: int | None = None) -> LockoutFacts:
    return replace(
        _after(failures, ago=timedelta(hours=1), today=today),
        standing=Standing.OUTSIDE,
        elsewhere=near,
        elsewhere_24h=near if near_today is None else near_today,
    )


def _near(failures: int, *, outside: int, outside_today: int | None = None) -> LockoutFacts:
    today = outside if outside_today is None else outside_today
    return replace(_after(failures, ago=timedelta(hours=1)), elsewhere=outside, elsewhere_24h=today)


@pytest.mark.parametrize(
    ("rules", "facts", "expected"),
    [
        (TIMED, _outside(14), _allowed(1)),
        (TIMED, _outside(15), _refused("daily_cap_reached", timedelta(hours=23))),
        (TIMED, _near(0, outside=15), _allowed(5)),
        (TIMED, _near(9, outside=15), _allowed(1)),
        (TIMED, _near(10, outside=15), _refused("daily_cap_reached", timedelta(hours=23))),
        (TIMED, _near(4, outside=1000, outside_today=0), _allowed(1)),
        (TIMED, _outside(0, near=24), _allowed(1)),
        (TIMED, _outside(0, near=25), _refused("daily_cap_reached", timedelta(hours=24))),
        (ADMIN, _outside(4), _allowed(1)),
        (ADMIN, _outside(5), _refused("locked_until_admin", timedelta(0))),
        (ADMIN, _near(0, outside=5), _allowed(5)),
        (ADMIN, _near(4, outside=5), _allowed(1)),
        (ADMIN, _near(5, outside=5), _refused("locked_until_admin", timedelta(0))),
        (ADMIN, _outside(1, near=9), _refused("locked_until_admin", timedelta(0))),
        (BOTH, _outside(5), _refused("locked_until_admin", timedelta(0))),
        (BOTH, _near(0, outside=5), _allowed(5)),
    ],
)
def test_outside_uses_up_its_part_and_leaves_the_rest(rules: LockoutRules, facts: LockoutFacts, expected: Throttle) -> None:
    assert decide(facts, rules) == expected


@given(st.sampled_from(LockoutMode), st.integers(10, 100), st.integers(4, 20))
def test_whatever_outside_does_near_has_tries_left(mode: LockoutMode, cap: int, lock_at: int) -> None:
    """Outside goes on for as long as it is let; then somebody comes to their desk."""
    rules = LockoutRules(mode=mode, max_failures_24h=cap, lock_at=lock_at)
    spent = 0
    while decide(_outside(spent), rules).is_allowed:
        spent += 1
    assert decide(_near(0, outside=spent), rules).is_allowed
    assert spent <= cap


# Below the lock of a directory


@pytest.mark.parametrize(
    ("threshold", "reserve", "outside", "whole"),
    [
        (1, 2, 0, 0),
        (2, 2, 0, 1),
        (3, 2, 1, 2),
        (4, 2, 1, 3),
        (5, 2, 2, 4),
        (5, 1, 3, 4),
        (5, 9, 1, 4),
        (10, 2, 7, 9),
        (10, 3, 6, 9),
        (100, 2, 97, 99),
    ],
)
def test_one_try_below_the_lock_is_always_left_alone(threshold: int, reserve: int, outside: int, whole: int) -> None:
    assert budget_below(threshold, reserve=reserve) == Budget(outside, whole)


@pytest.mark.parametrize(
    ("standing", "threshold", "failures", "under_way", "left", "reason"),
    [
        ("outside", 5, 0, 0, 2, "not_throttled"),
        ("outside", 5, 1, 0, 1, "not_throttled"),
        ("outside", 5, 1, 1, 0, "tries_under_way"),
        ("outside", 5, 0, 1, 1, "not_throttled"),
        ("outside", 5, 2, 0, 0, "outside_budget_spent"),
        ("outside", 5, 3, 0, 0, "outside_budget_spent"),
        ("outside", 5, 4, 0, 0, "directory_near_its_lock"),
        ("outside", 5, 7, 0, 0, "directory_near_its_lock"),
        ("inside", 5, 2, 0, 2, "not_throttled"),
        ("inside", 5, 2, 2, 0, "tries_under_way"),
        ("inside", 5, 3, 0, 1, "not_throttled"),
        ("inside", 5, 4, 0, 0, "directory_near_its_lock"),
        ("known_device", 5, 3, 0, 1, "not_throttled"),
        ("known_device", 5, 4, 0, 0, "directory_near_its_lock"),
        ("outside", 2, 0, 0, 0, "outside_budget_spent"),
        ("inside", 2, 0, 0, 1, "not_throttled"),
        ("inside", 1, 0, 0, 0, "directory_near_its_lock"),
        ("outside", NEVER_LOCKS, 1000, 20, None, "not_throttled"),
    ],
)
def test_a_password_is_tried_at_a_directory_while_it_stays_below_its_lock(
    standing: str, threshold: int, failures: int, under_way: int, left: int | None, reason: str
) -> None:
    facts = BindFacts(standing=Standing(standing), threshold=threshold, failures=failures, under_way=under_way)
    assert may_bind(facts, reserve=2) == BindVerdict(reason == "not_throttled", left, reason)


def test_who_was_locked_elsewhere_is_tried_again_from_near_only() -> None:
    facts = BindFacts(standing=Standing.INSIDE, threshold=5, failures=5, was_locked=True)
    assert may_bind(facts, reserve=2).is_allowed
    assert not may_bind(replace(facts, standing=Standing.OUTSIDE), reserve=2).is_allowed


@given(st.integers(1, 50), st.integers(1, 60), st.lists(st.sampled_from(Standing), max_size=120))
def test_no_order_of_wrong_passwords_reaches_the_lock(threshold: int, reserve: int, tries: list[Standing]) -> None:
    failures = outside = 0
    for standing in tries:
        if may_bind(BindFacts(standing=standing, threshold=threshold, failures=failures), reserve=reserve).is_allowed:
            failures += 1
            outside += standing is Standing.OUTSIDE
    assert failures < threshold
    assert outside <= max(0, threshold - 1 - min(reserve, max(1, threshold - 2)))


# Spraying


@pytest.mark.parametrize(
    ("refused", "let_in", "expected"),
    [(9, 0, False), (10, 0, True), (10, 3, True), (10, 4, False), (60, 300, False), (60, 20, True), (0, 0, False)],
)
def test_many_names_that_fail_are_spraying_unless_most_get_in(refused: int, let_in: int, expected: bool) -> None:
    assert is_spraying(SprayFacts(names_refused=refused, names_let_in=let_in), names=10) is expected
