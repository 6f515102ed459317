"""What a domain controller's words mean while it is listened to: a person, somebody gone, whom a group's change concerns, a unit that was moved.

Owns one line from its first word to its last, and how far it was heard (the cursor). Notification remembers nothing, and may be late for what was not
written over LDAP: so everything that was written is asked for at the beginning and every 30 seconds, by number. controller.py reads, group_links.py
keeps groups, account_ends.py who ends by themselves. Sources: [MS-ADTS] 3.1.1.1.9 (USNs), 3.1.1.5.5 (deleted objects).
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.active_directory.account_ends import AccountEnds
from connectors.active_directory.controller import CHANGED, CLASSES, CONTAINERS, DELETED, ENDS, WHEN, Controller, Reached
from connectors.active_directory.group_links import LinkMemory
from connectors.active_directory.people import ActiveDirectoryPeople
from connectors.active_directory.values import instant
from connectors.base import Clock, Heard
from connectors.ldap.line import Line, Received
from connectors.ldap.listening import why_not
from connectors.ldap.names import normal_name
from connectors.ldap.pool import ServerPool
from connectors.ldap.state import generalized_time
from connectors.ldap.wire import Entry

LOOK_AGAIN_AFTER = timedelta(seconds=30)
COUNT_AGAIN_AFTER = timedelta(minutes=10)  # where those who were deleted cannot be seen: who is still there
BEATS_AWAY = 6  # between two looks whether the first server is well again


class BeginAgainError(Exception):
    """What is remembered of the controller is worth nothing any more, or a better one is there again."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far which controller was heard, at what instant of ours, and which groups and units there were."""

    reached: Reached
    at: datetime
    fingerprint: str

    def written(self) -> bytes:
        """As a cursor."""
        said = {"database": self.reached.database, "number": self.reached.number}
        return json.dumps(said | {"at": self.at.isoformat(), "fingerprint": self.fingerprint}).encode()


def read_place(cursor: bytes | None) -> Place | None:
    """A cursor of ours; None for none, or for one of something else."""
    try:
        said = json.loads(cursor or b"null")
        at = datetime.fromisoformat(said["at"])
        return Place(Reached(str(said["database"]), int(said["number"])), at, str(said["fingerprint"])) if at.tzinfo else None
    except (ValueError, TypeError, KeyError):
        return None


def is_heard(line: Line) -> bool:
    """Wait until it has answered something after it was asked to tell; what it tells until then is found by number. False: closed meanwhile.

    Raises SourceUnreachable or SourceMisbehaved when it does not tell what changes.
    """
    while (received := line.next()) is not None:
        refuse_end(line, received)
    return not line.is_closed


def refuse_end(line: Line, received: Received) -> None:
    """Raises SourceUnreachable or SourceMisbehaved when the controller has ended what has no end."""
    if received.kind == "done":
        raise why_not(line, line.read(received))


class Listening:
    """One line, from its first word to its last."""

    def __init__(
        self,
        line: Line,
        controller: Controller,
        place: Place | None,
        *,
        pool: ServerPool,
        people: ActiveDirectoryPeople,
        clock: Clock,
        known: Callable[[], Iterator[str]],
    ) -> None:
        """`place`: where to go on; None: everybody is to be read. `known`: whom we know from there."""
        self._line = line
        self._controller = controller
        self._begun_at = place
        self._pool = pool
        self._people = people
        self._now = clock.now
        self._known = known
        self._sees_deleted = True
        self._memory = LinkMemory()
        self._ends = AccountEnds()
        self._units: dict[str, str] = {}
        self._heard_to = 0  # everything up to this number was said
        self._said: dict[str, int] = {}  # since then: the number that each entry had
        self._looked_at = self._counted_at = self._spoke_at = clock.now()
        self._beats_away = 0

    def all(self, *, heartbeat: timedelta) -> Iterator[Heard]:
        """Everything that is to be said."""
        self._line.start()
        if not is_heard(self._line):
            return
        at, reached = self._now(), self._controller.reached()
        self._load(since=at if self._begun_at is None else min(at, self._begun_at.at))
        yield from self._begin(at, reached)
        while True:
            received = self._line.next()
            if self._line.is_closed:
                return
            if received is not None:
                refuse_end(self._line, received)
                yield from self._spoken(self._notified(received))
            for subject, ended_at in self._ends.due(self._now()):
                yield from self._spoken(Heard(kind="person", heard_at=self._now(), subject=subject, written_at=ended_at))
            if self._now() - self._looked_at >= LOOK_AGAIN_AFTER:
                yield from self._look_again()
            if received is None:
                self._go_home()
            if received is None or self._now() - self._spoke_at >= heartbeat:
                yield from self._spoken(Heard(kind="quiet", heard_at=self._now()))

    def _load(self, *, since: datetime) -> None:
        self._sees_deleted = self._controller.sees_deleted()
        for subject, links in self._controller.groups():
            self._memory.load(subject, links)
        for entry in self._controller.containers():
            self._keep_unit(entry)
        for entry in self._controller.ending(since):
            self._keep_end(entry)

    def _begin(self, at: datetime, reached: Reached) -> Iterator[Heard]:
        before, now = self._begun_at, self._place(at, reached)
        is_other = before is None or before.reached.database != reached.database or before.reached.number > reached.number
        if is_other or before is None or before.fingerprint != now.fingerprint:
            # Numbers of another controller say nothing; nor is it known who was in a group, or below a unit, that is gone or has another name.
            self._heard_to, self._looked_at = reached.number, at
            yield Heard(kind="lost", heard_at=self._now(), cursor=now.written())
            return
        self._heard_to = before.reached.number
        if not self._sees_deleted:
            yield from self._count_again()
        yield from self._look_again(is_beginning=True)

    def _look_again(self, *, is_beginning: bool = False) -> Iterator[Heard]:
        """Everything that was written since the last look and was not said; then how far that is."""
        at = self._looked_at = self._now()
        reached = self._controller.reached()
        if reached.number < self._heard_to:
            raise BeginAgainError  # a backup was restored
        if reached.number > self._heard_to:
            for entry in self._controller.changed_after(self._heard_to):
                yield from self._spoken(self._hear(entry, is_beginning=is_beginning))
        for subject, ended_at in self._ends.due(at):
            yield from self._spoken(Heard(kind="person", heard_at=self._now(), subject=subject, written_at=ended_at))
        if not self._sees_deleted and at - self._counted_at >= COUNT_AGAIN_AFTER:
            yield from self._count_again()
        self._heard_to = reached.number
        self._said = {subject: number for subject, number in self._said.items() if number > reached.number}
        yield from self._spoken(Heard(kind="quiet", heard_at=self._now(), cursor=self._place(at, reached).written()))

    def _count_again(self) -> Iterator[Heard]:
        """Whom we know and who is not there any more, though nobody said so."""
        self._counted_at = self._now()
        present = {self._people.subject(entry) for entry in self._controller.present()}
        for subject in self._known():
            if subject not in present:
                yield from self._spoken(Heard(kind="gone", heard_at=self._now(), subject=subject))

    def _notified(self, received: Received) -> Heard | None:
        entry = self._line.read(received).entry if received.kind == "entry" else None
        return self._hear(entry, received=received) if entry is not None else None

    def _hear(self, entry: Entry, *, received: Received | None = None, is_beginning: bool = False) -> Heard | None:
        subject, number = self._people.subject(entry), _number(entry, CHANGED)
        if subject is None:
            return None  # what is hidden from the service account is nobody of ours
        if number is not None:
            if number <= max(self._heard_to, self._said.get(subject, 0)):
                return None
            self._said[subject] = number
        at = received.at if received is not None else self._now()
        written_at = generalized_time(entry.text(WHEN))  # to the second
        classes = {name.lower() for name in entry.texts(CLASSES)}
        is_gone = entry.text(DELETED) == "TRUE"
        if "group" in classes or self._memory.knows(subject):
            if is_beginning:
                names = self._memory.names_around(subject)
                return Heard(kind="members", heard_at=at, groups=names, written_at=written_at) if names else None
            change = self._memory.put(subject, None if is_gone else self._controller.group(subject))
            if change is None:
                return None
            return Heard(kind="members", heard_at=at, subjects=change.subjects, groups=change.names, written_at=written_at)
        if classes & CONTAINERS:
            self._hear_unit(entry, subject, is_gone=is_gone)
            return None
        if "person" not in classes or "computer" in classes:
            return None
        if not is_beginning:
            self._keep_end(entry)
        return Heard(kind="gone" if is_gone else "person", heard_at=at, subject=subject, written_at=written_at)

    def _hear_unit(self, entry: Entry, subject: str, *, is_gone: bool) -> None:
        """A unit that is moved takes everybody below it along, without a word about them."""
        before = self._units.get(subject)
        if is_gone:
            self._units.pop(subject, None)
        elif before is not None and before != normal_name(entry.dn):
            raise BeginAgainError
        else:
            self._keep_unit(entry)

    def _keep_unit(self, entry: Entry) -> None:
        if (subject := self._people.subject(entry)) is not None:
            self._units[subject] = normal_name(entry.dn)

    def _keep_end(self, entry: Entry) -> None:
        """An end that has passed is told with the change itself."""
        if (subject := self._people.subject(entry)) is not None:
            self._ends.put(subject, None if entry.text(DELETED) == "TRUE" else instant(_number(entry, ENDS)))

    def _place(self, at: datetime, reached: Reached) -> Place:
        # Whether units have the same places need only be known, not which.
        units = 0
        for subject, dn in self._units.items():
            units ^= _digest(subject, dn)
        return Place(reached, at, f"{self._memory.fingerprint}.{units:032x}")

    def _go_home(self) -> None:
        """Back to the first server when it is well again: it is the one that is asked about people."""
        self._beats_away += 1
        first = self._pool.servers[0]
        if self._line.wire.address != first and self._beats_away % BEATS_AWAY == 0 and self._pool.is_well(first):
            raise BeginAgainError

    def _spoken(self, heard: Heard | None) -> Iterator[Heard]:
        if heard is not None:
            self._spoke_at = self._now()
            yield heard


def _number(entry: Entry, attribute: str) -> int | None:
    """A whole number; None when it is not shown, or is none: one odd entry silences nobody else."""
    with suppress(ValueError):
        return int(entry.text(attribute) or "")
    return None


def _digest(subject: str, dn: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{subject}\n{dn}".encode()).digest()[:16], "big")
