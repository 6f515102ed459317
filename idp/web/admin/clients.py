"""/admin/clients: the applications: listed, registered, changed, withdrawn, given a new secret. client_trial.py tries one.

Owns the pages; what is done is idp/desk/clients.py's. A secret is shown once, on the page that answers the form.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from idp.config import ClientSettings
from idp.desk.wrong_input import NotYours, WrongInput
from idp.oauth.claims import SCOPES
from idp.store.base import Client
from idp.web.admin.changes import Difference, Proposal, compare, is_editing, review, words
from idp.web.admin.console import HOME, Call, Route
from idp.web.admin.paging import window
from idp.web.admin.places import file_owns, problems_of
from policies.acts import Act

CLIENTS = f"{HOME}/clients"
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
GRANTS = ("authorization_code", "refresh_token", "client_credentials")
LINES = ("redirect_uris", "post_logout_redirect_uris", "resources", "audiences", "establishments", "profiles")
TEXTS = ("name", "token_endpoint_auth_method", "application_type", "backchannel_logout_uri", "jwks", "roles", "other_scopes")
FLAGS = ("require_pkce", "require_consent")
DONE = frozenset({"changed", "ended"})


def _list(call: Call) -> Response:
    typed, part = request.args.get("q", "").strip()[:80], window()
    with call.pages.rooms.database.read() as tx:
        found = tx.clients.page(named=typed, offset=part.offset, limit=part.limit)
    shown, pager = part.cut(found, q=typed)
    done = request.args.get("done", "")
    return call.render("clients.html", clients=shown, pager=pager, q=typed, done=done if done in DONE else None)


def _show(call: Call) -> Response:
    client = _client(call)
    _ = words(call)
    done = request.args.get("done", "")
    return call.render(
        "client.html",
        client=client,
        rows=[row for row in _rows(_, client.settings) if row[1]],
        findings=[one.message for one in call.pages.rooms.desk.clients.findings(client.settings)],
        done=done if done in DONE else None,
    )


def _ask_new(call: Call) -> Response:
    defaults = ClientSettings(client_id="new", name="-")
    return _form(call, {**_present(defaults), "name": "", "client_id": ""})


def _add(call: Call) -> Response:
    clients, typed = call.pages.rooms.desk.clients, _typed()
    if is_editing():
        return _form(call, typed)
    try:
        settings = clients.read({"client_id": typed["client_id"], **_values(typed)})
        clients.refuse_taken(settings.client_id)
        _ = words(call)
        rows = [(_("Identifier"), "", settings.client_id), *((name, "", after) for name, after in _rows(_, settings))]
        page = review(
            call,
            Proposal(
                title=_("Register an application"),
                differences=compare(*rows),
                button=_("Register this application"),
                back=CLIENTS,
                warning=_warnings(call, settings),
            ),
        )
        if page is not None:
            return page
        secret = clients.add(call.agent, settings)
    except WrongInput as wrong:
        return _form(call, typed, problems=problems_of(wrong))
    if secret is None:
        return call.see_other(f"{CLIENTS}/{settings.client_id}")
    return _secret(call, settings.client_id, settings.name, secret)


def _ask_change(call: Call) -> Response:
    client = _client(call)
    if client.source == "config":
        return file_owns(call, client.client_id, f"{CLIENTS}/{client.client_id}")
    return _form(call, _present(client.settings), client=client)


def _change(call: Call) -> Response:
    client, clients, typed = _client(call), call.pages.rooms.desk.clients, _typed()
    back = f"{CLIENTS}/{client.client_id}"
    if is_editing():
        return _form(call, typed, client=client)
    try:
        settings = clients.read(_values(typed), base=client.settings)
        if settings.token_endpoint_auth_method != client.settings.token_endpoint_auth_method:
            problems = {"token_endpoint_auth_method": "stays as it was registered: register another application"}
            return _form(call, typed, client=client, problems=problems)
        _ = words(call)
        pairs = zip(_rows(_, client.settings), _rows(_, settings), strict=True)
        rows = [(name, before, after) for (name, before), (_name, after) in pairs]
        page = review(
            call,
            Proposal(
                title=_("Change the application"),
                differences=compare(*rows),
                button=_("Make this change"),
                back=back,
                warning=_warnings(call, settings),
            ),
        )
        if page is None:
            clients.change(call.agent, settings)
    except WrongInput as wrong:
        return _form(call, typed, client=client, problems=problems_of(wrong))
    except NotYours as refused:
        return file_owns(call, refused.detail, back)
    return page or call.see_other(f"{back}?done=changed")


def _rotate(call: Call) -> Response:
    """The question (GET) and the act (POST with confirm)."""
    client, _ = _client(call), words(call)
    before = _("the one in use") if client.secret_digest else ""

    def act() -> Response:
        secret = call.pages.rooms.desk.clients.rotate(call.agent, client.client_id)
        return _secret(call, client.client_id, client.settings.name, secret)

    return _asked(
        call,
        client,
        title=_("Make a new secret"),
        differences=compare((_("Secret"), before, _("a new one, shown once") if before else "")),
        button=_("Make the new secret"),
        warning=_("The one in use stops at once: the application gets nothing until it has the new one."),
        act=act,
    )


def _end(call: Call) -> Response:
    """The question (GET) and the act (POST with confirm)."""
    client, _ = _client(call), words(call)

    def act() -> Response:
        call.pages.rooms.desk.clients.end(call.agent, client.client_id)
        return call.see_other(f"{CLIENTS}?done=ended")

    return _asked(
        call,
        client,
        title=_("Withdraw the application"),
        differences=compare((_("Application"), f"{client.settings.name} ({client.client_id})", "")),
        button=_("Withdraw this application"),
        warning=_("Everybody's access to it ends now, and nobody can sign in to it any more."),
        act=act,
    )


def _asked(
    call: Call,
    client: Client,
    *,
    title: str,
    differences: tuple[Difference, ...],
    button: str,
    warning: str,
    act: Callable[[], Response],
) -> Response:
    """What comes of an act that is only asked and confirmed, on an application that is not the file's."""
    back = f"{CLIENTS}/{client.client_id}"
    if client.source == "config":
        return file_owns(call, client.client_id, back)
    proposal = Proposal(title=title, differences=differences, button=button, back=back, warning=warning, can_edit=False)
    page = review(call, proposal)
    if page is not None:
        return page
    try:
        return act()
    except NotYours as refused:
        return file_owns(call, refused.detail, back)


