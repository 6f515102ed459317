"""What a run of the bench is asked to do: the command line, and nothing else."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass

from bench.workloads import WORKLOADS

ALGORITHMS = ("RS256", "ES256")
PEERS = ("node-oidc-provider", "lemonldap-ng")
CONNECTIONS = 16
# Where the time goes is asked of a request that signs, of one that writes most, and of a whole return visit.
PROFILED = ("W1", "W2", "W4")


@dataclass(frozen=True, slots=True)
class Settings:
    """A run: rounds of `seconds` each; `series` False when only a profile, the failures or the page is asked.

    `peer` is a name of PEERS or several, with commas between them.
    """

    rounds: int
    seconds: float
    workloads: tuple[str, ...]
    algorithms: tuple[str, ...]
    peer: str | None
    ours: bool
    series: bool
    profiles: tuple[str, ...]
    failures: bool
    what: str


def read(arguments: Sequence[str] | None = None) -> Settings:
    """The settings of a command line; exits with a usage message on a wrong one (argparse)."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Vestibule, its floors and a peer.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every workload (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run (default 5)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="a list such as W1,W4 (default: all)")
    parser.add_argument("--alg", default=",".join(ALGORITHMS), help="signature algorithms (default RS256,ES256)")
    parser.add_argument("--peer", default=os.environ.get("PEER") or None, help=f"run peers beside us: {','.join(PEERS)} (default: $PEER)")
    parser.add_argument("--without-ours", action="store_true", help="measure the peer alone")
    parser.add_argument("--quick", action="store_true", help="one round of one second, no profile, no failures")
    parser.add_argument("--profile", metavar="W1,...", help="only profile these workloads; adds to the newest result")
    parser.add_argument("--failures", action="store_true", help="only time sign-in failures; adds to the newest result")
    parser.add_argument("--render", action="store_true", help="only write docs/performance.md from the newest result")
    given = parser.parse_args(arguments)
    for name in given.peer.split(",") if given.peer else ():
        if name not in PEERS:
            parser.error(f"no such peer: {name} (there are {', '.join(PEERS)})")
    if given.without_ours and given.peer is None:
        parser.error("--without-ours needs a --peer")
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    workloads = _known(parser, given.workloads, tuple(WORKLOADS), "workload")
    series = not (given.profile or given.failures or given.render)
    whole = series and not given.quick and not given.without_ours
    profiles = _known(parser, given.profile, tuple(WORKLOADS), "workload") if given.profile else ()
    return Settings(
        rounds=1 if given.quick else given.rounds,
        seconds=1.0 if given.quick else given.seconds,
        workloads=workloads,
        algorithms=_known(parser, given.alg, ALGORITHMS, "algorithm"),
        peer=given.peer,
        ours=not given.without_ours,
        series=series,
        profiles=PROFILED if whole else profiles,
        failures=whole or given.failures,
        what="peer" if given.without_ours else "quick" if given.quick else "series",
    )


def _known(parser: argparse.ArgumentParser, text: str, known: Sequence[str], noun: str) -> tuple[str, ...]:
    asked = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    for part in asked:
        if part not in known:
            parser.error(f"no such {noun}: {part} (there are {', '.join(known)})")
    return asked or tuple(known)
