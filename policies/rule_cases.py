"""Cases beside the rules: what a sign-in is given, and what must come of it. Read here, judged by the rules, told in plain English.

Owns the shape of a case and its verdict. Run by check-config and before the server starts, so that a change of rules which breaks a promise is not
deployed. A fact that a case does not give is not known. Called by rules.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from policies.assurance import Requirement
from policies.criteria import FACTS, FLAG_CRITERIA, SET_CRITERIA, SETS, TEXT_CRITERIA, WEEKDAYS, SignInFacts
from policies.decision import Verdict
from policies.rule import Ruling, add_up
from policies.rule_explanation import requirement_text
from policies.rule_text import Reader, RuleError

_CASE_KEYS = ("name", "given", "expect", "require", "reason")
# A case may use the names of criteria or those of facts, so that the facts of an Event can be pasted.
_NAMES = {**{name: name for name in FACTS}, **TEXT_CRITERIA, **SET_CRITERIA, **FLAG_CRITERIA, "time": "local_time"}
_DAY_AND_TIME = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `requirements` are looked at when the case names them, `reason` likewise."""

    name: str
    facts: SignInFacts
    expect: Verdict
    requirements: tuple[Requirement, ...] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CaseFailure:
    """A case that came out otherwise. `index` is its place among the cases; `text` is a sentence for the operator."""

    index: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class CaseResults:
    """How many cases there were, and those that failed, in the order of the file."""

    count: int
    failures: tuple[CaseFailure, ...]

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return not self.failures


def parse_cases(raw: object, *, path: str = "policy.tests") -> tuple[Case, ...]:
    """The cases of parsed YAML: a list of {name, given, expect, require?, reason?}; None is no case. Raises RuleError with every mistake."""
    if raw is None:
        return ()
    reader = Reader({})
    found: list[Case] = []
    if not isinstance(raw, list | tuple):
        reader.mistake(path, "must be a list of cases")
    else:
        found = [case for at, one in enumerate(raw) if (case := _case(reader, one, f"{path}[{at}]"))]
        names: set[str] = set()
        for at, one in enumerate(raw):
            name = one.get("name") if isinstance(one, Mapping) else None
            if isinstance(name, str):
                if name in names:
                    reader.mistake(f"{path}[{at}].name", f"{name!r} is the name of an earlier case too")
                names.add(name)
    if reader.mistakes:
        raise RuleError(tuple(reader.mistakes))
    return tuple(found)


def run_cases(decide: Callable[[SignInFacts], Ruling], cases: Iterable[Case]) -> CaseResults:
    """Every case judged by `decide`."""
    failures: list[CaseFailure] = []
    count = 0
    for index, case in enumerate(cases):
        count += 1
        if text := _failure(case, decide(case.facts)):
            failures.append(CaseFailure(index, case.name, text))
    return CaseResults(count, tuple(failures))


def _failure(case: Case, ruling: Ruling) -> str | None:
    decision = ruling.decision
    came = f"{decision.verdict.value} ({', '.join(decision.reasons)})"
    if decision.verdict is not case.expect:
        return f"{case.name}: {case.expect.value} was expected and the rules say {came}"
    if case.requirements is not None and case.requirements != ruling.requirements:
        expected, found = (", ".join(map(requirement_text, some)) or "nothing" for some in (case.requirements, ruling.requirements))
        return f"{case.name}: {expected} was expected to be required and the rules require {found}"
    if case.reason is not None and case.reason not in decision.reasons:
        return f"{case.name}: the reason {case.reason} was expected and the rules say {came}"
    return None


def _case(reader: Reader, raw: object, path: str) -> Case | None:
    if not isinstance(raw, Mapping):
        reader.mistake(path, "must be a case: name, given, expect")
        return None
    before = len(reader.mistakes)
    for key in raw:
        if key not in _CASE_KEYS:
            reader.unknown_key(path, key, _CASE_KEYS)
    name, expect, reason = raw.get("name"), raw.get("expect"), raw.get("reason")
    if not isinstance(name, str) or not name.strip():
        reader.mistake(f"{path}.name", "must say in a few words what is promised")
    if not isinstance(expect, str) or expect not in tuple(Verdict):
        reader.mistake(f"{path}.expect", f"must be one of {', '.join(Verdict)}")
    if reason is not None and not isinstance(reason, str):
        reader.mistake(f"{path}.reason", "must be a reason code: the name of a rule")
    requirements = None
    if "require" in raw:
        requirements = reader.requirements(raw["require"], f"{path}.require")
        if expect in {Verdict.ALLOW.value, Verdict.DENY.value}:
            reader.mistake(f"{path}.require", f"goes with `expect: require`, and this case expects {expect}")
    facts = _facts(reader, raw.get("given", {}), f"{path}.given")
    if len(reader.mistakes) > before or facts is None:
        return None
    return Case(
        name=str(name),
        facts=facts,
        expect=Verdict(str(expect)),
        requirements=None if requirements is None else add_up(list(requirements)),
        # A rule is known by its name as well as by its code.
        reason=None if reason is None else str(reason).replace("-", "_"),
    )


def _facts(reader: Reader, raw: object, path: str) -> SignInFacts | None:
    if not isinstance(raw, Mapping):
        reader.mistake(path, "must be facts, such as {zone_kind: outside, profile: [nurse]}")
        return None
    found: dict[str, Any] = {}
    for name, value in raw.items():
        fact, here = _NAMES.get(name), f"{path}.{name}"
        if fact is None:
            reader.unknown_key(path, name, _NAMES)
        elif fact in found:
            reader.mistake(here, "is given twice, under two names")
        elif value is not None:
            found[fact] = _value(reader, value, fact, here)
    return SignInFacts(**{fact: value for fact, value in found.items() if value is not None})


def _value(reader: Reader, raw: object, fact: str, path: str) -> object:
    if fact == "local_time":
        return _instant(reader, raw, path)
    if fact in FLAG_CRITERIA:
        return reader.flag(raw, path)
    if fact in SETS:
        name = next(criterion for criterion, of in SET_CRITERIA.items() if of == fact)
        raw = [raw] if isinstance(raw, str) else raw
        # A fact may be known to be empty, where a criterion may not.
        return frozenset() if raw in ([], ()) else frozenset(reader.words(raw, path, name))
    return reader.word(raw, path, fact)


def _instant(reader: Reader, raw: object, path: str) -> datetime | None:
    if isinstance(raw, datetime):
        return raw if raw.tzinfo else raw.replace(tzinfo=UTC)
    text = raw if isinstance(raw, str) else ""
    if match := _DAY_AND_TIME.match(text):
        return _MONDAY + timedelta(days=WEEKDAYS.index(match[1]), hours=int(match[2]), minutes=int(match[3]))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        reader.mistake(path, 'must be a day and a time where the establishment is: "tue 22:30" or "2026-03-10T22:30"')
        return None
    # Only the wall clock of the establishment counts: of one without an offset it is that already.
    return at if at.tzinfo else at.replace(tzinfo=UTC)
