"""One rule, and what comes of all of them: values only. Read from YAML by rule_text.py, judged by rules.py, told by rule_explanation.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from policies.assurance import Requirement
from policies.criteria import Criterion
from policies.decision import Decision, TraceLine, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of the file. `requirements` are filled exactly when the effect is REQUIRE. `is_observed`: recorded, never enforced."""

    name: str
    effect: Verdict
    when: Criterion
    requirements: tuple[Requirement, ...] = ()
    is_observed: bool = False

    @property
    def reason(self) -> str:
        """The reason code: the name in snake case."""
        return self.name.replace("-", "_")

    def __post_init__(self) -> None:
        if (self.effect is Verdict.REQUIRE) != bool(self.requirements):
            raise ValueError("requirements go with the effect require, and only with it")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say. `requirements`: each proof once, sorted, with the smallest `within`; none unless the verdict is REQUIRE.

    `observed`: what the rules that are only observed would have said.
    """

    decision: Decision
    requirements: tuple[Requirement, ...] = ()
    observed: tuple[TraceLine, ...] = ()

    def as_json(self) -> dict[str, object]:
        """For Event.decision, beside the facts: verdict, reasons, requirements (`proof` and seconds, null when it may be of any age), traces."""
        return {
            "verdict": self.decision.verdict.value,
            "reasons": list(self.decision.reasons),
            "requirements": [
                {"proof": one.proof, "within_seconds": None if one.within is None else int(one.within / timedelta(seconds=1))}
                for one in self.requirements
            ],
            "trace": [_line(line) for line in self.decision.trace],
            "observed": [_line(line) for line in self.observed],
        }


def add_up(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Each proof once, sorted by its code, with the smallest `within`: any age is the largest."""
    every = tuple(requirements)
    adding = Sum(every)
    return adding.of(adding.bits(every))


class Sum:
    """Adds up requirements out of a known list, each a bit of a number: the strictest of a proof is the lowest of its bits."""

    def __init__(self, requirements: Iterable[Requirement]) -> None:
        ordered = sorted(set(requirements), key=lambda one: (one.proof, timedelta.max if one.within is None else one.within))
        self._bits = {one: 1 << at for at, one in enumerate(ordered)}
        self._of = {bit: one for one, bit in self._bits.items()}
        self._masks = tuple(
            sum(bit for one, bit in self._bits.items() if one.proof == proof) for proof in dict.fromkeys(one.proof for one in ordered)
        )

    def bits(self, requirements: Iterable[Requirement]) -> int:
        """The number that stands for these; KeyError when one is not of the list."""
        found = 0
        for one in requirements:
            found |= self._bits[one]
        return found

    def of(self, bits: int) -> tuple[Requirement, ...]:
        """Each proof of that number once, sorted by its code, with the smallest `within`."""
        return tuple([self._of[own & -own] for mask in self._masks if (own := bits & mask)])


def _line(line: TraceLine) -> dict[str, str]:
    return {"reason": line.reason, "verdict": line.verdict.value} | ({"detail": line.detail} if line.detail else {})
