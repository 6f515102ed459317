"""Rules that can never matter: whatever the facts, another rule of the file has said as much or more.

Owns a comparison of criteria by their shape, sure where it says yes and silent where it cannot tell: a rule that is named here changes nothing, one
that is not named may still change nothing. Judges no sign-in. Called by idp.config for check-config, on rules that rules.py has read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time

from policies.criteria import FLAG_CRITERIA, GROUPS, Criterion
from policies.decision import Verdict
from policies.rule import Rule, add_up


@dataclass(frozen=True, slots=True)
class Shadow:
    """`rule` never matters because of `other`; both are names. `index` is the rule's place in the file."""

    index: int
    rule: str
    other: str
    text: str


def shadows(rules: Iterable[Rule]) -> tuple[Shadow, ...]:
    """Every rule that another makes useless, with the first that does, in the order of the file. Rules that are only observed are left alone."""
    every = tuple(rules)
    found = []
    for index, rule in enumerate(every):
        others = ((at, other) for at, other in enumerate(every) if at != index and not other.is_observed and not rule.is_observed)
        by = next((other for at, other in others if _hides(other, rule) and (at < index or not _hides(rule, other))), None)
        if by is not None:
            found.append(Shadow(index, rule.name, by.name, _text(by)))
    return tuple(found)


def implies(narrow: Criterion, wide: Criterion) -> bool:
    """Whether `wide` is surely at least as true as `narrow` (true over unknown over false), whatever the facts."""
    if narrow == wide:
        return True
    if wide.name == "all":
        return all(implies(narrow, part) for part in wide.parts)
    if narrow.name == "any":
        return all(implies(part, wide) for part in narrow.parts)
    if wide.name == "any" and any(implies(narrow, part) for part in wide.parts):
        return True
    if narrow.name == "all" and any(implies(part, wide) for part in narrow.parts):
        return True
    if narrow.name == wide.name == "not":
        return implies(wide.parts[0], narrow.parts[0])
    return narrow.name == wide.name and narrow.name not in GROUPS and _holds(wide, narrow)


def _holds(wide: Criterion, narrow: Criterion) -> bool:
    """Of two conditions on the same fact: whether whatever the narrow one accepts, the wide one does."""
    if wide.name in FLAG_CRITERIA:
        return False
    if wide.name == "time":
        return _minutes(narrow) <= _minutes(wide)
    return set(narrow.wanted) <= set(wide.wanted)


def _minutes(criterion: Criterion) -> frozenset[int]:
    start, end = (60 * at.hour + at.minute for at in criterion.wanted if isinstance(at, time))
    return frozenset(range(start, end) if start < end else (*range(start, 1440), *range(end)))


def _hides(other: Rule, rule: Rule) -> bool:
    """Whether `rule` adds nothing where `other` is enforced."""
    if not implies(rule.when, other.when):
        return False
    if other.effect is Verdict.DENY:
        return True
    if other.effect is Verdict.REQUIRE:
        both = add_up([*other.requirements, *rule.requirements])
        return rule.effect is not Verdict.DENY and both == add_up(list(other.requirements))
    return rule.effect is Verdict.ALLOW


def _text(by: Rule) -> str:
    if by.effect is Verdict.DENY:
        is_always = by.when.name == "all" and not by.when.parts
        return f"never matters: {by.name} denies {'everything' if is_always else 'all that it speaks of'}, and a denial wins"
    if by.effect is Verdict.REQUIRE:
        return f"never matters: {by.name} requires as much of all that it speaks of"
    return f"never matters: {by.name} allows all that it speaks of"
