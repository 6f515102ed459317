"""The two endpoints of the protocol that people's browsers visit: /authorize and /logout.

Handlers carry values between the browser and the rooms: idp/oauth judges, idp/signin says what is needed next. Both endpoints take POST too, turned
into a GET at once: cookies with SameSite=Lax do not come with a form posted from another site. OpenID Connect Core section 3.1.2, RP-Initiated
Logout 1.0.
"""

from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, request

from idp.audit import EventType, Reason
from idp.errors import Refused
from idp.oauth.authorize import AuthorizationRefused
from idp.oauth.end_session import LogoutRequest
from idp.signin.interaction import AuthorizationRequest
from idp.signin.step import StepKind
from idp.store.base import Session
from idp.web.http import Pages

LONGEST_QUERY = 8_000
LOGOUT_PARAMETERS = ("id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")


def create_oidc(pages: Pages) -> Blueprint:
    """The blueprint; its two POST endpoints that other sites post to need no form token, since they do nothing but redirect."""
    blueprint = Blueprint("oidc", __name__)

    @blueprint.get("/authorize")
    def authorize() -> Response:
        if request.method == "HEAD":  # Flask offers it beside GET; a code is not for whoever only asks what would come
            return Response(status=204)
        return _authorize(pages, list(request.args.items(multi=True)))

    @blueprint.post("/authorize")
    def authorize_post() -> Response:
        return _as_get(pages, list(request.form.items(multi=True)))

    @blueprint.get("/logout")
    def logout() -> Response:
        return _logout(pages)

    @blueprint.post("/logout")
    def logout_post() -> Response:
        return _as_get(pages, [(name, request.form[name]) for name in LOGOUT_PARAMETERS if name in request.form])

    @blueprint.post("/logout/confirm")
    def logout_confirm() -> Response:
        return _confirm(pages)

    return blueprint


EXEMPT_FROM_FORM_TOKEN = ("oidc.authorize_post", "oidc.logout_post")


def _as_get(pages: Pages, parameters: list[tuple[str, str]]) -> Response:
    query = urlencode(parameters)
    if len(query) > LONGEST_QUERY:
        pages.rooms.signin.trail.record(EventType.REQUEST_REFUSED, Reason.TOO_LARGE, origin=pages.origin(), details={"path": request.path})
        return pages.error_page("too_large", 413)
    return pages.see_other(f"{request.path}?{query}")


def _authorize(pages: Pages, parameters: list[tuple[str, str]]) -> Response:
    provider, origin = pages.rooms.provider, pages.origin()
    try:
        wanted = provider.authorize(parameters, origin)
    except AuthorizationRefused as refused:
        return pages.send(refused.response) if refused.response else pages.error_page(refused.reason, 400)
    if pages.is_looping(wanted.client_id):
        return _loop(pages, wanted)
    session = pages.read_session().session
    return _next(pages, wanted, session)


def _next(pages: Pages, wanted: AuthorizationRequest, session: Session | None) -> Response:
    provider, signin, origin = pages.rooms.provider, pages.rooms.signin, pages.origin()
    interaction = signin.open(wanted, pages.known_browser() or "")
    step = signin.answer(interaction, session, pages.visitor())
    if step.must_redirect and step.error and step.reason:
        account_id = step.account.id if step.account else None
        return pages.send(provider.refuse(wanted, step.error, step.reason, origin=origin, account_id=account_id))
    if step.kind is StepKind.FINISH and step.finish is not None:
        try:
            # Nothing was shown and nothing kept: there is no page that could come back.
            finished = provider.finish(replace(step.finish, interaction_digest=None), origin)
        except Refused:
            # The Session ended between the question and the answer: ask again as nobody.
            return _next(pages, wanted, None) if session is not None else pages.error_page("unknown_client", 400)
        return pages.send(finished.response, written=finished.written)
    kept = signin.keep(signin.open(wanted, pages.browser_secret()))
    return pages.see_other(f"/signin/{kept.id}")


def _loop(pages: Pages, wanted: AuthorizationRequest) -> Response:
    signin = pages.rooms.signin
    interaction = signin.open(wanted, pages.browser_secret())
    surroundings = signin.surroundings(interaction, None, last_used_slug=pages.last_used_slug())
    signin.trail.record(EventType.SIGNIN_REFUSED, Reason.LOOP, interaction=interaction, origin=pages.origin())
    retry = f"{request.path}?{request.query_string.decode('ascii', 'replace')}"
    return pages.error_page("loop", 429, retry_url=retry, client_name=surroundings.client_name, establishment=surroundings.establishment)


def _logout(pages: Pages) -> Response:
    parameters = {name: request.args[name] for name in LOGOUT_PARAMETERS if request.args.get(name)}
    session = pages.read_session().session
    judged = _judge(pages, parameters, session)
    if isinstance(judged, Response):
        return judged
    if session is None or judged.is_proven:
        return _sign_out(pages, session, judged)
    return pages.render(
        "logout_confirm.html",
        establishment=pages.last_used_establishment(),
        form_action=judged.return_to,
        action="/logout/confirm",
        client_name=judged.client_name,
        hidden=list(parameters.items()),
    )


def _confirm(pages: Pages) -> Response:
    if request.form.get("answer") != "yes":
        return pages.see_other("/account")
    parameters = {name: request.form[name] for name in LOGOUT_PARAMETERS if request.form.get(name)}
    session = pages.read_session().session
    judged = _judge(pages, parameters, session)
    return judged if isinstance(judged, Response) else _sign_out(pages, session, judged)


def _judge(pages: Pages, parameters: dict[str, str], session: Session | None) -> LogoutRequest | Response:
    try:
        return pages.rooms.provider.logout.judge(parameters, session, pages.origin())
    except Refused as refused:
        return pages.error_page(refused.reason, 400)


def _sign_out(pages: Pages, session: Session | None, judged: LogoutRequest) -> Response:
    if session is not None:
        pages.sign_out(session, judged.client_id)
    if judged.return_to is None:
        response = pages.render(
            "signed_out.html",
            establishment=pages.last_used_establishment(),
            continue_url=None,
            client_name=judged.client_name,
            reason=str(Reason.SIGNED_OUT),
        )
    else:
        separator = "&" if urlsplit(judged.return_to).query else "?"
        state = f"{separator}{urlencode({'state': judged.state})}" if judged.state else ""
        response = pages.see_other(f"{judged.return_to}{state}")
    pages.clear_session_cookie(response)
    return response
