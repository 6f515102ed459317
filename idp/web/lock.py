"""/lock and /change-person: stepping away for a moment, and handing the computer over to the next person.

Owns the two pages, and what the sign-in page says of a locked Session; the acts are in idp/signin/presence.py and, where a sign-in is in progress, in
signin.py. /lock may be bookmarked: it asks before it does anything, and looking at it is no activity. Nobody need prove anything to lock or to leave.
"""

from dataclasses import dataclass

from flask import Blueprint, Response

from idp.signin.step import Step
from idp.store.base import Session
from idp.web.account import begin_sign_in
from idp.web.description import describe_time
from idp.web.http import Pages


@dataclass(frozen=True, slots=True)
class Locked:
    """Whose Session waits to be unlocked: their name, since when (a text), and the identifier to check the password under ("": to be typed)."""

    name: str
    since: str
    identifier: str


def lock_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("lock", __name__)

    @blueprint.get("/lock")
    def ask() -> Response:
        session = pages.read_session().session
        if session is None or session.is_locked:
            return begin_sign_in(pages, "/account")
        return pages.render("lock.html", establishment=pages.last_used_establishment())

    @blueprint.post("/lock")
    def lock() -> Response:
        session = pages.read_session().session
        if session is not None:
            pages.lock(session)
        return begin_sign_in(pages, "/account")

    @blueprint.post("/change-person")
    def change_person() -> Response:
        pages.change_person(pages.read_session().session)
        return begin_sign_in(pages, "/account")

    return blueprint


def locked_page(pages: Pages, session: Session | None, step: Step) -> Locked | None:
    """What the sign-in page shows in place of an empty form; None when no Session is locked here."""
    if session is None or session.locked_at is None or step.account is None or step.account.id != session.account_id:
        return None
    zone = pages.zone(pages.last_used_establishment())
    account = step.account
    return Locked(account.name, describe_time(session.locked_at, pages.speak(), zone), account.username or account.email or "")
