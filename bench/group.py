"""What the size of a group costs: `python -m bench.group` sets 400 homes of 30,000 people beside 4 homes of 300, and keeps the ratios.

Each group is a configuration of one file a home, served by a real server with an embedded store: checked, started, started again, reloaded with one
name changed; and silent authorizations, which are a sign-in's decision and its tokens' ground, in alternate rounds. The rules that place people are
timed in this process. Seconds and MB are of this machine; only ratios count. What a directory adds is bench.directory's. The homes are those of
tests/support/group.py.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench import group_page, machine, processes, report, vestibule
from bench.floors import REPOSITORY
from bench.statistic import median, percentile
from bench.subject import Client, Subject
from idp.clock import SystemClock
from idp.config import load
from idp.store.base import Account, Attachment
from idp.store.database import Database
from policies.mapping import MappingRule, Placer
from policies.mapping_text import Home
from tests.support.browser import Browser
from tests.support.group import finess, home, slug, write_home, write_homes

RESULTS, DOCS = REPOSITORY / "bench" / "results", REPOSITORY / "docs"
SMALL, LARGE = (4, 300), (400, 30_000)
ONE_HOME, EVERY_HOME = "camille.une", "camille.partout"
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Group:
    """A group that is ready to be measured: `folder` holds its configuration and its homes' files."""

    homes: int
    people: int
    folder: Path
    configuration: Path
    client: Client


def furnish(folder: Path, homes: int, people: int) -> Group:
    """Write the files; the store is migrated, and empty."""
    client = vestibule.new_client()
    # One address is never inside two homes, and the load comes from one: the password is enough from anywhere.
    policy = {"rules": [{"name": "one-address", "effect": "allow", "when": {}}]}
    configuration = vestibule.write_configuration(
        folder, processes.free_port(), "ES256", client, more={"policy": policy, "include": ["homes/*.yaml"]}
    )
    write_homes(folder, homes, regulatory_level="tolerant")
    vestibule.run(configuration, ["migrate"])
    return Group(homes, people, folder, configuration, client)


def fill(group: Group) -> None:
    """Put the people in: each in one home, one of them in every home as well. The server has applied the configuration."""
    vestibule.register(group.configuration, [ONE_HOME, EVERY_HOME], establishment=slug(0))
    database, clock = Database.of(load(group.configuration).database, pool_size=2), SystemClock()
    try:
        with database.read() as tx:
            places = [place for _, place in sorted((place.slug, place.id) for place in tx.establishments.all())]
            (everywhere,) = tx.people.matching(EVERY_HOME, None)
        for first in range(0, group.people, 3_000):
            with database.write() as tx:
                for number in range(first, min(first + 3_000, group.people)):
                    account = _account(clock.new_id(), f"personne{number}", clock.now())
                    tx.people.add(account, found_by=(("username", account.username or "", ""),))
                    tx.people.attach(_attachment(clock.new_id(), account.id, places[number % len(places)], clock.now()))
        with database.write() as tx:
            for place in places[1:]:
                tx.people.attach(_attachment(clock.new_id(), everywhere.id, place, clock.now()))
    finally:
        database.close()


def check(group: Group) -> dict[str, float]:
    """`vestibule check-config`, as a process."""
    _, used = vestibule.watched(group.configuration, ["check-config"], name="check")
    return {"check_s": used.cpu_seconds, "check_mb": used.peak_rss_mb}


@contextmanager
def serving(group: Group) -> Iterator[Subject]:
    """Its server, for the length of the block."""
    subject = vestibule.serve(group.configuration, group.client, alg="ES256", identifiers=(), password=vestibule.PASSWORD)
    try:
        yield subject
    finally:
        subject.server.stop()


