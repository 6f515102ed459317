"""Zones that would make one address mean two places: what check-config refuses.

Owns the findings and their texts. Looks up nothing (zones.py does) and reads no configuration: idp.config asks here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies.zone import INSIDE_KINDS, Network, ZoneFacts, ZoneKind, unmapped

PRIVATE_RANGES_OVERLAP = "private_ranges_overlap"
PUBLIC_RANGES_OVERLAP = "public_ranges_overlap"
SAME_NETWORK_TWICE = "same_network_twice"
PROXY_IN_ZONE = "proxy_in_zone"
EGRESS_NOT_DECLARED = "egress_not_declared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What two zones, or a zone and a proxy, may not both hold. `code` is of this module; `other` a label, or the proxy's network.

    `zone_id` and `other_id` tell which zones are meant (None for a proxy).
    """

    code: str
    zone: str
    zone_id: str
    network: str
    other: str
    other_id: str | None
    other_network: str

    @property
    def text(self) -> str:
        """For check-config."""
        return _TEXTS[self.code].format(zone=self.zone, network=self.network, other=self.other, other_network=self.other_network)


_TEXTS = {
    PRIVATE_RANGES_OVERLAP: (
        "{zone} ({network}) and {other} ({other_network}) overlap: behind one proxy their addresses cannot be told apart; renumber one, or "
        "translate its addresses before the proxy"
    ),
    PUBLIC_RANGES_OVERLAP: "{zone} ({network}) and {other} ({other_network}) overlap: a public address belongs to one establishment",
    SAME_NETWORK_TWICE: "{network} is in {zone} and in {other}: which of the two is meant cannot be told",
    PROXY_IN_ZONE: "{zone} ({network}) overlaps the trusted proxy {other}: a request whose client the proxy hides would seem to come from inside",
    EGRESS_NOT_DECLARED: (
        "{zone}: {network} is a public address, by which guests may leave too; write egress: true (and guests_apart when they leave elsewhere)"
    ),
}


def overlaps(zones: Iterable[ZoneFacts], proxies: Iterable[Network] = ()) -> tuple[Overlap, ...]:
    """Every overlap that would make an address mean two places, in a stable order.

    Between two establishments: any, however they nest, except with what one of them blocks. Within one: only one and the same network twice, for a
    smaller network inside a larger one is told apart by its length. Zones that are never valid on the same day do not overlap. With a proxy: any
    zone but a blocked one.
    """
    entries: list[tuple[int, int, int, Network, ZoneFacts | None]] = []
    for zone in zones:
        entries += [_entry(network, zone) for network in dict.fromkeys(map(unmapped, zone.networks))]
    entries += [_entry(network, None) for network in dict.fromkeys(map(unmapped, proxies))]
    entries.sort(key=lambda entry: (entry[0], entry[1], -entry[2], "" if entry[4] is None else entry[4].id))
    found: list[Overlap] = []
    # Networks either nest or do not touch: those still open on the stack are exactly those that hold the next one.
    around: list[tuple[int, int, int, Network, ZoneFacts | None]] = []
    for entry in entries:
        while around and (around[-1][0] != entry[0] or around[-1][2] < entry[1]):
            around.pop()
        found += [overlap for other in around if (overlap := _overlap(other[3], other[4], entry[3], entry[4]))]
        around.append(entry)
    return tuple(dict.fromkeys(found))


def undeclared_egress(zones: Iterable[ZoneFacts]) -> tuple[Overlap, ...]:
    """Public IPv4 networks of trusted or shared zones that are not said to be an egress: guests most often leave by them too."""
    return tuple(
        Overlap(
            code=EGRESS_NOT_DECLARED,
            zone=zone.label,
            zone_id=zone.id,
            network=str(network),
            other=zone.label,
            other_id=zone.id,
            other_network=str(network),
        )
        for zone in zones
        if zone.kind in INSIDE_KINDS and not zone.is_egress
        for network in map(unmapped, zone.networks)
        if network.version == 4 and network.is_global
    )


def _entry(network: Network, zone: ZoneFacts | None) -> tuple[int, int, int, Network, ZoneFacts | None]:
    return network.version, int(network.network_address), int(network.broadcast_address), network, zone


def _overlap(around: Network, holder: ZoneFacts | None, within: Network, held: ZoneFacts | None) -> Overlap | None:
    """What is wrong with `within` lying in `around`, if anything."""
    if holder is None or held is None:
        zone = holder or held
        if zone is None or zone.kind is ZoneKind.BLOCKED:
            return None
        network, proxy = (around, within) if held is None else (within, around)
        return _finding(PROXY_IN_ZONE, zone, network, None, proxy)
    if holder.id == held.id or not _meet(holder, held):
        return None
    if holder.establishment_id == held.establishment_id:
        is_same = around == within and ZoneKind.BLOCKED not in {holder.kind, held.kind}
        return _finding(SAME_NETWORK_TWICE, holder, around, held, within) if is_same else None
    if ZoneKind.BLOCKED in {holder.kind, held.kind}:
        return None
    return _finding(PRIVATE_RANGES_OVERLAP if within.is_private else PUBLIC_RANGES_OVERLAP, holder, around, held, within)


def _finding(code: str, zone: ZoneFacts, network: Network, other: ZoneFacts | None, other_network: Network) -> Overlap:
    return Overlap(
        code=code,
        zone=zone.label,
        zone_id=zone.id,
        network=str(network),
        other=str(other_network) if other is None else other.label,
        other_id=None if other is None else other.id,
        other_network=str(other_network),
    )


def _meet(one: ZoneFacts, other: ZoneFacts) -> bool:
    """Whether there is an instant at which both are valid."""
    starts = [zone.valid_from for zone in (one, other) if zone.valid_from is not None]
    ends = [zone.valid_until for zone in (one, other) if zone.valid_until is not None]
    return not starts or not ends or max(starts) < min(ends)
