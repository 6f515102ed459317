"""Where a request comes from: every zone kept in memory by each process, and the conclusion for the establishment that is active.

Owns the snapshot (renewed when the revision `zones` has moved) and the asking; policies/zones.py concludes. At the edge the snapshot may be a
second old and a store that does not answer is "outside"; a decision (`where`) always looks at the revision in its own transaction.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_network

import structlog

from idp.audit import Origin
from idp.clock import Clock
from idp.errors import StoreUnavailable
from idp.store.base import Zone
from idp.store.database import Database, Transaction
from idp.zones import REVISION
from policies.zone import INSIDE_KINDS
from policies.zones import OUTSIDE, Whereabouts, WorkstationFacts, ZoneFacts, ZoneIndex, ZoneKind, conclude

ZONES_UNKNOWN = "zones_unknown"
EDGE_LOOKS_EVERY = timedelta(seconds=1)
MOST_KEPT = 1_024
_UNKNOWN = Whereabouts(zone=OUTSIDE, kind=OUTSIDE, why=ZONES_UNKNOWN, is_inside=False, is_shared=False, may_enrol=False)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every open zone at one revision. `number` is 0 where no zone was ever written."""

    number: int
    index: ZoneIndex


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the edge knows, and since when; None: the store did not answer."""

    snapshot: Snapshot | None
    at: datetime
    concluded: dict[tuple[int, str, bool, tuple[str, ...]], Whereabouts] = field(
        default_factory=dict
    )  # by revision and address, for a second


class Locator:
    """Says where requests come from. Safe between threads; build one per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._newest: Snapshot | None = None
        self._looked: _Looked | None = None

    def where(
        self,
        tx: Transaction,
        origin: Origin,
        *,
        establishment_id: str | None,
        has_attachment: bool,
        workstation: WorkstationFacts | None = None,
    ) -> Whereabouts:
        """Where a request comes from for the active establishment, on the zones as `tx` sees them. Raises StoreUnavailable.

        `has_attachment`: the person has a valid attachment there. `workstation` is what Workstations.recognise answered for the same request. None
        as `establishment_id`: none is active yet, and nobody is inside.
        """
        now = self._clock.now()
        index = self._current(tx).index
        return conclude(
            _zone_at(index, origin.address, now, is_doubtful=origin.is_doubtful, claimed=origin.claimed, establishment_id=establishment_id),
            is_doubtful=origin.is_doubtful,
            establishment_id=establishment_id,
            has_attachment=has_attachment,
            workstation=workstation,
            now=now,
        )

    def zone_of(self, tx: Transaction, origin: Origin, *, establishment_id: str | None = None) -> ZoneFacts | None:
        """The zone that the address lies in and that is valid now, whoever's it is; None for a doubtful address.

        With an establishment, what others block is passed over.
        """
        now = self._clock.now()
        found = None if origin.is_doubtful else self._current(tx).index.find(origin.address, now, establishment_id=establishment_id)
        return found if found is not None and found.is_valid(now) else None

    def at_edge(self, address: str, *, is_doubtful: bool, claimed: tuple[str, ...] = ()) -> Whereabouts:
        """What is known of an address before anybody is; on zones that are at most a second old. Never raises, never inside."""
        now = self._clock.now()
        looked = self._look(now)
        # What a decision has read since is newer still.
        snapshot = self._newest if looked.snapshot is not None else None
        if snapshot is None:
            return _UNKNOWN
        key = (snapshot.number, address, is_doubtful, claimed)
        known = looked.concluded.get(key)
        if known is None:
            found = _zone_at(snapshot.index, address, now, is_doubtful=is_doubtful, claimed=claimed)
            known = conclude(found, is_doubtful=is_doubtful, establishment_id=None, has_attachment=False, workstation=None, now=now)
            if len(looked.concluded) < MOST_KEPT:
                looked.concluded[key] = known
        return known

    def _current(self, tx: Transaction) -> Snapshot:
        revision = tx.revisions.number(REVISION)
        known = self._newest
        if known is not None and known.number == revision:
            return known
        # Two threads may both read the zones here: neither waits for the other with a transaction open. The last one is kept, whatever its number:
        # a store that was put back to an earlier state counts too.
        self._newest = fresh = Snapshot(revision, ZoneIndex(zone_facts(zone, slug) for zone, slug in tx.zones.open_with_slugs()))
        return fresh

    def _look(self, now: datetime) -> _Looked:
        looked = self._looked
        if looked is not None and timedelta(0) <= now - looked.at < EDGE_LOOKS_EVERY:
            return looked
        snapshot: Snapshot | None = None
        try:
            with self._database.read() as tx:
                snapshot = self._current(tx)
        except StoreUnavailable as error:
            # For a second nobody asks again: a store that is down must not be waited for twice in every request.
            log.warning("zones_unknown", detail=error.detail)
        self._looked = looked = _Looked(snapshot, now)
        return looked


def _zone_at(
    index: ZoneIndex, address: str, now: datetime, *, is_doubtful: bool, claimed: tuple[str, ...], establishment_id: str | None = None
) -> ZoneFacts | None:
    """The zone of a sure address; of a doubtful one nothing but the ban that what headers claim may lie under."""
    if is_doubtful:
        return index.find_ban(claimed, now, establishment_id=establishment_id)
    return index.find(address, now, establishment_id=establishment_id)


def told(origin: Origin, concluded: Whereabouts) -> Origin:
    """The Origin with what was concluded, for the Events and the Session that follow from it."""
    return replace(origin, zone=concluded.zone, zone_kind=concluded.kind, zone_why=concluded.why)


def is_in_zone(origin: Origin) -> bool:
    """Whether the address is surely one of a trusted zone, whoever's it is: not just anybody's on the internet. Nobody is inside by that alone."""
    return origin.zone_kind in INSIDE_KINDS and not origin.is_doubtful


def zone_facts(zone: Zone, slug: str) -> ZoneFacts:
    """A stored zone as policies/zones.py judges it."""
    return ZoneFacts(
        id=zone.id,
        establishment_id=zone.establishment_id,
        slug=slug,
        name=zone.name,
        kind=ZoneKind(zone.kind),
        networks=tuple(ip_network(network) for network in zone.networks),
        valid_from=zone.valid_from,
        valid_until=zone.valid_until,
        is_egress=zone.is_egress,
        guests_apart=bool(zone.guests_apart),
        has_windows=zone.windows,
    )
