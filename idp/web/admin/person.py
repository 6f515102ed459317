"""/admin/people/<account_id>: one person: where they are stuck and the one act that helps, what they have, where they are signed in; unlocking.

Owns the page and the words of what an act came to; the acts on their access are person_acts.py's, on who they are person_register.py's, requests
resets.py's. Calls idp/desk/{card,diagnosis,unlock}.py.
"""

from collections.abc import Callable
from typing import Any

from flask import Response, request

from idp.audit import Reason
from idp.desk.access import is_on_telephone
from idp.desk.authority import ActRefused
from idp.desk.card import Card
from idp.desk.finding import Finding
from idp.store.base import Account, Establishment
from idp.web.admin.console import Call, Route
from idp.web.admin.people import PEOPLE, describe_standing
from idp.web.description import describe_device, describe_instant, describe_session
from policies.acts import Act

DONE = frozenset(
    {
        "unlocked",
        "was_open",
        "session_ended",
        "sessions_ended",
        "suspended",
        "reinstated",
        "lost",
        "lost_last",
        "attached",
        "changed",
        "detached",
        "created",
    }
)
# What may be told of why an act was not done; of anything else the console's own page of refusal says nothing.
TOLD = frozenset(
    {
        Reason.ACT_DONE_ALREADY,
        Reason.ACT_OF_SOURCE,
        Reason.ACT_NEEDS_RESET,
        Reason.ACT_WITHOUT_WHY,
        Reason.ACT_ON_PROTECTED,
        Reason.ACCOUNT_NOT_ACTIVE,
        Reason.DIRECTORY_DISABLED,
        Reason.DIRECTORY_EXPIRED,
        Reason.DIRECTORY_GONE,
        Reason.DIRECTORY_OUT_OF_SCOPE,
        Reason.DIRECTORY_UNREACHABLE,
        Reason.DIRECTORY_MISBEHAVED,
        Reason.DIRECTORY_NOT_DELEGATED,
    }
)


def address(account: Account) -> str:
    """The page of a person."""
    return f"{PEOPLE}/{account.id}"


def show(call: Call, *, problem: str = "", source: str = "", status: int = 200) -> Response:
    """The page of the person that the address names; `problem` is why what was asked was not done, at the directory `source` ("" for here)."""
    desk = call.pages.rooms.desk
    card = desk.cards.of(call.agent, call.person)
    place = _place(card)
    findings = desk.diagnosis.of(card.account, place, places=call.agent.actor.places(Act.FIND))
    language, zone = call.pages.speak(), call.pages.zone(place)
    done = request.args.get("done", "")
    return call.render(
        "person.html",
        status=status,
        card=card,
        person=card.account,
        may={str(act): act not in card.refused for act in Act},
        why_not=_why_not(card),
        findings=[_finding(call, one, place) for one in findings],
        standings=[describe_standing(one, language) for one in card.standings],
        sessions=[
            {**describe_session(one, language, call.pages.zone(at)), "establishment": at.name if at else "", "is_locked": one.is_locked}
            for one, at in card.sessions
        ],
        devices=[describe_device(one, language, zone, call.pages.rooms.clock.now()) for one in card.devices],
        factors=[
            {
                "id": one.id,
                "kind": one.kind,
                "label": one.label,
                "hint": one.hint,
                "created": describe_instant(one.created_at, language, zone),
                "last_used": describe_instant(one.last_used_at, language, zone) if one.last_used_at else "",
                "is_on_telephone": is_on_telephone(one),
            }
            for one in card.factors
        ],
        resets=[
            {"id": one.id, "kind": one.kind, "state": one.state, "at": describe_instant(one.asked_at, language, zone)}
            for one in card.resets
        ],
        last_sign_in=describe_instant(card.last_sign_in, language, zone) if card.last_sign_in else "",
        numbers=[value for kind, value, _ in card.identifiers if kind == "number"],
        done=done if done in DONE else "",
        problem=problem,
        source=source,
    )


def told(call: Call, do: Callable[[], Response]) -> Response:
    """Do something to the person; where it may not be done and that may be told, their page says why. The refusal is an Event all the same."""
    try:
        return do()
    except ActRefused as refused:
        if refused.code not in TOLD:
            raise
        rooms = call.pages.rooms
        rooms.desk.authority.record(refused, call.agent.author)
        return show(call, problem=str(refused.code), source=getattr(refused, "connector", None) or "", status=409)


def _place(card: Card) -> Establishment | None:
    """The establishment at which the person is looked at: the one they used last, or where they are attached now."""
    seen = [one.establishment for one in card.standings if one.is_valid] or [one.establishment for one in card.standings]
    return next((place for place in seen if place.id == card.account.last_establishment_id), seen[0] if seen else None)


def _why_not(card: Card) -> str:
    """Why nothing at all is open on this person, where it may be told; "" when something is."""
    reasons = {card.refused.get(act) for act in (Act.UNLOCK, Act.END_SESSIONS, Act.SUSPEND)}
    told_of = [one for one in (Reason.ACT_ON_ONESELF, Reason.ACT_UPWARDS, Reason.ACT_ON_BREAK_GLASS) if one in reasons]
    return str(told_of[0]) if told_of else ""


def _finding(call: Call, finding: Finding, place: Establishment | None) -> dict[str, Any]:
    language, zone = call.pages.speak(), call.pages.zone(place)
    return {
        "obstacle": str(finding.obstacle),
        "act": str(finding.act) if finding.act else "",
        "is_blocking": finding.is_blocking,
        "source": finding.source or "",
        "source_kind": finding.source_kind,
        "since": describe_instant(finding.since, language, zone) if finding.since else "",
        "until": describe_instant(finding.until, language, zone) if finding.until else "",
        "kinds": finding.kinds,
        "reason": str(finding.reason) if finding.reason else "",
        "said": finding.reason.description if finding.reason else "",
        "support_code": finding.support_code,
        "address": finding.address,
    }


def _ask_unlock(call: Call) -> Response:
    """Where somebody comes back to after proving again that they are there."""
    return call.render("unlock.html", person=call.person, back=address(call.person))


def _unlock(call: Call) -> Response:
    def do() -> Response:
        unlocked = call.pages.rooms.desk.unlock.unlock(call.agent, call.person)
        refused = next((one for one in unlocked.directories if one.outcome == "refused"), None)
        if refused is not None:
            return show(call, problem=str(refused.reason or Reason.DIRECTORY_MISBEHAVED), source=refused.connector, status=409)
        return call.see_other(f"{address(call.person)}?done={'unlocked' if unlocked.is_anything else 'was_open'}")

    return told(call, do)


ROUTES = (
    Route(rule="/people/<account_id>", act=Act.FIND, view=show),
    Route(rule="/people/<account_id>/unlock", act=Act.UNLOCK, view=_ask_unlock, is_dangerous=True),
    Route(rule="/people/<account_id>/unlock", act=Act.UNLOCK, view=_unlock, method="POST", is_dangerous=True),
)
