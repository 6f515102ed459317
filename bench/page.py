"""The text of docs/performance.md: what was measured, an honest reading of it, floors, profile, how to run.

Everything comes from one result file and from bench.published; nothing is typed by hand. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import failures, published
from bench.summary import PEER_CLOSEST, Line, machine_factor, sign_in_beside_hash_ms, times_durable, times_durable_here, times_peer
from bench.table import figures, invalid_lines, times_text
from bench.workloads import WORKLOADS

CHART = "performance.svg"


def markdown(result: Mapping[str, Any], every: Sequence[Line]) -> str:
    """The page docs/performance.md."""
    sections = [
        _opening(result),
        f"![Rates by workload]({CHART})",
        _measured(every),
        _reading(result, every),
        _systems(result),
        _floors(result),
        _published(),
        _profile(result),
        _failures(result),
        _how(),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, figures to the right."""
    ruler = ["---" if at == 0 else "---:" for at in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ruler, *rows])


def _opening(result: Mapping[str, Any]) -> str:
    facts, settings = result["machine"], result["settings"]
    shared = "" if facts["cores"] > 1 else " **One core only: server and generator shared it; the rates say little.**"
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return f"""# Performance

Written by `make bench` from `bench/results/{result["name"]}.json`; edit the bench, not this page.

Server on one core, load generator on another, {settings["connections"]} keep-alive connections,
{settings["rounds"]} round(s) of {settings["seconds"]:g} s, systems alternating, medians of the valid rounds.
One web worker. CPU is user and system time of the server's whole process tree (its data store beside it included).

{result["date"]}: {facts["cpu"]}, {facts["cores"]} cores, {facts["memory_gb"]} GB, Linux {facts["kernel"]},
Python {facts["python"]}, SQLite {facts["sqlite"]} with synchronous={result["sqlite_synchronous"]}; {packages}.
Load average before the first run: {facts["load_average_at_start"]}.{shared}"""


def _measured(every: Sequence[Line]) -> str:
    head = ["workload", "system", "rate/s", "CPU ms", "floor ms", "x floor", "p50 ms", "p99 ms", "RSS MB", "spread"]
    rows = [
        [
            f"{line.workload} {WORKLOADS[line.workload].title}",
            f"{line.subject} {line.alg}",
            *figures(line),
            f"{line.spread:.0%}" if line.rounds else "",
        ]
        for line in every
    ]
    note = (
        "*floor*: CPU of the same work done by nothing but the web layer, the signatures and the SQL it needs, from "
        "the floors of the same run. *spread*: highest less lowest round, over the median: differences smaller than "
        "that mean nothing. *RSS*: the largest process."
    )
    invalid = "\n".join(f"- {text}" for text in invalid_lines(every))
    return "\n\n".join(part for part in ("## Measured", table(head, rows), note, invalid) if part)


def _reading(result: Mapping[str, Any], every: Sequence[Line]) -> str:
    ours = [line for line in every if line.is_ours and line.rounds]
    if not ours:
        return "## Reading\n\nVestibule has no valid round in this result, so there is nothing to compare."
    rows = []
    peers = sorted({line.subject for line in every if not line.is_ours}, key=lambda name: (name != PEER_CLOSEST, name)) or [PEER_CLOSEST]
    for line in ours:
        durable, best = times_durable(line), published.best_durable(line.workload)
        here = times_durable_here(line, result.get("floors") or {})
        reached = here is not None and here >= published.GOAL_TIMES_DURABLE
        rows.append(
            [
                f"{line.workload} {WORKLOADS[line.workload].title} {line.alg}",
                f"{line.rate:.0f}",
                f"{best.rates[line.workload]:g} ({best.system})",
                times_text(durable),
                times_text(here),
                "yes" if reached else "**no**",
                times_text(line.times_floor),
                *(times_text(times_peer(line, every, peer)) or "not run" for peer in peers),
            ]
        )
    head = ["workload", "ours/s", "best durable peer/s", "times", "on this machine", "3 times?", "times floor"]
    head += [f"times {peer}" for peer in peers]
    note = (
        "*best durable peer*: the best published row. *on this machine*: had that row been measured on a machine as fast as this one was, "
        "by the floors of both; this is what must be three. *times* a system: that system in this run, signing with RS256 where it can do no other."
    )
    return "\n\n".join(["## Reading", table(head, rows), note, *_remarks(result, ours, every)])


