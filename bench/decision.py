"""What a decision costs: `python -m bench.decision` asks rule sets of several sizes about many sign-ins and keeps the result.

Times policies.rules alone, in this process: no store, no socket. Each decision is timed by itself, so that a slow one is seen and not averaged away;
the clock's own cost is in the figures. Of several rounds the quietest counts, for other work on the machine can only add; the noisiest is kept too.
Exits 1 when the goal at 50 rules is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from time import perf_counter_ns
from typing import Any

from bench import machine, processes, report
from bench.floors import REPOSITORY
from policies.rules import DEFAULT_RULES, RuleSet, SignInFacts, parse_rules
from policies.zones import ZoneFacts, ZoneIndex, ZoneKind

RESULTS = REPOSITORY / "bench" / "results"
GOAL_RULES = 50
GOAL_US = 50.0
SIZES = (len(DEFAULT_RULES), GOAL_RULES, 200)
ESTABLISHMENTS, NETWORKS_EACH = 400, 4
ROUNDS = 7
SEED = 20260722

_SLUGS = [f"residence-{number}" for number in range(40)]
_CLIENTS = [f"application-{number}" for number in range(12)]
_PROFILES = ["nurse", "aide", "doctor", "manager", "external", "it"]
_KINDS = ["trusted", "shared_workstation", "vpn", "outside"]
_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds a call, of the quietest round; `noisiest_p99_us` is of the noisiest."""

    calls: int
    p50_us: float
    p99_us: float
    mean_us: float
    noisiest_p99_us: float

    def as_json(self) -> dict[str, float | int]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


def some_rules(count: int, chance: random.Random) -> RuleSet:
    """The default rules, then rules as a group of homes writes them: one to four criteria, some nested, some only observed."""
    raw: list[dict[str, Any]] = [dict(rule) for rule in DEFAULT_RULES]
    while len(raw) < count:
        criteria: dict[str, Any] = {
            "client": chance.sample(_CLIENTS, 2),
            "profile": chance.sample(_PROFILES, 2),
            "establishment": chance.sample(_SLUGS, 3),
            "zone_kind": chance.sample(_KINDS, 2),
            "time": {"from": f"{chance.randrange(18, 24)}:00", "to": f"0{chance.randrange(5, 9)}:30"},
            "weekdays": chance.sample(_DAYS, 3),
            "device_known": chance.random() < 0.5,
            "factor": ["passkey"],
        }
        when = {name: criteria[name] for name in chance.sample(sorted(criteria), chance.randint(1, 4))}
        if chance.random() < 0.3:
            when["not"] = {"any": [{"method": ["windows"]}, {"workstation": True}]}
        effect = chance.choice(["allow", "require", "require", "deny"])
        rule: dict[str, Any] = {"name": f"rule-{len(raw)}", "effect": effect, "when": when, "observe": chance.random() < 0.1}
        if effect == "require":
            rule["require"] = [chance.choice(["second_factor", "phishing_resistant"]), {"proof": "fresh_sign_in", "within": "12h"}]
        raw.append(rule)
    return parse_rules(raw)


def some_facts(count: int, chance: random.Random) -> list[SignInFacts]:
    """Sign-ins of a group; in one of five something is not known."""
    monday = datetime(2026, 3, 9, tzinfo=UTC)
    found = []
    for _ in range(count):
        kind, slug = chance.choice(_KINDS), chance.choice(_SLUGS)
        is_whole = chance.random() < 0.8
        found.append(
            SignInFacts(
                zone="outside" if kind == "outside" else f"{slug}/{kind}",
                zone_kind=kind,
                client=chance.choice(_CLIENTS),
                profiles=frozenset(chance.sample(_PROFILES, 1)),
                establishment=slug,
                level=chance.choice(["tolerant", "rie-2026"]),
                local_time=monday + timedelta(minutes=chance.randrange(7 * 1440)),
                connector="local",
                methods=frozenset({"password"}),
                factors=frozenset(chance.sample(["totp", "passkey", "sms"], chance.randint(0, 2))),
                device_known=chance.random() < 0.7 if is_whole else None,
                workstation=chance.random() < 0.3 if is_whole else None,
                requested_acr=frozenset(),
                administrator=chance.random() < 0.02,
                break_glass=False,
                degraded=False,
            )
        )
    return found


