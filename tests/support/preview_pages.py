"""Every page of the sign-in, with realistic and extreme contexts, rendered without the rest of the program.

Owns PAGES and a way to look at them: `python -m tests.support.preview_pages 8099` serves each one on loopback under /<language>/<name>, with
a CSP at least as strict as the real one. The accessibility and translation tests walk the same list.
"""

import io
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from idp.web.profile_name import profile_name
from tests.support.previews import administrators, audit, console_places, cuts, help, own_resets, people, resets, trail
from tests.support.previews.page import Page

WEB = Path(__file__).resolve().parents[2] / "idp" / "web"
LANGUAGES = ("fr", "en")
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self' https://soins.example; "
    "base-uri 'none'; frame-ancestors 'none'"
)
LOGO = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 60"><circle cx="30" cy="30" r="22" fill="#3a7d44"/>'
    b'<circle cx="55" cy="32" r="18" fill="#8bbf56"/></svg>'
)


TILLEULS: Mapping[str, Any] = {"name": "EHPAD Les Tilleuls", "slug": "les-tilleuls", "logo_type": "image/svg+xml"}
LONG: Mapping[str, Any] = {
    "name": "Établissement d'hébergement pour personnes âgées dépendantes Notre-Dame-de-la-Bonne-Espérance-et-du-Perpétuel-Secours de "
    "Saint-Rémy-en-Bouzemont-Saint-Genest-et-Isson",
    "slug": "notre-dame",
    "logo_type": "image/svg+xml",
}
MARC = {"name": "Marc Delattre, référent informatique", "phone": "03 26 00 00 01", "email": "informatique@tilleuls.example"}
LONG_CONTACT = {
    "name": "Service informatique mutualisé du groupement de coopération sociale et médico-sociale de la vallée",
    "phone": "+33 (0)3 26 00 00 01 poste 4521",
    "email": "assistance.informatique.etablissements@groupement-cooperation-medico-sociale.example",
}
SHARED: Mapping[str, Any] = {
    "product_name": "Vestibule",
    "establishment": TILLEULS,
    "contact": MARC,
    "maintenance": None,
    "support": None,
    "support_code": "7QK2M4XV9T",
}
UNKNOWN_PLACE: Mapping[str, Any] = {"establishment": None, "contact": None}
EXTREME: Mapping[str, Any] = {
    "establishment": LONG,
    "contact": LONG_CONTACT,
    "product_name": "Portail d'identité du groupement de la vallée",
    "support": "Astreinte du groupement, la nuit et le week-end : 0 800 000 000 (appel gratuit).",
    "maintenance": "Mardi 24 novembre de 3 h 00 à 3 h 20, la connexion peut demander deux essais. Les dossiers restent lisibles.",
}
SIGNIN: Mapping[str, Any] = {
    "action": "/signin/abc",
    "identifier": "",
    "error": None,
    "wait_minutes": None,
    "tries_left": None,
    "notice": None,
    "client_name": "NetSoins",
    "cancel_action": "/signin/abc/cancel",
    "told": None,
    "providers": (),
    "providers_lead": False,
    "upstream": None,
    "passkey_action": "/signin/abc/passkey-login",
    "passkey_options": None,
    "is_shared": False,
    "is_outside": False,
    "locked": None,
    "unlock_action": "/signin/abc/unlock",
    "change_action": "/signin/abc/change-person",
}
PROVIDERS = (
    {"label": "Office 365", "url": "/signin/abc/upstream/office"},
    {"label": "Pro Santé Connect", "url": "/signin/abc/upstream/psc"},
)
LONG_PROVIDERS = tuple(
    {"label": f"Fournisseur d'identité mutualisé du groupement n° {number}", "url": f"/signin/abc/upstream/g{number}"}
    for number in range(6)
)
UPSTREAM_PROBLEMS = (
    "upstream_unreachable",
    "upstream_cancelled",
    "account_not_active",
    "upstream_subject",
    "upstream_assurance",
    "upstream_too_old",
    "upstream_signature",
)
WINDOWS_ERRORS = ("windows_shared", "windows_unreachable", "windows_refused")
EXTREME_NAME = "Marie-Antoinette-Guillemette de Castelbajac-Montesquiou-Fezensac"
LOCKED = {"name": "Sophie Martin", "since": "14:32", "identifier": "sophie.martin"}
ASSERTION = '{"rpId": "id.example", "challenge": "AAAA", "timeout": 300000, "userVerification": "required", "allowCredentials": []}'
REGISTRATION = (
    '{"rp": {"id": "id.example", "name": "Vestibule"}, "user": {"id": "AAAA", "name": "s", "displayName": "S"}, "challenge": "AAAA", '
    '"pubKeyCredParams": [{"type": "public-key", "alg": -7}], "excludeCredentials": []}'
)
PASSKEY: Mapping[str, Any] = {
    "action": "/account/factors/passkey",
    "cancel_action": "/account/factors/cancel",
    "options": REGISTRATION,
    "label": "",
    "error": None,
    "is_passwordless": True,
}
PASSKEY_PROBLEMS = [
    "passkey_challenge_expired",
    "passkey_not_verified",
    "passkey_malformed",
    "passkey_already_enrolled",
    "passkey_wrong_origin",
    "directory_unreachable",
    "account_not_active",
]
PASSWORD: Mapping[str, Any] = {
    "action": "/account/password",
    "problems": [],
    "username": "sophie.martin",
    "is_forced": False,
    "is_old": False,
    "cancel_action": "/account",
    "asks_current": True,
    "is_shared": False,
}
PROBLEMS = [
    "too_short",
    "not_enough_classes",
    "blocked",
    "too_predictable",
    "contains_personal_word",
    "too_long",
    "repeated",
    "sequence",
    "reused",
    "mismatch",
    "wrong_current",
    "unchanged",
    "changed_meanwhile",
    "throttled",
    "no_password",
]
DENIALS = [
    "no_attachment",
    "attachment_not_started",
    "attachment_ended",
    "client_not_open_to_establishment",
    "client_not_open_to_profile",
    "account_not_active",
    "denied_by_rule",
    "no_factor_enrolled",
    "level_not_reachable",
    "other",
]
ERRORS = {
    "unknown_client": 400,
    "redirect_uri_mismatch": 400,
    "invalid_request": 400,
    "interaction_expired": 400,
    "interaction_of_another_browser": 403,
    "loop": 400,
    "bad_form_token": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "store_unavailable": 503,
    "internal_error": 500,
    "invalid_logout_hint": 400,
    "post_logout_uri_mismatch": 400,
    "other": 400,
}
SESSIONS: list[dict[str, Any]] = [
    {"id": "s1", "opened": "21/11/2026 21:02", "last_active": "22/11/2026 06:40", "browser": "Firefox, Windows", "address": "10.4.0.23"},
    {
        "id": "s2",
        "opened": "22/11/2026 05:55",
        "last_active": "22/11/2026 07:10",
        "browser": "Safari, iPad",
        "address": "2001:db8:85a3::8a2e:370:7334",
    },
    {"id": "s3", "opened": "22/11/2026 07:01", "last_active": "22/11/2026 07:18", "browser": None, "address": None},
]
PROFILES = [
    "aide",
    "nurse",
    "coordinating_doctor",
    "psychologist",
    "administrative",
    "external",
    "reception",
    "manager",
    "it",
    "ergothérapeute",
]


