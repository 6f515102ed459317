"""The console's people: lists, one person in every state, and the forms about them."""

from collections.abc import Mapping
from typing import Any

from idp.desk.finding import Obstacle
from policies.acts import Act
from tests.support.previews.page import CONSOLE, Page

PEOPLE: Mapping[str, Any] = {**CONSOLE, "here": "/admin/people"}
LONG_NAME = "Marie-Charlotte-Élisabeth de La Rochefoucauld-Doudeauville-Montmorency"
PAGER = {"number": 2, "has_more": True, "query": "q=du&"}
ONE_PAGE = {"number": 1, "has_more": False, "query": ""}
STANDING = {
    "id": "A1",
    "establishment": "EHPAD Les Tilleuls",
    "slug": "les-tilleuls",
    "profile": "nurse",
    "sector": "Unité Alzheimer",
    "first_day": "1 septembre 2026",
    "last_day": "31 décembre 2026",
    "is_valid": True,
    "source": "",
}
FROM_DIRECTORY = {**STANDING, "id": "A2", "profile": "manager", "is_valid": False, "source": "annuaire"}
ROW = {
    "id": "01J",
    "name": "Claire Dubois",
    "status": "active",
    "username": "claire.dubois",
    "email": "claire.dubois@tilleuls.example",
    "standings": [STANDING],
    "elsewhere": 0,
    "is_break_glass": False,
    "is_demo": False,
}
LIST: Mapping[str, Any] = {
    **PEOPLE,
    "typed": "",
    "people": [],
    "pager": ONE_PAGE,
    "is_code": False,
    "lines": [],
    "may_add": True,
    "done": False,
}
PERSON: Mapping[str, Any] = {
    "id": "01J",
    "name": "Claire Dubois",
    "status": "active",
    "username": "claire.dubois",
    "email": "claire.dubois@tilleuls.example",
    "phone_number": "+33600000042",
    "is_break_glass": False,
    "is_demo": False,
    "merged_into": None,
}
CARD: Mapping[str, Any] = {
    "owner": None,
    "elsewhere": 0,
    "has_password": True,
    "codes": {"made_at": None, "count": 0},
    "passes": [],
    "roles": [],
    "resets": [],
    "pass_needs_request": False,
}
SESSION = {
    "id": "S1",
    "opened": "22 nov. 2026 01:12",
    "last_active": "22 nov. 2026 01:58",
    "browser": "Firefox, Windows",
    "address": "10.20.0.14",
    "establishment": "EHPAD Les Tilleuls",
    "is_locked": False,
    "account_id": "01J",
    "name": "Claire Dubois",
    "zone": "les-tilleuls/lan",
    "zone_kind": "trusted",
    "is_own": False,
}
FACTOR = {
    "id": "F1",
    "kind": "totp",
    "label": "Téléphone de Claire",
    "hint": "",
    "created": "1 oct. 2026 09:00",
    "last_used": "21 nov. 2026 21:04",
    "is_on_telephone": True,
    "is_chosen": True,
}
SMS = {**FACTOR, "id": "F2", "kind": "sms", "label": "", "hint": "06 ** ** ** 42", "last_used": "", "is_chosen": False}
MAY_ALL = {str(act): True for act in Act}
MAY_LOOK = {str(act): act in {Act.FIND, Act.SEE_CONSOLE} for act in Act}
CALM: Mapping[str, Any] = {
    **PEOPLE,
    "here": "/admin/people/01J",
    "card": CARD,
    "person": PERSON,
    "may": MAY_ALL,
    "why_not": "",
    "findings": [],
    "standings": [STANDING],
    "sessions": [SESSION],
    "devices": [{"id": "D1"}],
    "factors": [FACTOR, SMS],
    "resets": [],
    "last_sign_in": "22 nov. 2026 01:12",
    "numbers": ["10042"],
    "done": "",
    "problem": "",
    "source": "",
}
BACK: Mapping[str, Any] = {**PEOPLE, "here": "/admin/people/01J/x", "person": PERSON, "back": "/admin/people/01J"}
FORM: Mapping[str, Any] = {**BACK, "typed": {}, "problems": {}, "problems_language": "fr"}
PLACES = [("", ""), ("les-tilleuls", "EHPAD Les Tilleuls"), ("glycines", "Les Glycines")]
PROFILES = [("nurse", "Infirmier"), ("aide", "Aide-soignant")]
NEW: Mapping[str, Any] = {
    **FORM,
    "is_taken": False,
    "holder": None,
    "places": PLACES,
    "profiles": PROFILES,
    "back": "/admin/people",
}
DONE = ("unlocked", "lost_last")
PROBLEMS = ("act_needs_reset", "directory_disabled", "directory_unreachable")


