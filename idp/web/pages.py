"""Builds the Flask application of the pages: cookies, forms' protection, languages, headers, and what is shown when something breaks.

Each page module gives a blueprint; this one wires them and owns no page. Every refusal before a room is reached is an Event, every failure a page
with the right status and the support code.
"""

from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import structlog
from flask import Flask, Response, g, make_response, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException

from idp.audit import Event, EventType, Reason
from idp.errors import EphemeralUnavailable, StoreUnavailable
from idp.web.account import account_pages
from idp.web.admin.routes import admin_pages
from idp.web.browser_cookie import BrowserCookie
from idp.web.codes import code_pages
from idp.web.factors import factor_pages
from idp.web.forgotten import forgotten_pages
from idp.web.headers import secure
from idp.web.help import help_pages
from idp.web.history import history_pages
from idp.web.http import HERE, Pages
from idp.web.links import link_pages
from idp.web.lock import lock_pages
from idp.web.matching_rule import MatchingRule
from idp.web.oidc import EXEMPT_FROM_FORM_TOKEN as OIDC_ENDPOINTS
from idp.web.oidc import create_oidc
from idp.web.page_request import PageRequest
from idp.web.passkeys import passkey_pages
from idp.web.profile_name import profile_name
from idp.web.reset import reset_pages
from idp.web.rooms import Rooms
from idp.web.signin import recover_form, signin_pages
from idp.web.upstream import EXEMPT_FROM_FORM_TOKEN as UPSTREAM_CALLBACKS
from idp.web.upstream import upstream_pages
from idp.web.workstation import workstation_pages

EXEMPT_FROM_FORM_TOKEN = (*OIDC_ENDPOINTS, *UPSTREAM_CALLBACKS)
LARGEST_BODY = 64 * 1024
BROWSER_COOKIE_LIFE = timedelta(days=180)
STATIC_LIFE = timedelta(days=30)
CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}

log = structlog.get_logger(__name__)


def create_pages(rooms: Rooms) -> Flask:
    """The WSGI application of everything that a browser shows."""
    pages = Pages(rooms)
    app = Flask("idp.web", root_path=str(HERE), static_folder="static", template_folder="templates")
    app.request_class = PageRequest
    app.url_rule_class = MatchingRule
    app.session_interface = BrowserCookie(rooms.clock)
    app.config.update(
        SECRET_KEY=rooms.keyring.subkey("browser cookie"),
        SESSION_COOKIE_NAME=pages.browser_cookie,
        SESSION_COOKIE_SECURE=rooms.config.uses_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=BROWSER_COOKIE_LIFE,
        SEND_FILE_MAX_AGE_DEFAULT=STATIC_LIFE,
        MAX_CONTENT_LENGTH=LARGEST_BODY,
        MAX_FORM_MEMORY_SIZE=LARGEST_BODY,
        MAX_FORM_PARTS=100,
        # Compiled once, at first use: compiling all of them at start would double the time to the first answer.
        TEMPLATES_AUTO_RELOAD=False,
        # A form is good as long as its interaction: the token has no clock of its own.
        WTF_CSRF_TIME_LIMIT=None,
        # Flask-WTF would compare the Referer with the Host that the proxy passed on; _check_sender compares with the issuer.
        WTF_CSRF_SSL_STRICT=False,
    )
    _install_language(app, pages)
    entry = (create_oidc, signin_pages, upstream_pages, help_pages, workstation_pages)
    own = (account_pages, history_pages, factor_pages, passkey_pages, code_pages, link_pages, lock_pages)
    for make in (*entry, *own, reset_pages, forgotten_pages, admin_pages):
        app.register_blueprint(make(pages))
    _lead_to_issuer(app, pages)
    _protect_forms(app, pages)
    app.after_request(pages.keep_workstation)
    app.after_request(lambda response: secure(response, uses_https=rooms.config.uses_https, form_action=g.get("form_action")))
    _handle_failures(app, pages)
    return app


def _install_language(app: Flask, pages: Pages) -> None:
    settings = pages.rooms.config.pages
    environment = app.jinja_env
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # added to the environment by the extension
        lambda text: pages.languages.words(g.language).gettext(text),
        lambda one, many, count: pages.languages.words(g.language).ngettext(one, many, count),
        newstyle=True,
    )
    environment.globals.update(
        profile_name=lambda code: profile_name(code, pages.languages.words(g.language).gettext),
        product_name=settings.product_name,
        maintenance=settings.maintenance,
        support=settings.support,
        static_version=pages.static_version,
    )


