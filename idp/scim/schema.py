"""What is kept of people and groups, as SCIM describes it (RFC 7643 sections 2, 4 and 7): the one list that reading, filters, PATCH and /Schemas use.

Only what signing in, mapping rules and the desk need: what RFC 7643 has beyond it (addresses, photographs, messaging...) is taken without complaint
and not kept. Values are read in resource.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"

Type = Literal["string", "boolean", "integer", "dateTime", "reference", "complex"]
Mutability = Literal["readOnly", "readWrite", "immutable"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute (RFC 7643 section 7). `ignored`: sub-attributes of the standard that are taken and not kept."""

    name: str
    description: str
    type: Type = "string"
    is_multi_valued: bool = False
    is_required: bool = False
    is_case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Literal["always", "default"] = "default"
    uniqueness: Literal["none", "server"] = "none"
    canonical: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    subs: tuple["Attribute", ...] = ()
    ignored: frozenset[str] = frozenset()

    @cached_property
    def _by_name(self) -> dict[str, "Attribute"]:
        return {one.name.lower(): one for one in self.subs}

    def sub(self, name: str) -> "Attribute | None":
        """A sub-attribute by its name, in any letters (section 2.1)."""
        return self._by_name.get(name.lower())

    def described(self) -> dict[str, Any]:
        """As /Schemas says it."""
        said: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.is_multi_valued,
            "description": self.description,
            "required": self.is_required,
            "caseExact": self.is_case_exact,
            "mutability": self.mutability,
            "returned": self.returned,
            "uniqueness": self.uniqueness,
        }
        if self.canonical:
            said["canonicalValues"] = list(self.canonical)
        if self.references:
            said["referenceTypes"] = list(self.references)
        if self.subs:
            said["subAttributes"] = [one.described() for one in self.subs]
        return said


@dataclass(frozen=True)
class Schema:
    """A schema or an extension. `ignored`: attributes of the standard, in lower case, that are taken and not kept."""

    urn: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    ignored: frozenset[str] = frozenset()

    @cached_property
    def _by_name(self) -> dict[str, Attribute]:
        return {one.name.lower(): one for one in self.attributes}

    def attribute(self, name: str) -> Attribute | None:
        """By its name, in any letters."""
        return self._by_name.get(name.lower())


@dataclass(frozen=True)
class ResourceKind:
    """A resource type (RFC 7643 section 6). `key`: what it is named by, uniquely."""

    name: Literal["User", "Group"]
    endpoint: str
    core: Schema
    extensions: tuple[Schema, ...]
    key: str

    def schemas(self) -> Iterator[Schema]:
        """The core schema, then the extensions."""
        yield self.core
        yield from self.extensions


def _multi_valued(name: str, description: str, value: str, canonical: tuple[str, ...] = ()) -> Attribute:
    """A multi-valued attribute with the sub-attributes of RFC 7643 section 2.4."""
    subs = (
        Attribute(name="value", description=value),
        Attribute(name="display", description="A name for people to read."),
        Attribute(name="type", description="What it is used for.", canonical=canonical),
        Attribute(name="primary", description="Whether it is the preferred one; true of one at most.", type="boolean"),
    )
    return Attribute(name=name, description=description, type="complex", is_multi_valued=True, subs=subs, ignored=frozenset({"$ref"}))


EXTERNAL_ID = Attribute(name="externalId", description="The source's own id of the resource.", is_case_exact=True)
ID = Attribute(
    name="id", description="Our id of the resource.", is_case_exact=True, mutability="readOnly", returned="always", uniqueness="server"
)
META = Attribute(
    name="meta",
    description="About the resource itself.",
    type="complex",
    mutability="readOnly",
    subs=(
        Attribute(name="resourceType", description="User or Group.", is_case_exact=True, mutability="readOnly"),
        Attribute(name="created", description="When it was added.", type="dateTime", is_case_exact=True, mutability="readOnly"),
        Attribute(name="lastModified", description="When it was changed.", type="dateTime", is_case_exact=True, mutability="readOnly"),
        Attribute(name="location", description="Its address.", type="reference", is_case_exact=True, mutability="readOnly"),
        Attribute(name="version", description="Its ETag.", is_case_exact=True, mutability="readOnly"),
    ),
)
COMMON = {one.name.lower(): one for one in (ID, EXTERNAL_ID, META)}

