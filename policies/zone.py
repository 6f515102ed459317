"""A zone of an establishment: the value, apart from what is made of it.

Looked up and concluded by zones.py, checked by zone_overlaps.py; kept by idp.store.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

OUTSIDE = "outside"

Network = IPv4Network | IPv6Network


class ZoneKind(StrEnum):
    """What a zone's networks mean. VPN is known and not inside: whoever holds the key may be anywhere."""

    TRUSTED = "trusted"
    SHARED_WORKSTATION = "shared_workstation"
    VPN = "vpn"
    BLOCKED = "blocked"


ZONE_KINDS = (*(kind.value for kind in ZoneKind), OUTSIDE)
INSIDE_KINDS = frozenset({ZoneKind.TRUSTED, ZoneKind.SHARED_WORKSTATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFacts:
    """One zone, valid in [valid_from, valid_until), UTC-aware; None means no bound on that side.

    `slug` is the establishment's. `is_egress`: public addresses that a whole site leaves by, guests perhaps too; `guests_apart`: somebody recorded
    that guests leave elsewhere. `has_windows`: its computers can show a Windows session (Kerberos); it changes nothing of where somebody is.
    """

    id: str
    establishment_id: str
    slug: str
    name: str
    kind: ZoneKind
    networks: tuple[Network, ...]
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    is_egress: bool = False
    guests_apart: bool = False
    has_windows: bool = False

    @property
    def label(self) -> str:
        """As Events, Sessions and rules write it: `slug/name`."""
        return f"{self.slug}/{self.name}"

    def is_valid(self, now: datetime) -> bool:
        """Whether `now` lies between its first and last day."""
        return (self.valid_from is None or self.valid_from <= now) and (self.valid_until is None or now < self.valid_until)


def unmapped(network: Network) -> Network:
    """An IPv4 network written as IPv6 (::ffff:10.0.0.0/104) as what it is."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
