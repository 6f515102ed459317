"""The chart beside docs/performance.md: rates by workload on a logarithmic axis, written as SVG by hand. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench import published
from bench.summary import Line
from bench.workloads import WORKLOADS

WIDTH = 760
LEFT = 215
RIGHT = 70
BAR = 14
GAP = 16
OURS = ("#0b5a7a", "#3c96bd")
PEERS = ("#8a8a8a", "#b9b9b9")
DURABLE = "#c2571a"


def draw(lines: Sequence[Line]) -> str:
    """An SVG document: one bar for each line, one mark for the best durable published row of the workload."""
    shown = [line for line in lines if line.rounds and line.rate > 0]
    workloads = sorted({line.workload for line in shown})
    most = max([line.rate for line in shown] + [published.best_durable(key).rates[key] for key in workloads] + [10.0])
    decades = math.ceil(math.log10(most))

    def across(rate: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, math.log10(max(rate, 1.0))) / decades

    parts: list[str] = []
    y = 46.0
    for key in workloads:
        group = [line for line in shown if line.workload == key]
        top = y
        title = f"{key} {WORKLOADS[key].title}"
        parts.append(f'<text x="{LEFT - 10}" y="{y + BAR - 3}" text-anchor="end" class="w">{escape(title)}</text>')
        for line in group:
            colour = (OURS if line.is_ours else PEERS)[line.alg != "ES256"]
            parts.append(
                f'<rect x="{LEFT}" y="{y:.0f}" width="{across(line.rate) - LEFT:.1f}" '
                f'height="{BAR - 2}" fill="{colour}">'
                f"<title>{escape(line.subject)} {line.alg}: {line.rate:.0f}/s</title></rect>"
                f'<text x="{across(line.rate) + 4:.1f}" y="{y + BAR - 4:.0f}">{line.rate:.0f}</text>'
            )
            y += BAR
        mark = across(published.best_durable(key).rates[key])
        parts.append(f'<path d="M{mark:.1f} {top - 3:.0f}V{y + 1:.0f}" stroke="{DURABLE}" stroke-width="2"/>')
        y += GAP
    return _document(parts, decades, y, shown)


def _document(parts: list[str], decades: int, bottom: float, shown: Sequence[Line]) -> str:
    scale = (WIDTH - LEFT - RIGHT) / decades
    grid = [
        f'<path d="M{LEFT + scale * d:.1f} 34V{bottom - GAP / 2:.0f}" stroke="#dddddd"/>'
        f'<text x="{LEFT + scale * d:.1f}" y="{bottom + 6:.0f}" text-anchor="middle">{10**d:,}</text>'
        for d in range(decades + 1)
    ]
    legend = []
    x = 10.0
    names = dict.fromkeys((line.subject, line.alg, line.is_ours) for line in shown)
    for subject, alg, is_ours in names:
        colour = (OURS if is_ours else PEERS)[alg != "ES256"]
        text = f"{subject} {alg}"
        legend.append(
            f'<rect x="{x:.0f}" y="10" width="10" height="10" fill="{colour}"/><text x="{x + 14:.0f}" y="19">{escape(text)}</text>'
        )
        x += 28 + 6.2 * len(text)
    legend.append(
        f'<path d="M{x + 4:.0f} 8V22" stroke="{DURABLE}" stroke-width="2"/><text x="{x + 12:.0f}" y="19">best durable peer</text>'
    )
    body = "\n".join([*grid, *legend, *parts])
    height = bottom + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="Requests or flows a second by workload, logarithmic scale">\n'
        "<style>text{font:11px sans-serif;fill:#222}.w{font-weight:bold}</style>\n"
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n{body}\n'
        f'<text x="{LEFT}" y="{bottom + 22:.0f}">requests or flows a second, one core, logarithmic</text>\n</svg>\n'
    )