USERS = ResourceKind(
    "User",
    "/Users",
    Schema(
        USER,
        "User",
        "A person.",
        (
            Attribute(name="userName", description="The login.", is_required=True, uniqueness="server"),
            Attribute(
                name="name",
                description="The person's name.",
                type="complex",
                subs=(
                    Attribute(name="formatted", description="The whole name."),
                    Attribute(name="familyName", description="Family name."),
                    Attribute(name="givenName", description="Given name."),
                ),
                ignored=frozenset({"middlename", "honorificprefix", "honorificsuffix"}),
            ),
            Attribute(name="displayName", description="The name as it is shown."),
            Attribute(name="nickName", description="What the person is called."),
            Attribute(name="title", description="What the person works as."),
            Attribute(name="userType", description="The kind of relation with the employer."),
            Attribute(name="preferredLanguage", description="Language, as in Accept-Language."),
            Attribute(name="active", description="Whether the person may sign in; false ends what they have open.", type="boolean"),
            _multi_valued("emails", "E-mail addresses.", "An address.", ("work", "home", "other")),
            _multi_valued("phoneNumbers", "Telephone numbers.", "A number.", ("work", "home", "mobile", "fax", "pager", "other")),
            _multi_valued("roles", "Application roles.", "A role."),
            Attribute(
                name="groups",
                description="The groups that the person is in; changed through the groups.",
                type="complex",
                is_multi_valued=True,
                mutability="readOnly",
                subs=(
                    Attribute(name="value", description="The group's id.", is_case_exact=True, mutability="readOnly"),
                    Attribute(
                        name="$ref",
                        description="Its address.",
                        type="reference",
                        references=("Group",),
                        is_case_exact=True,
                        mutability="readOnly",
                    ),
                    Attribute(name="display", description="Its name.", mutability="readOnly"),
                    Attribute(name="type", description="How: direct.", canonical=("direct",), mutability="readOnly"),
                ),
            ),
        ),
        ignored=frozenset(
            {"profileurl", "locale", "timezone", "password", "ims", "photos", "addresses", "entitlements", "x509certificates"}
        ),
    ),
    (
        Schema(
            ENTERPRISE,
            "EnterpriseUser",
            "The person at work.",
            (
                Attribute(name="employeeNumber", description="Staff number."),
                Attribute(name="costCenter", description="Cost centre."),
                Attribute(name="organization", description="Organisation."),
                Attribute(name="division", description="Division."),
                Attribute(name="department", description="Department."),
                Attribute(
                    name="manager",
                    description="Who the person reports to.",
                    type="complex",
                    subs=(
                        Attribute(name="value", description="Their id.", is_case_exact=True),
                        Attribute(name="$ref", description="Their address.", type="reference", references=("User",), is_case_exact=True),
                        Attribute(name="displayName", description="Their name.", mutability="readOnly"),
                    ),
                ),
            ),
        ),
    ),
    "userName",
)
MEMBERS = Attribute(
    name="members",
    description="Who is in the group: people, not other groups.",
    type="complex",
    is_multi_valued=True,
    ignored=frozenset({"display"}),
    subs=(
        Attribute(name="value", description="The person's id.", is_case_exact=True, mutability="immutable"),
        Attribute(
            name="$ref", description="Their address.", type="reference", references=("User",), is_case_exact=True, mutability="immutable"
        ),
        Attribute(name="type", description="User.", canonical=("User",), mutability="immutable"),
    ),
)
GROUPS = ResourceKind(
    "Group",
    "/Groups",
    Schema(
        GROUP,
        "Group",
        "A group of people, that mapping rules may name.",
        (
            Attribute(
                name="displayName", description="The group's name, as mapping rules write it.", is_required=True, uniqueness="server"
            ),
            MEMBERS,
        ),
    ),
    (),
    "displayName",
)
KINDS = (USERS, GROUPS)
