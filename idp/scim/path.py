"""Attribute paths (RFC 7644 sections 3.5.2 and 3.10): where in a resource of a kind an attribute is.

Names are read in any letters. An attribute of the standard that is not kept is found, and said to be so; one that nobody knows is invalidPath.
"""

from dataclasses import dataclass

from idp.scim.errors import ScimType, invalid
from idp.scim.schema import COMMON, Attribute, ResourceKind, Schema

LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Place:
    """An attribute, or a sub-attribute of one. `extension`: the schema it is of, where that is not the core's. `attribute` is None: the whole
    extension. `is_kept` is False for what the standard has and we do not keep."""

    attribute: Attribute | None
    sub: Attribute | None = None
    extension: Schema | None = None
    is_kept: bool = True


NOT_KEPT = Place(None, is_kept=False)


def find(kind: ResourceKind, text: str, *, scim_type: ScimType = "invalidPath") -> Place:
    """The place that `text` names; ScimError when there is none."""
    if len(text) > LONGEST:
        raise invalid("A path is too long", scim_type)
    schema, rest = _schema(kind, text)
    if schema is None:
        return NOT_KEPT
    extension = None if schema is kind.core else schema
    if not rest:
        if extension is None:
            raise invalid("A path names an attribute", scim_type)
        return Place(None, extension=extension)
    name, dot, sub_name = rest.partition(".")
    attribute = schema.attribute(name) or (COMMON.get(name.lower()) if extension is None else None)
    if attribute is None:
        if name.lower() in schema.ignored:
            return NOT_KEPT
        raise invalid(f"There is no attribute {_shown(name)}", scim_type)
    if not dot:
        return Place(attribute, extension=extension)
    sub = attribute.sub(sub_name)
    if sub is None:
        if sub_name.lower() in attribute.ignored:
            return NOT_KEPT
        raise invalid(f"{attribute.name} has no sub-attribute {_shown(sub_name)}", scim_type)
    return Place(attribute, sub, extension)


def _schema(kind: ResourceKind, text: str) -> tuple[Schema | None, str]:
    """The schema that a path begins with, and what follows; none for a schema that is not ours."""
    if not text.lower().startswith("urn:"):
        return kind.core, text
    for schema in kind.schemas():
        if text.lower() == schema.urn.lower():
            return schema, ""
        if text.lower().startswith(f"{schema.urn.lower()}:"):
            return schema, text[len(schema.urn) + 1 :]
    return None, ""


def _shown(name: str) -> str:
    return "".join(character for character in name[:60] if character.isprintable())
