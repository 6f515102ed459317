"""A connection that is listened to: searches that never end are asked on it, and a thread of its own reads whatever comes, as it comes.

Owns the reading, the frames of messages (RFC 4511 section 5.1), the heartbeat and the end of it all; knows nothing of what the searches are about.
The heartbeat is a search on the very connection: it finds a server that hangs, one that is gone without a word, and a wall between that forgot us.
What comes is kept until it is asked for, so that a server need not wait for us while we do something about what it said.
"""

import os
import selectors
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from connectors.base import Clock, ConnectorError, SourceMisbehaved, SourceUnreachable
from connectors.ldap.ber import INTEGER, SEQUENCE, extent
from connectors.ldap.wire import Message, Wire

Kind = Literal["entry", "note", "done", "other"]
KINDS: dict[int, Kind] = {0x64: "entry", 0x79: "note", 0x65: "done"}
LONGEST_MESSAGE = 64 * 1024 * 1024  # a group of half a million members
MOST_KEPT = 128 * 1024 * 1024  # bytes; with more than that unread nothing more is read, and the server waits


@dataclass(frozen=True, slots=True)
class Received:
    """A message, unread: of which search it is, what kind, and when it reached us. `number` 0: the server's own word on the connection."""

    number: int
    kind: Kind
    at: datetime
    data: bytes = field(repr=False)


class Line:
    """One connection. Ask, then start; `next` from one thread, `close` from any."""

    def __init__(self, wire: Wire, clock: Clock, *, heartbeat: timedelta, patience: timedelta, pulse: str) -> None:
        """`wire` is open and bound, and the line's own from now on. After `heartbeat` of silence the entry `pulse` is asked for; without any answer
        within `patience` the line is dead. Nothing is sent or read before `start`."""
        self._wire = wire
        self._clock = clock
        self._heartbeat = heartbeat
        self._patience = patience
        self._pulse = pulse
        self._beat: int | None = None  # the heartbeat that is unanswered
        self._kept: deque[Received] = deque()
        self._kept_bytes = 0
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._is_over = False
        self._wake_out, self._wake_in = os.pipe()
        self._is_closing = False
        self._reader = threading.Thread(target=self._run, name=f"line-{wire.address}", daemon=True)

    @property
    def wire(self) -> Wire:
        """To read messages with."""
        return self._wire

    def ask(self, base: str, search_filter: str, attributes: Sequence[str], *, controls: Sequence[tuple[str, bytes]] = ()) -> int:
        """Ask a search that goes on; its number. Before `start` only, like `touch`: then the connection is the reader's."""
        with self._changed:
            self._refuse_if_closed()
            return self._wire.ask(base, search_filter, attributes, controls=controls)

    def touch(self) -> None:
        """Ask for a sign of life at once; `next` gives None when it came."""
        with self._changed:
            self._refuse_if_closed()
            self._beat = self._wire.ask(self._pulse, "(objectClass=*)", ("1.1",), depth="base")

    def start(self) -> None:
        """Begin to read; nothing once it was closed."""
        with self._changed:
            if not self._is_closing:
                self._reader.start()

    def next(self) -> Received | None:
        """What came next, waited for; None after each heartbeat that was answered, and once the line was closed (`is_closed`).

        Raises SourceUnreachable when the line is dead, SourceMisbehaved when what came cannot be read; whatever came before is given first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._kept or self._is_over or self._is_closing)
            if self._is_closing:
                return None
            if self._kept:
                found = self._kept.popleft()
                self._kept_bytes -= len(found.data)
                self._changed.notify_all()
                return found if found.data else None
            if self._failure is not None:
                raise self._failure
        return None

    def read(self, received: Received) -> Message:
        """The message, decoded. Raises SourceMisbehaved."""
        return self._wire.read_message(received.data)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closing

    def close(self) -> None:
        """Stop, and let go of the connection once nobody reads from it: from then on its descriptor may be another's."""
        with self._changed:
            was_closing, self._is_closing = self._is_closing, True
            self._changed.notify_all()
            if not was_closing:
                os.write(self._wake_in, b".")
            is_reading = self._reader.ident is not None
        if threading.current_thread() is self._reader:
            return
        if is_reading:
            self._reader.join()
        with self._changed:
            if self._wake_in >= 0:
                self._wire.drop()
                os.close(self._wake_in)
                os.close(self._wake_out)
                self._wake_in = self._wake_out = -1

    def _refuse_if_closed(self) -> None:
        if self._is_closing:
            raise SourceUnreachable(f"{self._wire.address}: nobody listens any more", trouble="closed")

    def _run(self) -> None:
        failure: Exception | None = SourceMisbehaved(f"{self._wire.address}: the thread that reads from it has died")
        try:
            self._read_on()
            failure = None
        except ConnectorError as error:
            failure = error
        except ValueError as error:
            failure = SourceMisbehaved(f"{self._wire.address}: a message that cannot be read: {error}")
        finally:
            with self._changed:
                self._failure = failure
                self._is_over = True
                self._changed.notify_all()

    def _read_on(self) -> None:
        buffer = bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._wire.fileno(), selectors.EVENT_READ)
            waiting.register(self._wake_out, selectors.EVENT_READ)
            while not self._is_closing:
                self._wait_for_room()
                if not self._wire.has_more and not self._is_readable(waiting):
                    continue
                buffer += self._wire.receive()
                self._keep(messages_in(buffer, self._clock.now()))

    def _is_readable(self, waiting: selectors.BaseSelector) -> bool:
        """Wait for bytes, as long as it is reasonable; ask for a sign of life when there are none."""
        wait = self._heartbeat if self._beat is None else self._patience
        if waiting.select(wait.total_seconds()):
            return not self._is_closing
        if self._beat is not None:
            raise SourceUnreachable(f"{self._wire.address}: no sign of life while it is listened to", trouble="timeout")
        self.touch()
        return False

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._kept_bytes < MOST_KEPT or self._is_closing)

    def _keep(self, messages: Sequence[Received]) -> None:
        with self._changed:
            for message in messages:
                if message.number == 0:
                    raise SourceUnreachable(f"{self._wire.address}: the server says that it closes the connection", trouble="closed")
                if message.number != self._beat:
                    self._kept.append(message)
                    self._kept_bytes += len(message.data)
                elif message.kind == "done":
                    self._beat = None
                    self._kept.append(Received(message.number, "done", message.at, b""))
            self._changed.notify_all()


def messages_in(buffer: bytearray, at: datetime) -> list[Received]:
    """The whole messages that have come, taken out of `buffer`. Raises ValueError for what is none."""
    found: list[Received] = []
    begin = 0
    while (frame := extent(buffer, begin)) is not None:
        content, end = frame
        if buffer[begin] != SEQUENCE or end - begin > LONGEST_MESSAGE:
            raise ValueError("not an LDAP message")
        if end > len(buffer):
            break
        number = extent(buffer, content)
        if number is None or buffer[content] != INTEGER or number[1] >= end:
            raise ValueError("an LDAP message without a number")
        kind = KINDS.get(buffer[number[1]], "other")
        found.append(Received(int.from_bytes(buffer[number[0] : number[1]], "big"), kind, at, bytes(buffer[begin:end])))
        begin = end
    del buffer[:begin]
    return found
