"""A series: every workload on every subject, round after round, the subjects alternating.

Owns the order of runs and what is kept of each. Starting subjects is the caller's; numbers are judged in bench.report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench.load import FlowError, FlowMaker, UnreachableError, drive
from bench.statistic import percentile
from bench.subject import Subject
from bench.workloads import Seat, Workload

# Long enough for a just-in-time compiler to have seen the workload.
WARM_UP_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Run:
    """One run: `rate` in flows a second, CPU of the server's whole process tree in ms for each flow, latencies in ms.

    `valid` is False when any flow failed; `failures` says how many and why. `generator_share` is the part of its own
    core that the load generator used: near 1 the rate says more about the generator than about the server.
    """

    subject: str
    alg: str
    is_ours: bool
    workload: str
    round: int
    valid: bool
    rate: float
    flows: int
    requests_per_flow: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    rss_all_mb: float
    generator_share: float
    failures: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """This run as it is kept in the result file."""
        return asdict(self)


def measure(subject: Subject, workload: Workload, round_number: int, *, seconds: float, connections: int) -> Run:
    """Prepare the seats, warm up, and measure one run. A failed preparation makes an invalid run, not an exception."""
    seats = [Seat(subject, number, connections) for number in range(connections)]
    if workload.enter is not None:
        entered = _drive(subject, [partial(workload.enter, seat) for seat in seats], 0)
        if isinstance(entered, dict):
            return _invalid(subject, workload, round_number, entered)
    for seat in seats:
        if workload.prepare is not None:
            workload.prepare(seat)
    makers: list[FlowMaker] = [partial(workload.flow, seat) for seat in seats]
    warmed = _drive(subject, makers, min(WARM_UP_SECONDS, seconds))
    if isinstance(warmed, dict):
        return _invalid(subject, workload, round_number, warmed)
    before = subject.server.cpu_seconds()
    try:
        run = drive(subject.address, makers, seconds)
    except UnreachableError as error:
        return _invalid(subject, workload, round_number, {str(error): 1})
    cpu = subject.server.cpu_seconds() - before
    if not run.latencies:
        return _invalid(subject, workload, round_number, run.failures)
    flows = len(run.latencies)
    rss_mb, rss_all_mb = subject.server.rss_mb()
    return Run(
        subject=subject.name,
        alg=subject.alg,
        is_ours=subject.is_ours,
        workload=workload.key,
        round=round_number,
        valid=not run.failures,
        rate=flows / run.seconds,
        flows=flows,
        requests_per_flow=run.requests / flows,
        cpu_ms=cpu / flows * 1000,
        p50_ms=percentile(run.latencies, 50) * 1000,
        p99_ms=percentile(run.latencies, 99) * 1000,
        rss_mb=rss_mb,
        rss_all_mb=rss_all_mb,
        generator_share=run.generator_cpu_seconds / run.seconds,
        failures=run.failures,
    )


def _drive(subject: Subject, makers: Sequence[FlowMaker], seconds: float) -> dict[str, int] | None:
    """Drive flows that are not measured: None when all went well, else what went wrong."""
    try:
        failures = drive(subject.address, makers, seconds).failures
    except (FlowError, UnreachableError) as error:
        return {str(error): 1}
    return failures or None


def _invalid(subject: Subject, workload: Workload, round_number: int, failures: dict[str, int]) -> Run:
    return Run(
        subject=subject.name,
        alg=subject.alg,
        is_ours=subject.is_ours,
        workload=workload.key,
        round=round_number,
        valid=False,
        rate=0.0,
        flows=0,
        requests_per_flow=0.0,
        cpu_ms=0.0,
        p50_ms=0.0,
        p99_ms=0.0,
        rss_mb=0.0,
        rss_all_mb=0.0,
        generator_share=0.0,
        failures=failures,
    )


def run_series(
    subjects: Sequence[Subject],
    workloads: Sequence[Workload],
    *,
    rounds: int,
    seconds: float,
    connections: int,
    tell: Callable[[Run], None],
) -> list[Run]:
    """Every round of every workload on every subject; the first subject of a round is the last of the next one."""
    runs = []
    for round_number in range(rounds):
        for workload in workloads:
            order = subjects if round_number % 2 == 0 else subjects[::-1]
            for subject in order:
                if not subject.runs(workload.key):
                    continue
                run = measure(subject, workload, round_number, seconds=seconds, connections=connections)
                tell(run)
                runs.append(run)
    return runs


def total_runs(subjects: Sequence[Subject], workloads: Sequence[Workload], rounds: int) -> int:
    """How many runs a series has, for its progress bar."""
    return sum(subject.runs(workload.key) for subject in subjects for workload in workloads) * rounds
