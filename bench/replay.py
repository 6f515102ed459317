"""`python -m bench.replay`: what it costs to judge the past by a draft of the rules, and what one decision costs.

A past of 200,000 sign-ins is written into a real store (bench.past), and `vestibule policy replay` judges it as an operator would run it: a process
of its own, watched. Decisions are timed in this process. Writes bench/results, docs/performance-policy.md and its chart. Exits 1 when a goal was
missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import machine, past, processes, replay_page, report, vestibule
from bench.floors import REPOSITORY
from bench.statistic import median
from bench.subject import PreparationError
from policies.rules import DEFAULT_RULES, SignInFacts, parse_rules

RESULTS = REPOSITORY / "bench" / "results"
DOCS = REPOSITORY / "docs"
SIGN_INS, PEOPLE, ESTABLISHMENTS = 200_000, 6_000, 40
SEED = 4
# So much of the past, by days back: the cost must grow with it and with nothing else.
SPANS = (7, 15, 30)
BATCHES = 50
# Establishments that rules name: a large group has a few with rules of their own.
EXCEPTIONS = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked."""

    sign_ins: int
    people: int
    establishments: int
    rounds: int

    @property
    def is_whole(self) -> bool:
        """Whether the past is as large as the goal asks."""
        return self.sign_ins >= SIGN_INS


def read(arguments: Sequence[str] | None = None) -> Settings:
    """The settings of a command line; exits with a usage message on a wrong one (argparse)."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description="Measure `vestibule policy replay` and one decision.")
    parser.add_argument("--sign-ins", type=int, default=SIGN_INS, help=f"how long the past is (default {SIGN_INS})")
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"people in it (default {PEOPLE})")
    parser.add_argument("--establishments", type=int, default=ESTABLISHMENTS, help=f"homes in it (default {ESTABLISHMENTS})")
    parser.add_argument("--rounds", type=int, default=3, help="replays of each draft (default 3)")
    given = parser.parse_args(arguments)
    if min(given.sign_ins, given.people, given.establishments, given.rounds) <= 0:
        parser.error("every number must be positive")
    return Settings(given.sign_ins, given.people, given.establishments, given.rounds)


def main() -> int:
    """Measure, keep, write."""
    settings = read()
    processes.pin_this_process()
    began = datetime.now(UTC)
    kind = "replay" if settings.is_whole else "replay-look"
    result: dict[str, Any] = {
        "name": f"{began:%Y-%m-%d-%H%M}-{kind}",
        "date": f"{began:%Y-%m-%d}",
        "machine": machine.facts(),
        "store": vestibule.STORE,
        "settings": {
            "sign_ins": settings.sign_ins,
            "people": settings.people,
            "establishments": settings.establishments,
            "rounds": settings.rounds,
        },
        "command": f"python -m bench.replay {' '.join(sys.argv[1:])}".strip(),
    }
    result["decisions"] = [time_decisions(name, raw) for name, raw in drafts().items()]
    try:
        with tempfile.TemporaryDirectory(prefix="vestibule-bench-replay-") as folder:
            result["replays"] = _replays(Path(folder), settings)
    except PreparationError as error:
        print(f"bench.replay: {error}", file=sys.stderr)
        return 2
    report.keep(result, RESULTS)
    print("\n".join(replay_page.verdicts(result)))
    print(f"\nwritten: bench/results/{result['name']}.json")
    if settings.is_whole:
        print(f"written: docs/{replay_page.write(result, DOCS).name} and its chart")
    return 0 if all(goal.is_reached for goal in replay_page.goals(result)) else 1


def drafts() -> dict[str, list[Mapping[str, Any]]]:
    """Two drafts: the default rules and one more, and fifty with everything that rules can look at."""
    nights = {"name": "passkey-at-night", "effect": "require", "require": ["phishing_resistant"]}
    few = [*DEFAULT_RULES, {**nights, "when": {"client": ["carnet-de-soins"], "time": {"from": "21:00", "to": "06:30"}}}]
    return {"6 rules": few, "50 rules": [*few, *(_rule(number) for number in range(50 - len(few)))]}


def _rule(number: int) -> Mapping[str, Any]:
    """One of many different rules, each with several criteria."""
    when: dict[str, Any] = {
        "establishment": [f"residence-{number % EXCEPTIONS}", f"residence-{number * 3 % EXCEPTIONS}"],
        "any": [{"profile": [past.PROFILES[number % 6]]}, {"client": [past.CLIENTS[number % 5]]}],
        "not": {"factor": ["passkey"]},
    }
    if number % 3 == 0:
        when["time"] = {"from": f"{number % 24:02}:00", "to": f"{(number + 5) % 24:02}:30"}
    if number % 4 == 0:
        when["weekdays"] = ["sat", "sun"]
    effect: dict[str, Any] = {"effect": "require", "require": [{"proof": "second_factor", "within": "12h"}]}
    if number % 5 == 0:
        effect, when["device_known"] = {"effect": "deny"}, False
    return {"name": f"rule-{number}", **effect, "when": when}


def time_decisions(name: str, raw: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Microseconds of one decision, and of one explanation, on facts that differ each time."""
    rules = parse_rules(list(raw))
    facts = [_facts(number) for number in range(200)]
    # Of processor, and the least disturbed batch: other processes on the machine share its caches.
    decided = min(_seconds_of(rules.decide, facts) for _ in range(BATCHES))
    explained = min(_seconds_of(rules.explain, facts) for _ in range(3))
    return {
        "draft": name,
        "rules": len(rules.rules),
        "decide_us": decided / len(facts) * 1e6,
        "explain_us": explained / len(facts) * 1e6,
    }


