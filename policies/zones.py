"""Where a person is: which zone of which establishment an address lies in, and whether that makes them inside.

Owns the look-up (longest prefix, blocked first) and the conclusion. Does not resolve the address (network.py does) and reads no store: idp.signin
gathers and asks here. A place is no factor (CNIL délibération 2025-019): being inside spares a gesture and never shows in `amr`. Anything doubtful is
outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from policies.zone import INSIDE_KINDS, OUTSIDE, ZONE_KINDS, Network, ZoneFacts, ZoneKind, unmapped
from policies.zone_overlaps import Overlap, overlaps, undeclared_egress

__all__ = [
    "OUTSIDE",
    "ZONE_KINDS",
    "Network",
    "Overlap",
    "Whereabouts",
    "WorkstationFacts",
    "ZoneFacts",
    "ZoneIndex",
    "ZoneKind",
    "conclude",
    "overlaps",
    "undeclared_egress",
    "unmapped",
]

NETWORK_OF_ZONE = "network_of_zone"
EGRESS_WITH_WORKSTATION = "egress_with_workstation"
EGRESS_WITH_DECLARATION = "egress_with_declaration"
EGRESS_ALONE = "egress_alone"
ZONE_OF_ANOTHER_ESTABLISHMENT = "zone_of_another_establishment"
NO_ZONE = "no_zone"
ADDRESS_DOUBTFUL = "address_doubtful"
ATTACHMENT_NOT_VALID = "attachment_not_valid"
BLOCKED_NETWORK = "blocked_network"
ZONE_NOT_VALID_NOW = "zone_not_valid_now"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkstationFacts:
    """An enrolled machine, already recognised by its secret and not revoked. It counts only from its own zone."""

    id: str
    establishment_id: str
    zone_id: str
    is_shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """The conclusion. `zone` is a label or "outside", `kind` a ZoneKind or "outside", `why` a code of this module.

    `is_inside`: the gesture may be spared. `is_shared`: nothing may be remembered here. `may_enrol`: a first factor may be enrolled from here.
    """

    zone: str
    kind: str
    why: str
    is_inside: bool
    is_shared: bool
    may_enrol: bool


class ZoneIndex:
    """Zones made ready for look-ups: one dictionary a prefix length, so a look-up costs the number of distinct lengths, not of zones.

    Build one when the zones change. `zones` in any order; the order changes no answer.
    """

    def __init__(self, zones: Iterable[ZoneFacts]) -> None:
        tables: dict[tuple[int, int], dict[int, list[ZoneFacts]]] = {}
        for zone in zones:
            for network in dict.fromkeys(map(unmapped, zone.networks)):
                table = tables.setdefault((network.version, network.prefixlen), {})
                table.setdefault(int(network.network_address), []).append(zone)
        self._levels: dict[int, list[tuple[int, dict[int, list[ZoneFacts]]]]] = {4: [], 6: []}
        for (version, length), table in sorted(tables.items(), reverse=True):
            bits = 32 if version == 4 else 128
            self._levels[version].append((((1 << length) - 1) << (bits - length), table))

    def find(self, address: str, now: datetime, *, establishment_id: str | None = None) -> ZoneFacts | None:
        """The zone of an address: blocked before all, then the longest prefix, among those valid now. None: no zone, or no address.

        With an active establishment, what others block is passed over. One and the same network in two establishments is nobody's: None. When only
        zones that are not valid now hold the address, one of them is given for `conclude` to say so: it is never inside.
        """
        expired: ZoneFacts | None = None
        best: ZoneFacts | None = None
        is_disputed = False
        for zones in self._holding(address):
            valid = [zone for zone in zones if zone.is_valid(now)]
            for zone in valid:
                if zone.kind is ZoneKind.BLOCKED and establishment_id in {None, zone.establishment_id}:
                    return zone
            mine = [zone for zone in valid if zone.kind is not ZoneKind.BLOCKED]
            if mine and best is None:
                # Least trust first: two zones of one establishment on one network are a mistake that must not widen.
                best = min(mine, key=lambda zone: (_TRUST[zone.kind], zone.id))
                is_disputed = len({zone.establishment_id for zone in mine}) > 1
            elif expired is None and not valid:
                expired = min(zones, key=lambda zone: zone.id)
        if is_disputed:
            return None
        return best or expired

    def find_ban(self, claimed: Iterable[str], now: datetime, *, establishment_id: str | None = None) -> ZoneFacts | None:
        """The blocked zone, valid now, that one of these addresses lies in; each is what some header said, and nothing else follows from it."""
        zones = (self.find(address, now, establishment_id=establishment_id) for address in claimed)
        return next((zone for zone in zones if zone is not None and zone.kind is ZoneKind.BLOCKED and zone.is_valid(now)), None)

    def _holding(self, address: str) -> Iterator[list[ZoneFacts]]:
        """The zones of each network that holds the address, longest prefix first."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return
        if parsed.version == 6 and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        number = int(parsed)
        for mask, table in self._levels[parsed.version]:
            if zones := table.get(number & mask):
                yield zones