def some_zones(chance: random.Random) -> list[ZoneFacts]:
    """400 establishments with four networks each."""
    return [
        ZoneFacts(
            id=f"z{number}",
            establishment_id=f"e{number}",
            slug=f"residence-{number}",
            name="site",
            kind=chance.choice([ZoneKind.TRUSTED, ZoneKind.SHARED_WORKSTATION, ZoneKind.VPN]),
            networks=tuple(IPv4Network((0x0A000000 + ((number * NETWORKS_EACH + at) << 8), 24 + at)) for at in range(NETWORKS_EACH)),
        )
        for number in range(ESTABLISHMENTS)
    ]


def measure(call: Callable[[int], object], calls: int) -> Timing:
    """Time each of `calls` calls of each of ROUNDS rounds by itself, after a tenth of them to warm up."""
    for at in range(calls // 10):
        call(at)
    rounds = sorted((sorted(_spent(call, calls)) for _ in range(ROUNDS)), key=lambda spent: spent[calls * 99 // 100])
    quiet, noisy = rounds[0], rounds[-1]
    at_99 = calls * 99 // 100
    return Timing(calls, quiet[calls // 2] / 1e3, quiet[at_99] / 1e3, sum(quiet) / calls / 1e3, noisy[at_99] / 1e3)


def _spent(call: Callable[[int], object], calls: int) -> list[int]:
    spent = []
    for at in range(calls):
        began = perf_counter_ns()
        call(at)
        spent.append(perf_counter_ns() - began)
    return spent


def run(calls: int) -> dict[str, Any]:
    """Everything, as it is kept."""
    chance = random.Random(SEED)
    began = datetime.now(UTC)
    facts = some_facts(2_000, chance)
    decisions, explanations = {}, {}
    for size in SIZES:
        rules = some_rules(size, chance)
        decisions[str(size)] = measure(lambda at, rules=rules: rules.decide(facts[at % len(facts)]), calls).as_json()  # type: ignore[misc]  # bound now
        explained = max(20, calls // 200)
        explanations[str(size)] = measure(lambda at, rules=rules: rules.explain(facts[at % len(facts)]), explained).as_json()  # type: ignore[misc]
    index = ZoneIndex(some_zones(chance))
    addresses = [f"10.{chance.randrange(8)}.{chance.randrange(256)}.{chance.randrange(256)}" for _ in range(2_000)]
    found = measure(lambda at: index.find(addresses[at % len(addresses)], began), calls)
    reached = float(decisions[str(GOAL_RULES)]["p99_us"])
    return {
        "name": f"{began:%Y-%m-%d-%H%M}-decision",
        "date": f"{began:%Y-%m-%d}",
        "machine": machine.facts(),
        "command": f"python -m bench.decision {' '.join(sys.argv[1:])}".strip(),
        "goal": {"rules": GOAL_RULES, "us": GOAL_US, "p99_us": reached, "is_reached": reached < GOAL_US},
        "decide": decisions,
        "explain": explanations,
        "find_zone": {"establishments": ESTABLISHMENTS, "networks_each": NETWORKS_EACH, **found.as_json()},
    }


def main() -> int:
    """Measure, keep, say."""
    parser = argparse.ArgumentParser(prog="python -m bench.decision", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="decisions timed in each round for each number of rules")
    calls = parser.parse_args().calls
    if calls < 100:
        parser.error("--calls must be at least 100")
    processes.pin_this_process()
    result = run(calls)
    report.keep(result, RESULTS)
    for what in ("decide", "explain"):
        for size, timing in result[what].items():
            print(f"{what} at {size:>3} rules: p50 {timing['p50_us']:.1f} µs, p99 {timing['p99_us']:.1f} µs")
    zone = result["find_zone"]
    print(f"zone of an address, {ESTABLISHMENTS} x {NETWORKS_EACH} networks: p50 {zone['p50_us']:.1f} µs, p99 {zone['p99_us']:.1f} µs")
    goal = result["goal"]
    print(f"goal: p99 under {GOAL_US:.0f} µs at {GOAL_RULES} rules: {'reached' if goal['is_reached'] else 'MISSED'}")
    print(f"\nwritten: bench/results/{result['name']}.json")
    return 0 if goal["is_reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
