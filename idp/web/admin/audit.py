"""/admin/audit and /admin/factors: the audit trail by person, time, zone, reason and type, who has no second factor, and both to take away.

Owns what is typed and how it is shown; idp/desk/trail_reading.py says what an agent sees and keeps the record of each export.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

from flask import Response, request

from idp.audit import Described, EventType, Reason
from idp.desk.trail_reading import MOST_LINES, TooManyLines, TrailLine
from idp.store.events import EventFilter
from idp.web.admin.changes import words
from idp.web.admin.console import Call, Route
from idp.web.admin.paging import window
from idp.web.description import describe_instant
from policies.acts import Act

FIELDS = ("code", "person", "since", "until", "zone", "reason", "type")
SUPPORT_CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{10}")
MISREAD = str.maketrans("OIL", "011")
LONGEST_TYPED = 120
USUAL_DAYS = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, what is wrong with it by field, and the lines it means."""

    typed: Mapping[str, str]
    wanted: EventFilter
    problems: Mapping[str, str] = field(default_factory=dict)


def _read(call: Call, given: Mapping[str, str]) -> Asked:
    typed = {name: given.get(name, "").strip()[:LONGEST_TYPED] for name in FIELDS}
    _ = words(call)
    now = call.pages.rooms.clock.now().astimezone(call.zone)
    if not typed["since"] and not typed["until"] and not typed["code"]:
        typed["since"] = (now.date() - timedelta(days=USUAL_DAYS)).isoformat()
    problems: dict[str, str] = {}
    since, until = (_day(call, typed[name], name, problems) for name in ("since", "until"))
    account_id = None
    if typed["person"]:
        found = call.pages.rooms.desk.trail_reading.people(call.agent, typed["person"])
        if len(found) == 1:
            account_id = found[0].id
        else:
            problems["person"] = _("Several people are found: type more of the name.") if found else _("Nobody of yours is found by this.")
    code = re.sub(r"[\s-]", "", typed["code"]).upper().translate(MISREAD)
    if code and not SUPPORT_CODE.fullmatch(code):
        problems["code"] = _("This is no support code: ten letters and digits, for instance 4K7QZ-M2X9B.")
    if typed["reason"] and typed["reason"] not in set(Reason):
        problems["reason"] = _("There is no such reason.")
    wanted = EventFilter(
        since=since,
        until=until + timedelta(days=1) if until is not None else None,
        type_prefix=typed["type"] or None,
        account_id=account_id,
        request_id=code or None,
        reason=typed["reason"] or None,
        zone_prefix=typed["zone"] or None,
    )
    return Asked(typed, wanted, problems)


def _day(call: Call, text: str, name: str, problems: dict[str, str]) -> datetime | None:
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  # a day has no zone: the establishment's is given below
        if not 2000 <= day.year <= 2200:
            raise ValueError(text)
    except ValueError:
        _ = words(call)
        problems[name] = _("This is no day: write it as 2026-12-31.")
        return None
    return datetime.combine(day, time(), tzinfo=call.zone)


def _search(call: Call) -> Response:
    return _page(call, _read(call, request.args))


def _page(call: Call, asked: Asked, *, status: int = 200) -> Response:
    part = window()
    desk = call.pages.rooms.desk
    found = () if asked.problems else desk.trail_reading.find(call.agent, asked.wanted, skip=part.offset, count=part.limit)
    shown, pager = part.cut(found, **asked.typed)
    return call.render(
        "audit.html",
        status=422 if asked.problems and status == 200 else status,
        typed=asked.typed,
        problems=asked.problems,
        problems_language=call.pages.speak(),
        lines=[_line(call, line) for line in shown],
        pager=pager,
        types=_choices(call, EventType),
        reasons=_choices(call, Reason),
    )


def _choices(call: Call, codes: Iterable[Described]) -> list[tuple[str, str]]:
    """Each code and what it means, for a list to choose from."""
    _ = words(call)
    return [("", _("Everything")), *((str(code), _(code.description)) for code in codes)]


def _line(call: Call, found: TrailLine) -> dict[str, Any]:
    line = found.line
    kind, reason = EventType(line["type"]), Reason(line["reason"]) if line["reason"] else None
    _ = words(call)
    return {
        "at": describe_instant(datetime.fromisoformat(line["at"]), call.pages.speak(), call.zone),
        "type": str(kind),
        "event": _(kind.description),
        "reason": str(reason or ""),
        "why": _(reason.description) if reason else "",
        "person": {"id": found.account.id, "name": found.account.name} if found.account is not None else None,
        "establishment": found.establishment,
        "zone": line["zone"],
        "address": line["address"],
        "amr": " ".join(line["amr"]),
        "code": f"{line['request_id'][:5]}-{line['request_id'][5:]}",
    }


def _export(call: Call) -> Response:
    asked = _read(call, request.form)
    form = request.form.get("format", "csv")
    if asked.problems or form not in ("csv", "jsonl"):
        return _page(call, asked, status=422)
    # Not what was typed for a person, which may be anything, a password too: whom it found.
    filters = {name: value for name, value in asked.typed.items() if value and name != "person"}
    if asked.wanted.account_id:
        filters["person"] = asked.wanted.account_id
    try:
        text = call.pages.rooms.desk.trail_reading.export(call.agent, asked.wanted, "csv" if form == "csv" else "jsonl", filters=filters)
    except TooManyLines:
        _ = words(call)
        said = _("More than %(count)d lines: choose fewer days.") % {"count": MOST_LINES}
        return _page(call, Asked(asked.typed, asked.wanted, {"until": said}), status=422)
    return _file(text, f"audit.{form}", "text/csv" if form == "csv" else "application/jsonl")


def _file(text: str, name: str, kind: str) -> Response:
    answer = Response(text, content_type=f"{kind}; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _factors(call: Call) -> Response:
    part = window()
    found = call.pages.rooms.desk.trail_reading.without_factor(call.agent)
    shown, pager = part.cut(found[part.offset : part.offset + part.limit])
    language = call.pages.speak()
    people = [
        {
            "id": one.person.account.id,
            "name": one.person.account.name,
            "establishment": one.establishment,
            "profile": one.person.profile,
            "last": describe_instant(one.person.last_sign_in, language, call.zone) if one.person.last_sign_in else "",
            "outside": one.person.sign_ins_outside,
            "grace_ends": describe_instant(one.grace_ends_at, language, call.zone) if one.grace_ends_at else "",
        }
        for one in shown
    ]
    count = len({one.person.account.id for one in found})
    return call.render("factors.html", people=people, count=count, pager=pager)


def _export_factors(call: Call) -> Response:
    return _file(call.pages.rooms.desk.trail_reading.export_without_factor(call.agent), "without-factor.csv", "text/csv")


ROUTES = (
    Route(rule="/audit", act=Act.READ_AUDIT, view=_search),
    Route(rule="/audit", act=Act.READ_AUDIT, view=_export, method="POST", is_dangerous=True),
    Route(rule="/factors", act=Act.FIND, view=_factors),
    Route(rule="/factors", act=Act.FIND, view=_export_factors, method="POST", is_dangerous=True),
)
