"""The settings of what goes out to applications: Shared Signals streams, and where we may go at all. Rules between settings: checks.py."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from connectors.settings import Duration, Settings
from idp.config.values import Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
SCOPE_READ = "ssf.read"
SCOPE_MANAGE = "ssf.manage"


class SignalSettings(Settings):
    """Shared Signals (OpenID Shared Signals Framework 1.0): streams of Security Event Tokens that applications make for themselves."""

    streams_per_client: int = Field(default=4, ge=1, le=20)
    """Streams that one application may have at once."""
    verification_interval: Duration = timedelta(seconds=10)
    """How often an application may ask for a verification event on a stream."""
    kept: Duration = timedelta(days=7)
    """How long an event waits for an application that does not poll, or that has paused its stream; then it is given up and an alarm is raised."""
    waiting: int = Field(default=50_000, ge=1)
    """How many events may wait so for one stream; beyond that the oldest are given up at the next sweep, with the same alarm."""


class EgressSettings(Settings):
    """Where logout tokens and Security Event Tokens may be sent."""

    networks: tuple[Network, ...] = ()
    """Private networks where registered applications live. Public addresses are always reached; loopback, private and link-local ones only when
    they are in one of these. On an issuer that is loopback, which is a trial, loopback is reached too."""
