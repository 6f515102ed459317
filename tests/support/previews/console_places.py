"""The console's pages of establishments, zones, computers, rules, applications and directories, with ordinary and extreme contents."""

from collections.abc import Mapping
from typing import Any

from tests.support.previews.page import CONSOLE, Page

LONG_WORD = "Notre-Dame-de-la-Bonne-Espérance-et-du-Perpétuel-Secours-de-Saint-Rémy-en-Bouzemont-Saint-Genest-et-Isson"
PAGER: Mapping[str, Any] = {"number": 1, "has_more": False, "query": ""}
MIDDLE: Mapping[str, Any] = {"number": 3, "has_more": True, "query": "q=les&"}
ZONES = (
    {
        "name": "lan",
        "kind": "trusted",
        "networks": ("192.168.4.0/24", "192.168.5.0/24"),
        "is_egress": False,
        "guests_apart": "",
        "windows": True,
        "first_day": None,
        "last_day": None,
        "source": "config",
    },
    {
        "name": "sortie-internet",
        "kind": "shared_workstation",
        "networks": ("203.0.113.7/32", "2001:db8:1234:5678::/64"),
        "is_egress": True,
        "guests_apart": "M. Delattre, le 3 novembre 2026",
        "windows": False,
        "first_day": "2026-11-03",
        "last_day": "2027-01-31",
        "source": "operator",
    },
)
PLACE: Mapping[str, Any] = {
    "slug": "les-tilleuls",
    "name": "EHPAD Les Tilleuls",
    "finess": "510001234",
    "siret": "12345678200010",
    "time_zone": "Europe/Paris",
    "contact_name": "Marc Delattre",
    "contact_phone": "03 26 00 00 01",
    "contact_email": "informatique@tilleuls.example",
    "regulatory_level": "tolerant",
    "windows_approval": "",
    "remember_device_days": 0,
    "enrolment_grace_days": 14,
    "source": "operator",
}
BARE: Mapping[str, Any] = {
    **PLACE,
    "slug": "les-pins",
    "name": LONG_WORD,
    "finess": None,
    "siret": None,
    "contact_name": "",
    "contact_phone": "",
    "contact_email": "",
    "source": "config",
}
COMPUTERS = (
    {"id": "W1", "name": "Poste de soins 2", "zone": "lan", "is_shared": True, "last_seen": "22 nov. 2026 02:10"},
    {"id": "W2", "name": "P" * 80, "zone": "sortie-internet", "is_shared": False, "last_seen": "21 nov. 2026 14:00"},
)
DIFFERENCES = (
    {"name": "IT contact: telephone", "before": "03 26 00 00 01", "after": "03 26 99 99 99"},
    {"name": "Networks", "before": "", "after": "10.4.0.0/16 " * 12},
    {"name": "Windows", "before": LONG_WORD, "after": ""},
)
PROPOSAL: Mapping[str, Any] = {
    "title": "Changer l’établissement",
    "differences": DIFFERENCES,
    "button": "Faire ce changement",
    "back": "/admin/places/les-tilleuls",
    "warning": "Cela compte dès la prochaine connexion.",
    "can_edit": True,
}
CHANGES: Mapping[str, Any] = {**CONSOLE, "proposal": PROPOSAL, "fields": [("name", '"><b>')], "seen": "0" * 32, "has_moved": False}
SETTINGS: Mapping[str, Any] = {
    "name": "Carnet de soins",
    "token_endpoint_auth_method": "client_secret_basic",
    "scopes": ("openid", "profile", "establishment", "offline_access"),
}
CLIENT: Mapping[str, Any] = {"client_id": "carnet", "settings": SETTINGS, "source": "operator", "secret_digest": "x"}
FILE_CLIENT: Mapping[str, Any] = {
    "client_id": "a" * 100,
    "settings": {**SETTINGS, "name": LONG_WORD, "token_endpoint_auth_method": "private_key_jwt"},
    "source": "config",
    "secret_digest": None,
}
ROWS = [("Name", "Carnet de soins"), ("Redirect URIs", "https://carnet.example/retour " * 4), ("Scopes", "openid profile establishment")]
CLIENT_FORM: Mapping[str, Any] = {
    **CONSOLE,
    "typed": {
        "name": "Carnet",
        "scope_openid": "yes",
        "grant_authorization_code": "yes",
        "require_pkce": "yes",
        "redirect_uris": "https://a\nhttps://b",
    },
    "methods": ("client_secret_basic", "client_secret_post", "private_key_jwt", "none"),
    "grants": ("authorization_code", "refresh_token", "client_credentials"),
    "scopes": ("openid", "profile", "email"),
    "problems": {},
    "client": None,
}
TRIAL: Mapping[str, Any] = {
    **CONSOLE,
    "client": CLIENT,
    "typed": {"scope_openid": "yes"},
    "trial": None,
    "acrs": ("urn:vestibule:password", "urn:vestibule:mfa"),
    "places": (("les-tilleuls", "EHPAD Les Tilleuls"), ("les-pins", LONG_WORD)),
}
OUTCOME: Mapping[str, Any] = {
    "step": "finish",
    "reason": "",
    "choices": [],
    "asks_consent": True,
    "id_token": [("iss", "https://connexion.example"), ("establishment", '{"slug": "les-tilleuls", "name": "EHPAD Les Tilleuls"}')],
    "userinfo": [("sub", "01JABCDEF"), ("name", "Marc Delattre")],
}
WHAT_IF: Mapping[str, Any] = {
    **CONSOLE,
    "typed": {"person": "sophie.martin", "address": "192.168.4.7", "method": "password"},
    "problems": {},
    "found": None,
    "clients": (("carnet", "Carnet de soins"),),
    "places": (("les-tilleuls", "EHPAD Les Tilleuls"),),
    "methods": ("password", "windows"),
    "kinds": ("totp", "passkey", "sms"),
}
FOUND: Mapping[str, Any] = {
    "step": "factor",
    "is_optional": False,
    "factors": ["totp", "sms"],
    "choices": [],
    "reason": "",
    "at": "22 nov. 2026 02:00",
    "place": "EHPAD Les Tilleuls",
    "level": "tolerant",
    "zone": "outside",
    "zone_kind": "outside",
    "zone_why": "no_zone",
    "may_use": True,
    "access": ["attachment_usable"],
    "acr": "urn:vestibule:password",
    "amr": "pwd",
    "summary": {"verdict": "require", "requirements": ["second_factor within 12h"], "reasons": ["second_factor_outside"]},
    "rules": [
        {
            "name": "second-factor-outside",
            "effect": "require",
            "requirements": ["second_factor"],
            "fires": True,
            "is_observed": False,
            "is_decisive": True,
            "criteria": [
                {"name": "any", "outcome": "matched", "wanted": "", "seen": "", "is_group": True, "depth": 0},
                {"name": "zone_kind", "outcome": "matched", "wanted": "outside, vpn", "seen": "outside", "is_group": False, "depth": 1},
                {"name": "time", "outcome": "unknown", "wanted": "20:00-06:00", "seen": "not known", "is_group": False, "depth": 4},
            ],
        },
        {
            "name": "inside",
            "effect": "allow",
            "requirements": [],
            "fires": False,
            "is_observed": True,
            "is_decisive": False,
            "criteria": [],
        },
    ],
    "changes": [
        {"fact": "zone_kind", "seen": "outside", "values": ["trusted", "shared_workstation"], "verdict": "allow", "requirements": []}
    ],
}
REPLAY: Mapping[str, Any] = {
    **CONSOLE,
    "typed": {"days": "30"},
    "problems": {},
    "found": None,
    "places": (("les-tilleuls", "EHPAD Les Tilleuls"),),
    "is_everywhere": True,
    "changes": ("asked", "refused", "let_in", "spared"),
}
PAST: Mapping[str, Any] = {
    "total": 1240,
    "unjudged": 3,
    "establishments": [
        {"slug": "les-tilleuls", "judged": 1240, "changes": [{"times": 12, "people": 4}] * 4, "stranded": 2},
    ],
    "people": [
        {
            "id": "01J",
            "name": LONG_WORD,
            "slug": "les-tilleuls",
            "what": "asked",
            "count": 3,
            "last": "21 novembre 2026",
            "has_factor": False,
            "rules": ["second-factor-outside"],
        }
    ],
    "left_out": 2,
}
RUN: Mapping[str, Any] = {"id": "R1", "state": "done", "at": "22 nov. 2026 01:00", "counts": {"added": 2, "unchanged": 412}, "detail": ""}
DIRECTORY: Mapping[str, Any] = {
    "name": "annuaire",
    "kind": "directory",
    "type": "ldap",
    "label": "annuaire",
    "where": ("ldaps://annuaire.tilleuls.example", "ldaps://secours.tilleuls.example"),
    "ends": "",
    "ends_soon": False,
    "last": {**RUN, "state": "failed"},
    "is_held": True,
}
OFFICE: Mapping[str, Any] = {
    **DIRECTORY,
    "name": "office",
    "kind": "provider",
    "type": "entra",
    "label": "Office 365",
    "where": ("https://login.microsoftonline.com/" + "0" * 36,),
    "ends": "3 décembre 2026",
    "ends_soon": True,
    "last": None,
    "is_held": False,
}
CONNECTOR: Mapping[str, Any] = {
    **CONSOLE,
    "source": DIRECTORY,
    "runs": [RUN, {**RUN, "state": "failed", "detail": "timeout: ldaps://annuaire.tilleuls.example"}, {**RUN, "state": "held"}],
    "reading": {
        "id": "R9",
        "at": "22 nov. 2026 01:00",
        "people": ["Sophie Martin", LONG_WORD],
        "left_out": 40,
        "count": 42,
        "until": "23 nov. 2026 01:00",
    },
    "steps": None,
    "is_busy": False,
    "may_manage": True,
    "done": None,
}
STEPS = [
    {"title": "connect to ldaps://annuaire.tilleuls.example", "outcome": "ok", "explanation": ""},
    {"title": "unlock", "outcome": "warning", "explanation": "the service account may not write pwdAccountLockedTime"},
    {"title": "search", "outcome": "failed", "explanation": "nobody is under " + "ou=people," * 20},
]
PROBLEMS: Mapping[str, Any] = {
    "name": "String should have at least 1 character",
    "networks": "10.0.0.0/8 overlaps glycines/lan",
    "": "whole",
}
ZONE_FORM: Mapping[str, Any] = {**CONSOLE, "typed": {"kind": "trusted"}, "place": PLACE, "zone_name": None, "problems": {}}

