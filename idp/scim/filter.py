"""Filters (RFC 7644 section 3.4.2.2): parsed once into a small tree, then asked of each resource.

Text is compared without telling capitals apart, unless the attribute is caseExact. Beyond the standard, because Microsoft Entra ID sends it: a
boolean may be written as a string ("False"), and an attribute of a chosen value may be compared (emails[type eq "work"].value eq "...").
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp.scim.errors import ScimType, invalid
from idp.scim.path import LONGEST, Place, find
from idp.scim.schema import Attribute, ResourceKind

DEEPEST = 20
_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")|(?P<mark>[()\[\]])|(?P<word>[A-Za-z$][\w$:.\-]*)|(?P<tail>\.[A-Za-z$][\w$\-]*)'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))"
)
OPERATORS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})
LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Compare:
    """`operator` is one of OPERATORS, or pr."""

    place: Place
    operator: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some value of a multi-valued attribute for which `inner` holds. `rest`: a comparison of the same value besides."""

    place: Place
    inner: "Filter"
    rest: Compare | None = None


@dataclass(frozen=True, slots=True)
class Both:
    """and."""

    left: "Filter"
    right: "Filter"


@dataclass(frozen=True, slots=True)
class Either:
    """or."""

    left: "Filter"
    right: "Filter"


@dataclass(frozen=True, slots=True)
class Not:
    """not."""

    inner: "Filter"


Filter = Compare | Chosen | Both | Either | Not
Naming = Callable[[str], Place]


def parse(text: str, kind: ResourceKind) -> Filter:
    """The filter; ScimError (invalidFilter) when it is none, or asks for an attribute that does not exist."""
    return _Parser(text, lambda name: find(kind, name, scim_type="invalidFilter"), "invalidFilter").whole()


def parse_inside(text: str, attribute: Attribute, scim_type: ScimType) -> Filter:
    """What stands in brackets after a multi-valued attribute: names are of its sub-attributes."""
    return _Parser(text, lambda name: _of_value(attribute, name, scim_type), scim_type).whole()


def holds(asked: Filter, resource: Mapping[str, Any]) -> bool:
    """Whether a resource, or a value of a multi-valued attribute, is one that is asked for."""
    match asked:
        case Both(left, right):
            return holds(left, resource) and holds(right, resource)
        case Either(left, right):
            return holds(left, resource) or holds(right, resource)
        case Not(inner):
            return not holds(inner, resource)
        case Chosen(place, inner, rest):
            values = [one for one in _values(place, resource) if isinstance(one, dict)]
            return any(holds(inner, one) and (rest is None or holds(rest, one)) for one in values)
        case Compare(place, operator, value):
            return _compare(place, operator, value, list(_values(place, resource)))


def equalities(asked: Filter) -> Iterator[tuple[Place, Any]]:
    """What must be equal to what wherever the filter holds: by it the few candidates are found without reading everything."""
    if isinstance(asked, Both):
        yield from equalities(asked.left)
        yield from equalities(asked.right)
    elif isinstance(asked, Compare) and asked.operator == "eq":
        yield asked.place, asked.value


def asks_of(asked: Filter, name: str) -> bool:
    """Whether an attribute is looked at."""
    match asked:
        case Both(left, right) | Either(left, right):
            return asks_of(left, name) or asks_of(right, name)
        case Not(inner):
            return asks_of(inner, name)
        case Chosen(place, _, _) | Compare(place, _, _):
            return place.attribute is not None and place.attribute.name == name