def _lead_to_issuer(app: Flask, pages: Pages) -> None:
    """An establishment's own address (les-tilleuls.connexion.example) only leads to the issuer's, where every page and cookie lives (R55, R26)."""
    issuer = pages.rooms.config.issuer
    suffix = f".{urlsplit(issuer).netloc}"

    def lead() -> Response | None:
        if not request.host.endswith(suffix):
            return None
        return pages.see_other(f"{issuer}/?{urlencode({'establishment': request.host.removesuffix(suffix)})}")

    app.before_request(lead)


def _protect_forms(app: Flask, pages: Pages) -> None:
    """Every form of ours carries a token; only the endpoints that other sites post to do not."""
    issuer = pages.rooms.config.issuer

    def check_sender() -> None:
        is_form = request.method == "POST" and request.endpoint is not None and request.endpoint not in EXEMPT_FROM_FORM_TOKEN
        if is_form and not _is_own(issuer):
            raise CSRFError("The form was sent by another site.")

    app.before_request(check_sender)
    protection = CSRFProtect()
    for endpoint in EXEMPT_FROM_FORM_TOKEN:
        protection.exempt(app.view_functions[endpoint])
    protection.init_app(app)


def _is_own(issuer: str) -> bool:
    """Whether the browser says that our own page sent this; a browser that says nothing is left to the token."""
    sender = request.headers.get("Origin") or request.headers.get("Referer")
    if not sender:
        return True
    parts = urlsplit(sender)
    return f"{parts.scheme}://{parts.netloc}" == issuer


def _handle_failures(app: Flask, pages: Pages) -> None:
    app.register_error_handler(CSRFError, lambda _error: _bad_form(pages))
    app.register_error_handler(StoreUnavailable, lambda error: _store_down(pages, error))
    app.register_error_handler(HTTPException, lambda error: _refused(pages, error))
    app.register_error_handler(Exception, lambda error: _broken(pages, error))


def _bad_form(pages: Pages) -> Response:
    _record(pages, EventType.REQUEST_REFUSED, Reason.BAD_FORM_TOKEN)
    recovered = recover_form(pages)
    if recovered is not None:
        return recovered
    retry_url = "/account" if request.path.startswith(("/account", "/admin", "/lock", "/change-person")) else None
    if request.path.startswith(("/reset", "/forgotten", "/stop")):
        retry_url = f"/{request.path.split('/')[1]}"
    return pages.error_page("bad_form_token", 400, retry_url=retry_url)


def _refused(pages: Pages, error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:
        return make_response(error.get_response())
    if status == 413:
        _record(pages, EventType.REQUEST_REFUSED, Reason.TOO_LARGE)
    response = pages.error_page(CODES.get(status, "invalid_request" if status < 500 else "internal_error"), status)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _store_down(pages: Pages, error: StoreUnavailable) -> Response:
    log.error("store_unavailable", path=request.path, request_id=pages.origin().request_id, detail=error.detail)
    if isinstance(error, EphemeralUnavailable):
        _record(pages, EventType.REQUEST_REFUSED, Reason.STORE_UNAVAILABLE)
    response = pages.error_page("store_unavailable", 503)
    response.headers["Retry-After"] = "5"
    return response


def _broken(pages: Pages, error: Exception) -> Response:
    log.error("internal_error", path=request.path, request_id=pages.origin().request_id, exc_info=error)
    try:
        _record(pages, EventType.REQUEST_REFUSED, Reason.INTERNAL_ERROR)
        return pages.error_page("internal_error", 500)
    except Exception:
        # What broke may be what draws pages: never answer with nothing.
        log.exception("error_page_broken", request_id=pages.origin().request_id)
        return Response(f"Erreur / Error - {pages.origin().request_id}", 500, mimetype="text/plain")


def _record(pages: Pages, kind: EventType, reason: Reason) -> None:
    """Best effort: the page matters more than its Event when the store is what broke."""
    event = Event(
        type=kind,
        at=pages.rooms.clock.now(),
        actor="anonymous",
        origin=pages.origin(),
        reason=reason,
        # The rule and not the path: a sign-in page's own address is half of what opens it.
        details={"path": str(request.url_rule or request.path)[:200], "method": request.method},
    )
    try:
        with pages.rooms.database.write() as tx:
            tx.events.append(event)
    except StoreUnavailable as error:
        log.error("event_lost", type=str(kind), reason=str(reason), request_id=pages.origin().request_id, detail=error.detail)
