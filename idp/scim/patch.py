"""PATCH (RFC 7644 section 3.5.2) on the canonical body of a resource, in both dialects.

The standard's, and Microsoft Entra ID's of before and after its flag aadOptscim062020: capitalised operations, values removed by naming them,
attributes named by a path inside the value. All operations or none: the caller keeps what is returned only when nothing was raised. A group's
members are groups.py's. Pure.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from idp.scim.errors import invalid
from idp.scim.filter import Both, Compare, Filter, holds, parse_inside
from idp.scim.path import LONGEST, Place, find
from idp.scim.resource import Body, check_complete, checked_list, put, put_extension, read_value, set_extension
from idp.scim.schema import MEMBERS, Attribute, ResourceKind

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MOST_OPERATIONS = 1_000
VERBS = frozenset({"add", "replace", "remove"})
_WITH_FILTER = re.compile(r"(?P<path>[^\[\]]+)\[(?P<filter>.*)\](?:\.(?P<sub>[A-Za-z$][\w$\-]*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `chosen`: what stands in brackets. `value` is as it was sent."""

    verb: str
    place: Place
    value: Any
    chosen: Filter | None = None
    sub: Attribute | None = None

    @property
    def is_of_members(self) -> bool:
        """Whether it changes who is in a group."""
        return self.place.attribute is MEMBERS


def read_operations(kind: ResourceKind, sent: Any) -> tuple[Operation, ...]:
    """What a PATCH request asks for, in order, each of one place. Raises ScimError (invalidSyntax, invalidPath, invalidFilter, noTarget)."""
    if not isinstance(sent, dict):
        raise invalid("A PATCH request is a JSON object", "invalidSyntax")
    named = {name.lower(): value for name, value in sent.items()}
    schemas, operations = named.get("schemas"), named.get("operations")
    if not isinstance(schemas, list) or PATCH.lower() not in {one.lower() for one in schemas if isinstance(one, str)}:
        raise invalid(f"schemas holds {PATCH}", "invalidSyntax")
    if not isinstance(operations, list) or not operations or len(operations) > MOST_OPERATIONS:
        raise invalid(f"Operations is a list of 1 to {MOST_OPERATIONS}", "invalidSyntax")
    return tuple(one for operation in operations for one in _read_operation(kind, operation))


def apply(kind: ResourceKind, body: Body, operations: tuple[Operation, ...]) -> Body:
    """A new body with the operations done. Raises ScimError (mutability, noTarget, invalidValue)."""
    changed = copy.deepcopy(body)
    for operation in operations:
        _apply(changed, operation)
    check_complete(kind, changed)
    return changed


def _read_operation(kind: ResourceKind, sent: Any) -> Iterator[Operation]:
    if not isinstance(sent, dict):
        raise invalid("An operation is a JSON object", "invalidSyntax")
    named = {name.lower(): value for name, value in sent.items()}
    op, path, value = named.get("op"), named.get("path"), named.get("value")
    verb = op.lower() if isinstance(op, str) else ""
    if verb not in VERBS:
        raise invalid("op is add, replace or remove", "invalidSyntax")
    if path is not None and not isinstance(path, str):
        raise invalid("path is a string", "invalidPath")
    if path:
        yield _operation(kind, verb, path, value=value)
        return
    if verb == "remove":
        raise invalid("remove names what to remove, by a path", "noTarget")
    if not isinstance(value, dict):
        raise invalid("Without a path, the value is a JSON object", "invalidValue")
    for name, one in value.items():
        if name.lower() == "schemas":
            continue
        operation = _operation(kind, verb, name, value=one)
        # What is ours to say is often sent back with the rest; only naming it by a path asks for it to be changed.
        if operation.place.attribute is None or operation.place.attribute.mutability != "readOnly":
            yield operation


def _operation(kind: ResourceKind, verb: str, path: str, *, value: Any) -> Operation:
    if len(path) > LONGEST:
        raise invalid("A path is too long", "invalidPath")
    if "[" not in path:
        place = find(kind, path)
        return Operation(verb, place, value, sub=place.sub)
    parts = _WITH_FILTER.fullmatch(path.strip())
    if parts is None:
        raise invalid("The path cannot be read (RFC 7644 section 3.5.2)", "invalidPath")
    place = find(kind, parts["path"].strip())
    if not place.is_kept:
        return Operation(verb, place, value)
    attribute = place.attribute
    if attribute is None or place.sub is not None or not attribute.is_multi_valued or not attribute.subs:
        raise invalid("Only an attribute of several values is chosen from by brackets", "invalidPath")
    sub = attribute.sub(parts["sub"]) if parts["sub"] else None
    if parts["sub"] and sub is None:
        if parts["sub"].lower() in attribute.ignored:
            return Operation(verb, Place(None, is_kept=False), value)
        raise invalid(f"{attribute.name} has no such sub-attribute", "invalidPath")
    return Operation(verb, place, value, parse_inside(parts["filter"], attribute, "invalidFilter"), sub)