PAGES: tuple[Page, ...] = (
    Page("admin-changes", "admin/changes.html", CHANGES),
    Page("admin-changes-moved", "admin/changes.html", {**CHANGES, "has_moved": True}),
    Page(
        "admin-changes-nothing",
        "admin/changes.html",
        {**CHANGES, "proposal": {**PROPOSAL, "differences": (), "warning": "", "can_edit": False}},
    ),
    Page("admin-file-owns", "admin/file_owns.html", {**CONSOLE, "name": "les-tilleuls/lan", "back": "/admin/places/les-tilleuls"}),
    *(
        Page(
            f"admin-shown-once-{kind}",
            "admin/shown_once.html",
            {
                **CONSOLE,
                "kind": kind,
                "secret": secret,
                "name": "Poste de soins 2",
                "until": "22 nov. 2026 02:30",
                "life": "30m",
                "address": "https://connexion.example/workstation",
                "back": "/admin/places/les-tilleuls",
            },
        )
        for kind, secret in (("workstation_pass", "7QK2M-4XV9T-AAAAA"), ("client_secret", "vestibule_cs_" + "a" * 43))
    ),
    Page("admin-places", "admin/places.html", {**CONSOLE, "places": (PLACE, BARE), "pager": MIDDLE, "q": "les"}),
    Page("admin-places-none", "admin/places.html", {**CONSOLE, "places": (), "pager": PAGER, "q": "x" * 80}),
    *(
        Page(
            f"admin-place-{done}",
            "admin/place.html",
            {**CONSOLE, "place": PLACE, "zones": ZONES, "workstations": COMPUTERS, "pager": MIDDLE, "may_edit": True, "done": done},
        )
        for done in ("added", "changed", "zone_added", "zone_changed", "zone_ended", "workstation_ended")
    ),
    Page(
        "admin-place-bare",
        "admin/place.html",
        {**CONSOLE, "place": BARE, "zones": (), "workstations": (), "pager": PAGER, "may_edit": False, "done": None},
    ),
    Page("admin-place-new", "admin/place_form.html", {**CONSOLE, "typed": {}, "place": None, "problems": {}}),
    Page("admin-place-wrong", "admin/place_form.html", {**CONSOLE, "typed": {"name": ""}, "place": PLACE, "problems": PROBLEMS}),
    Page("admin-zone-new", "admin/zone_form.html", ZONE_FORM),
    Page("admin-zone-wrong", "admin/zone_form.html", {**ZONE_FORM, "zone_name": "lan", "problems": PROBLEMS}),
    Page(
        "admin-workstation-new",
        "admin/workstation_form.html",
        {**CONSOLE, "typed": {}, "place": PLACE, "zones": ["lan", "soins"], "problems": {}},
    ),
    Page("admin-clients", "admin/clients.html", {**CONSOLE, "clients": (CLIENT, FILE_CLIENT), "pager": MIDDLE, "q": "", "done": "ended"}),
    Page("admin-clients-none", "admin/clients.html", {**CONSOLE, "clients": (), "pager": PAGER, "q": "zzz", "done": None}),
    Page("admin-client", "admin/client.html", {**CONSOLE, "client": CLIENT, "rows": ROWS, "findings": [], "done": "changed"}),
    Page(
        "admin-client-file",
        "admin/client.html",
        {**CONSOLE, "client": FILE_CLIENT, "rows": ROWS, "findings": ["off: this application is open to code injection"], "done": None},
    ),
    Page("admin-client-new", "admin/client_form.html", CLIENT_FORM),
    Page("admin-client-wrong", "admin/client_form.html", {**CLIENT_FORM, "client": CLIENT, "problems": PROBLEMS}),
    Page("admin-trial", "admin/client_trial.html", TRIAL),
    Page("admin-trial-finish", "admin/client_trial.html", {**TRIAL, "trial": OUTCOME}),
    *(
        Page(
            f"admin-trial-{step}",
            "admin/client_trial.html",
            {
                **TRIAL,
                "trial": {**OUTCOME, "step": step, "reason": "The application does not serve it.", "id_token": [], "choices": ["Les Pins"]},
            },
        )
        for step in ("deny", "factor", "choose_establishment")
    ),
    Page(
        "admin-rules", "admin/rules.html", {**CONSOLE, "are_default": True, "text": "rules:\n- name: inside\n", "tests": 0, "failing": ()}
    ),
    Page(
        "admin-rules-failing",
        "admin/rules.html",
        {
            **CONSOLE,
            "are_default": False,
            "text": "rules:\n" + "- name: " + "x" * 300,
            "tests": 2,
            "failing": ("night: allow, not require",),
        },
    ),
    Page("admin-what-if", "admin/what_if.html", WHAT_IF),
    Page("admin-what-if-found", "admin/what_if.html", {**WHAT_IF, "found": FOUND}),
    Page(
        "admin-what-if-denied",
        "admin/what_if.html",
        {
            **WHAT_IF,
            "problems": {"person": "nobody of your establishments is known by exactly this"},
            "found": {
                **FOUND,
                "step": "deny",
                "reason": "No attachment.",
                "may_use": False,
                "rules": [],
                "changes": [],
                "summary": {},
                "acr": "",
            },
        },
    ),
    Page("admin-replay", "admin/replay.html", REPLAY),
    Page("admin-replay-found", "admin/replay.html", {**REPLAY, "found": PAST}),
    Page("admin-replay-nobody", "admin/replay.html", {**REPLAY, "is_everywhere": False, "found": {**PAST, "people": [], "left_out": 0}}),
    Page("admin-connectors", "admin/connectors.html", {**CONSOLE, "sources": (DIRECTORY, OFFICE)}),
    Page("admin-connectors-none", "admin/connectors.html", {**CONSOLE, "sources": ()}),
    Page("admin-connector", "admin/connector.html", CONNECTOR),
    Page("admin-connector-steps", "admin/connector.html", {**CONNECTOR, "steps": STEPS, "done": "dismissed"}),
    Page(
        "admin-connector-looked",
        "admin/connector.html",
        {**CONNECTOR, "source": OFFICE, "reading": None, "runs": [], "is_busy": True, "may_manage": False, "done": "failed"},
    ),
    Page("admin-connector-confirmed", "admin/connector.html", {**CONNECTOR, "reading": None, "done": "confirmed"}),
)
