"""`python -m bench.audit`: how long a million lines take to verify, and what signing each line costs the token endpoint of four processes.

The cost is a ratio in one run: the same server with its chains taken out (bench/unsigned) takes turns with the real one. Keeps the result and writes
docs/performance-audit.md. Exits 1 when a run was not valid or a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import machine, processes, report, vestibule
from bench.__main__ import DOCS, RESULTS
from bench.floors import REPOSITORY
from bench.page import table
from bench.series import Run, run_series
from bench.settings import CONNECTIONS
from bench.statistic import median
from bench.subject import Subject
from bench.workloads import WORKLOADS

SEED = 2026
WORKERS = 4
MEASURED = ("W1", "W2")
WITH, WITHOUT = "signed, in chains", "without chains"
GOAL_SECONDS = 60.0
GOAL_RATIO = 0.93
PEOPLE = 2 * CONNECTIONS


def main() -> int:
    """Run it; 0 when every run was valid and every goal reached."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines to verify (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every workload (default 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run (default 5)")
    parser.add_argument("--quick", action="store_true", help="20,000 lines, one round of a second, no page")
    given = parser.parse_args()
    if given.quick:
        given.lines, given.rounds, given.seconds = 20_000, 1, 1.0
    result: dict[str, Any] = {
        "name": f"{datetime.now(UTC):%Y-%m-%d-%H%M}-audit{'-quick' if given.quick else ''}",
        "machine": machine.facts(),
        "verification": verification(given.lines),
        "throughput": throughput(given.rounds, given.seconds),
    }
    report.keep(result, RESULTS)
    print(markdown(result))
    if not given.quick:
        (DOCS / "performance-audit.md").write_text(markdown(result), encoding="utf-8")
    is_valid = all(run["valid"] for run in result["throughput"]["runs"])
    return 0 if is_valid and all(reached for *_, reached in goals(result)) else 1


def verification(lines: int) -> dict[str, Any]:
    """Write a trail, verify it by the command as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as name:
        configuration = vestibule.write_configuration(Path(name), processes.free_port(), "ES256", vestibule.new_client())
        vestibule.run(configuration, ["migrate"])
        # A process of its own: what it keeps in memory would be counted to the command, which begins as a copy of this one.
        subprocess.run([sys.executable, "-m", "bench.trail", str(configuration), str(lines), str(SEED)], cwd=REPOSITORY, check=True)
        size_mb = sum(file.stat().st_size for file in Path(name).glob("vestibule.db*")) / 1e6
        told, used = vestibule.watched(configuration, ["audit", "verify"], name="verify")
    return {**asdict(used), "lines": told["lines"], "writers": told["writers"], "seals": told["seals"], "size_mb": size_mb}


def throughput(rounds: int, seconds: float) -> dict[str, Any]:
    """The token endpoint of four processes, with the chains and without, taking turns."""
    processes.pin_this_process()
    workloads = [WORKLOADS[key] for key in MEASURED]
    with (
        tempfile.TemporaryDirectory(prefix="vestibule-bench-") as name,
        _serving(Path(name) / "with", WITH) as signed,
        _serving(Path(name) / "without", WITHOUT) as unsigned,
    ):
        runs = run_series([signed, unsigned], workloads, rounds=rounds, seconds=seconds, connections=CONNECTIONS, tell=_tell)
    rates = {
        key: {name: median([run.rate for run in runs if (run.workload, run.subject) == (key, name)]) for name in (WITH, WITHOUT)}
        for key in MEASURED
    }
    return {"workers": WORKERS, "rates": rates, "runs": [asdict(run) for run in runs]}


@contextmanager
def _serving(folder: Path, name: str) -> Iterator[Subject]:
    folder.mkdir()
    client = vestibule.new_client()
    configuration = vestibule.write_configuration(folder, processes.free_port(), "ES256", client, workers=WORKERS)
    identifiers = tuple(f"personne{number}" for number in range(PEOPLE))
    vestibule.run(configuration, ["migrate"])
    vestibule.run(configuration, ["establishment", "add", vestibule.ESTABLISHMENT, "--name", "Les Tilleuls"])
    vestibule.run(configuration, ["zone", "add", vestibule.ESTABLISHMENT, "lan", "--kind", "trusted", "--network", "127.0.0.0/8"])
    vestibule.register(configuration, identifiers)
    before = os.environ.get("PYTHONPATH")
    if name == WITHOUT:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY / "bench" / "unsigned"), str(REPOSITORY), *([before] if before else [])])
    try:
        subject = vestibule.serve(
            configuration, client, alg="ES256", identifiers=identifiers, password=vestibule.PASSWORD, cores=processes.CORES
        )
    finally:
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before
    try:
        yield replace(subject, name=name)
    finally:
        subject.server.stop()


def _tell(run: Run) -> None:
    tqdm.write(f"{run.workload} {run.subject}: {run.rate:.0f}/s, {run.cpu_ms:.3f} ms of processor {run.failures or ''}", file=sys.stderr)


def goals(result: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What was wanted, seen, and whether it was reached."""
    verified = result["verification"]
    found = [
        (
            f"{verified['lines']:,} lines verified",
            f"under {GOAL_SECONDS:g} s",
            f"{verified['seconds']:.1f} s",
            verified["seconds"] < GOAL_SECONDS,
        )
    ]
    for key, rates in result["throughput"]["rates"].items():
        ratio = rates[WITH] / rates[WITHOUT] if rates[WITHOUT] else 0.0
        what = f"{WORKLOADS[key].title}, {result['throughput']['workers']} processes: with chains / without"
        found.append((what, f"{GOAL_RATIO:g} or more", f"{ratio:.2f} ({rates[WITH]:.0f}/s, {rates[WITHOUT]:.0f}/s)", ratio >= GOAL_RATIO))
    return found


def markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    seen, verified = result["machine"], result["verification"]
    rows = [[what, wanted, found, "yes" if reached else "**no**"] for what, wanted, found, reached in goals(result)]
    return "\n".join(
        [
            "# What the sealed audit trail costs",
            "",
            "Written by `python -m bench.audit`; run it on your own machine. [How the trail is sealed](audit-trail.md).",
            "",
            f"{seen['cpu']}, {seen['cores']} cores, Python {seen['python']}, SQLite {seen['sqlite']}; result `bench/results/{result['name']}.json`.",
            "",
            table(["What", "Wanted", "Seen", "Reached"], rows),
            "",
            f"Verified by the command, in a process of its own on one core: {verified['lines']:,} lines of {verified['writers']} writers under"
            f" {verified['seals']} seals, a database of {verified['size_mb']:.0f} MB, {verified['cpu_seconds']:.1f} s of processor."
            " One head a writer is remembered.",
            "",
            "The two servers take turns on the same cores, with the same requests; one of them writes its lines as before the chains, unsigned."
            " Every process writes in chains of its own: none waits for another but where the store has one writer at a time (SQLite).",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
