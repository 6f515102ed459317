"""The rules of the reset desk, by themselves: when two people are needed, who may be the second, which channel carries a half."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.resets import (
    ALWAYS,
    FROM,
    MODES,
    Detail,
    Kind,
    Move,
    ResetFacts,
    ResetRules,
    Second,
    Why,
    is_night,
    lets_person_ask,
    may_ask_by,
    may_be_second,
    may_carry_half,
    may_use_pass,
    needs_second,
    serves_oneself,
)

RULES = ResetRules()
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TWO = NOON.replace(hour=2)
OLD = Detail(is_there=True)


def facts(kind: Kind = "password", **changes: Any) -> ResetFacts:
    plain: dict[str, Any] = {"has_factor": True, "is_privileged": False, "local_time": NOON}
    return ResetFacts(kind=kind, **{**plain, **changes})


@pytest.mark.parametrize(
    ("case", "whys"),
    [
        (facts(), ()),
        (facts("factor"), ()),
        (facts("both"), (Why.BOTH,)),
        (facts(has_factor=False), (Why.NO_FACTOR,)),
        (facts("factor", has_factor=False), ()),
        (facts(is_privileged=True), (Why.PRIVILEGED,)),
        (facts(local_time=TWO), (Why.NIGHT,)),
        (facts("both", is_privileged=True, local_time=TWO), (Why.BOTH, Why.PRIVILEGED, Why.NIGHT)),
    ],
)
def test_agent_needs_a_second_person_when_little_is_left_to_prove_or_it_is_night(case: ResetFacts, whys: tuple[Why, ...]) -> None:
    assert needs_second(case, RULES) == whys


@given(st.sets(st.sampled_from(Why)), st.booleans(), st.booleans(), st.integers(0, 23))
def test_operator_never_turns_off_the_second_person_for_both_nor_for_the_privileged(
    chosen: set[Why], has_factor: bool, is_privileged: bool, hour: int
) -> None:
    rules = ResetRules(second_person=frozenset(chosen))
    local = NOON.replace(hour=hour)
    assert Why.BOTH in needs_second(facts("both", has_factor=has_factor, local_time=local), rules)
    if is_privileged:
        assert Why.PRIVILEGED in needs_second(facts(is_privileged=True, local_time=local), rules)
    assert set(needs_second(facts("both", is_privileged=True, local_time=local), rules)) <= chosen | ALWAYS


@pytest.mark.parametrize(
    ("at", "night"), [(time(20, 59), False), (time(21), True), (time(0), True), (time(6, 59), True), (time(7), False), (time(12), False)]
)
def test_night_goes_over_midnight_when_it_begins_in_the_evening(at: time, night: bool) -> None:
    assert is_night(datetime.combine(NOON.date(), at, tzinfo=UTC), RULES) is night


@given(st.times())
def test_there_is_no_night_when_it_begins_as_it_ends(at: time) -> None:
    rules = ResetRules(night_from=time(9), night_until=time(9))
    assert not is_night(datetime.combine(NOON.date(), at), rules)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (Second(account_id="boss", has_fresh_passkey=True), "reset_allowed"),
        (Second(account_id="boss"), "reset_second_not_passkey"),
        (Second(account_id="nurse", has_fresh_passkey=True), "act_on_oneself"),
        (Second(account_id="agent", has_fresh_passkey=True), "reset_second_is_asker"),
        (Second(account_id=None, has_fresh_passkey=True), "reset_second_unknown"),
    ],
)
def test_approver_is_refused_when_they_are_the_person_or_have_touched_it(second: Second, reason: str) -> None:
    decision = may_be_second(second, person_id="nurse", touched_by=frozenset({"agent"}), rules=RULES)
    assert decision.reasons == (reason,)
    assert decision.is_allowed is (reason == "reset_allowed")


def test_approver_needs_no_passkey_when_the_operator_says_so() -> None:
    rules = ResetRules(approves_by_passkey=False)
    assert may_be_second(Second(account_id="boss"), person_id="nurse", touched_by=frozenset(), rules=rules).is_allowed


def test_sealed_pass_stands_for_an_approver_at_night_only_and_for_nobody_privileged() -> None:
    assert may_use_pass(facts(local_time=TWO), RULES).is_allowed
    assert may_use_pass(facts(), RULES).reasons == ("reset_pass_not_now",)
    assert may_use_pass(facts(local_time=TWO, is_privileged=True), RULES).reasons == ("reset_pass_not_enough",)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)))
def test_channel_carries_a_half_when_it_is_a_week_old_and_serves_to_ask_after_three_days(age: timedelta) -> None:
    detail = Detail(is_there=True, changed_at=NOON - age)
    assert may_carry_half(detail, NOON, RULES).is_allowed is (age >= timedelta(days=7))
    assert may_ask_by(detail, NOON, RULES).is_allowed is (age >= timedelta(hours=72))


def test_channel_that_is_not_there_carries_nothing_and_one_of_the_first_day_does() -> None:
    assert may_carry_half(Detail(is_there=False), NOON, RULES).reasons == ("reset_channel_missing",)
    assert may_carry_half(OLD, NOON, RULES).is_allowed


def test_person_serves_themselves_when_the_mode_is_self_and_something_is_left_to_prove() -> None:
    known: dict[str, Any] = {"has_factor": True, "whys": (Why.NIGHT,), "email": OLD, "now": NOON, "rules": RULES}
    assert serves_oneself("self", "password", **known)
    assert not serves_oneself("self", "password", **{**known, "whys": (Why.PRIVILEGED,)})
    assert not serves_oneself("self", "factor", **known)
    assert not serves_oneself("self", "both", **known)
    assert not serves_oneself("self", "password", **{**known, "has_factor": False})
    assert not serves_oneself("self", "password", **{**known, "email": Detail(is_there=True, changed_at=NOON - timedelta(days=6))})
    assert not any(serves_oneself(mode, "password", **known) for mode in MODES if mode != "self")
    assert [mode for mode in MODES if lets_person_ask(mode)] == ["admin+email_code", "self"]


def test_no_move_is_made_from_where_a_reset_has_ended() -> None:
    ended = {"done", "expired", "cancelled", "stopped", "burnt"}
    assert set(FROM) == set(Move)
    assert not any(states & ended for states in FROM.values())
    assert FROM[Move.APPROVE] == {"proven"}
