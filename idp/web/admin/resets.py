"""/admin/resets: the queue with its clock, one request with what was done and the one move that comes next, on a telephone too; asking for one.

Owns the pages; the moves are idp/desk/resets.py's, what is shown idp/desk/dossier.py's. Both halves are on no page together, and each on its page
once. A refusal comes back to the request and says what is missing; it is an Event all the same.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from flask import Response, request

from idp.audit import Reason
from idp.desk.dossier import Dossier, Row
from idp.desk.handover import Channel
from idp.desk.marks import Marks
from idp.desk.reset_facts import ResetRefused
from idp.messages.address import mask_email, mask_phone
from idp.signin.devices import read_secrets
from idp.store.base import Establishment
from idp.web.admin.console import Call, Route
from idp.web.admin.paging import window
from idp.web.description import describe_instant, describe_time
from policies.acts import Act
from policies.resets import Kind, Move

HOME = "/admin/resets"
KINDS = ("password", "factor", "both")
CHANNELS = ("email", "sms", "witness")
DONE = frozenset({"asked", "proven", "approved", "cancelled"})
MINUTE = timedelta(minutes=1)


def marks_of(call: Call) -> Marks:
    """What the agent's browser shows: it never redeems what it has helped with."""
    pages = call.pages
    secrets = read_secrets(request.cookies.get(pages.device_cookie))
    return Marks.of(pages.browser_secret(), secrets, pages.rooms.keyring, account_ids=(call.session.account_id,))


def _queue(call: Call) -> Response:
    is_open = request.args.get("show") != "ended"
    asked = window()
    dossiers = call.pages.rooms.desk.dossiers
    rows, pager = asked.cut(
        dossiers.queue(call.agent, is_open=is_open, limit=asked.limit, offset=asked.offset), show="" if is_open else "ended"
    )
    waiting, usual = dossiers.waiting(call.agent)
    return call.render(
        "resets.html",
        rows=[_line(call, row) for row in rows],
        pager=pager,
        is_open=is_open,
        waiting=waiting,
        usual_minutes=None if usual is None else max(1, round(usual / 60)),
    )


def _show(call: Call) -> Response:
    return _dossier(call)


def _dossier(call: Call, *, problem: str = "", typed: dict[str, str] | None = None, status: int = 200) -> Response:
    found = call.pages.rooms.desk.dossiers.one(call.agent, call.values["reset_id"])
    reset, language = found.row.reset, call.pages.speak()
    done = request.args.get("done", "")
    return call.render(
        "reset.html",
        status=status,
        dossier=found,
        reset=reset,
        row=_line(call, found.row),
        moves=[_move(call, found, index) for index in range(len(found.moves))],
        may={str(one) for one in found.may},
        whys=[str(one) for one in found.whys],
        channels=_channels(found),
        phone=(found.row.account.phone_number if Move.PROVE in found.may else "") or "",
        phone_hint=mask_phone(found.row.account.phone_number) if found.row.account.phone_number else "",
        until=_until(call, found, language),
        problem=problem,
        typed=typed or {},
        done=done if done in DONE else "",
        untold=call.pages.rooms.desk.resets.untold(found.row.account, found.row.place.id),
    )


def _channels(found: Dossier) -> list[dict[str, Any]]:
    account = found.row.account
    hints = {
        "email": mask_email(account.email) if account.email else "",
        "sms": mask_phone(account.phone_number) if account.phone_number else "",
        "witness": "",
    }
    return [
        {"name": name, "hint": hints[name], "problem": str(problem) if (problem := found.channels[cast(Channel, name)]) else ""}
        for name in CHANNELS
        if name in found.channels
    ]


def _until(call: Call, found: Dossier, language: str) -> dict[str, str]:
    zone, reset = call.pages.zone(found.row.place), found.row.reset
    return {
        name: describe_instant(at, language, zone) if at is not None else ""
        for name, at in (("spoken", reset.spoken_until), ("sent", reset.sent_until), ("all", reset.expires_at))
    }


def _line(call: Call, row: Row) -> dict[str, Any]:
    reset = row.reset
    return {
        "id": reset.id,
        "account_id": row.account.id,
        "name": row.account.name,
        "place": row.place.name,
        "kind": reset.kind,
        "state": reset.state,
        "is_own": reset.is_own,
        "is_late": row.is_late,
        "minutes": int(row.waited / MINUTE),
        "needs_second": reset.needs_second,
        "asked": describe_instant(reset.asked_at, call.pages.speak(), call.pages.zone(row.place)),
    }


def _move(call: Call, found: Dossier, index: int) -> dict[str, Any]:
    one = found.moves[index]
    return {
        "name": one.name,
        "at": describe_time(one.at, call.pages.speak(), call.pages.zone(found.row.place)),
        "actor": one.actor,
        "how": str(one.details.get("how") or ""),
        "note": str(one.details.get("note") or one.details.get("why") or ""),
    }


# Asking


def _ask_form(call: Call, *, problem: str = "", typed: dict[str, str] | None = None, status: int = 200) -> Response:
    kind = request.args.get("kind", "")
    found = typed or {"kind": kind if kind in KINDS else "password", "why": "", "establishment": ""}
    places = _places(call)
    untold = call.pages.rooms.desk.resets.untold(call.person, places[0].id) if places else ""
    choices = [(one.slug, one.name) for one in places]
    return call.render("reset_ask.html", status=status, person=call.person, choices=choices, typed=found, problem=problem, untold=untold)