class _Parser:
    """Recursive descent, no deeper than DEEPEST."""

    def __init__(self, text: str, name: Naming, scim_type: ScimType) -> None:
        self._name = name
        self._type: ScimType = scim_type
        self._tokens = self._split(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Filter:
        """All of it."""
        found = self._either()
        if self._at != len(self._tokens):
            raise self._wrong()
        return found

    def _split(self, text: str) -> list[tuple[str, str]]:
        if len(text) > LONGEST:
            raise invalid("The filter is too long", self._type)
        found: list[tuple[str, str]] = []
        position = 0
        end = len(text.rstrip())
        while position < end:
            token = _TOKEN.match(text, position)
            if token is None or token.lastgroup is None:
                raise self._wrong()
            found.append((token.lastgroup, token[token.lastgroup]))
            position = token.end()
        return found

    def _either(self) -> Filter:
        self._depth += 1
        if self._depth > DEEPEST:
            raise invalid("The filter is nested too deep", self._type)
        found = self._both()
        while self._takes("or"):
            found = Either(found, self._both())
        self._depth -= 1
        return found

    def _both(self) -> Filter:
        found = self._one()
        while self._takes("and"):
            found = Both(found, self._one())
        return found

    def _one(self) -> Filter:
        if self._takes("not"):
            self._expect("(")
            found: Filter = Not(self._either())
            self._expect(")")
            return found
        if self._takes("("):
            found = self._either()
            self._expect(")")
            return found
        return self._condition()

    def _condition(self) -> Filter:
        group, word = self._next()
        if group != "word":
            raise self._wrong()
        place = self._name(word)
        if not self._takes("["):
            return self._comparison(place)
        attribute = place.attribute
        if attribute is None or place.sub is not None or not attribute.subs:
            raise invalid("Only an attribute that has several parts is chosen from by brackets", self._type)
        naming, self._name = self._name, lambda name: _of_value(attribute, name, self._type)
        inner = self._either()
        self._expect("]")
        rest: Compare | None = None
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "tail":
            rest = self._comparison(self._name(self._next()[1][1:]))
        self._name = naming
        return Chosen(place, inner, rest)

    def _comparison(self, place: Place) -> Compare:
        if place.is_kept and place.attribute is None:
            raise invalid("A filter names an attribute", self._type)
        group, word = self._next()
        operator = word.lower()
        if group == "word" and operator == "pr":
            return Compare(place, "pr")
        if group != "word" or operator not in OPERATORS:
            raise self._wrong()
        return Compare(place, operator, self._value())

    def _value(self) -> Any:
        group, word = self._next()
        if group == "string":
            try:
                return json.loads(word)
            except ValueError as error:
                raise self._wrong() from error
        if group == "number":
            return float(word)
        if group == "word" and word.lower() in LITERALS:
            return LITERALS[word.lower()]
        raise self._wrong()

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, word: str) -> bool:
        if self._at < len(self._tokens):
            group, found = self._tokens[self._at]
            if group in {"word", "mark"} and found.lower() == word:
                self._at += 1
                return True
        return False

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise self._wrong()

    def _wrong(self) -> Exception:
        return invalid("The filter cannot be read (RFC 7644 section 3.4.2.2)", self._type)


def _of_value(attribute: Attribute, name: str, scim_type: ScimType) -> Place:
    sub = attribute.sub(name)
    if sub is None:
        if name.lower() in attribute.ignored:
            return Place(None, is_kept=False)
        raise invalid(f"{attribute.name} has no such sub-attribute", scim_type)
    return Place(sub)


def _values(place: Place, resource: Mapping[str, Any]) -> Iterator[Any]:
    """Every value at a place; nothing where it is not kept."""
    if place.attribute is None:
        return
    holder = resource.get(place.extension.urn, {}) if place.extension is not None else resource
    found = holder.get(place.attribute.name)
    for one in found if isinstance(found, list) else [found]:
        value = one.get(place.sub.name) if place.sub is not None and isinstance(one, dict) else one
        if value is not None:
            yield value


def _compare(place: Place, operator: str, wanted: Any, values: list[Any]) -> bool:
    attribute = place.sub or place.attribute
    if operator == "pr":
        return bool(values)
    if wanted is None:
        return bool(values) is (operator == "ne") if operator in {"eq", "ne"} else False
    if attribute is None:
        return operator == "ne"
    if attribute.subs:
        # A comparison with the whole of a complex value is one with its `value` (members eq "...").
        attribute = attribute.sub("value") or attribute
        values = [one.get("value") for one in values if isinstance(one, dict)]
    comparable, asked = _comparable(attribute, wanted), [_comparable(attribute, one) for one in values if one is not None]
    if operator == "ne":
        return all(one != comparable for one in asked)
    return any(_is_so(one, operator, comparable) for one in asked)


def _comparable(attribute: Attribute, value: Any) -> Any:
    if attribute.type == "boolean":
        return str(value).lower()
    if attribute.type == "dateTime":
        try:
            return datetime.fromisoformat(str(value))
        except ValueError as error:
            raise invalid(f"{attribute.name} is compared with an instant", "invalidFilter") from error
    text = value if isinstance(value, str) else str(value)
    return text if attribute.is_case_exact else text.casefold()


def _is_so(left: Any, operator: str, right: Any) -> bool:
    try:
        match operator:
            case "eq":
                return bool(left == right)
            case "co":
                return right in left
            case "sw":
                return bool(left.startswith(right))
            case "ew":
                return bool(left.endswith(right))
            case "gt":
                return bool(left > right)
            case "ge":
                return bool(left >= right)
            case "lt":
                return bool(left < right)
            case _:
                return bool(left <= right)
    except (TypeError, AttributeError) as error:
        raise invalid(f"{operator} says nothing of that attribute", "invalidFilter") from error
