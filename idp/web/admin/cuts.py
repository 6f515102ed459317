"""/admin/cuts: access that was taken from people, the certificate of each to read, print and take away, and the canary's times beside them.

Owns how it is shown; idp/desk/cut_reading.py says what an agent sees and records what is taken away, idp/lifecycle/certificate.py what it says.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from flask import Response, request

from idp.audit import Reason
from idp.desk.cut_reading import CutLine
from idp.lifecycle.certificate import Certificate
from idp.store.base import CanaryRun, Cut
from idp.web.admin.console import Call, Route
from idp.web.admin.paging import window
from idp.web.description import describe_instant, describe_moment
from policies.acts import Act

# The drawing of the canary's runs, in units of its viewBox.
WIDTH, HEIGHT, GAP = 720, 160, 2
STAGES = ("heard", "decided", "delivered")


def _list(call: Call) -> Response:
    part = window()
    person = request.args.get("person", "")[:36]
    reading = call.pages.rooms.desk.cut_reading
    found = reading.find(call.agent, account_id=person or None, skip=part.offset, count=part.limit)
    shown, pager = part.cut(found, person=person)
    return call.render(
        "cuts.html",
        cuts=[_line(call, one) for one in shown],
        pager=pager,
        is_one_person=bool(person),
        canaries=[_canary(call, name, runs) for name, runs in reading.canaries(call.agent).items()],
    )


def _line(call: Call, one: CutLine) -> dict[str, Any]:
    return {
        **_cut(one.cut),
        "at": describe_instant(one.cut.decided_at, call.pages.speak(), call.zone),
        "person": one.person,
        "establishment": one.establishment,
        "told": one.answers.told,
        "acknowledged": one.answers.acknowledged,
        "given_up": one.answers.given_up,
    }


def _cut(cut: Cut) -> dict[str, Any]:
    return {
        "id": cut.id,
        "account_id": cut.account_id,
        "kind": cut.kind,
        "cause": cut.cause,
        "said": Reason(cut.cause).description if cut.cause in set(Reason) else "",
        "directory": cut.connector or "",
        "subject": cut.subject or "",
        "actor": cut.actor,
        "sessions": cut.sessions,
        "grants": cut.grants,
        "code": f"{cut.request_id[:5]}-{cut.request_id[5:]}",
    }


def _show(call: Call) -> Response:
    certificate = call.pages.rooms.desk.cut_reading.certificate(call.agent, call.values["cut_id"])
    return call.render("cut.html", cut=_certificate(call, certificate))


def _certificate(call: Call, certificate: Certificate) -> dict[str, Any]:
    cut = certificate.cut
    language, zone = call.pages.speak(), call.zone

    def at(instant: datetime | None) -> str:
        return describe_moment(instant, language, zone) if instant is not None else ""

    return {
        **_cut(cut),
        "person": certificate.person,
        "establishment": certificate.establishment,
        "state": certificate.state,
        "gaps": certificate.gaps,
        "issued": at(certificate.issued_at),
        "written": at(cut.written_at),
        "heard": at(cut.heard_at),
        "decided": at(cut.decided_at),
        "held": at(certificate.held_at),
        "author": certificate.author,
        "zone": str(zone),
        "to_hear": _later(certificate.to_hear),
        "to_decide": _later(certificate.to_decide),
        "told": at(cut.decided_at + certificate.to_tell) if certificate.to_tell is not None else "",
        "to_tell": _later(certificate.to_tell),
        "receipts": [
            {
                "application": one.application,
                "channel": one.channel,
                "state": one.state,
                "at": at(one.ended_at),
                "took": _later(one.took),
                "attempts": one.attempts,
                "words": one.words,
            }
            for one in certificate.receipts
        ],
        "untold": [one.application for one in certificate.untold],
    }


def _take(call: Call) -> Response:
    document = call.pages.rooms.desk.cut_reading.document(call.agent, call.values["cut_id"])
    answer = Response(json.dumps(document, ensure_ascii=False, indent=2), content_type="application/json; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="cut-{document["cut"]}.json"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _canary(call: Call, name: str, runs: Sequence[CanaryRun]) -> dict[str, Any]:
    """A directory's runs: each a column of its stages from the ground up; a broken one stands as high as the drawing."""
    lasted = [one.delivered_at - one.written_at for one in runs if one.written_at and one.delivered_at]
    most = max(lasted, default=timedelta(seconds=1)) or timedelta(microseconds=1)
    wide = WIDTH / max(len(runs), 1)
    last = runs[-1] if runs else None
    return {
        "name": name,
        "runs": [_run(call, one, number * wide, wide=wide, most=most) for number, one in enumerate(runs)],
        "is_broken": last is not None and bool(last.trouble),
        "trouble": last.trouble if last is not None else "",
        "median": _length(sorted(lasted)[len(lasted) // 2]) if lasted else "",
        "slowest": _length(max(lasted)) if lasted else "",
    }


def _run(call: Call, run: CanaryRun, left: float, *, wide: float, most: timedelta) -> dict[str, Any]:
    ends = (run.written_at, run.heard_at, run.decided_at, run.delivered_at)
    stages: list[timedelta | None] = [last - first if first and last else None for first, last in pairwise(ends)]
    top, boxes = float(HEIGHT), []
    if run.trouble:
        boxes.append({"stage": "broken", "y": 0, "height": HEIGHT})
    else:
        for stage, lasted in zip(STAGES, stages, strict=True):
            height = HEIGHT * max(lasted or timedelta(0), timedelta(0)) / most
            top = max(top - height, 0.0)
            boxes.append({"stage": stage, "y": round(top, 2), "height": round(height, 2)})
    total = run.delivered_at - run.written_at if run.written_at and run.delivered_at else None
    return {
        "x": round(left, 2),
        "width": round(max(wide - GAP, 1), 2),
        "boxes": boxes,
        "at": describe_instant(run.began_at, call.pages.speak(), call.zone),
        "stages": [_length(one) for one in stages],
        "total": _length(total),
        "trouble": run.trouble,
    }


def _later(lasted: timedelta | None) -> str:
    """How long after what came before; less than nothing where a directory's clock is ahead of ours. "" for none."""
    if lasted is None:
        return ""
    return f"+ {_length(lasted)}" if lasted >= timedelta(0) else f"− {_length(-lasted)}"


def _length(lasted: timedelta | None) -> str:
    """A length of time, to the millisecond below a second; written alike in both languages. "" for none."""
    if lasted is None:
        return ""
    seconds = lasted.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


ROUTES = (
    Route(rule="/cuts", act=Act.READ_AUDIT, view=_list),
    Route(rule="/cuts/<cut_id>", act=Act.READ_AUDIT, view=_show),
    Route(rule="/cuts/<cut_id>", act=Act.READ_AUDIT, view=_take, method="POST", is_dangerous=True),
)
