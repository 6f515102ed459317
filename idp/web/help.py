"""What needs no sign-in: help, the front door, establishments' logos, and whether the program is well.

/healthz says that the process answers, /readyz that its own stores do (never somebody else's: a directory that is down must not take us out).
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, make_response, request

from idp.errors import StoreUnavailable
from idp.web.http import Pages

LOGO_LIFE_SECONDS = 3600


def help_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("help", __name__)

    @blueprint.get("/")
    def front_door() -> Response:
        # The hint of an establishment's own address: it changes a name on a page, and opens nothing.
        pages.remember_establishment(pages.rooms.signin.establishment(request.args.get("establishment", "")))
        return pages.see_other("/account")

    @blueprint.get("/help")
    def show() -> Response:
        host = urlsplit(pages.rooms.config.issuer).netloc
        return pages.render("help.html", establishment=pages.last_used_establishment(), hosts=[host])

    @blueprint.get("/logo/<slug>")
    def logo(slug: str) -> Response:
        return _logo(pages, slug)

    @blueprint.get("/favicon.ico")
    def icon() -> Response:
        return pages.see_other("/static/icon.svg")

    @blueprint.get("/robots.txt")
    def robots() -> Response:
        return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        stores = {"database": _answers(pages.rooms.database.ping), "ephemeral": _answers(pages.rooms.ephemeral.ping)}
        is_ready = all(stores.values())
        words = {name: "ok" if answers else "unavailable" for name, answers in stores.items()}
        response = jsonify(status="ok" if is_ready else "unavailable", **words)
        response.status_code = 200 if is_ready else 503
        return response

    return blueprint


def _answers(ping: Callable[[], None]) -> bool:
    try:
        ping()
    except StoreUnavailable:
        return False
    return True


def _logo(pages: Pages, slug: str) -> Response:
    found = pages.rooms.signin.logo(slug)
    if found is None:
        return pages.error_page("not_found", 404)
    content, media_type = found
    response = make_response(content)
    response.headers["Content-Type"] = media_type
    response.headers["Cache-Control"] = f"public, max-age={LOGO_LIFE_SECONDS}"
    # An SVG opened by itself is a document: nothing in it may run or be fetched.
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    response.add_etag()
    response.make_conditional(request)
    return response
