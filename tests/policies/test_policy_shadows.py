"""Rules that another makes useless are named; those that may still matter are left alone."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decision import Verdict
from policies.rule_shadows import shadows
from policies.rules import DEFAULT_RULE_SET, RuleSet, SignInFacts, parse_rules

LAN: dict[str, Any] = {"zone_kind": ["trusted"]}
SECOND: dict[str, Any] = {"effect": "require", "require": ["second_factor"]}


def named(*rules: dict[str, Any]) -> list[tuple[str, str]]:
    numbered = [{"name": f"rule-{number}", **rule} for number, rule in enumerate(rules)]
    parsed = parse_rules([*numbered, {"name": "last", "effect": "allow", "when": {"client": ["nobody-else"]}}])
    return [(shadow.rule, shadow.other) for shadow in shadows(parsed.rules)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([{"effect": "deny"}, {"effect": "allow", "when": LAN}], ["rule-1", "last"], id="everything is denied"),
        pytest.param(
            [{"effect": "deny", "when": LAN}, {"effect": "allow", "when": {**LAN, "profile": ["nurse"]}}],
            ["rule-1"],
            id="allowed in a denial",
        ),
        pytest.param([{"effect": "allow", "when": {**LAN, "profile": ["nurse"]}}, {"effect": "deny", "when": LAN}], ["rule-0"], id="order"),
        pytest.param([{**SECOND}, {"effect": "allow", "when": LAN}], ["rule-1", "last"], id="required of all, so never just allowed"),
        pytest.param([{**SECOND, "when": LAN}, {**SECOND, "when": {"all": [LAN, {"client": ["a"]}]}}], ["rule-1"], id="required already"),
        pytest.param(
            [{**SECOND, "when": LAN}, {"effect": "require", "require": [{"proof": "second_factor", "within": "1h"}], "when": LAN}],
            ["rule-0"],
            id="required more freshly",
        ),
        pytest.param(
            [{"effect": "require", "require": [{"proof": "second_factor", "within": "1h"}], "when": LAN}, {**SECOND, "when": LAN}],
            ["rule-1"],
            id="required less freshly",
        ),
        pytest.param(
            [{"effect": "allow", "when": {"zone_kind": ["trusted", "vpn"]}}, {"effect": "allow", "when": LAN}],
            ["rule-1"],
            id="a word of several",
        ),
        pytest.param([{"effect": "allow", "when": LAN}, {"effect": "allow", "when": LAN}], ["rule-1"], id="twice: the later one"),
        pytest.param(
            [
                {"effect": "deny", "when": {"time": {"from": "20:00", "to": "08:00"}}},
                {**SECOND, "when": {"time": {"from": "22:00", "to": "06:00"}}},
            ],
            ["rule-1"],
            id="an hour of the night",
        ),
        pytest.param(
            [{"effect": "deny", "when": {"not": LAN}}, {**SECOND, "when": {"not": {"zone_kind": ["trusted", "vpn"]}}}], ["rule-1"], id="not"
        ),
        pytest.param(
            [{"effect": "deny", "when": {"any": [LAN, {"client": ["a"]}]}}, {"effect": "allow", "when": LAN}], ["rule-1"], id="any"
        ),
        pytest.param([{"effect": "deny", "when": {"client": ["a"]}}, {"effect": "allow", "when": LAN}], [], id="other facts"),
        pytest.param([{"effect": "deny", "when": {**LAN, "client": ["a"]}}, {"effect": "allow", "when": LAN}], [], id="only a part"),
        pytest.param([{"effect": "deny", "when": LAN, "observe": True}, {"effect": "allow", "when": LAN}], [], id="observed hides nothing"),
        pytest.param([{"effect": "deny", "when": LAN}, {"effect": "deny", "when": LAN, "observe": True}], [], id="observed is left alone"),
        pytest.param([{**SECOND, "when": LAN}, {"effect": "deny", "when": LAN}], ["rule-0"], id="a denial is not hidden by less"),
        pytest.param([{"effect": "deny", "when": {"device_known": False}}, {**SECOND, "when": {"device_known": True}}], [], id="flags"),
    ],
)
def test_rule_that_never_matters_is_named(rules: list[dict[str, Any]], expected: list[str]) -> None:
    assert [rule for rule, _ in named(*rules)] == expected


def test_default_rules_all_matter() -> None:
    assert shadows(DEFAULT_RULE_SET.rules) == ()


WORDS = st.lists(st.sampled_from(["trusted", "vpn", "outside"]), min_size=1, max_size=3, unique=True)
LEAF = st.one_of(
    st.fixed_dictionaries({"zone_kind": WORDS}),
    st.fixed_dictionaries({"profile": st.lists(st.sampled_from(["nurse", "aide"]), min_size=1, unique=True)}),
    st.fixed_dictionaries({"device_known": st.booleans()}),
)
WHEN = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=4,
)
EFFECT = st.sampled_from(
    [{"effect": "allow"}, {"effect": "deny"}, SECOND, {"effect": "require", "require": [{"proof": "second_factor", "within": "1h"}]}]
)
FACTS = st.builds(
    SignInFacts,
    zone_kind=st.sampled_from([None, "trusted", "vpn", "outside"]),
    profiles=st.sampled_from([None, frozenset(), frozenset({"nurse"}), frozenset({"nurse", "aide"})]),
    device_known=st.sampled_from([None, True, False]),
)


@settings(max_examples=300, deadline=None)
@given(effects=st.lists(st.tuples(EFFECT, WHEN), min_size=2, max_size=5), facts=st.lists(FACTS, min_size=1, max_size=6))
def test_leaving_out_a_rule_that_is_named_changes_no_verdict(effects: list[tuple[dict[str, Any], Any]], facts: list[SignInFacts]) -> None:
    raw = [{"name": f"rule-{number}", **effect, "when": when} for number, (effect, when) in enumerate(effects)]
    rules = parse_rules([*raw, {"name": "otherwise", "effect": "allow", "when": {"profile": ["nurse"], "device_known": True}}]).rules
    for shadow in shadows(rules):
        without = RuleSet(rule for rule in rules if rule.name != shadow.rule)
        for one in facts:
            before, after = RuleSet(rules).decide(one), without.decide(one)
            assert (before.decision.verdict, before.requirements) == (after.decision.verdict, after.requirements), shadow
            assert before.decision.verdict in tuple(Verdict)
