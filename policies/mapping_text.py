"""The texts of mapping rules: how groups, roles and attributes are compared, and what `{establishment}`, `{finess}` and `{siret}` stand for.

Knows neither rules nor people. Capitals and the number of spaces never count (caseIgnoreMatch, RFC 4517 section 4.2.11); in distinguished names
neither do spaces around separators nor the way of escaping (RFC 4514).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

ESTABLISHMENT, FINESS, SIRET = "{establishment}", "{finess}", "{siret}"
PLACEHOLDERS = (ESTABLISHMENT, FINESS, SIRET)
SECTOR_LENGTH = 120

_SHAPES = {ESTABLISHMENT: "[a-z0-9-]+", FINESS: "[0-9ab]{9}", SIRET: "[0-9]{14}"}
_PLACEHOLDER = re.compile("|".join(re.escape(one) for one in PLACEHOLDERS))
_ATTRIBUTE = re.compile(r"\{attribute:([^{}]+)\}")
_DN = re.compile(r"\s*[a-z0-9][a-z0-9.-]*\s*=", re.IGNORECASE)
_RDN = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)
_ESCAPED = re.compile(r"((?:\\[0-9a-f]{2})+)|\\(.)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Home:
    """An establishment as a directory may name it: by its slug, its FINESS (nine characters) or its SIRET (fourteen digits)."""

    slug: str
    finess: str | None = None
    siret: str | None = None


def unambiguous(homes: Iterable[Home]) -> dict[str, Home]:
    """By slug. A number that two of them carry names neither."""
    found = {home.slug: home for home in homes}
    finess = Counter(home.finess for home in found.values())
    siret = Counter(home.siret for home in found.values())
    return {
        slug: Home(slug, home.finess if finess[home.finess] == 1 else None, home.siret if siret[home.siret] == 1 else None)
        for slug, home in found.items()
    }


def names_home(template: str) -> bool:
    """Whether a text holds a placeholder."""
    return _PLACEHOLDER.search(template) is not None


def expand(template: str, home: Home | None) -> str | None:
    """The text as this home would write it; None when it has no such number, or there is no home."""
    if not names_home(template):
        return template
    said = {ESTABLISHMENT: home.slug, FINESS: home.finess, SIRET: home.siret} if home is not None else {}
    if any(not said.get(one) for one in _PLACEHOLDER.findall(template)):
        return None
    return _PLACEHOLDER.sub(lambda match: said[match[0]] or "", template)


def may_end_open(template: str) -> bool:
    """Whether a `*` at the end leaves the home certain: what follows the placeholder must be no letter, digit or hyphen."""
    if not template.endswith("*") or not names_home(template):
        return True
    after = _PLACEHOLDER.split(template)[-1][:-1]
    return bool(after) and not (after[0].isalnum() or after[0] == "-")


def strangers(template: str, texts: Iterable[str], homes: Mapping[str, Home]) -> Iterator[str]:
    """What stands where a home should, in texts of the template's shape, and is none of `homes`: most often one that was not yet added.

    A slug as it is, a number with its kind before it. Template and texts have been folded, or made keys, in the same way.
    """
    seen: set[str] = set()
    shape = ""
    for part in re.split(f"({_PLACEHOLDER.pattern})", template.removesuffix("*")):
        name = part.strip("{}")
        shape += re.escape(part) if part not in _SHAPES else f"(?P={name})" if part in seen else f"(?P<{name}>{_SHAPES[part]})"
        seen.add(part)
    pattern = re.compile(shape + (".*" if template.endswith("*") else ""), re.DOTALL)
    known = {
        "establishment": set(homes),
        "finess": {home.finess.casefold() for home in homes.values() if home.finess},
        "siret": {home.siret for home in homes.values() if home.siret},
    }
    for text in texts:
        for name, value in (match.groupdict() if (match := pattern.fullmatch(text)) else {}).items():
            if value not in known[name]:
                yield value if name == "establishment" else f"{name} {value}"


def attributes_of(sector: str | None) -> tuple[str, ...]:
    """The attributes that a sector takes its value from."""
    return tuple(_ATTRIBUTE.findall(sector or ""))


def sector_of(sector: str | None, attributes: Mapping[str, tuple[str, ...]]) -> str | None:
    """A sector with its attributes' values in it, tidied; None when one of them has none. `attributes` by name in small letters.

    Of several values the first in alphabetical order: a directory gives them in any order, and the sector must not change each time.
    """
    if sector is None or not (names := attributes_of(sector)):
        return sector
    values = {name: min(filter(str.strip, attributes.get(name.casefold(), ())), default=None) for name in names}
    if any(value is None for value in values.values()):
        return None
    text = _ATTRIBUTE.sub(lambda match: values[match[1]] or "", sector)
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:SECTOR_LENGTH].strip() or None


def fold(value: str) -> str:
    """What an attribute or a role is compared by."""
    return " ".join(value.casefold().split())


def is_entry_name(group: str) -> bool:
    """Whether a group is told by its distinguished name."""
    return _DN.match(group) is not None


def group_key(group: str) -> str:
    """What a group is compared by."""
    if not is_entry_name(group):
        return fold(group)
    parts = (part.partition("=") for part in _RDN.findall(group))
    return "\0".join(f"{kind.strip()}={_unescaped(value.strip())}" for kind, _, value in parts).casefold()


def _unescaped(value: str) -> str:
    return " ".join(_ESCAPED.sub(_character, value).split())


def _character(escape: re.Match[str]) -> str:
    return bytes.fromhex(escape[1].replace("\\", "")).decode("utf-8", "replace") if escape[1] else escape[2]