def _remarks(result: Mapping[str, Any], ours: Sequence[Line], every: Sequence[Line]) -> list[str]:
    remarks = []
    goal = published.GOAL_TIMES_DURABLE
    floors = result.get("floors") or {}
    short = [f"{line.workload} {line.alg}" for line in ours if (times_durable_here(line, floors) or 0) < goal]
    if short:
        remarks.append(f"Below three times the best durable published row on this machine: {', '.join(short)}.")
    else:
        remarks.append("Every workload reaches three times the best durable published row.")
    bare = result.get("floors", {}).get("bare_wsgi", {}).get("per_second")
    if bare is not None and any("W7" in text for text in short):
        wanted = goal * published.best_durable("W7").rates["W7"]
        remarks.append(
            f"W7's best row is a C program: three times it is {wanted:.0f}/s, where an empty WSGI application reached "
            f"{bare:.0f}/s in this run. Applications ask for this document once and keep it."
        )
    if any("W3" in text for text in short):
        remarks.append("W3 is bound by the password hash, which is slow on purpose; what each system hashes with is under Systems.")
    factor = machine_factor(result["floors"]) if result.get("floors") else None
    if factor is not None:
        remarks.append(
            f"The published rows come from another run ({published.SOURCE}). By the floors, this machine was "
            f"{factor:.2f} times as slow in this run as that one."
        )
    above = [
        f"{line.workload} {line.alg} ({line.times_floor:.1f})"
        for line in ours
        if line.times_floor is not None and line.times_floor > published.GOAL_TIMES_FLOOR
    ]
    remarks.append(
        f"CPU above {published.GOAL_TIMES_FLOOR} times the floor: {', '.join(above)}."
        if above
        else f"CPU is within {published.GOAL_TIMES_FLOOR} times the floor everywhere."
    )
    if any(line.times_floor is not None and line.times_floor < 1 for line in ours):
        remarks.append(
            "The floor counts a Flask request where the work needs a web layer. Endpoints for machines are answered before "
            "Flask, so less than one floor is possible there."
        )
    behind = [f"{line.workload} {line.alg} ({times:.2f})" for line in ours if (times := times_peer(line, every)) is not None and times < 1]
    if any(times_peer(line, every) is not None for line in ours):
        remarks.append(
            f"Slower than {PEER_CLOSEST} in this run: {', '.join(behind)}."
            if behind
            else f"Nowhere slower than {PEER_CLOSEST} in this run."
        )
        remarks.append(
            f"{PEER_CLOSEST} keeps its state in Redis without writing it to disk and gives opaque access tokens with "
            "an ID token, one signature where Vestibule makes two and commits to SQL; in W1 both sign one JWT."
        )
    for line in ours:
        if line.workload == "W3" and factor is not None:
            beside = sign_in_beside_hash_ms(line, result["floors"])
            remarks.append(
                f"A whole sign-in ({line.alg}) costs {beside:.1f} ms of CPU beside its hash "
                f"(meant: under {published.GOAL_SIGN_IN_BESIDE_HASH_MS:g})."
            )
    if any(line.generator_share > 0.85 for line in every):
        remarks.append("Where the generator used over 85 % of its core, read CPU ms rather than the rate.")
    return ["\n".join(f"- {text}" for text in remarks)]


