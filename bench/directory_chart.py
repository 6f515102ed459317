"""The chart beside docs/performance-directory.md: arrivals and answers by second, and p99 of each page. SVG by hand, as bench.chart. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bench.shift_change import GOAL_P99_MS

WIDTH, LEFT, RIGHT = 760, 130, 60
HEIGHT, BAR = 130, 18
ARRIVED, ANSWERED, PAGES, GOAL = "#8a8a8a", "#0b5a7a", "#3c96bd", "#c2571a"


def draw(run: Mapping[str, Any]) -> str:
    """An SVG document of one shift change."""
    arrived, answered = run["arrived_by_second"], run["answered_by_second"]
    seconds, most = max(len(arrived), len(answered), 2), max([*arrived, *answered, 1])
    bottom = 40 + HEIGHT

    def line(counts: Sequence[int], colour: str) -> str:
        points = " ".join(
            f"{LEFT + (WIDTH - LEFT - RIGHT) * at / (seconds - 1):.1f},{bottom - HEIGHT * count / most:.1f}"
            for at, count in enumerate(counts)
        )
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>'

    parts = [
        f'<text x="{LEFT}" y="16" class="w">sign-ins a second</text>',
        _key(LEFT + 130, ARRIVED, "arrived"),
        _key(LEFT + 220, ANSWERED, "signed in"),
        *(_level(bottom - HEIGHT * value / most, str(value)) for value in (0, most // 2, most)),
        line(arrived, ARRIVED),
        line(answered, ANSWERED),
        f'<text x="{WIDTH - RIGHT}" y="{bottom + 16}" text-anchor="end">{seconds} s</text>',
    ]
    top = bottom + 44
    parts.append(f'<text x="{LEFT}" y="{top - 10}" class="w">p99 of each page, ms (meant: under {GOAL_P99_MS:g})</text>')
    pages = run["pages"]
    widest = max([page["p99_ms"] for page in pages.values()] + [GOAL_P99_MS]) * 1.05
    for at, (name, page) in enumerate(pages.items()):
        y, across = top + at * BAR, (WIDTH - LEFT - RIGHT) * page["p99_ms"] / widest
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 2}" width="{across:.1f}" height="{BAR - 5}" fill="{PAGES}"/>',
            f'<text x="{LEFT + across + 4:.1f}" y="{y + 12}">{page["p99_ms"]:.0f}</text>',
        ]
    end = top + len(pages) * BAR
    goal = LEFT + (WIDTH - LEFT - RIGHT) * GOAL_P99_MS / widest
    parts.append(f'<path d="M{goal:.1f} {top}V{end}" stroke="{GOAL}" stroke-width="2"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end + 14}" role="img" '
        f'aria-label="Sign-ins arrived and answered by second, and p99 of each page">\n'
        "<style>text{font:11px sans-serif;fill:#222}.w{font-weight:bold}</style>\n"
        f'<rect width="{WIDTH}" height="{end + 14}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _key(x: float, colour: str, text: str) -> str:
    return f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="17">{text}</text>'


def _level(y: float, text: str) -> str:
    return (
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/><text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )
