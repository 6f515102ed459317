"""What rules look at: the facts of one sign-in, and criteria that are true, false or unknown of them.

Owns the facts and how a criterion becomes a function, once. Does not read YAML (rule_text.py) and concludes nothing (rules.py). Three-valued as
Kleene's: None is "not known", and stays so under `not`, `any` and `all` unless what is known settles it. So nothing that becomes unknown can turn
a yes into a no, or a no into a yes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, time
from operator import attrgetter
from typing import Any

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNKNOWN = "unknown"

Truth = bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInFacts:
    """What is known of one sign-in; None is not known, an empty set is known to be empty.

    `zone` is "<slug>/<name>" or "outside", `zone_kind` a policies.zones.ZoneKind or "outside". `establishment` is the active one's slug, `level` its
    regulatory level, `local_time` the time there (aware). `methods` are those of policies.assurance that were given, `factors` the kinds enrolled.
    `workstation`: on an enrolled one. `degraded`: the directory does not answer and an earlier answer of it serves.
    """

    zone: str | None = None
    zone_kind: str | None = None
    client: str | None = None
    profiles: frozenset[str] | None = None
    establishment: str | None = None
    level: str | None = None
    local_time: datetime | None = None
    connector: str | None = None
    methods: frozenset[str] | None = None
    factors: frozenset[str] | None = None
    device_known: bool | None = None
    workstation: bool | None = None
    requested_acr: frozenset[str] | None = None
    administrator: bool | None = None
    break_glass: bool | None = None
    degraded: bool | None = None

    def __post_init__(self) -> None:
        if self.local_time is not None and self.local_time.tzinfo is None:
            raise ValueError("local_time has no offset")

    def as_json(self) -> dict[str, Any]:
        """What is known, for an Event; what is not known is left out. Sets are sorted lists, the time is ISO 8601 with its offset."""
        found: dict[str, Any] = {}
        for name in FACTS:
            value = getattr(self, name)
            if isinstance(value, frozenset):
                value = sorted(value)
            elif isinstance(value, datetime):
                value = value.isoformat()
            if value is not None:
                found[name] = value
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SignInFacts:
        """The reverse. A fact that this version does not know is left out; raises ValueError when one has a wrong shape."""
        return cls(**{name: _read(name, stored[name]) for name in FACTS if stored.get(name) is not None})


FACTS = tuple(one.name for one in fields(SignInFacts))
SETS = frozenset({"profiles", "methods", "factors", "requested_acr"})
FLAGS = frozenset({"device_known", "workstation", "administrator", "break_glass", "degraded"})

# Name of a criterion: the fact that it looks at.
TEXT_CRITERIA = {name: name for name in ("zone", "zone_kind", "client", "establishment", "level", "connector")}
SET_CRITERIA = {"profile": "profiles", "method": "methods", "factor": "factors", "requested_acr": "requested_acr"}
FLAG_CRITERIA = {name: name for name in FACTS if name in FLAGS}
TIME_CRITERIA = {"time": "local_time", "weekdays": "local_time"}
CRITERIA = TEXT_CRITERIA | SET_CRITERIA | FLAG_CRITERIA | TIME_CRITERIA
GROUPS = ("all", "any", "not")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition on one fact, or a group of conditions (`all`, `any`, `not`).

    `test` is made once, of the rest. `wanted` is what the fact is compared with: words, one boolean, or the two ends of a time of day.
    """

    name: str
    wanted: tuple[str, ...] | tuple[bool] | tuple[time, time] = ()
    parts: tuple[Criterion, ...] = ()
    test: Callable[[SignInFacts], Truth] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "test", _compiled(self))

    @property
    def facts(self) -> frozenset[str]:
        """The facts that it depends on."""
        own = {CRITERIA[self.name]} if self.name in CRITERIA else set[str]()
        return frozenset(own).union(*(part.facts for part in self.parts))

    @property
    def wanted_text(self) -> str:
        """For people: `trusted, vpn`, `yes`, `21:00 to 06:30`."""
        if self.name == "time":
            return " to ".join(f"{end:%H:%M}" for end in self.wanted)
        return ", ".join(_word(value) for value in self.wanted)

    def seen_text(self, facts: SignInFacts) -> str:
        """What the fact was: `unknown`, `none` for an empty set."""
        value = getattr(facts, CRITERIA[self.name]) if self.name in CRITERIA else None
        return fact_text(value, as_weekday=self.name == "weekdays", as_time=self.name == "time")


