"""The settings of directories: what a connector says of itself, and what is ours to say of it: its name, and who its people are here.

The shapes of connectors' settings are theirs (connectors/<kind>/settings.py); this module gives each its `type` in the file. Code of a connector is
named by idp/app.py alone.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from connectors.ldap.settings import LdapSettings
from connectors.settings import Duration, Settings
from idp.config.values import ProfileName

DirectoryName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]

ANY_ESTABLISHMENT = "{establishment}"  # in a rule: stands for any establishment's slug


class MappingRule(Settings):
    """Who gets which attachment. Every rule that matches adds one; a person that no rule matches has none and cannot sign in anywhere."""

    group: str | None = None
    """A group's name or distinguished name, capitals not told apart. `{establishment}` stands for any establishment's slug: `{establishment}-ide`."""
    attributes: dict[str, str] = {}
    """Attributes that must all have the value; `*` at its end stands for anything."""
    establishment: str
    """The establishment's slug, or `{establishment}` as the group's name said it."""
    profile: ProfileName
    """The profile there."""
    sector: str | None = None
    """The sector there."""


class DirectorySettings(Settings):
    """What every directory has."""

    name: DirectoryName
    """Short name in commands, audit lines and the store; never changes."""
    mapping: tuple[MappingRule, ...] = ()
    """From groups and attributes to attachments."""


class LdapDirectorySettings(DirectorySettings, LdapSettings):
    """A directory on OpenLDAP or 389 Directory Server."""

    type: Literal["ldap"]
    """The kind of directory."""


class StandingSettings(Settings):
    """How long a directory's word on a person is believed."""

    staleness_bound: Duration = timedelta(minutes=5)
    """A refresh, an introspection or an authorization asks the directory again when its last word is older."""
    grace: Duration = timedelta(hours=4)
    """While a directory cannot be reached, people who are signed in go on for this long after the bound, marked as degraded."""


class SyncSettings(Settings):
    """`vestibule sync`: reading a whole directory."""

    brake_people: int = Field(default=20, ge=1)
    """A run that would end more people than this changes nothing and asks a human."""
    brake_percent: int = Field(default=5, ge=1, le=100)
    """The same, as a share of the people known from that directory."""
    brake_hold: Duration = timedelta(hours=24)
    """While a run waits for a human, the people it would end keep their last verdict for at most this long."""
