"""Passkeys on our pages: what the browser is asked, and the account's page where one is added.

Owns which page a challenge is tied to. The answer comes back in the hidden field `credential` of a form, filled by static/passkey.js, so that every
refusal is a page of ours; without JavaScript the field is empty and the page says what else can be done. Decides nothing: idp/signin/passkeys.py
does.
"""

from flask import Blueprint, Response, request

from idp.audit import Reason
from idp.signin.ceremony import Tie
from idp.signin.enrolment import EnrolmentRefused
from idp.signin.interaction import Interaction
from idp.store.base import Session
from idp.web.account import signed_in
from idp.web.factors import HOME, factor_added, obstacle_page
from idp.web.http import Pages

FIELD = "credential"
ADDRESS = f"{HOME}/passkey"
# What was wrong with the passkey, as opposed to whether one may be added at all: the page is shown again.
OF_THE_ANSWER = frozenset(reason for reason in Reason if reason.startswith("passkey_")) - {Reason.PASSKEY_NOT_OFFERED}


def passkey_pages(pages: Pages) -> Blueprint:
    """The blueprint of the account's page."""
    blueprint = Blueprint("passkeys", __name__, url_prefix=ADDRESS)
    blueprint.get("")(signed_in(pages, _offer))
    blueprint.post("")(signed_in(pages, _add))
    return blueprint


def answered() -> str:
    """What passkey.js put into the form; empty without JavaScript."""
    return request.form.get(FIELD, "")


def tie_to_interaction(pages: Pages, interaction: Interaction) -> Tie:
    """A challenge of a sign-in page serves on that page, in that browser."""
    return Tie(pages.browser_secret(), f"interaction {interaction.id}")


def tie_to_session(pages: Pages, session: Session) -> Tie:
    """A challenge of an account page serves in that Session, in that browser."""
    return Tie(pages.browser_secret(), f"session {session.id}")


def ask_sign_in(pages: Pages, interaction: Interaction) -> str | None:
    """The options for whoever is in front of the sign-in page; None when passkeys are not offered there."""
    return pages.rooms.signin.passkeys.begin_sign_in(tie_to_interaction(pages, interaction))


def ask_second_factor(pages: Pages, interaction: Interaction, account_id: str) -> str | None:
    """The options for a person who is known; None when they have no passkey."""
    return pages.rooms.signin.passkeys.begin_assertion(account_id, tie_to_interaction(pages, interaction))


def _offer(pages: Pages, session: Session, *, error: str | None = None, label: str = "", status: int = 200) -> Response:
    signin = pages.rooms.signin
    seen = signin.own_factors.overview(session, pages.visitor())
    if seen.obstacle is not None:
        return obstacle_page(pages, seen.obstacle)
    try:
        options = signin.passkeys.begin_registration(
            signin.own_factors.asking(session, pages.visitor()), tie_to_session(pages, session), origin=pages.origin()
        )
    except EnrolmentRefused as refused:
        return obstacle_page(pages, Reason(refused.reason))
    return pages.render(
        "passkey.html",
        status=status,
        establishment=seen.active,
        action=ADDRESS,
        cancel_action=f"{HOME}/cancel",
        options=options,
        label=label,
        error=error,
        is_passwordless=signin.passkeys.is_passwordless,
    )


def _add(pages: Pages, session: Session) -> Response:
    signin, label = pages.rooms.signin, request.form.get("label", "")
    asking, tie = signin.own_factors.asking(session, pages.visitor()), tie_to_session(pages, session)
    try:
        _, proof = signin.passkeys.finish_registration(asking, answered(), tie, label=label, origin=pages.origin())
    except EnrolmentRefused as refused:
        if refused.reason in OF_THE_ANSWER:
            return _offer(pages, session, error=refused.reason, label=label[:80], status=422)
        return obstacle_page(pages, Reason(refused.reason))
    return factor_added(pages, signin.own_factors.note(session, proof))