def _client(call: Call) -> Client:
    return call.pages.rooms.desk.clients.get(call.values["client_id"])


def _secret(call: Call, client_id: str, name: str, secret: str) -> Response:
    return call.render(
        "shown_once.html",
        kind="client_secret",
        secret=secret,
        name=f"{name} ({client_id})",
        until="",
        life="",
        address=call.pages.rooms.config.issuer,
        back=f"{CLIENTS}/{client_id}",
    )


def _warnings(call: Call, settings: ClientSettings) -> str:
    found = [one.message for one in call.pages.rooms.desk.clients.findings(settings) if one.severity == "warning"]
    return f"{words(call)('The registration is right, but:')} {'; '.join(found)}" if found else ""


def _typed() -> dict[str, str]:
    names = ("client_id", *TEXTS, *LINES, *FLAGS, *(f"scope_{scope}" for scope in SCOPES), *(f"grant_{grant}" for grant in GRANTS))
    return {name: request.form.get(name, "").strip() for name in names}


def _values(typed: Mapping[str, str]) -> dict[str, Any]:
    """The registration that a form says, as ClientSettings reads it."""
    values: dict[str, Any] = {name: tuple(typed[name].split()) for name in LINES}
    return values | {
        "name": typed["name"],
        "token_endpoint_auth_method": typed["token_endpoint_auth_method"],
        "application_type": typed["application_type"],
        "backchannel_logout_uri": typed["backchannel_logout_uri"] or None,
        "jwks": typed["jwks"],
        "roles": typed["roles"],
        "require_pkce": bool(typed["require_pkce"]),
        "require_consent": bool(typed["require_consent"]),
        "grant_types": tuple(grant for grant in GRANTS if typed[f"grant_{grant}"]),
        "scopes": (*(scope for scope in SCOPES if typed[f"scope_{scope}"]), *typed["other_scopes"].split()),
    }


