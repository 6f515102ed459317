"""/admin/people and /admin/sessions: finding a person by a name, a number, an address or a support code, and who is signed in now.

Owns the two lists; idp/desk/search.py says what an agent sees of them. One person's page is person.py's.
"""

from typing import Any

from flask import Response, request

from idp.desk.search import CodeLine, FoundPerson, OpenSession, Standing
from idp.web.admin.console import HOME, Call, Route
from idp.web.admin.paging import window
from idp.web.description import describe_day, describe_instant, describe_session
from policies.acts import Act

PEOPLE = f"{HOME}/people"
SESSIONS = f"{HOME}/sessions"
LONGEST_TYPED = 120


def _list(call: Call) -> Response:
    typed, part = request.args.get("q", "").strip()[:LONGEST_TYPED], window()
    found = call.pages.rooms.desk.search.find(call.agent, typed, skip=part.offset, count=part.limit)
    language = call.pages.speak()
    shown, pager = part.cut(found.people, q=typed)
    return call.render(
        "people.html",
        typed=typed,
        people=[_row(person, language) for person in shown],
        pager=pager,
        is_code=found.is_code,
        lines=[_line(call, line, language) for line in found.lines],
        may_add=call.agent.actor.places(Act.EDIT_ACCOUNT) != frozenset(),
        done=request.args.get("done") == "detached",
    )


def _row(person: FoundPerson, language: str) -> dict[str, Any]:
    account = person.account
    return {
        "id": account.id,
        "name": account.name,
        "status": account.status,
        "username": account.username or "",
        "email": account.email or "",
        "standings": [describe_standing(one, language) for one in person.standings],
        "elsewhere": person.elsewhere,
        "is_break_glass": account.is_break_glass,
        "is_demo": account.is_demo,
    }


def describe_standing(standing: Standing, language: str) -> dict[str, Any]:
    """An attachment as the pages show it; days are texts, "" for no bound."""
    one = standing.attachment
    return {
        "id": one.id,
        "establishment": standing.establishment.name,
        "slug": standing.establishment.slug,
        "profile": one.profile,
        "sector": one.sector or "",
        "first_day": describe_day(one.first_day, language) if one.first_day else "",
        "last_day": describe_day(one.last_day, language) if one.last_day else "",
        "is_valid": standing.is_valid,
        "source": "" if one.source == "operator" else one.source,
    }


def _line(call: Call, line: CodeLine, language: str) -> dict[str, Any]:
    active = call.pages.rooms.signin.own_account.overview(call.session).active
    reason = line.reason
    return {
        "at": describe_instant(line.at, language, call.pages.zone(active)),
        "account": {"id": line.account.id, "name": line.account.name} if line.account is not None else None,
        "code": str(reason) if reason else "",
        "said": (reason or line.type).description,
    }


def _sessions(call: Call) -> Response:
    part = window()
    slug = request.args.get("establishment", "")
    with call.pages.rooms.database.read() as tx:
        places = call.pages.rooms.desk.register.places(tx, call.agent, Act.FIND)
    chosen = next((place for place in places if place.slug == slug), None)
    found = call.pages.rooms.desk.search.sessions(call.agent, establishment=chosen, skip=part.offset, count=part.limit)
    shown, pager = part.cut(found, establishment=chosen.slug if chosen else "")
    return call.render(
        "sessions.html",
        sessions=[_open(call, one) for one in shown],
        pager=pager,
        places=[{"slug": place.slug, "name": place.name} for place in places],
        chosen=chosen.slug if chosen else "",
        may_end=call.agent.actor.places(Act.END_SESSIONS) != frozenset(),
        done=request.args.get("done") == "session_ended",
    )


def _open(call: Call, one: OpenSession) -> dict[str, Any]:
    language, zone = call.pages.speak(), call.pages.zone(one.establishment)
    return {
        **describe_session(one.session, language, zone),
        "account_id": one.account.id,
        "name": one.account.name,
        "establishment": one.establishment.name,
        "zone": one.session.zone,
        "zone_kind": one.session.zone_kind,
        "is_locked": one.session.is_locked,
        "is_own": one.account.id == call.session.account_id,
    }


ROUTES = (
    Route(rule="/people", act=Act.FIND, view=_list),
    Route(rule="/sessions", act=Act.FIND, view=_sessions),
)
