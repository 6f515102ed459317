"""The open-loop generator: flows begin when their time has come, however long others take, each on a connection of its own.

That is how a shift change arrives: nobody waits to come in until a colleague is done. A late beginning (the generator itself busy) counts as
waiting of the first request, so that a slow server cannot hide behind the generator. One thread, one epoll. Flows are those of bench.load.
"""

from __future__ import annotations

import random
import select
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter, process_time

from bench.http import MalformedResponseError, parse_response
from bench.load import Flow, FlowError, FlowMaker, UnreachableError, connect

SILENCE_SECONDS = 30.0
TICK_SECONDS = 1.0


@dataclass(slots=True)
class OpenRun:
    """What one open-loop run saw.

    `requests` holds seconds by label (`GET /signin`); `arrived` and `answered` are seconds since the start, one for each flow that began and that
    ended well; `flows` how long those took from their time of arrival; `failures` counts the others by what went wrong.
    """

    seconds: float = 0.0
    requests: dict[str, list[float]] = field(default_factory=dict)
    arrived: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    flows: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    latest_beginning: float = 0.0
    generator_cpu_seconds: float = 0.0


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Times of arrival in [0, seconds): independent people, `rate` of them a second on average."""
    chance = random.Random(seed)
    at = chance.expovariate(rate)
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


def label(request: bytes) -> str:
    """Method and first part of the path: what a page is called here."""
    method, target = request[:200].split(b" ", 2)[:2]
    return f"{method.decode()} /{target.decode().partition('?')[0].strip('/').partition('/')[0]}"


class _Visit:
    __slots__ = ("asked", "buffer", "flow", "label", "sock", "started")

    def __init__(self, flow: Flow, started: float, sock: socket.socket) -> None:
        self.flow = flow
        self.started = started
        self.asked = started
        self.label = ""
        self.buffer = b""
        self.sock = sock


class Arrivals:
    """Begins a flow of `maker` at each of `times`; `tick` is called about once a second with the seconds since the start."""

    def __init__(
        self, address: tuple[str, int], maker: FlowMaker, times: Iterator[float], *, tick: Callable[[float], None] = lambda _: None
    ) -> None:
        self._address = address
        self._maker = maker
        self._times = times
        self._tick = tick
        self._poller = select.epoll()
        self._visits: dict[int, _Visit] = {}
        self._run = OpenRun()
        self._began = 0.0

    def measure(self) -> OpenRun:
        """Run to the end of the last flow; flows without an answer for SILENCE_SECONDS after the last arrival have failed."""
        cpu_before = process_time()
        self._began = perf_counter()
        coming: float | None = next(self._times, None)
        next_tick, last_heard = TICK_SECONDS, 0.0
        while coming is not None or self._visits:
            now = perf_counter() - self._began
            while coming is not None and coming <= now:
                self._begin(coming)
                last_heard = now
                coming = next(self._times, None)
            if now >= next_tick:
                self._tick(now)
                next_tick += TICK_SECONDS
            if coming is None and now - last_heard > SILENCE_SECONDS:
                break
            until = min(next_tick, next_tick if coming is None else coming)
            for descriptor, _ in self._poller.poll(max(0.0, until - (perf_counter() - self._began))):
                last_heard = now
                self._receive(self._visits[descriptor])
        self._run.seconds = perf_counter() - self._began
        for visit in list(self._visits.values()):
            self._fail(visit, f"no answer for {SILENCE_SECONDS:.0f} s at {visit.label}")
        self._poller.close()
        self._run.generator_cpu_seconds = process_time() - cpu_before
        return self._run

    def _begin(self, due: float) -> None:
        self._run.arrived.append(due)
        self._run.latest_beginning = max(self._run.latest_beginning, perf_counter() - self._began - due)
        try:
            sock = connect(self._address)
        except UnreachableError as error:
            self._run.failures[str(error)] += 1
            return
        visit = _Visit(self._maker(), self._began + due, sock)
        self._register(visit)
        self._ask(visit, next(visit.flow))

    def _register(self, visit: _Visit) -> None:
        self._visits[visit.sock.fileno()] = visit
        self._poller.register(visit.sock.fileno(), select.EPOLLIN)

    def _ask(self, visit: _Visit, request: bytes) -> None:
        visit.label = label(request)
        visit.sock.sendall(request)

    def _receive(self, visit: _Visit) -> None:
        try:
            data = visit.sock.recv(262144)
            if not data:
                self._fail(visit, f"connection closed before an answer at {visit.label}")
                return
            visit.buffer += data
            parsed = parse_response(visit.buffer)
        except (ConnectionError, MalformedResponseError) as error:
            self._fail(visit, f"{type(error).__name__} at {visit.label}")
            return
        if parsed is None:
            return
        response, taken = parsed
        now = perf_counter()
        self._run.requests.setdefault(visit.label, []).append(now - visit.asked)
        visit.buffer = visit.buffer[taken:]
        try:
            if response.closes:
                self._drop(visit)
                visit.sock = connect(self._address)
                self._register(visit)
            request = visit.flow.send(response)
        except StopIteration:
            self._drop(visit)
            self._run.answered.append(now - self._began)
            self._run.flows.append(now - visit.started)
        except (FlowError, UnreachableError) as failure:
            self._fail(visit, str(failure))
        else:
            visit.asked = now
            self._ask(visit, request)

    def _fail(self, visit: _Visit, why: str) -> None:
        self._run.failures[why] += 1
        self._drop(visit)

    def _drop(self, visit: _Visit) -> None:
        found = self._visits.pop(visit.sock.fileno(), None)
        if found is not None:
            self._poller.unregister(visit.sock.fileno())
            visit.sock.close()
