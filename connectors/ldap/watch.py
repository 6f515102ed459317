"""Listening to OpenLDAP: RFC 4533 refreshAndPersist, for people and for groups, on one connection.

Owns what the server's words mean: who changed, who is gone, whom a group's change concerns, how far it was heard (the cursor). Decides nothing:
whoever listens asks the directory about each person. line.py reads the connection, sync_info.py the controls, group_watch.py keeps the groups.
Entries that are gone are only named while slapd remembers them (syncprov-sessionlog, in its memory): after its restart it says who is still there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from connectors.base import Clock, Heard, SourceMisbehaved
from connectors.ldap.failed_tries import FailedTries
from connectors.ldap.group_watch import GroupMemory
from connectors.ldap.line import Line, Received
from connectors.ldap.listening import LineWatcher, why_not
from connectors.ldap.people import LdapPeople
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.sync_info import (
    REFRESH_REQUIRED,
    SYNC_INFO,
    SYNC_STATE,
    EntryState,
    Info,
    is_after,
    last_of_each_server,
    read_info,
    read_state,
    sync_request,
    written_at,
)
from connectors.ldap.whom import Whom
from connectors.ldap.wire import UNWILLING, Entry, Message

CHANGE_NUMBER = "entryCSN"


BEATS_BEHIND = 2  # one may fall between the two words on one change
BEATS_AWAY = 6  # between two looks whether the first server is well again


class BeginAgainError(Exception):
    """The server cannot go on from where we were, or has kept something from us. `place`: where to begin; None: with everything."""

    def __init__(self, place: "Place | None") -> None:
        super().__init__()
        self.place = place


@dataclass(frozen=True, slots=True)
class Place:
    """How far a directory was heard: the cookies of people and of groups, and which groups there were (GroupMemory.fingerprint)."""

    people: bytes
    groups: bytes = b""
    fingerprint: str = ""

    def written(self) -> bytes | None:
        """As a cursor; None while there is nothing to begin with."""
        if not self.people:
            return None
        said = {"people": self.people.decode("latin-1"), "groups": self.groups.decode("latin-1"), "fingerprint": self.fingerprint}
        return json.dumps(said).encode()


def read_place(cursor: bytes | None) -> Place | None:
    """A cursor of ours; None for none, or for one of something else."""
    try:
        said = json.loads(cursor or b"null")
        place = Place(said["people"].encode("latin-1"), said["groups"].encode("latin-1"), str(said["fingerprint"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return place if place.people else None


class SyncWatcher(LineWatcher):
    """Listens to an OpenLDAP."""

    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """What changed, then what changes (Watcher.listen)."""
        place = read_place(cursor)
        while True:
            try:
                yield from self._on_a_line(partial(self._follow, place, known))
                return
            except BeginAgainError as again:
                place = again.place

    def _follow(self, place: Place | None, known: Callable[[], Iterator[str]], line: Line, whom: Whom) -> Iterator[Heard]:
        listening = _Listening(self._settings, self._people, self._clock, pool=self._pool, line=line, place=place, whom=whom)
        return listening.all(known)


@dataclass(slots=True)
class _Refresh:
    """What came before the first "done"."""

    changed: dict[str, datetime | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    says_who_is_present: bool = False
    groups: dict[str, datetime | None] = field(default_factory=dict)  # those that changed
    tells_when: bool = True  # of every group


class _Listening:
    """One line, from its first word to its last."""

    def __init__(
        self, settings: LdapSettings, people: LdapPeople, clock: Clock, *, pool: ServerPool, line: Line, place: Place | None, whom: Whom
    ) -> None:
        self._now = clock.now
        self._pool = pool
        self._line = line
        self._whom = whom
        self._begun_at = place
        self._place = place or Place(b"")
        self._memory = GroupMemory(settings.groups)
        self._heartbeat = settings.watch.heartbeat
        self._tries = FailedTries()
        asked = (*people.attributes, CHANGE_NUMBER)
        self._people = line.ask(settings.base, people.scope, asked, controls=[sync_request(self._place.people)])
        self._groups: int | None = None
        if settings.groups.base is not None:
            # All of them each time: what a group held before is what its next change is compared with.
            wanted = (*self._memory.attributes, CHANGE_NUMBER)
            self._groups = line.ask(settings.groups.base, self._memory.filter, wanted, controls=[sync_request(None)])
        self._refreshing = {number for number in (self._people, self._groups) if number is not None}
        self._spoke_at = self._now()
        self._beats_behind = self._beats_away = 0
        self._is_told = True  # whether the last cursor was given

    def all(self, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """Everything that is to be said."""
        self._line.start()
        refresh = self._refresh()
        if self._line.is_closed:
            return
        yield from self._catch_up(refresh, known)
        while not self._line.is_closed:
            yield from self._next()

    def _refresh(self) -> _Refresh:
        refresh = _Refresh()
        last = last_of_each_server(self._place.groups)
        while self._refreshing and not self._line.is_closed:
            received = self._line.next()
            # Without a cursor everybody comes, and everybody will be read all the same.
            if received is None or (self._begun_at is None and received.kind == "entry" and received.number == self._people):
                continue
            message = self._read(received)
            if message.kind == "note":
                self._note_refreshed(received.number, self._info(message), refresh)
            elif message.kind == "entry":
                self._entry_refreshed(message, refresh, last)
        return refresh

    def _note_refreshed(self, number: int, info: Info, refresh: _Refresh) -> None:
        self._move(number, info.cookie)
        if info.is_done:
            self._refreshing.discard(number)
        if number != self._people:
            return
        if info.kind == "ids":
            (refresh.gone if info.are_gone else refresh.present).update(info.uuids)
        elif info.kind == "present":
            refresh.says_who_is_present = True

    def _entry_refreshed(self, message: Message, refresh: _Refresh, last: Mapping[str, str]) -> None:
        state, entry = self._state(message), _entry_of(message)
        self._move(message.number, state.cookie)
        number = entry.text(CHANGE_NUMBER)
        if message.number == self._groups:
            refresh.tells_when &= number is not None
            if state.state == "delete":
                self._memory.remove(state.uuid)
            else:
                self._memory.load(state.uuid, entry)
            if is_after(number, last):
                refresh.groups[state.uuid] = written_at(number)
        elif state.state == "delete":
            refresh.gone.add(state.uuid)
        elif state.state == "present":
            refresh.present.add(state.uuid)
        else:
            refresh.changed[state.uuid] = written_at(number)

    def _catch_up(self, refresh: _Refresh, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        now = self._now()
        self._place = replace(self._place, fingerprint=self._memory.fingerprint)
        if self._begun_at is None or self._begun_at.fingerprint != self._place.fingerprint or not refresh.tells_when:
            # Nobody remembers who was in a group that is gone, or has another name; nor which changed, when that cannot be read.
            yield self._say(Heard(kind="lost", heard_at=now), is_last=True)
            return
        gone = refresh.gone
        if refresh.says_who_is_present:
            gone |= {subject for subject in known() if subject not in refresh.present and subject not in refresh.changed}
        for subject in gone - refresh.changed.keys():
            if self._memory.knows(subject):
                continue  # slapd remembers changes, not whether they were of people
            yield self._say(Heard(kind="gone", heard_at=now, subject=subject))
        for subject, at in refresh.changed.items():
            yield self._say(Heard(kind="person", heard_at=now, subject=subject, written_at=at))
        for subject, at in refresh.groups.items():
            names = self._memory.names_around(subject)
            yield self._say(Heard(kind="members", heard_at=now, subjects=None, groups=names, written_at=at))
        yield self._say(Heard(kind="quiet", heard_at=now), is_last=True)

    def _next(self) -> Iterator[Heard]:
        received = self._line.next()
        if received is None:
            if not self._line.is_closed:
                self._refuse_to_fall_behind()
                self._go_home()
                yield self._say(Heard(kind="quiet", heard_at=self._now()), is_last=True)
            return
        message = self._read(received)
        heard: Heard | None = None
        if message.kind == "note":
            info = self._info(message)
            self._move(received.number, info.cookie)
            for subject in info.uuids if info.are_gone else ():
                if received.number == self._people:
                    yield self._say(Heard(kind="gone", heard_at=received.at, subject=subject, written_at=written_at(info.cookie)))
        elif message.kind == "entry":
            heard = self._hear(message, received.at)
        if heard is not None:
            yield self._say(heard, is_last=True)
        elif received.at - self._spoke_at >= self._heartbeat:
            yield self._say(Heard(kind="quiet", heard_at=received.at), is_last=True)

    def _refuse_to_fall_behind(self) -> None:
        """Every write moves both cookies, whether it concerns us or not: but for the word on somebody who was moved to where the service account sees
        nothing, which slapd leaves out. Asked again, it says that they are gone."""
        reached = last_of_each_server(self._place.people), last_of_each_server(self._place.groups)
        self._beats_behind = self._beats_behind + 1 if self._groups is not None and reached[0] != reached[1] else 0
        is_new = self._begun_at is None or self._begun_at.people != self._place.people
        if self._beats_behind >= BEATS_BEHIND and is_new:
            raise BeginAgainError(self._place)

    def _go_home(self) -> None:
        """Back to the first server when it is well again: it is the one that is asked about people, and another may be ahead of it."""
        self._beats_away += 1
        first = self._pool.servers[0]
        if self._line.wire.address != first and self._beats_away % BEATS_AWAY == 0 and self._pool.is_well(first):
            raise BeginAgainError(self._place)

    def _hear(self, message: Message, at: datetime) -> Heard | None:
        state, entry = self._state(message), _entry_of(message)
        self._move(message.number, state.cookie)
        written = written_at(entry.text(CHANGE_NUMBER) or state.cookie)
        if message.number == self._people and state.state == "delete":
            self._tries.forget(state.uuid)
            return Heard(kind="gone", heard_at=at, subject=state.uuid, written_at=written)
        if message.number == self._people:
            is_news = not self._tries.is_all(state.uuid, entry)
            return Heard(kind="person", heard_at=at, subject=state.uuid, written_at=written) if is_news else None
        change = self._memory.remove(state.uuid) if state.state == "delete" else self._memory.put(state.uuid, entry)
        self._place = replace(self._place, fingerprint=self._memory.fingerprint)
        if change is None:
            return None
        subjects = self._whom.of(change)
        return Heard(kind="members", heard_at=at, subjects=subjects, groups=change.names, written_at=written)

    def _say(self, heard: Heard, *, is_last: bool = False) -> Heard:
        """With the cursor, when everything that the cursor covers has been said and it is another than before."""
        self._spoke_at = heard.heard_at
        if not is_last or self._is_told:
            return heard
        self._is_told = True
        return replace(heard, cursor=self._place.written())

    def _move(self, number: int, cookie: bytes | None) -> None:
        if cookie:
            self._place = replace(self._place, people=cookie) if number == self._people else replace(self._place, groups=cookie)
            self._is_told = False

    def _read(self, received: Received) -> Message:
        message = self._line.read(received)
        if message.kind == "done":
            self._refuse_end(message)
        return message

    def _refuse_end(self, message: Message) -> None:
        """The server has ended a search that has no end."""
        is_begun = message.number not in self._refreshing
        if message.code in {UNWILLING, REFRESH_REQUIRED} and (self._begun_at is not None or is_begun):
            raise BeginAgainError(None)
        raise why_not(self._line, message)

    def _state(self, message: Message) -> EntryState:
        try:
            return read_state(message.controls[SYNC_STATE])
        except (KeyError, ValueError) as error:
            raise SourceMisbehaved(f"{self._line.wire.address}: an entry without a word on what happened to it") from error

    def _info(self, message: Message) -> Info:
        if message.name != SYNC_INFO:
            return Info(kind="ids")
        try:
            return read_info(message.value)
        except ValueError as error:
            raise SourceMisbehaved(f"{self._line.wire.address}: a synchronisation message that cannot be read") from error


def _entry_of(message: Message) -> Entry:
    assert message.entry is not None  # noqa: S101  # of this kind
    return message.entry
