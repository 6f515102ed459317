"""The languages of the pages: which one a request gets, and its words.

Catalogues are read from the .po files once at start and compiled in memory; English is what the templates are written in. Order: the person's own
choice made since the sign-in began, ui_locales of the client, an earlier choice, Accept-Language, the configuration (OpenID Connect Core 3.1.2.1).
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from werkzeug.datastructures import LanguageAccept

SPOKEN = ("fr", "en")


class Languages:
    """The catalogues in a folder laid out as <language>/LC_MESSAGES/*.po."""

    def __init__(self, folder: Path, default: str) -> None:
        self.default = default
        self._catalogues: dict[str, NullTranslations] = {code: NullTranslations() for code in SPOKEN}
        for path in sorted(folder.glob("*/LC_MESSAGES/*.po")):
            self._catalogues[path.parent.parent.name] = _compile(path)

    def words(self, code: str) -> NullTranslations:
        """The catalogue of a language we speak."""
        return self._catalogues[code]

    def choose(
        self,
        *,
        chosen: tuple[str, datetime] | None,
        since: datetime | None,
        ui_locales: Iterable[str],
        accepted: LanguageAccept,
    ) -> str:
        """The language of a page. `chosen` is the person's choice and its instant, `since` the beginning of the sign-in."""
        choice = chosen if chosen and chosen[0] in self._catalogues else None
        if choice and since is not None and choice[1] >= since:
            return choice[0]
        for tag in ui_locales:
            if (primary := tag.partition("-")[0].lower()) in self._catalogues:
                return primary
        if choice:
            return choice[0]
        return accepted.best_match(list(self._catalogues)) or self.default

    def speaks(self, code: str) -> bool:
        """Whether there are pages in this language."""
        return code in self._catalogues


@lru_cache  # what a process builds twice (tests do) it need not read twice
def _compile(path: Path) -> GNUTranslations:
    compiled = BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source))
    compiled.seek(0)
    return GNUTranslations(compiled)
