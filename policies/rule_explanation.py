"""Why the rules said what they said: each rule with each of its criteria, and which single change of a fact would turn the ruling.

Owns the telling. Judges nothing: truths are those of the criteria's own functions, and every "what if" is asked of the same decision. Called by
rules.py; shown by the command line and the console.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from policies.assurance import Requirement
from policies.criteria import CRITERIA, FACTS, FLAGS, GROUPS, SETS, WEEKDAYS, Criterion, SignInFacts, Truth, fact_text
from policies.decision import Verdict
from policies.rule import Rule, Ruling
from policies.rule_text import criteria_of
from policies.zone import OUTSIDE, ZoneKind

# A value that no rule names.
ANOTHER = "(another)"
# A Monday, to hang a time of day on when the time is not known.
_SOME_DAY = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Outcome(StrEnum):
    """What came of a criterion, or of all of a rule's."""

    MATCHED = "matched"
    NOT_MATCHED = "not_matched"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionLine:
    """One criterion, or a group (`all`, `any`, `not`) of `parts`. `wanted` and `seen` are for people; empty for a group."""

    name: str
    outcome: Outcome
    wanted: str = ""
    seen: str = ""
    parts: tuple[CriterionLine, ...] = ()

    @property
    def text(self) -> str:
        """One line: `zone_kind: trusted, vpn; it was outside: not matched`."""
        said = self.outcome.value.replace("_", " ")
        return f"{self.name}: {said}" if self.parts else f"{self.name}: {self.wanted}; it was {self.seen}: {said}"

    def lines(self, depth: int = 0) -> Iterator[str]:
        """This line and those of its parts, two spaces further in."""
        yield "  " * depth + self.text
        for part in self.parts:
            yield from part.lines(depth + 1)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        found: dict[str, Any] = {"name": self.name, "outcome": self.outcome.value}
        return found | ({"parts": [part.as_json() for part in self.parts]} if self.parts else {"wanted": self.wanted, "seen": self.seen})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """One rule. `criteria` must all be met; none: it is always. `fires`: it takes part in the ruling, or would if it were not only observed."""

    name: str
    reason: str
    effect: Verdict
    outcome: Outcome
    fires: bool
    is_observed: bool
    requirements: tuple[Requirement, ...]
    criteria: tuple[CriterionLine, ...]

    @property
    def text(self) -> str:
        """One line: `second-factor-outside (require second_factor): fires`."""
        what = " ".join([self.effect.value, *map(requirement_text, self.requirements)])
        said = "fires" if self.fires else "does not fire"
        doubt = ", because what is not known counts against" if self.fires and self.outcome is Outcome.UNKNOWN else ""
        if not self.fires and self.outcome is Outcome.UNKNOWN:
            doubt = ", because what is not known allows nothing"
        return f"{self.name} ({what}): {said}{doubt}{' (only observed)' if self.is_observed else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """If `fact` (the name of a criterion) had been one of `values` instead of `seen`, and all else the same: this ruling."""

    fact: str
    seen: str
    values: tuple[str, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    requirements: tuple[Requirement, ...]

    @property
    def text(self) -> str:
        """One line: `zone_kind trusted or shared_workstation instead of outside: allow (inside)`."""
        what = " ".join([self.verdict.value, *map(requirement_text, self.requirements)])
        return f"{self.fact} {' or '.join(self.values)} instead of {self.seen}: {what} ({', '.join(self.reasons)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A ruling and why. `rules` are all of them, in the order of the file; `decisive` names each rule without which the ruling would be another."""

    facts: SignInFacts
    ruling: Ruling
    rules: tuple[RuleLine, ...]
    decisive: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def summary(self) -> str:
        """One line: `require second_factor (second_factor_outside)`."""
        decision = self.ruling.decision
        return f"{' '.join([decision.verdict.value, *map(requirement_text, self.ruling.requirements)])} ({', '.join(decision.reasons)})"

    def lines(self) -> Iterator[str]:
        """All of it in English, a line at a time, for a terminal."""
        yield self.summary
        for rule in self.rules:
            yield f"  {rule.text}"
            for criterion in rule.criteria:
                yield from criterion.lines(2)
        if self.decisive:
            yield f"decided by: {', '.join(self.decisive)}"
        for change in self.changes:
            yield f"would change it: {change.text}"

    def as_json(self) -> dict[str, Any]:
        """For machines: everything, with the facts."""
        return {
            "facts": self.facts.as_json(),
            **self.ruling.as_json(),
            "rules": [
                {
                    "name": rule.name,
                    "reason": rule.reason,
                    "effect": rule.effect.value,
                    "require": [requirement_text(one) for one in rule.requirements],
                    "outcome": rule.outcome.value,
                    "fires": rule.fires,
                    "observe": rule.is_observed,
                    "criteria": [criterion.as_json() for criterion in rule.criteria],
                }
                for rule in self.rules
            ],
            "decisive": list(self.decisive),
            "changes": [
                {
                    "fact": change.fact,
                    "seen": change.seen,
                    "values": list(change.values),
                    "verdict": change.verdict.value,
                    "reasons": list(change.reasons),
                    "require": [requirement_text(one) for one in change.requirements],
                }
                for change in self.changes
            ],
        }