def chooser(*choices: Mapping[str, Any], total: int = 2, typed: str = "", wants_all: bool = False, left_out: int = 0) -> dict[str, Any]:
    """Establishments to choose from, as idp/web/chooser.py gives them to a page."""
    search = {"typed": typed, "wants_all": wants_all}
    return {"choices": choices, "total": total, "is_long": total > 12, "search": search, "left_out": left_out}


ACCOUNT: Mapping[str, Any] = {
    "account": {"name": "Sophie Martin", "email": "sophie.martin@tilleuls.example", "phone_number": "06 00 00 00 12"},
    "attachments": [
        {
            "establishment_name": "EHPAD Les Tilleuls",
            "profile": "nurse",
            "sector": "Unité Alzheimer",
            "last_day": None,
            "is_valid": True,
        },
        {"establishment_name": "EHPAD Les Glycines", "profile": "nurse", "sector": None, "last_day": "31/12/2026", "is_valid": True},
    ],
    "active_establishment": "EHPAD Les Tilleuls",
    "chooser": chooser({"slug": "les-glycines", "name": "EHPAD Les Glycines"}),
    "sessions": [{**SESSIONS[1], "is_this": True}, {**SESSIONS[0], "is_this": False}],
    "here": {"zone": "les-tilleuls/lan", "zone_kind": "trusted", "methods": ["password"]},
    "devices": [],
    "has_password": True,
    "password_until": None,
    "notice": None,
    "seconds_left": 1800,
    "ends_at": "15:02",
    "is_shared": False,
}
DEVICES: list[dict[str, Any]] = [
    {
        "id": "d1",
        "browser": "Firefox, Windows",
        "last_seen": "22 nov. 2026 07:10",
        "remembered_until": "22 déc. 2026 07:10",
        "is_this": True,
    },
    {"id": "d2", "browser": "", "last_seen": "12 mai 2026 07:10", "remembered_until": None, "is_this": False},
]
ACCOUNT_EXTREME: Mapping[str, Any] = {
    **ACCOUNT,
    "account": {
        "name": EXTREME_NAME,
        "email": LONG_CONTACT["email"],
        "phone_number": None,
    },
    "attachments": [
        {"establishment_name": LONG["name"], "profile": profile, "sector": None, "last_day": "31/10/2026", "is_valid": False}
        for profile in PROFILES
    ],
    "active_establishment": LONG["name"],
    "chooser": chooser({"slug": "notre-dame", "name": LONG["name"]}, total=400, typed="e" * 80, left_out=360),
    "sessions": [{**session, "is_this": session["id"] == "s1"} for session in SESSIONS],
    "here": {"zone": "outside", "zone_kind": "outside", "methods": ["password", "totp", "remembered_device", "never_heard_of"]},
    "has_password": False,
    "notice": "others_ended",
    "seconds_left": 45,
    "is_shared": True,
}
CHOICES = (
    {"slug": "les-tilleuls", "name": "EHPAD Les Tilleuls", "is_suggested": True},
    {"slug": "les-glycines", "name": "EHPAD Les Glycines", "is_suggested": False},
    {"slug": "notre-dame", "name": LONG["name"], "is_suggested": False},
)
ALL_CHOICES = (CHOICES[0], *({"slug": f"r{number}", "name": f"Résidence n° {number}", "is_suggested": False} for number in range(60)))
CHOOSE: Mapping[str, Any] = {"action": "/signin/abc/establishment", "cancel_action": "/signin/abc/cancel", "page_path": "/signin/abc"}
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "A" * 900

