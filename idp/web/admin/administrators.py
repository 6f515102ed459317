"""/admin/administrators: who administers what; roles given and taken away.

Owns the pages; what is done is idp/desk/administrators.py's, which asks again in the transaction that does it.
"""

from typing import Any

from flask import Response, request

from idp.desk.administrators import Given
from idp.desk.wrong_input import WrongInput
from idp.people.roles import ROLES as ALL_ROLES
from idp.store.base import Account, Establishment
from idp.web.admin.changes import Difference, Proposal, is_editing, review, words
from idp.web.admin.console import HOME, Call, Route
from idp.web.admin.paging import window
from idp.web.admin.places import problems_of
from idp.web.description import describe_instant
from policies.acts import Act

ADMINISTRATORS = f"{HOME}/administrators"
FIELDS = ("who", "role", "establishment")
DONE = frozenset({"given", "taken"})
UNTOLD = frozenset({"no_mail", "no_address"})


def _list(call: Call) -> Response:
    typed, part = request.args.get("q", "").strip()[:80], window()
    found = call.pages.rooms.desk.administrators.page(call.agent, named=typed, offset=part.offset, limit=part.limit)
    shown, pager = part.cut(found, q=typed)
    done, untold = request.args.get("done", ""), request.args.get("untold", "")
    return call.render(
        "administrators.html",
        given=[_row(call, one) for one in shown],
        pager=pager,
        q=typed,
        done=done if done in DONE else None,
        untold=untold if untold in UNTOLD else "",
    )


def _row(call: Call, one: Given) -> dict[str, Any]:
    return {
        "account": one.account,
        "role": one.role,
        "role_name": role_name(call, one.role.role),
        "place": one.place,
        "has_factor": one.has_factor,
        "since": describe_instant(one.role.created_at, call.pages.speak(), call.zone),
        "given_by": _author_name(call, one.role.given_by),
        "is_self": one.account.id == call.session.account_id,
    }


def _author_name(call: Call, actor: str) -> str:
    kind, _, name = actor.partition(":")
    if kind != "account":
        return name or actor
    with call.pages.rooms.database.read() as tx:
        account = tx.people.get(name)
    return account.name if account is not None else actor


def _ask_give(call: Call) -> Response:
    return _form(call, {"who": request.args.get("who", "")[:254]})


def _give(call: Call) -> Response:
    room, typed = call.pages.rooms.desk.administrators, {name: request.form.get(name, "")[:254] for name in FIELDS}
    if is_editing():
        return _form(call, typed)
    _ = words(call)
    try:
        wanted = room.read(call.agent, who=typed["who"], role=typed["role"], where=typed["establishment"])
        page = review(
            call,
            Proposal(
                title=_("Give a role"),
                differences=(_difference(call, wanted.account.name, "", _role_said(call, wanted.role, wanted.place)),),
                button=_("Give this role"),
                back=ADMINISTRATORS,
                warning=_warning(call, wanted.role),
            ),
        )
        if page is not None:
            return page
        room.give(call.agent, wanted)
    except WrongInput as wrong:
        return _form(call, typed, problems=problems_of(wrong))
    return _done(call, "given", wanted.account)


def _take(call: Call) -> Response:
    """The question (GET) and the act (POST with confirm)."""
    room, _ = call.pages.rooms.desk.administrators, words(call)
    given = room.held(call.person, call.values["role_id"])
    page = review(
        call,
        Proposal(
            title=_("Take a role away"),
            differences=(_difference(call, given.account.name, _role_said(call, given.role.role, given.place), ""),),
            button=_("Take this role away"),
            back=ADMINISTRATORS,
            can_edit=False,
        ),
    )
    if page is not None:
        return page
    room.take(call.agent, call.person, given.role.id)
    return _done(call, "taken", call.person)


def _done(call: Call, done: str, account: Account) -> Response:
    """Back to the list, which says what was done, and why the person was not told where they were not."""
    untold = call.pages.rooms.signin.sent_codes.messenger.untold(account)
    return call.see_other(f"{ADMINISTRATORS}?done={done}{f'&untold={untold}' if untold else ''}")


def _difference(call: Call, name: str, before: str, after: str) -> Difference:
    _ = words(call)
    return Difference(name=_("Role of %(name)s") % {"name": name}, before=before, after=after)


def _role_said(call: Call, role: str, place: Establishment | None) -> str:
    _ = words(call)
    return f"{role_name(call, role)} · {place.name if place is not None else _('The whole group')}"


def role_name(call: Call, role: str) -> str:
    """A role in the reader's language."""
    _ = words(call)
    return {
        "group_administrator": _("Group administrator"),
        "it_contact": _("IT contact"),
        "helpdesk_agent": _("Helpdesk agent"),
        "director": _("Director"),
        "auditor": _("Auditor or DPO"),
        "on_call_approver": _("On-call approver"),
    }.get(role, role)


def role_meaning(call: Call, role: str) -> str:
    """What a role is for, in the reader's language."""
    _ = words(call)
    return {
        "group_administrator": _("May do everything, everywhere."),
        "it_contact": _("Of one establishment: helps people, keeps accounts, places and rules, approves requests."),
        "helpdesk_agent": _("Unlocks, resets and hands over passes; changes no account."),
        "director": _("Of one establishment: suspends, approves and reads the trail."),
        "auditor": _("Reads the audit trail and changes nothing."),
        "on_call_approver": _("Of the whole group: is the second person of requests, at night for instance."),
    }.get(role, "")


def _warning(call: Call, role: str) -> str:
    _ = words(call)
    if role == "group_administrator":
        return _("They will be able to do everything, everywhere, to everybody but themselves.")
    return _("From then on they are always asked a second factor.")


def _form(call: Call, typed: dict[str, str], *, problems: dict[str, str] | None = None) -> Response:
    with call.pages.rooms.database.read() as tx:
        places = [(place.slug, place.name) for place in tx.establishments.all()]
    all_roles = [(role, role_name(call, role), role_meaning(call, role)) for role in ALL_ROLES]
    return call.render(
        "give_role.html", status=422 if problems else 200, typed=typed, problems=problems or {}, all_roles=all_roles, places=places
    )


_ACT = Act.MANAGE_ADMINISTRATORS
_TAKE = "/administrators/<account_id>/take/<role_id>"
ROUTES = (
    Route(rule="/administrators", act=_ACT, view=_list),
    Route(rule="/administrators/give", act=_ACT, view=_ask_give, is_dangerous=True),
    Route(rule="/administrators/give", method="POST", act=_ACT, view=_give, is_dangerous=True),
    Route(rule=_TAKE, act=_ACT, view=_take, is_dangerous=True),
    Route(rule=_TAKE, method="POST", act=_ACT, view=_take, is_dangerous=True),
)
