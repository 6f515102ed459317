"""`python -m bench.cut`: from the write in the source to the logout token that the application receives, one departure after another, by each path.

A server and a worker of ours as processes of their own, a real source, an application's endpoint. Everybody signs in as people of that source do and
the application takes their tokens; then one after another is disabled in the source. Stages: written (just before the write is sent) -> heard ->
decided (the transaction that ends everything) -> received. All clocks are this machine's. The drain of thousands is bench.drain's.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from bench import cut_page, machine, processes, receiver, report, vestibule
from bench.departures import HOME, PATHS, Leaving
from bench.floors import REPOSITORY
from bench.receiver import Receiver
from bench.statistic import percentile
from bench.subject import Client, PreparationError, Subject
from idp.config import load
from idp.store.database import Database
from tests.support.browser import Browser

RESULTS, DOCS = REPOSITORY / "bench" / "results", REPOSITORY / "docs"
CUTS = 500
ASKED_EVERY = 25  # of so many people one is asked for again afterwards, by every token that they had
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = (0.02, 0.12)  # between two departures: not in step with anything
STAY = 5  # that everybody leaves is never believed
STAGES = ("heard", "decided", "received")
SEED = 20261123
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in. `subject` is the `sub` of their tokens."""

    name: str
    subject: str
    tokens: dict[str, Any]
    browser: Browser


@dataclass(frozen=True, slots=True)
class Program:
    """Our server and worker, running."""

    configuration: Path
    client: Client
    subject: Subject
    worker: subprocess.Popen[bytes]
    http: httpx.Client

    @property
    def issuer(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.subject.server.port}"

    def authorize(self, **parameters: str) -> str:
        """The address of an authorization request."""
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uri,
            "scope": "openid establishment offline_access",
            "state": "s",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **parameters,
        }
        return str(httpx.URL(f"{self.issuer}/authorize", params=query))

    def token(self, **form: str) -> httpx.Response:
        """The token endpoint's answer."""
        return self.http.post(f"{self.issuer}/token", data=form, auth=(self.client.client_id, self.client.client_secret))


