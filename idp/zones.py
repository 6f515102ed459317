"""Zones and workstations as they are written: added, changed and ended, from the configuration file (through idp.registry) or by a command.

Owns the acts, each with its Event and its step of the revision `zones`, by which every process drops the zones that it remembers. What a zone means
is policies/zones.py's; the secret of a workstation idp/signin/workstations.py's. The file and the commands never change each other's zones, but
the file takes over one that a command had added under the same name.
"""

from collections.abc import Iterable
from typing import Any

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.config import ZoneSettings, zone_window
from idp.endings import Cause, Ended, end_session
from idp.store.base import Establishment, Workstation, Zone
from idp.store.database import Transaction

CONFIGURATION = "config"
REVISION = "zones"


def put_zone(tx: Transaction, establishment: Establishment, settings: ZoneSettings, author: Author, *, source: str, clock: Clock) -> bool:
    """Add or change the establishment's zone of this name; whether anything changed."""
    tx.lock("registry")
    return _put(tx, establishment, settings, author, present=tx.zones.named(establishment.id, settings.name), source=source, clock=clock)


def _put(
    tx: Transaction,
    establishment: Establishment,
    settings: ZoneSettings,
    author: Author,
    *,
    present: Zone | None,
    source: str,
    clock: Clock,
) -> bool:
    valid_from, valid_until = zone_window(settings.first_day, settings.last_day, establishment.time_zone)
    values: dict[str, Any] = {
        "kind": settings.kind,
        "networks": tuple(str(network) for network in settings.networks),
        "is_egress": settings.egress,
        "guests_apart": settings.guests_apart,
        "windows": settings.windows,
        "first_day": settings.first_day,
        "last_day": settings.last_day,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "source": source,
    }
    if present is None:
        now = clock.now()
        added = Zone(id=clock.new_id(), establishment_id=establishment.id, name=settings.name, created_at=now, ended_at=None, **values)
        tx.zones.add(added)
        _record(tx, establishment, added, author, changed=["added"], clock=clock)
        return True
    changed = [name for name, value in values.items() if getattr(present, name) != value]
    if changed:
        tx.zones.change(present.id, values)
        _record(tx, establishment, tx.zones.get(present.id) or present, author, changed=changed, clock=clock)
    return bool(changed)


def put_configured(tx: Transaction, establishment: Establishment, wanted: Iterable[ZoneSettings], author: Author, *, clock: Clock) -> bool:
    """Make the establishment's zones of the file those that the file names now; whether anything changed."""
    tx.lock("registry")
    present = {zone.name: zone for zone in tx.zones.of(establishment.id)}
    names = set()
    has_changed = False
    for settings in wanted:
        names.add(settings.name)
        before = present.get(settings.name)
        has_changed |= _put(tx, establishment, settings, author, present=before, source=CONFIGURATION, clock=clock)
    for zone in present.values():
        if zone.source == CONFIGURATION and zone.name not in names:
            end_zone(tx, establishment, zone, author, clock=clock)
            has_changed = True
    return has_changed


def move_days(tx: Transaction, establishment: Establishment, author: Author, *, clock: Clock) -> None:
    """The establishment's time zone has changed: its zones' days begin and end at other instants."""
    for zone in tx.zones.of(establishment.id):
        valid_from, valid_until = zone_window(zone.first_day, zone.last_day, establishment.time_zone)
        if (valid_from, valid_until) != (zone.valid_from, zone.valid_until):
            tx.zones.change(zone.id, {"valid_from": valid_from, "valid_until": valid_until})
            _record(tx, establishment, zone, author, changed=["time_zone"], clock=clock)


def end_zone(tx: Transaction, establishment: Establishment, zone: Zone, author: Author, *, clock: Clock) -> Ended:
    """End a zone with its workstations, and the Sessions that were opened on them. Twice changes nothing."""
    tx.lock("registry")
    if not tx.zones.end(zone.id, clock.now()):
        return Ended()
    ended = Ended()
    cause = Cause(Reason.ZONE_ENDED, author.actor, author.origin)
    for workstation in tx.workstations.open(zone_id=zone.id):
        ended += end_workstation(tx, workstation, cause, clock=clock) or Ended()
    _record(tx, establishment, zone, author, changed=["ended"], clock=clock)
    return ended


def end_workstation(tx: Transaction, workstation: Workstation, cause: Cause, *, clock: Clock) -> Ended | None:
    """End an enrolled machine, and the Sessions that were opened on it. None when it had ended: of several callers one is told otherwise."""
    tx.lock(f"workstation {workstation.id}")  # whoever signs in on it has finished, or will find it ended
    if not tx.workstations.end(workstation.id, clock.now()):
        return None
    sessions = [session for key in tx.workstations.open_session_ids(workstation.id) if (session := tx.sessions.get(key))]
    tx.people.hold(*{session.account_id for session in sessions})
    ended = Ended()
    for session in sessions:
        ended += end_session(tx, session, cause, clock=clock)
    tx.events.append(
        Event(
            type=EventType.WORKSTATION_ENDED,
            at=clock.now(),
            actor=cause.actor,
            origin=cause.origin,
            reason=cause.reason,
            establishment_id=workstation.establishment_id,
            workstation_id=workstation.id,
            details={"name": workstation.name, **ended.counts},
        )
    )
    return ended


def _record(tx: Transaction, establishment: Establishment, zone: Zone, author: Author, *, changed: list[str], clock: Clock) -> None:
    tx.revisions.advance(REVISION)
    tx.events.append(
        Event(
            type=EventType.ZONE_CHANGED,
            at=clock.now(),
            actor=author.actor,
            origin=author.origin,
            establishment_id=establishment.id,
            details={
                "zone": f"{establishment.slug}/{zone.name}",
                "changed": " ".join(changed),
                "kind": zone.kind,
                "networks": " ".join(zone.networks),
                **({"windows": True} if zone.windows else {}),
            },
        )
    )
