"""What needs no sign-in: help, the front door, establishments' logos, and whether the program is well.

/healthz says that the process answers, /readyz that its own stores do (never somebody else's: a directory that is down must not take us out).
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, make_response, request, session

from idp.errors import StoreUnavailable
from idp.web.description import describe_browser, describe_instant
from idp.web.http import Pages

LOGO_LIFE_SECONDS = 3600
# The first version that is recent enough; the first mark that is there decides (Edge and Opera say Chrome's version too).
RECENT = (
    (re.compile(r"Trident/(\d+)"), 1000),
    (re.compile(r"Firefox/(\d+)"), 115),
    (re.compile(r"Chrome/(\d+)"), 109),
    (re.compile(r"Version/(\d+).*Safari/"), 15),
)


def help_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("help", __name__)

    @blueprint.get("/")
    def front_door() -> Response:
        # The hint of an establishment's own address: which one is meant, for who works at several. It opens nothing.
        place = pages.rooms.signin.establishment(request.args.get("establishment", ""))
        pages.remember_establishment(place)
        return pages.see_other(f"/account?establishment={place.slug}" if place else "/account")

    @blueprint.get("/help")
    def show() -> Response:
        host = urlsplit(pages.rooms.config.issuer).netloc
        return pages.render("help.html", establishment=pages.last_used_establishment(), hosts=[host])

    @blueprint.get("/help/test")
    def test() -> Response:
        # A round trip: the first answer leaves a mark in the cookie, the second looks whether it came back.
        if "tested" not in request.args:
            session["self_test"] = True
            return pages.see_other("/help/test?tested=1")
        place, origin, now = pages.last_used_establishment(), pages.origin(), pages.rooms.clock.now()
        agent, keeps = request.headers.get("User-Agent", ""), bool(session.pop("self_test", None))
        return pages.render(
            "help_test.html",
            establishment=place,
            keeps_cookies=keeps,
            browser=describe_browser(agent),
            age=browser_age(agent),
            # Behind a proxy we see its connection: it may say what it saw, and a Secure cookie only came over HTTPS.
            is_https=request.is_secure or request.headers.get("X-Forwarded-Proto") == "https" or (keeps and pages.rooms.config.uses_https),
            is_local=pages.rooms.config.is_loopback,
            zone=origin.zone,
            zone_kind=origin.zone_kind,
            address=origin.address,
            server_time=describe_instant(now, pages.speak(), pages.zone(place)),
            server_seconds=int(now.timestamp()),
        )

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


def browser_age(user_agent: str) -> str:
    """recent, old, or unknown, by what a browser says of itself."""
    for pattern, least in RECENT:
        found = pattern.search(user_agent)
        if found is not None:
            return "recent" if int(found[1][:6]) >= least else "old"
    return "unknown"


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