def reload(group: Group, number: int) -> float:
    """Change one home's name and ask the server to read its configuration again; the seconds until its processes are replaced."""
    write_home(group.folder, 1, f"Résidence renommée {number}", regulatory_level="tolerant")
    began = time.perf_counter()
    command = [vestibule.program(), "--config", str(group.configuration), "reload"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return time.perf_counter() - began


class SignedIn:
    """A person with an open Session, whose application asks again and again whether they are still there."""

    def __init__(self, group: Group, subject: Subject, person: str) -> None:
        self._subject, self._group = subject, group
        self._browser = Browser(httpx.Client(timeout=30), f"http://127.0.0.1:{subject.server.port}")
        page = self._browser.get(self._url(prompt=""))
        page = self._browser.sign_in(person, vestibule.PASSWORD, page=page)
        if page.callback is None:
            raise RuntimeError(f"{person} could not sign in: {page!r}")

    def ask(self) -> float:
        """One silent authorization; its milliseconds. Raises RuntimeError when it gives no code."""
        began = time.perf_counter()
        page = self._browser.get(self._url(prompt="none"))
        spent = (time.perf_counter() - began) * 1000
        if page.callback is None or "code" not in page.callback.parameters:
            raise RuntimeError(f"no code: {page!r}")
        return spent

    def _url(self, *, prompt: str) -> str:
        query = {
            "response_type": "code",
            "client_id": self._group.client.client_id,
            "redirect_uri": self._group.client.redirect_uri,
            "scope": "openid establishment",
            "state": "s",
            "establishment": slug(0),
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
            **({"prompt": prompt} if prompt else {}),
        }
        return str(httpx.URL(f"http://127.0.0.1:{self._subject.server.port}/authorize", params=query))


def decisions(groups: dict[str, tuple[Group, Subject]], rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """Silent authorizations of somebody of one home, and of every home, in each group: p50 in ms, and the server's processor time a call."""
    seats = {
        (name, person): SignedIn(group, subject, person) for name, (group, subject) in groups.items() for person in (ONE_HOME, EVERY_HOME)
    }
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in seats}
    for number in range(rounds + 1):
        for (name, person), seat in list(seats.items())[:: 1 if number % 2 else -1]:
            server = groups[name][1].server
            before = server.cpu_seconds()
            spent = [seat.ask() for _ in range(calls)]
            if number:  # the first round warms up
                seen[name, person].append((percentile(spent, 50), (server.cpu_seconds() - before) / calls * 1000))
    found: dict[str, dict[str, float]] = {name: {} for name in groups}
    for (name, person), measured in seen.items():
        kind = "one_home" if person == ONE_HOME else "every_home"
        found[name][f"decision_{kind}_p50_ms"] = median([p50 for p50, _ in measured])
        found[name][f"decision_{kind}_cpu_ms"] = median([cpu for _, cpu in measured])
    return found


def placing(homes: int, people: int) -> dict[str, float]:
    """Six rules of a directory, made ready for all the homes, and the median microseconds that a person costs them."""
    chance = random.Random(SEED)
    everywhere: dict[str, Any] = {"establishment": "{establishment}", "sector": "{attribute:departmentnumber}"}
    rules = (
        *(MappingRule(group=f"{{establishment}}-{job}", attributes={}, profile=job, **everywhere) for job in ("nurse", "aide", "doctor")),
        MappingRule(group="GG-{finess}-IDE", attributes={}, profile="nurse", **everywhere),
        MappingRule(group=None, role="{siret}.cadre", attributes={}, profile="manager", **everywhere),
        MappingRule(group=None, attributes={"office": "{finess} *"}, profile="reception", **everywhere),
    )
    known = [Home(one["slug"], one["finess"], one["siret"]) for one in map(home, range(homes))]
    began = time.perf_counter()
    placer = Placer(rules, known)
    ready_ms = (time.perf_counter() - began) * 1000
    spent = []
    for _ in range(people):
        where = chance.randrange(homes)
        groups = {f"{slug(where)}-nurse", f"gg-{finess(where)}-ide", *(f"liste-{chance.randrange(5_000)}" for _ in range(12))}
        held, attributes = frozenset(groups), {"departmentnumber": ("Nuit",), "office": (f"{finess(where)} Accueil",)}
        began_ns = time.perf_counter_ns()
        placed = placer.placements(held, attributes)
        spent.append((time.perf_counter_ns() - began_ns) / 1000)
        if len(placed) != 2:
            raise RuntimeError(f"{groups}: {placed}")
    return {"placing_ready_ms": ready_ms, "placing_p50_us": percentile(spent, 50)}


def measure(rounds: int, calls: int, large: tuple[int, int]) -> dict[str, Any]:
    """Everything, as it is kept."""
    began, figures = datetime.now(UTC), {}
    with ExitStack() as stack:
        groups: dict[str, Group] = {}
        for name, (homes, people) in (("small", SMALL), ("large", large)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"vestibule-bench-{name}-")))
            group = groups[name] = furnish(folder, homes, people)
            figures[name] = {"homes": homes, "people": people, **check(group)}
            with serving(group) as subject:
                figures[name]["first_start_s"] = subject.cold_start_s
            fill(group)
            _tell(f"{name}: {homes} homes and {people} people are there")
        served = {name: (group, stack.enter_context(serving(group))) for name, group in groups.items()}
        for name, (_, subject) in served.items():
            figures[name]["second_start_s"] = subject.cold_start_s
        for name, found in decisions(served, rounds, calls).items():
            figures[name] |= found
        for name, (group, subject) in served.items():
            figures[name]["server_mb"] = subject.server.rss_mb()[0]
            figures[name]["reload_s"] = median([reload(group, number) for number in range(3)])
            figures[name] |= placing(group.homes, group.people)
    return {
        "name": f"{began:%Y-%m-%d-%H%M}-group",
        "date": f"{began:%Y-%m-%d}",
        "machine": machine.facts(),
        "command": f"python -m bench.group {' '.join(sys.argv[1:])}".strip(),
        "store": vestibule.STORE,
        "settings": {"rounds": rounds, "calls": calls},
        "groups": figures,
    }


def main() -> int:
    """Measure, keep, say."""
    parser = argparse.ArgumentParser(prog="python -m bench.group", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of silent authorizations of each group")
    parser.add_argument("--calls", type=int, default=100, help="silent authorizations of each person in a round")
    parser.add_argument("--homes", type=int, default=LARGE[0], help="homes of the large group; with fewer than 400 no page is written")
    parser.add_argument("--people", type=int, default=LARGE[1], help="people of the large group")
    options = parser.parse_args()
    processes.pin_this_process()
    result = measure(options.rounds, options.calls, (options.homes, options.people))
    print(group_page.chart(result))
    if (options.homes, options.people) != LARGE:
        return 0
    report.keep(result, RESULTS)
    page = group_page.write(result, DOCS)
    print(f"\nwritten: bench/results/{result['name']}.json, docs/{page.name}")
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _account(account_id: str, username: str, now: datetime) -> Account:
    return Account(
        id=account_id,
        status="active",
        username=username,
        given_name="Camille",
        family_name="Marchand",
        email=None,
        email_verified=False,
        phone_number=None,
        phone_number_verified=False,
        address=None,
        locale=None,
        is_demo=False,
        last_establishment_id=None,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )


def _attachment(attachment_id: str, account_id: str, place_id: str, now: datetime) -> Attachment:
    return Attachment(
        id=attachment_id,
        account_id=account_id,
        establishment_id=place_id,
        profile="nurse",
        sector=None,
        first_day=None,
        last_day=None,
        valid_from=None,
        valid_until=None,
        created_at=now,
        ended_at=None,
    )


if __name__ == "__main__":
    sys.exit(main())