def fact_text(value: Any, *, as_weekday: bool = False, as_time: bool = False) -> str:
    """A fact for people."""
    if value is None:
        return UNKNOWN
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, datetime):
        if as_weekday:
            return WEEKDAYS[value.weekday()]
        return f"{value:%H:%M}" if as_time else f"{WEEKDAYS[value.weekday()]} {value:%H:%M}"
    return _word(value)


def all_of(parts: tuple[Criterion, ...]) -> Criterion:
    """True of everything when there is no part."""
    return parts[0] if len(parts) == 1 else Criterion("all", parts=parts)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _read(name: str, value: Any) -> Any:
    if name in FLAGS:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is neither true nor false")
        return value
    if name in SETS:
        if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"{name} is not a list of words")
        return frozenset(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return datetime.fromisoformat(value) if name == "local_time" else value


def _compiled(criterion: Criterion) -> Callable[[SignInFacts], Truth]:
    if criterion.name in GROUPS:
        # What is quick to tell comes first: it often settles the rest, and the order changes no truth.
        tests = tuple(part.test for part in sorted(criterion.parts, key=lambda part: (part.name in GROUPS, part.name in TIME_CRITERIA)))
        if criterion.name == "not":
            return _negation(tests[0])
        return _disjunction(tests) if criterion.name == "any" else _conjunction(tests)
    get = attrgetter(CRITERIA[criterion.name])
    if criterion.name in FLAG_CRITERIA:
        return _is(get, bool(criterion.wanted[0]))
    if criterion.name in SET_CRITERIA:
        return _meets(get, frozenset(map(str, criterion.wanted)))
    if criterion.name == "weekdays":
        return _on(frozenset(WEEKDAYS.index(str(day)) for day in criterion.wanted))
    if criterion.name == "time":
        start, end = (60 * at.hour + at.minute for at in criterion.wanted if isinstance(at, time))
        return _between(start, end)
    return _among(get, frozenset(map(str, criterion.wanted)))


def _conjunction(tests: tuple[Callable[[SignInFacts], Truth], ...]) -> Callable[[SignInFacts], Truth]:
    if len(tests) == 2:
        return _both(*tests)

    def test(facts: SignInFacts) -> Truth:
        result: Truth = True
        for one in tests:
            truth = one(facts)
            if truth is False:
                return False
            if truth is None:
                result = None
        return result

    return test


def _both(first: Callable[[SignInFacts], Truth], second: Callable[[SignInFacts], Truth]) -> Callable[[SignInFacts], Truth]:
    def test(facts: SignInFacts) -> Truth:
        truth = first(facts)
        if truth is False:
            return False
        other = second(facts)
        return other if truth or other is False else None

    return test


def _disjunction(tests: tuple[Callable[[SignInFacts], Truth], ...]) -> Callable[[SignInFacts], Truth]:
    def test(facts: SignInFacts) -> Truth:
        result: Truth = False
        for one in tests:
            truth = one(facts)
            if truth:
                return True
            if truth is None:
                result = None
        return result

    return test


def _negation(inner: Callable[[SignInFacts], Truth]) -> Callable[[SignInFacts], Truth]:
    def test(facts: SignInFacts) -> Truth:
        truth = inner(facts)
        return None if truth is None else not truth

    return test


def _among(get: Callable[[SignInFacts], str | None], wanted: frozenset[str]) -> Callable[[SignInFacts], Truth]:
    def test(facts: SignInFacts) -> Truth:
        value = get(facts)
        return None if value is None else value in wanted

    return test


def _meets(get: Callable[[SignInFacts], frozenset[str] | None], wanted: frozenset[str]) -> Callable[[SignInFacts], Truth]:
    def test(facts: SignInFacts) -> Truth:
        values = get(facts)
        return None if values is None else not wanted.isdisjoint(values)

    return test


def _is(get: Callable[[SignInFacts], bool | None], wanted: bool) -> Callable[[SignInFacts], Truth]:  # noqa: FBT001  # the value compared with
    def test(facts: SignInFacts) -> Truth:
        value = get(facts)
        return None if value is None else value is wanted

    return test


def _on(days: frozenset[int]) -> Callable[[SignInFacts], Truth]:
    def test(facts: SignInFacts) -> Truth:
        at = facts.local_time
        return None if at is None else at.weekday() in days

    return test


def _between(start: int, end: int) -> Callable[[SignInFacts], Truth]:
    """From the first minute up to, and without, the second; over midnight when the second is the smaller."""

    def test(facts: SignInFacts) -> Truth:
        at = facts.local_time
        if at is None:
            return None
        minute = 60 * at.hour + at.minute
        return start <= minute < end if start < end else minute >= start or minute < end

    return test
