"""/account/history: the person's own sign-ins, and "this was not me".

Owns the pages; what is read and what is ended are idp/signin/own_history.py's. One button does it, and needs no second thought: it only closes.
"""

from datetime import UTC, datetime

from flask import Blueprint, Response, request

from idp.store.base import Session
from idp.web.account import signed_in
from idp.web.description import describe_browser, describe_instant
from idp.web.http import Pages

PATH = "/account/history"


def history_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("history", __name__, url_prefix=PATH)
    blueprint.get("")(signed_in(pages, _show))
    blueprint.post("/not-me")(signed_in(pages, _disown))
    return blueprint


def _show(pages: Pages, session: Session) -> Response:
    overview = pages.rooms.signin.own_account.overview(session)
    language, zone = pages.speak(), pages.zone(overview.active)
    found = pages.rooms.signin.own_history.page(session, _instant(request.args.get("before", "")))
    return pages.render(
        "history.html",
        establishment=overview.active,
        lines=[
            {
                "id": line.id,
                "at": describe_instant(line.at, language, zone),
                "browser": describe_browser(line.user_agent),
                "address": line.address,
                "zone": line.zone,
                "zone_kind": line.zone_kind,
                "reason": line.reason,
                "is_here": line.is_here,
            }
            for line in found.lines
        ],
        older=found.older_than.isoformat() if found.older_than else None,
    )


def _disown(pages: Pages, session: Session) -> Response:
    typed = request.form.get("line", "")
    active = pages.rooms.signin.own_account.overview(session).active
    done = None
    if typed.isascii() and typed.isdecimal() and len(typed) < 19:
        done = pages.rooms.signin.own_history.disown(session, int(typed), origin=pages.origin())
    if done is None:
        return pages.see_other(PATH)
    response = pages.render("disowned.html", establishment=active, must_change=done.must_change)
    pages.clear_session_cookie(response)
    return response


def _instant(text: str) -> datetime | None:
    """What the link to older lines holds; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None
