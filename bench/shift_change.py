"""The shift change: whole sign-ins by directory bind that arrive at a steady rate, whatever the server makes of them.

Each is a fresh browser and an application: /authorize, the sign-in page, its answer with the password, /token, /userinfo, on one connection
of its own. Server (two workers), slapd and generator share the machine's cores. Owns the measuring; what arrives when is bench.arrivals'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from bench import slapd
from bench.arrivals import Arrivals, OpenRun, poisson
from bench.homes import Homes
from bench.http import bearer, get
from bench.load import Flow, FlowError
from bench.statistic import percentile
from bench.subject import Subject
from bench.workloads import Seat, code_flow

WORKERS = 2
RATE = 40.0
GOAL_P99_MS = 300.0
WARM_UP_SECONDS = 5.0
PERCENTS = (50, 90, 99)


@dataclass(slots=True)
class _People:
    """Whose turn it is, and the flow of each."""

    subject: Subject
    seed: int
    names: Any = field(init=False)

    def __post_init__(self) -> None:
        self.names = slapd.in_turn(self.subject.identifiers, self.seed)

    def arrive(self) -> Flow:
        """One person's sign-in, as a browser and an application make it."""
        seat = Seat(self.subject, 0, 1)
        yield from code_flow(seat, scope=self.subject.scope, identifier=next(self.names))
        response = yield get(self.subject.host, self.subject.endpoints.userinfo, bearer(seat.access_token))
        if response.status != 200 or b'"sub"' not in response.body:
            raise FlowError(f"status {response.status} at userinfo")


def measure(homes: Homes, subject: Subject, *, seconds: float, rate: float, seed: int, bar: tqdm[Any]) -> dict[str, Any]:
    """One shift change of `seconds`, after a moment of warming up."""
    people = _People(subject, seed)
    Arrivals(subject.address, people.arrive, poisson(rate / 2, WARM_UP_SECONDS, seed + 1)).measure()
    sizes: list[tuple[float, float]] = []

    def tick(at: float) -> None:
        bar.update(min(int(at), int(seconds)) - bar.n)
        if int(at) % 5 == 0:
            sizes.append(subject.server.rss_mb())

    directory = homes.directory
    server_before = subject.server.cpu_seconds()
    slapd_before = directory.cpu_seconds() if directory else 0.0
    run = Arrivals(subject.address, people.arrive, poisson(rate, seconds, seed), tick=tick).measure()
    sizes.append(subject.server.rss_mb())
    return {
        "asked_seconds": seconds,
        "rate": rate,
        "people": len(subject.identifiers),
        **_told(run),
        "server_cpu_seconds": subject.server.cpu_seconds() - server_before,
        "slapd_cpu_seconds": (directory.cpu_seconds() if directory else 0.0) - slapd_before,
        "slapd_rss_mb": directory.rss_mb() if directory else 0.0,
        "rss_mb": max(largest for largest, _ in sizes),
        "rss_all_mb": max(every for _, every in sizes),
        "rss_first_mb": sizes[0][1],
        "rss_last_mb": sizes[-1][1],
    }


def _told(run: OpenRun) -> dict[str, Any]:
    pages = {name: figures(seconds) for name, seconds in run.requests.items()}
    return {
        "seconds": run.seconds,
        "arrived": len(run.arrived),
        "answered": len(run.answered),
        "failures": dict(run.failures),
        "pages": pages,
        "whole": figures(run.flows) if run.flows else None,
        "arrived_by_second": per_second(run.arrived),
        "answered_by_second": per_second(run.answered),
        "latest_beginning_ms": run.latest_beginning * 1000,
        "generator_cpu_seconds": run.generator_cpu_seconds,
    }


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """Count, percentiles and the most, in ms."""
    return {"count": len(seconds), **{f"p{at}_ms": percentile(seconds, at) * 1000 for at in PERCENTS}, "most_ms": max(seconds) * 1000}


def per_second(times: Sequence[float]) -> list[int]:
    """How many fell into each second."""
    counted = [0] * (int(max(times, default=0.0)) + 1)
    for at in times:
        counted[int(at)] += 1
    return counted


def pages_above(found: Mapping[str, Any], goal_ms: float = GOAL_P99_MS) -> list[str]:
    """The pages whose p99 missed the goal."""
    return [name for name, page in found["pages"].items() if page["p99_ms"] >= goal_ms]
