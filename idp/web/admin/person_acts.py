"""/admin/people/<account_id>/...: what is done to a person's access: ending sessions, suspending, a one-time pass, a lost telephone.

Owns the forms; idp/desk/access.py does it. Each form says why, and comes back with what was typed when that is missing.
"""

from collections.abc import Mapping
from typing import cast

from flask import Response, request

from idp.desk.access import Proof, is_on_telephone, tidy
from idp.desk.card import Card
from idp.store.base import Pass
from idp.web.admin.changes import Proposal, compare, is_editing, review, words
from idp.web.admin.console import Call, Route
from idp.web.admin.people import SESSIONS
from idp.web.admin.person import address, told
from idp.web.description import describe_instant
from policies.acts import Act

PROOFS = frozenset({"call_back", "in_person", "manager"})


def _go_back(call: Call) -> Response:
    """Where somebody comes back to after proving again that they are there: they press again."""
    return call.see_other(address(call.person))


def _end_sessions(call: Call) -> Response:
    session_id = request.form.get("session_id", "")

    def do() -> Response:
        access = call.pages.rooms.desk.access
        if not session_id:
            access.end_sessions(call.agent, call.person)
            return call.see_other(f"{address(call.person)}?done=sessions_ended")
        access.end_session(call.agent, call.person, session_id)
        back = SESSIONS if request.form.get("back") == "sessions" else address(call.person)
        return call.see_other(f"{back}?done=session_ended")

    return told(call, do)


def _ask_suspend(call: Call) -> Response:
    return _standing_form(call, {})


def _suspend(call: Call) -> Response:
    typed = {"why": request.form.get("why", "")}
    if is_editing() or not tidy(typed["why"]):
        return _standing_form(call, typed, problems={} if is_editing() else {"why": words(call)("Say why.")})
    _ = words(call)
    is_active = _card(call).account.is_active
    states = (_("Active"), _("Suspended"))
    page = review(
        call,
        Proposal(
            title=_("Suspend this person") if is_active else _("Reinstate this person"),
            differences=compare((_("Account"), *(states if is_active else states[::-1]))),
            button=_("Suspend now") if is_active else _("Reinstate"),
            back=address(call.person),
            warning=_("Everything that is open to them is closed at once, in every application.") if is_active else "",
        ),
    )
    if page is not None:
        return page

    def do() -> Response:
        access = call.pages.rooms.desk.access
        if is_active:
            access.suspend(call.agent, call.person, why=typed["why"])
        else:
            access.reinstate(call.agent, call.person, why=typed["why"])
        return call.see_other(f"{address(call.person)}?done={'suspended' if is_active else 'reinstated'}")

    return told(call, do)


def _standing_form(call: Call, typed: Mapping[str, str], *, problems: Mapping[str, str] | None = None) -> Response:
    account = _card(call).account
    return call.render(
        "person_suspend.html",
        status=422 if problems else 200,
        person=account,
        untold=call.pages.rooms.signin.sent_codes.messenger.untold(account),
        back=address(call.person),
        typed=typed,
        problems=problems or {},
        problems_language=call.pages.speak(),
    )


def _ask_pass(call: Call) -> Response:
    return _pass_form(call, {})


def _issue_pass(call: Call) -> Response:
    typed = {name: request.form.get(name, "") for name in ("proof", "why")}
    _ = words(call)
    problems: dict[str, str] = {}
    if typed["proof"] not in PROOFS:
        problems["proof"] = _("Say how you made sure that it is them.")
    if not tidy(typed["why"]):
        problems["why"] = _("Say why.")
    if problems:
        return _pass_form(call, typed, problems=problems)

    def do() -> Response:
        code, made = call.pages.rooms.desk.access.issue_pass(call.agent, call.person, proof=cast(Proof, typed["proof"]), why=typed["why"])
        return _show_pass(call, code, made)

    return told(call, do)


def _show_pass(call: Call, code: str, made: Pass) -> Response:
    active = call.pages.rooms.signin.own_account.overview(call.session).active
    return call.render(
        "person_pass_made.html",
        person=call.person,
        code=code,
        purpose=made.purpose,
        until=describe_instant(made.expires_at, call.pages.speak(), call.pages.zone(active)),
        back=address(call.person),
    )


