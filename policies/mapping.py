"""Where a person of a directory or a provider works, and as what: from groups, roles and attributes to placements, by rules of the configuration.

Owns the reading of rules and the trace that says why each matched or not. Does not know directories, the store or what a placement becomes
there. A rule adds; none takes away; no rule matched means no placement, and a person with none may sign in nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from policies.mapping_text import (
    PLACEHOLDERS,
    Home,
    attributes_of,
    expand,
    fold,
    group_key,
    is_entry_name,
    may_end_open,
    names_home,
    sector_of,
    strangers,
    unambiguous,
)

ROLES = "roles"  # where a provider's application roles are, among its attributes

GROUP_HELD = "group_held"
ROLE_HELD = "role_held"
ATTRIBUTES_HELD = "attributes_held"
GROUP_NOT_HELD = "group_not_held"
ROLE_NOT_HELD = "role_not_held"
ATTRIBUTE_ABSENT = "attribute_absent"
ATTRIBUTE_DIFFERS = "attribute_differs"
ESTABLISHMENT_UNKNOWN = "establishment_unknown"

Obstacle = tuple[str, tuple[str, ...]]
"""A code of this module, and what it speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingRule:
    """Who gets which placement: the group, the role and every attribute that it names. None of them is a ValueError: it would place everybody.

    `group` is a name or a distinguished name, `role` an application role, `attributes` names with a value; a `*` at such a value's end stands for
    anything. `{establishment}`, `{finess}` and `{siret}` in them stand for the slug and the numbers of one home, the same one everywhere in the rule.
    `establishment` is a slug, or one of these three: the home that was said (ValueError when nothing says it, or when a `*` leaves it uncertain).
    `sector` may hold `{attribute:name}`. Capitals are not told apart.
    """

    group: str | None
    role: str | None = None
    attributes: Mapping[str, str]
    establishment: str
    profile: str
    sector: str | None

    def __post_init__(self) -> None:
        if self.group is None and self.role is None and not self.attributes:
            raise ValueError("a rule asks for a group, a role or attributes")
        if self.establishment in PLACEHOLDERS and not any(names_home(one.template) for one in conditions(self)):
            raise ValueError(f"the establishment is {self.establishment}, which the group, the role and the attributes do not say")
        if not all(may_end_open(value) for value in self.attributes.values()):
            raise ValueError("a * after a home needs a separator between the two: letters, digits and hyphens could belong to the home")


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a rule asks for; `name` is the attribute's as the rule writes it, `key` the same in small letters."""

    kind: Literal["group", "role", "attribute"]
    name: str
    key: str
    template: str


@dataclass(frozen=True, slots=True)
class Placement:
    """One attachment to be: `establishment` is a slug that is known."""

    establishment: str
    profile: str
    sector: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """What came of one rule: `because` is a code of this module, `data` what it speaks of (groups, roles, an attribute and the values found, a slug).

    `unknown` are establishments that the rule would have led to and that do not exist ("hortensias", "finess 690099999"); `without` the attributes
    that its sector is taken from and that say nothing.
    """

    index: int
    matched: bool
    because: str
    data: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapped:
    """The placements, each once, in the order of the rules; and one trace line a rule."""

    placements: tuple[Placement, ...]
    trace: tuple[RuleTrace, ...]


def conditions(rule: MappingRule) -> Iterator[Condition]:
    """What a rule asks for, the group first."""
    if rule.group is not None:
        yield Condition("group", "", "", rule.group)
    if rule.role is not None:
        yield Condition("role", ROLES, ROLES, rule.role)
    for name, value in sorted(rule.attributes.items()):
        yield Condition("attribute", name, name.casefold(), value)


@dataclass(frozen=True, slots=True)
class _Values:
    """Values of one attribute that rules listen to, each with the rules and homes that it leads to; those that end in `*` by their length too."""

    whole: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    beginnings: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    lengths: set[int] = field(default_factory=set)

    def listen(self, text: str, leads_to: tuple[int, str]) -> None:
        if not text.endswith("*"):
            self.whole.setdefault(text, []).append(leads_to)
            return
        self.beginnings.setdefault(text[:-1], []).append(leads_to)
        self.lengths.add(len(text) - 1)

    def found(self, value: str) -> Iterator[tuple[int, str]]:
        yield from self.whole.get(value, ())
        for length in self.lengths:
            yield from self.beginnings.get(value[:length], ()) if len(value) >= length else ()


@dataclass(frozen=True, slots=True)
class _Held:
    """What one person holds, as it is compared. `raw` is attributes by name in small letters, as they came."""

    groups: Mapping[str, str]
    values: Mapping[str, tuple[str, ...]]
    raw: Mapping[str, tuple[str, ...]]


