"""Enrolled workstations: a contact's pass opens one, a rotating secret in a cookie recognises it, from its own zone only.

The secret is 256 bits and is replaced about every hour. The next one follows from the present one's digest by a keyed hash, so that every answer of
the hour offers the same: a lost answer and two tabs do no harm, and nothing is written before the browser shows that it has it. From then on the
former is taken for some minutes only; after that whoever brings it holds a copy, and the workstation ends. A workstation alone is never inside
(policies/zones.py). Calls the store, passes.py, whereabouts.py and idp/zones.py.
"""

from dataclasses import dataclass
from datetime import timedelta

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, digest, same
from idp.endings import Cause
from idp.errors import Refused
from idp.signin.passes import Passes
from idp.signin.whereabouts import Locator
from idp.store.base import Establishment, Pass, Workstation
from idp.store.database import Database, Transaction
from idp.zones import end_workstation
from policies.zones import WorkstationFacts, ZoneFacts

ROTATES_EVERY = timedelta(hours=1)
RETRY_WINDOW = timedelta(minutes=10)
TAG_LENGTH = 22
LONGEST_COOKIE = 200


class WorkstationRefused(Refused):
    """The pass opens nothing here; the Event is written. `reason` may be told: whoever holds a pass was given it by a contact."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a browser's cookie says. `facts` is None where it says nothing that counts here and now; `workstation` is the record all the same.

    `cookie` is a new value to hand to the browser; `is_over`: take the cookie back. `is_new`: the browser shows for the first time that it has the
    next secret. `is_copy`: it brings one that was replaced long ago.
    """

    facts: WorkstationFacts | None = None
    workstation: Workstation | None = None
    cookie: str | None = None
    is_over: bool = False
    is_new: bool = False
    is_copy: bool = False

    @property
    def is_on_shared(self) -> bool:
        """Whether several people use this machine, wherever it turns up."""
        return self.workstation is not None and self.workstation.is_shared