def _pass_form(call: Call, typed: Mapping[str, str], *, problems: Mapping[str, str] | None = None) -> Response:
    card = _card(call)
    return call.render(
        "person_pass.html",
        status=422 if problems else 200,
        person=card.account,
        is_equipped=card.has_strong,
        needs_reset=card.pass_needs_request,
        back=address(call.person),
        typed=typed,
        problems=problems or {},
        problems_language=call.pages.speak(),
    )


def _ask_lost(call: Call) -> Response:
    card = _card(call)
    chosen = frozenset(one.id for one in card.factors if is_on_telephone(one))
    return _lost_form(call, card, chosen, why="", takes_number=True)


def _lose(call: Call) -> Response:
    card, why = _card(call), request.form.get("why", "")
    may_take = Act.RESET_FACTOR not in card.refused
    chosen = frozenset(one.id for one in card.factors if one.id in request.form.getlist("factor")) if may_take else frozenset()
    takes_number = bool(request.form.get("number"))
    if is_editing() or not tidy(why):
        return _lost_form(
            call, card, chosen, why=why, takes_number=takes_number, problems={} if is_editing() else {"why": words(call)("Say why.")}
        )
    _ = words(call)
    rows = [
        (_("Open sessions"), str(len(card.sessions)) if card.sessions else "", ""),
        (_("Known browsers"), str(len(card.devices)) if card.devices else "", ""),
        *((_("Second factor"), one.label or one.kind, "") for one in card.factors if one.id in chosen),
        *(((_("Telephone number"), _("Relied on"), _("Not relied on")),) if takes_number and card.account.phone_number else ()),
        # Even of somebody who has nothing open it is done, and recorded.
        (_("Access from the lost device"), _("Possible"), _("Blocked")),
    ]
    page = review(
        call,
        Proposal(
            title=_("A lost telephone or tablet"),
            differences=compare(*rows),
            button=_("Block it now"),
            back=address(call.person),
            warning=_("Everything that is open to them is closed at once, in every application."),
        ),
    )
    if page is not None:
        return page

    def do() -> Response:
        lost = call.pages.rooms.desk.access.lose(call.agent, call.person, factor_ids=chosen, why=why, takes_number=takes_number)
        return call.see_other(f"{address(call.person)}?done={'lost_last' if lost.is_last else 'lost'}")

    return told(call, do)


def _lost_form(
    call: Call, card: Card, chosen: frozenset[str], *, why: str, takes_number: bool, problems: Mapping[str, str] | None = None
) -> Response:
    return call.render(
        "person_lost.html",
        status=422 if problems else 200,
        person=card.account,
        factors=[
            {"id": one.id, "kind": one.kind, "label": one.label, "hint": one.hint, "is_chosen": one.id in chosen} for one in card.factors
        ],
        may_take=Act.RESET_FACTOR not in card.refused,
        has_number=card.account.phone_number is not None,
        takes_number=takes_number,
        sessions=len(card.sessions),
        devices=len(card.devices),
        back=address(call.person),
        typed={"why": why},
        problems=problems or {},
        problems_language=call.pages.speak(),
    )


def _card(call: Call) -> Card:
    return call.pages.rooms.desk.cards.of(call.agent, call.person)


ROUTES = (
    Route(rule="/people/<account_id>/sessions/end", act=Act.END_SESSIONS, view=_go_back, is_dangerous=True),
    Route(rule="/people/<account_id>/sessions/end", act=Act.END_SESSIONS, view=_end_sessions, method="POST", is_dangerous=True),
    Route(rule="/people/<account_id>/suspend", act=Act.SUSPEND, view=_ask_suspend, is_dangerous=True),
    Route(rule="/people/<account_id>/suspend", act=Act.SUSPEND, view=_suspend, method="POST", is_dangerous=True),
    Route(rule="/people/<account_id>/pass", act=Act.ISSUE_PASS, view=_ask_pass, is_dangerous=True),
    Route(rule="/people/<account_id>/pass", act=Act.ISSUE_PASS, view=_issue_pass, method="POST", is_dangerous=True),
    Route(rule="/people/<account_id>/lost", act=Act.END_SESSIONS, view=_ask_lost, is_dangerous=True),
    Route(rule="/people/<account_id>/lost", act=Act.END_SESSIONS, view=_lose, method="POST", is_dangerous=True),
)
