"""The settings of directories, upstream providers and the Windows session: what a connector says of itself, and what is ours to say of it.

The shapes of connectors' settings are theirs (connectors/<kind>/settings.py); this module gives each its `type` in the file. Code of a connector is
named by idp/composition/sources.py alone.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.entra.settings import EntraSettings, Guid
from connectors.kerberos.settings import KerberosSettings
from connectors.ldap.settings import LdapSettings
from connectors.oidc.presets import PRO_SANTE_CONNECT
from connectors.oidc.settings import OidcSettings
from connectors.settings import Duration, Settings
from idp.config.values import ProfileName, Slug
from policies.assurance import PSC_ACR

DirectoryName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]


class MappingRule(Settings):
    """Who gets which attachment. Every rule that matches adds one; a person that no rule matches has none and cannot sign in anywhere."""

    group: str | None = None
    """A group's name or distinguished name, capitals not told apart. `{establishment}` stands for any establishment's slug: `{establishment}-ide`;
    `{finess}` and `{siret}` for its numbers."""
    role: str | None = None
    """An application role (Entra ID), capitals not told apart; it may hold the same three: `{finess}.ide`."""
    attributes: dict[str, str] = {}
    """Attributes that must all have the value; `*` at its end stands for anything. A value may hold the same three: `{siret}`."""
    establishment: str
    """The establishment's slug; or `{establishment}`, `{finess}` or `{siret}`: the one that the group, the role or an attribute said."""
    profile: ProfileName
    """The profile there."""
    sector: str | None = Field(default=None, max_length=120)
    """The sector there; `{attribute:departmentNumber}` stands for what the directory says."""


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


class ActiveDirectoryDirectorySettings(DirectorySettings, ActiveDirectorySettings):
    """A directory on Active Directory."""

    type: Literal["active-directory"]
    """The kind of directory."""


AnyDirectory = Annotated[LdapDirectorySettings | ActiveDirectoryDirectorySettings, Field(discriminator="type")]


class ProviderSettings(Settings):
    """What every upstream provider has."""

    name: DirectoryName
    """Short name in addresses, audit lines and the store; never changes."""
    label: str = Field(max_length=60)
    """What the button on the sign-in page says, for instance Office 365."""
    domains: tuple[str, ...] = ()
    """Whoever types an identifier of one of these domains is sent there: example.fr."""
    establishments: tuple[Slug, ...] = ()
    """Establishments whose pages offer it; empty: all."""
    joins: DirectoryName | None = None
    """The directory whose people it knows by a lasting id (Entra ID: onPremisesImmutableId, the Active Directory that is synchronised). They are one
    Account without being asked; Entra ID with several tenants: see `joined_tenants`. null: people are linked by a proven act."""
    creates_accounts: bool = True
    """Whether somebody unknown whom a mapping rule places gets an Account at the first sign-in. false: only people who are linked come in."""
    mapping: tuple[MappingRule, ...] = ()
    """From groups, roles and attributes to attachments."""

    @property
    def synchronised_tenants(self) -> frozenset[str]:
        """The tenants whose people it knows by a lasting id of the directory in `joins`; none where that directory is not synchronised to it."""
        return frozenset()

    @property
    def gives_mfa(self) -> bool:
        """Whether it can be asked for two factors, and is believed when it says so."""
        return False

    @property
    def trusted_acr(self) -> frozenset[str]:
        """Its words for how somebody was recognised that are believed."""
        return frozenset()


class EntraProviderSettings(ProviderSettings, EntraSettings):
    """Microsoft Entra ID (Office 365)."""

    type: Literal["entra"]
    """The kind of provider."""
    joined_tenants: tuple[Guid, ...] = ()
    """With `joins`: the tenants that are synchronised with that directory. Another tenant's administrator may write any lasting id there, so its
    people are never joined. Empty: the only one of `tenants`; must be written when there are several."""

    @property
    def synchronised_tenants(self) -> frozenset[str]:
        """See ProviderSettings."""
        only = self.tenants if len(self.tenants) == 1 else ()
        return frozenset(self.joined_tenants or only) if self.joins is not None else frozenset()

    @property
    def gives_mfa(self) -> bool:
        """See ProviderSettings."""
        return self.mfa_context is not None


class OidcProviderSettings(ProviderSettings, OidcSettings):
    """Any OpenID Provider, Pro Santé Connect among them."""

    type: Literal["oidc"]
    """The kind of provider."""

    @property
    def gives_mfa(self) -> bool:
        """See ProviderSettings."""
        return bool(self.mfa_acr)

    @property
    def trusted_acr(self) -> frozenset[str]:
        """See ProviderSettings."""
        levels = frozenset((*self.acr_values, *self.mfa_acr))
        # FranceConnect, for one, says eidas1 of much less.
        return levels if self.preset == PRO_SANTE_CONNECT else levels - PSC_ACR


AnyProvider = Annotated[EntraProviderSettings | OidcProviderSettings, Field(discriminator="type")]


class WindowsSettings(KerberosSettings):
    """The Windows session: Kerberos tickets of a directory's people, in the zones that say `windows: true`."""

    directory: DirectoryName
    """The directory that is asked about whoever holds the ticket, each time."""


class StandingSettings(Settings):
    """How long a directory's word on a person is believed."""

    staleness_bound: Duration = timedelta(minutes=5)
    """A refresh, an introspection or an authorization asks the directory again when its last word is older."""
    grace: Duration = timedelta(hours=4)
    """While a directory cannot be reached, people who are signed in go on for this long after the bound, marked as degraded."""
    upstream_life: Duration = timedelta(hours=12)
    """Behind an upstream provider that cannot be asked without the person, a sign-in there is believed for this long; then it is asked again."""


class SyncSettings(Settings):
    """`vestibule sync`: reading a whole directory."""

    brake_people: int = Field(default=20, ge=1)
    """A run that would end more people than this changes nothing and asks a human."""
    brake_percent: int = Field(default=5, ge=1, le=100)
    """The same, as a share of the people known from that directory."""
    brake_window: Duration = Field(default=timedelta(minutes=10), ge=timedelta(minutes=1), le=timedelta(days=1))
    """The same of people who leave one after another while the directory is listened to: they are counted over this long, and who is one too many is
    held for a human."""
    brake_hold: Duration = timedelta(hours=24)
    """While a run waits for a human, the people it would end keep their last verdict for at most this long."""