def _places(call: Call) -> list[Establishment]:
    """Where the person works and the agent resets."""
    return call.pages.rooms.desk.dossiers.places(call.agent, call.person)


def _ask(call: Call) -> Response:
    typed = {name: request.form.get(name, "") for name in ("kind", "why", "establishment")}
    places = _places(call)
    place = next((one for one in places if one.slug == typed["establishment"]), places[0] if len(places) == 1 else None)
    if typed["kind"] not in KINDS or place is None:
        return _ask_form(call, problem="choose", typed=typed, status=422)
    try:
        reset = call.pages.rooms.desk.resets.ask(
            call.agent, call.person, kind=cast(Kind, typed["kind"]), establishment=place, why=typed["why"], browser=marks_of(call)
        )
    except ResetRefused as refused:
        return _ask_form(call, problem=str(refused.code), typed=typed, status=422)
    return call.see_other(f"{HOME}/{reset.id}?done=asked")


# The moves


def _do(call: Call, act: Callable[[str], Response]) -> Response:
    """Make a move; what is missing is said on the request itself, with nothing lost of what was typed."""
    try:
        return act(call.values["reset_id"])
    except ResetRefused as refused:
        if refused.code is Reason.RESET_UNKNOWN:
            return call.see_other(HOME)
        is_unchosen = refused.code is Reason.RESET_CHANNEL_MISSING and request.form.get("channel") not in CHANNELS
        return _dossier(call, problem="choose" if is_unchosen else str(refused.code), typed=dict(request.form), status=409)


def _back(call: Call, done: str) -> Response:
    return call.see_other(f"{HOME}/{call.values['reset_id']}?done={done}")


def _prove(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        how, note = request.form.get("how", ""), request.form.get("note", "")
        call.pages.rooms.desk.resets.prove(call.agent, reset_id, how=how, note=note, browser=marks_of(call))
        return _back(call, "proven")

    return _do(call, act)


def _approve(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        call.pages.rooms.desk.resets.approve(call.agent, reset_id, browser=marks_of(call))
        return _back(call, "approved")

    return _do(call, act)


def _approve_by_pass(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        call.pages.rooms.desk.resets.approve_by_pass(call.agent, reset_id, request.form.get("pass", ""), browser=marks_of(call))
        return _back(call, "approved")

    return _do(call, act)


def _carry_out(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        # What is no channel at all is judged like one that leads nowhere: after who may ask.
        channel = request.form.get("channel", "")
        handed = call.pages.rooms.desk.resets.carry_out(call.agent, reset_id, channel=cast(Channel, channel), browser=marks_of(call))
        return _shown(call, handed.spoken, until=handed.spoken_until, channel=handed.sent_channel, hint=handed.sent_hint)

    return _do(call, act)


def _speak_again(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        code, until = call.pages.rooms.desk.resets.speak_again(call.agent, reset_id, browser=marks_of(call))
        return _shown(call, code, until=until, channel="", hint="")

    return _do(call, act)


def _witness(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        half = call.pages.rooms.desk.resets.witness(call.agent, reset_id, browser=marks_of(call))
        return _shown(call, half.code, until=half.until, channel="", hint="", is_witness=True)

    return _do(call, act)


def _shown(call: Call, code: str, *, until: Any, channel: str, hint: str, is_witness: bool = False) -> Response:
    row = call.pages.rooms.desk.dossiers.one(call.agent, call.values["reset_id"]).row
    zone = call.pages.zone(row.place)
    return call.render(
        "reset_shown.html",
        code=code,
        spelled=" ".join(code),
        until=describe_time(until, call.pages.speak(), zone),
        channel=channel,
        hint=hint,
        is_witness=is_witness,
        row=_line(call, row),
    )


def _cancel(call: Call) -> Response:
    def act(reset_id: str) -> Response:
        call.pages.rooms.desk.resets.cancel(call.agent, reset_id, why=request.form.get("why", ""))
        return _back(call, "cancelled")

    return _do(call, act)


def _move_routes(name: str, act: Act, view: Callable[[Call], Response], *, is_dangerous: bool) -> tuple[Route, ...]:
    rule = f"/resets/<reset_id>/{name}"
    # The GET is where somebody comes back to after proving again that they are there.
    return (
        Route(rule=rule, act=act, view=_show, is_dangerous=is_dangerous),
        Route(rule=rule, act=act, view=view, method="POST", is_dangerous=is_dangerous),
    )


ROUTES = (
    Route(rule="/resets", act=Act.SEE_CONSOLE, view=_queue),
    Route(rule="/resets/<reset_id>", act=Act.SEE_CONSOLE, view=_show),
    Route(rule="/people/<account_id>/reset", act=Act.RESET_PASSWORD, view=_ask_form, is_dangerous=True),
    Route(rule="/people/<account_id>/reset", act=Act.RESET_PASSWORD, view=_ask, method="POST", is_dangerous=True),
    *_move_routes("prove", Act.RESET_PASSWORD, _prove, is_dangerous=True),
    *_move_routes("approve", Act.APPROVE, _approve, is_dangerous=True),
    *_move_routes("pass", Act.RESET_PASSWORD, _approve_by_pass, is_dangerous=True),
    *_move_routes("carry-out", Act.RESET_PASSWORD, _carry_out, is_dangerous=True),
    *_move_routes("speak", Act.RESET_PASSWORD, _speak_again, is_dangerous=True),
    *_move_routes("witness", Act.SEE_CONSOLE, _witness, is_dangerous=True),
    *_move_routes("cancel", Act.RESET_PASSWORD, _cancel, is_dangerous=True),
)