_TRUST = {ZoneKind.BLOCKED: 0, ZoneKind.VPN: 1, ZoneKind.SHARED_WORKSTATION: 2, ZoneKind.TRUSTED: 3}


def conclude(
    found: ZoneFacts | None,
    *,
    is_doubtful: bool,
    establishment_id: str | None,
    has_attachment: bool,
    workstation: WorkstationFacts | None,
    now: datetime,
) -> Whereabouts:
    """What the zone of the address means for this person at the active establishment (None: none is active yet, and nobody is inside).

    Inside takes all of: an address that is sure, a trusted or shared zone of that establishment, valid now, a valid attachment there and, when the
    address is one that a whole site leaves by, an enrolled workstation of that very zone or the recorded declaration about guests. A workstation
    alone is never inside; a shared one is shared wherever it turns up. Never for enrolment: a public address, a shared place. A doubtful address may
    be found in a blocked zone (`ZoneIndex.find_ban`), and is then blocked: a header more must not lead out of it.
    """
    is_shared_machine = workstation is not None and workstation.is_shared
    if found is None:
        return _outside(ADDRESS_DOUBTFUL if is_doubtful else NO_ZONE, is_shared=is_shared_machine)
    is_banned = found.kind is ZoneKind.BLOCKED and found.is_valid(now) and establishment_id in {None, found.establishment_id}
    if is_doubtful and not is_banned:
        return _outside(ADDRESS_DOUBTFUL, is_shared=is_shared_machine)
    if not found.is_valid(now):
        return _outside(ZONE_NOT_VALID_NOW, is_shared=is_shared_machine)
    is_shared = is_shared_machine or found.kind is ZoneKind.SHARED_WORKSTATION  # whosever it is: people follow one another there
    if establishment_id not in {None, found.establishment_id}:
        return _outside(ZONE_OF_ANOTHER_ESTABLISHMENT, is_shared=is_shared)
    if found.kind is ZoneKind.BLOCKED:
        return _at(found, BLOCKED_NETWORK, is_inside=False, is_shared=is_shared)
    if establishment_id is not None and not has_attachment:
        return _outside(ATTACHMENT_NOT_VALID, is_shared=is_shared)
    why = _egress(found, workstation) if found.is_egress and found.kind in INSIDE_KINDS else NETWORK_OF_ZONE
    if why == EGRESS_ALONE:
        return _outside(why, is_shared=is_shared)
    return _at(found, why, is_inside=establishment_id is not None and found.kind in INSIDE_KINDS, is_shared=is_shared)


def _outside(why: str, *, is_shared: bool) -> Whereabouts:
    return Whereabouts(zone=OUTSIDE, kind=OUTSIDE, why=why, is_inside=False, is_shared=is_shared, may_enrol=False)


def _at(zone: ZoneFacts, why: str, *, is_inside: bool, is_shared: bool) -> Whereabouts:
    may_enrol = is_inside and not is_shared and not zone.is_egress and zone.kind is ZoneKind.TRUSTED
    return Whereabouts(zone=zone.label, kind=zone.kind.value, why=why, is_inside=is_inside, is_shared=is_shared, may_enrol=may_enrol)


def _egress(zone: ZoneFacts, workstation: WorkstationFacts | None) -> str:
    if workstation is not None and workstation.zone_id == zone.id and workstation.establishment_id == zone.establishment_id:
        return EGRESS_WITH_WORKSTATION
    return EGRESS_WITH_DECLARATION if zone.guests_apart else EGRESS_ALONE
