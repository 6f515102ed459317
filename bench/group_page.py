"""The text of docs/performance-group.md and its chart of letters, from one result of bench.group. Pure, but for `write`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.page import table

PAGE = "performance-group.md"
FULL = 40
FIGURES = {
    "check_s": ("vestibule check-config", "CPU s", "{:.2f}"),
    "check_mb": ("memory of check-config", "MB", "{:.0f}"),
    "first_start_s": ("first start, which writes every home", "s", "{:.1f}"),
    "second_start_s": ("second start, nothing changed", "s", "{:.1f}"),
    "reload_s": ("vestibule reload, one name changed", "s", "{:.1f}"),
    "server_mb": ("memory of the largest server process", "MB", "{:.0f}"),
    "decision_one_home_p50_ms": ("silent authorization, somebody of one home: p50", "ms", "{:.2f}"),
    "decision_one_home_cpu_ms": ("the same: the server's processor time", "ms", "{:.2f}"),
    "decision_every_home_p50_ms": ("silent authorization, somebody of every home: p50", "ms", "{:.2f}"),
    "decision_every_home_cpu_ms": ("the same: the server's processor time", "ms", "{:.2f}"),
    "placing_ready_ms": ("mapping rules made ready", "ms", "{:.2f}"),
    "placing_p50_us": ("mapping rules, one person: p50", "µs", "{:.1f}"),
}


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Write the page into `folder` and return it."""
    page = folder / PAGE
    page.write_text(markdown(result), encoding="utf-8")
    return page


def chart(result: Mapping[str, Any]) -> str:
    """A line for each figure: the large group's over the small one's, a mark for each tenth up to four times."""
    small, large = result["groups"]["small"], result["groups"]["large"]
    width = max(len(what) for what, _, _ in FIGURES.values())
    lines = [f"{'':<{width}}  {large['homes']} homes of {large['people']:,} people over {small['homes']} homes of {small['people']:,}"]
    for name, (what, _, _) in FIGURES.items():
        ratio = large[name] / small[name]
        bar = "█" * min(FULL, round(ratio * 10)) + ("…" if ratio * 10 > FULL else "")
        lines.append(f"{what:<{width}}  {ratio:>6.2f}x {bar}")
    return "\n".join(lines)


def markdown(result: Mapping[str, Any]) -> str:
    """The page docs/performance-group.md."""
    facts, settings = result["machine"], result["settings"]
    small, large = result["groups"]["small"], result["groups"]["large"]
    rows = [
        [what, unit, form.format(small[name]), form.format(large[name]), f"{large[name] / small[name]:.2f}"]
        for name, (what, unit, form) in FIGURES.items()
    ]
    return f"""# Performance of a large group

Written by `{result["command"]}` from `bench/results/{result["name"]}.json`; edit the bench, not this page.

{large["homes"]} homes of {large["people"]:,} people beside {small["homes"]} homes of {small["people"]:,}: one file a home
(`include: [homes/*.yaml]`), four zones each, one server process each, store: {result["store"]}.
Silent authorizations (`prompt=none`) in {settings["rounds"]} alternate rounds of {settings["calls"]}. What a directory
adds: [performance-directory.md](performance-directory.md#size). How a group is configured:
[establishments-and-profiles.md](establishments-and-profiles.md).

{result["date"]}: {facts["cpu"]}, {facts["cores"]} cores, {facts["memory_gb"]} GB, Linux {facts["kernel"]}, Python {facts["python"]},
SQLite {facts["sqlite"]}; load average before it {facts["load_average_at_start"]}. The machine is virtual and noisy: the ratios count, seconds less.

{table(["what", "unit", f"{small['homes']} homes", f"{large['homes']} homes", "ratio"], rows)}

```
{chart(result)}
```

A mark is a tenth of what the small group costs; the lines end at four times. Somebody of every home stands for nobody:
a person of {large["homes"]} attachments is the worst that a group can hold.
"""