@contextmanager
def running(leaving: Leaving, hears: Receiver, **more: Any) -> Iterator[Program]:
    """A configuration of this source, its server and its worker; everybody of the source is known. `more` replaces keys."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-bench-cut-")))
        client, port = vestibule.new_client(), processes.free_port()
        # One address is never inside two homes, and the load comes from one: the password is enough from anywhere.
        rules = {"policy": {"rules": [{"name": "one-address", "effect": "allow", "when": {}}]}}
        # Hundreds leave in a few minutes on purpose.
        brake = {"sync": {"brake_people": 1_000_000, "brake_percent": 100}}
        told = {
            "clients": [
                {
                    "client_id": client.client_id,
                    "name": "Bench",
                    "secret": f"file:{folder / 'client.secret'}",
                    "redirect_uris": [client.redirect_uri],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "scopes": ["openid", "profile", "establishment", "offline_access"],
                    "backchannel_logout_uri": hears.url,
                }
            ]
        }
        configuration = vestibule.write_configuration(
            folder, port, "ES256", client, more={**rules, **brake, **told, **leaving.settings, **more}
        )
        vestibule.run(configuration, ["migrate"])
        vestibule.run(configuration, ["establishment", "add", HOME, "--name", "Résidence 000"])
        for name in leaving.reads:
            vestibule.watched(configuration, ["sync", name], name="sync")
        subject = vestibule.serve(configuration, client, alg="ES256", identifiers=tuple(leaving.people), password="")
        stack.callback(subject.server.stop)
        if leaving.furnish is not None:
            leaving.furnish(f"http://127.0.0.1:{port}", configuration)
        command = [vestibule.program(), "--config", str(configuration), "work"]
        worker = processes.spawn(command, log=folder / "work.log", folder=folder)
        stack.callback(processes.Server(0, (worker,)).stop)
        _wait_until_listening(configuration, (*leaving.reads, *leaving.listens))
        http = stack.enter_context(httpx.Client(timeout=60))
        yield Program(configuration, client, subject, worker, http)


def _wait_until_listening(configuration: Path, sources: Sequence[str]) -> None:
    database, deadline = Database.of(load(configuration).database, pool_size=1), time.perf_counter() + PATIENCE_SECONDS
    try:
        while True:
            with database.read() as tx:
                states = [found.state if (found := tx.watches.get(source)) else "not yet" for source in sources]
            if all(state == "live" for state in states):
                return
            if time.perf_counter() > deadline:
                raise PreparationError(f"the worker does not listen: {dict(zip(sources, states, strict=True))}")
            time.sleep(0.1)
    finally:
        database.close()


def signed_in(program: Program, leaving: Leaving, names: Sequence[str]) -> list[Person]:
    """Each in a browser of their own, and the application has their tokens."""
    return [_sign_in(program, leaving, name) for name in tqdm(names, desc=f"{leaving.name}: sign in", file=sys.stderr)]


def _sign_in(program: Program, leaving: Leaving, name: str) -> Person:
    browser = Browser(program.http, program.issuer)
    page = leaving.sign_in(browser, browser.get(program.authorize()), name)
    if page.callback is None or "code" not in page.callback.parameters:
        raise PreparationError(f"{name} could not sign in: {page!r}")
    form = {"code": page.callback["code"], "redirect_uri": program.client.redirect_uri, "code_verifier": VERIFIER}
    answer = program.token(grant_type="authorization_code", **form)
    if answer.status_code != 200:
        raise PreparationError(f"{name}: {answer.text}")
    tokens = dict(answer.json())
    return Person(name, str(receiver.claims(tokens["id_token"])["sub"]), tokens, browser)


def departures(program: Program, leaving: Leaving, hears: Receiver, people: Sequence[Person]) -> dict[str, Any]:
    """Disable one after another, each once the one before is over; where the source is asked, at any moment of a round. The milliseconds of each
    stage, and what was left alive."""
    chance, written = random.Random(SEED), {}
    for person in tqdm(people, desc=f"{leaving.name}: disable", file=sys.stderr):
        written[person.subject] = time.time()
        leaving.disable(person.name)
        if leaving.polls is None:
            hears.wait(person.subject, PATIENCE_SECONDS)
        time.sleep(chance.uniform(*PAUSE_SECONDS) if leaving.polls is None else chance.uniform(0, leaving.polls / 5))
    received = {one.subject: at for one in people if (at := hears.wait(one.subject, PATIENCE_SECONDS)) is not None}
    return told(program, leaving, people, written=written, received=received)


def told(
    program: Program, leaving: Leaving, people: Sequence[Person], *, written: dict[str, float], received: dict[str, float]
) -> dict[str, Any]:
    """The figures of departures that are over: times since the write, in ms, and since the stage before."""
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    steps: dict[str, list[float]] = {stage: [] for stage in STAGES}
    measured = 0
    database = Database.of(load(program.configuration).database, pool_size=1)
    try:
        with database.read() as tx:
            cuts = {cut.account_id: cut for cut in tx.cuts.newest(limit=10 * len(people))}
    finally:
        database.close()
    for person in people:
        cut, began = cuts.get(person.subject), written[person.subject]
        if cut is None or cut.heard_at is None or person.subject not in received:
            continue
        reached = [cut.heard_at.timestamp(), cut.decided_at.timestamp(), received[person.subject]]
        for stage, before, at in zip(STAGES, [began, *reached], reached, strict=False):
            stages[stage].append((at - began) * 1000)
            steps[stage].append((at - before) * 1000)
        measured += 1
    return {
        "title": leaving.title,
        "polls": leaving.polls,
        "cuts": len(people),
        "measured": measured,
        "lost": len(people) - measured,
        "since_written": {stage: figures(values) for stage, values in stages.items()},
        "since_before": {stage: figures(values) for stage, values in steps.items()},
        "alive_afterwards": alive(program, people),
    }


def figures(milliseconds: Sequence[float]) -> dict[str, float]:
    """Percentiles and the most; empty of nothing."""
    if not milliseconds:
        return {}
    return {**{f"p{at}": percentile(milliseconds, at) for at in (50, 90, 99)}, "most": max(milliseconds)}


def alive(program: Program, people: Sequence[Person]) -> dict[str, int]:
    """How many refresh tokens still work (everybody's is tried), and of every ASKED_EVERY-th person: access tokens, Sessions."""
    found = {"refresh_tokens": 0, "access_tokens": 0, "sessions": 0}
    for number, person in enumerate(people):
        if number % ASKED_EVERY == 0:
            userinfo = program.http.get(f"{program.issuer}/userinfo", headers={"Authorization": f"Bearer {person.tokens['access_token']}"})
            found["access_tokens"] += userinfo.status_code == 200
            page = person.browser.get(program.authorize(prompt="none"))
            found["sessions"] += page.callback is not None and "code" in page.callback.parameters
        answer = program.token(grant_type="refresh_token", refresh_token=person.tokens["refresh_token"])
        found["refresh_tokens"] += answer.status_code == 200
    return found


def measure(paths: Sequence[str], cuts: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each path as soon as it is measured."""
    for path in paths:
        load_average = round(processes.load_average(), 2)
        with receiver.listening() as hears, PATHS[path](cuts + STAY) as leaving, running(leaving, hears) as program:
            people = signed_in(program, leaving, leaving.people)[:cuts]  # who stays is known too
            yield path, {"load_average": load_average, "store": vestibule.STORE, **departures(program, leaving, hears, people)}


def main() -> int:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.cut", description=__doc__)
    parser.add_argument("--paths", default=",".join(PATHS), help=f"some of {', '.join(PATHS)}; the others of the newest result are kept")
    parser.add_argument("--cuts", type=int, default=CUTS, help=f"departures by each path; with fewer than {CUTS} no page is written")
    options = parser.parse_args()
    paths = [path.strip() for path in options.paths.split(",") if path.strip()]
    if unknown := set(paths) - set(PATHS):
        parser.error(f"no such path: {', '.join(sorted(unknown))} (there are {', '.join(PATHS)})")
    processes.pin_this_process()
    is_whole, began = options.cuts >= CUTS, datetime.now(UTC)
    newest = max(RESULTS.glob("*-cut.json"), default=None)
    result = report.load(newest) if newest is not None and is_whole and set(paths) != set(PATHS) else None
    result = result or {"name": f"{began:%Y-%m-%d-%H%M}-cut{'' if is_whole else '-look'}", "date": f"{began:%Y-%m-%d}", "paths": {}}
    result["machine"] = machine.facts()
    for path, found in measure(paths, options.cuts):
        result["paths"][path] = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", **found}
        report.keep(result, RESULTS)
    print(cut_page.lines(result))
    if is_whole:
        print(f"written: docs/{cut_page.write(result, DOCS).name} and its chart")
    return 1 if any(found["lost"] or any(found["alive_afterwards"].values()) for found in result["paths"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