def _apply(body: Body, operation: Operation) -> None:
    place = operation.place
    if not place.is_kept:
        return
    if place.attribute is None:
        _apply_to_extension(body, operation)
        return
    if "readOnly" in {place.attribute.mutability, operation.sub.mutability if operation.sub else ""}:
        raise invalid(f"{place.attribute.name} is not changed from outside", "mutability")
    if place.extension is None:
        _apply_to(body, operation, place.attribute)
        return
    holder = dict(body.get(place.extension.urn, {}))
    _apply_to(holder, operation, place.attribute)
    put_extension(body, place.extension, holder)


def _apply_to_extension(body: Body, operation: Operation) -> None:
    extension = operation.place.extension
    if extension is None:
        raise invalid("A path names an attribute", "invalidPath")
    set_extension(body, extension, None if operation.verb == "remove" else operation.value)


def _apply_to(holder: Body, operation: Operation, attribute: Attribute) -> None:
    if attribute.is_multi_valued:
        put(holder, attribute, checked_list(attribute, _many(list(holder.get(attribute.name, [])), operation, attribute)))
    elif operation.sub is not None:
        put(holder, attribute, _with_sub(dict(holder.get(attribute.name, {})), operation.sub, operation))
    elif operation.verb == "remove":
        holder.pop(attribute.name, None)
    else:
        read = read_value(attribute, operation.value)
        # The sub-attributes that are not named stay (sections 3.5.2.1 and 3.5.2.3).
        is_merged = attribute.type == "complex" and isinstance(read, dict)
        put(holder, attribute, {**holder.get(attribute.name, {}), **read} if is_merged else read)


def _with_sub(values: Body, sub: Attribute, operation: Operation) -> Body:
    put(values, sub, None if operation.verb == "remove" else read_value(sub, operation.value))
    return values


def _many(values: list[Any], operation: Operation, attribute: Attribute) -> list[Any]:
    """The new values of a multi-valued attribute."""
    if operation.chosen is not None:
        return _chosen(values, operation, attribute, operation.chosen)
    if operation.sub is not None:
        if operation.verb == "remove":
            return [kept for one in values if (kept := _with_sub(dict(one), operation.sub, operation))]
        return [_with_sub(dict(one), operation.sub, operation) for one in values or [{}]]
    if operation.verb == "remove":
        if operation.value is None:
            return []
        unwanted = read_value(attribute, operation.value)
        return [one for one in values if not any(_is_meant(one, other) for other in unwanted)]
    given = read_value(attribute, operation.value)
    if operation.verb == "replace":
        return list(given)
    return [*_not_primary(values, given), *(one for one in given if one not in values)]


def _chosen(values: list[Any], operation: Operation, attribute: Attribute, chosen: Filter) -> list[Any]:
    """The values with those that the brackets choose changed. One that is set and not there is made, as its conditions say it is."""
    is_chosen = [isinstance(one, dict) and holds(chosen, one) for one in values]
    if operation.verb == "remove":
        if operation.sub is None:
            return [one for one, is_one in zip(values, is_chosen, strict=True) if not is_one]
        sub = operation.sub
        changed = [_with_sub(dict(one), sub, operation) if is_one else one for one, is_one in zip(values, is_chosen, strict=True)]
        return [one for one in changed if one]
    if not any(is_chosen):
        made = dict(_conditions(chosen))
        if not made:
            raise invalid(f"No value of {attribute.name} is meant by the path", "noTarget")
        values, is_chosen = [*values, made], [*is_chosen, True]
    changed = [_changed(one, operation, attribute) if is_one else one for one, is_one in zip(values, is_chosen, strict=True)]
    newly = [one for one, before in zip(changed, values, strict=True) if one != before]
    return [one if one in newly else kept for one, kept in zip(changed, _not_primary(changed, newly), strict=True)]


def _changed(value: Any, operation: Operation, attribute: Attribute) -> Any:
    if operation.sub is not None:
        return _with_sub(dict(value), operation.sub, operation)
    given = read_value(attribute, operation.value)
    if len(given) != 1 or not isinstance(given[0], dict):
        raise invalid(f"One value of {attribute.name} is a JSON object")
    return {**value, **given[0]}


def _conditions(chosen: Filter) -> Iterator[tuple[str, Any]]:
    """What a value that meets the conditions has, where they only say what equals what."""
    if isinstance(chosen, Both):
        left, right = dict(_conditions(chosen.left)), dict(_conditions(chosen.right))
        if left and right:
            yield from {**left, **right}.items()
    elif isinstance(chosen, Compare) and chosen.operator == "eq" and chosen.place.attribute is not None:
        yield chosen.place.attribute.name, read_value(chosen.place.attribute, chosen.value)


def _is_meant(present: Any, named: Any) -> bool:
    """Whether a value is the one that a removal names: by its `value`, which is all that Entra sends, else by all that it says."""
    if not isinstance(present, dict) or not isinstance(named, dict):
        return bool(present == named)
    if named.get("value") is not None:
        return bool(present.get("value") == named["value"])
    return all(present.get(name) == one for name, one in named.items())


def _not_primary(values: list[Any], given: list[Any]) -> list[Any]:
    """The present values; none is primary any more when a new one is (section 3.5.2)."""
    if not any(isinstance(one, dict) and one.get("primary") is True for one in given):
        return values
    return [{**one, "primary": False} if isinstance(one, dict) and one.get("primary") else one for one in values]
