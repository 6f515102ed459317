"""Where a person of a directory works, and as what: from its groups and attributes to placements, by the rules of the configuration.

Owns the reading of rules and the trace that says why each matched or not. Does not know directories, the store or what a placement becomes
there. A rule adds; none takes away; no rule matched means no placement, and a person with none may sign in nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ESTABLISHMENT = "{establishment}"

GROUP_HELD = "group_held"
ATTRIBUTES_HELD = "attributes_held"
GROUP_NOT_HELD = "group_not_held"
ATTRIBUTE_ABSENT = "attribute_absent"
ATTRIBUTE_DIFFERS = "attribute_differs"
ESTABLISHMENT_UNKNOWN = "establishment_unknown"

_DN = re.compile(r"\s*[a-z0-9][a-z0-9.-]*\s*=", re.IGNORECASE)
_RDN = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)
_ESCAPED = re.compile(r"((?:\\[0-9a-f]{2})+)|\\(.)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingRule:
    """Who gets which placement: the group, if one is named, and every attribute named. Neither is a ValueError: it would place everybody.

    `group` is a name or a distinguished name; `{establishment}` in it stands for any slug. `attributes` maps a name to a value; a `*` at the
    value's end stands for anything. `establishment` is a slug, or `{establishment}`: the slug that the group's name said (ValueError when the
    group says none). Capitals are not told apart.
    """

    group: str | None
    attributes: Mapping[str, str]
    establishment: str
    profile: str
    sector: str | None

    def __post_init__(self) -> None:
        if self.group is None and not self.attributes:
            raise ValueError("a rule asks for a group or for attributes")
        if self.establishment == ESTABLISHMENT and ESTABLISHMENT not in (self.group or ""):
            raise ValueError(f"the establishment is {ESTABLISHMENT}, which the group does not say")


@dataclass(frozen=True, slots=True)
class Placement:
    """One attachment to be: `establishment` is a slug that is known."""

    establishment: str
    profile: str
    sector: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """What came of one rule: `because` is a code of this module, `data` what it speaks of (groups, an attribute and the values found, a slug).

    `unknown` are establishments that the rule would have led to and that do not exist.
    """

    index: int
    matched: bool
    because: str
    data: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapped:
    """The placements, each once, in the order of the rules; and one trace line a rule."""

    placements: tuple[Placement, ...]
    trace: tuple[RuleTrace, ...]


class Placer:
    """Rules made ready for many people: what a person costs is in proportion to the groups held, not to rules or establishments.

    `known_establishments` are slugs. Holds one entry for each rule and each slug that its group can name; build one when either changes.
    """

    def __init__(self, rules: tuple[MappingRule, ...], known_establishments: frozenset[str]) -> None:
        self._rules = rules
        self._known = known_establishments
        # A template is written out for every slug instead of being searched for in names: "saint-jean-ide" then names the home that the rule
        # means, whatever other slugs begin or end alike.
        self._by_group: dict[str, list[tuple[int, str]]] = {}
        self._without_group = tuple(index for index, rule in enumerate(rules) if rule.group is None)
        # Directories give each group by its name and by its distinguished name, and most rules speak of names only.
        self._names_entries = any(rule.group is not None and _DN.match(rule.group) for rule in rules)
        for index, rule in enumerate(rules):
            for name, slug in _names(rule, known_establishments):
                self._by_group.setdefault(_key(name), []).append((index, slug))

    def placements(self, groups: frozenset[str], attributes: Mapping[str, tuple[str, ...]]) -> tuple[Placement, ...]:
        """The placements, each once, in the order of the rules and then of slugs."""
        found: set[tuple[int, str]] = {(index, self._rules[index].establishment) for index in self._without_group}
        for group in groups:
            if self._names_entries or not _DN.match(group):
                found.update(self._by_group.get(_key(group), ()))
        held = _folded(attributes) if any(self._rules[index].attributes for index, _ in found) else {}
        return tuple(
            dict.fromkeys(
                Placement(slug, self._rules[index].profile, self._rules[index].sector)
                for index, slug in sorted(found)
                if slug in self._known and _obstacle(self._rules[index], held) is None
            )
        )

    def place(self, groups: frozenset[str], attributes: Mapping[str, tuple[str, ...]]) -> Mapped:
        """The same placements, and why: for an operator who asks about one person."""
        held = _folded(attributes)
        keyed = {_key(group): group for group in sorted(groups, reverse=True)}
        trace = tuple(self._try(index, keyed, held) for index in range(len(self._rules)))
        placements = tuple(dict.fromkeys(placement for line in trace for placement in line.placements))
        return Mapped(placements, trace)

    def _try(self, index: int, groups: Mapping[str, str], held: Mapping[str, tuple[str, ...]]) -> RuleTrace:
        rule = self._rules[index]
        slugs: set[str] = set()
        said_by: list[str] = []
        for key, group in sorted(groups.items()):
            mine = {slug for one, slug in self._by_group.get(key, ()) if one == index}
            slugs |= mine
            said_by += [group] if mine else []
        strangers = self._strangers(rule, groups)
        if rule.group is None:
            slugs = {rule.establishment}
        elif not slugs and not strangers:
            return RuleTrace(index=index, matched=False, because=GROUP_NOT_HELD, data=(rule.group,))
        if obstacle := _obstacle(rule, held):
            because, data = obstacle
            return RuleTrace(index=index, matched=False, because=because, data=data)
        unknown = tuple(sorted({*strangers, *(slugs - self._known)}))
        known = sorted(slugs & self._known)
        if not known:
            return RuleTrace(index=index, matched=False, because=ESTABLISHMENT_UNKNOWN, data=unknown, unknown=unknown)
        because = GROUP_HELD if rule.group is not None else ATTRIBUTES_HELD
        data = tuple(said_by) if rule.group is not None else tuple(sorted(rule.attributes))
        placements = tuple(Placement(slug, rule.profile, rule.sector) for slug in known)
        return RuleTrace(index=index, matched=True, because=because, data=data, unknown=unknown, placements=placements)

    def _strangers(self, rule: MappingRule, groups: Mapping[str, str]) -> frozenset[str]:
        """What stands where a slug should, in groups of the rule's shape, and is no establishment's: most often a home not yet added."""
        if rule.group is None or ESTABLISHMENT not in rule.group:
            return frozenset()
        first, *rest = (re.escape(part) for part in _key(rule.group).split(ESTABLISHMENT))
        shape = re.compile(first + r"(?P<slug>[a-z0-9-]+)" + r"(?P=slug)".join(rest))
        matches = (shape.fullmatch(key) for key in groups)
        return frozenset(match["slug"] for match in matches if match and match["slug"] not in self._known)


def place(
    groups: frozenset[str],
    attributes: Mapping[str, tuple[str, ...]],
    rules: tuple[MappingRule, ...],
    known_establishments: frozenset[str],
) -> Mapped:
    """Where one person is placed, and why. For many people, keep a Placer."""
    return Placer(rules, known_establishments).place(groups, attributes)


def _names(rule: MappingRule, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The group names that a rule listens to, each with the slug it leads to."""
    if rule.group is None:
        return
    if ESTABLISHMENT not in rule.group:
        yield rule.group, rule.establishment
        return
    for slug in known:
        yield rule.group.replace(ESTABLISHMENT, slug), slug if rule.establishment == ESTABLISHMENT else rule.establishment


