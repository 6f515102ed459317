"""The configuration: one YAML file and the files it includes, typed, every setting documented in models.py and config.example.yaml.

values.py owns the kinds of value (durations, secrets, networks), models.py the settings and their defaults, loading.py the files, checks.py what
no single field can tell. Reads no store. An unknown key is an error; `check` collects every finding with its YAML path.
"""

from connectors.settings import Duration, Secret, format_duration, parse_duration, read_secret
from idp.config.checks import check_client
from idp.config.database import DatabaseSettings
from idp.config.directories import DirectorySettings, LdapDirectorySettings, StandingSettings, SyncSettings
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
from idp.config.values import Network, is_loopback_host
from idp.config.zones import ZoneSettings, zone_window

__all__ = [
    "MICROS",
    "AttachmentSettings",
    "ClientSettings",
    "Config",
    "ContactSettings",
    "DatabaseSettings",
    "DirectorySettings",
    "Duration",
    "EphemeralSettings",
    "EstablishmentSettings",
    "FactorSettings",
    "Finding",
    "KeySettings",
    "LdapDirectorySettings",
    "LockoutSettings",
    "LogoutSettings",
    "MailSettings",
    "Network",
    "PageSettings",
    "PasswordSettings",
    "PolicySettings",
    "RedisAddress",
    "RetentionSettings",
    "Secret",
    "ServerSettings",
    "SessionSettings",
    "SmsSettings",
    "StandingSettings",
    "SyncSettings",
    "TokenSettings",
    "WorkSettings",
    "ZoneSettings",
    "check",
    "check_client",
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
