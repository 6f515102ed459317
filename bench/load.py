"""The load generator: one thread, one epoll, a fixed number of keep-alive connections.

Each connection runs flows one after the other. A flow is a generator that yields the bytes of a request
and is sent the Response; it ends by returning, or by raising FlowError. What a flow says is bench.workloads'.
Flows under way when the time is over are finished and counted, so that no work the server did is left out.
"""

from __future__ import annotations

import gc
import select
import socket
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

from bench.http import MalformedResponseError, Response, parse_response

Flow = Generator[bytes, Response, None]
FlowMaker = Callable[[], Flow]

SILENCE_SECONDS = 30.0
MOST_FAILURES = 50


class FlowError(Exception):
    """A flow met a status or a body that it did not expect; the text says which."""


class UnreachableError(Exception):
    """The server under test refused a connection or fell silent."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run saw. `latencies` in seconds, one for each flow that ended well; `seconds` is wall time,
    `generator_cpu_seconds` what the generator itself used; `failures` counts flows by what went wrong."""

    seconds: float
    requests: int
    latencies: tuple[float, ...]
    failures: dict[str, int]
    generator_cpu_seconds: float


class _Connection:
    __slots__ = ("address", "buffer", "flow", "maker", "sock", "started")

    def __init__(self, address: tuple[str, int], maker: FlowMaker) -> None:
        self.address = address
        self.maker = maker
        self.flow: Flow = maker()
        self.buffer = b""
        self.started = 0.0
        self.sock = connect(address)


def connect(address: tuple[str, int]) -> socket.socket:
    """A connection that never blocks, once it is there. Raises UnreachableError."""
    try:
        sock = socket.create_connection(address, timeout=5)
    except OSError as error:
        raise UnreachableError(f"{address[0]}:{address[1]}: {error}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(0)
    return sock


def drive(address: tuple[str, int], makers: Sequence[FlowMaker], seconds: float) -> Measurement:
    """Run flows on one connection for each maker until `seconds` have passed; 0 runs each flow once.

    Raises UnreachableError when the server cannot be connected to or says nothing for SILENCE_SECONDS.
    """
    run = _Run(address, makers, seconds)
    # A collection in the middle of a run would show up as the server's latency.
    gc.collect()
    gc.disable()
    try:
        return run.measure()
    finally:
        gc.enable()
        run.close()


class _Run:
    def __init__(self, address: tuple[str, int], makers: Sequence[FlowMaker], seconds: float) -> None:
        self.poller = select.epoll()
        self.seconds = seconds
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()
        self.requests = 0
        self.deadline = 0.0
        self.connections: dict[int, _Connection] = {}
        for maker in makers:
            self._register(_Connection(address, maker))

    def _register(self, connection: _Connection) -> None:
        self.connections[connection.sock.fileno()] = connection
        self.poller.register(connection.sock.fileno(), select.EPOLLIN)

    def measure(self) -> Measurement:
        cpu_before = process_time()
        began = perf_counter()
        self.deadline = began + self.seconds
        for connection in list(self.connections.values()):
            self._begin(connection)
        while self.connections:
            events = self.poller.poll(SILENCE_SECONDS)
            if not events:
                raise UnreachableError(f"no answer for {SILENCE_SECONDS:.0f} s")
            for descriptor, _ in events:
                self._receive(self.connections[descriptor])
        return Measurement(
            seconds=perf_counter() - began,
            requests=self.requests,
            latencies=tuple(self.latencies),
            failures=dict(self.failures),
            generator_cpu_seconds=process_time() - cpu_before,
        )

    def _begin(self, connection: _Connection) -> None:
        connection.started = perf_counter()
        self._advance(connection, None)

    def _advance(self, connection: _Connection, response: Response | None) -> None:
        """Give the flow its response and send what it asks next; when it ends, record it and begin the next one."""
        while True:
            try:
                request = next(connection.flow) if response is None else connection.flow.send(response)
            except StopIteration:
                self.latencies.append(perf_counter() - connection.started)
            except FlowError as failure:
                self.failures[str(failure)] += 1
            else:
                self.requests += 1
                connection.sock.sendall(request)
                return
            now = perf_counter()
            if now >= self.deadline or self.failures.total() >= MOST_FAILURES:
                self._drop(connection)
                return
            connection.flow = connection.maker()
            connection.started = now
            response = None

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(262144)
        except ConnectionError as error:
            self._abandon(connection, f"connection lost: {error.strerror}")
            return
        if not data:
            self._abandon(connection, "connection closed before an answer")
            return
        buffer = connection.buffer + data if connection.buffer else data
        try:
            parsed = parse_response(buffer)
        except MalformedResponseError as error:
            self._abandon(connection, f"malformed response: {error}")
            return
        if parsed is None:
            connection.buffer = buffer
            return
        response, taken = parsed
        connection.buffer = buffer[taken:]
        if response.closes:
            self._reconnect(connection)
        self._advance(connection, response)

    def _reconnect(self, connection: _Connection) -> None:
        self._drop(connection)
        connection.sock = connect(connection.address)
        connection.buffer = b""
        self._register(connection)

    def _abandon(self, connection: _Connection, why: str) -> None:
        self.failures[why] += 1
        if perf_counter() >= self.deadline or self.failures.total() >= MOST_FAILURES:
            self._drop(connection)
            return
        self._reconnect(connection)
        connection.flow = connection.maker()
        self._begin(connection)

    def _drop(self, connection: _Connection) -> None:
        descriptor = connection.sock.fileno()
        self.poller.unregister(descriptor)
        del self.connections[descriptor]
        connection.sock.close()

    def close(self) -> None:
        for connection in list(self.connections.values()):
            self._drop(connection)
        self.poller.close()