FACTORS: list[dict[str, Any]] = [
    {"id": "f1", "kind": "totp", "label": "Mon téléphone", "hint": "", "created": "12 mai 2026", "last_used": "22 nov. 2026 07:10"},
    {"id": "f2", "kind": "passkey", "label": "passkey", "hint": "", "created": "1 juin 2026", "last_used": None},
    {"id": "f3", "kind": "sms", "label": "", "hint": "06 ** ** ** 42", "created": "1 juin 2026", "last_used": None},
    {"id": "f4", "kind": "email", "label": "L" * 80, "hint": "c***@t***.example", "created": "1 juin 2026", "last_used": "hier"},
]
WAYS = [{"value": factor["id"], **{name: factor[name] for name in ("kind", "label", "hint")}} for factor in FACTORS]
OTHER_WAYS = [
    *WAYS,
    {"value": "recovery", "kind": "recovery", "label": "", "hint": ""},
    {"value": "pass", "kind": "pass", "label": "", "hint": ""},
]
OFFER: Mapping[str, Any] = {
    "token": "01K.abc",
    "svg": '<svg viewBox="0 0 41 41" class="qr"><path fill="#fff" d="M0 0h41v41h-41z"/><path stroke="#000" d="M4 4.5h7m2 0h2m1 0h1"/></svg>',
    "typed": "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP",
    "uri": "otpauth://totp/Vestibule:sophie.martin?secret=JBSWY3DPEHPK3PXP&issuer=Vestibule",
}
FACTOR: Mapping[str, Any] = {
    "kind": "totp",
    "label": "",
    "hint": "",
    "others": [],
    "options": None,
    "error": None,
    "tries_left": None,
    "wait_minutes": None,
    "client_name": "NetSoins",
    "action": "/signin/abc/factor",
    "switch_action": "/signin/abc/factor-kind",
    "resend_action": None,
    "skip_action": None,
    "cancel_action": "/signin/abc/cancel",
    "remember_days": 0,
}
ENROL: Mapping[str, Any] = {
    "kind": None,
    "offer": None,
    "options": None,
    "ways": ["passkey", "totp", "sms", "email"],
    "obstacle": None,
    "pass_action": None,
    "choose_action": "/signin/abc/enrol-kind",
    "later_action": None,
    "deadline": None,
    "error": None,
    "tries_left": None,
    "wait_minutes": None,
    "action": "/signin/abc/enrol",
    "cancel_action": "/signin/abc/cancel",
}
LINK: Mapping[str, Any] = {
    "label": "Pro Santé Connect",
    "shown_name": "899700218896",
    "account_name": "Sophie Martin",
    "is_proven": False,
    "obstacle": None,
    "pass_action": None,
    "error": None,
    "tries_left": None,
    "wait_minutes": None,
    "action": "/signin/abc/login",
    "confirm_action": "/signin/abc/link-confirm",
    "decline_action": "/signin/abc/link-decline",
    "cancel_action": "/signin/abc/cancel",
    "providers": ({"label": "Office 365", "url": "/signin/abc/upstream/office"},),
    "passkey_action": "/signin/abc/passkey-login",
    "passkey_options": None,
    "is_shared": False,
}
MY_LINKS: Mapping[str, Any] = {
    "linked": [
        {"connector": "siege", "label": "siege", "since": "12 mai 2026 10:00", "is_own": False},
        {"connector": "psc", "label": "Pro Santé Connect", "since": "1 juin 2026 08:12", "is_own": True},
    ],
    "linkable": [{"connector": "office", "label": "Office 365"}],
    "is_fresh": True,
    "error": None,
    "upstream": None,
    "notice": None,
}
MY_FACTORS: Mapping[str, Any] = {
    "factors": FACTORS[:2],
    "recovery": {"count": 9, "made": "12 mai 2026 10:00", "is_few": False},
    "ways": [{"kind": kind, "url": f"/account/factors/{kind}"} for kind in ("totp", "passkey", "sms")],
    "obstacle": None,
    "confirm_url": None,
    "takes_pass": False,
    "pass_error": None,
    "tries_left": None,
    "wait_minutes": 0,
    "problem": None,
    "notice": None,
}
OBSTACLES = [
    "enrolment_needs_pass",
    "enrolment_needs_trusted_zone",
    "enrolment_shared_zone",
    "enrolment_sign_in_too_old",
    "enrolment_needs_factor",
    "too_many_factors",
    "last_factor_needed",
    "other",
]
CODE_ERRORS = [
    "wrong_code",
    "totp_clock_drift",
    "code_already_used",
    "code_not_open",
    "code_too_soon",
    "codes_of_the_day",
    "pass_not_valid",
    "no_such_factor",
    "factor_blocked",
]
CODES = [f"{number}K7M-Q2XV-9T4{number}" for number in range(10)]

