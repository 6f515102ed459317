"""Rules as an operator writes them: from parsed YAML to Rules, or every mistake at once with its place.

Owns the shape of a rule's text and the messages. Does not open files or judge anything. Strict, because a criterion that is misspelt and passed over
would widen what it was written to narrow. Called by rules.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from difflib import get_close_matches
from typing import Any

from policies.assurance import FRESH_SIGN_IN, LEVELS, PROOFS, Method, Requirement
from policies.criteria import CRITERIA, FLAG_CRITERIA, GROUPS, WEEKDAYS, Criterion, all_of
from policies.decision import NOTHING_SAID, Verdict
from policies.rule import Rule
from policies.zone import OUTSIDE, ZONE_KINDS

# A sign-in that must be fresh and of which nothing more is said: as guarded enrolment has it.
FRESH_WITHIN = timedelta(minutes=5)
FACTOR_KINDS = ("totp", "passkey", "sms", "email", "recovery")

_RULE_KEYS = ("name", "effect", "require", "when", "observe")
_WORDS: dict[str, tuple[str, ...]] = {
    "zone_kind": ZONE_KINDS,
    "level": LEVELS,
    "method": tuple(Method),
    "factor": FACTOR_KINDS,
    "weekdays": WEEKDAYS,
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_ZONE = re.compile(r"[^\s/]+/[^/]+\Z")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)\Z")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. `path` is a YAML path such as `policy.rules[2].when.zone_kind[0]`; `text` is for the operator."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class RuleError(ValueError):
    """Rules, or cases, that cannot be used: every mistake found, in the order of the file."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = mistakes


