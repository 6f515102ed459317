"""What an operator writes of an LDAP directory. The docstring under a field is its documentation; the defaults fit OpenLDAP with inetOrgPerson."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

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


class EntryGroups(Settings):
    """Where groups are."""

    base: str | None = None
    """Where groups are; some with members must be visible there. null: groups are not read, and mapping rules can only look at attributes."""
    name: str = "cn"
    """The attribute that mapping rules call a group by."""


class LdapGroups(EntryGroups):
    """How the groups of a person are found."""

    filter: str = "(|(member={dn})(uniqueMember={dn}))"
    """Finds the groups that hold an entry; {dn} is the entry, {username} its login (for posixGroup: `(memberUid={username})`)."""
    depth: int = Field(default=5, ge=1, le=20)
    """Groups within groups are followed this far. 1: not at all."""


class LdapKerberos(Settings):
    """Which entry a Kerberos principal of an MIT realm belongs to, for the Windows session (docs/windows-sign-in.md)."""

    realm: str
    """The realm, in capitals as its tickets name it. A ticket of another one is nobody's."""
    attribute: str = "krbPrincipalName"
    """The attribute that names the principal, letter for letter. Nobody should be able to write it on their own entry."""
    holds: Literal["principal", "user"] = "principal"
    """principal: the whole of it, alice@EXAMPLE.FR; user: what stands before the realm, alice."""


class DeskSettings(Settings):
    """What the reset desk may do in the directory, and to whom. What is written here only narrows: the directory's own rights decide."""

    bind_dn: str | None = None
    """The service account that unlocks people and resets passwords. null: the one that looks them up."""
    bind_password: Secret | None = Field(default=None, repr=False)
    """Its password: file:<path> or env:<NAME>. null with a `bind_dn`: an error."""
    bases: tuple[str, ...] = ()
    """Where the people are on whom these acts were delegated; nobody elsewhere is touched. Empty: everybody under `base`."""
    protected: str | None = None
    """People whom nobody touches from here: an LDAP filter, for instance (employeeType=direction)."""
    protected_groups: tuple[str, ...] = ()
    """Groups whose members nobody touches from here, by name or distinguished name, groups within groups too. Active Directory: of
    the whole domain; elsewhere under `groups.base`, which must be written."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.bind_dn is None) != (self.bind_password is None):
            raise ValueError("bind_dn and bind_password go together")
        return self


class CanarySettings(Settings):
    """Somebody who does not exist, disabled and enabled again to know that a departure goes through (docs/certificate-of-a-cut.md)."""

    login: str = Field(min_length=1, max_length=120)
    """What they would type to sign in. An entry made for this alone, placed by a mapping rule as anybody is; nobody knows its password."""
    every: Duration = Field(default=timedelta(hours=1), ge=timedelta(minutes=5), le=timedelta(days=1))
    """How often."""
    within: Duration = Field(default=timedelta(seconds=60), ge=timedelta(seconds=5), le=timedelta(minutes=10))
    """After this long without the last stage the path counts as broken: an alarm."""
    bind_dn: str | None = None
    """The account that disables and enables it; it needs the right on this one entry. null: that of `desk`, else the one that looks people up."""
    bind_password: Secret | None = Field(default=None, repr=False)
    """Its password: file:<path> or env:<NAME>."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.bind_dn is None) != (self.bind_password is None):
            raise ValueError("bind_dn and bind_password go together")
        return self


class WatchSettings(Settings):
    """Whether the directory is listened to, so that a change there is known at once."""

    enabled: bool = True
    """Listen. false: a change is noticed when the directory's last word on a person is older than `standing.staleness_bound`, and at the nightly
    reading."""
    heartbeat: Duration = Field(default=timedelta(seconds=5), ge=timedelta(seconds=1), le=timedelta(minutes=1))
    """After this much silence the server is asked whether it is still there; without an answer within `receive_timeout` the line is given up."""


class EntrySettings(Settings):
    """What every directory that is asked over LDAP has, whoever made it."""

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
    attributes: LdapAttributes = LdapAttributes()
    """Which attribute says what."""
    groups: EntryGroups = EntryGroups()
    """How groups are found."""
    desk: DeskSettings | None = None
    """What the reset desk may do there. null: nothing; whoever is locked is unlocked by the directory's own administrators."""
    watch: WatchSettings = WatchSettings()
    """How the directory is listened to."""
    canary: CanarySettings | None = None
    """Somebody who does not exist, disabled on a schedule to measure the path. null: nobody; a broken path shows at the first real departure."""
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

    @model_validator(mode="after")
    def _canary_is_heard(self) -> Self:
        if self.canary is not None and not self.watch.enabled:
            raise ValueError("a canary is of no use in a directory that is not listened to (watch.enabled: false)")
        return self


class LdapSettings(EntrySettings):
    """An OpenLDAP or 389 Directory Server."""

    lasting_id: Literal["entryUUID", "nsUniqueId"] = "entryUUID"
    """The attribute that stays the same when an entry is renamed or moved. 389 Directory Server: nsUniqueId."""
    password_policy: str | None = None
    """OpenLDAP: the DN of the default password policy (ppolicy_default); tells when a lock passes and a password expires. null: not known."""
    groups: LdapGroups = LdapGroups()
    """How groups are found."""
    kerberos: LdapKerberos | None = None
    """Whose Kerberos tickets are whose. null: the directory's people have none."""
