"""/forgotten: asking for a reset oneself, where the establishment's mode allows it; and /stop: the code of our notices that stops one.

Owns the pages. Whoever asks is told one thing, and at once: who is meant is only looked for when the answer has been sent (idp/desk/forgotten.py).
"""

import math
from datetime import timedelta

from flask import Blueprint, Response, request

from idp.desk.forgotten import Asked
from idp.desk.handover import make_half
from idp.web.http import Pages

KINDS = ("password", "factor", "both")
LONGEST_TYPED = 200


def forgotten_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("forgotten", __name__)
    blueprint.get("/forgotten", endpoint="get_forgotten")(lambda: _show(pages))
    blueprint.post("/forgotten", endpoint="post_forgotten")(lambda: _ask(pages))
    blueprint.get("/stop", endpoint="get_stop")(lambda: _stop_page(pages))
    blueprint.post("/stop", endpoint="post_stop")(lambda: _stop(pages))
    return blueprint


def _show(
    pages: Pages, *, number: str | None = None, error: str | None = None, status: int = 200, wait: timedelta = timedelta(0)
) -> Response:
    place, form, forgotten = pages.last_used_establishment(), request.form, pages.rooms.desk.forgotten
    response = pages.render(
        "forgotten.html",
        status=status,
        establishment=place,
        # A form that was sent says where by what was typed, not by the browser.
        is_open=forgotten.is_open_anywhere() if request.method == "POST" else forgotten.is_open(place),
        is_sent=number is not None,
        number=number if number is not None and forgotten.shows_number(form.get("establishment", "")[:LONGEST_TYPED]) else None,
        minutes=forgotten.usual_minutes(place),
        profiles=pages.rooms.config.profiles,
        typed={
            "name": form.get("name", "")[:LONGEST_TYPED],
            "establishment": form.get("establishment", place.name if place else "")[:LONGEST_TYPED],
            "profile": form.get("profile", ""),
            "kind": form["kind"] if form.get("kind") in KINDS else "password",
        },
        error=error,
        wait_minutes=math.ceil(wait.total_seconds() / 60),
    )
    if wait:
        response.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    return response


def _ask(pages: Pages) -> Response:
    form, forgotten, origin = request.form, pages.rooms.desk.forgotten, pages.origin()
    if not forgotten.is_open_anywhere():
        return _show(pages, status=403)
    if not all(form.get(name, "").strip() for name in ("name", "establishment", "profile")) or form.get("kind") not in KINDS:
        return _show(pages, error="missing", status=422)
    if wait := forgotten.admit(origin):
        return _show(pages, error="throttled", status=429, wait=wait)
    asked = Asked(
        name=form["name"][:LONGEST_TYPED],
        establishment=form["establishment"][:LONGEST_TYPED],
        profile=form["profile"][:LONGEST_TYPED],
        kind="factor" if form["kind"] == "factor" else "both" if form["kind"] == "both" else "password",
        spoken=make_half(pages.rooms.clock),
    )
    response = _show(pages, number=asked.spoken)
    # After the last byte: how long it takes to find somebody says nothing to whoever waits.
    response.call_on_close(lambda: forgotten.ask(asked, origin))
    return response


def _stop_page(
    pages: Pages, *, error: str | None = None, is_stopped: bool = False, status: int = 200, wait: timedelta = timedelta(0)
) -> Response:
    response = pages.render(
        "stop.html",
        status=status,
        establishment=pages.last_used_establishment(),
        error=error,
        is_stopped=is_stopped,
        wait_minutes=math.ceil(wait.total_seconds() / 60),
    )
    if wait:
        response.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    return response


def _stop(pages: Pages) -> Response:
    origin = pages.origin()
    if wait := pages.rooms.desk.forgotten.admit_stop(origin):
        return _stop_page(pages, error="throttled", status=429, wait=wait)
    if not pages.rooms.desk.resets.stop(request.form.get("stop", ""), origin):
        return _stop_page(pages, error="wrong", status=403)
    return _stop_page(pages, is_stopped=True)
