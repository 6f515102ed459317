"""What a directory's word on a person means for the Account: keep, suspend, reinstate, or hold for a human; and when a whole run must stop.

Owns the verdicts and the brake. Does not ask the directory and ends nothing: idp.signin and idp.lifecycle gather the facts and act.
"The directory cannot be reached" is no word, and never comes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

GONE = "gone"
OPERATOR = "operator"

DIRECTORY_DISABLED = "directory_disabled"
DIRECTORY_EXPIRED = "directory_expired"
DIRECTORY_GONE = "directory_gone"
DIRECTORY_OUT_OF_SCOPE = "directory_out_of_scope"
DIRECTORY_USABLE = "directory_usable"
DIRECTORY_LOCKED = "directory_locked"
DIRECTORY_NOT_NOW = "directory_not_now"
DIRECTORY_UNPLACED = "directory_unplaced"
CUT_BY_OTHERS = "cut_by_others"
CUT_ALREADY = "cut_already"
ACCOUNT_ENDED = "account_ended"

# A whole directory that leaves at once is a wrong filter, however small it is; one person alone is a leaver.
SMALLEST_EVERYBODY = 2
# Below this many the share says nothing: of a home of twelve, one leaver is 8 %.
SMALLEST_SHARE = 5

_CUTS = {
    "disabled": DIRECTORY_DISABLED,
    "expired": DIRECTORY_EXPIRED,
    "out_of_scope": DIRECTORY_OUT_OF_SCOPE,
    GONE: DIRECTORY_GONE,
}
# Locked by wrong passwords: anybody who knows a nurse's login can do that, so it must not cut the nurse's session. The directory itself
# refuses the next sign-in. Outside their hours likewise: they are still who they were.
_KEEPS = {"usable": DIRECTORY_USABLE, "must_change": DIRECTORY_USABLE, "locked": DIRECTORY_LOCKED, "not_now": DIRECTORY_NOT_NOW}


class Verdict(StrEnum):
    """What is to be done with the Account."""

    KEEP = "keep"
    REINSTATE = "reinstate"
    SUSPEND = "suspend"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleFacts:
    """What is known at `now` (UTC-aware). `word` is a State of connectors.base or `gone`; anything else is a ValueError.

    `placements` is how many attachments the directory gives now. None is KEEP all the same: losing the attachments ends what stood on them; and
    HOLD for somebody held, who loses nothing meanwhile.
    `cut_by` is the directory that suspended the Account, or `operator`. `held_until`: a run that a human must confirm would end this person.
    """

    word: str
    placements: int
    account_status: Literal["active", "suspended", "ended"]
    cut_by: str | None
    connector: str
    held_until: datetime | None
    now: datetime

    def __post_init__(self) -> None:
        if self.word not in _CUTS and self.word not in _KEEPS:
            raise ValueError(f"not a word of a directory: {self.word!r}")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason code. HOLD: nothing of the person may be written but that we asked; the reason is that of what would end."""

    verdict: Verdict
    reason: str

    @property
    def is_cut(self) -> bool:
        """Whether the word would suspend the Account, held or not."""
        return self.verdict in {Verdict.SUSPEND, Verdict.HOLD} and self.reason != DIRECTORY_UNPLACED


def judge(facts: LifecycleFacts) -> Judgement:
    """What the word means. REINSTATE is for the person's own sign-in; a reading of the directory alone revives nobody.

    A directory lifts only what it cut itself: never an operator's suspension, nor another directory's.
    """
    if facts.account_status == "ended":
        return Judgement(Verdict.KEEP, ACCOUNT_ENDED)
    is_held = facts.held_until is not None and facts.held_until > facts.now
    if reason := _CUTS.get(facts.word):
        if facts.account_status == "suspended":
            return Judgement(Verdict.KEEP, CUT_ALREADY)
        return Judgement(Verdict.HOLD if is_held else Verdict.SUSPEND, reason)
    said = _KEEPS[facts.word]
    if facts.account_status == "suspended":
        if facts.cut_by != facts.connector or facts.cut_by == OPERATOR:
            return Judgement(Verdict.KEEP, CUT_BY_OTHERS)
        if said == DIRECTORY_USABLE:
            return Judgement(Verdict.REINSTATE, said)
    elif not facts.placements:
        return Judgement(Verdict.HOLD if is_held else Verdict.KEEP, DIRECTORY_UNPLACED)
    return Judgement(Verdict.KEEP, said)


def lets_stay(word: str) -> bool:
    """Whether a person with this word keeps what they have. A locked one does, and may not open anything new."""
    return word in _KEEPS


def is_reset(known: datetime | None, said: datetime | None, *, no_instant: datetime) -> bool:
    """Whether a password is another one than was `known`, by when the directory says that it was set: what the former one opened must end.

    An earlier instant is a replica that is behind; the first one that is ever said is where it begins. `no_instant` is before every other: said, it
    is of a password that somebody else set; known, of one that was set before the directory kept the instant.
    """
    if known is None or said is None or said == known:
        return False
    return said > known or said == no_instant


@dataclass(frozen=True, slots=True)
class Brake:
    """How many may end in one run: `people`, at least 1, and `percent` of those known, 1 to 100. Raises ValueError otherwise."""

    people: int
    percent: int

    def __post_init__(self) -> None:
        if self.people < 1 or not 1 <= self.percent <= 100:
            raise ValueError("a brake lets at least one person and one percent end")


def brakes(ending: int, known: int, brake: Brake) -> bool:
    """Whether a run that would end `ending` of `known` people must stop and ask.

    It must when more than `brake.people` would end; when they are more than `brake.percent` of those known, and at least five; and when they
    are everybody, and more than one.
    """
    if ending > brake.people:
        return True
    if ending >= SMALLEST_SHARE and ending * 100 > brake.percent * known:
        return True
    return ending >= known and ending >= SMALLEST_EVERYBODY


@dataclass(frozen=True, slots=True)
class Burst:
    """People who were cut one after another: `ended` within the window that ends now, of `known`. A filter mistyped in the directory, or an import
    gone wrong there, comes as thousands of single changes and not as one reading."""

    ended: int
    known: int

    def brakes(self, brake: Brake) -> bool:
        """Whether the next one must be held for a human, as `brakes` would in one reading."""
        return brakes(self.ended + 1, self.known, brake)


def is_loss(placements_before: int, placements_now: int) -> bool:
    """Whether a person loses every placement: it ends what they had open, so a run counts it with its endings.

    A rule mistyped in the configuration empties a whole home this way, with nobody gone from the directory.
    """
    return placements_before > 0 and placements_now == 0
