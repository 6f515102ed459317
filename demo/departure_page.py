"""The page where a visitor makes somebody leave, and sees the certificate of it. What happens is demo/departure.py's. No JavaScript."""

from typing import Any

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from demo.departure import Departures, NotDone

RELOAD_SECONDS = 1
LONGEST_TYPED = 100


def departure_page(departures: Departures, public_url: str) -> Blueprint:
    """/depart."""
    pages = Blueprint("departure", __name__, url_prefix="/depart")

    @pages.get("")
    def show() -> Response:
        who = request.args.get("qui", "")[:LONGEST_TYPED]
        people = departures.people()
        somebody = next((one for one in people if one.username == who), None)
        document = departures.certificate(who) if somebody is not None and not somebody.is_in else None
        page = make_response(
            render_template("departure.html", people=people, somebody=somebody, cut=_shown(document), problem="refus" in request.args)
        )
        if document is not None and document["state"] == "waiting":
            page.headers["Refresh"] = str(RELOAD_SECONDS)
        return page

    @pages.post("")
    def act() -> AnyResponse:
        if request.headers.get("Origin", public_url) != public_url:
            abort(403)
        who = request.form.get("qui", "")[:LONGEST_TYPED]
        if who not in {one.username for one in departures.people()}:
            abort(404)
        try:
            (departures.reinstate if "retour" in request.form else departures.suspend)(who)
        except NotDone:
            return redirect(f"/depart?qui={who}&refus=1", 303)
        return redirect(f"/depart?qui={who}", 303)

    return pages


def _shown(document: dict[str, Any] | None) -> dict[str, Any] | None:
    if document is None:
        return None
    told = [(one["name"], one["milliseconds"], one["answer"]) for one in document["applications"]]
    return {
        "id": document["cut"],
        "state": g.t[f"departure_{document['state']}"],
        "sessions": document["ended"]["sessions"],
        "told": [(name, None if took is None else round(took), answer) for name, took, answer in told],
    }
