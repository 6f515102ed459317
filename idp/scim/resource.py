"""Resources as values: what a caller sends read into the canonical body that is kept, and the body shown again (RFC 7643 sections 2 and 3).

Attributes are named in any letters and kept under their own; what is read-only, unknown or not kept is passed over (RFC 7644 section 3.3). Taken
because Microsoft Entra ID sends them: booleans as strings, one value where a list is meant, a bare string for a complex value. Pure: no store, no
clock.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from idp.scim.errors import ScimError, invalid
from idp.scim.path import find
from idp.scim.schema import COMMON, EXTERNAL_ID, MEMBERS, Attribute, ResourceKind, Schema
from idp.store.base import ScimResource

LONGEST_TEXT = 1_000
LONGEST_NAME = 200
MOST_VALUES = 100
Body = dict[str, Any]


def read_body(kind: ResourceKind, sent: Any) -> Body:
    """The canonical body of a resource that was POSTed or PUT, without its members. Raises ScimError (invalidSyntax, invalidValue)."""
    if not isinstance(sent, dict):
        raise invalid("A resource is a JSON object", "invalidSyntax")
    schemas = sent.get("schemas")
    if schemas is not None and not (isinstance(schemas, list) and all(isinstance(one, str) for one in schemas)):
        raise invalid("schemas is a list of URNs", "invalidSyntax")
    body: Body = {}
    by_urn = {schema.urn.lower(): schema for schema in kind.extensions}
    seen: set[str] = set()
    for name, value in sent.items():
        if name.lower() in seen:
            raise invalid("An attribute appears twice", "invalidSyntax")
        seen.add(name.lower())
        if (extension := by_urn.get(name.lower())) is not None:
            set_extension(body, extension, value)
        elif (attribute := attribute_of(kind, name)) is not None and attribute.mutability != "readOnly" and attribute is not MEMBERS:
            put(body, attribute, read_value(attribute, value))
    check_complete(kind, body)
    return body


def attribute_of(kind: ResourceKind, name: str) -> Attribute | None:
    """One of the core schema's, or of those that every resource has."""
    return kind.core.attribute(name) or COMMON.get(name.lower())


def set_extension(body: Body, extension: Schema, value: Any) -> None:
    """Set what is said of an extension's attributes; the others stay."""
    if value is None:
        body.pop(extension.urn, None)
        return
    if not isinstance(value, dict):
        raise invalid(f"{extension.urn} is a JSON object")
    holder = dict(body.get(extension.urn, {}))
    for name, one in value.items():
        attribute = extension.attribute(name)
        if attribute is not None and attribute.mutability != "readOnly":
            put(holder, attribute, read_value(attribute, one))
    put_extension(body, extension, holder)


def put_extension(body: Body, extension: Schema, holder: Body) -> None:
    """The attributes of an extension; without any there is none."""
    if holder:
        body[extension.urn] = holder
    else:
        body.pop(extension.urn, None)


def put(holder: Body, attribute: Attribute, value: Any) -> None:
    """Set a value that was read; None and an empty list unassign (RFC 7643 section 2.5)."""
    if value is None or value == [] or value == {}:
        holder.pop(attribute.name, None)
    else:
        holder[attribute.name] = value


def check_complete(kind: ResourceKind, body: Body) -> None:
    """Raises ScimError (invalidValue) when what a resource is named by is missing, or too long."""
    name = body.get(kind.key)
    if not name:
        raise invalid(f"{kind.key} is required")
    for text in (name, body.get(EXTERNAL_ID.name, "")):
        if len(folded(text)) > LONGEST_NAME:
            raise invalid(f"{kind.key} and externalId have at most {LONGEST_NAME} characters")


def folded(name: str) -> str:
    """A name as two of them are compared."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def read_value(attribute: Attribute, value: Any) -> Any:
    """A value of the attribute's type; None when it unassigns. Raises ScimError (invalidValue)."""
    if not attribute.is_multi_valued:
        if isinstance(value, list) and len(value) <= 1:
            value = value[0] if value else None
        return None if value is None else _read_one(attribute, value)
    values = value if isinstance(value, list) else [] if value is None else [value]
    read = [found for one in values if one is not None and (found := _read_one(attribute, one)) not in (None, {})]
    return checked_list(attribute, read)


def checked_list(attribute: Attribute, values: list[Any]) -> list[Any]:
    """Values of a multi-valued attribute, each once. Raises ScimError when there are too many, or more than one is primary."""
    unique: list[Any] = []
    for one in values:
        if one not in unique:
            unique.append(one)
        if len(unique) > MOST_VALUES:
            raise invalid(f"{attribute.name} has at most {MOST_VALUES} values")
    if sum(isinstance(one, dict) and one.get("primary") is True for one in unique) > 1:
        raise invalid(f"Only one value of {attribute.name} is primary")
    return unique


def _read_one(attribute: Attribute, value: Any) -> Any:
    if attribute.type == "boolean":
        return _boolean(attribute, value)
    if attribute.type != "complex":
        return _text(attribute, value)
    if isinstance(value, str):
        value = {"value": value} if value else {}
    if not isinstance(value, dict):
        raise invalid(f"{attribute.name} is a JSON object")
    found: Body = {}
    for name, one in value.items():
        sub = attribute.sub(name)
        if sub is not None and sub.mutability != "readOnly":
            put(found, sub, read_value(sub, one))
    return found


