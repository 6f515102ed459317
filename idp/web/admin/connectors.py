"""/admin/connectors: directories, providers and realms: are they well, what ends soon; trying one; and a reading that waits for a human.

Owns the pages; what is done is idp/desk/sources.py's. Settings of a connector are the configuration file's and are not changed here.
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from flask import Response, request

from connectors.base import CheckStep
from idp.desk.sources import READ, CheckRunning, Held, Source
from idp.lifecycle.runs import SyncRefused
from idp.store.base import SyncRun
from idp.web.admin.changes import Proposal, compare, review, words
from idp.web.admin.console import HOME, Call, Route
from idp.web.description import describe_day, describe_instant
from policies.acts import Act

CONNECTORS = f"{HOME}/connectors"
DONE = frozenset({"confirmed", "dismissed", "failed"})


def _list(call: Call) -> Response:
    return call.render("connectors.html", sources=[_source(call, one) for one in call.pages.rooms.desk.sources.all()])


def _show(call: Call) -> Response:
    return _page(call)


def _try(call: Call) -> Response:
    try:
        steps = call.pages.rooms.desk.sources.check(call.agent, call.values["name"])
    except CheckRunning:
        return _page(call, is_busy=True)
    return _page(call, steps=steps)


def _page(call: Call, *, steps: tuple[CheckStep, ...] | None = None, is_busy: bool = False) -> Response:
    sources, name = call.pages.rooms.desk.sources, call.values["name"]
    source = sources.get(name)
    done = request.args.get("done", "")
    zone = call.pages.zone(call.establishment)
    return call.render(
        "connector.html",
        status=409 if is_busy else 200,
        source=_source(call, source),
        runs=[_run(call, run, zone) for run in sources.runs(name)] if source.kind in READ else [],
        reading=_held(call, sources.held(name), zone) if source.kind in READ else None,
        steps=None if steps is None else [{"title": one.title, "outcome": one.outcome, "explanation": one.explanation} for one in steps],
        is_busy=is_busy,
        may_manage=_may_manage(call),
        done=done if done in DONE else None,
    )


def _confirm(call: Call) -> Response:
    return _judge(call, "confirmed")


def _dismiss(call: Call) -> Response:
    return _judge(call, "dismissed")


def _judge(call: Call, verdict: str) -> Response:
    """The question (GET) and the act (POST with confirm) on the reading that the address names; one that waits no more is said to be over."""
    sources, name, run_id = call.pages.rooms.desk.sources, call.values["name"], call.values["run_id"]
    sources.get(name)
    back = f"{CONNECTORS}/{name}"
    held = sources.held(name)
    if held is None or held.run.id != run_id:
        return call.see_other(back)
    page = review(call, _proposal(call, held, verdict, back))
    if page is not None:
        return page
    try:
        report = (sources.confirm if verdict == "confirmed" else sources.dismiss)(call.agent, name, run_id)
    except SyncRefused:
        return call.see_other(back)
    return call.see_other(f"{back}?done={report.state if report.state in DONE else verdict}")


def _proposal(call: Call, held: Held, verdict: str, back: str) -> Proposal:
    _ = words(call)
    names = [name for _link, name in held.people]
    said = f"{', '.join(names)}{' …' if held.count > len(names) else ''} ({held.count})"
    if verdict == "confirmed":
        return Proposal(
            title=_("They really left"),
            differences=compare((_("Access of these people"), said, _("ends, if the directory still says so when it is asked again now"))),
            button=_("End their access"),
            back=back,
            warning=_("Their sessions end, and applications are told."),
            can_edit=False,
        )
    return Proposal(
        title=_("The directory was wrong"),
        differences=compare((_("Waiting"), said, _("nobody: what the directory says of each counts again"))),
        button=_("Let go of them"),
        back=back,
        warning=_("Repair the directory or its settings first: the next reading judges them anew."),
        can_edit=False,
    )


def _may_manage(call: Call) -> bool:
    return call.agent.actor.places(Act.MANAGE_SOURCES) is None


def _source(call: Call, source: Source) -> dict[str, object]:
    language, zone = call.pages.speak(), call.pages.zone(call.establishment)
    return {
        "name": source.name,
        "kind": source.kind,
        "type": source.type,
        "label": source.label,
        "where": source.where,
        "ends": describe_day(source.ends_at.astimezone(zone).date(), language) if source.ends_at else "",
        "ends_soon": source.ends_soon(call.pages.rooms.clock.now()),
        "last": _run(call, source.last, zone) if source.last else None,
        "is_held": source.held is not None,
    }


def _run(call: Call, run: SyncRun, zone: ZoneInfo) -> dict[str, object]:
    return {
        "id": run.id,
        "state": run.state,
        "at": describe_instant(run.ended_at or run.started_at, call.pages.speak(), zone),
        "counts": {name: count for name, count in run.counts.items() if count},
        "detail": run.detail if _may_manage(call) else "",
    }


def _held(call: Call, held: Held | None, zone: ZoneInfo) -> dict[str, object] | None:
    if held is None:
        return None
    language = call.pages.speak()
    names = [name for _link, name in held.people] if _may_manage(call) else []
    until = [link.held_until for link, _name in held.people if link.held_until is not None]
    return {
        "id": held.run.id,
        "at": describe_instant(held.run.started_at, language, zone),
        # Who they are is for those who decide it: others may not reach all of them.
        "people": names,
        "left_out": held.count - len(names) if names else 0,
        "count": held.count,
        "until": describe_instant(min(until), language, zone) if until else "",
    }


def _both(rule: str, view: Callable[[Call], Response]) -> tuple[Route, Route]:
    return (
        Route(rule=rule, act=Act.MANAGE_SOURCES, view=view, is_dangerous=True),
        Route(rule=rule, method="POST", act=Act.MANAGE_SOURCES, view=view, is_dangerous=True),
    )


ROUTES: tuple[Route, ...] = (
    Route(rule="/connectors", act=Act.SEE_CONSOLE, view=_list),
    Route(rule="/connectors/<name>", act=Act.SEE_CONSOLE, view=_show),
    Route(rule="/connectors/<name>", method="POST", act=Act.MANAGE_SOURCES, view=_try),
    *_both("/connectors/<name>/runs/<run_id>/confirm", _confirm),
    *_both("/connectors/<name>/runs/<run_id>/dismiss", _dismiss),
)