def _present(settings: ClientSettings) -> dict[str, str]:
    return {
        **{name: "\n".join(getattr(settings, name)) for name in LINES},
        "name": settings.name,
        "token_endpoint_auth_method": settings.token_endpoint_auth_method,
        "application_type": settings.application_type,
        "backchannel_logout_uri": settings.backchannel_logout_uri or "",
        "jwks": json.dumps(settings.jwks, indent=1) if settings.jwks else "",
        "roles": _roles(settings, "\n"),
        "other_scopes": " ".join(scope for scope in settings.scopes if scope not in SCOPES),
        **{name: "yes" if getattr(settings, name) else "" for name in FLAGS},
        **{f"grant_{grant}": "yes" if grant in settings.grant_types else "" for grant in GRANTS},
        **{f"scope_{scope}": "yes" if scope in settings.scopes else "" for scope in SCOPES},
    }


def _roles(settings: ClientSettings, between: str) -> str:
    return between.join(f"{profile}={role}" for profile, roles in settings.roles.items() for role in (roles or ("",)))


def _rows(_: Callable[[str], str], settings: ClientSettings) -> tuple[tuple[str, str], ...]:
    """Every setting that a form shows, by its name for people."""
    yes, no, everywhere = _("yes"), _("no"), _("all")
    keys = (settings.jwks or {}).get("keys") or []
    return (
        (_("Name"), settings.name),
        (_("How it proves itself"), settings.token_endpoint_auth_method),
        (_("Public keys"), json.dumps(keys) if keys else ""),
        (_("Kind of application"), settings.application_type),
        (_("Redirect URIs"), " ".join(settings.redirect_uris)),
        (_("Where a sign-out returns"), " ".join(settings.post_logout_redirect_uris)),
        (_("Where it hears of a sign-out"), settings.backchannel_logout_uri or ""),
        (_("Grants"), " ".join(settings.grant_types)),
        (_("Scopes"), " ".join(settings.scopes)),
        (_("PKCE required"), yes if settings.require_pkce else no),
        (_("Asks people's consent"), yes if settings.require_consent else no),
        (_("Resources"), " ".join(settings.resources)),
        (_("Audiences"), " ".join(settings.audiences)),
        (_("Establishments served"), " ".join(settings.establishments) or everywhere),
        (_("Profiles served"), " ".join(settings.profiles) or everywhere),
        (_("Roles"), _roles(settings, " ")),
    )


def _form(call: Call, typed: Mapping[str, str], *, client: Client | None = None, problems: Mapping[str, str] | None = None) -> Response:
    return call.render(
        "client_form.html",
        status=422 if problems else 200,
        typed=typed,
        client=client,
        methods=METHODS,
        grants=GRANTS,
        scopes=tuple(SCOPES),
        problems=problems or {},
    )


def _both(rule: str, ask: Callable[[Call], Response], act: Callable[[Call], Response]) -> tuple[Route, Route]:
    return (
        Route(rule=rule, act=Act.MANAGE_CLIENTS, view=ask, is_dangerous=True),
        Route(rule=rule, method="POST", act=Act.MANAGE_CLIENTS, view=act, is_dangerous=True),
    )


ROUTES: tuple[Route, ...] = (
    Route(rule="/clients", act=Act.MANAGE_CLIENTS, view=_list),
    *_both("/clients/+new", _ask_new, _add),
    Route(rule="/clients/<client_id>", act=Act.MANAGE_CLIENTS, view=_show),
    *_both("/clients/<client_id>/edit", _ask_change, _change),
    *_both("/clients/<client_id>/secret", _rotate, _rotate),
    *_both("/clients/<client_id>/end", _end, _end),
)