TO_GIVE: Mapping[str, Any] = {"hint": "", "is_open": False, "number": "0612345678", "label": ""}
TO_TYPE: Mapping[str, Any] = {**TO_GIVE, "hint": "06 ** ** ** 42", "is_open": True}
ADD_CODE: Mapping[str, Any] = {
    "kind": "sms",
    "action": "/account/factors/sms",
    "codes": TO_GIVE,
    "error": None,
    "tries_left": None,
    "wait_minutes": 0,
}
CODE_PAGES: tuple[Page, ...] = (
    Page("add-sms", "add_code.html", ADD_CODE),
    Page("add-email", "add_code.html", {**ADD_CODE, "kind": "email"}),
    Page("add-sms-refused", "add_code.html", {**ADD_CODE, "error": "number_not_served"}),
    Page("add-sms-typed", "add_code.html", {**ADD_CODE, "codes": TO_TYPE}),
    Page(
        "add-sms-wrong",
        "add_code.html",
        {**ADD_CODE, **EXTREME, "codes": {**TO_TYPE, "label": "L" * 80}, "error": "wrong_code", "tries_left": 3},
    ),
    Page("add-sms-old", "add_code.html", {**ADD_CODE, "codes": {**TO_TYPE, "is_open": False}, "error": "code_not_open"}),
    Page("add-sms-expired", "add_code.html", {**ADD_CODE, "error": "offer_expired"}),
    Page("add-email-typed", "add_code.html", {**ADD_CODE, "kind": "email", "codes": {**TO_TYPE, "hint": "c***@t***.example"}}),
    Page("enrol-sms", "enrol.html", {**ENROL, "kind": "sms", "codes": TO_GIVE}),
    Page("enrol-sms-typed", "enrol.html", {**ENROL, "kind": "sms", "codes": TO_TYPE, "error": "code_too_soon", "wait_minutes": 1}),
)

