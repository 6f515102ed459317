"""What an operator writes of an Active Directory domain. The docstring under a field is its documentation."""

from datetime import timedelta

from pydantic import Field

from connectors.ldap.settings import EntryGroups, EntrySettings, LdapAttributes
from connectors.settings import Duration

DNS_NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$"
NETBIOS_NAME = r"^[^\\/:*?\"<>|@\s]{1,15}$"


class ActiveDirectoryAttributes(LdapAttributes):
    """Which attribute of an entry says what. null: the directory does not say it."""

    username: str | None = "sAMAccountName"
    """What people call their login."""
    number: str | None = "employeeID"
    """Staff number."""


class ActiveDirectorySettings(EntrySettings):
    """An Active Directory domain, on Windows Server or Samba."""

    domain: str = Field(pattern=DNS_NAME)
    """The domain's DNS name, for instance ad.example.fr: its Kerberos realm, and the suffix that people may type."""
    netbios_name: str = Field(pattern=NETBIOS_NAME)
    """The domain's short name, as people type it before a backslash. Another one, or another domain's, is nobody."""
    scope: str = "(&(objectCategory=person)(objectClass=user))"
    """Who is let in: an LDAP filter. Whoever no longer matches is signed out like somebody who left."""
    identifiers: tuple[str, ...] = ("sAMAccountName", "userPrincipalName", "mail", "employeeID")
    """Attributes that a person may type to say who they are; all must match at most one entry, else the earliest attribute decides. Nobody should be
    able to write them on their own entry."""
    attributes: ActiveDirectoryAttributes = ActiveDirectoryAttributes()
    """Which attribute says what."""
    groups: EntryGroups = EntryGroups()
    """Where groups are. Security groups count, groups within groups and the primary group too."""
    page_size: int = Field(default=500, ge=10, le=1_000)
    """Entries a page when everybody is read; a domain controller gives 1,000 at most."""
    old_password_window: Duration = timedelta(minutes=60)
    """How long a domain controller still takes the former password after a change (OldPasswordAllowedPeriod). In that time Kerberos is asked, which
    takes the newest alone; it needs the extra `windows`. 0m: never, for domains whose controllers have it at 0."""
    kerberos_servers: tuple[str, ...] = ()
    """Domain controllers as Kerberos is asked, host or host:port. Empty: the hosts of `servers`, port 88."""

    @property
    def realm(self) -> str:
        """The domain's Kerberos realm."""
        return self.domain.upper()

    @property
    def domain_dn(self) -> str:
        """Where the domain's own entry is."""
        return ",".join(f"DC={label}" for label in self.domain.split("."))
