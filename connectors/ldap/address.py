"""Where an LDAP server is and how it is spoken to: parses the `servers` of the settings. No network here, and no ldap3: check-config calls it too.

ldap:// without StartTLS is refused off this machine: passwords would travel in clear (RFC 4513 section 6.3.1).
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Protection = Literal["ldaps", "start_tls", "clear"]
PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server. `host` is a name or an IP address without brackets: certificates are checked against it."""

    host: str
    port: int
    protection: Protection

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.protection == 'ldaps' else 'ldap'}://{host}:{self.port}"


def parse_server(url: str, *, start_tls: bool) -> ServerAddress:
    """A ServerAddress; raises ValueError, saying what to write instead."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: write ldaps://host or ldap://host") from error
    if parts.scheme not in PORTS or not host or parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{url!r} must be ldaps://host[:636] or ldap://host[:389] and nothing more")
    if port == 0:
        raise ValueError(f"{url!r}: there is no port 0")
    protection: Protection = "ldaps" if parts.scheme == "ldaps" else "start_tls" if start_tls else "clear"
    if protection == "clear" and not is_loopback(host):
        raise ValueError(f"{url!r} would carry passwords in clear: use ldaps:// or start_tls: true (clear is only for this very machine)")
    return ServerAddress(host, port or PORTS[parts.scheme], protection)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name; nothing is resolved."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