def requirement_text(requirement: Requirement) -> str:
    """`second_factor`, or `second_factor within 12h`."""
    if requirement.within is None:
        return requirement.proof
    seconds = int(requirement.within / timedelta(seconds=1))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{requirement.proof} within {seconds // size}{unit}"
    return f"{requirement.proof} within {seconds}s"


def line_of(rule: Rule, facts: SignInFacts, truth: Truth) -> RuleLine:
    """What one rule did, `truth` being what came of its criteria."""
    parts = rule.when.parts if rule.when.name == "all" else (rule.when,)
    return RuleLine(
        name=rule.name,
        reason=rule.reason,
        effect=rule.effect,
        outcome=_outcome(truth),
        fires=truth is True or (truth is None and rule.effect is not Verdict.ALLOW),
        is_observed=rule.is_observed,
        requirements=rule.requirements,
        criteria=tuple(_criterion_line(part, facts) for part in parts),
    )


def changes_of(rules: Iterable[Rule], facts: SignInFacts, decide: Callable[[SignInFacts], Ruling]) -> tuple[Change, ...]:
    """Every single change that leads to another verdict or other requirements; values that lead to the same are told together.

    Tried are the values that enforced rules name, one that none names, and for times of day the minutes at which a rule begins and ceases.
    Where zone and kind of zone hang together, they change together.
    """
    named: dict[str, list[Criterion]] = {}
    for rule in rules:
        if not rule.is_observed:
            for criterion in criteria_of(rule.when):
                named.setdefault(criterion.name, []).append(criterion)
    now = decide(facts)
    found: dict[tuple[str, Verdict, tuple[Requirement, ...]], Change] = {}
    for name in (name for name in CRITERIA if name in named):
        for value, changed in _what_if(name, named[name], facts):
            ruling = decide(changed)
            verdict, reasons = ruling.decision.verdict, ruling.decision.reasons
            if (verdict, ruling.requirements) == (now.decision.verdict, now.requirements):
                continue
            key = (name, verdict, ruling.requirements)
            known = found.get(key)
            if known is None:
                seen = Criterion(name, named[name][0].wanted).seen_text(facts)
                found[key] = Change(
                    fact=name, seen=seen, values=(value,), verdict=verdict, reasons=reasons, requirements=ruling.requirements
                )
            elif value not in known.values:
                found[key] = replace(known, values=(*known.values, value))
    return tuple(found.values())


def _criterion_line(criterion: Criterion, facts: SignInFacts) -> CriterionLine:
    outcome = _outcome(criterion.test(facts))
    if criterion.name in GROUPS:
        return CriterionLine(name=criterion.name, outcome=outcome, parts=tuple(_criterion_line(part, facts) for part in criterion.parts))
    return CriterionLine(name=criterion.name, outcome=outcome, wanted=criterion.wanted_text, seen=criterion.seen_text(facts))


def _outcome(truth: Truth) -> Outcome:
    return Outcome.UNKNOWN if truth is None else Outcome.MATCHED if truth else Outcome.NOT_MATCHED


def _what_if(name: str, criteria: list[Criterion], facts: SignInFacts) -> Iterator[tuple[str, SignInFacts]]:
    """The facts with one fact changed, each with how the change is told."""
    fact = CRITERIA[name]
    current = getattr(facts, fact)
    words = sorted({str(word) for criterion in criteria for word in criterion.wanted if isinstance(word, str)})
    if fact in FLAGS:
        yield from ((fact_text(value), _with(facts, fact, value)) for value in (True, False) if value is not current)
    elif fact in SETS:
        held = current or frozenset()
        if current is None:
            yield "none", _with(facts, fact, frozenset())
        yield from ((fact_text(held | {word}), _with(facts, fact, held | {word})) for word in words if word not in held)
        yield from ((fact_text(held - {word}), _with(facts, fact, held - {word})) for word in words if word in held)
    elif name == "time":
        ends = {
            minute for criterion in criteria for end in criterion.wanted if isinstance(end, time) for minute in (end, _minute_before(end))
        }
        base = current or _SOME_DAY
        yield from ((f"{at:%H:%M}", _with(facts, fact, base.replace(hour=at.hour, minute=at.minute))) for at in sorted(ends))
    elif name == "weekdays":
        base = current or _SOME_DAY
        for days in range(1 if current else 0, 7):
            at = base + timedelta(days=days)
            yield WEEKDAYS[at.weekday()], _with(facts, fact, at)
    else:
        others = [word for word in (*words, *((OUTSIDE,) if fact == "zone_kind" else ())) if word != current]
        if fact != "zone_kind":
            others.append(ANOTHER)
        yield from ((word, _placed(facts, fact, word)) for word in dict.fromkeys(others))


def _placed(facts: SignInFacts, fact: str, word: str) -> SignInFacts:
    if fact == "zone_kind" and facts.zone is not None:
        zone = OUTSIDE if word == OUTSIDE else ANOTHER if facts.zone == OUTSIDE else facts.zone
        return replace(facts, zone_kind=word, zone=zone)
    if fact == "zone" and facts.zone_kind is not None:
        kind = OUTSIDE if word == OUTSIDE else ZoneKind.TRUSTED.value if facts.zone_kind == OUTSIDE else facts.zone_kind
        return replace(facts, zone=word, zone_kind=kind)
    return _with(facts, fact, word)


def _with(facts: SignInFacts, fact: str, value: object) -> SignInFacts:
    return SignInFacts(**{name: getattr(facts, name) for name in FACTS} | {fact: value})


def _minute_before(at: time) -> time:
    return (datetime.combine(_SOME_DAY, at) - timedelta(minutes=1)).time()
