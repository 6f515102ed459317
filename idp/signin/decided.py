"""What an Event keeps of a decision, read back: the facts, what the rules said then, and which rule did.

Owns the reading of `Event.decision` (gate.py writes it), for the support desk and for a replay. Judges nothing anew: a trace is what was said at the
time, by the rules of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from policies.decision import TraceLine, Verdict
from policies.rules import SignInFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision of the past. `observed` are lines of rules that were recorded and not enforced."""

    facts: SignInFacts
    verdict: Verdict
    reasons: tuple[str, ...]
    requirements: Mapping[str, timedelta | None]
    trace: tuple[TraceLine, ...]
    observed: tuple[TraceLine, ...]


def decided(stored: Mapping[str, Any]) -> Decided:
    """The decision of an Event. Raises KeyError, TypeError or ValueError when it is not written as this release does."""
    return Decided(
        facts=SignInFacts.from_json(stored["facts"]),
        verdict=Verdict(stored["verdict"]),
        reasons=tuple(stored["reasons"]),
        requirements=requirements_of(stored),
        trace=_lines(stored["trace"]),
        observed=_lines(stored["observed"]),
    )


def requirements_of(stored: Mapping[str, Any]) -> dict[str, timedelta | None]:
    """Each proof that was required, and how old it could be at most (None: of any age)."""
    found = ((one["proof"], one["within_seconds"]) for one in stored["requirements"])
    return {proof: None if seconds is None else timedelta(seconds=seconds) for proof, seconds in found}


def _lines(stored: Any) -> tuple[TraceLine, ...]:
    return tuple(TraceLine(line["reason"], Verdict(line["verdict"]), detail=line.get("detail", "")) for line in stored)