class Placer:
    """Rules made ready for many people: what a person costs is in proportion to what the person holds, not to rules or homes.

    Holds one entry for each rule and each home that it can name; build one when either changes. Rules that ask for attributes alone, and name no home
    by them, are tried one by one.
    """

    def __init__(self, rules: tuple[MappingRule, ...], homes: Iterable[Home]) -> None:
        self._rules = rules
        self._homes = unambiguous(homes)
        self._conditions = tuple(tuple(conditions(rule)) for rule in rules)
        # The condition that a rule is found by: the one that says the home, else its group or role.
        self._anchors = tuple(_anchor(asked) for asked in self._conditions)
        self._without_anchor = tuple(index for index, anchor in enumerate(self._anchors) if anchor is None)
        # A template is written out for every home instead of being searched for in names: "saint-jean-ide" then names the home that the rule
        # means, whatever other slugs begin or end alike.
        self._by_group: dict[str, list[tuple[int, str]]] = {}
        self._by_role: dict[str, list[tuple[int, str]]] = {}
        self._by_attribute: dict[str, _Values] = {}
        for index, anchor in enumerate(self._anchors):
            if anchor is not None:
                for text, slug in _written_out(anchor, self._homes.values()):
                    self._listen(anchor, text, (index, slug))
        # Directories give each group by its name and by its distinguished name, and most rules speak of names only.
        self._names_entries = any(rule.group is not None and is_entry_name(rule.group) for rule in rules)

    def placements(self, groups: frozenset[str], attributes: Mapping[str, tuple[str, ...]]) -> tuple[Placement, ...]:
        """The placements, each once, in the order of the rules and then of slugs."""
        keys = self._keys(groups)
        held = _Held(keys, {}, {})
        if attributes and self._looks_at_attributes(keys):
            raw = {name.casefold(): values for name, values in attributes.items()}
            held = _Held(keys, _folded(raw), raw)
        return tuple(
            dict.fromkeys(
                Placement(target, self._rules[index].profile, sector_of(self._rules[index].sector, held.raw))
                for index, slug in sorted(self._found(held))
                if (target := self._target(index, slug)) in self._homes and self._obstacle(index, slug, held) is None
            )
        )

    def place(self, groups: frozenset[str], attributes: Mapping[str, tuple[str, ...]]) -> Mapped:
        """The same placements, and why: for an operator who asks about one person."""
        raw = {name.casefold(): values for name, values in attributes.items()}
        held = _Held({group_key(group): group for group in sorted(groups, reverse=True)}, _folded(raw), raw)
        found = self._found(held)
        trace = tuple(self._try(index, sorted(slug for one, slug in found if one == index), held=held) for index in range(len(self._rules)))
        placements = tuple(dict.fromkeys(placement for line in trace for placement in line.placements))
        return Mapped(placements, trace)

    def listens_to(self, groups: frozenset[str]) -> bool:
        """Whether belonging to any of these groups can change where somebody is placed."""
        if not self._by_group.keys().isdisjoint(self._keys(groups)):
            return True
        # A group that is asked for beside the one thing that a rule is found by is not worth writing out.
        return any(
            one.kind == "group" for asked, anchor in zip(self._conditions, self._anchors, strict=True) for one in asked if one is not anchor
        )

    def _listen(self, anchor: Condition, text: str, leads_to: tuple[int, str]) -> None:
        if anchor.kind == "group":
            self._by_group.setdefault(group_key(text), []).append(leads_to)
        elif anchor.kind == "role":
            self._by_role.setdefault(fold(text), []).append(leads_to)
        else:
            self._by_attribute.setdefault(anchor.key, _Values()).listen(fold(text), leads_to)

    def _keys(self, groups: Iterable[str]) -> dict[str, str]:
        return {group_key(group): group for group in groups if self._names_entries or not is_entry_name(group)}

    def _looks_at_attributes(self, keys: Mapping[str, str]) -> bool:
        """Whether any rule that could place this person asks an attribute, a role or a sector's."""
        if self._by_role or self._by_attribute or self._without_anchor:
            return True
        by_group = {index for key in keys for index, _ in self._by_group.get(key, ())}
        return any(len(self._conditions[index]) > 1 or attributes_of(self._rules[index].sector) for index in by_group)

    def _found(self, held: _Held) -> set[tuple[int, str]]:
        """The rules that may place the person, each with the slug of the home that was said ("" where none is)."""
        found = {(index, "") for index in self._without_anchor}
        for key in held.groups:
            found.update(self._by_group.get(key, ()))
        for role in held.values.get(ROLES, ()) if self._by_role else ():
            found.update(self._by_role.get(role, ()))
        for name, listened in self._by_attribute.items():
            for value in held.values.get(name, ()):
                found.update(listened.found(value))
        return found

    def _target(self, index: int, slug: str) -> str:
        wanted = self._rules[index].establishment
        return slug if wanted in PLACEHOLDERS else wanted

    def _obstacle(self, index: int, slug: str, held: _Held) -> Obstacle | None:
        """The first thing asked, beside what the rule was found by, that the person does not hold for this home."""
        home = self._homes.get(slug)
        others = (one for one in self._conditions[index] if one is not self._anchors[index])
        return next((obstacle for one in others if (obstacle := _missing(one, home, held)) is not None), None)

    def _try(self, index: int, slugs: list[str], *, held: _Held) -> RuleTrace:
        rule, anchor = self._rules[index], self._anchors[index]
        unknown = set(self._strangers(anchor, held))
        if anchor is not None and not slugs and not unknown:
            because, data = _missing(anchor, None, held) or (ESTABLISHMENT_UNKNOWN, ())
            return RuleTrace(index=index, matched=False, because=because, data=data)
        obstacles = {slug: self._obstacle(index, slug, held) for slug in slugs}
        passed = [slug for slug, obstacle in obstacles.items() if obstacle is None]
        if not passed:
            first = next(iter(obstacles.values()), None) or self._obstacle_anywhere(index, held)
            if first is not None:
                return RuleTrace(index=index, matched=False, because=first[0], data=first[1])
        targets = {self._target(index, slug) for slug in passed}
        names = tuple(sorted({*unknown, *(targets - self._homes.keys())}))
        known = sorted(targets & self._homes.keys())
        if not known:
            return RuleTrace(index=index, matched=False, because=ESTABLISHMENT_UNKNOWN, data=names, unknown=names)
        because, data = self._held_because(index, passed, held)
        without = tuple(name for name in attributes_of(rule.sector) if not any(map(str.strip, held.raw.get(name.casefold(), ()))))
        sector = sector_of(rule.sector, held.raw)
        placements = tuple(Placement(slug, rule.profile, sector) for slug in known)
        return RuleTrace(index=index, matched=True, because=because, data=data, unknown=names, without=without, placements=placements)

    def _obstacle_anywhere(self, index: int, held: _Held) -> Obstacle | None:
        """What is missing whatever the home: of a rule that leads to a home that is not known."""
        others = (one for one in self._conditions[index] if one is not self._anchors[index] and not names_home(one.template))
        return next((obstacle for one in others if (obstacle := _missing(one, None, held)) is not None), None)

    def _held_because(self, index: int, slugs: list[str], held: _Held) -> Obstacle:
        rule = self._rules[index]
        homes = [self._homes.get(slug) for slug in slugs]
        if rule.group is not None:
            keys = {group_key(text) for home in homes if (text := expand(rule.group, home)) is not None}
            return GROUP_HELD, tuple(held.groups[key] for key in sorted(keys) if key in held.groups)
        if rule.role is not None:
            return ROLE_HELD, tuple(sorted({text for home in homes if (text := expand(rule.role, home)) is not None}))
        return ATTRIBUTES_HELD, tuple(sorted(rule.attributes))

    def _strangers(self, anchor: Condition | None, held: _Held) -> Iterator[str]:
        if anchor is None or not names_home(anchor.template):
            return iter(())
        if anchor.kind == "group":
            return strangers(group_key(anchor.template), held.groups, self._homes)
        return strangers(fold(anchor.template), held.values.get(anchor.key, ()), self._homes)


