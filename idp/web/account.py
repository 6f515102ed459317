"""/account: who I am here, where, my open sessions, my password; and signing out.

Owns the pages; the acts are in idp/signin/own_account.py, presence.py and password_change.py. A visitor who is not signed in is taken through a
sign-in that belongs to no client and comes back here.
"""

from collections.abc import Callable
from functools import wraps

from flask import Blueprint, Response, request

from idp.errors import Refused
from idp.signin.own_account import Overview
from idp.signin.password_change import NewPassword, PasswordRefused
from idp.store.base import Session
from idp.web.description import describe_day, describe_session
from idp.web.http import Pages

NOTICES = frozenset({"password_changed", "session_ended", "others_ended", "establishment_changed"})
Handler = Callable[[Pages, Session], Response]


def account_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("account", __name__, url_prefix="/account")
    blueprint.get("")(_signed_in(pages, _show))
    blueprint.get("/password")(_signed_in(pages, _ask_password))
    blueprint.post("/password")(_signed_in(pages, _change_password))
    blueprint.post("/establishment")(_signed_in(pages, _change_establishment))
    blueprint.post("/cancel")(lambda: pages.see_other("/account"))
    blueprint.post("/sessions/end")(_signed_in(pages, _end_session))
    blueprint.post("/sessions/end-others")(_signed_in(pages, _end_others))

    @blueprint.post("/signout")
    def sign_out() -> Response:
        presence = pages.read_session()
        place = pages.last_used_establishment()
        if presence.session is not None:
            pages.sign_out(presence.session)
        reason = str(presence.ended) if presence.ended else None
        response = pages.render("signed_out.html", establishment=place, continue_url=None, client_name=None, reason=reason)
        pages.clear_session_cookie(response)
        return response

    return blueprint


def begin_sign_in(pages: Pages, return_to: str) -> Response:
    """To the sign-in pages, for nobody but ourselves; `return_to` is one of our own paths."""
    signin = pages.rooms.signin
    interaction = signin.keep(signin.open(None, pages.browser_secret(), return_to=return_to))
    return pages.see_other(f"/signin/{interaction.id}")


def _signed_in(pages: Pages, handler: Handler) -> Callable[[], Response]:
    @wraps(handler)
    def handle() -> Response:
        session = pages.read_session().session
        if session is None:
            return begin_sign_in(pages, "/account/password" if request.path == "/account/password" else "/account")
        try:
            return handler(pages, pages.rooms.signin.presences.touch(session))
        except Refused:
            # The account was cut between the cookie and the page: as if nobody were signed in.
            response = begin_sign_in(pages, "/account")
            pages.clear_session_cookie(response)
            return response

    return handle


def _show(pages: Pages, session: Session) -> Response:
    overview = pages.rooms.signin.own_account.overview(session)
    language, zone = pages.speak(), pages.zone(overview.active)
    notice = request.args.get("done")
    sessions = [{**describe_session(session, language, zone), "is_this": True}]
    sessions += [{**describe_session(other, language, zone), "is_this": False} for other in reversed(overview.others)]
    return pages.render(
        "account.html",
        establishment=overview.active,
        account=overview.account,
        attachments=_attachments(overview, language),
        active_establishment=overview.active.name if overview.active else "",
        sessions=sessions,
        has_password=overview.has_password,
        notice=notice if notice in NOTICES else None,
        seconds_left=pages.rooms.signin.presences.seconds_left(session),
        choices=[{"slug": place.slug, "name": place.name} for place in overview.choices],
    )


def _attachments(overview: Overview, language: str) -> list[dict[str, object]]:
    return [
        {
            "establishment_name": place.name,
            "profile": attachment.profile,
            "sector": attachment.sector,
            "last_day": describe_day(attachment.last_day, language) if attachment.last_day else None,
            "is_valid": attachment.id in overview.usable,
        }
        for attachment, place in overview.attachments
    ]


def _ask_password(pages: Pages, session: Session, *, problems: tuple[str, ...] = (), status: int = 200) -> Response:
    overview = pages.rooms.signin.own_account.overview(session)
    return pages.render(
        "change_password.html",
        status=status,
        establishment=overview.active,
        action="/account/password",
        cancel_action="/account/cancel",
        problems=list(problems),
        username=overview.account.username or overview.account.name,
        is_forced=False,
        asks_current=True,
    )


def _change_password(pages: Pages, session: Session) -> Response:
    form = request.form
    new = NewPassword(
        typed=form.get("new_password", ""), repeated=form.get("confirm_password", ""), current=form.get("current_password", "")
    )
    try:
        pages.rooms.signin.password_change.change(session.account_id, new, connector=session.connector, keep=session, origin=pages.origin())
    except PasswordRefused as refused:
        return _ask_password(pages, session, problems=refused.problems, status=429 if "throttled" in refused.problems else 422)
    return pages.see_other("/account?done=password_changed")


def _change_establishment(pages: Pages, session: Session) -> Response:
    chosen = pages.rooms.signin.own_account.choose_establishment(session, request.form.get("establishment", ""))
    pages.remember_establishment(chosen)
    return pages.see_other("/account?done=establishment_changed" if chosen else "/account")


def _end_session(pages: Pages, session: Session) -> Response:
    is_ended = pages.rooms.signin.own_account.end_other(session, request.form.get("session_id", ""), origin=pages.origin())
    return pages.see_other("/account?done=session_ended" if is_ended else "/account")


def _end_others(pages: Pages, session: Session) -> Response:
    pages.rooms.signin.own_account.end_others(session, pages.origin())
    return pages.see_other("/account?done=others_ended")