def _seconds_of(judge: Callable[[SignInFacts], object], facts: Sequence[SignInFacts]) -> float:
    began = time.process_time()
    for one in facts:
        judge(one)
    return time.process_time() - began


def _facts(number: int) -> SignInFacts:
    return SignInFacts(
        zone="outside" if number % 3 else f"residence-{number % ESTABLISHMENTS}/lan",
        zone_kind="outside" if number % 3 else "trusted",
        client=past.CLIENTS[number % 5],
        profiles=frozenset({past.PROFILES[number % 6]}),
        establishment=f"residence-{number % ESTABLISHMENTS}",
        level="tolerant",
        local_time=datetime(2026, 11, 2 + number % 7, number % 24, number % 60, tzinfo=UTC),
        connector="siege",
        methods=frozenset({"password"}),
        factors=frozenset({"totp"}),
        device_known=number % 4 != 0,
        workstation=False,
        requested_acr=frozenset(),
        administrator=number % 11 == 0,
        break_glass=False,
        degraded=False,
    )


def _replays(folder: Path, settings: Settings) -> list[dict[str, Any]]:
    configuration = vestibule.write_configuration(folder, processes.free_port(), "ES256", vestibule.new_client())
    vestibule.run(configuration, ["migrate"])
    with tqdm(total=settings.sign_ins, desc="writing the past", unit=" sign-ins", file=sys.stderr) as bar:
        past.write(
            configuration,
            sign_ins=settings.sign_ins,
            people=settings.people,
            establishments=settings.establishments,
            seed=SEED,
            tell=bar.update,
        )
    found = []
    for name, raw in drafts().items():
        file = folder / f"{name.replace(' ', '-')}.yaml"
        file.write_text(json.dumps({"rules": raw}), encoding="utf-8")  # JSON is YAML
        for days in SPANS:
            runs = [_replay(configuration, file, days) for _ in range(settings.rounds)]
            figures = {what: median([run[what] for run in runs]) for what in ("seconds", "cpu_seconds", "peak_rss_mb")}
            one = {"draft": name, "days": days, **{what: runs[0][what] for what in ("judged", "distinct", "asked")}, **figures}
            tqdm.write(
                f"{name}, {days} days: {one['judged']} judged in {one['seconds']:.1f} s, {one['peak_rss_mb']:.0f} MB", file=sys.stderr
            )
            found.append(one)
    return found


def _replay(configuration: Path, file: Path, days: int) -> dict[str, Any]:
    """One run of the command, on the server's core."""
    arguments = ["policy", "replay", "--rules", str(file), "--since", f"{days}d"]
    told, used = vestibule.watched(configuration, arguments, name="replay")
    return {
        "seconds": used.seconds,
        "cpu_seconds": used.cpu_seconds,
        "peak_rss_mb": used.peak_rss_mb,
        "judged": told["judged"],
        "distinct": told["distinct_facts"],
        "asked": sum(one["asked"]["people"] for one in told["establishments"]),
    }


if __name__ == "__main__":
    sys.exit(main())
