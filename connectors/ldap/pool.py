"""Which server is asked, and the few connections bound as the service account that are kept for it.

Owns order, failover and the one retry; a connection that fails is dropped, never mended. How many ask at once is connectors.breaker's.
"""

import ssl
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from connectors.base import Clock, SourceUnreachable
from connectors.ldap.address import ServerAddress, parse_server
from connectors.ldap.settings import DeskSettings, EntrySettings
from connectors.ldap.wire import SUCCESS, Wire

T = TypeVar("T")


class ServerPool:
    """The servers of one directory. Safe to share between threads."""

    def __init__(self, settings: EntrySettings, clock: Clock) -> None:
        """Connects to nothing yet. Raises ValueError for an address that would carry passwords in clear."""
        self.servers = tuple(parse_server(url, start_tls=settings.start_tls) for url in settings.servers)
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[Wire] = []
        self._left_alone: dict[ServerAddress, datetime] = {}  # servers that failed, and until when others come first
        self._context: ssl.SSLContext | None = None
        self._is_closed = False

    def as_service(self, act: Callable[[Wire], T]) -> T:
        """The act on a connection bound as the service account; done once more on another connection when the first one breaks.

        For reads only: the act may happen twice. Raises what the act raises, or SourceUnreachable.
        """
        wire = self._take()
        try:
            done = act(wire)
        except SourceUnreachable as error:
            wire.drop()
            self._note_trouble(wire.address, error)
            if not self._may_retry(wire.address, error):
                raise
        except BaseException:
            wire.drop()
            raise
        else:
            self._give_back(wire)
            return done
        wire = self.open_service()
        try:
            done = act(wire)
        except BaseException:
            wire.drop()
            raise
        self._give_back(wire)
        return done

    def as_nobody(self, act: Callable[[Wire], T]) -> T:
        """The act on a fresh connection that nobody is bound to and nobody uses after; once more on another when it breaks."""
        wire = self.open_anonymous()
        try:
            return act(wire)
        except SourceUnreachable as error:
            self._note_trouble(wire.address, error)
            if not self._may_retry(wire.address, error):
                raise
        finally:
            wire.close()
        wire = self.open_anonymous()
        try:
            return act(wire)
        finally:
            wire.close()

    def open_service(self) -> Wire:
        """A fresh connection bound as the service account; the caller closes it."""
        wire = self.open_anonymous()
        try:
            self.bind_service(wire)
        except BaseException:
            wire.drop()
            raise
        return wire

    def open_desk(self, desk: DeskSettings) -> Wire:
        """A fresh connection bound as the account of the reset desk, with what its settings say; the caller closes it."""
        wire = self.open_anonymous()
        try:
            self.bind_desk(wire, desk)
        except BaseException:
            wire.drop()
            raise
        return wire

    def bind_desk(self, wire: Wire, desk: DeskSettings) -> None:
        """As bind_service, as the account of the reset desk."""
        if desk.bind_dn is None or desk.bind_password is None:
            self.bind_service(wire)
        else:
            _bind(wire, desk.bind_dn, desk.bind_password)

    def bind_service(self, wire: Wire) -> None:
        """Bind as the service account. Raises SourceUnreachable (service_account) when the directory does not take it."""
        _bind(wire, self._settings.bind_dn, self._settings.bind_password)

    def open_at(self, address: ServerAddress) -> Wire:
        """A fresh connection to one server, nobody bound."""
        context = None if address.protection == "clear" else self._tls_context()
        return Wire(address, context, connect_timeout=self._settings.connect_timeout, receive_timeout=self._settings.receive_timeout)

    def is_well(self, address: ServerAddress) -> bool:
        """Whether a server lets the service account in now."""
        try:
            wire = self.open_at(address)
        except SourceUnreachable:
            return False
        try:
            self.bind_service(wire)
        except SourceUnreachable:
            return False
        finally:
            wire.drop()
        with self._lock:
            self._left_alone.pop(address, None)
        return True

    def close(self) -> None:
        """Let go of every idle connection; those in use are let go when given back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()

    def open_anonymous(self) -> Wire:
        """A fresh connection that nobody is bound to: the first server that answers, those that failed a moment ago last."""
        failures: list[SourceUnreachable] = []
        for address in self._in_order():
            try:
                wire = self.open_at(address)
            except SourceUnreachable as error:
                failures.append(error)
                self._note_trouble(address, error)
                continue
            with self._lock:
                self._left_alone.pop(address, None)
            return wire
        raise SourceUnreachable("; ".join(error.detail for error in failures), trouble=failures[0].trouble) from failures[0]

    def _in_order(self) -> list[ServerAddress]:
        now = self._clock.now()
        with self._lock:
            waiting = {address for address, until in self._left_alone.items() if now < until}
        return sorted(self.servers, key=waiting.__contains__)

    def _note_trouble(self, address: ServerAddress, error: SourceUnreachable) -> None:
        if error.trouble == "closed":
            self._drop_idle(address)
            return  # a restarted server closes what was open and is well
        with self._lock:
            self._left_alone[address] = self._clock.now() + self._settings.breaker_pause
        self._drop_idle(address)

    def _may_retry(self, address: ServerAddress, error: SourceUnreachable) -> bool:
        """Whether another connection may do better: the same server after it closed one, another server after anything else."""
        if error.trouble == "closed":
            return True
        return error.trouble != "service_account" and self._in_order()[0] != address

    def _drop_idle(self, address: ServerAddress) -> None:
        with self._lock:
            gone = [wire for wire in self._idle if wire.address == address]
            self._idle = [wire for wire in self._idle if wire.address != address]
        for wire in gone:
            wire.drop()

    def _take(self) -> Wire:
        preferred = self._in_order()[0]
        with self._lock:
            # Back to the preferred server once its wait is over.
            kept = next((wire for wire in reversed(self._idle) if wire.address == preferred), None)
            if kept is not None:
                self._idle.remove(kept)
        return kept or self.open_service()

    def _give_back(self, wire: Wire) -> None:
        """Keep a connection. One to the preferred server shows that it is well again: those to the servers that stood in for it are let go then."""
        preferred = self._in_order()[0]
        with self._lock:
            gone: list[Wire] = []
            if wire.address == preferred:
                gone = [idle for idle in self._idle if idle.address != preferred]
                self._idle = [idle for idle in self._idle if idle.address == preferred]
            if not self._is_closed and len(self._idle) < self._settings.concurrency:
                self._idle.append(wire)
            else:
                gone.append(wire)
        for wire in gone:
            wire.close()

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = self._make_context()
            return self._context

    def _make_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            detail = f"the authority's file {self._settings.ca_file} cannot be read: {error}"
            raise SourceUnreachable(detail, trouble="tls_untrusted") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _bind(wire: Wire, dn: str, password: str) -> None:
    answer = wire.bind(dn, password.encode())
    if answer.code != SUCCESS or answer.policy.error is not None:
        why = answer.policy.error.name.lower() if answer.policy.error is not None else answer.message
        raise SourceUnreachable(
            f"{wire.address}: the service account {dn} was refused ({answer.code} {why})".rstrip(), trouble="service_account"
        )
