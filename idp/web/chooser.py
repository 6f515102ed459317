"""A choice among many establishments: what of them to show, by what was typed. Plain GET forms, so that it works without JavaScript.

Owns the narrowing only; which establishments there are to choose from is idp/signin's, and choosing one is a POST of the page's own.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from flask import request

from idp.store.base import Establishment

MANY = 12
MOST_FOUND = 40
LONGEST_SEARCH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What the person asks to see: `typed` words, or all of them."""

    typed: str = ""
    wants_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One establishment to choose."""

    slug: str
    name: str
    is_suggested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """What the page shows of `total` establishments. `is_long`: it lets the person search; `left_out`: so many more fit what was typed."""

    choices: tuple[Choice, ...]
    total: int
    is_long: bool
    search: Search
    left_out: int = 0


def read_search() -> Search:
    """What this request asks to see."""
    return Search(typed=request.args.get("home", "").strip()[:LONGEST_SEARCH], wants_all=request.args.get("homes") == "all")


def choose_among(places: Iterable[Establishment], search: Search, *, suggested_id: str | None = None) -> Chooser:
    """A dozen are all shown, the suggested one first. Of more, only the suggested one is, until the person searches or wants all."""
    ordered = sorted(places, key=lambda place: (place.id != suggested_id, _plain(place.name)))
    is_long = len(ordered) > MANY
    found = ordered
    if is_long and search.typed:
        words = _plain(search.typed).split()
        found = [place for place in ordered if all(word in _plain(f"{place.name} {place.slug} {place.finess or ''}") for word in words)]
    elif is_long and not search.wants_all:
        found = [place for place in ordered if place.id == suggested_id]
    shown = found if search.wants_all else found[:MOST_FOUND]
    choices = tuple(Choice(slug=place.slug, name=place.name, is_suggested=place.id == suggested_id) for place in shown)
    return Chooser(choices=choices, total=len(ordered), is_long=is_long, search=search, left_out=len(found) - len(shown))


def _plain(text: str) -> str:
    """As people type on a phone: without accents or capitals."""
    return "".join(character for character in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(character))
