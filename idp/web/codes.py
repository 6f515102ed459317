"""Telephones and mailboxes that receive codes: adding one, on the account's page and, the same forms, inside a sign-in (second_step.py).

Owns what the one form action does: take a number, take the code, send another, take another number. The acts are idp/signin/code_offer.py's. Nothing
is sent by a page that is only looked at.
"""

from dataclasses import dataclass
from typing import cast

from flask import Blueprint, Response, request

from idp.audit import Reason
from idp.messages.texts import Language
from idp.signin.enrolment import Asking, EnrolmentRefused
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.interaction import Interaction
from idp.signin.one_time_codes import KINDS, Kind
from idp.store.base import Account, Session
from idp.web.account import Handler, signed_in
from idp.web.factors import HOME, factor_added, obstacle_page
from idp.web.http import Pages

LONGEST_NUMBER = 254


@dataclass(frozen=True, slots=True)
class CodeForms:
    """What _codes.html shows: the form for a number (`hint` empty), or the form for the code that went to `hint`."""

    hint: str
    is_open: bool
    number: str
    label: str


def code_pages(pages: Pages) -> Blueprint:
    """The blueprint of the account's pages."""
    blueprint = Blueprint("codes", __name__, url_prefix=HOME)
    for kind in KINDS:
        blueprint.get(f"/{kind}", endpoint=f"{kind}_offer")(signed_in(pages, _offering(kind)))
        blueprint.post(f"/{kind}", endpoint=f"{kind}_add")(signed_in(pages, _adding(kind)))
    return blueprint


def is_kind(kind: str | None) -> bool:
    """Whether factors of a kind are proven by a code that is sent."""
    return kind in KINDS


def code_forms(pages: Pages, account: Account, kind: str) -> CodeForms:
    """What the page of a kind shows now."""
    offers, known = pages.rooms.signin.sent_codes.offers, cast(Kind, kind)
    pending = offers.pending(account.id, known)
    typed = request.form.get("number", "")[:LONGEST_NUMBER]
    return CodeForms(
        hint=pending.hint if pending else "",
        is_open=pending is not None and pending.sent is not None,
        number=typed or offers.proposal(account, known) or "",
        label=request.form.get("label", "")[:80],
    )


def carry_out(pages: Pages, asking: Asking, kind: str, interaction: Interaction | None = None) -> FactorProof | None:
    """Do what the form says; the proof once a code was right, None when the page goes on. Raises FactorRefused, EnrolmentRefused."""
    offers, known, form = pages.rooms.signin.sent_codes.offers, cast(Kind, kind), request.form
    origin = pages.origin()
    language: Language = "en" if pages.speak(interaction) == "en" else "fr"
    if "drop" in form:
        offers.drop(asking.account_id, known)
    elif "resend" in form:
        offers.resend(asking, known, origin=origin, language=language)
    elif "code" in form:
        return offers.enrol(asking, known, form["code"], label=form.get("label", ""), origin=origin)[1]
    elif "number" in form:
        offers.begin(asking, known, form["number"], origin=origin, language=language)
    return None


def _offering(kind: Kind) -> Handler:
    def offer(pages: Pages, session: Session) -> Response:
        seen = pages.rooms.signin.own_factors.overview(session, pages.visitor())
        if seen.obstacle is not None:
            return obstacle_page(pages, seen.obstacle)
        return _page(pages, session, kind)

    return offer


def _adding(kind: Kind) -> Handler:
    def add(pages: Pages, session: Session) -> Response:
        own = pages.rooms.signin.own_factors
        try:
            proof = carry_out(pages, own.asking(session, pages.visitor()), kind)
        except EnrolmentRefused as refused:
            return obstacle_page(pages, Reason(refused.reason))
        except FactorRefused as refused:
            return _page(pages, session, kind, refused=refused)
        if proof is None:
            return pages.see_other(f"{HOME}/{kind}")
        return factor_added(pages, own.note(session, proof))

    return add


def _page(pages: Pages, session: Session, kind: Kind, *, refused: FactorRefused | None = None) -> Response:
    seen = pages.rooms.signin.own_factors.overview(session, pages.visitor())
    is_stopped = refused is not None and refused.reason in {Reason.THROTTLED, Reason.FACTOR_BLOCKED, Reason.CODE_TOO_SOON}
    return pages.render(
        "add_code.html",
        status=429 if is_stopped else 422 if refused else 200,
        establishment=seen.active,
        kind=kind,
        action=f"{HOME}/{kind}",
        codes=code_forms(pages, seen.account, kind),
        error=refused.reason if refused else None,
        tries_left=refused.tries_left if refused else None,
        wait_minutes=refused.wait_minutes if refused else 0,
    )
