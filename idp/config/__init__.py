"""The configuration: one YAML file and the files it includes, typed, every setting documented in models.py and config.example.yaml.

values.py owns the kinds of value (durations, secrets, networks), models.py the settings and their defaults, loading.py the files, checks.py what
no single field can tell. Reads no store. An unknown key is an error; `check` collects every finding with its YAML path.
"""

from connectors.settings import Duration, Secret, format_duration, parse_duration, read_secret
from idp.config.audit import AuditSettings
from idp.config.checks import check_client, check_reach, check_roles
from idp.config.database import DatabaseSettings
from idp.config.directories import (
    ActiveDirectoryDirectorySettings,
    DirectorySettings,
    EntraProviderSettings,
    LdapDirectorySettings,
    MappingRule,
    OidcProviderSettings,
    ProviderSettings,
    StandingSettings,
    SyncSettings,
    WindowsSettings,
)
from idp.config.ephemeral import EphemeralSettings, RedisAddress, WorkSettings, redis_address
from idp.config.factors import FactorSettings
from idp.config.findings import Finding
from idp.config.loading import check, load, load_draft
from idp.config.messages import MICROS, MailSettings, SmsSettings, micros
from idp.config.models import (
    AttachmentSettings,
    ClientSettings,
    Config,
    ContactSettings,
    EstablishmentSettings,
    KeySettings,
    LockoutSettings,
    LogoutSettings,
    PageSettings,
    PasswordSettings,
    RetentionSettings,
    ServerSettings,
    SessionSettings,
    TokenSettings,
)
from idp.config.policy import PolicySettings
from idp.config.resets import NightSettings, ResetModeSettings, ResetSettings
from idp.config.scim import ScimSettings
from idp.config.signals import EgressSettings, SignalSettings
from idp.config.values import Network, is_loopback_host
from idp.config.zones import ZoneSettings, zone_window

__all__ = [
    "MICROS",
    "ActiveDirectoryDirectorySettings",
    "AttachmentSettings",
    "AuditSettings",
    "ClientSettings",
    "Config",
    "ContactSettings",
    "DatabaseSettings",
    "DirectorySettings",
    "Duration",
    "EgressSettings",
    "EntraProviderSettings",
    "EphemeralSettings",
    "EstablishmentSettings",
    "FactorSettings",
    "Finding",
    "KeySettings",
    "LdapDirectorySettings",
    "LockoutSettings",
    "LogoutSettings",
    "MailSettings",
    "MappingRule",
    "Network",
    "NightSettings",
    "OidcProviderSettings",
    "PageSettings",
    "PasswordSettings",
    "PolicySettings",
    "ProviderSettings",
    "RedisAddress",
    "ResetModeSettings",
    "ResetSettings",
    "RetentionSettings",
    "ScimSettings",
    "Secret",
    "ServerSettings",
    "SessionSettings",
    "SignalSettings",
    "SmsSettings",
    "StandingSettings",
    "SyncSettings",
    "TokenSettings",
    "WindowsSettings",
    "WorkSettings",
    "ZoneSettings",
    "check",
    "check_client",
    "check_reach",
    "check_roles",
    "format_duration",
    "is_loopback_host",
    "load",
    "load_draft",
    "micros",
    "parse_duration",
    "read_secret",
    "redis_address",
    "zone_window",
]
