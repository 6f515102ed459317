"""/admin/charts: sign-ins by hour and zone, refusals by reason, times to restore, drawn as SVG with the same numbers in a table.

Owns what is drawn where; idp/desk/figures.py says the numbers, as far as the agent may read the trail.
"""

from datetime import timedelta
from typing import Any

from flask import Response

from idp.audit import Reason
from idp.desk.figures import STEPS, Charts
from idp.web.admin.console import Call, Route
from policies.acts import Act

# The drawing of the hours, in units of its viewBox.
WIDTH, HEIGHT, COLUMN, GAP = 720, 200, 30, 4


def _show(call: Call) -> Response:
    charts = call.pages.rooms.desk.figures.charts(call.agent, call.zone)
    return call.render(
        "charts.html",
        kinds=charts.kinds,
        hours=_hours(charts),
        sign_ins=sum(sum(hour.values()) for hour in charts.hours),
        reasons=_reasons(charts),
        restored=_restored(charts),
    )


def _hours(charts: Charts) -> list[dict[str, Any]]:
    """Each hour's column: what is stacked in it from the ground up, and the counts by kind in the order of the table."""
    most = max(sum(hour.values()) for hour in charts.hours) or 1
    drawn: list[dict[str, Any]] = []
    for number, hour in enumerate(charts.hours):
        top, boxes = float(HEIGHT), []
        for kind in charts.kinds:
            if count := hour.get(kind, 0):
                height = HEIGHT * count / most
                top = max(top - height, 0.0)
                boxes.append({"kind": kind, "x": number * COLUMN, "y": round(top, 2), "width": COLUMN - GAP, "height": round(height, 2)})
        drawn.append({"hour": number, "boxes": boxes, "counts": [hour.get(kind, 0) for kind in charts.kinds], "total": sum(hour.values())})
    return drawn


def _reasons(charts: Charts) -> list[dict[str, Any]]:
    """Each reason's bar, in hundredths of the longest; the last one, without a code, is all the others."""
    found = [(one.reason, one.times) for one in charts.reasons] + ([("", charts.others)] if charts.others else [])
    most = max((count for _code, count in found), default=1)
    return [
        {"code": code, "said": Reason(code).description if code else "", "count": count, "width": round(100 * count / most, 2)}
        for code, count in found
    ]


def _restored(charts: Charts) -> dict[str, Any]:
    most = max(charts.restored.counts) or 1
    return {
        "total": sum(charts.restored.counts),
        "median": _length(charts.restored.median),
        "slowest": _length(charts.restored.slowest),
        # The last column has no upper end.
        "steps": [
            {"below": _length(step), "count": count, "width": round(100 * count / most, 2)}
            for step, count in zip((*STEPS, None), charts.restored.counts, strict=True)
        ],
    }


def _length(lasted: timedelta | None) -> str:
    """A length of time, which is written alike in both languages; "" for none."""
    if lasted is None:
        return ""
    minutes, seconds = divmod(round(lasted.total_seconds()), 60)
    hours, rest = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest:02} min" if rest else f"{hours} h"
    return f"{minutes} min" if minutes and not seconds else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


ROUTES = (Route(rule="/charts", act=Act.READ_AUDIT, view=_show),)