FACTOR_PAGES: tuple[Page, ...] = (
    *(
        Page(f"factor-{kind}", "factor.html", {**FACTOR, "kind": kind, "hint": "06 ** ** ** 42"})
        for kind in ("totp", "email", "recovery", "pass")
    ),
    Page("factor-passkey", "factor.html", {**FACTOR, "kind": "passkey", "options": ASSERTION, "others": OTHER_WAYS[:2]}),
    Page("factor-passkey-refused", "factor.html", {**FACTOR, "kind": "passkey", "options": ASSERTION, "error": "passkey_expired"}),
    Page(
        "factor-sms",
        "factor.html",
        {
            **FACTOR,
            "kind": "sms",
            "hint": "06 ** ** ** 42",
            "resend_action": "/signin/abc/send-code",
            "remember_days": 30,
            "skip_action": "/skip",
        },
    ),
    Page(
        "factor-upstream",
        "factor.html",
        {
            **FACTOR,
            "kind": None,
            "others": [{"value": "upstream", "kind": "upstream", "label": "Office 365", "hint": ""}],
            "upstream": {"label": "Office 365", "problem": "upstream_assurance"},
        },
    ),
    Page("factor-choose", "factor.html", {**FACTOR, "kind": None, "others": WAYS[2:], "client_name": None, "cancel_action": None}),
    *(Page(f"factor-{error}", "factor.html", {**FACTOR, "error": error, "tries_left": 2}) for error in CODE_ERRORS),
    Page("factor-waits", "factor.html", {**FACTOR, "error": "wrong_code", "tries_left": 0, "wait_minutes": 1}),
    Page("factor-throttled", "factor.html", {**FACTOR, "error": "throttled", "tries_left": 0, "wait_minutes": 8}),
    Page(
        "factor-extreme",
        "factor.html",
        {
            **FACTOR,
            **EXTREME,
            "others": OTHER_WAYS,
            "error": "throttled",
            "wait_minutes": 1381,
            "remember_days": 1,
            "client_name": "N" * 90,
        },
    ),
    Page("enrol", "enrol.html", ENROL),
    Page("enrol-totp", "enrol.html", {**ENROL, "kind": "totp", "offer": OFFER}),
    Page("enrol-totp-wrong", "enrol.html", {**ENROL, **EXTREME, "kind": "totp", "offer": OFFER, "error": "totp_clock_drift"}),
    Page("enrol-passkey", "enrol.html", {**ENROL, "kind": "passkey", "options": REGISTRATION, "ways": ["passkey"]}),
    Page(
        "enrol-pass",
        "enrol.html",
        {**ENROL, "obstacle": "enrolment_needs_trusted_zone", "pass_action": "/signin/abc/enrol-pass", "ways": []},
    ),
    Page(
        "enrol-pass-wrong",
        "enrol.html",
        {**ENROL, "obstacle": "enrolment_needs_pass", "pass_action": "/signin/abc/enrol-pass", "error": "pass_not_valid", "tries_left": 1},
    ),
    Page("enrol-later", "enrol.html", {**ENROL, "deadline": "31 décembre 2026", "later_action": "/signin/abc/later"}),
    Page("enrol-refused", "enrol.html", {**ENROL, "error": "enrolment_sign_in_too_old"}),
    Page(
        "recovery-codes",
        "recovery_codes.html",
        {"codes": CODES, "username": "sophie.martin", "made": "22 novembre 2026", "continue_url": "/account/factors"},
    ),
    Page(
        "recovery-codes-extreme",
        "recovery_codes.html",
        {**EXTREME, "codes": CODES * 2, "username": "y" * 90, "made": "22 novembre 2026", "continue_url": "/account/factors"},
    ),
    Page("factors", "factors.html", MY_FACTORS),
    Page(
        "factors-empty",
        "factors.html",
        {**MY_FACTORS, **UNKNOWN_PLACE, "factors": [], "recovery": None},
    ),
    Page(
        "factors-extreme",
        "factors.html",
        {
            **MY_FACTORS,
            **EXTREME,
            "factors": FACTORS * 3,
            "recovery": {"count": 1, "made": "hier", "is_few": True},
            "notice": "factor_added",
        },
    ),
    Page("factors-without-codes", "factors.html", {**MY_FACTORS, "recovery": {"count": 0, "made": None, "is_few": False}}),
    Page(
        "factors-confirm", "factors.html", {**MY_FACTORS, "obstacle": "enrolment_needs_factor", "confirm_url": "/account/factors/confirm"}
    ),
    Page(
        "factors-pass",
        "factors.html",
        {
            **MY_FACTORS,
            "factors": [],
            "obstacle": "enrolment_shared_zone",
            "takes_pass": True,
            "pass_error": "pass_not_valid",
            "tries_left": 4,
        },
    ),
    *(Page(f"factors-{code}", "factors.html", {**MY_FACTORS, "problem": code}) for code in OBSTACLES),
    *(Page(f"factors-{notice}", "factors.html", {**MY_FACTORS, "notice": notice}) for notice in ("factor_removed", "factor_renamed")),
    Page("add-totp", "add_totp.html", {"kind": "totp", "offer": OFFER, "error": None, "label": ""}),
    Page("add-totp-expired", "add_totp.html", {**EXTREME, "kind": "totp", "offer": OFFER, "error": "offer_expired", "label": "L" * 80}),
    *CODE_PAGES,
    Page("rename-factor", "rename_factor.html", {"factor": FACTORS[1]}),
    Page("rename-factor-extreme", "rename_factor.html", {**EXTREME, "factor": FACTORS[3]}),
    Page("remove-factor", "remove_factor.html", {"factor": FACTORS[0], "is_last": True}),
    Page("remove-factor-extreme", "remove_factor.html", {**EXTREME, "factor": FACTORS[3], "is_last": False}),
)