class Reader:
    """Reads one document and collects its mistakes. `known` names what exists, for criteria whose words are the installation's own."""

    def __init__(self, known: Mapping[str, Collection[str]]) -> None:
        self.mistakes: list[Mistake] = []
        self._known = known

    def rules(self, raw: object, path: str) -> tuple[Rule, ...]:
        """Every rule that could be read."""
        if not isinstance(raw, list | tuple):
            self.mistake(path, "must be a list of rules")
            return ()
        found = [rule for at, one in enumerate(raw) if (rule := self._rule(one, f"{path}[{at}]"))]
        names: dict[str, int] = {}
        for at, one in enumerate(raw):
            name = one.get("name") if isinstance(one, Mapping) else None
            if isinstance(name, str) and names.setdefault(name, at) != at:
                self.mistake(
                    f"{path}[{at}].name", f"{name!r} is also the name of {path}[{names[name]}]: names tell rules apart in the audit trail"
                )
        if not any(rule.effect is not Verdict.DENY and not rule.is_observed for rule in found) and not self.mistakes:
            self.mistake(path, "no rule allows or requires anything: everybody would be refused")
        return tuple(found)

    def mistake(self, path: str, text: str) -> None:
        """Write one down."""
        self.mistakes.append(Mistake(path, text))

    def unknown_key(self, path: str, name: object, allowed: Collection[str]) -> None:
        """Write down a key that means nothing here, with the one that was probably meant."""
        self.mistake(f"{path}.{name}", f"no such key{_meant(str(name), allowed)}")

    def words(self, raw: object, path: str, name: str) -> tuple[str, ...]:
        """A list of words of a criterion."""
        if not isinstance(raw, list | tuple):
            self.mistake(path, f"must be a list: [{raw}]" if isinstance(raw, str) else "must be a list")
            return ()
        if not raw:
            self.mistake(path, "is empty: it would never match; leave the criterion out to match always")
        return tuple(dict.fromkeys(word for at, one in enumerate(raw) if (word := self.word(one, f"{path}[{at}]", name)) is not None))

    def word(self, raw: object, path: str, name: str) -> str | None:
        """One word of a criterion, None when it is a mistake."""
        if not isinstance(raw, str) or not raw:
            self.mistake(path, f"must be text; write {str(raw)!r} in quotes if it is a name")
            return None
        allowed = _WORDS.get(name)
        if allowed is not None and raw not in allowed:
            self.mistake(path, f"{raw!r} is not one of {', '.join(allowed)}{_meant(raw, allowed)}")
            return None
        if name == "zone" and raw != OUTSIDE and not _ZONE.match(raw):
            hint = "; for kinds of zone there is zone_kind" if raw in ZONE_KINDS else ""
            self.mistake(path, f"{raw!r} is not written as establishment/zone, nor {OUTSIDE}{hint}")
            return None
        existing = self._known.get(name)
        if existing is not None and raw not in existing and not (name == "zone" and raw == OUTSIDE):
            self.mistake(path, f"there is no {name} {raw!r}{_meant(raw, existing)}")
            return None
        return raw

    def flag(self, raw: object, path: str) -> bool | None:
        """true or false."""
        if isinstance(raw, bool):
            return raw
        self.mistake(path, "must be true or false")
        return None

    def requirements(self, raw: object, path: str) -> tuple[Requirement, ...]:
        """The proofs that are asked."""
        if not isinstance(raw, list | tuple):
            self.mistake(path, f"must be a list of proofs, such as [{PROOFS[0]}]")
            return ()
        if not raw:
            self.mistake(path, f"is empty: name at least one of {', '.join(PROOFS)}")
        return tuple(one for at, item in enumerate(raw) if (one := self._requirement(item, f"{path}[{at}]")))

    def _rule(self, raw: object, path: str) -> Rule | None:
        if not isinstance(raw, Mapping):
            self.mistake(path, "must be a rule: name, effect, when")
            return None
        before = len(self.mistakes)
        for key in raw:
            if key not in _RULE_KEYS:
                elsewhere = f"; did you mean when.{key}?" if key in CRITERIA or key in GROUPS else None
                self.mistake(f"{path}.{key}", f"no such key{elsewhere or _meant(str(key), _RULE_KEYS)}")
        name = raw.get("name")
        if not isinstance(name, str) or not _NAME.match(name):
            self.mistake(f"{path}.name", "must be lower-case words joined by dashes, such as second-factor-outside")
        elif name.replace("-", "_") == NOTHING_SAID:
            self.mistake(f"{path}.name", "is the reason given when no rule matched; choose another")
        effect = self._effect(raw.get("effect"), f"{path}.effect")
        requirements = self._asked(raw, effect, path)
        when = self._when(raw.get("when", {}), f"{path}.when", 0)
        observed = self.flag(raw.get("observe", False), f"{path}.observe")
        if len(self.mistakes) > before or effect is None or when is None:
            return None
        return Rule(name=str(name), effect=effect, when=when, requirements=requirements, is_observed=bool(observed))

    def _effect(self, raw: object, path: str) -> Verdict | None:
        allowed = tuple(one.value for one in Verdict)
        if isinstance(raw, str) and raw in allowed:
            return Verdict(raw)
        self.mistake(path, f"must be one of {', '.join(allowed)}{_meant(str(raw), allowed)}")
        return None

    def _asked(self, raw: Mapping[Any, Any], effect: Verdict | None, path: str) -> tuple[Requirement, ...]:
        if effect is Verdict.REQUIRE:
            if "require" in raw:
                return self.requirements(raw["require"], f"{path}.require")
            self.mistake(f"{path}.require", f"is missing: which of {', '.join(PROOFS)}?")
        elif "require" in raw and effect is not None:
            self.mistake(f"{path}.require", f"goes with `effect: require`, and this rule says {effect.value}")
        return ()

    def _requirement(self, raw: object, path: str) -> Requirement | None:
        if isinstance(raw, str):
            raw = {"proof": raw}
        if not isinstance(raw, Mapping):
            self.mistake(path, "must be the name of a proof, or {proof: ..., within: ...}")
            return None
        for key in raw:
            if key not in {"proof", "within"}:
                self.unknown_key(path, key, ("proof", "within"))
        proof, within = raw.get("proof"), None
        if proof not in PROOFS:
            self.mistake(
                f"{path}.proof" if len(raw) > 1 else path, f"{proof!r} is not one of {', '.join(PROOFS)}{_meant(str(proof), PROOFS)}"
            )
            return None
        if "within" in raw:
            match = _DURATION.match(raw["within"]) if isinstance(raw["within"], str) else None
            if match is None:
                self.mistake(f"{path}.within", 'must be a duration such as "5m", "12h" or "7d"')
                return None
            within = int(match[1]) * _UNITS[match[2]]
        return Requirement(str(proof), FRESH_WITHIN if proof == FRESH_SIGN_IN and within is None else within)

    def _when(self, raw: object, path: str, depth: int) -> Criterion | None:
        """All the criteria of one mapping together."""
        if not isinstance(raw, Mapping):
            self.mistake(path, "must be criteria, such as {zone_kind: [trusted]}")
            return None
        if depth > _DEEPEST:
            self.mistake(path, f"is nested more than {_DEEPEST} times")
            return None
        parts = [self._criterion(key, value, path, depth) for key, value in raw.items()]
        found = tuple(part for part in parts if part is not None)
        return all_of(found) if len(found) == len(parts) else None

    def _criterion(self, name: object, raw: object, path: str, depth: int) -> Criterion | None:
        here = f"{path}.{name}"
        if name == "not":
            inner = self._inner(raw, here, depth)
            return None if inner is None else Criterion("not", parts=(inner,))
        if name in {"all", "any"}:
            if not isinstance(raw, list | tuple) or not raw:
                self.mistake(here, "must be a list of criteria with at least one in it")
                return None
            parts = [self._inner(one, f"{here}[{at}]", depth) for at, one in enumerate(raw)]
            found = tuple(part for part in parts if part is not None)
            return Criterion(str(name), parts=found) if len(found) == len(parts) else None
        if name not in CRITERIA:
            self.mistake(here, f"no such criterion{_meant(str(name), (*CRITERIA, *GROUPS))}")
            return None
        name = str(name)
        if name in FLAG_CRITERIA:
            flag = self.flag(raw, here)
            return None if flag is None else Criterion(name, (flag,))
        if name == "time":
            ends = self._ends(raw, here)
            return None if ends is None else Criterion(name, ends)
        words = self.words(raw, here, name)
        return Criterion(name, words) if words else None

    def _inner(self, raw: object, path: str, depth: int) -> Criterion | None:
        if isinstance(raw, Mapping) and not raw:
            self.mistake(path, "holds no criterion")
            return None
        return self._when(raw, path, depth + 1)

    def _ends(self, raw: object, path: str) -> tuple[time, time] | None:
        if not isinstance(raw, Mapping):
            self.mistake(path, 'must be both ends: {from: "21:00", to: "06:30"}')
            return None
        for key in raw:
            if key not in {"from", "to"}:
                self.unknown_key(path, key, ("from", "to"))
        ends = tuple(self._time(raw, end, path) for end in ("from", "to"))
        if ends[0] is None or ends[1] is None:
            return None
        if ends[0] == ends[1]:
            self.mistake(path, "begins and ends at the same minute: leave it out for the whole day")
            return None
        return ends[0], ends[1]

    def _time(self, raw: Mapping[Any, Any], end: str, path: str) -> time | None:
        if end not in raw:
            self.mistake(f"{path}.{end}", "is missing: a time of day has both ends, from and to")
            return None
        match = _TIME.match(raw[end]) if isinstance(raw[end], str) else None
        if match is None:
            # Unquoted, YAML 1.1 reads 21:00 as the number 1260.
            self.mistake(f"{path}.{end}", 'must be a time of day in quotes, from "00:00" to "23:59"')
            return None
        return time(int(match[1]), int(match[2]))


def criteria_of(when: Criterion) -> Iterator[Criterion]:
    """The conditions on facts in it, without the groups."""
    if when.name not in GROUPS:
        yield when
    for part in when.parts:
        yield from criteria_of(part)


def _meant(name: str, allowed: Collection[str]) -> str:
    close = get_close_matches(name, sorted(allowed), n=1)
    return f"; did you mean {close[0]}?" if close else ""
