"""The settings of sources that write their people and groups to us themselves (SCIM 2.0). What is wrong with them: scim_checks.py."""

from pydantic import Field

from connectors.entra.settings import Guid
from connectors.settings import Secret, Settings
from idp.config.directories import DirectoryName, MappingRule
from idp.config.values import ClientId

SHORTEST_TOKEN = 32
SCOPE = "scim"
# What mapping rules may ask of a person (idp/scim/person.py), in lower case.
ATTRIBUTES = frozenset(
    {
        *("username", "displayname", "nickname", "title", "usertype", "preferredlanguage", "roles", "externalid", "email"),
        *("employeenumber", "costcenter", "organization", "division", "department"),
    }
)


class ScimSettings(Settings):
    """A source that writes to us by SCIM 2.0: Microsoft Entra ID's provisioning, an HR system."""

    name: DirectoryName
    """Short name in commands, audit lines and the store; never changes."""
    tokens: tuple[Secret, ...] = Field(default=(), max_length=2, repr=False)
    """Bearer secrets that the source shows, 32 random characters or more: file:<path> or env:<NAME>. Two while one replaces the other."""
    clients: tuple[ClientId, ...] = ()
    """Clients of ours that may write as this source: with client_credentials and the scope `scim`."""
    joins: DirectoryName | None = None
    """The directory or provider whose lasting id of a person is the externalId here: both are one Account. Entra ID: map objectId to externalId; an
    Active Directory: objectGUID. null: the people here are nobody else's. An address or a login never joins."""
    joined_tenant: Guid | None = None
    """With `joins` of an Entra ID of several tenants: the one whose people these are. null: the only one."""
    mapping: tuple[MappingRule, ...] = ()
    """From groups, roles and attributes to attachments."""