def _boolean(attribute: Attribute, value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    said = {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None
    if said is None:
        raise invalid(f"{attribute.name} is true or false")
    return said


def _text(attribute: Attribute, value: Any) -> str | None:
    if not isinstance(value, str):
        raise invalid(f"{attribute.name} is a string")
    if len(value) > LONGEST_TEXT:
        raise invalid(f"{attribute.name} has at most {LONGEST_TEXT} characters")
    if not is_storable(value):
        raise invalid(f"{attribute.name} holds a character that no text has")
    return value or None


def is_storable(text: str) -> bool:
    """Whether a store can hold it, or be asked for it: neither takes a NUL, or half a character (a lone surrogate, which JSON can hold)."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def version_of(resource: ScimResource) -> str:
    """Its ETag (RFC 7644 section 3.14)."""
    return f'W/"{resource.version}"'


def is_version(resource: ScimResource, tags: str) -> bool:
    """Whether one of the entity tags of an If-Match or If-None-Match is its own, or they are *; compared weakly (RFC 9110 section 8.8.3.2)."""
    own = version_of(resource).removeprefix("W/")
    return tags.strip() == "*" or own in {one.strip().removeprefix("W/") for one in tags.split(",")}


def shown(kind: ResourceKind, resource: ScimResource, base: str) -> Body:
    """The whole representation, but for a person's groups and a group's members. `base`: the address before /Users."""
    used = [kind.core.urn, *(schema.urn for schema in kind.extensions if schema.urn in resource.body)]
    meta = {
        "resourceType": kind.name,
        "created": _instant(resource.created_at),
        "lastModified": _instant(resource.changed_at),
        "location": f"{base}{kind.endpoint}/{resource.id}",
        "version": version_of(resource),
    }
    return {"schemas": used, "id": resource.id, **resource.body, "meta": meta}


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Projection:
    """Which attributes an answer has (RFC 7644 section 3.9). Raises ScimError (invalidValue) when both lists are given."""

    def __init__(self, kinds: Iterable[ResourceKind], attributes: Iterable[str], excluded: Iterable[str]) -> None:
        wanted, unwanted = [one for one in attributes if one], [one for one in excluded if one]
        if wanted and unwanted:
            raise invalid("attributes and excludedAttributes exclude one another")
        self._is_all = not wanted and not unwanted
        self._wants = bool(wanted)
        self._named = {kind.name: {key for name in wanted or unwanted if (key := _key(kind, name)) is not None} for kind in kinds}

    def wants(self, kind: ResourceKind, name: str) -> bool:
        """Whether an attribute of the core schema is shown: what is not need not be read."""
        named = self._named.get(kind.name, set())
        if self._is_all:
            return True
        is_named = ("", name, "") in named
        return is_named or any(key[:2] == ("", name) for key in named) if self._wants else not is_named

    def apply(self, kind: ResourceKind, whole: Body) -> Body:
        """The part that is asked for; id and schemas always."""
        if self._is_all:
            return whole
        found: Body = {}
        for name, value in whole.items():
            if name in {"id", "schemas"}:
                found[name] = value
            elif name.startswith("urn:"):
                parts = {one: part for one, each in value.items() if (part := self._part(kind, (name, one), each)) is not None}
                if parts:
                    found[name] = parts
            elif (part := self._part(kind, ("", name), value)) is not None:
                found[name] = part
        return found

    def _part(self, kind: ResourceKind, where: tuple[str, str], value: Any) -> Any:
        named = self._named.get(kind.name, set())
        is_whole = (*where, "") in named or (where[0], "", "") in named
        subs = {key[2] for key in named if key[:2] == where and key[2]}
        if is_whole or not subs:
            return value if is_whole is self._wants else None
        return _with_subs(value, subs) if self._wants else _without_subs(value, subs)


def _key(kind: ResourceKind, name: str) -> tuple[str, str, str] | None:
    """A named attribute as (extension's URN, attribute, sub-attribute); None for what is not kept, or is another kind's."""
    try:
        place = find(kind, name.strip())
    except ScimError:
        return None  # section 3.9 asks for no error: what does not exist is not shown
    if not place.is_kept:
        return None
    extension = place.extension.urn if place.extension is not None else ""
    return extension, place.attribute.name if place.attribute else "", place.sub.name if place.sub else ""


def _with_subs(value: Any, subs: set[str]) -> Any:
    if isinstance(value, list):
        return [part for one in value if (part := _with_subs(one, subs))] or None
    return {name: one for name, one in value.items() if name in subs} or None


def _without_subs(value: Any, subs: set[str]) -> Any:
    if isinstance(value, list):
        return [part for one in value if (part := _without_subs(one, subs))] or None
    return {name: one for name, one in value.items() if name not in subs} or None


def text_of(values: Mapping[str, Any], name: str) -> str:
    """A text attribute; empty when it is not there."""
    found = values.get(name)
    return found if isinstance(found, str) else ""
