"""The console's front page, its refusals, and who administers what, with nothing and with everything at once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from idp.desk.overview import Overview
from tests.support.previews.page import CONSOLE, Page

QUIET = Overview(
    open_resets=0,
    waiting_resets=0,
    oldest_reset_at=None,
    alarms={},
    held=(),
    ending=(),
    failed_messages=0,
    late_notices=False,
    without_factor=0,
)
EVERYTHING = Overview(
    open_resets=7,
    waiting_resets=3,
    oldest_reset_at=datetime(2026, 11, 24, 1, 2, tzinfo=UTC),
    alarms={"signin.disowned": 1, "signin.spraying": 2, "break_glass.used": 1, "desk.refused": 14},
    held=("annuaire-du-siege",),
    ending=(("entra", datetime(2026, 12, 3, tzinfo=UTC)),),
    failed_messages=4,
    late_notices=True,
    without_factor=2,
)
FRONT: Mapping[str, Any] = {**CONSOLE, "overview": QUIET, "oldest": None, "waited_minutes": None, "ending": [], "name": "Nadia Ferrand"}
ADMINISTRATORS: Mapping[str, Any] = {**CONSOLE, "here": "/admin/administrators"}
LONG_NAME = "Marie-Charlotte-Élisabeth de La Rochefoucauld-Doudeauville-Montmorency"
LONG_PLACE = "Établissement d'hébergement pour personnes âgées dépendantes Notre-Dame-de-la-Bonne-Espérance-et-du-Perpétuel-Secours"
GIVEN: Mapping[str, Any] = {
    "account": {"id": "01J", "name": "Nadia Ferrand"},
    "role": {"id": "01R"},
    "role_name": "Administrateur du groupe",
    "place": None,
    "has_factor": True,
    "since": "3 nov. 2026 09:12",
    "given_by": "root",
    "is_self": True,
}
OTHER: Mapping[str, Any] = {
    **GIVEN,
    "account": {"id": "01K", "name": LONG_NAME},
    "role_name": "Référent informatique",
    "place": {"name": LONG_PLACE},
    "has_factor": False,
    "given_by": "Nadia Ferrand",
    "is_self": False,
}
LIST: Mapping[str, Any] = {
    **ADMINISTRATORS,
    "given": [GIVEN, OTHER],
    "pager": {"number": 2, "has_more": True, "query": "q=f&"},
    "q": "f",
    "done": None,
    "untold": "",
}
FORM: Mapping[str, Any] = {
    **ADMINISTRATORS,
    "here": "/admin/administrators/give",
    "typed": {"who": "claire.dubois"},
    "problems": {},
    "all_roles": [
        ("group_administrator", "Administrateur du groupe", "Peut tout faire, partout."),
        ("it_contact", "Référent informatique", "D’un établissement : aide les personnes, tient les comptes, les lieux et les règles."),
    ],
    "places": [("les-tilleuls", "EHPAD Les Tilleuls"), ("notre-dame", LONG_PLACE)],
}
REFUSED: Mapping[str, Any] = {**CONSOLE, "agent": None, "held": frozenset()}
PAGES = (
    Page("console-front", "admin/front.html", FRONT),
    Page(
        "console-front-everything",
        "admin/front.html",
        {
            **FRONT,
            "overview": EVERYTHING,
            "oldest": "02:02",
            "waited_minutes": 47,
            "ending": [("entra", "3 décembre 2026")],
            "name": LONG_NAME,
        },
    ),
    Page(
        "console-front-nurse-on-call",
        "admin/front.html",
        {**FRONT, "held": frozenset({"see_console", "approve"}), "overview": EVERYTHING, "oldest": "02:02", "waited_minutes": 1},
    ),
    *(
        Page(f"console-refused-{code.replace('_', '-')}", "admin/refused.html", {**REFUSED, "code": code})
        for code in ("act_not_open", "act_on_oneself", "act_upwards", "no_factor_enrolled", "last_administrator", "role_gives_more")
    ),
    Page("administrators", "admin/administrators.html", LIST),
    Page("administrators-none", "admin/administrators.html", {**LIST, "given": [], "pager": {"number": 1, "has_more": False, "query": ""}}),
    Page("administrators-given", "admin/administrators.html", {**LIST, "done": "given"}),
    Page("administrators-taken", "admin/administrators.html", {**LIST, "done": "taken"}),
    Page("administrators-untold", "admin/administrators.html", {**LIST, "done": "given", "untold": "no_address"}),
    Page("give-role", "admin/give_role.html", FORM),
    Page(
        "give-role-wrong",
        "admin/give_role.html",
        {
            **FORM,
            "typed": {"who": "personne", "role": "it_contact", "establishment": "nulle-part"},
            "problems": {
                "who": "no account has the id or identifier 'personne'",
                "establishment": "no establishment nulle-part",
                "role": "x",
            },
        },
    ),
)
