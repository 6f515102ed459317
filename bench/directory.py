"""`python -m bench.directory`: what a directory costs, on a real slapd. Three parts: size, hung, shift; results and page are written.

Composition only. size: `vestibule sync` of everybody, and a sign-in in a large group of homes beside one in a small group. hung: what
the rest keeps while the directory hangs. shift: forty sign-ins a second by directory bind.
Exits 1 when a goal was missed, 2 when nothing could be measured.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm

from bench import directory_page, homes, hung, machine, processes, report, shift_change, size, slapd, vestibule
from bench.floors import REPOSITORY
from bench.homes import Homes
from bench.load import FlowError, UnreachableError
from bench.subject import PreparationError

RESULTS = REPOSITORY / "bench" / "results"
DOCS = REPOSITORY / "docs"
PARTS = ("size", "hung", "shift")
PEOPLE, ESTABLISHMENTS, FEW = 30_000, 400, 12
SEED = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked: `minutes` holds the length of each shift change."""

    parts: tuple[str, ...]
    people: int
    establishments: int
    rounds: int
    seconds: float
    tries: float
    rate: float
    minutes: tuple[float, ...]
    stores: str
    renders: bool

    @property
    def is_whole(self) -> bool:
        """Whether the groups are as large as the goals ask."""
        return self.people >= PEOPLE and self.establishments >= ESTABLISHMENTS


def read(arguments: Sequence[str] | None = None) -> Settings:
    """The settings of a command line; exits with a usage message on a wrong one (argparse)."""
    parser = argparse.ArgumentParser(prog="python -m bench.directory", description="Measure Vestibule with a real slapd.")
    parser.add_argument("--parts", default=",".join(PARTS), help="a list such as size,hung; the other parts of the newest result are kept")
    parser.add_argument("--people", type=int, default=PEOPLE, help="people in the large group (default 30000)")
    parser.add_argument("--establishments", type=int, default=ESTABLISHMENTS, help="homes in the large group (default 400)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of size and of hung (default 3)")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of each of those runs (default 12)")
    parser.add_argument("--tries", type=float, default=4.0, help="sign-ins a second through the directory beside hung (default 4)")
    parser.add_argument("--rate", type=float, default=shift_change.RATE, help="sign-ins a second of the shift change (default 40)")
    parser.add_argument("--minutes", default="1", help="length of the shift change, or several such as 1,10 (default 1)")
    parser.add_argument("--stores", choices=homes.STORES, default="sqlite", help="embedded, or PostgreSQL and Redis (default sqlite)")
    parser.add_argument("--render", action="store_true", help="only write docs/performance-directory.md from the newest result")
    given = parser.parse_args(arguments)
    parts = tuple(part.strip() for part in given.parts.split(",") if part.strip())
    for part in parts:
        if part not in PARTS:
            parser.error(f"no such part: {part} (there are {', '.join(PARTS)})")
    try:
        minutes = tuple(float(part) for part in given.minutes.split(","))
    except ValueError:
        parser.error("--minutes takes numbers: 1 or 1,10")
    if min(given.people - FEW, given.establishments, given.rounds, given.seconds, given.tries, given.rate, *minutes) <= 0:
        parser.error(f"every number must be positive, and there must be more than {FEW} people")
    return Settings(
        parts=() if given.render else parts,
        people=given.people,
        establishments=given.establishments,
        rounds=given.rounds,
        seconds=given.seconds,
        tries=given.tries,
        rate=given.rate,
        minutes=minutes,
        stores=given.stores,
        renders=given.render,
    )


def main() -> int:
    """Measure, keep, write."""
    settings = read()
    processes.pin_this_process()
    # Ended from outside, it still stops the servers it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    path = report.newest_of_directory(RESULTS)
    known = report.load(path) if path else None
    if settings.renders and known is None:
        print("bench.directory: no result to work on; run `python -m bench.directory` first", file=sys.stderr)
        return 2
    try:
        result = _start(settings, known)
        _measure(settings, result)
    except (PreparationError, processes.StartError, UnreachableError, FlowError) as error:
        print(f"bench.directory: {error}", file=sys.stderr)
        return 2
    print("\n".join(directory_page.verdicts(result)))
    print(f"\nwritten: bench/results/{result['name']}.json")
    # A look at small numbers must not replace the page.
    if settings.is_whole:
        print(f"written: docs/{directory_page.write(result, DOCS).name} and its chart")
    return 0 if all(verdict.is_reached for verdict in directory_page.goals(result)) else 1


