"""Cuts and their certificates: complete, waiting, incomplete; the canary well, broken, and none at all."""

from collections.abc import Mapping
from typing import Any

from tests.support.previews.page import CONSOLE, Page

PAGER: Mapping[str, Any] = {"number": 1, "has_more": True, "query": ""}
CUT: Mapping[str, Any] = {
    "id": "01K9ZZ3T5M8Q2V7X4C6B1N0AHD",
    "account_id": "01K9ZX0000000000000000CLAI",
    "kind": "suspended",
    "cause": "directory_disabled",
    "said": "The directory says that the account is disabled.",
    "directory": "annuaire",
    "subject": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "actor": "system",
    "sessions": 2,
    "grants": 3,
    "code": "7QK2M-4XV9T",
    "person": "Claire Dubois",
    "establishment": "",
}
RECEIPT: Mapping[str, Any] = {
    "application": "Carnet de soins",
    "channel": "backchannel_logout",
    "state": "acknowledged",
    "at": "22 nov. 2026 08:30:12.071",
    "took": "+ 21 ms",
    "attempts": 1,
    "words": "HTTP 200",
}
COMPLETE: Mapping[str, Any] = {
    **CUT,
    "state": "complete",
    "gaps": (),
    "issued": "22 nov. 2026 08:31:00.000",
    "written": "22 nov. 2026 08:30:12.000",
    "heard": "22 nov. 2026 08:30:12.040",
    "decided": "22 nov. 2026 08:30:12.050",
    "told": "22 nov. 2026 08:30:12.071",
    "held": "",
    "author": "",
    "zone": "Europe/Paris",
    "to_hear": "+ 40 ms",
    "to_decide": "+ 10 ms",
    "to_tell": "+ 21 ms",
    "receipts": [RECEIPT],
    "untold": [],
}
INCOMPLETE: Mapping[str, Any] = {
    **COMPLETE,
    "kind": "attachment",
    "cause": "attachment_lost",
    "establishment": "Établissement d'hébergement Notre-Dame-de-la-Bonne-Espérance-et-du-Perpétuel-Secours",
    "state": "incomplete",
    "gaps": ("written_unknown", "heard_unknown", "not_told", "not_answered_yet", "given_up"),
    "written": "",
    "heard": "",
    "held": "21 nov. 2026 18:02:40.000",
    "told": "",
    "to_hear": "",
    "to_decide": "",
    "to_tell": "",
    "receipts": [
        {**RECEIPT, "channel": "set_push", "state": "given_up", "took": "", "attempts": 8, "words": "ConnectTimeout"},
        {**RECEIPT, "channel": "set_poll", "state": "waiting", "at": "", "took": "", "attempts": 0, "words": ""},
    ],
    "untold": ["Planning", "Logiciel de restauration du groupement de coopération"],
}
LOCAL: Mapping[str, Any] = {
    **COMPLETE,
    "kind": "ended",
    "cause": "account_cut",
    "directory": "",
    "person": "",
    "actor": "operator:root",
    "state": "waiting",
    "receipts": [],
    "untold": [],
}


def _run(number: int, *, trouble: str = "") -> dict[str, Any]:
    boxes = [
        {"stage": "heard", "y": 120, "height": 40},
        {"stage": "decided", "y": 100, "height": 20},
        {"stage": "delivered", "y": 40 + number, "height": 60 - number},
    ]
    return {
        "x": number * 30,
        "width": 28,
        "boxes": [{"stage": "broken", "y": 0, "height": 160}] if trouble else boxes,
        "at": f"22 nov. 2026 {number % 24:02}:00",
        "stages": ["", "", ""] if trouble else ["7 ms", "11 ms", "24 ms"],
        "total": "" if trouble else "42 ms",
        "trouble": trouble,
    }


WELL: Mapping[str, Any] = {
    "name": "annuaire",
    "runs": [_run(number) for number in range(24)],
    "is_broken": False,
    "trouble": "",
    "median": "42 ms",
    "slowest": "61 ms",
}
BROKEN: Mapping[str, Any] = {
    **WELL,
    "name": "domaine",
    "runs": [_run(0), _run(1, trouble="not heard within 60 s")],
    "is_broken": True,
    "trouble": "not heard within 60 s",
    "median": "",
    "slowest": "",
}
LINE: Mapping[str, Any] = {**CUT, "at": "22 nov. 2026 08:30", "told": 2, "acknowledged": 2, "given_up": 0}
LIST: Mapping[str, Any] = {**CONSOLE, "here": "/admin/cuts", "pager": PAGER, "is_one_person": False}
PAGES: tuple[Page, ...] = (
    Page(
        "console-cuts",
        "admin/cuts.html",
        {
            **LIST,
            "cuts": [
                LINE,
                {
                    **LINE,
                    "kind": "attachment",
                    "cause": "attachment_lost",
                    "establishment": "Les Glycines",
                    "told": 1,
                    "acknowledged": 0,
                    "given_up": 1,
                },
                {**LINE, "kind": "ended", "cause": "denied_by_rule", "directory": "", "person": "", "told": 0},
            ],
            "canaries": [WELL, BROKEN],
        },
    ),
    Page("console-cuts-none", "admin/cuts.html", {**LIST, "is_one_person": True, "cuts": [], "canaries": []}),
    Page("console-cut-complete", "admin/cut.html", {**CONSOLE, "here": "/admin/cuts/1", "cut": COMPLETE}),
    Page("console-cut-incomplete", "admin/cut.html", {**CONSOLE, "here": "/admin/cuts/1", "cut": INCOMPLETE}),
    Page("console-cut-local", "admin/cut.html", {**CONSOLE, "here": "/admin/cuts/1", "cut": LOCAL}),
)
