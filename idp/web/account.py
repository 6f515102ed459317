"""/account: who I am here, where, my open sessions, my password; and signing out (lock.py: locking, changing the person).

Owns the pages; the acts are in idp/signin/own_account.py, presence.py and password_change.py. A visitor who is not signed in is taken through a
sign-in that belongs to no client and comes back here.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from urllib.parse import quote

from flask import Blueprint, Response, request

from idp.errors import Refused
from idp.signin.gate import proofs_of
from idp.signin.own_account import Overview
from idp.signin.password_change import NewPassword, PasswordRefused
from idp.signin.step import StepKind
from idp.store.base import Establishment, Session
from idp.web.chooser import choose_among, read_search
from idp.web.description import describe_day, describe_device, describe_session, describe_time
from idp.web.http import Pages

NOTICES = frozenset({"password_changed", "session_ended", "others_ended", "establishment_changed", "device_ended"})
PASSWORD_TOLD_BEFORE = timedelta(days=14)
# What a query may be written with (RFC 3986 3.4); "%" because it is quoted already.
QUERY_SAFE = "%=&+;,:@/?!$'()*~"
LONGEST_QUERY = 2_000  # characters: it is kept with the Interaction, for strangers too
Handler = Callable[[Pages, Session], Response]


def account_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("account", __name__, url_prefix="/account")
    blueprint.get("")(signed_in(pages, _show))
    blueprint.get("/password")(signed_in(pages, _ask_password))
    blueprint.post("/password")(signed_in(pages, _change_password))
    blueprint.post("/establishment")(signed_in(pages, _change_establishment))
    blueprint.post("/cancel")(lambda: pages.see_other("/account"))
    blueprint.post("/sessions/end")(signed_in(pages, _end_session))
    blueprint.post("/sessions/end-others")(signed_in(pages, _end_others))
    blueprint.post("/devices/end")(signed_in(pages, _end_device))

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


def begin_sign_in(pages: Pages, return_to: str, *, step_up: str | None = None, at: Establishment | None = None) -> Response:
    """To the sign-in pages, for nobody but ourselves; `return_to` is one of our own paths.

    `step_up`: what is asked although somebody is signed in: "sign_in", the first proof again, or "second_factor". `at`: the establishment by whose
    address they came, which is opened if they work there.
    """
    signin = pages.rooms.signin
    opened = signin.open(None, pages.browser_secret(), return_to=return_to, step_up=step_up)
    interaction = signin.keep(replace(opened, came_to=at.slug) if at is not None else opened)
    return pages.see_other(f"/signin/{interaction.id}")


def way_back() -> str:
    """The address asked for, with its query: a path of ours and nothing else, for a route led here. Of a form, the page it was on."""
    query = quote(request.query_string.decode("latin-1"), safe=QUERY_SAFE)
    return quote(request.path) + (f"?{query}" if query and len(query) <= LONGEST_QUERY else "")


def signed_in(pages: Pages, handler: Handler) -> Callable[[], Response]:
    """A view for who is signed in; anybody else is asked to sign in and comes back to the page they asked for."""

    @wraps(handler)
    def handle() -> Response:
        session = pages.read_session().session
        back = way_back() if request.method == "GET" or request.path == "/account/password" else "/account"
        if session is None:
            return begin_sign_in(pages, back, at=pages.rooms.signin.establishment(request.args.get("establishment", "")))
        if session.is_locked:
            return begin_sign_in(pages, back)
        signin, presences = pages.rooms.signin, pages.rooms.signin.presences
        # Where the browser is now: a Session of the LAN taken home opens no more here than at an application.
        if signin.answer(signin.open(None, ""), session, pages.visitor()).kind is not StepKind.FINISH:
            return begin_sign_in(pages, back)
        if not session.is_shared and pages.is_shared_use():
            session = presences.mark_shared(session)
        try:
            return handler(pages, presences.touch(session))
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
    seconds_left = pages.rooms.signin.presences.seconds_left(session)
    sessions = [{**describe_session(session, language, zone), "is_this": True}]
    sessions += [{**describe_session(other, language, zone), "is_this": False} for other in reversed(overview.others)]
    return pages.render(
        "account.html",
        establishment=overview.active,
        account=overview.account,
        attachments=_attachments(overview, language),
        active_establishment=overview.active.name if overview.active else "",
        here={"zone": session.zone, "zone_kind": session.zone_kind, "methods": [proof.method for proof in proofs_of(session)]},
        sessions=sessions,
        devices=[
            {**describe_device(device, language, zone, pages.rooms.clock.now()), "is_this": device.id == session.device_id}
            for device in pages.rooms.signin.own_devices.of(session)
        ],
        has_password=overview.has_password,
        password_until=_password_until(pages, overview, language),
        notice=notice if notice in NOTICES else None,
        seconds_left=seconds_left,
        ends_at=describe_time(pages.rooms.clock.now() + timedelta(seconds=seconds_left), language, zone),
        is_shared=session.is_shared,
        chooser=choose_among((place for place in overview.choices if place != overview.active), read_search()),
    )


def _password_until(pages: Pages, overview: Overview, language: str) -> str | None:
    """The day from which the password must be changed, told in the weeks before; None otherwise."""
    max_age, set_at = pages.rooms.config.passwords.max_age, overview.password_set_at
    if max_age is None or set_at is None or pages.rooms.clock.now() < set_at + max_age - PASSWORD_TOLD_BEFORE:
        return None
    return describe_day((set_at + max_age).astimezone(pages.zone(overview.active)).date(), language)


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
        is_old=False,
        asks_current=True,
        is_shared=session.is_shared,
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
    signin, slug = pages.rooms.signin, request.form.get("establishment", "")
    chosen = next((place for place in signin.own_account.overview(session).choices if place.slug == slug), None)
    if chosen is None:
        return pages.see_other("/account")
    there = replace(signin.open(None, pages.browser_secret()), establishment_id=chosen.id, sign_outs=pages.sign_outs())
    if signin.answer(there, session, pages.visitor()).kind is not StepKind.FINISH:
        # Over there more is asked of who comes from here. Nothing has changed yet: who cannot give it stays where they are.
        return pages.see_other(f"/signin/{signin.keep(there).id}")
    signin.own_account.choose_establishment(session, chosen)
    pages.remember_establishment(chosen)
    return pages.see_other("/account?done=establishment_changed")


def _end_session(pages: Pages, session: Session) -> Response:
    is_ended = pages.rooms.signin.own_account.end_other(session, request.form.get("session_id", ""), origin=pages.origin())
    return pages.see_other("/account?done=session_ended" if is_ended else "/account")


def _end_others(pages: Pages, session: Session) -> Response:
    pages.rooms.signin.own_account.end_others(session, pages.origin())
    return pages.see_other("/account?done=others_ended")


def _end_device(pages: Pages, session: Session) -> Response:
    is_ended = pages.rooms.signin.own_devices.end(session, request.form.get("device_id", ""), origin=pages.origin())
    return pages.see_other("/account?done=device_ended" if is_ended else "/account")
