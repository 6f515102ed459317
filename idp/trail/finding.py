"""What a verification of the trail finds, as values: faults, the window that no seal covers yet, and the whole."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Fault(StrEnum):
    """What can be wrong."""

    CHANGED = "line_changed"
    MISSING = "lines_missing"
    OUT_OF_PLACE = "line_out_of_place"
    UNSIGNED = "lines_without_writer"
    UNSIGNED_MISSING = "lines_without_writer_missing"
    NOT_AS_SEALED = "not_as_sealed"
    SEAL_CHANGED = "seal_changed"
    SEALS_MISSING = "seals_missing"
    RANGE_CHANGED = "purge_record_changed"
    NOTED_SEAL = "noted_seal"
    NEVER_SEALED = "never_sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, in words, and where: the id of the line, the writer, the instant that the rows themselves give."""

    fault: Fault
    words: str
    line_id: int | None = None
    writer: str | None = None
    at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Window:
    """Lines that no seal covers yet."""

    lines: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add(self, at: datetime) -> None:
        """One more."""
        self.lines += 1
        self.first_at = min(self.first_at or at, at)
        self.last_at = max(self.last_at or at, at)


@dataclass(slots=True, kw_only=True)
class Verification:
    """What was found. `before` counts lines from before the chains, which nothing but their number protects; `purged` those that rightly went.
    `began_late`: how long after the oldest signed line the first seal was made, when that is long: the sealer did not run, or seals were taken away.
    """

    lines: int = 0
    before: int = 0
    writers: int = 0
    seals: int = 0
    purged: int = 0
    newest_seal: str | None = None
    sealed_at: datetime | None = None
    began_late: timedelta | None = None
    may_be_changed: bool = False
    unsealed: Window = field(default_factory=Window)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def shown(findings: list[Finding], most: int) -> Iterator[str]:
    """The first findings in words, and how many more there are."""
    for finding in findings[:most]:
        yield finding.words
    if len(findings) > most:
        yield f"... and {len(findings) - most} more"
