"""A result as a table for a terminal, and the cells that the page shares with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.summary import Line, lines, times_durable, times_peer
from bench.workloads import WORKLOADS


def printed(result: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    head = ["", "", "rate/s", "CPU ms", "floor", "x floor", "p50 ms", "p99 ms", "RSS MB", "x durable", "x peer"]
    every = lines(result)
    rows = [head] + [
        [
            f"{line.workload} {WORKLOADS[line.workload].title}",
            f"{line.subject} {line.alg}",
            *figures(line),
            times_text(times_durable(line)),
            times_text(times_peer(line, every)) if line.is_ours else "",
        ]
        for line in every
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join([*(_padded(row, widths) for row in rows), *invalid_lines(every)])


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, strict=True)
    return "  ".join(cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(cells))


def figures(line: Line) -> list[str]:
    if not line.rounds:
        return ["invalid", *[""] * 6]
    return [
        f"{line.rate:.0f}",
        f"{line.cpu_ms:.2f}",
        "" if line.floor_ms is None else f"{line.floor_ms:.2f}",
        times_text(line.times_floor),
        f"{line.p50_ms:.1f}",
        f"{line.p99_ms:.1f}",
        f"{line.rss_mb:.0f}",
    ]


def times_text(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def invalid_lines(every: Sequence[Line]) -> list[str]:
    return [
        f"INVALID {line.workload} {line.subject} {line.alg}, {line.invalid} round(s): {'; '.join(line.failures)}"
        for line in every
        if line.invalid
    ]
