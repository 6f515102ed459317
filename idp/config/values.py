"""The kinds of value that our own settings are made of: networks, listen addresses, database URLs, names; each parsed once, here.

Those that connectors have too (durations, secrets, paths) are in connectors/settings.py.
"""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from connectors.settings import Duration, read_secret, resolve

SQLITE = "sqlite:///"


def read_network(value: object) -> IPv4Network | IPv6Network:
    """`10.0.0.0/8`, `192.0.2.7` or `2001:db8::/32`; raises ValueError when host bits are set."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8 or 192.0.2.7: {error}") from error


def check_listen(value: str) -> str:
    """`host:port` or `[v6]:port`; raises ValueError otherwise."""
    host, _, port = value.rpartition(":")
    literal = host.startswith("[") and host.endswith("]")
    try:
        is_address = bool(ip_address(host.strip("[]")))
    except ValueError:
        is_address = False
    if not port.isdecimal() or not 0 < int(port) < 65536 or not (is_address or host == "localhost") or (":" in host and not literal):
        raise ValueError("an address and a port: 127.0.0.1:8400, 0.0.0.0:8400 or [::1]:8400")
    return value


def resolve_url(value: str, info: ValidationInfo) -> str:
    """A SQLite URL whose relative file is beside the configuration; any other URL as it is; the one that file:<path> or env:<NAME> holds."""
    if value.startswith(("file:", "env:")):
        value = read_secret(value, info)
    if not value.startswith(SQLITE):
        return value
    name = value.removeprefix(SQLITE)
    if not name or name == ":memory:":
        raise ValueError("the embedded store is a file: sqlite:///<path>")
    return SQLITE + str(resolve(Path(name), info))


def check_time_zone(value: str) -> str:
    """An IANA time zone that this machine knows; raises ValueError otherwise."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Paris") from error
    return value


def check_whole_days(value: timedelta) -> timedelta:
    """A number of days from none to 90; raises ValueError otherwise."""
    if value % timedelta(days=1) or not timedelta(0) <= value <= timedelta(days=90):
        raise ValueError("whole days, 90 at most: 0d, 7d, 30d")
    return value


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address literal is loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,100}$")]
ProfileName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
ApplicationRole = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]+( [^\s\x00-\x1f\x7f]+)*$", max_length=100)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(read_network)]
ListenAddress = Annotated[str, AfterValidator(check_listen)]
StoreUrl = Annotated[str, AfterValidator(resolve_url), Field(validate_default=True)]
TimeZoneName = Annotated[str, AfterValidator(check_time_zone)]
WholeDays = Annotated[Duration, AfterValidator(check_whole_days)]
