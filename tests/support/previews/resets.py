"""The reset desk: the queue, a request in every state, asking for one, and the two pages that show a half."""

from collections.abc import Mapping
from typing import Any

from tests.support.previews.page import CONSOLE, Page

RESETS: Mapping[str, Any] = {**CONSOLE, "here": "/admin/resets"}
LONG_NAME = "Marie-Charlotte-Élisabeth de La Rochefoucauld-Doudeauville-Montmorency"
ROW: Mapping[str, Any] = {
    "id": "01R",
    "account_id": "01J",
    "name": "Claire Dubois",
    "place": "EHPAD Les Tilleuls",
    "kind": "factor",
    "state": "asked",
    "is_own": False,
    "is_late": False,
    "minutes": 4,
    "needs_second": True,
    "asked": "24 nov. 2026 02:04",
}
WAITING = {"open": 3, "unhandled": 2, "oldest_at": None}
LIST: Mapping[str, Any] = {
    **RESETS,
    "rows": [],
    "pager": {"number": 1, "has_more": False, "query": ""},
    "is_open": True,
    "waiting": WAITING,
    "usual_minutes": 6,
}
ENDED = ("done", "expired", "cancelled", "stopped", "burnt")
RESET: Mapping[str, Any] = {
    "id": "01R",
    "kind": "factor",
    "state": "asked",
    "is_open": True,
    "why": "téléphone perdu dans le tramway",
    "proof_kind": None,
    "proof_note": "",
    "second_by": None,
    "second_how": None,
    "sent_channel": None,
    "sent_digest": None,
    "sent_hint": "",
}
MOVE = {"name": "asked", "at": "02:04", "actor": "Rose Marchand", "how": "", "note": "téléphone perdu"}
CHANNELS = [
    {"name": "email", "hint": "c***@t***.example", "problem": ""},
    {"name": "sms", "hint": "06 ** ** ** 42", "problem": "reset_channel_too_new"},
    {"name": "witness", "hint": "", "problem": ""},
]
ONE: Mapping[str, Any] = {
    **RESETS,
    "here": "/admin/resets/01R",
    "dossier": {"names": {"account:1": "Karim Haddad"}, "sent": "none", "may_call_back": True},
    "reset": RESET,
    "row": ROW,
    "moves": [MOVE],
    "may": {"proven", "cancelled"},
    "whys": [],
    "channels": CHANNELS,
    "phone": "+33612345642",
    "phone_hint": "06 ** ** ** 42",
    "until": {"spoken": "24 nov. 2026 02:34", "sent": "25 nov. 2026 02:04", "all": "25 nov. 2026 02:04"},
    "problem": "",
    "typed": {},
    "done": "",
    "untold": "",
}
PROVEN = {**RESET, "state": "proven", "proof_kind": "manager", "proof_note": "Nadia Ferrand, cadre de santé, au 04 00 00 01 23"}
APPROVED = {**PROVEN, "state": "approved", "second_by": "account:1", "second_how": "passkey"}
ISSUED = {**APPROVED, "state": "issued", "sent_channel": "email", "sent_digest": "x", "sent_hint": "c***@t***.example"}
EVERY_MOVE = [
    {**MOVE, "name": name}
    for name in ("asked", "proven", "approved", "issued", "spoken_again", "witnessed", "redeemed", "escalated", "misused", *ENDED)
]
EVERY_PROBLEM = (
    "choose",
    "reset_note_needed",
    "reset_not_now",
    "reset_needs_proof",
    "reset_needs_second",
    "reset_second_is_asker",
    "reset_second_not_passkey",
    "reset_pass_not_now",
    "reset_pass_not_enough",
    "pass_not_valid",
    "reset_channel_missing",
    "reset_channel_too_new",
    "reset_witness_elsewhere",
    "directory_unreachable",
    "directory_not_delegated",
    "act_on_protected",
    "account_not_active",
    "store_unavailable",
)
ASK: Mapping[str, Any] = {
    **RESETS,
    "here": "/admin/people/01J/reset",
    "person": {"id": "01J", "name": "Claire Dubois"},
    "choices": [("les-tilleuls", "EHPAD Les Tilleuls")],
    "typed": {"kind": "password", "why": "", "establishment": ""},
    "problem": "",
    "untold": "",
}
SHOWN: Mapping[str, Any] = {
    **RESETS,
    "here": "/admin/resets/01R/carry-out",
    "code": "7K2M-Q9XD",
    "spelled": "7 K 2 M - Q 9 X D",
    "until": "02:34",
    "channel": "email",
    "hint": "c***@t***.example",
    "is_witness": False,
    "row": ROW,
}


