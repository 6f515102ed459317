"""What listening to OpenLDAP and to 389 Directory Server have in common: a line to the first server that answers, begun again or closed by anybody.

Owns the life of the line and what its end means in words; watch.py and persistent.py own what is said on it.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from connectors.base import Clock, ConnectorError, Heard, SourceMisbehaved, SourceUnreachable
from connectors.ldap.line import Line
from connectors.ldap.people import LdapPeople
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.whom import Whom
from connectors.ldap.wire import CANNOT_ANSWER, NO_SUCH_OBJECT, UNWILLING, Message

UNAVAILABLE_CONTROL = 12
LIMITS = {3: "a time limit", 4: "a size limit", 11: "an administrative limit"}


class LineWatcher(ABC):
    """Listens to one directory, for one thread (connectors.base.Watcher)."""

    def __init__(self, name: str, settings: LdapSettings, pool: ServerPool, *, people: LdapPeople, clock: Clock) -> None:
        """Connects to nothing yet."""
        self.name = name
        self._settings = settings
        self._pool = pool
        self._people = people
        self._clock = clock
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._is_closed = False

    @abstractmethod
    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """What changed, then what changes (Watcher.listen)."""

    def close(self) -> None:
        """Stop listening, from any thread (Watcher.close)."""
        with self._lock:
            self._is_closed = True
            line = self._line
        if line is not None:
            line.close()

    def _on_a_line(self, follow: Callable[[Line, Whom], Iterator[Heard]]) -> Iterator[Heard]:
        """What is said on a line of its own, which is let go of whatever happens; nothing once the watcher is closed."""
        line = open_line(self._settings, self._pool, self._clock)
        whom = Whom(self._settings, self._pool, line.wire.address, people=self._people)
        try:
            with self._lock:
                self._line = line
                if self._is_closed:
                    return
            yield from follow(line, whom)
        except ConnectorError:
            if not self._is_closed:  # a line that was let go of under our hands is no news
                raise
        finally:
            whom.close()
            line.close()


def open_line(settings: LdapSettings, pool: ServerPool, clock: Clock) -> Line:
    """A line to the first server that answers, bound as the service account. Raises SourceUnreachable."""
    wire = pool.open_service()
    return Line(wire, clock, heartbeat=settings.watch.heartbeat, patience=settings.receive_timeout, pulse=settings.base)


def why_not(line: Line, message: Message) -> SourceUnreachable | SourceMisbehaved:
    """What the end of a search that has none means, in words for an operator."""
    where = f"{line.wire.address}"
    if message.code in CANNOT_ANSWER or message.code == UNWILLING:
        why = CANNOT_ANSWER.get(message.code, "unwilling")
        return SourceUnreachable(f"{where} does not tell what changes: {why} {message.words}".rstrip(), trouble="unavailable")
    if message.code == UNAVAILABLE_CONTROL:
        why = "it does not offer to (OpenLDAP: load the syncprov overlay on this database)"
    elif message.code == NO_SUCH_OBJECT:
        why = "the base of people or of groups is not there, or is hidden from the service account"
    elif message.code in LIMITS:
        why = f"{LIMITS[message.code]} holds entries back: raise it for the service account"
    else:
        why = f"the result code {message.code} {message.words}".rstrip()
    return SourceMisbehaved(f"{where} does not tell what changes: {why}")
