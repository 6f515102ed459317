"""The console's charts: a quiet week, a busy one, and none at all."""

from collections.abc import Mapping
from typing import Any

from tests.support.previews.page import CONSOLE, Page

KINDS = ("trusted", "shared_workstation", "vpn", "outside")
STEPS = ("5 min", "15 min", "1 h", "4 h", "24 h", "")


def _hour(number: int) -> dict[str, Any]:
    """The same count of each kind in an hour, more of them as the day goes on."""
    height = number * 2
    boxes = [
        {"kind": kind, "x": number * 30, "y": 200 - height * (index + 1), "width": 26, "height": height} for index, kind in enumerate(KINDS)
    ]
    return {"hour": number, "boxes": boxes if number else [], "counts": [number] * len(KINDS), "total": number * len(KINDS)}


EMPTY: Mapping[str, Any] = {
    **CONSOLE,
    "here": "/admin/charts",
    "kinds": KINDS,
    "hours": [],
    "sign_ins": 0,
    "reasons": [],
    "restored": {"total": 0, "median": "", "slowest": "", "steps": []},
}
BUSY: Mapping[str, Any] = {
    **EMPTY,
    "kinds": (*KINDS, "kiosk"),
    "hours": [_hour(number) for number in range(24)],
    "sign_ins": 1104,
    "reasons": [
        {"code": "wrong_password", "said": "", "count": 412, "width": 100},
        {"code": "upstream_lapsed", "said": "The provider's answer came too late.", "count": 31, "width": 7.52},
        {"code": "", "said": "", "count": 4, "width": 0.97},
    ],
    "restored": {
        "total": 41,
        "median": "4 min 12 s",
        "slowest": "26 h 05 min",
        "steps": [{"below": below, "count": 40 - 8 * index, "width": 100 - 20 * index} for index, below in enumerate(STEPS)],
    },
}
PAGES: tuple[Page, ...] = (
    Page("admin-charts", "admin/charts.html", BUSY),
    Page("admin-charts-empty", "admin/charts.html", EMPTY),
)
