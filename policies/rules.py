"""The decision of a sign-in: rules that allow, require proofs or deny, on facts of which any may be unknown.

Owns the judgement. Reads no file and gathers no fact; idp.signin does, asks here, and writes facts and trace into the Event. The semantics:
a rule that denies or requires fires when its criteria are met or not known, one that allows only when they are met. Any denial denies; else, with no
rule that allows or requires because its criteria are met, nothing was said, and that denies; else requirements add up; else it is allowed. So the
order of rules shows in the trace only, a fact that becomes unknown never widens, and neither does one more rule that denies, nor one that requires.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from policies.assurance import FRESH_SIGN_IN, PHISHING_RESISTANT, SECOND_FACTOR, Requirement
from policies.criteria import UNKNOWN, SignInFacts, Truth
from policies.decision import NOTHING_SAID, Decision, TraceLine, Verdict
from policies.rule import Rule, Ruling, Sum
from policies.rule_cases import Case, CaseFailure, CaseResults, parse_cases
from policies.rule_cases import run_cases as _run_cases
from policies.rule_explanation import Change, CriterionLine, Explanation, Outcome, RuleLine, changes_of, line_of
from policies.rule_text import Mistake, Reader, RuleError

__all__ = [
    "DEFAULT_RULES",
    "DEFAULT_RULE_SET",
    "FRESH_SIGN_IN",
    "NOTHING_SAID",
    "PHISHING_RESISTANT",
    "SECOND_FACTOR",
    "Case",
    "CaseFailure",
    "CaseResults",
    "Change",
    "CriterionLine",
    "Explanation",
    "Mistake",
    "Outcome",
    "Requirement",
    "Rule",
    "RuleError",
    "RuleLine",
    "RuleSet",
    "Ruling",
    "SignInFacts",
    "parse_cases",
    "parse_rules",
    "run_cases",
]

_ONLY_INSIDE = {"zone_kind": ["trusted", "shared_workstation"]}

# Written as in YAML, because this is also what the documentation shows.
DEFAULT_RULES: tuple[Mapping[str, Any], ...] = (
    {"name": "blocked-network", "effect": "deny", "when": {"zone_kind": ["blocked"]}},
    {"name": "inside", "effect": "allow", "when": _ONLY_INSIDE},
    {
        "name": "second-factor-outside",
        "effect": "require",
        "require": ["second_factor"],
        "when": {"not": {"any": [_ONLY_INSIDE, {"break_glass": True}]}},
    },
    {
        "name": "second-factor-for-administrators",
        "effect": "require",
        "require": ["second_factor"],
        "when": {"administrator": True, "break_glass": False},
    },
    {"name": "break-glass", "effect": "allow", "when": {"break_glass": True}},
)


class RuleSet:
    """Rules made ready for many decisions: each criterion is a function, made once. Build one when the configuration is read.

    `looks_at` names the facts that some rule depends on.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.looks_at = frozenset(fact for rule in self.rules for fact in rule.when.facts)
        self._tests = tuple(rule.when.test for rule in self.rules)
        self._sum = Sum(one for rule in self.rules for one in rule.requirements)
        self._parts = tuple(_Part(rule, self._sum) for rule in self.rules)

    def decide(self, facts: SignInFacts) -> Ruling:
        """What the rules say of these facts. The trace has a line for each rule that fired, with the detail `unknown` where it did so in doubt."""
        return self._conclude([test(facts) for test in self._tests])

    def explain(self, facts: SignInFacts) -> Explanation:
        """The same ruling, and why: every rule with every criterion, which rules alone decided, and which single change would turn it."""
        truths = [test(facts) for test in self._tests]
        ruling = self._conclude(truths)
        decisive = tuple(
            rule.name
            for at, rule in enumerate(self.rules)
            if truths[at] is not False
            and not rule.is_observed
            and _gist(self._conclude([*truths[:at], False, *truths[at + 1 :]])) != _gist(ruling)
        )
        return Explanation(
            facts=facts,
            ruling=ruling,
            rules=tuple(line_of(rule, facts, truth) for rule, truth in zip(self.rules, truths, strict=True)),
            decisive=decisive,
            changes=changes_of(self.rules, facts, self.decide),
        )

    def _conclude(self, truths: list[Truth]) -> Ruling:
        """From what came of each rule to what comes of all."""
        trace: list[TraceLine] = []
        observed: list[TraceLine] = []
        allowing: list[str] = []
        requiring: list[str] = []
        denying: list[str] = []
        asked = 0
        is_said = False
        for truth, part in zip(truths, self._parts, strict=True):
            if truth is False or (truth is None and part.is_allow):
                continue
            line = part.met if truth else part.doubtful
            if part.is_observed:
                observed.append(line)
                continue
            trace.append(line)
            if part.is_deny:
                denying.append(part.reason)
            elif part.is_allow:
                allowing.append(part.reason)
                is_said = True
            else:
                requiring.append(part.reason)
                asked |= part.asked
                is_said = is_said or truth is True
        if denying or not is_said:
            return Ruling(Decision(Verdict.DENY, tuple(denying) or (NOTHING_SAID,), trace=tuple(trace)), observed=tuple(observed))
        if not requiring:
            return Ruling(Decision(Verdict.ALLOW, tuple(allowing), trace=tuple(trace)), observed=tuple(observed))
        requirements = self._sum.of(asked)
        proofs = frozenset([one.proof for one in requirements])
        return Ruling(Decision(Verdict.REQUIRE, tuple(requiring), requirements=proofs, trace=tuple(trace)), requirements, tuple(observed))


class _Part:
    """What one rule adds, made ready: a decision touches these and nothing slower."""

    __slots__ = ("asked", "doubtful", "is_allow", "is_deny", "is_observed", "met", "reason")

    def __init__(self, rule: Rule, added: Sum) -> None:
        self.reason = rule.reason
        self.is_allow = rule.effect is Verdict.ALLOW
        self.is_deny = rule.effect is Verdict.DENY
        self.is_observed = rule.is_observed
        self.met = TraceLine(rule.reason, rule.effect)
        self.doubtful = TraceLine(rule.reason, rule.effect, detail=UNKNOWN)
        self.asked = added.bits(rule.requirements)


def parse_rules(raw: object, *, path: str = "policy.rules", known: Mapping[str, Collection[str]] | None = None) -> RuleSet:
    """The rules of parsed YAML (a list of mappings); None gives the default ones.

    `known` names what exists, by criterion (`client`, `establishment`, `profile`, `connector`, `zone`): a word that is not there is then a mistake.
    Raises RuleError with every mistake.
    """
    if raw is None:
        return DEFAULT_RULE_SET
    reader = Reader(known or {})
    rules = reader.rules(raw, path)
    if reader.mistakes:
        raise RuleError(tuple(reader.mistakes))
    return RuleSet(rules)


def run_cases(rules: RuleSet, cases: Iterable[Case]) -> CaseResults:
    """Every case judged by the rules."""
    return _run_cases(rules.decide, cases)


def _gist(ruling: Ruling) -> tuple[Verdict, tuple[Requirement, ...]]:
    return ruling.decision.verdict, ruling.requirements


DEFAULT_RULE_SET = parse_rules(DEFAULT_RULES)