def _systems(result: Mapping[str, Any]) -> str:
    head = ["system", "version", "state", "password hash", "cold start s", "RSS MB at rest"]
    rows = [
        [
            f"{subject['name']} {subject['alg']}",
            subject["version"],
            subject["store"],
            subject["password_hash"],
            f"{subject['cold_start_s']:.2f}",
            f"{subject['rss_mb']:.0f} (all processes {subject['rss_all_mb']:.0f})",
        ]
        for subject in result["subjects"]
    ]
    goal = (
        f"Cold start is from spawning the server to the first discovery document (meant: under "
        f"{published.GOAL_COLD_START_S:g} s); a worker is meant to stay under {published.GOAL_RSS_MB:g} MB."
    )
    return "\n\n".join(["## Systems", table(head, rows), goal]) if rows else ""


def _floors(result: Mapping[str, Any]) -> str:
    if not result.get("floors"):
        return ""
    rows = [
        [name, f"{figures['cpu_us']:.0f}", f"{figures['wall_us']:.0f}", f"{1e6 / figures['wall_us']:.0f}"]
        for name, figures in result["floors"].items()
    ]
    return "\n\n".join(["## Floors in the same run", table(["what", "CPU µs", "wall µs", "a second"], rows)])


def _published() -> str:
    keys = ("W1", "W2", "W4", "W5", "W6", "W7", "W3")
    rows = [
        [
            f"{row.system} ({row.store}, {row.alg})",
            "yes" if row.is_durable else "no",
            *(f"{row.rates[key]:g}" if key in row.rates else "" for key in keys),
            f"{row.rss_mb:g}",
            f"{row.cold_start_s:g}",
        ]
        for row in published.ROWS
    ]
    head = ["system", "durable", *(f"{key}/s" for key in keys), "RSS MB", "cold start s"]
    return "\n\n".join([f"## Other systems, {published.SOURCE}", table(head, rows)])


def _profile(result: Mapping[str, Any]) -> str:
    parts = ["## Where the time goes"]
    for profile in result.get("profiles", ()):
        title = f"{profile['workload']} {WORKLOADS[profile['workload']].title}, {profile['alg']}"
        layers = [[layer, f"{share:.0%}"] for layer, share in profile["layers"].items() if share >= 0.01]
        functions = [
            [f"`{spent['function']}`", spent["layer"], f"{spent['share']:.1%}", f"{spent['calls_per_flow']:.1f}"]
            for spent in profile["functions"]
        ]
        parts += [
            f"### {title}",
            f"{profile['flows']} flows in one process under cProfile, {profile['microseconds_per_flow']:.0f} µs each "
            "(cProfile's own cost included; the web server is not in it).",
            table(["layer", "own time"], layers),
            table(["function", "layer", "own time", "calls a flow"], functions),
        ]
    if len(parts) == 1:
        parts.append("No profile in this result: `python -m bench --profile W1`.")
    return "\n\n".join(parts)


def _failures(result: Mapping[str, Any]) -> str:
    if not result.get("failures"):
        return "## Do failures take alike?\n\nNot timed in this result: `python -m bench --failures`."
    text = failures.describe(result["failures"])
    return (
        "## Do failures take alike?\n\nTime of the answer to the sign-in form, one request at a time, kinds "
        f"interleaved; all histograms on the same edges (ms).\n\n```text\n{text}\n```"
    )


def _how() -> str:
    return """## Run it

- `make bench`: the whole series; `python -m bench --quick` for a look.
- `PEER=node-oidc-provider make bench`: the same, with that peer beside us, rounds alternating. It needs the Debian
  packages `npm` and `redis-server`; a current Node comes with the locked npm packages. `PEER=lemonldap-ng` is another,
  of Debian packages alone (RS256, and no W2: it does not rotate refresh tokens); both with a comma between them.
- `python -m bench --workloads W1,W2 --alg ES256 --rounds 5 --seconds 10`: a part of it.
- `python -m bench --profile W1` and `python -m bench --failures`: where the time goes, and whether failures take alike;
  they are added to the newest result.
- `python -m bench --render`: this page again from the newest result.

The load generator is Python on epoll (about 40,000 requests a second on one core of this kind) for every workload."""
