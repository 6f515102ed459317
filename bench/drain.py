"""`python -m bench.drain`: a hundred thousand people in slapd, five thousand of them disabled within a minute, one by one; and the same by mistake.

Drain: how long the last one waits, the worker's memory, and how many requests are still served meanwhile beside a quiet minute. Mistake: with the
product's own brake, how many are cut before it holds the rest for a human. Adds to the newest result of bench.cut and writes its page again.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm

from bench import cut_page, processes, receiver, report, slapd, vestibule
from bench.cut import DOCS, RESULTS, Person, Program, figures, running, signed_in
from bench.departures import Leaving, with_password
from connectors.ldap.wire import ldap3
from idp.config import load
from idp.store.database import Database
from tests.support.slapd import DISABLED_FOREVER
from tests.support.slapd_cast import PEOPLE as PEOPLE_DN

PEOPLE, LEAVE, SIGNED_IN = 100_000, 5_000, 500
WITHIN_SECONDS, QUIET_SECONDS = 60.0, 30.0
MISTAKE_PEOPLE, MISTAKE_SHARE = 2_000, 0.4
PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 0.25


@contextmanager
def directory(people: int) -> Iterator[tuple[Leaving, Callable[[str], None]]]:
    """slapd with so many people of one home."""
    with slapd.serving(people, 1) as those, those.slapd.administering() as administrator:

        def disable(uid: str) -> None:
            written = administrator.modify(f"uid={uid},{PEOPLE_DN}", {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [DISABLED_FOREVER])]})
            if not written[0]:
                raise RuntimeError(f"slapd: {written[1]}")

        settings = {"directories": [those.settings()]}
        yield (
            Leaving("slapd", "OpenLDAP", settings, those.people, with_password(those.password), disable, reads=(slapd.NAME,)),
            disable,
        )


class Asking:
    """Somebody who stays, whose application asks again and again whether they are still there; the times of the answers."""

    def __init__(self, program: Program, person: Person) -> None:
        self._program, self._person = program, person
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answered: list[tuple[float, float]] = []  # when, and how long it took
        self.failed = 0

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.perf_counter()
            page = self._person.browser.get(self._program.authorize(prompt="none"))
            ended = time.perf_counter()
            if page.callback is not None and "code" in page.callback.parameters:
                self.answered.append((ended, ended - began))
            else:
                self.failed += 1

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def between(self, began: float, ended: float) -> dict[str, float]:
        """Rate a second and percentiles in ms of what was answered in that time."""
        spent = [took * 1000 for at, took in self.answered if began <= at < ended]
        return {"rate": len(spent) / (ended - began), **figures(spent)}


def drain(people: int, leave: int, sessions: int) -> dict[str, Any]:
    """The figures."""
    with receiver.listening() as hears, directory(people) as (leaving, disable):
        _tell(f"{people} people into the store (vestibule sync)...")
        with running(leaving, hears) as program:
            gone, stays = leaving.people[:leave], leaving.people[leave]
            signed_in(program, leaving, gone[:: max(1, leave // sessions)])
            (witness,) = signed_in(program, leaving, (stays,))
            worker, server = processes.Server(0, (program.worker,)), program.subject.server
            before = worker.rss_mb()[1]
            with Asking(program, witness) as asking, _counting(program) as count_cuts:
                quiet_from = time.perf_counter()
                time.sleep(QUIET_SECONDS)
                busy_from = time.perf_counter()
                most = [before, server.rss_mb()[1]]
                written = _write_all(gone, disable)
                while (cut := count_cuts()) < leave and time.perf_counter() < busy_from + PATIENCE_SECONDS:
                    most = [max(most[0], worker.rss_mb()[1]), max(most[1], server.rss_mb()[1])]
                    time.sleep(LOOK_SECONDS)
                drained = time.perf_counter()
            quiet, busy = asking.between(quiet_from, busy_from), asking.between(busy_from, drained)
            return {
                "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
                "people": people,
                "leave": leave,
                "signed_in": len(gone[:: max(1, leave // sessions)]),
                "cut": cut,
                "told": hears.count(),
                "writing_s": written - busy_from,
                "drained_after_last_write_s": drained - written,
                "worker_mb_before": before,
                "worker_mb_most": most[0],
                "server_mb_most": most[1],
                "quiet": quiet,
                "busy": busy,
                "refused_meanwhile": asking.failed,
            }


def mistake(people: int, share: float) -> dict[str, Any]:
    """An import gone wrong disables so many; the product's own brake."""
    with (
        receiver.listening() as hears,
        directory(people) as (leaving, disable),
        running(leaving, hears, sync={}) as program,
        _counting(program) as count_cuts,
    ):
        wrong = leaving.people[: int(people * share)]
        for uid in tqdm(wrong, desc="mistake: disable", file=sys.stderr):
            disable(uid)
        held, deadline = 0, time.perf_counter() + PATIENCE_SECONDS
        while count_cuts() + (held := _held(program)) < len(wrong) and time.perf_counter() < deadline:
            time.sleep(LOOK_SECONDS)
        return {"people": people, "disabled": len(wrong), "cut": count_cuts(), "held": held}


def _write_all(uids: Sequence[str], disable: Callable[[str], None]) -> float:
    """One after another, evenly over WITHIN_SECONDS; when the last was written."""
    began = time.perf_counter()
    for number, uid in enumerate(tqdm(uids, desc="drain: disable", file=sys.stderr)):
        time.sleep(max(0.0, began + number * WITHIN_SECONDS / len(uids) - time.perf_counter()))
        disable(uid)
    return time.perf_counter()


@contextmanager
def _counting(program: Program) -> Iterator[Callable[[], int]]:
    """How many cuts there are."""
    database = Database.of(load(program.configuration).database, pool_size=1)

    def count() -> int:
        with database.read() as tx:
            return len(tx.cuts.newest(limit=1_000_000))

    try:
        yield count
    finally:
        database.close()


def _held(program: Program) -> int:
    database = Database.of(load(program.configuration).database, pool_size=1)
    try:
        with database.read() as tx:
            return sum(run.counts.get("held", 0) for run in tx.links.runs(slapd.NAME, state="held"))
    finally:
        database.close()


def main() -> int:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.drain", description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--leave", type=int, default=LEAVE)
    options = parser.parse_args()
    processes.pin_this_process()
    newest = max(RESULTS.glob("*-cut.json"), default=None)
    found = {"store": vestibule.STORE, "load_average": round(processes.load_average(), 2)}
    found |= drain(options.people, options.leave, min(SIGNED_IN, options.leave)) | {"mistake": mistake(MISTAKE_PEOPLE, MISTAKE_SHARE)}
    print(cut_page.drained(found))
    if (options.people, options.leave) == (PEOPLE, LEAVE) and newest is not None:
        result = report.load(newest) | {"drain": found}
        report.keep(result, RESULTS)
        print(f"written: docs/{cut_page.write(result, DOCS).name}")
    return 0 if found["cut"] == options.leave else 1


def _tell(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
