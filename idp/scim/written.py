"""A write of a source, as everything that it causes names it: whose, from where, when it reached us."""

from dataclasses import dataclass, field
from datetime import datetime

from idp.audit import Author, Origin, Word
from idp.config import ScimSettings


@dataclass(slots=True)
class Tally:
    """How many people the source has taken something from lately, this request among it; None: not counted yet. A whole group is counted once."""

    lost: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One request that writes. `actor`: who made it, where that is not the source itself. `by`: which of its tokens, or which
    client, let it in. `is_braked`: whether a mass of endings is held."""

    source: ScimSettings
    origin: Origin
    heard_at: datetime
    actor: str | None = None
    by: str = ""
    is_braked: bool = True
    tally: Tally = field(default_factory=Tally, compare=False)

    def author(self, subject: str | None = None) -> Author:
        """Who acts, on the word said of one person."""
        word = Word(connector=self.source.name, subject=subject, heard_at=self.heard_at) if subject is not None else None
        return Author(self.actor or f"connector:{self.source.name}", self.origin, word)
