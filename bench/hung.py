"""A directory that hangs (SIGSTOP), and what everything else keeps of its throughput: token requests and sign-ins of local accounts.

In every condition people keep trying to sign in through the directory, at the same rate, each when the time has come. `well`: they succeed, which
costs no password hash. `mistyped`: the directory is well and knows none of them; `hung` and `down`: they are told to wait; `without`: no directory is
configured. These four cost one hash a try, by design: a failing try must not tell by its time whom it names. Owns the measuring only.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bench import slapd, vestibule
from bench.arrivals import Arrivals, OpenRun, poisson
from bench.homes import Homes
from bench.load import Flow, FlowError, FlowMaker, drive
from bench.statistic import median, percentile, ratio
from bench.subject import Subject
from bench.workloads import WORKLOADS, Seat, code_flow

CONNECTIONS = 16
WARM_UP_SECONDS = 1.5
WORKLOADS_BESIDE = ("W1", "W2", "W3")
CONDITIONS = ("without", "well", "mistyped", "hung", "down")
KNOWN = ("well", "hung", "down")  # where those who try are people of the directory
# A paused breaker tries again after ten seconds (breaker_pause): then the directory has been found well.
RECOVERY_SECONDS = 60.0
LOCAL_PEOPLE = tuple(f"sur-place{number}" for number in range(2 * CONNECTIONS))


class _Tries:
    """People trying to sign in through the directory meanwhile, on a thread of their own."""

    def __init__(self, subject: Subject, names: Iterator[str], *, rate: float, seconds: float, seed: int) -> None:
        self._subject = subject
        self._names = names
        self._arrivals = Arrivals(subject.address, self._try, poisson(rate, seconds, seed))
        self._found = OpenRun()
        self._thread = threading.Thread(target=self._go)

    def _try(self) -> Flow:
        seat = Seat(self._subject, 0, 1)
        yield from code_flow(seat, scope=self._subject.scope, identifier=next(self._names))

    def _go(self) -> None:
        self._found = self._arrivals.measure()

    def __enter__(self) -> _Tries:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def told(self) -> dict[str, Any]:
        found = self._found
        waits = found.requests.get("POST /signin", [])
        return {
            "tries": len(found.arrived),
            "signed_in": len(found.answered),
            "refused": dict(found.failures),
            "post_p50_ms": percentile(waits, 50) * 1000 if waits else None,
            "post_most_ms": max(waits) * 1000 if waits else None,
        }


def measure(
    groups: dict[str, tuple[Homes, Subject]], *, rounds: int, seconds: float, tries: float, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Every workload in every condition, the order turned round each time. `groups`: `with` a directory and `without` one."""
    measured = []
    nobodies = (f"inconnue{number}" for number in itertools.count())  # never twice: who fails too often is made to wait, at no cost
    for number in range(rounds):
        for key in WORKLOADS_BESIDE:
            for condition in CONDITIONS if number % 2 == 0 else CONDITIONS[::-1]:
                homes, subject = groups["without" if condition == "without" else "with"]
                found = _one(homes, subject, key, condition=condition, seconds=seconds, tries=tries, seed=number, nobodies=nobodies)
                tell(
                    f"hung, round {number + 1}, {key} {condition}: {found['rate']:.0f}/s, worst second {found['worst_second']:.0f}, "
                    f"tries {found['tries']['signed_in']}/{found['tries']['tries']} {found['failures'] or ''}"
                )
                measured.append({"round": number, "workload": key, "condition": condition, **found})
    return measured


def _one(
    homes: Homes, subject: Subject, key: str, *, condition: str, seconds: float, tries: float, seed: int, nobodies: Iterator[str]
) -> dict[str, Any]:
    local = replace(subject, identifiers=LOCAL_PEOPLE, password=vestibule.PASSWORD)
    workload = WORKLOADS[key]
    seats = [Seat(local, number, CONNECTIONS) for number in range(CONNECTIONS)]
    if workload.enter is not None:
        drive(local.address, [partial(workload.enter, seat) for seat in seats], 0)
    for seat in seats:
        if workload.prepare is not None:
            workload.prepare(seat)
    ended: list[float] = []
    makers: list[FlowMaker] = [partial(_timed, partial(workload.flow, seat), ended) for seat in seats]
    drive(local.address, makers, WARM_UP_SECONDS)
    ended.clear()
    names = slapd.in_turn(subject.identifiers, seed) if condition in KNOWN else nobodies
    with _condition(homes, subject, condition), _Tries(subject, names, rate=tries, seconds=seconds, seed=seed) as meanwhile:
        before, began = subject.server.cpu_seconds(), time.perf_counter()
        run = drive(local.address, makers, seconds)
        cpu = subject.server.cpu_seconds() - before
    by_second = [0] * max(1, int(seconds))
    for at in ended:
        if int(at - began) < len(by_second):
            by_second[int(at - began)] += 1
    flows = max(1, len(run.latencies))
    return {
        "rate": len(run.latencies) / run.seconds,
        "worst_second": float(min(by_second)),
        "by_second": by_second,
        "p50_ms": percentile(run.latencies or (0.0,), 50) * 1000,
        "p99_ms": percentile(run.latencies or (0.0,), 99) * 1000,
        "cpu_share": cpu / run.seconds,
        "cpu_ms": cpu / flows * 1000,
        "failures": run.failures,
        "tries": meanwhile.told(),
    }


def _timed(flow: Callable[[], Flow], ended: list[float]) -> Flow:
    yield from flow()
    ended.append(time.perf_counter())


@contextmanager
def _condition(homes: Homes, subject: Subject, condition: str) -> Iterator[None]:
    """The directory in that condition; well again, and found so by the server, at the end."""
    if homes.directory is None:
        yield
        return
    _wait_until_found_well(subject)
    server = homes.directory.slapd
    try:
        if condition == "hung":
            server.hang()
        elif condition == "down":
            server.stop()
        yield
    finally:
        server.resume()
        server.start()


def _wait_until_found_well(subject: Subject) -> None:
    """Sign in through the directory until it works: the breaker is closed and a connection is kept open."""
    deadline = time.perf_counter() + RECOVERY_SECONDS
    while True:
        found = drive(subject.address, [partial(_through_the_directory, subject)], 0)
        if not found.failures:
            return
        if time.perf_counter() > deadline:
            raise FlowError(f"the directory is well and not found so: {found.failures}")
        time.sleep(0.5)


def _through_the_directory(subject: Subject) -> Flow:
    yield from code_flow(Seat(subject, 0, 1), scope=subject.scope, identifier=subject.identifiers[0])


def summary(rounds: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, float]]:
    """Medians of the valid rounds by workload and condition."""
    kept: dict[tuple[str, str], dict[str, float]] = {}
    for workload, condition in dict.fromkeys((one["workload"], one["condition"]) for one in rounds):
        valid = [one for one in rounds if (one["workload"], one["condition"]) == (workload, condition) and not one["failures"]]
        if valid:
            kept[workload, condition] = {
                what: median([one[what] for one in valid]) for what in ("rate", "worst_second", "p50_ms", "p99_ms", "cpu_share")
            }
    return kept


def kept_share(rounds: Sequence[dict[str, Any]], workload: str, condition: str, beside: str) -> float | None:
    """The throughput in a condition over that in another."""
    found = summary(rounds)
    if (workload, condition) not in found or (workload, beside) not in found:
        return None
    return ratio(found[workload, condition]["rate"], found[workload, beside]["rate"])