def _finding(obstacle: Obstacle, act: str = "", **more: Any) -> dict[str, Any]:
    plain = {
        "obstacle": str(obstacle),
        "act": act,
        "is_blocking": obstacle not in {Obstacle.REFUSED_LATELY, Obstacle.WRONG_NETWORK, Obstacle.NO_FACTOR},
        "source": "annuaire" if obstacle.startswith(("directory", "provider", "account_cut")) else "",
        "source_kind": "",
        "since": "22 nov. 2026 01:58",
        "until": "22 nov. 2026 02:13",
        "kinds": ("totp",),
        "reason": "",
        "said": "",
        "support_code": "",
        "address": "",
    }
    return {**plain, **more}


STUCK = [
    _finding(Obstacle.DIRECTORY_LOCKED, "unlock"),
    _finding(Obstacle.FACTOR_BLOCKED, "unlock"),
    _finding(Obstacle.NO_FACTOR, "issue_pass"),
    _finding(
        Obstacle.REFUSED_LATELY, "reset_password", reason="wrong_password", said="The password does not match.", support_code="7QK2M4XV9T"
    ),
]
EVERYTHING = [
    *(_finding(one) for one in Obstacle),
    _finding(Obstacle.PROVIDER_OWNS, source="Microsoft", source_kind="entra"),
    _finding(Obstacle.ACCOUNT_SUSPENDED, "suspend"),
    _finding(Obstacle.NO_ATTACHMENT, "attach"),
    _finding(Obstacle.REFUSED_LATELY, "reset_factor", reason="wrong_code", said="The code is not right."),
    _finding(Obstacle.REFUSED_LATELY, reason="denied_by_rule", said="A rule denies it."),
]
LINES = [
    {"at": "22 nov. 2026 01:58", "account": {"id": "01J", "name": "Claire Dubois"}, "code": "throttled", "said": ""},
    *(
        {"at": "22 nov. 2026 01:59", "account": None, "code": code, "said": "The password does not match."}
        for code in ("unknown_identifier", "ambiguous_identifier", "totp_clock_drift", "upstream_lapsed", "")
    ),
]
PAGES: tuple[Page, ...] = (
    Page(
        "admin-people", "admin/people.html", {**LIST, "people": [ROW, {**ROW, "id": "02", "name": LONG_NAME, "standings": [STANDING] * 3}]}
    ),
    Page(
        "admin-people-found",
        "admin/people.html",
        {
            **LIST,
            "typed": "du",
            "people": [ROW, {**ROW, "id": "03", "status": "suspended", "standings": []}, {**ROW, "id": "04", "is_break_glass": True}],
            "pager": PAGER,
        },
    ),
    Page("admin-people-nobody", "admin/people.html", {**LIST, "typed": "zzz", "may_add": False, "done": True}),
    Page("admin-people-code", "admin/people.html", {**LIST, "typed": "7QK2M4XV9T", "is_code": True, "lines": LINES}),
    Page("admin-person", "admin/person.html", CALM),
    Page("admin-person-stuck", "admin/person.html", {**CALM, "findings": STUCK}),
    Page(
        "admin-person-everything",
        "admin/person.html",
        {
            **CALM,
            "findings": EVERYTHING,
            "person": {**PERSON, "name": LONG_NAME, "status": "suspended", "is_break_glass": True, "is_demo": True, "merged_into": "02"},
            "standings": [STANDING, FROM_DIRECTORY],
            "card": {
                **CARD,
                "owner": "annuaire",
                "elsewhere": 2,
                "has_password": False,
                "codes": {"made_at": "x", "count": 3},
                "passes": [1],
                "roles": [({"role": "it_contact"}, {"name": "EHPAD Les Tilleuls"}), ({"role": "group_administrator"}, None)],
                "resets": [1],
            },
            "resets": [{"id": "R1", "kind": "both", "state": "asked", "at": "22 nov. 2026 01:59"}],
            "sessions": [SESSION, {**SESSION, "id": "S2", "is_locked": True, "browser": ""}],
        },
    ),
    Page(
        "admin-person-looked-at",
        "admin/person.html",
        {**CALM, "may": MAY_LOOK, "findings": STUCK, "why_not": "act_upwards", "factors": [], "sessions": [], "standings": []},
    ),
    *(
        Page(f"admin-person-{why}", "admin/person.html", {**CALM, "may": MAY_LOOK, "why_not": why})
        for why in ("act_on_oneself", "act_on_break_glass")
    ),
    *(Page(f"admin-person-done-{one}", "admin/person.html", {**CALM, "done": one}) for one in DONE),
    *(Page(f"admin-person-problem-{one}", "admin/person.html", {**CALM, "problem": one, "source": "annuaire"}) for one in PROBLEMS),
    Page("admin-unlock", "admin/unlock.html", BACK),
    Page("admin-suspend", "admin/person_suspend.html", {**FORM, "untold": ""}),
    Page("admin-suspend-untold", "admin/person_suspend.html", {**FORM, "untold": "no_address"}),
    Page(
        "admin-reinstate",
        "admin/person_suspend.html",
        {**FORM, "untold": "", "person": {**PERSON, "status": "suspended"}, "problems": {"why": "Dites pourquoi."}},
    ),
    Page("admin-pass", "admin/person_pass.html", {**FORM, "is_equipped": False, "needs_reset": False}),
    Page(
        "admin-pass-wrong",
        "admin/person_pass.html",
        {**FORM, "is_equipped": True, "needs_reset": False, "problems": {"proof": "Dites comment.", "why": "Dites pourquoi."}},
    ),
    Page("admin-pass-needs-reset", "admin/person_pass.html", {**FORM, "is_equipped": True, "needs_reset": True}),
    *(
        Page(
            f"admin-pass-made-{purpose}",
            "admin/person_pass_made.html",
            {**BACK, "code": "7QK2M-4XV9T-H3D8W", "purpose": purpose, "until": "25 nov. 2026 02:00"},
        )
        for purpose in ("enrol", "sign_in")
    ),
    Page(
        "admin-lost",
        "admin/person_lost.html",
        {**FORM, "factors": [FACTOR, SMS], "may_take": True, "has_number": True, "takes_number": True, "sessions": 1, "devices": 2},
    ),
    Page(
        "admin-lost-wrong",
        "admin/person_lost.html",
        {
            **FORM,
            "factors": [FACTOR],
            "may_take": False,
            "has_number": False,
            "takes_number": True,
            "sessions": 0,
            "devices": 0,
            "problems": {"why": "Dites pourquoi."},
        },
    ),
    Page("admin-person-new", "admin/person_new.html", NEW),
    Page(
        "admin-person-new-wrong",
        "admin/person_new.html",
        {
            **NEW,
            "typed": {"given_name": "Claire", "username": "cl aire", "establishment": "les-tilleuls", "profile": "nurse"},
            "problems": {
                "family_name": "Il faut un nom de famille.",
                "username": "Il faut un identifiant.",
                "establishment": "Choisissez.",
            },
        },
    ),
    Page("admin-person-taken", "admin/person_new.html", {**NEW, "is_taken": True}),
    Page(
        "admin-person-taken-known",
        "admin/person_new.html",
        {**NEW, "is_taken": True, "holder": {"id": "02", "name": LONG_NAME, "query": "establishment=les-tilleuls"}},
    ),
    Page("admin-person-edit", "admin/person_edit.html", {**FORM, "owner": None, "typed": {"given_name": "Claire", "locale": "fr"}}),
    Page("admin-person-edit-owned", "admin/person_edit.html", {**FORM, "owner": "annuaire"}),
    Page("admin-attach", "admin/person_attach.html", {**FORM, "former": None, "places": PLACES, "profiles": PROFILES}),
    Page(
        "admin-attachment",
        "admin/person_attach.html",
        {
            **FORM,
            "former": {"establishment": "EHPAD Les Tilleuls", "source": ""},
            "places": [],
            "profiles": PROFILES,
            "problems": {"last_day": "Ce n’est pas un jour."},
        },
    ),
    Page(
        "admin-attachment-owned",
        "admin/person_attach.html",
        {**FORM, "former": {"establishment": "EHPAD Les Tilleuls", "source": "annuaire"}, "places": [], "profiles": PROFILES},
    ),
    Page(
        "admin-sessions",
        "admin/sessions.html",
        {
            **PEOPLE,
            "here": "/admin/sessions",
            "sessions": [SESSION, {**SESSION, "id": "S2", "name": LONG_NAME, "is_locked": True, "is_own": True}],
            "pager": PAGER,
            "places": [{"slug": slug, "name": name} for slug, name in PLACES[1:]],
            "chosen": "glycines",
            "may_end": True,
            "done": True,
        },
    ),
    Page(
        "admin-sessions-none",
        "admin/sessions.html",
        {
            **PEOPLE,
            "here": "/admin/sessions",
            "sessions": [],
            "pager": ONE_PAGE,
            "places": [],
            "chosen": "",
            "may_end": False,
            "done": False,
        },
    ),
)