def _obstacle(rule: MappingRule, held: Mapping[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]] | None:
    for name, wanted in sorted(rule.attributes.items()):
        values = held.get(name.casefold(), ())
        if not values:
            return ATTRIBUTE_ABSENT, (name, wanted)
        text = _fold(wanted)
        is_held = any(value.startswith(text[:-1]) if text.endswith("*") else value == text for value in values)
        if not is_held:
            return ATTRIBUTE_DIFFERS, (name, wanted, *values)
    return None


def _folded(attributes: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name.casefold(): tuple(text for value in values if (text := _fold(value))) for name, values in attributes.items()}


def _fold(value: str) -> str:
    """As caseIgnoreMatch compares: capitals and the number of spaces do not count (RFC 4517 section 4.2.11)."""
    return " ".join(value.casefold().split())


def _key(group: str) -> str:
    """What a group is compared by. Of a distinguished name, spaces around separators and the way of escaping do not count (RFC 4514)."""
    if not _DN.match(group):
        return _fold(group)
    parts = (part.partition("=") for part in _RDN.findall(group))
    return "\0".join(f"{kind.strip()}={_unescaped(value.strip())}" for kind, _, value in parts).casefold()


def _unescaped(value: str) -> str:
    return " ".join(_ESCAPED.sub(_character, value).split())


def _character(escape: re.Match[str]) -> str:
    return bytes.fromhex(escape[1].replace("\\", "")).decode("utf-8", "replace") if escape[1] else escape[2]
