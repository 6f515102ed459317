"""What size costs: the time and memory of `vestibule sync`, and a sign-in by directory bind in a large group of homes beside a small one.

Both groups run at the same time, rounds alternate, and only their ratio counts. Owns the measuring; groups are made by bench.homes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from bench.homes import Homes, synchronise
from bench.load import FlowMaker, drive
from bench.statistic import median, percentile, ratio
from bench.subject import Subject
from bench.workloads import Seat, sign_in

# Few enough that a sign-in is not timed in a queue, and that twelve people are three for each connection.
CONNECTIONS = 4
WARM_UP_SECONDS = 2.0
Tell = Callable[[str], None]


def import_twice(homes: Homes, tell: Tell) -> list[dict[str, Any]]:
    """The first synchronisation, and one that finds nothing new."""
    runs = []
    for what in ("first", "unchanged"):
        run = synchronise(homes)
        people = run.added + run.changed + run.unchanged
        tell(f"sync ({what}): {people} people in {run.seconds:.1f} s, CPU {run.cpu_seconds:.1f} s, {run.peak_rss_mb:.0f} MB")
        runs.append({"what": what, "people": people, "people_per_second": people / run.seconds, **asdict(run)})
    return runs


def compare(groups: Mapping[str, tuple[Homes, Subject]], *, rounds: int, seconds: float, tell: Tell) -> list[dict[str, Any]]:
    """Every round of sign-ins of each group; the first group of a round is the last of the next one."""
    seats = {name: [Seat(subject, number, CONNECTIONS) for number in range(CONNECTIONS)] for name, (_, subject) in groups.items()}
    for name, (_, subject) in groups.items():
        drive(subject.address, _makers(seats[name]), WARM_UP_SECONDS)
    measured = []
    for number in range(rounds):
        names = list(groups) if number % 2 == 0 else list(groups)[::-1]
        for name in names:
            found = _round(*groups[name], seats[name], seconds=seconds)
            tell(
                f"size, round {number + 1}, {name}: {found['cpu_ms']:.2f} ms of CPU, p50 {found['p50_ms']:.1f} ms {found['failures'] or ''}"
            )
            measured.append({"group": name, "round": number, **found})
    return measured


def _makers(seats: Sequence[Seat]) -> list[FlowMaker]:
    return [partial(sign_in, seat) for seat in seats]


def _round(homes: Homes, subject: Subject, seats: Sequence[Seat], *, seconds: float) -> dict[str, Any]:
    slapd_before = homes.directory.cpu_seconds() if homes.directory else 0.0
    before = subject.server.cpu_seconds()
    run = drive(subject.address, _makers(seats), seconds)
    flows = max(1, len(run.latencies))
    latencies = run.latencies or (0.0,)
    return {
        "flows": len(run.latencies),
        "rate": flows / run.seconds,
        "cpu_ms": (subject.server.cpu_seconds() - before) / flows * 1000,
        "slapd_cpu_ms": ((homes.directory.cpu_seconds() if homes.directory else 0.0) - slapd_before) / flows * 1000,
        "p50_ms": percentile(latencies, 50) * 1000,
        "p99_ms": percentile(latencies, 99) * 1000,
        "rss_mb": subject.server.rss_mb()[0],
        "failures": run.failures,
    }


def summary(rounds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Medians of each group's valid rounds, by group."""
    kept: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(one["group"] for one in rounds):
        valid = [one for one in rounds if one["group"] == group and not one["failures"] and one["flows"]]
        if valid:
            kept[group] = {
                what: median([one[what] for one in valid]) for what in ("cpu_ms", "slapd_cpu_ms", "p50_ms", "p99_ms", "rate", "rss_mb")
            }
    return kept


def size_ratio(rounds: Sequence[Mapping[str, Any]], figure: str) -> float | None:
    """The large group's figure over the small one's; None when one of them has no valid round."""
    found = summary(rounds)
    return ratio(found["large"][figure], found["small"][figure]) if {"large", "small"} <= set(found) else None