def place(
    groups: frozenset[str],
    attributes: Mapping[str, tuple[str, ...]],
    rules: tuple[MappingRule, ...],
    homes: Iterable[Home],
) -> Mapped:
    """Where one person is placed, and why. For many people, keep a Placer."""
    return Placer(rules, homes).place(groups, attributes)


def _anchor(asked: tuple[Condition, ...]) -> Condition | None:
    saying = next((one for one in asked if names_home(one.template)), None)
    return saying or next((one for one in asked if one.kind != "attribute"), None)


def _written_out(anchor: Condition, homes: Iterable[Home]) -> Iterator[tuple[str, str]]:
    """The texts that a condition listens to, each with the slug of the home that it says."""
    if not names_home(anchor.template):
        yield anchor.template, ""
        return
    for home in homes:
        if (text := expand(anchor.template, home)) is not None:
            yield text, home.slug


def _missing(asked: Condition, home: Home | None, held: _Held) -> Obstacle | None:
    """Why the person does not hold what is asked, for this home; None when they do."""
    text = expand(asked.template, home)
    if asked.kind == "group":
        return None if text is not None and group_key(text) in held.groups else (GROUP_NOT_HELD, (asked.template,))
    values = held.values.get(asked.key, ())
    if asked.kind == "role":
        return None if text is not None and fold(text) in values else (ROLE_NOT_HELD, (asked.template, *values))
    if not values:
        return ATTRIBUTE_ABSENT, (asked.name, asked.template)
    wanted = None if text is None else fold(text)
    is_held = wanted is not None and any(value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted for value in values)
    return None if is_held else (ATTRIBUTE_DIFFERS, (asked.name, asked.template, *values))


def _folded(attributes: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(text for value in values if (text := fold(value))) for name, values in attributes.items()}
