"""Listening to a domain controller: change notification for speed, update sequence numbers for completeness.

Owns the life of the line and whom it leads to; listening.py owns what is said on it. Decides nothing: whoever listens asks the domain about each
person. Source: [MS-ADTS] 3.1.1.3.4.1.9 (LDAP_SERVER_NOTIFICATION_OID).
"""

import threading
from collections.abc import Callable, Iterator

from connectors.active_directory.controller import EVERYTHING, HEARD_ATTRIBUTES, SHOW_DELETED, Controller
from connectors.active_directory.listening import BeginAgainError, Listening, Place, read_place
from connectors.active_directory.people import ActiveDirectoryPeople
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.base import Clock, ConnectorError, Heard
from connectors.ldap.line import Line
from connectors.ldap.pool import ServerPool

NOTIFICATION = ("1.2.840.113556.1.4.528", b"")


def open_line(settings: ActiveDirectorySettings, pool: ServerPool, clock: Clock) -> tuple[Line, Controller]:
    """A line to the first controller that answers, asked to tell what changes in the whole domain; and what else that very one is asked.

    The whole domain: Windows takes no part of one, and whoever is moved out of the base must be heard of. Raises SourceUnreachable, SourceMisbehaved.
    """
    wire = pool.open_service()
    try:
        controller = Controller(settings, pool, wire)
    except BaseException:
        wire.drop()
        raise
    line = Line(wire, clock, heartbeat=settings.watch.heartbeat, patience=settings.receive_timeout, pulse=settings.domain_dn)
    try:
        line.ask(settings.domain_dn, EVERYTHING, HEARD_ATTRIBUTES, controls=[NOTIFICATION, SHOW_DELETED])
        line.touch()
    except BaseException:
        line.close()
        raise
    return line, controller


class ActiveDirectoryWatcher:
    """Listens to one domain, for one thread (connectors.base.Watcher)."""

    def __init__(
        self, name: str, settings: ActiveDirectorySettings, pool: ServerPool, *, people: ActiveDirectoryPeople, clock: Clock
    ) -> None:
        """Connects to nothing yet."""
        self.name = name
        self._settings = settings
        self._pool = pool
        self._people = people
        self._clock = clock
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._is_closed = False

    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """What changed, then what changes (Watcher.listen)."""
        place = read_place(cursor)
        while True:
            try:
                yield from self._on_a_line(place, known)
                return
            except BeginAgainError:
                place = None

    def close(self) -> None:
        """Stop listening, from any thread (Watcher.close)."""
        with self._lock:
            self._is_closed = True
            line = self._line
        if line is not None:
            line.close()

    def _on_a_line(self, place: Place | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        line, controller = open_line(self._settings, self._pool, self._clock)
        try:
            with self._lock:
                self._line = line
                if self._is_closed:
                    return
            listening = Listening(line, controller, place, pool=self._pool, people=self._people, clock=self._clock, known=known)
            yield from listening.all(heartbeat=self._settings.watch.heartbeat)
        except ConnectorError:
            if not self._is_closed:  # a line that was let go of under our hands is no news
                raise
        finally:
            controller.close()
            line.close()
