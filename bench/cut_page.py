"""The text of docs/performance-cut.md and its chart, from one result of bench.cut and bench.drain. Pure, but for `write`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from bench.page import table

PAGE, CHART = "performance-cut.md", "performance-cut.svg"
STAGES = {"heard": "heard", "decided": "decided", "received": "received by the application"}
WIDTH, LEFT, RIGHT, ROW = 760, 190, 110, 46
POLL = ["for comparison: a poll every 5 minutes", "", "150000.0 / 297000.0", "", "", ""]
COLOURS = {"heard": "#8a8a8a", "decided": "#3c96bd", "received": "#0b5a7a"}


def lines(result: Mapping[str, Any]) -> str:
    """A line for each path, for a terminal."""
    found = []
    for name, path in result["paths"].items():
        whole = path["since_written"]["received"]
        alive = sum(path["alive_afterwards"].values())
        told = f"p50 {whole['p50']:.1f} ms, p99 {whole['p99']:.1f} ms, most {whole['most']:.1f} ms" if whole else "nothing measured"
        found.append(f"{name}: {path['measured']} of {path['cuts']} departures, written -> received {told}; alive afterwards: {alive}")
    return "\n".join(found)


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Write the page and its chart into `folder` and return the page."""
    page = folder / PAGE
    page.write_text(markdown(result), encoding="utf-8")
    (folder / CHART).write_text(draw(result), encoding="utf-8")
    return page


def markdown(result: Mapping[str, Any]) -> str:
    """The page docs/performance-cut.md."""
    facts = result["machine"]
    rows, steps, left = [], [], []
    for path in result["paths"].values():
        since, before = path["since_written"], path["since_before"]
        if not since["received"]:
            continue
        cells = [f"{since[stage]['p50']:.1f} / {since[stage]['p99']:.1f}" for stage in STAGES]
        rows.append([path["title"], str(path["cuts"]), *cells, str(path["lost"])])
        steps.append([path["title"], *(f"{before[stage]['p50']:.1f} / {before[stage]['p99']:.1f}" for stage in STAGES)])
        alive = [str(path["alive_afterwards"][what]) for what in ("sessions", "access_tokens", "refresh_tokens")]
        left.append([path["title"], path["at"], str(path["load_average"]), *alive])
    sections = [
        f"""# How long a departure takes

Written by `python -m bench.cut` from `bench/results/{result["name"]}.json`; edit the bench, not this page. What happens on the way:
[the-cut.md](the-cut.md).

From the write in the source to the logout token that the application receives. A real source, a server and a worker of ours on one core,
the application and whoever writes on the other; people signed in as people of that source do, the application holding their tokens; then disabled
one after another. All clocks are the machine's.

{result["date"]}: {facts["cpu"]}, {facts["cores"]} cores, {facts["memory_gb"]} GB, Linux {facts["kernel"]}, Python {facts["python"]},
SQLite {facts["sqlite"]}. The machine is virtual and noisy.""",
        "## Since the write, p50 / p99 in milliseconds",
        table(["source", "departures", *STAGES.values(), "lost"], [*rows, POLL]),
        f"![Since the write, by source]({CHART})",
        "The poll's row is computed, for a departure at any moment: the time until the next look, without what it then costs to read everybody.",
        "## Each stage by itself, p50 / p99 in milliseconds",
        table(["source", *STAGES.values()], steps),
        "## What was left alive",
        "Afterwards everybody's refresh token was tried, and of every 25th person the access token and the Session.",
        table(["source", "measured at (UTC)", "load average before", "Sessions", "access tokens", "refresh tokens"], left),
    ]
    if "drain" in result:
        sections += _drain(result["drain"])
    sections.append("""## Run it

- `make bench-cut`: every path, 500 departures each.
- `python -m bench.cut --paths slapd --cuts 50` for a look; `python -m bench.drain --people 2000 --leave 200` for another.""")
    return "\n\n".join(sections) + "\n"


def drained(drain: Mapping[str, Any]) -> str:
    """The drain and the mistake in two sentences."""
    quiet, busy, mistake = drain["quiet"], drain["busy"], drain["mistake"]
    return (
        f"{drain['people']:,} people in slapd, {drain['leave']:,} of them disabled one by one in {drain['writing_s']:.0f} s "
        f"({drain['signed_in']} had an open Session): {drain['cut']:,} cut, the last {drain['drained_after_last_write_s']:.1f} s after the last "
        f"write; {drain['told']} of {drain['signed_in']} told to the application. The worker had {drain['worker_mb_before']:.0f} MB before and "
        f"{drain['worker_mb_most']:.0f} MB at most. Meanwhile silent authorizations of somebody who stays went on at {busy['rate']:.0f} a second "
        f"(p50 {busy['p50']:.1f} ms, p99 {busy['p99']:.1f} ms) beside {quiet['rate']:.0f} in quiet (p50 {quiet['p50']:.1f} ms, p99 "
        f"{quiet['p99']:.1f} ms): {busy['rate'] / quiet['rate']:.2f} of it; refused: {drain['refused_meanwhile']}.\n\n"
        f"An import that disables {mistake['disabled']:,} of {mistake['people']:,} by mistake, with the brake as it comes: {mistake['cut']} cut, "
        f"{mistake['held']:,} held for a human."
    )


def _drain(drain: Mapping[str, Any]) -> list[str]:
    about = f"`python -m bench.drain`, {drain['at']} UTC, load average before it {drain['load_average']}. Store: {drain['store']}."
    return ["## Thousands at once, and by mistake", about, drained(drain)]


def draw(result: Mapping[str, Any]) -> str:
    """An SVG document: for each source the p50 of each stage as a bar, p99 of the last as a mark, on one axis in milliseconds."""
    shown = [path for path in result["paths"].values() if path["since_written"]["received"] and path["polls"] is None]
    widest = max((path["since_written"]["received"]["p99"] for path in shown), default=1.0) * 1.05

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / widest

    parts, y = [], 40
    for path in shown:
        since = path["since_written"]
        parts.append(f'<text x="{LEFT - 8}" y="{y + 18}" text-anchor="end">{escape(path["title"])}</text>')
        begin = 0.0
        for stage in STAGES:
            end = since[stage]["p50"]
            parts.append(
                f'<rect x="{across(begin):.1f}" y="{y + 4}" width="{max(across(end) - across(begin), 0):.1f}" height="20" fill="{COLOURS[stage]}"/>'
            )
            begin = max(begin, end)
        p99 = since["received"]["p99"]
        parts.append(f'<path d="M{across(p99):.1f} {y}V{y + 28}" stroke="#c2571a" stroke-width="2"/>')
        parts.append(f'<text x="{across(p99) + 5:.1f}" y="{y + 18}">p99 {p99:.0f} ms</text>')
        y += ROW
    key = "".join(
        f'<rect x="{LEFT + 150 * at}" y="10" width="10" height="10" fill="{COLOURS[stage]}"/>'
        f'<text x="{LEFT + 14 + 150 * at}" y="19">until {stage} (p50)</text>'
        for at, stage in enumerate(STAGES)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" role="img" '
        f'aria-label="Milliseconds from the write to each stage, by source">\n'
        "<style>text{font:11px sans-serif;fill:#222}</style>\n"
        f'<rect width="{WIDTH}" height="{y + 10}" fill="#ffffff"/>\n{key}\n' + "\n".join(parts) + "\n</svg>\n"
    )
