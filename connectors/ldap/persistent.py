"""Listening to 389 Directory Server: persistent search (draft-ietf-ldapext-psearch-03), for people and for groups, on one connection.

It tells what changes from now on and remembers nothing: each time it is begun everything must be read again ("lost"), and there is no cursor. It says
nothing of an entry that leaves a filter, so all entries under the bases are listened to. As in watch.py, who is concerned is all that is said.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from connectors.base import Heard, SourceMisbehaved
from connectors.ldap.ber import BOOLEAN, ENUMERATED, INTEGER, SEQUENCE, elements, encode, only
from connectors.ldap.failed_tries import FailedTries
from connectors.ldap.group_watch import GroupMemory
from connectors.ldap.line import Line
from connectors.ldap.listening import LineWatcher, why_not
from connectors.ldap.whom import Whom
from connectors.ldap.wire import Entry, Message, Wire

PERSISTENT_SEARCH, ENTRY_CHANGE = "2.16.840.1.113730.3.4.3", "2.16.840.1.113730.3.4.7"
ADD, DELETE, MODIFY, RENAME = 1, 2, 4, 8
EVERYTHING = "(objectClass=*)"
TRUE = b"\xff"


def persistent_search() -> tuple[str, bytes]:
    """The control that asks for every change from now on, saying which kind it is."""
    kinds = encode(INTEGER, bytes([ADD | DELETE | MODIFY | RENAME]))
    return PERSISTENT_SEARCH, encode(SEQUENCE, kinds, encode(BOOLEAN, TRUE), encode(BOOLEAN, TRUE))


def read_change(value: bytes) -> int:
    """ADD, DELETE, MODIFY or RENAME, from the Entry Change Notification control. Raises ValueError when it is none."""
    return next(int.from_bytes(content, "big") for kind, content in elements(only(value)[1]) if kind == ENUMERATED)


class PersistentWatcher(LineWatcher):
    """Listens to a 389 Directory Server."""

    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """What changes (Watcher.listen); the first word is always "lost"."""
        yield from self._on_a_line(self._follow)

    def _follow(self, line: Line, whom: Whom) -> Iterator[Heard]:
        settings, memory, tries = self._settings, GroupMemory(self._settings.groups), FailedTries()
        people = line.ask(settings.base, EVERYTHING, self._people.attributes, controls=[persistent_search()])
        if settings.groups.base is not None:
            wanted = (self._people.lasting_id, *memory.attributes)
            line.ask(settings.groups.base, EVERYTHING, wanted, controls=[persistent_search()])
        line.touch()
        line.start()
        if not self._is_heard(line):
            return
        begun_at = self._remember(memory)
        yield Heard(kind="lost", heard_at=begun_at)
        while not line.is_closed:
            received = line.next()
            if received is None:
                if not line.is_closed:
                    yield Heard(kind="quiet", heard_at=self._clock.now())
                continue
            message = line.read(received)
            if message.kind == "done":
                raise why_not(line, message)
            # What came before the groups were read is in what was read, and whoever heard "lost" reads the rest.
            if message.entry is not None and (heard := self._hear(message, received.at, people, memory=memory, whom=whom, tries=tries)):
                yield heard

    def _is_heard(self, line: Line) -> bool:
        """Wait until the server has answered something after it was asked to tell: it does so in the order of asking. False: closed meanwhile."""
        while (received := line.next()) is not None:
            message = line.read(received)
            if message.kind == "done":
                raise why_not(line, message)
        return not line.is_closed

    def _remember(self, memory: GroupMemory) -> datetime:
        base = self._settings.groups.base
        if base is not None:
            wanted = (self._people.lasting_id, *memory.attributes)
            for entry in self._pool.as_service(lambda wire: tuple(self._all(wire, base, wanted))):
                if (subject := self._people.subject(entry)) is not None:
                    memory.load(subject, entry)
        return self._clock.now()

    def _all(self, wire: Wire, base: str, wanted: tuple[str, ...]) -> Iterator[Entry]:
        cookie = b""
        while True:
            found = wire.search(base, EVERYTHING, wanted, page=(self._settings.page_size, cookie))
            if found is None or found.is_cut:
                raise SourceMisbehaved(f"{self.name}: groups under {base} cannot all be read")
            yield from found.entries
            if not (cookie := found.cookie):
                return

    def _hear(self, message: Message, at: datetime, people: int, *, memory: GroupMemory, whom: Whom, tries: FailedTries) -> Heard | None:
        entry = message.entry
        subject = self._people.subject(entry) if entry is not None else None
        if entry is None or subject is None:
            raise SourceMisbehaved(f"{self.name}: {self._people.lasting_id} cannot be read on what changes")
        try:
            is_gone = read_change(message.controls[ENTRY_CHANGE]) == DELETE
        except (KeyError, ValueError, StopIteration) as error:
            raise SourceMisbehaved(f"{self.name}: an entry without a word on what happened to it") from error
        if message.number == people and (is_gone or not tries.is_all(subject, entry)):
            return Heard(kind="gone" if is_gone else "person", heard_at=at, subject=subject)
        if message.number == people:
            return None
        change = memory.remove(subject) if is_gone else memory.put(subject, entry)
        if change is None:
            return None
        return Heard(kind="members", heard_at=at, subjects=whom.of(change), groups=change.names)
