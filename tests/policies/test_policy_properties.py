"""policies.rules, for all rules and all facts: what may never widen does not, and an explanation never disagrees with the decision."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policies.assurance import PROOFS
from policies.criteria import FLAG_CRITERIA, WEEKDAYS
from policies.decision import Verdict
from policies.rules import DEFAULT_RULES, Outcome, Requirement, RuleSet, Ruling, SignInFacts, parse_rules
from policies.zones import ZONE_KINDS

_WORDS = {
    "zone": ["outside", "a/one", "b/two"],
    "zone_kind": list(ZONE_KINDS),
    "client": ["dossier", "planning"],
    "profile": ["nurse", "aide", "it"],
    "establishment": ["a", "b"],
    "level": ["tolerant", "rie-2026", "psc"],
    "connector": ["local", "annuaire"],
    "method": ["password", "windows", "totp"],
    "factor": ["totp", "passkey"],
    "requested_acr": ["phr", "urn:vestibule:acr:mfa"],
    "weekdays": list(WEEKDAYS),
}
_TIMES = ["00:00", "06:30", "12:00", "21:00", "23:59"]
_STRENGTH = {Verdict.ALLOW: 0, Verdict.REQUIRE: 1, Verdict.DENY: 2}


def _words(name: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(_WORDS[name]), min_size=1, max_size=3, unique=True)


_condition: st.SearchStrategy[dict[str, Any]] = st.one_of(
    *(_words(name).map(lambda words, name=name: {name: words}) for name in _WORDS),  # type: ignore[misc]  # bound now
    *(st.booleans().map(lambda flag, name=name: {name: flag}) for name in FLAG_CRITERIA),  # type: ignore[misc]
    st.permutations(_TIMES).map(lambda times: {"time": {"from": times[0], "to": times[1]}}),
)
_when = st.recursive(
    _condition,
    lambda inner: st.one_of(
        inner.map(lambda one: {"not": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"any": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"all": some}),
        st.tuples(_condition, inner).map(lambda two: {**two[1], **two[0]}),
    ),
    max_leaves=5,
)
_asked = st.lists(
    st.one_of(
        st.sampled_from(PROOFS),
        st.builds(lambda proof, hours: {"proof": proof, "within": f"{hours}h"}, st.sampled_from(PROOFS), st.integers(1, 48)),
    ),
    min_size=1,
    max_size=3,
)
_allow = st.builds(lambda when: {"effect": "allow", "when": when}, st.one_of(st.just({}), _when))
_deny = st.builds(lambda when: {"effect": "deny", "when": when}, _when)
_require = st.builds(lambda when, asked: {"effect": "require", "when": when, "require": asked}, _when, _asked)
_rule = st.builds(
    lambda rule, observed: {**rule, "observe": observed}, st.one_of(_allow, _deny, _require), st.sampled_from([False] * 5 + [True])
)
_DEFAULTS = [dict(rule) for rule in DEFAULT_RULES]


def _named(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # One that always counts, so that the list is never refused for letting nobody in.
    always = {"name": "never-met", "effect": "allow", "when": {"client": ["nobody"]}}
    return [always, *({**rule, "name": rule.get("name", f"rule-{at}")} for at, rule in enumerate(rules))]


_rules = st.one_of(st.lists(_rule, max_size=6), st.lists(_rule, max_size=4).map(lambda some: [*_DEFAULTS, *some])).map(_named)
_instant = st.integers(0, 7 * 1440 - 1).map(lambda minutes: datetime(2026, 3, 9, tzinfo=UTC) + timedelta(minutes=minutes))


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy, strategy, strategy)


def _some(name: str) -> st.SearchStrategy[Any]:
    return _maybe(st.frozensets(st.sampled_from(_WORDS[name])))


_facts = st.builds(
    SignInFacts,
    **{name: _maybe(st.sampled_from(_WORDS[name])) for name in ("zone", "zone_kind", "client", "establishment", "level", "connector")},
    profiles=_some("profile"),
    methods=_some("method"),
    factors=_some("factor"),
    requested_acr=_some("requested_acr"),
    local_time=_maybe(_instant),
    **{name: _maybe(st.booleans()) for name in FLAG_CRITERIA},
)
_fact_names = st.sampled_from([one.name for one in fields(SignInFacts)])


def _is_as_narrow(narrow: Ruling, wide: Ruling) -> bool:
    """Whether everything that `narrow` opens, `wide` opens too."""
    if narrow.decision.verdict is not wide.decision.verdict:
        return _STRENGTH[narrow.decision.verdict] > _STRENGTH[wide.decision.verdict]
    asked = {one.proof: one.within for one in narrow.requirements}
    return all(one.proof in asked and _is_as_fresh(asked[one.proof], one.within) for one in wide.requirements)


def _is_as_fresh(one: timedelta | None, other: timedelta | None) -> bool:
    return other is None or (one is not None and one <= other)


@given(_rules, _facts, st.lists(_fact_names, max_size=6))
def test_a_fact_that_becomes_unknown_never_widens(raw: list[dict[str, Any]], facts: SignInFacts, forgotten: list[str]) -> None:
    rules = parse_rules(raw)
    assert _is_as_narrow(rules.decide(replace(facts, **dict.fromkeys(forgotten))), rules.decide(facts))


@given(_rules, _facts, _deny, st.integers(0, 6))
def test_one_more_denial_never_widens(raw: list[dict[str, Any]], facts: SignInFacts, denial: dict[str, Any], at: int) -> None:
    more = [*raw[:at], {**denial, "name": "one-more"}, *raw[at:]]
    assert _is_as_narrow(parse_rules(more).decide(facts), parse_rules(raw).decide(facts))


@given(_rules, _facts, _require, st.integers(0, 6))
def test_one_more_requirement_never_widens_what_is_allowed_or_required(
    raw: list[dict[str, Any]], facts: SignInFacts, requirement: dict[str, Any], at: int
) -> None:
    before = parse_rules(raw).decide(facts)
    after = parse_rules([*raw[:at], {**requirement, "name": "one-more"}, *raw[at:]]).decide(facts)
    if not before.decision.is_denied:
        assert _is_as_narrow(after, before)
    else:
        # It may open what nothing was said about, with its proofs, and never without any.
        assert not after.decision.is_allowed


@given(_rules, _facts, st.randoms(use_true_random=False))
def test_the_order_of_the_rules_never_changes_the_ruling(raw: list[dict[str, Any]], facts: SignInFacts, chance: Any) -> None:
    shuffled = list(raw)
    chance.shuffle(shuffled)
    one, other = parse_rules(raw).decide(facts), parse_rules(shuffled).decide(facts)
    assert (one.decision.verdict, one.requirements) == (other.decision.verdict, other.requirements)
    assert set(one.decision.reasons) == set(other.decision.reasons)
    assert set(one.decision.trace) == set(other.decision.trace)
    assert set(one.observed) == set(other.observed)


@given(_when)
def test_what_is_not_known_never_allows(when: dict[str, Any]) -> None:
    ruling = parse_rules([{"name": "only", "effect": "allow", "when": when}]).decide(SignInFacts())
    assert ruling.decision.reasons == ("nothing_said",)
    assert (
        parse_rules([{"name": "all", "effect": "allow"}, {"name": "no", "effect": "deny", "when": when}])
        .decide(SignInFacts())
        .decision.is_denied
    )


@given(_rules, _facts)
def test_an_explanation_always_says_what_was_decided(raw: list[dict[str, Any]], facts: SignInFacts) -> None:
    rules = parse_rules(raw)
    ruling, explanation = rules.decide(facts), rules.explain(facts)
    assert explanation.ruling == ruling
    fired = [line for line in explanation.rules if line.fires and not line.is_observed]
    assert [line.reason for line in fired] == [line.reason for line in ruling.decision.trace]
    assert [line.reason for line in explanation.rules if line.fires and line.is_observed] == [line.reason for line in ruling.observed]
    for line in explanation.rules:
        outcomes = {one.outcome for one in line.criteria}
        if line.outcome is Outcome.MATCHED:
            assert outcomes <= {Outcome.MATCHED}
        else:
            assert (Outcome.NOT_MATCHED in outcomes) == (line.outcome is Outcome.NOT_MATCHED)
    assert next(iter(explanation.lines())) == explanation.summary


@given(_rules, _facts)
def test_a_rule_is_decisive_exactly_when_the_ruling_is_another_without_it(raw: list[dict[str, Any]], facts: SignInFacts) -> None:
    rules = parse_rules(raw)
    ruling = rules.decide(facts)
    for rule in rules.rules:
        without = RuleSet(one for one in rules.rules if one is not rule).decide(facts)
        is_other = (without.decision.verdict, without.requirements) != (ruling.decision.verdict, ruling.requirements)
        assert (rule.name in rules.explain(facts).decisive) == is_other


@given(_rules, _facts)
def test_every_change_that_is_told_changes_something(raw: list[dict[str, Any]], facts: SignInFacts) -> None:
    explanation = parse_rules(raw).explain(facts)
    now = (explanation.ruling.decision.verdict, explanation.ruling.requirements)
    for change in explanation.changes:
        assert (change.verdict, change.requirements) != now
        assert change.seen not in change.values


@given(_rules, _facts)
def test_the_facts_of_an_event_are_judged_as_they_were(raw: list[dict[str, Any]], facts: SignInFacts) -> None:
    rules = parse_rules(raw)
    assert rules.decide(SignInFacts.from_json(facts.as_json())) == rules.decide(facts)


@given(_rules, _facts)
def test_a_ruling_lists_each_proof_once(raw: list[dict[str, Any]], facts: SignInFacts) -> None:
    ruling = parse_rules(raw).decide(facts)
    assert [one.proof for one in ruling.requirements] == sorted(ruling.decision.requirements)
    assert all(isinstance(one, Requirement) for one in ruling.requirements)
