"""What a result file says: medians over the valid rounds, floors and ratios. Pure; reads the JSON as parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import published
from bench.floors import for_arithmetic
from bench.statistic import floor_cpu_ms, median, ratio
from bench.workloads import WORKLOADS

PEER_CLOSEST = "node-oidc-provider"


@dataclass(frozen=True, slots=True)
class Line:
    """One system, algorithm and workload: medians of its valid rounds. `rounds` counts them, `invalid` the others.

    `floor_ms` and `times_floor` are given for Vestibule only: the floor is that of its own way of working.
    """

    subject: str
    alg: str
    is_ours: bool
    workload: str
    rounds: int
    invalid: int
    rate: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    requests_per_flow: float
    generator_share: float
    spread: float
    failures: tuple[str, ...]
    floor_ms: float | None
    times_floor: float | None


def lines(result: Mapping[str, Any]) -> list[Line]:
    """Every line of a result, ours first, in the order of the workloads."""
    keys: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        keys.setdefault((run["workload"], run["subject"], run["alg"]), []).append(run)
    made = [_line(result, runs) for runs in keys.values()]
    return sorted(made, key=lambda line: (line.workload, not line.is_ours, line.subject, line.alg))


def _line(result: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> Line:
    first = runs[0]
    valid = [run for run in runs if run["valid"]]
    failures = tuple(dict.fromkeys(reason for run in runs for reason in run["failures"]))

    def middle(name: str) -> float:
        return median([run[name] for run in valid]) if valid else 0.0

    rates = [run["rate"] for run in valid]
    floor = None
    if first["is_ours"] and valid and result.get("floors"):
        figures = for_arithmetic(result["floors"], result["sqlite_synchronous"])
        work = WORKLOADS[first["workload"]].work
        floor = floor_cpu_ms(work, middle("requests_per_flow"), first["alg"], figures)
    return Line(
        subject=first["subject"],
        alg=first["alg"],
        is_ours=first["is_ours"],
        workload=first["workload"],
        rounds=len(valid),
        invalid=len(runs) - len(valid),
        rate=middle("rate"),
        cpu_ms=middle("cpu_ms"),
        p50_ms=middle("p50_ms"),
        p99_ms=middle("p99_ms"),
        rss_mb=max((run["rss_mb"] for run in valid), default=0.0),
        requests_per_flow=middle("requests_per_flow"),
        generator_share=middle("generator_share"),
        spread=(max(rates) - min(rates)) / median(rates) if rates else 0.0,
        failures=failures,
        floor_ms=floor,
        times_floor=ratio(middle("cpu_ms"), floor) if valid else None,
    )


def times_durable(line: Line) -> float | None:
    """How many times the best durable published row this line's rate is, or None without a valid round."""
    return ratio(line.rate, published.best_durable(line.workload).rates[line.workload]) if line.rounds else None


def times_peer(line: Line, every: Sequence[Line], peer: str = PEER_CLOSEST) -> float | None:
    """This line's rate beside a peer's in the same run, with the same algorithm where it signs with that, or None."""
    others = [other for other in every if (other.subject, other.workload) == (peer, line.workload) and other.rounds]
    others.sort(key=lambda other: other.alg != line.alg)
    return ratio(line.rate, others[0].rate) if others and line.rounds else None


def times_durable_here(line: Line, floors: Mapping[str, Mapping[str, float]]) -> float | None:
    """times_durable, had the published row been measured on a machine as fast as this one was in this run."""
    times = times_durable(line)
    return None if times is None else times * machine_factor(floors) if floors else times


def machine_factor(floors: Mapping[str, Mapping[str, float]]) -> float:
    """How much slower this machine was in this run than the one of the published table (1.2: a fifth slower)."""
    return median([floors[name]["cpu_us"] / then for name, then in published.MACHINE_US.items() if name in floors])


def sign_in_beside_hash_ms(line: Line, floors: Mapping[str, Mapping[str, float]]) -> float:
    """CPU of a whole sign-in less one password hash, in ms."""
    return line.cpu_ms - floors["argon2id"]["cpu_us"] / 1000
