"""A replay keeps what it has judged: it must say of every sign-in what the rules, asked afresh, would say."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.signin.decided import decided
from idp.signin.replay_judge import ASKED, LET_IN, REFUSED, SPARED, Judge
from policies.decision import Verdict
from policies.rules import DEFAULT_RULE_SET, RuleSet, SignInFacts, parse_rules

ALLOW = {"name": "allow", "effect": "allow"}
TIMES = st.sampled_from(["00:00", "06:30", "12:00", "21:00", "23:59"])
LEAF = st.one_of(
    st.fixed_dictionaries({"zone_kind": st.just(["trusted"])}),
    st.fixed_dictionaries({"establishment": st.just(["tilleuls"])}),
    st.fixed_dictionaries({"profile": st.lists(st.sampled_from(["nurse", "aide"]), min_size=1, unique=True)}),
    st.fixed_dictionaries({"factor": st.just(["totp"])}),
    st.fixed_dictionaries({"device_known": st.booleans()}),
    st.fixed_dictionaries({"weekdays": st.lists(st.sampled_from(["mon", "sat", "sun"]), min_size=1, unique=True)}),
    st.tuples(TIMES, TIMES).filter(lambda ends: ends[0] != ends[1]).map(lambda ends: {"time": {"from": ends[0], "to": ends[1]}}),
)
WHEN = st.one_of(
    LEAF,
    st.fixed_dictionaries({"not": LEAF}),
    st.lists(LEAF, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
    st.lists(LEAF, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
)
EFFECT = st.sampled_from(
    [
        {"effect": "allow"},
        {"effect": "deny"},
        {"effect": "require", "require": ["second_factor"]},
        {"effect": "require", "require": [{"proof": "phishing_resistant", "within": "1h"}]},
        {"effect": "deny", "observe": True},
    ]
)
MONDAY = datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=1)))
MOMENT = st.integers(min_value=0, max_value=14 * 24 * 3600).map(lambda seconds: MONDAY + timedelta(seconds=seconds))
FACTS = st.builds(
    SignInFacts,
    zone_kind=st.sampled_from([None, "trusted", "outside"]),
    establishment=st.sampled_from([None, "tilleuls", "glycines", "lilas"]),
    client=st.sampled_from(["carnet", 'a "local_time": "quoted" one']),
    profiles=st.sampled_from([None, frozenset(), frozenset({"nurse"}), frozenset({"aide", "doctor"})]),
    factors=st.sampled_from([None, frozenset(), frozenset({"totp"}), frozenset({"email", "totp"})]),
    device_known=st.sampled_from([None, True, False]),
    local_time=st.one_of(st.none(), MOMENT),
)


def kept(facts: SignInFacts, rules: RuleSet = DEFAULT_RULE_SET) -> str:
    return json.dumps({"facts": facts.as_json(), **rules.decide(facts).as_json()}, ensure_ascii=False)


@settings(max_examples=150, deadline=None)
@given(rules=st.lists(st.tuples(EFFECT, WHEN), min_size=1, max_size=5), facts=st.lists(FACTS, min_size=1, max_size=30))
def test_what_is_kept_says_the_same_as_the_rules_asked_afresh(rules: list[tuple[dict[str, Any], Any]], facts: list[SignInFacts]) -> None:
    draft = parse_rules([{"name": f"rule-{at}", **effect, "when": when} for at, (effect, when) in enumerate(rules)] + [ALLOW])
    judge = Judge(draft)
    for one in facts:
        found, ruling, then = judge.outcome(kept(one)), draft.decide(one), DEFAULT_RULE_SET.decide(one)
        assert found is not None
        assert found.rules == ruling.decision.reasons
        assert found.observed == tuple(line.reason for line in ruling.observed)
        assert (found.what == REFUSED) == (ruling.decision.is_denied and not then.decision.is_denied)
        assert (found.what == LET_IN) == (then.decision.is_denied and not ruling.decision.is_denied)
    assert judge.count <= len(facts)


def test_minutes_between_which_no_rule_changes_are_judged_once() -> None:
    judge = Judge(parse_rules([{"name": "night", "effect": "deny", "when": {"time": {"from": "21:00", "to": "06:30"}}}, ALLOW]))
    for minutes in range(0, 24 * 60, 7):
        judge.outcome(kept(SignInFacts(zone_kind="trusted", client=f"client-{minutes}", local_time=MONDAY + timedelta(minutes=minutes))))
    assert judge.count == 3  # before 06:30, the day, from 21:00


@pytest.mark.parametrize(
    ("then", "rules", "expected"),
    [
        ("trusted", [{"name": "again", "effect": "require", "require": ["second_factor"]}], ASKED),
        ("outside", [{"name": "same", "effect": "require", "require": ["second_factor"]}], None),
        ("outside", [{"name": "fresher", "effect": "require", "require": [{"proof": "second_factor", "within": "1h"}]}], ASKED),
        ("outside", [{"name": "stronger", "effect": "require", "require": ["phishing_resistant"]}], ASKED),
        ("outside", [ALLOW], SPARED),
        ("blocked", [ALLOW], LET_IN),
        ("blocked", [ALLOW, {"name": "no", "effect": "deny"}], None),
        ("trusted", [ALLOW, {"name": "no", "effect": "deny"}], REFUSED),
    ],
)
def test_change_is_told_as_what_the_person_would_notice(then: str, rules: list[dict[str, Any]], expected: str | None) -> None:
    facts = SignInFacts(zone_kind=then, administrator=False, break_glass=False)
    found = Judge(parse_rules(rules)).outcome(kept(facts))
    assert found is not None
    assert found.what == expected


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"facts": {"zone_kind": 3}, "verdict": "allow", "requirements": []}', '{"facts": {"local_time": "x"}}']
)
def test_what_cannot_be_read_is_said_so(text: str) -> None:
    rules = parse_rules([{"name": "night", "effect": "deny", "when": {"weekdays": ["sat"], "zone_kind": ["vpn"]}}, ALLOW])
    assert Judge(rules).outcome(text) is None


def test_decision_of_an_event_is_read_as_it_was_said() -> None:
    past = decided(json.loads(kept(SignInFacts(zone_kind="outside", administrator=None, break_glass=False))))
    assert (past.verdict, past.requirements) == (Verdict.REQUIRE, {"second_factor": None})
    assert [(line.reason, line.detail) for line in past.trace] == [
        ("second_factor_outside", ""),
        ("second_factor_for_administrators", "unknown"),
    ]
