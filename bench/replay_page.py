"""The text of docs/performance-policy.md, its goals and its chart, from one result of bench.replay. Pure, but for `write`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from bench.directory_page import Goal
from bench.page import table

PAGE, CHART = "performance-policy.md", "performance-policy.svg"
GOAL_SECONDS = 15.0
GOAL_DECIDE_US = 50.0
GOAL_RSS_MB = 200.0
WIDTH, LEFT, RIGHT, BAR = 760, 230, 90, 18
COLOURS = {"6 rules": "#3c96bd", "50 rules": "#0b5a7a"}
GOAL_COLOUR = "#c2571a"


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """Every goal beside what was seen."""
    longest = [one for one in result["replays"] if one["days"] == max(other["days"] for other in result["replays"])]
    found = []
    for one in longest:
        what = f"replay of {one['judged']:,} sign-ins by {one['draft']}"
        seen = f"{one['cpu_seconds']:.1f} s"
        found.append(Goal(what, f"under {GOAL_SECONDS:g} s of processor", seen, one["cpu_seconds"] < GOAL_SECONDS))
    most = max(one["peak_rss_mb"] for one in result["replays"])
    found.append(Goal("memory of the largest replay", f"under {GOAL_RSS_MB:g} MB", f"{most:.0f} MB", most < GOAL_RSS_MB))
    slowest = max(result["decisions"], key=lambda one: one["rules"])
    seen = f"{slowest['decide_us']:.1f} µs"
    found.append(
        Goal(f"one decision by {slowest['rules']} rules", f"under {GOAL_DECIDE_US:g} µs", seen, slowest["decide_us"] < GOAL_DECIDE_US)
    )
    return found


def verdicts(result: Mapping[str, Any]) -> list[str]:
    """A line for each goal, for a terminal."""
    return [f"{'reached' if goal.is_reached else 'MISSED '}  {goal.what}: {goal.seen} (meant: {goal.meant})" for goal in goals(result)]


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Write the page and its chart into `folder` and return the page."""
    page = folder / PAGE
    page.write_text(markdown(result), encoding="utf-8")
    (folder / CHART).write_text(draw(result), encoding="utf-8")
    return page


def markdown(result: Mapping[str, Any]) -> str:
    """The page docs/performance-policy.md."""
    facts, settings = result["machine"], result["settings"]
    reading = [[goal.what, goal.meant, goal.seen, "yes" if goal.is_reached else "**no**"] for goal in goals(result)]
    replays = [
        [
            f"{one['draft']}, {one['days']} days",
            f"{one['judged']:,}",
            f"{one['distinct']:,}",
            f"{one['cpu_seconds']:.1f}",
            f"{one['judged'] / one['cpu_seconds']:,.0f}",
            f"{one['seconds']:.1f}",
            f"{one['peak_rss_mb']:.0f}",
        ]
        for one in result["replays"]
    ]
    decisions = [[one["draft"], f"{one['decide_us']:.1f}", f"{one['explain_us']:.0f}"] for one in result["decisions"]]
    return f"""# Performance of the decision

Written by `{result["command"]}` from `bench/results/{result["name"]}.json`; edit the bench, not this page.

`vestibule policy replay` as an operator runs it (a process of its own, its start included), on a trail of {settings["sign_ins"]:,} sign-ins of
{settings["people"]:,} people at {settings["establishments"]} establishments over thirty days, each with the facts that rules decided on; medians of
{settings["rounds"]} runs. Store: {result["store"]}. How to read what it prints:
[network-trust-and-second-factors.md](network-trust-and-second-factors.md).

{result["date"]}: {facts["cpu"]}, {facts["cores"]} cores, {facts["memory_gb"]} GB, Linux {facts["kernel"]}, Python {facts["python"]},
SQLite {facts["sqlite"]}; load average before it {facts["load_average_at_start"]}. The machine is virtual and noisy:
seconds of processor count, seconds on the clock less.

{table(["what", "meant", "seen", "reached"], reading)}

![Processor seconds of a replay by draft and by how much of the past](performance-policy.svg)

{table(["draft, past", "judged", "distinct facts", "CPU s", "judged / CPU s", "clock s", "most RSS MB"], replays)}

"Distinct facts" is how often the rules were really asked: what a draft cannot tell apart (another minute of the same stretch of the night, a
fact that no rule looks at) is judged once. Memory grows with the people concerned and not with the trail, which is read a page at a time.

{table(["one decision", "decide µs", "explain µs"], decisions)}
"""


def draw(result: Mapping[str, Any]) -> str:
    """An SVG document: a bar for each replay, the goal as a mark."""
    widest = max([one["cpu_seconds"] for one in result["replays"]] + [GOAL_SECONDS]) * 1.05
    parts, top = [], 34
    for at, one in enumerate(result["replays"]):
        y, across = top + at * BAR, (WIDTH - LEFT - RIGHT) * one["cpu_seconds"] / widest
        name = f"{one['draft']}, {one['days']} days ({one['judged']:,})"
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 2}" width="{across:.1f}" height="{BAR - 5}" fill="{COLOURS.get(one["draft"], "#8a8a8a")}"/>',
            f'<text x="{LEFT + across + 4:.1f}" y="{y + 12}">{one["cpu_seconds"]:.1f} s</text>',
        ]
    end = top + len(result["replays"]) * BAR
    goal = LEFT + (WIDTH - LEFT - RIGHT) * GOAL_SECONDS / widest
    parts.append(f'<path d="M{goal:.1f} {top}V{end}" stroke="{GOAL_COLOUR}" stroke-width="2"/>')
    parts.append(f'<text x="{goal:.1f}" y="{top - 6}" text-anchor="middle">meant: under {GOAL_SECONDS:g} s</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end + 14}" role="img" '
        f'aria-label="Processor seconds of a replay by draft and by how much of the past">\n'
        "<style>text{font:11px sans-serif;fill:#222}.w{font-weight:bold}</style>\n"
        f'<rect width="{WIDTH}" height="{end + 14}" fill="#ffffff"/>\n'
        f'<text x="{LEFT - 8}" y="16" text-anchor="end" class="w">processor seconds of a replay</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )
