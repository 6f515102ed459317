"""The text of docs/performance-directory.md and its goals: what a directory costs, from one result of bench.directory.

Nothing is typed by hand: every figure comes from the result. The chart is bench.directory_chart's. Pure, but for `write`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import directory_chart, hung, size
from bench.page import table
from bench.shift_change import GOAL_P99_MS
from bench.workloads import WORKLOADS

PAGE, CHART = "performance-directory.md", "performance-directory.svg"
GOAL_SIZE_RATIO = 1.2
GOAL_KEPT_SHARE = 0.9
CONDITION_WORDS = {
    "without": "no directory configured",
    "well": "slapd well, tries succeed",
    "mistyped": "slapd well, tries fail",
    "hung": "slapd hung (SIGSTOP)",
    "down": "slapd stopped",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure beside what it was meant to be."""

    what: str
    meant: str
    seen: str
    is_reached: bool


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """Every goal that the result can answer for."""
    found = []
    parts = result["parts"]
    if "size" in parts:
        times = size.size_ratio(parts["size"]["rounds"], "cpu_ms")
        what = f"CPU of a sign-in among {parts['size']['people']:,} people, over that among {parts['size']['few']}"
        reached = times is not None and times <= GOAL_SIZE_RATIO
        found.append(Goal(what, f"at most {GOAL_SIZE_RATIO}", "not valid" if times is None else f"{times:.2f}", reached))
    for key in hung.WORKLOADS_BESIDE if "hung" in parts else ():
        share = hung.kept_share(parts["hung"]["rounds"], key, "hung", "mistyped")
        what = f"{_title(key)}: rate with slapd hung, over that with slapd well (tries fail in both)"
        reached = share is not None and share >= GOAL_KEPT_SHARE
        found.append(Goal(what, f"at least {GOAL_KEPT_SHARE}", "not valid" if share is None else f"{share:.2f}", reached))
    for run in parts["shift"]["runs"] if "shift" in parts else ():
        worst = max(run["pages"].items(), key=lambda item: float(item[1]["p99_ms"]), default=("none", {"p99_ms": float("inf")}))
        when = f"{run['rate']:g} sign-ins a second for {run['asked_seconds'] / 60:g} min"
        slowest = f"{worst[1]['p99_ms']:.0f} ms ({worst[0]})"
        found.append(Goal(f"{when}: p99 of each page", f"under {GOAL_P99_MS:g} ms", slowest, worst[1]["p99_ms"] < GOAL_P99_MS))
        lost = run["arrived"] - run["answered"]
        found.append(Goal(f"{when}: refused or failed", "none", f"{lost} of {run['arrived']}", lost == 0))
    return found


def verdicts(result: Mapping[str, Any]) -> list[str]:
    """A line for each goal, for a terminal."""
    return [f"{'reached' if goal.is_reached else 'MISSED '}  {goal.what}: {goal.seen} (meant: {goal.meant})" for goal in goals(result)]


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Write the page and its chart into `folder` and return the page."""
    page = folder / PAGE
    page.write_text(markdown(result), encoding="utf-8")
    runs = result["parts"].get("shift", {}).get("runs", ())
    if runs:
        (folder / CHART).write_text(directory_chart.draw(runs[-1]), encoding="utf-8")
    return page


def markdown(result: Mapping[str, Any]) -> str:
    """The page docs/performance-directory.md."""
    parts = result["parts"]
    sections = [_opening(result), _reading(result)]
    sections += [section(parts[name]) for name, section in (("size", _size), ("hung", _hung), ("shift", _shift)) if name in parts]
    return "\n\n".join([*sections, _how()]) + "\n"


def _title(key: str) -> str:
    return "sign-in of a local account" if key == "W3" else WORKLOADS[key].title


def _opening(result: Mapping[str, Any]) -> str:
    facts = result["machine"]
    return f"""# Performance with a directory

Written by `python -m bench.directory` from `bench/results/{result["name"]}.json`; edit the bench, not this page. What the server does
without a directory: [performance.md](performance.md).

A real slapd (OpenLDAP, mdb, ppolicy, LDAPS), people with a group each, found and bound as in [connect-a-directory.md](connect-a-directory.md);
the product's own timeouts, `concurrency` and breaker; tokens signed with ES256.

