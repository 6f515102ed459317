"""The audit trail and the board of people without a second factor."""

from tests.support.previews.page import CONSOLE, Page

NOTHING = {"code": "", "person": "", "since": "2026-11-15", "until": "", "zone": "", "reason": "", "type": ""}
LINE = {
    "at": "22 nov. 2026 02:04",
    "type": "signin.refused",
    "event": "Une preuve ou un contrôle d’accès a échoué ; la raison dit lequel.",
    "reason": "wrong_password",
    "why": "Le mot de passe n’est pas le bon.",
    "person": {"id": "01J", "name": "Claire Dubois"},
    "establishment": "EHPAD Les Tilleuls",
    "zone": "outside",
    "address": "203.0.113.9",
    "amr": "pwd",
    "code": "7K2QM-4XB9T",
}
PAGER = {"number": 2, "has_more": True, "query": "since=2026-11-15&"}
ONE_PAGE = {"number": 1, "has_more": False, "query": ""}
TYPES = [("", "Tout"), ("signin.refused", "Une preuve ou un contrôle d’accès a échoué ; la raison dit lequel.")]
REASONS = [("", "Tout"), ("wrong_password", "Le mot de passe n’est pas le bon.")]
TRAIL = {**CONSOLE, "here": "/admin/audit", "types": TYPES, "reasons": REASONS, "problems_language": "fr"}
PERSON = {
    "id": "01J",
    "name": "Claire Dubois",
    "establishment": "EHPAD Les Tilleuls",
    "profile": "nurse",
    "last": "21 nov. 2026 22:10",
    "outside": 3,
    "grace_ends": "5 déc. 2026 08:00",
}
PAGES: tuple[Page, ...] = (
    Page("console-audit", "admin/audit.html", {**TRAIL, "typed": NOTHING, "problems": {}, "lines": [LINE], "pager": PAGER}),
    Page(
        "console-audit-wrong",
        "admin/audit.html",
        {
            **TRAIL,
            "typed": {**NOTHING, "reason": "x"},
            "problems": {"reason": "Il n’y a pas de telle raison."},
            "lines": [],
            "pager": ONE_PAGE,
        },
    ),
    Page(
        "console-factors",
        "admin/factors.html",
        {**CONSOLE, "here": "/admin/factors", "people": [PERSON, {**PERSON, "last": "", "grace_ends": ""}], "count": 2, "pager": ONE_PAGE},
    ),
)
