"""The kinds of value that settings are made of: durations, secrets, networks, paths, database URLs; each parsed once, here.

Relative paths are relative to the configuration file, never to the current directory: a command run from elsewhere must not open (and
create) another database. The directory comes as pydantic's validation context, `{"directory": Path}`; without one, paths stay as they are.
"""

import os
import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo

DURATION = re.compile(r"^(\d+)\s*(ms|s|m|h|d)$")
UNIT = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SQLITE = "sqlite:///"
UNREADABLE = "unreadable:"  # stands for a secret already reported as wrong, so that the rest of the file is still checked


def parse_duration(value: object) -> timedelta:
    """`30s`, `30m`, `14h`, `7d` or `500ms` as a timedelta; raises ValueError otherwise."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := DURATION.match(value.strip())):
        return timedelta(**{UNIT[match[2]]: int(match[1])})
    raise ValueError("a duration is a whole number and a unit: 500ms, 30s, 30m, 14h, 7d")


def format_duration(value: timedelta) -> str:
    """A timedelta as `parse_duration` reads it, in the largest unit that leaves no remainder."""
    for unit, name in reversed(UNIT.items()):
        step = timedelta(**{name: 1})
        if value % step == timedelta(0):
            return f"{value // step}{unit}"
    return f"{value // timedelta(milliseconds=1)}ms"


def read_secret(value: object, info: ValidationInfo | None) -> str:
    """The secret named by `file:<path>` or `env:<NAME>`; a secret written in the file itself is refused (ValueError)."""
    if not isinstance(value, str) or ":" not in value:
        raise ValueError("a secret is given as file:<path> or env:<NAME>, never in the configuration itself")
    kind, _, name = value.partition(":")
    if kind == "env":
        if not (found := os.environ.get(name)):
            raise ValueError(f"the environment variable {name} is empty or not set")
        return found
    if value == UNREADABLE:
        return UNREADABLE
    if kind == "file":
        path = resolve(Path(name), info)
        try:
            found = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"cannot read the secret file {path}: {why}") from error
        if not found:
            raise ValueError(f"the secret file {path} is empty")
        return found
    raise ValueError("a secret is given as file:<path> or env:<NAME>")


def _secret(value: object, info: ValidationInfo) -> str:
    return read_secret(value, info)


def resolve(path: Path, info: ValidationInfo | None) -> Path:
    """A path relative to the configuration file, made absolute."""
    directory = (info.context or {}).get("directory") if info else None
    return Path(directory) / path if directory else path


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
    """A SQLite URL whose relative file is beside the configuration; any other URL as it is."""
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


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address literal is loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str, when_used="json")]
Secret = Annotated[str, BeforeValidator(_secret)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,100}$")]
ProfileName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(read_network)]
ListenAddress = Annotated[str, AfterValidator(check_listen)]
StoreUrl = Annotated[str, AfterValidator(resolve_url), Field(validate_default=True)]
LocalPath = Annotated[Path, AfterValidator(resolve)]
TimeZoneName = Annotated[str, AfterValidator(check_time_zone)]