PAGES: tuple[Page, ...] = (
    Page("signin", "signin.html", SIGNIN),
    Page("signin-nowhere", "signin.html", {**SIGNIN, **UNKNOWN_PLACE, "client_name": None, "cancel_action": None}),
    Page("signin-wrong", "signin.html", {**SIGNIN, "error": "wrong_credentials", "identifier": "sophie.martin"}),
    Page("signin-one-try", "signin.html", {**SIGNIN, "error": "wrong_credentials", "identifier": "sophie.martin", "tries_left": 1}),
    Page(
        "signin-extreme",
        "signin.html",
        {
            **SIGNIN,
            **EXTREME,
            "error": "wrong_credentials",
            "identifier": "x" * 200,
            "tries_left": 3,
            "client_name": "Dossier de soins informatisé de l'établissement, version de la direction des soins infirmiers",
        },
    ),
    Page("signin-throttled", "signin.html", {**SIGNIN, "error": "throttled", "identifier": "sophie.martin", "wait_minutes": 8}),
    Page("signin-throttled-one", "signin.html", {**SIGNIN, "error": "throttled", "identifier": "sophie.martin", "wait_minutes": 1}),
    Page("signin-throttled-day", "signin.html", {**SIGNIN, "error": "throttled", "identifier": "sophie.martin", "wait_minutes": 1381}),
    Page("signin-locked", "signin.html", {**SIGNIN, "error": "throttled", "identifier": "sophie.martin", "wait_minutes": 0}),
    Page("signin-providers", "signin.html", {**SIGNIN, "providers": PROVIDERS, "passkey_options": ASSERTION}),
    Page("signin-providers-lead", "signin.html", {**SIGNIN, "providers": PROVIDERS, "providers_lead": True, "passkey_options": ASSERTION}),
    Page("signin-providers-extreme", "signin.html", {**SIGNIN, **EXTREME, "providers": LONG_PROVIDERS, "providers_lead": True}),
    *(
        Page(f"signin-{code}", "signin.html", {**SIGNIN, "providers": PROVIDERS, "upstream": {"label": "Office 365", "problem": code}})
        for code in UPSTREAM_PROBLEMS
    ),
    Page("signin-upstream-lapsed", "signin.html", {**SIGNIN, "providers": PROVIDERS, "notice": "upstream_lapsed"}),
    Page("onward", "onward.html", {"to_url": "#main", "label": "Office 365"}),
    Page("onward-extreme", "onward.html", {**EXTREME, "to_url": "#main", "label": LONG_PROVIDERS[0]["label"]}),
    Page("onward-here", "onward.html", {"to_url": "#main", "label": None}),
    Page("signin-passkey", "signin.html", {**SIGNIN, "passkey_options": ASSERTION}),
    Page("signin-passkey-shared", "signin.html", {**SIGNIN, "passkey_options": ASSERTION, "is_shared": True}),
    *(
        Page(f"signin-{code}", "signin.html", {**SIGNIN, "passkey_options": ASSERTION, "error": "passkey", "told": code})
        for code in PASSKEY_PROBLEMS
    ),
    *(Page(f"signin-{error}", "signin.html", {**SIGNIN, "error": error}) for error in WINDOWS_ERRORS),
    *(
        Page(f"signin-windows-{told}", "signin.html", {**SIGNIN, "error": "windows_not_usable", "told": told})
        for told in ("directory_locked", "directory_expired", "directory_disabled")
    ),
    Page("signin-form-expired", "signin.html", {**SIGNIN, "error": "form_expired", "identifier": "sophie.martin"}),
    *(
        Page(f"signin-{notice}", "signin.html", {**SIGNIN, "notice": notice, "maintenance": EXTREME["maintenance"]})
        for notice in ("idle", "absolute_limit", "signed_out", "ended", "restarted")
    ),
    Page("signin-shared", "signin.html", {**SIGNIN, "is_shared": True, "passkey_options": ASSERTION, "notice": "person_changed"}),
    Page(
        "signin-shared-somebody",
        "signin.html",
        {**SIGNIN, "is_shared": True, "person_here": {"name": "Sophie Martin", "action": "/signin/abc/change-person"}},
    ),
    Page("signin-locked-session", "signin.html", {**SIGNIN, "is_shared": True, "locked": LOCKED, "passkey_options": ASSERTION}),
    Page(
        "signin-locked-wrong",
        "signin.html",
        {**SIGNIN, **EXTREME, "locked": {**LOCKED, "name": EXTREME_NAME}, "error": "wrong_credentials", "tries_left": 1},
    ),
    Page("signin-locked-unnamed", "signin.html", {**SIGNIN, "locked": {**LOCKED, "identifier": ""}, "notice": "restarted"}),
    Page("lock", "lock.html", {}),
    Page("account-shared", "account.html", {**ACCOUNT, "is_shared": True, "seconds_left": 100, "ends_at": "14:34"}),
    Page("passkey", "passkey.html", PASSKEY),
    Page("passkey-refused", "passkey.html", {**PASSKEY, "error": "passkey_already_enrolled", "label": "Mon téléphone"}),
    Page("passkey-extreme", "passkey.html", {**PASSKEY, **EXTREME, "error": "other", "label": "M" * 80, "is_passwordless": False}),
    Page("link", "link.html", {**LINK, "passkey_options": ASSERTION}),
    Page("link-shared", "link.html", {**LINK, "is_shared": True, "cancel_action": None, "passkey_options": None, "providers": ()}),
    Page("link-confirm", "link.html", {**LINK, "is_proven": True}),
    Page("link-extreme", "link.html", {**LINK, **EXTREME, "is_proven": True, "account_name": EXTREME_NAME, "shown_name": EXTREME_NAME}),
    *(
        Page(f"link-{obstacle.replace('_', '-')}", "link.html", {**LINK, "is_proven": True, "obstacle": obstacle})
        for obstacle in ("linked_to_another", "linked_already")
    ),
    *(
        Page(f"link-{obstacle.replace('_', '-')}", "link.html", {**LINK, "is_proven": True, "obstacle": obstacle})
        for obstacle in ("enrolment_needs_trusted_zone", "enrolment_shared_zone", "enrolment_needs_factor")
    ),
    Page(
        "link-pass",
        "link.html",
        {**LINK, "is_proven": True, "obstacle": "enrolment_needs_pass", "pass_action": "/signin/abc/link-pass", "error": "pass_not_valid"},
    ),
    Page("links", "links.html", MY_LINKS),
    Page("links-none", "links.html", {**MY_LINKS, "linked": [], "is_fresh": False, "notice": "unlinked"}),
    Page("links-last", "links.html", {**MY_LINKS, **EXTREME, "linkable": [], "error": "last_way_in"}),
    Page("links-refused", "links.html", {**MY_LINKS, "upstream": {"label": "Office 365", "problem": "linked_to_another"}}),
    Page("links-unreachable", "links.html", {**MY_LINKS, "upstream": {"label": "Office 365", "problem": "upstream_unreachable"}}),
    Page(
        "select-account",
        "select_account.html",
        {"account_name": "Sophie Martin", "continue_action": "/signin/abc/continue", "other_action": "/signin/abc/other"},
    ),
    *(
        Page(name, "choose_establishment.html", {**UNKNOWN_PLACE, **CHOOSE, "chooser": shown})
        for name, shown in (
            ("choose-establishment", chooser(*CHOICES, total=3)),
            ("choose-establishment-of-many", chooser(CHOICES[0], total=400)),
            ("choose-establishment-found", chooser(*CHOICES, total=400, typed="les", left_out=37)),
            ("choose-establishment-not-found", chooser(total=400, typed="Trifouillis")),
            ("choose-establishment-all", chooser(*ALL_CHOICES, total=61, wants_all=True)),
        )
    ),
    Page("change-password", "change_password.html", PASSWORD),
    Page("change-password-forced", "change_password.html", {**PASSWORD, "is_forced": True, "asks_current": False, "cancel_action": None}),
    Page("change-password-reset", "change_password.html", {**PASSWORD, "is_forced": True, "is_reset": True, "asks_current": False}),
    Page("change-password-old", "change_password.html", {**PASSWORD, "is_forced": True, "is_old": True, "asks_current": False}),
    Page("change-password-shared", "change_password.html", {**PASSWORD, "is_shared": True}),
    Page("change-password-wrong", "change_password.html", {**PASSWORD, "problems": ["wrong_current"]}),
    Page(
        "change-password-extreme",
        "change_password.html",
        {**PASSWORD, **EXTREME, "problems": [*PROBLEMS, "never_heard_of"], "username": "y" * 90},
    ),
    Page(
        "close-session",
        "close_session.html",
        {"sessions": SESSIONS, "action": "/signin/abc/close", "cancel_action": "/signin/abc/cancel"},
    ),
    Page(
        "consent",
        "consent.html",
        {
            "client_name": "NetSoins",
            "scopes": ["openid", "profile", "email", "phone", "address", "establishment", "establishments", "offline_access", "planning"],
            "action": "/signin/abc/consent",
            "cancel_action": "/signin/abc/cancel",
        },
    ),
    *(
        Page(f"denied-{reason}", "denied.html", {"reason": reason, "client_name": "NetSoins", "back_action": "/signin/abc/cancel"})
        for reason in DENIALS
    ),
    Page(
        "denied-extreme",
        "denied.html",
        {**EXTREME, "reason": "client_not_open_to_profile", "client_name": None, "back_action": None},
    ),
    *(
        Page(f"error-{code}", "error.html", {**UNKNOWN_PLACE, "code": code, "status": status, "retry_url": None, "client_name": None})
        for code, status in ERRORS.items()
    ),
    Page("error-extreme", "error.html", {**EXTREME, "code": "loop", "status": 400, "retry_url": "/account", "client_name": "NetSoins"}),
    Page(
        "form-post",
        "form_post.html",
        {
            "redirect_uri": "https://soins.example/callback",
            "parameters": [("code", "c" * 43), ("state", '"><b>'), ("iss", "https://id.example")],
        },
    ),
    Page(
        "logout-confirm",
        "logout_confirm.html",
        {"action": "/logout", "client_name": "NetSoins", "hidden": [("id_token_hint", TOKEN), ("state", "a&b")]},
    ),
    Page("logout-confirm-nowhere", "logout_confirm.html", {**UNKNOWN_PLACE, "action": "/logout", "client_name": None, "hidden": []}),
    Page("workstation", "workstation.html", {"name": None, "is_here": False, "is_shared": False, "error": None}),
    Page("workstation-enrolled", "workstation.html", {"name": "Poste de soins 2", "is_here": True, "is_shared": True, "error": None}),
    Page("workstation-away", "workstation.html", {**EXTREME, "name": "P" * 80, "is_here": False, "is_shared": False, "error": None}),
    *(
        Page(f"workstation-{error}", "workstation.html", {"name": None, "is_here": False, "is_shared": False, "error": error})
        for error in ("wrong_zone", "pass_not_valid")
    ),
    Page("signed-out", "signed_out.html", {"continue_url": None, "client_name": None, "reason": None}),
    Page("signed-out-back", "signed_out.html", {"continue_url": "https://soins.example/", "client_name": "NetSoins", "reason": None}),
    Page(
        "signed-out-idle", "signed_out.html", {**EXTREME, "continue_url": "https://soins.example/", "client_name": None, "reason": "idle"}
    ),
    Page("signed-out-absolute", "signed_out.html", {"continue_url": None, "client_name": None, "reason": "absolute_limit"}),
    Page("account", "account.html", ACCOUNT),
    Page("account-extreme", "account.html", {**ACCOUNT_EXTREME, **EXTREME}),
    Page("account-devices", "account.html", {**ACCOUNT, "devices": DEVICES}),
    *(
        Page(f"account-{notice}", "account.html", {**ACCOUNT, "notice": notice})
        for notice in ("password_changed", "session_ended", "establishment_changed", "device_ended")
    ),
    Page(
        "account-empty",
        "account.html",
        {**ACCOUNT, **UNKNOWN_PLACE, "attachments": [], "chooser": chooser(total=0), "sessions": ACCOUNT["sessions"][:1]},
    ),
    Page("help", "help.html", {"hosts": ["id.tilleuls.example"]}),
    Page(
        "help-extreme",
        "help.html",
        {**EXTREME, "hosts": ["connexion.groupement.example", "les-tilleuls.groupement.example", "a" * 60 + ".example"]},
    ),
    Page("help-nowhere", "help.html", {**UNKNOWN_PLACE, "hosts": []}),
    *FACTOR_PAGES,
    *administrators.PAGES,
    *audit.PAGES,
    *console_places.PAGES,
    *people.PAGES,
    *help.PAGES,
    *own_resets.PAGES,
    *resets.PAGES,
    *cuts.PAGES,
    *trail.PAGES,
)


