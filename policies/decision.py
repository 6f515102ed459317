"""The one answer every policy gives: allow, require something more, or deny, always with coded reasons.

Owns the value and how several answers become one. Does not know what is being decided: access, assurance and
lifecycle build Decisions here; signin and lifecycle act on them and write reasons and trace into the audit Event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

NOTHING_SAID = "nothing_said"

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")


class Verdict(StrEnum):
    """From the widest to the narrowest."""

    ALLOW = "allow"
    REQUIRE = "require"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class TraceLine:
    """What one rule said, kept even when another rule overruled it. `detail` names the fact (an id), never a secret."""

    reason: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its reasons (stable snake_case codes, at least one).

    `requirements` is filled exactly when the verdict is REQUIRE: a DENY that listed them would read as "do this and
    come in". Raises ValueError on any other shape, because a malformed Decision must not reach the door.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    requirements: frozenset[str] = frozenset()
    trace: tuple[TraceLine, ...] = ()

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a Decision has at least one reason")
        for code in (*self.reasons, *self.requirements):
            if not _CODE.match(code):
                raise ValueError(f"not a snake_case code: {code!r}")
        if (self.verdict is Verdict.REQUIRE) != bool(self.requirements):
            raise ValueError("requirements go with the verdict REQUIRE, and only with it")

    @property
    def is_allowed(self) -> bool:
        """Allowed as things are, with nothing more required."""
        return self.verdict is Verdict.ALLOW

    @property
    def is_denied(self) -> bool:
        """Denied, whatever proof is given."""
        return self.verdict is Verdict.DENY


def allow(reason: str, *, detail: str = "") -> Decision:
    """Allowed; `detail` names the fact in the trace."""
    return _said(Verdict.ALLOW, reason, detail=detail)


def require(*requirements: str, reason: str, detail: str = "") -> Decision:
    """Allowed once every one of `requirements` is met. Raises ValueError when none is named."""
    return _said(Verdict.REQUIRE, reason, requirements=frozenset(requirements), detail=detail)


def deny(reason: str, *, detail: str = "") -> Decision:
    """Denied; `detail` names the fact in the trace."""
    return _said(Verdict.DENY, reason, detail=detail)


def combine(decisions: Iterable[Decision]) -> Decision:
    """One Decision from many: deny > require > allow; requirements add up; nothing said is a denial.

    The reasons are those of the winning verdict, in the order given, each once. The trace keeps every line, so that
    support sees what would have been allowed without the denial.
    """
    said = tuple(decisions)
    if not said:
        return deny(NOTHING_SAID)
    verdict = max((decision.verdict for decision in said), key=_STRENGTH.__getitem__)
    winning = tuple(decision for decision in said if decision.verdict is verdict)
    requirements = frozenset[str]().union(*(decision.requirements for decision in winning))
    reasons = tuple(dict.fromkeys(reason for decision in winning for reason in decision.reasons))
    trace = tuple(line for decision in said for line in _lines(decision))
    return Decision(verdict, reasons, requirements=requirements, trace=trace)


_STRENGTH = {Verdict.ALLOW: 0, Verdict.REQUIRE: 1, Verdict.DENY: 2}


def _said(verdict: Verdict, reason: str, *, requirements: frozenset[str] = frozenset(), detail: str = "") -> Decision:
    return Decision(verdict, (reason,), requirements=requirements, trace=(TraceLine(reason, verdict, detail=detail),))


def _lines(decision: Decision) -> tuple[TraceLine, ...]:
    return decision.trace or tuple(TraceLine(reason, decision.verdict) for reason in decision.reasons)