def one(state: Mapping[str, Any], may: set[str], **changes: Any) -> dict[str, Any]:
    """The page of a request."""
    return {**ONE, "reset": state, "row": {**ROW, "state": state["state"]}, "may": may, **changes}


PAGES: tuple[Page, ...] = (
    Page("resets-none", "admin/resets.html", {**LIST, "usual_minutes": None, "waiting": {**WAITING, "unhandled": 0}}),
    Page(
        "resets",
        "admin/resets.html",
        {
            **LIST,
            "rows": [
                {**ROW, "is_late": True, "minutes": 27, "is_own": True},
                {**ROW, "state": "proven", "kind": "both", "name": LONG_NAME, "minutes": 0},
                {**ROW, "state": "approved", "kind": "password", "is_own": True},
                {**ROW, "state": "issued", "minutes": 400},
                {**ROW, "state": "redeemed"},
            ],
            "pager": {"number": 2, "has_more": True, "query": ""},
        },
    ),
    Page("resets-ended", "admin/resets.html", {**LIST, "is_open": False, "rows": [{**ROW, "state": state} for state in ENDED]}),
    Page("resets-never", "admin/resets.html", {**LIST, "is_open": False}),
    Page("reset-asked", "admin/reset.html", {**ONE, "done": "asked", "whys": ["both", "privileged", "no_factor", "night"]}),
    Page("reset-asked-untold", "admin/reset.html", {**ONE, "done": "asked", "untold": "no_address"}),
    Page(
        "reset-new-number",
        "admin/reset.html",
        {
            **ONE,
            "dossier": {**ONE["dossier"], "may_call_back": False},
            "problem": "reset_note_needed",
            "typed": {"how": "manager", "note": "Nadia"},
        },
    ),
    Page("reset-to-approve", "admin/reset.html", one(PROVEN, {"approved"}, whys=["night"])),
    Page("reset-night-pass", "admin/reset.html", one(PROVEN, {"pass", "cancelled"}, whys=["night"], done="proven")),
    Page("reset-to-carry-out", "admin/reset.html", one(APPROVED, {"issued", "cancelled"}, done="approved")),
    Page("reset-password-to-carry-out", "admin/reset.html", one({**APPROVED, "kind": "password"}, {"issued"})),
    Page("reset-both-to-carry-out", "admin/reset.html", one({**APPROVED, "kind": "both", "second_how": "sealed_pass"}, {"issued"})),
    Page("reset-issued", "admin/reset.html", one(ISSUED, {"spoken_again", "cancelled"}, dossier={**ONE["dossier"], "sent": "sent"})),
    Page("reset-on-its-way", "admin/reset.html", one(ISSUED, set(), dossier={**ONE["dossier"], "sent": "waiting"})),
    Page("reset-not-sent", "admin/reset.html", one(ISSUED, {"cancelled"}, dossier={**ONE["dossier"], "sent": "abandoned"})),
    Page("reset-witness", "admin/reset.html", one({**ISSUED, "sent_channel": "witness", "sent_digest": None}, {"witnessed"})),
    Page("reset-witnessed", "admin/reset.html", one({**ISSUED, "sent_channel": "witness", "second_how": "factor"}, set())),
    Page("reset-done", "admin/reset.html", one({**ISSUED, "state": "done", "is_open": False}, set(), moves=EVERY_MOVE, done="cancelled")),
    *(
        Page(f"reset-problem-{name}", "admin/reset.html", one(APPROVED, {"issued", "cancelled"}, problem=name, typed={"cancel": "yes"}))
        for name in EVERY_PROBLEM
    ),
    Page("reset-ask", "admin/reset_ask.html", ASK),
    Page("reset-ask-untold", "admin/reset_ask.html", {**ASK, "untold": "no_mail"}),
    Page(
        "reset-ask-again",
        "admin/reset_ask.html",
        {
            **ASK,
            "person": {"id": "01J", "name": LONG_NAME},
            "choices": [("les-tilleuls", "EHPAD Les Tilleuls"), ("notre-dame", LONG_NAME)],
            "problem": "reset_open_already",
        },
    ),
    *(
        Page(f"reset-ask-{name}", "admin/reset_ask.html", {**ASK, "problem": name})
        for name in ("reset_nothing_to_reset", "reset_elsewhere", "reset_other_place")
    ),
    Page("reset-shown", "admin/reset_shown.html", SHOWN),
    Page("reset-shown-witness", "admin/reset_shown.html", {**SHOWN, "channel": "witness", "hint": ""}),
    Page("reset-half-of-witness", "admin/reset_shown.html", {**SHOWN, "channel": "", "hint": "", "is_witness": True}),
)