def read_catalogue(language: str) -> Catalog | None:
    """The message catalogue of a language; None for English, whose sentences are in the templates."""
    path = WEB / "translations" / language / "LC_MESSAGES" / "messages.po"
    if not path.exists():
        return None
    with path.open("rb") as file:
        return read_po(file, locale=language)


@lru_cache
def environment(language: str) -> Environment:
    """Jinja as the program sets it up: escaping on, new-style gettext; and an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader(WEB / "templates"), autoescape=True, undefined=StrictUndefined, extensions=["jinja2.ext.i18n"]
    )
    catalogue = read_catalogue(language)
    translations = NullTranslations()
    if catalogue is not None:
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        translations = Translations(compiled)
    made.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]  # added by the extension
    made.globals["profile_name"] = lambda code: profile_name(code, translations.gettext)
    return made


def render_page(page: Page, language: str) -> str:
    """The HTML of one page."""
    template = environment(language).get_template(page.template)
    return template.render({"lang": language, "csrf_token": lambda: "IjAxMjM0NTY3ODkwYWJjZGVmIg.aSFz.preview", **SHARED, **page.context})


class PreviewHandler(BaseHTTPRequestHandler):
    """Answers /<language>/<page name>, /static/ and /logo/; everything else is a list of the pages."""

    def do_GET(self) -> None:
        """One page, one file or the list."""
        path = self.path.partition("?")[0]
        if path.startswith("/static/"):
            self._answer_file(path.removeprefix("/static/"))
            return
        if path.startswith("/logo/"):
            self._answer(LOGO, "image/svg+xml")
            return
        language, _, name = path.strip("/").partition("/")
        found = [page for page in PAGES if page.name == name]
        if found and language in LANGUAGES:
            self._answer(render_page(found[0], language).encode(), "text/html; charset=utf-8")
            return
        links = [f'<li><a href="/{language}/{page.name}">{language} {page.name}</a>' for page in PAGES for language in LANGUAGES]
        self._answer("".join(links).encode(), "text/html; charset=utf-8")

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a test run is not a log."""

    def _answer_file(self, name: str) -> None:
        static = WEB / "static"
        path = (static / name).resolve()
        types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
        if not path.is_relative_to(static) or path.suffix not in types or not path.is_file():
            self.send_error(404)
            return
        self._answer(path.read_bytes(), types[path.suffix], cached="max-age=60")

    def _answer(self, body: bytes, content_type: str, cached: str = "no-store") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("Cache-Control", cached)
        self.end_headers()
        self.wfile.write(body)


def open_server(port: int = 0) -> ThreadingHTTPServer:
    """A server on loopback, not yet started; port 0 takes any free one (see `server_address`)."""
    return ThreadingHTTPServer(("127.0.0.1", port), PreviewHandler)


if __name__ == "__main__":
    server = open_server(int(sys.argv[1]) if len(sys.argv) > 1 else 8099)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/  (Ctrl-C stops)\n")
    try:
        server.serve_forever(poll_interval=timedelta(milliseconds=200).total_seconds())
    except KeyboardInterrupt:
        server.server_close()
