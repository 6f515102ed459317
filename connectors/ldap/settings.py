"""What an operator writes of an LDAP directory. The docstring under a field is its documentation; the defaults fit OpenLDAP with inetOrgPerson."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from connectors.settings import Duration, LocalPath, Secret, Settings


class LdapAttributes(Settings):
    """Which attribute of an entry says what. null: the directory does not say it."""

    username: str | None = "uid"
    """What people call their login."""
    email: str | None = "mail"
    """E-mail address."""
    number: str | None = "employeeNumber"
    """Staff number."""
    given_name: str | None = "givenName"
    """Given name."""
    family_name: str | None = "sn"
    """Family name."""
    phone_number: str | None = "mobile"
    """Phone number."""
    others: tuple[str, ...] = ()
    """Further attributes that mapping rules look at, for instance departmentNumber."""


class LdapGroups(Settings):
    """How the groups of a person are found."""

    base: str | None = None
    """Where groups are; some with members must be visible there. null: groups are not read, and mapping rules can only look at attributes."""
    filter: str = "(|(member={dn})(uniqueMember={dn}))"
    """Finds the groups that hold an entry; {dn} is the entry, {username} its login (for posixGroup: `(memberUid={username})`)."""
    name: str = "cn"
    """The attribute that mapping rules call a group by."""
    depth: int = Field(default=5, ge=1, le=20)
    """Groups within groups are followed this far. 1: not at all."""


class LdapSettings(Settings):
    """An OpenLDAP or 389 Directory Server."""

    servers: tuple[str, ...] = Field(min_length=1)
    """Servers of the same directory, tried in order: ldaps://host[:636] or ldap://host[:389] (with StartTLS)."""
    start_tls: bool = True
    """Begin TLS on ldap:// before anything is said. false is accepted only for a server on this very machine."""
    ca_file: LocalPath | None = None
    """PEM file of the authority that signed the servers' certificates. null: this machine's authorities."""
    bind_dn: str
    """The service account that looks people up."""
    bind_password: Secret = Field(repr=False)
    """Its password: file:<path> or env:<NAME>."""
    base: str
    """Where people are."""
    scope: str = "(objectClass=inetOrgPerson)"
    """Who is let in: an LDAP filter. Whoever no longer matches is signed out like somebody who left."""
    identifiers: tuple[str, ...] = ("uid", "mail", "employeeNumber")
    """Attributes that a person may type to say who they are; all must match at most one entry, else the earliest attribute decides. Nobody should be
    able to write them on their own entry."""
    lasting_id: Literal["entryUUID", "nsUniqueId"] = "entryUUID"
    """The attribute that stays the same when an entry is renamed or moved. 389 Directory Server: nsUniqueId."""
    password_policy: str | None = None
    """OpenLDAP: the DN of the default password policy (ppolicy_default); tells when a lock passes and a password expires. null: not known."""
    attributes: LdapAttributes = LdapAttributes()
    """Which attribute says what."""
    groups: LdapGroups = LdapGroups()
    """How groups are found."""
    connect_timeout: Duration = timedelta(seconds=3)
    """How long a server may take to accept a connection, TLS included."""
    receive_timeout: Duration = timedelta(seconds=5)
    """How long a server may take to answer."""
    concurrency: int = Field(default=3, ge=1, le=64)
    """Requests at once from one server process, one of them kept for look-ups; the rest wait for a moment and are then refused, so that one slow
    directory holds up nothing else."""
    breaker_failures: int = Field(default=3, ge=1, le=100)
    """After this many failures in a row the directory is left alone for `breaker_pause`."""
    breaker_pause: Duration = timedelta(seconds=10)
    """How long it is left alone; then one request tries it."""
    page_size: int = Field(default=500, ge=10, le=10_000)
    """Entries a page when everybody is read."""