NOT_RECOGNISED = Recognised()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A machine that was just enrolled, and the cookie that it is known by."""

    workstation: Workstation
    cookie: str


class _WrongZone(Exception):
    """The pass is for another zone: nothing of the transaction is kept, and the pass stays good."""


class Workstations:
    """Enrols and recognises machines. Safe between threads and processes; build one per process."""

    def __init__(self, database: Database, keyring: Keyring, *, clock: Clock, locator: Locator, passes: Passes) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._locator = locator
        self._passes = passes

    def recognise(self, cookie: str | None, origin: Origin) -> Recognised:
        """Which enrolled machine a browser is, and what follows from it: a rotation, or the end of one that was copied. Raises StoreUnavailable.

        Once a request; Pages.workstation hands the browser `cookie`, and takes it back when `is_over`.
        """
        if not cookie:
            return NOT_RECOGNISED
        with self._database.read() as tx:
            found = self.look(tx, cookie, origin)
        if found.workstation is not None and found.is_copy:
            self._end_copied(found.workstation, cookie, origin)
        elif found.workstation is not None and found.is_new:
            self._rotate(found.workstation, cookie)
        return found

    def look(self, tx: Transaction, cookie: str | None, origin: Origin) -> Recognised:
        """The same in the caller's transaction, nothing written."""
        parts = self._read(cookie)
        if parts is None:
            return Recognised(is_over=bool(cookie))
        workstation_id, secret = parts
        workstation = tx.workstations.get(workstation_id)
        if workstation is None or workstation.ended_at is not None:
            return Recognised(is_over=True)
        now = self._clock.now()
        presented = digest(secret)
        following = self._following(workstation.id, workstation.secret_digest)
        is_new = same(presented, digest(following))
        is_present = same(presented, workstation.secret_digest)
        is_former = workstation.previous_digest is not None and same(presented, workstation.previous_digest)
        if not is_new and not is_present and not (is_former and now - workstation.rotated_at < RETRY_WINDOW):
            return Recognised(workstation=workstation, is_over=True, is_copy=True)
        zone = self._locator.zone_of(tx, origin, establishment_id=workstation.establishment_id)
        if zone is None or zone.id != workstation.zone_id:
            return Recognised(workstation=workstation)
        offered = None
        if is_former:
            # The browser has missed what another of its requests was given: the same once more.
            offered = self._cookie(workstation.id, self._following(workstation.id, presented))
        elif is_present and now - workstation.rotated_at >= ROTATES_EVERY:
            offered = self._cookie(workstation.id, following)
        return Recognised(_facts(workstation), workstation, offered, is_new=is_new)

    def enrol(self, typed: str, origin: Origin, *, former: Workstation | None = None) -> Enrolled:
        """Use a pass on the machine it is typed on. Raises WorkstationRefused (pass_not_valid, wrong_zone), StoreUnavailable.

        `former` is what this very browser was enrolled as until now: it ends.
        """
        try:
            with self._database.write() as tx:
                if self._locator.zone_of(tx, origin) is None:
                    raise _WrongZone  # nothing is looked up: the answer says nothing of the pass
                given = self._passes.redeem_workstation(tx, typed, Author("anonymous", origin))
                if given is not None:
                    zone = self._locator.zone_of(tx, origin, establishment_id=given.establishment_id)
                    if zone is None or zone.id != given.zone_id:
                        raise _WrongZone
                    return self._add(tx, given, zone, origin, former=former)
        except _WrongZone:
            raise self._refused(Reason.WRONG_ZONE, origin) from None
        raise self._refused(Reason.PASS_NOT_VALID, origin)

    def establishment(self, workstation: Workstation) -> Establishment | None:
        """Where it stands, for pages."""
        with self._database.read() as tx:
            return tx.establishments.get(workstation.establishment_id)

    def _add(self, tx: Transaction, given: Pass, zone: ZoneFacts, origin: Origin, *, former: Workstation | None) -> Enrolled:
        now = self._clock.now()
        secret = self._clock.new_token()
        workstation = Workstation(
            id=self._clock.new_id(),
            establishment_id=zone.establishment_id,
            zone_id=zone.id,
            name=given.label,
            is_shared=given.is_shared,
            secret_digest=digest(secret),
            previous_digest=None,
            rotated_at=now,
            last_seen_at=now,
            enrolled_by=given.issued_by,
            created_at=now,
            ended_at=None,
        )
        tx.workstations.add(workstation)
        if former is not None:
            end_workstation(tx, former, Cause(Reason.REPLACED, "anonymous", origin), clock=self._clock)
        tx.events.append(
            Event(
                type=EventType.WORKSTATION_ENROLLED,
                at=now,
                actor="anonymous",
                origin=origin,
                establishment_id=workstation.establishment_id,
                workstation_id=workstation.id,
                details={"name": workstation.name, "zone": zone.label, "is_shared": workstation.is_shared, "issued_by": given.issued_by},
            )
        )
        return Enrolled(workstation, self._cookie(workstation.id, secret))

    def _rotate(self, workstation: Workstation, cookie: str) -> None:
        secret = cookie.split(".")[1]
        with self._database.write() as tx:
            # Of two requests that bring the new secret one writes it; the other was right all the same.
            tx.workstations.rotate(workstation.id, present=workstation.secret_digest, next_digest=digest(secret), now=self._clock.now())

    def _end_copied(self, seen: Workstation, cookie: str, origin: Origin) -> None:
        with self._database.write() as tx:
            # Looked at again: of several requests that bring the old secret at once one raises the alarm.
            found = self.look(tx, cookie, origin)
            cause = Cause(Reason.SECRET_COPIED, "anonymous", origin)
            if found.workstation is None or not found.is_copy or end_workstation(tx, found.workstation, cause, clock=self._clock) is None:
                return
            tx.events.append(
                Event(
                    type=EventType.WORKSTATION_STOLEN,
                    at=self._clock.now(),
                    actor="anonymous",
                    origin=origin,
                    reason=Reason.SECRET_COPIED,
                    establishment_id=seen.establishment_id,
                    workstation_id=seen.id,
                    details={"name": seen.name},
                )
            )

    def _refused(self, reason: Reason, origin: Origin) -> WorkstationRefused:
        event = Event(type=EventType.WORKSTATION_REFUSED, at=self._clock.now(), actor="anonymous", origin=origin, reason=reason)
        with self._database.write() as tx:
            tx.events.append(event)
        return WorkstationRefused(reason)

    def _following(self, workstation_id: str, present_digest: str) -> str:
        """The secret after the one with this digest: nobody without our key can tell it, whatever they read in the store."""
        return self._keyring.keyed_hash("workstation secret", f"{workstation_id} {present_digest}")

    def _cookie(self, workstation_id: str, secret: str) -> str:
        return f"{workstation_id}.{secret}.{self._tag(workstation_id, secret)}"

    def _read(self, cookie: str | None) -> tuple[str, str] | None:
        """The workstation's id and the secret, when we made them: one that is not the present one is then an old one, and not an invention."""
        parts = cookie.split(".") if cookie and cookie.isascii() and len(cookie) <= LONGEST_COOKIE else ()
        if len(parts) != 3 or not same(parts[2], self._tag(parts[0], parts[1])):
            return None
        return parts[0], parts[1]

    def _tag(self, workstation_id: str, secret: str) -> str:
        return self._keyring.keyed_hash("workstation cookie", f"{workstation_id} {secret}")[:TAG_LENGTH]


def _facts(workstation: Workstation) -> WorkstationFacts:
    return WorkstationFacts(
        id=workstation.id,
        establishment_id=workstation.establishment_id,
        zone_id=workstation.zone_id,
        is_shared=workstation.is_shared,
    )