{result["date"]}: {facts["cpu"]}, {facts["cores"]} cores, {facts["memory_gb"]} GB, Linux {facts["kernel"]}, Python {facts["python"]},
SQLite {facts["sqlite"]}. The machine is virtual and noisy: ratios within one part count, times less."""


def _reading(result: Mapping[str, Any]) -> str:
    every = goals(result)
    rows = [[goal.what, goal.meant, goal.seen, "yes" if goal.is_reached else "**no**"] for goal in every]
    missed = sum(not goal.is_reached for goal in every)
    said = f"{missed} of {len(every)} goals missed." if missed else "Every goal is reached."
    return "\n\n".join(["## Reading", table(["what", "meant", "seen", "reached"], rows), said])


def _about(part: Mapping[str, Any]) -> str:
    where = f" Processor: {part['cpu']}." if "cpu" in part else ""  # parts of one result may come from several machines
    return f"`{part['command']}`, {part['at']} UTC, load average before it {part['load_average']}. Stores: {part['store']}.{where}"


def _size(part: Mapping[str, Any]) -> str:
    sync = [
        [
            {"first": "first, everybody is new", "unchanged": "again, nothing has changed"}[run["what"]],
            f"{run['people']:,}",
            f"{run['seconds']:.0f}",
            f"{run['people_per_second']:.0f}",
            f"{run['cpu_seconds']:.0f}",
            f"{run['slapd_cpu_seconds']:.1f}",
            f"{run['peak_rss_mb']:.0f}",
        ]
        for run in part["sync"]
    ]
    found = size.summary(part["rounds"])
    names = {"small": f"{part['few']} people, 1 home", "large": f"{part['people']:,} people, {part['establishments']} homes"}
    cost = [
        [
            names[group],
            *(f"{figures[what]:.1f}" for what in ("cpu_ms", "slapd_cpu_ms", "p50_ms", "p99_ms", "rate")),
            f"{figures['rss_mb']:.0f}",
            ", ".join(f"{one['cpu_ms']:.1f}" for one in part["rounds"] if one["group"] == group),
        ]
        for group, figures in found.items()
    ]
    ratios = {figure: size.size_ratio(part["rounds"], figure) for figure in ("cpu_ms", "slapd_cpu_ms", "p50_ms")}
    told = ", ".join(
        f"{words} {ratios[figure]:.2f}"
        for figure, words in (("cpu_ms", "CPU of the server"), ("p50_ms", "p50"), ("slapd_cpu_ms", "CPU of slapd"))
        if ratios[figure] is not None
    )
    refused = sum(sum(one["failures"].values()) for one in part["rounds"])
    head = ["`vestibule sync`", "people", "s", "people/s", "CPU s", "slapd's CPU s", "most RSS MB"]
    return "\n\n".join(
        [
            "## Size",
            _about(part),
            table(head, sync),
            f"Then whole sign-ins by directory bind, {part['connections']} at a time, {len(part['rounds']) // 2} rounds of {part['seconds']:g} s, "
            "the two groups alternating, medians; the server and `sync` on one core, slapd and the generator on the other.",
            table(["group", "CPU ms", "slapd's CPU ms", "p50 ms", "p99 ms", "flows/s", "RSS MB", "CPU ms by round"], cost),
            f"Large over small: {told}. Failed sign-ins: {refused}. The twelve sign in again and again and have more open sessions each; "
            "nearly everybody of the large group comes once.",
        ]
    )


def _hung(part: Mapping[str, Any]) -> str:
    found = hung.summary(part["rounds"])
    rows = []
    for key in hung.WORKLOADS_BESIDE:
        for condition in hung.CONDITIONS:
            if (key, condition) not in found:
                continue
            figures = found[key, condition]
            beside = (hung.kept_share(part["rounds"], key, condition, other) for other in ("mistyped", "well", "without"))
            rows.append(
                [
                    _title(key),
                    CONDITION_WORDS[condition],
                    f"{figures['rate']:.0f}",
                    *("" if share is None else f"{share:.2f}" for share in beside),
                    f"{figures['worst_second']:.0f}",
                    f"{figures['p50_ms']:.0f}",
                    f"{figures['p99_ms']:.0f}",
                    f"{figures['cpu_share']:.0%}",
                ]
            )
    head = [
        "what is measured",
        "directory",
        "a second",
        "over failing",
        "over succeeding",
        "over none",
        "worst second",
        "p50 ms",
        "p99 ms",
        "server's core",
        "by round",
    ]
    failed = [
        f"{one['workload']} {one['condition']}, round {one['round'] + 1}: {one['failures']}" for one in part["rounds"] if one["failures"]
    ]
    return "\n\n".join(
        [
            "## A hung directory",
            _about(part),
            f"{part['connections']} connections do what is measured, as fast as they are answered; meanwhile {part['tries']:g} people a second "
            f"try to sign in through the directory, in every row alike. One web worker on its own core; {part['seconds']:g} s a run, from the very "
            "moment of the hang on: the seconds before the breaker has opened are in it. Medians of the rounds, their order turned round each time; "
            "differences smaller than those between rounds mean nothing.",
            table(head, rows),
            "What became of the tries through the directory, all rounds together:",
            table(["directory", "tries", "signed in", "password answered after, p50 ms", "at most, ms", "refused"], _tries(part["rounds"])),
            *(["INVALID: " + "; ".join(failed)] if failed else []),
        ]
    )


def _tries(rounds: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for condition in hung.CONDITIONS:
        those = [one["tries"] for one in rounds if one["condition"] == condition]
        refused: dict[str, int] = {}
        for one in those:
            for why, number in one["refused"].items():
                refused[why] = refused.get(why, 0) + number
        waits = sorted(one["post_p50_ms"] for one in those if one["post_p50_ms"] is not None)
        rows.append(
            [
                CONDITION_WORDS[condition],
                str(sum(one["tries"] for one in those)),
                str(sum(one["signed_in"] for one in those)),
                f"{waits[len(waits) // 2]:.0f}" if waits else "",
                f"{max((one['post_most_ms'] or 0.0) for one in those):.0f}" if those else "",
                ", ".join(f"{number} x {why}" for why, number in refused.items()),
            ]
        )
    return rows


def _shift(part: Mapping[str, Any]) -> str:
    sections = [
        "## The shift change",
        _about(part),
        "People come when they come (Poisson), drawn from all, each in a fresh browser on a connection of its own: the pages, then the application's "
        "requests. A page's time is counted from the moment it was due. Two web workers; **server, slapd and generator share the cores**. "
        "The second factor of one in five is not in it yet. Static files are not asked for: workstations keep them.",
    ]
    for run in part["runs"]:
        rows = [
            [name, str(page["count"]), *(f"{page[what]:.0f}" for what in ("p50_ms", "p90_ms", "p99_ms", "most_ms"))]
            for name, page in [*run["pages"].items(), *([("the whole sign-in", run["whole"])] if run["whole"] else [])]
        ]
        used, each = (
            ", ".join(f"{words} {run[f'{words}_cpu_seconds'] / over * times:.{digits}f}" for words in ("server", "slapd", "generator"))
            for over, times, digits in ((run["seconds"], 1, 2), (max(1, run["answered"]), 1000, 1))
        )
        failures = "; ".join(f"{number} x {why}" for why, number in run["failures"].items()) or "none"
        sections += [
            f"### {run['rate']:g} a second for {run['asked_seconds'] / 60:g} min, {run['people']:,} people",
            table(["page", "asked", "p50 ms", "p90 ms", "p99 ms", "most ms"], rows),
            f"Arrived {run['arrived']}, signed in {run['answered']}; refused or failed: {failures}. Cores used: {used}; CPU a sign-in, ms: {each}. "
            f"Memory: largest process {run['rss_mb']:.0f} MB, all together {run['rss_all_mb']:.0f} MB ({run['rss_first_mb']:.0f} at first, "
            f"{run['rss_last_mb']:.0f} at the end); slapd {run['slapd_rss_mb']:.0f} MB. The generator was never later than "
            f"{run['latest_beginning_ms']:.0f} ms.",
        ]
    return "\n\n".join([*sections, f"![The shift change, second by second, and p99 of each page]({CHART})"])


def _how() -> str:
    return """## Run it

- `python -m bench.directory`: everything, about a quarter of an hour. It needs the Debian package `slapd`.
- `python -m bench.directory --parts shift --minutes 1,10`: the shift change alone, one minute and then ten; other parts of the newest result stay.
- `--people 600 --establishments 12 --rounds 1 --seconds 4` for a look; `--stores postgresql` on PostgreSQL and Redis.
- `python -m bench.directory --render`: this page again from the newest result."""