def _start(settings: Settings, known: dict[str, Any] | None) -> dict[str, Any]:
    """The result to fill: the newest one when only some parts are measured again."""
    if known is not None and settings.is_whole and set(settings.parts) != set(PARTS):
        return known
    began = datetime.now(UTC)
    kind = "directory" if settings.is_whole else "directory-look"
    return {"name": f"{began:%Y-%m-%d-%H%M}-{kind}", "date": f"{began:%Y-%m-%d}", "machine": machine.facts(), "parts": {}}


def _measure(settings: Settings, result: dict[str, Any]) -> None:
    with ExitStack() as stack:
        large: Homes | None = None
        if {"size", "shift"} & set(settings.parts):
            _tell(f"{settings.people} people into slapd, {settings.establishments} establishments into the store...")
            large = _group(stack, settings, settings.people, settings.establishments, workers=1)
        if "size" in settings.parts and large is not None:
            _keep(result, "size", _about(settings) | _size(settings, large))
        if "shift" in settings.parts and large is not None:
            if "size" not in settings.parts:
                _tell("vestibule sync...")
                homes.synchronise(large)
            _keep(result, "shift", _about(settings) | {"runs": _shift(settings, large)})
    if "hung" in settings.parts:
        _keep(result, "hung", _about(settings) | _hung(settings))


def _keep(result: dict[str, Any], part: str, found: dict[str, Any]) -> None:
    """Each part as soon as it is measured: what comes after may fail."""
    result["parts"][part] = found
    report.keep(result, RESULTS)


def _about(settings: Settings) -> dict[str, Any]:
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "load_average": round(processes.load_average(), 2),
        "people": settings.people,
        "establishments": settings.establishments,
        "stores": settings.stores,
        "store": vestibule.STORE if settings.stores == "sqlite" else homes.EXTERNAL_STORES,
        "command": f"python -m bench.directory {' '.join(sys.argv[1:])}".strip(),
        "cpu": machine.facts()["cpu"],
    }


def _group(stack: ExitStack, settings: Settings, people: int, establishments: int, *, workers: int) -> Homes:
    directory = stack.enter_context(slapd.serving(people, establishments))
    folder = homes.group_folder(stack)
    return stack.enter_context(homes.furnished(folder, directory, directory.establishments, stores=settings.stores, workers=workers))


def _size(settings: Settings, large: Homes) -> dict[str, Any]:
    runs = size.import_twice(large, _tell)
    with ExitStack() as stack:
        small = _group(stack, settings, FEW, 1, workers=1)
        homes.synchronise(small)
        groups = {name: (group, stack.enter_context(group.serving())) for name, group in (("small", small), ("large", large))}
        rounds = size.compare(groups, rounds=settings.rounds, seconds=settings.seconds, tell=_tell)
    return {"sync": runs, "rounds": rounds, "connections": size.CONNECTIONS, "seconds": settings.seconds, "few": FEW}


def _hung(settings: Settings) -> dict[str, Any]:
    with ExitStack() as stack:
        having = _group(stack, settings, 20 * FEW, FEW, workers=1)
        homes.synchronise(having)
        folder = homes.group_folder(stack)
        without = stack.enter_context(homes.furnished(folder, None, slapd.slugs(FEW), stores=settings.stores))
        for group in (having, without):
            group.register(hung.LOCAL_PEOPLE, slapd.slugs(FEW)[0])
        groups = {name: (group, stack.enter_context(group.serving())) for name, group in (("with", having), ("without", without))}
        rounds = hung.measure(groups, rounds=settings.rounds, seconds=settings.seconds, tries=settings.tries, tell=_tell)
    return {"rounds": rounds, "tries": settings.tries, "seconds": settings.seconds, "connections": hung.CONNECTIONS, "people": 20 * FEW}


def _shift(settings: Settings, large: Homes) -> list[dict[str, Any]]:
    """The whole machine for everybody: server, slapd and generator."""
    if large.directory is None:
        return []
    processes.pin_this_process(processes.CORES)
    large.directory.slapd.restart()
    vestibule.set_workers(large.configuration, shift_change.WORKERS)
    runs = []
    try:
        with large.serving(processes.CORES) as subject:
            for number, minutes in enumerate(settings.minutes):
                with tqdm(total=int(60 * minutes), unit="s", desc="shift change", file=sys.stderr) as bar:
                    run = shift_change.measure(large, subject, seconds=60 * minutes, rate=settings.rate, seed=SEED + number, bar=bar)
                worst = max((page["p99_ms"] for page in run["pages"].values()), default=0.0)
                _tell(
                    f"shift, {minutes:g} min: {run['answered']}/{run['arrived']} signed in, worst p99 {worst:.0f} ms {run['failures'] or ''}"
                )
                runs.append(run)
    finally:
        processes.pin_this_process()
    return runs


def _tell(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
