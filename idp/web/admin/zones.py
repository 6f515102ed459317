"""/admin/places/<slug>/zones and /workstations: one place on the network, one computer: added, changed, ended; and the pass that enrols a computer.

Owns the pages; what is done is idp/desk/places.py's. A pass is shown once, on the page that answers the form, and nowhere again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from idp.config import ZoneSettings, format_duration
from idp.desk.wrong_input import NotYours, WrongInput
from idp.store.base import Zone
from idp.web.admin.changes import Proposal, compare, is_editing, review, words
from idp.web.admin.console import Call, Route
from idp.web.admin.places import PLACES, file_owns, problems_of
from idp.web.description import describe_day, describe_instant
from policies.acts import Act

TEXTS = ("name", "kind", "networks", "guests_apart", "first_day", "last_day")
FLAGS = ("egress", "windows")


def _home(call: Call) -> str:
    return f"{PLACES}/{call.place.slug}"


def _zone(call: Call) -> Zone:
    with call.pages.rooms.database.read() as tx:
        return call.pages.rooms.desk.places.named_zone(tx, call.place, call.values["zone_name"])


def _ask_new(call: Call) -> Response:
    return _form(call, {"kind": "trusted"})


def _add(call: Call) -> Response:
    places, typed = call.pages.rooms.desk.places, _typed()
    if is_editing():
        return _form(call, typed)
    with call.pages.rooms.database.read() as tx:
        is_taken = tx.zones.named(call.place.id, typed["name"]) is not None
    if is_taken:
        return _form(call, typed, problems={"name": "there is a zone of this name already"})
    try:
        settings = places.read_zone(call.agent, call.place, _values(typed))
        _ = words(call)
        rows = [(name, "", after) for name, after in _rows(call, _, settings)]
        page = review(call, Proposal(title=_("Add a zone"), differences=compare(*rows), button=_("Add this zone"), back=_home(call)))
        if page is None:
            places.put_zone(call.agent, call.place, settings)
    except WrongInput as wrong:
        return _form(call, typed, problems=problems_of(wrong))
    return page or call.see_other(f"{_home(call)}?done=zone_added")


def _ask_change(call: Call) -> Response:
    zone = _zone(call)
    if zone.source == "config":
        return file_owns(call, f"{call.place.slug}/{zone.name}", _home(call))
    return _form(call, _present(zone), zone=zone)


def _change(call: Call) -> Response:
    zone, places, typed = _zone(call), call.pages.rooms.desk.places, {**_typed(), "name": call.values["zone_name"]}
    if is_editing():
        return _form(call, typed, zone=zone)
    try:
        settings = places.read_zone(call.agent, call.place, _values(typed))
        _ = words(call)
        present = _rows(call, _, _settings_of(zone))
        rows = [(name, before, after) for (name, before), (_name, after) in zip(present, _rows(call, _, settings), strict=True)]
        page = review(
            call,
            Proposal(
                title=_("Change the zone"),
                differences=compare(*rows),
                button=_("Make this change"),
                back=_home(call),
                warning=_("It counts from the next request of everybody who comes from there."),
            ),
        )
        if page is None:
            places.put_zone(call.agent, call.place, settings)
    except WrongInput as wrong:
        return _form(call, typed, zone=zone, problems=problems_of(wrong))
    except NotYours as refused:
        return file_owns(call, refused.detail, _home(call))
    return page or call.see_other(f"{_home(call)}?done=zone_changed")


def _end(call: Call) -> Response:
    """Both the question (GET) and the act (POST with confirm): ending takes nothing to be typed."""
    zone = _zone(call)
    if zone.source == "config":
        return file_owns(call, f"{call.place.slug}/{zone.name}", _home(call))
    with call.pages.rooms.database.read() as tx:
        machines = len(tx.workstations.open(zone_id=zone.id))
    _ = words(call)
    rows = [(name, before, "") for name, before in _rows(call, _, _settings_of(zone))]
    rows.append((_("Computers enrolled there"), str(machines) if machines else "", ""))
    page = review(
        call,
        Proposal(
            title=_("End the zone"),
            differences=compare(*rows),
            button=_("End this zone"),
            back=_home(call),
            warning=_("Whoever comes from there is outside from now on; its computers and the sessions on them end."),
            can_edit=False,
        ),
    )
    if page is not None:
        return page
    try:
        call.pages.rooms.desk.places.end_zone(call.agent, call.place, zone.name)
    except NotYours as refused:
        return file_owns(call, refused.detail, _home(call))
    return call.see_other(f"{_home(call)}?done=zone_ended")


def _ask_pass(call: Call) -> Response:
    return _pass_form(call, {"zone": request.args.get("zone", "")})


def _make_pass(call: Call) -> Response:
    typed = {name: request.form.get(name, "").strip() for name in ("zone", "name", "is_shared")}
    places = call.pages.rooms.desk.places
    if is_editing():
        return _pass_form(call, typed)
    try:
        name = places.read_workstation(call.place, typed["zone"], typed["name"])
        _ = words(call)
        shared = _("yes: nothing is remembered there, and sign-ins end early") if typed["is_shared"] else _("no")
        page = review(
            call,
            Proposal(
                title=_("Enrol a computer"),
                differences=compare((_("Name"), "", name), (_("Zone"), "", typed["zone"]), (_("Several people use it"), "", shared)),
                button=_("Make the pass"),
                back=_home(call),
            ),
        )
        if page is not None:
            return page
        code, kept = places.workstation_pass(call.agent, call.place, zone_name=typed["zone"], name=name, is_shared=bool(typed["is_shared"]))
    except WrongInput as wrong:
        return _pass_form(call, typed, problems=problems_of(wrong))
    language, zone = call.pages.speak(), call.pages.zone(call.place)
    return call.render(
        "shown_once.html",
        kind="workstation_pass",
        secret=code,
        name=name,
        until=describe_instant(kept.expires_at, language, zone),
        life=format_duration(call.pages.rooms.config.factors.workstation_pass_life),
        address=f"{call.pages.rooms.config.issuer}/workstation",
        back=_home(call),
    )


def _end_workstation(call: Call) -> Response:
    places = call.pages.rooms.desk.places
    machine = places.workstation(call.place, call.values["workstation_id"])
    _ = words(call)
    page = review(
        call,
        Proposal(
            title=_("Take a computer out"),
            differences=compare(
                (_("Computer"), machine.name, ""),
            ),
            button=_("Take this computer out"),
            back=_home(call),
            warning=_("The sessions that were opened on it end now."),
            can_edit=False,
        ),
    )
    if page is not None:
        return page
    places.end_workstation(call.agent, call.place, machine.id)
    return call.see_other(f"{_home(call)}?done=workstation_ended")


def _typed() -> dict[str, str]:
    return {name: request.form.get(name, "").strip() for name in (*TEXTS, *FLAGS)}


def _values(typed: Mapping[str, str]) -> dict[str, Any]:
    return {
        **typed,
        "networks": [word for word in typed["networks"].replace(",", " ").split() if word],
        "egress": bool(typed["egress"]),
        "windows": bool(typed["windows"]),
    }


def _present(zone: Zone) -> dict[str, str]:
    return {
        "name": zone.name,
        "kind": zone.kind,
        "networks": "\n".join(zone.networks),
        "guests_apart": zone.guests_apart,
        "first_day": zone.first_day.isoformat() if zone.first_day else "",
        "last_day": zone.last_day.isoformat() if zone.last_day else "",
        "egress": "yes" if zone.is_egress else "",
        "windows": "yes" if zone.windows else "",
    }


def _settings_of(zone: Zone) -> ZoneSettings:
    # What is kept was checked when it was written, by rules that may have been others.
    return ZoneSettings.model_construct(
        name=zone.name,
        kind=zone.kind,
        networks=zone.networks,
        egress=zone.is_egress,
        guests_apart=zone.guests_apart,
        windows=zone.windows,
        first_day=zone.first_day,
        last_day=zone.last_day,
    )


def _rows(call: Call, _: Callable[[str], str], settings: ZoneSettings) -> tuple[tuple[str, str], ...]:
    language = call.pages.speak()
    kinds = {
        "trusted": _("trusted: inside"),
        "shared_workstation": _("shared workstations: inside, several people"),
        "vpn": _("VPN: known, and outside"),
        "blocked": _("blocked: nobody signs in"),
    }
    yes, no = _("yes"), _("no")
    return (
        (_("Short name"), settings.name),
        (_("Kind"), kinds[settings.kind]),
        (_("Networks"), " ".join(map(str, settings.networks))),
        (_("Public address of the whole site"), yes if settings.egress else no),
        (_("Who declares that guests leave by another address"), settings.guests_apart),
        (_("Windows sessions sign people in"), yes if settings.windows else no),
        (_("First day"), describe_day(settings.first_day, language) if settings.first_day else ""),
        (_("Last day"), describe_day(settings.last_day, language) if settings.last_day else ""),
    )


def _form(call: Call, typed: Mapping[str, str], *, zone: Zone | None = None, problems: Mapping[str, str] | None = None) -> Response:
    return call.render(
        "zone_form.html",
        status=422 if problems else 200,
        typed=typed,
        place=call.place,
        zone_name=zone.name if zone else None,
        problems=problems or {},
    )


def _pass_form(call: Call, typed: Mapping[str, str], *, problems: Mapping[str, str] | None = None) -> Response:
    with call.pages.rooms.database.read() as tx:
        zones = [zone.name for zone in tx.zones.of(call.place.id) if zone.kind != "blocked"]
    return call.render(
        "workstation_form.html", status=422 if problems else 200, typed=typed, place=call.place, zones=zones, problems=problems or {}
    )


def _both(rule: str, ask: Callable[[Call], Response], act: Callable[[Call], Response]) -> tuple[Route, Route]:
    return (
        Route(rule=rule, act=Act.EDIT_PLACE, view=ask, is_dangerous=True),
        Route(rule=rule, method="POST", act=Act.EDIT_PLACE, view=act, is_dangerous=True),
    )


ROUTES: tuple[Route, ...] = (
    *_both("/places/<slug>/zones/new", _ask_new, _add),
    *_both("/places/<slug>/zones/<zone_name>/edit", _ask_change, _change),
    *_both("/places/<slug>/zones/<zone_name>/end", _end, _end),
    *_both("/places/<slug>/workstations/new", _ask_pass, _make_pass),
    *_both("/places/<slug>/workstations/<workstation_id>/end", _end_workstation, _end_workstation),
)
