"""What people see of resets, and of their own sign-ins."""

from collections.abc import Mapping
from typing import Any

from tests.support.previews.page import Page

FORGOTTEN: Mapping[str, Any] = {
    "is_open": True,
    "is_sent": False,
    "number": None,
    "minutes": 10,
    "profiles": ("aide", "nurse", "coordinating_doctor"),
    "typed": {"name": "", "establishment": "EHPAD Les Tilleuls", "profile": "", "kind": "password"},
    "error": None,
    "wait_minutes": 0,
}
RESET: Mapping[str, Any] = {"error": None, "spoken": "", "wait_minutes": 0}
STOP: Mapping[str, Any] = {"error": None, "is_stopped": False, "wait_minutes": 0}
LINES = [
    {
        "id": 41,
        "at": "22 nov. 2026 02:04",
        "browser": "Firefox, Windows",
        "address": "10.20.0.14",
        "zone": "les-tilleuls/lan",
        "zone_kind": "trusted",
        "reason": None,
        "is_here": True,
    },
    {
        "id": 12,
        "at": "21 nov. 2026 23:58",
        "browser": "",
        "address": "2001:db8:85a3:8d3:1319:8a2e:370:7348",
        "zone": "outside",
        "zone_kind": "outside",
        "reason": "wrong_password",
        "is_here": False,
    },
    {
        "id": 3,
        "at": "20 nov. 2026 06:12",
        "browser": "Safari, iPhone",
        "address": "198.51.100.7",
        "zone": "outside",
        "zone_kind": "outside",
        "reason": "throttled",
        "is_here": False,
    },
]
PAGES: tuple[Page, ...] = (
    Page("reset", "reset.html", RESET),
    Page("reset-wrong", "reset.html", {**RESET, "error": "wrong", "spoken": "ABCD-1234"}),
    Page("reset-not-here", "reset.html", {**RESET, "error": "not_here", "spoken": "ABCD-1234"}),
    Page("reset-over", "reset.html", {**RESET, "error": "over"}),
    Page("reset-throttled", "reset.html", {**RESET, "error": "throttled", "wait_minutes": 15}),
    Page("reset-chosen", "reset_done.html"),
    Page("stop", "stop.html", STOP),
    Page("stop-wrong", "stop.html", {**STOP, "error": "wrong"}),
    Page("stop-throttled", "stop.html", {**STOP, "error": "throttled", "wait_minutes": 60}),
    Page("stop-stopped", "stop.html", {**STOP, "is_stopped": True}),
    Page("forgotten", "forgotten.html", FORGOTTEN),
    Page("forgotten-missing", "forgotten.html", {**FORGOTTEN, "error": "missing"}),
    Page("forgotten-throttled", "forgotten.html", {**FORGOTTEN, "error": "throttled", "wait_minutes": 60}),
    Page("forgotten-closed", "forgotten.html", {**FORGOTTEN, "is_open": False}),
    Page("forgotten-asked", "forgotten.html", {**FORGOTTEN, "is_sent": True, "minutes": None}),
    Page("forgotten-asked-alone", "forgotten.html", {**FORGOTTEN, "is_sent": True, "number": "ABCD-1234"}),
    Page("history", "history.html", {"lines": LINES, "older": "2026-11-20T05:12:00+00:00"}),
    Page("history-empty", "history.html", {"lines": [], "older": None}),
    Page("disowned", "disowned.html", {"must_change": True}),
    Page("disowned-elsewhere", "disowned.html", {"must_change": False}),
)
