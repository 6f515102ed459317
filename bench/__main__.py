"""`python -m bench`: starts the systems, runs what bench.settings was asked, keeps the result and writes the page.

Composition only: everything it calls can be read by itself. Exits 1 when a run was not valid.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import failures, floors, machine, processes, profiling, report, table, vestibule
from bench.floors import REPOSITORY
from bench.load import FlowError, UnreachableError
from bench.peers import lemonldap, node_oidc
from bench.series import Run, run_series, total_runs
from bench.settings import ALGORITHMS, CONNECTIONS, Settings, read
from bench.subject import PreparationError, Subject
from bench.workloads import WORKLOADS, Seat

RESULTS = REPOSITORY / "bench" / "results"
DOCS = REPOSITORY / "docs"
PEOPLE = 2 * CONNECTIONS
FAILURES_EACH = 60
# Below the number of failures after which an account is made to wait.
FAILURES_PER_PERSON = vestibule.FREE_TRIES - 2
PEERS = {"node-oidc-provider": node_oidc, "lemonldap-ng": lemonldap}
PROFILED_FLOWS = {"W3": 40}
MOST_PROFILED_FLOWS = 400


def main() -> int:
    """Run the bench; 0 when every run was valid."""
    settings = read()
    processes.pin_this_process()
    # Ended from outside, it still stops the servers it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = measure(settings)
    except (PreparationError, processes.StartError, UnreachableError, FlowError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if result is None:
        print("bench: no result to work on; run `python -m bench` first", file=sys.stderr)
        return 2
    print(table.printed(result))
    if result.get("failures"):
        print("\n" + failures.describe(result["failures"]))
    print(f"\nwritten: bench/results/{result['name']}.json")
    # A quick look or the peer alone must not replace the page of a whole series.
    if not settings.series or settings.what == "series":
        print(f"written: docs/{report.write(result, DOCS).name} and its chart")
    return 0 if all(run["valid"] for run in result["runs"]) else 1


def measure(settings: Settings) -> dict[str, Any] | None:
    """Do what was asked and keep the result; None when there is none to add to."""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as name:
        folder = Path(name)
        if settings.series:
            result: dict[str, Any] | None = _series(settings, folder)
        else:
            path = report.newest(RESULTS)
            result = None if path is None else report.load(path)
        if result is None:
            return None
        if settings.profiles:
            result["profiles"] = [_profile(key, alg, folder) for key in settings.profiles for alg in settings.algorithms[-1:]]
        if settings.failures:
            result["failures"] = [kind.as_json() for kind in _failures(settings.algorithms[-1], folder)]
    report.keep(result, RESULTS)
    return result


@contextmanager
def _subjects(settings: Settings, folder: Path) -> Iterator[list[Subject]]:
    started: list[Subject] = []
    peers = [PEERS[name] for name in settings.peer.split(",")] if settings.peer else []
    for peer in peers:
        peer.prepare()
    makers = [*([vestibule] if settings.ours else []), *peers]
    try:
        for alg in settings.algorithms:
            for number, maker in enumerate(makers):
                # A peer says which it can sign with when it cannot with all.
                if alg not in getattr(maker, "ALGORITHMS", ALGORITHMS):
                    continue
                own = folder / f"{alg}-{number}"
                own.mkdir()
                started.append(maker.start(alg, own, PEOPLE))
        yield started
    finally:
        for subject in started:
            subject.server.stop()


def _series(settings: Settings, folder: Path) -> dict[str, Any]:
    facts = machine.facts()
    began = datetime.now(UTC)
    print("floors...", file=sys.stderr)
    floor_figures = floors.measure(folder, min(settings.seconds, 3.0), CONNECTIONS)
    workloads = [WORKLOADS[key] for key in settings.workloads]
    with _subjects(settings, folder) as subjects:
        described = [_describe(subject) for subject in subjects]
        with tqdm(total=total_runs(subjects, workloads, settings.rounds), unit="run", file=sys.stderr) as bar:

            def tell(run: Run) -> None:
                figure = f"{run.rate:.0f}/s" if run.valid else f"INVALID {run.failures}"
                bar.write(f"round {run.round + 1} {run.workload} {run.subject} {run.alg}: {figure}", file=sys.stderr)
                bar.update()

            runs = run_series(
                subjects,
                workloads,
                rounds=settings.rounds,
                seconds=settings.seconds,
                connections=CONNECTIONS,
                tell=tell,
            )
    return {
        "name": f"{began:%Y-%m-%d-%H%M}-{settings.what}",
        "date": f"{began:%Y-%m-%d}",
        "machine": facts,
        "settings": {"rounds": settings.rounds, "seconds": settings.seconds, "connections": CONNECTIONS},
        "sqlite_synchronous": vestibule.SYNCHRONOUS,
        "floors": floor_figures,
        "subjects": described,
        "runs": [run.as_json() for run in runs],
    }


def _describe(subject: Subject) -> dict[str, Any]:
    rss_mb, rss_all_mb = subject.server.rss_mb()
    return {
        "name": subject.name,
        "alg": subject.alg,
        "is_ours": subject.is_ours,
        "version": subject.version,
        "store": subject.store,
        "password_hash": subject.password_hash,
        "cold_start_s": subject.cold_start_s,
        "rss_mb": rss_mb,
        "rss_all_mb": rss_all_mb,
    }


def _profile(key: str, alg: str, folder: Path) -> dict[str, Any]:
    own = folder / f"profile-{key}-{alg}"
    own.mkdir()
    # The server prepares the store and says where its endpoints are; the profile then runs in this process.
    subject = vestibule.start(alg, own, 4)
    subject.server.stop()
    application = vestibule.open_application(own / vestibule.CONFIGURATION)
    workload, seat = WORKLOADS[key], Seat(subject, 0, 1)
    if workload.enter is not None:
        profiling.run_flow(application, workload.enter(seat))
    if workload.prepare is not None:
        workload.prepare(seat)
    flows = PROFILED_FLOWS.get(key, MOST_PROFILED_FLOWS)
    return profiling.profile(application, partial(workload.flow, seat), workload=key, alg=alg, flows=flows).as_json()


def _step(bar: tqdm[Any]) -> None:
    bar.update()


def _failures(alg: str, folder: Path) -> list[failures.FailureTimes]:
    own = folder / "failures"
    own.mkdir()
    subject = vestibule.start(alg, own, 1)
    try:
        people = vestibule.people_who_fail(own / vestibule.CONFIGURATION, -(-FAILURES_EACH // FAILURES_PER_PERSON))
        with tqdm(total=FAILURES_EACH * len(people), unit="failure", file=sys.stderr) as bar:
            return failures.measure(subject, people, FAILURES_EACH, tell=partial(_step, bar))
    finally:
        subject.server.stop()


if __name__ == "__main__":
    sys.exit(main())
