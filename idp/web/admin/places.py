"""/admin/places: the establishments in reach, each with its contact, its zones and its computers; adding and changing one.

Owns the pages; what is done is idp/desk/places.py's. zones.py has the pages of one zone and of one computer.
"""

from collections.abc import Callable, Mapping

from flask import Response, request

from idp.audit import Reason
from idp.config import EstablishmentSettings
from idp.desk.authority import ActRefused
from idp.desk.wrong_input import NotYours, WrongInput
from idp.store.base import Establishment
from idp.web.admin.changes import Proposal, compare, is_editing, review, words
from idp.web.admin.console import HOME, Call, Route
from idp.web.admin.paging import window
from idp.web.description import describe_day, describe_instant
from policies.acts import Act

PLACES = f"{HOME}/places"
FIELDS = (
    "name",
    "finess",
    "siret",
    "time_zone",
    "contact_name",
    "contact_phone",
    "contact_email",
    "regulatory_level",
    "windows_approval",
    "remember_device",
    "enrolment_grace",
)
DONE = frozenset({"added", "changed", "zone_added", "zone_changed", "zone_ended", "workstation_ended"})


def problems_of(wrong: WrongInput) -> dict[str, str]:
    """What is wrong by field, for a form; several things of one field are joined."""
    found: dict[str, str] = {}
    for one in wrong.problems:
        found[one.field] = f"{found[one.field]}; {one.detail}" if one.field in found else one.detail
    return found


def file_owns(call: Call, name: str, back: str) -> Response:
    """The page that says that the configuration file owns a thing, and where it is changed."""
    return call.render("file_owns.html", status=409, name=name, back=back)


def done() -> str | None:
    """What has just been done, for the notice of a page; None for nothing that is known."""
    said = request.args.get("done", "")
    return said if said in DONE else None


def _list(call: Call) -> Response:
    typed, part = request.args.get("q", "").strip()[:80], window()
    with call.pages.rooms.database.read() as tx:
        found = tx.establishments.page(call.agent.actor.places(Act.SEE_CONSOLE), named=typed, offset=part.offset, limit=part.limit)
    shown, pager = part.cut(found, q=typed)
    return call.render("places.html", places=shown, pager=pager, q=typed)


def _show(call: Call) -> Response:
    place, part = call.place, window()
    if place.ended_at is not None:
        raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.SEE_CONSOLE, establishment_id=place.id)
    with call.pages.rooms.database.read() as tx:
        zones = tx.zones.of(place.id)
        machines = tx.workstations.page(place.id, offset=part.offset, limit=part.limit)
    language, zone = call.pages.speak(), call.pages.zone(place)
    names = {one.id: one.name for one in zones}
    shown, pager = part.cut(machines)
    return call.render(
        "place.html",
        place=place,
        zones=[
            {
                "name": one.name,
                "kind": one.kind,
                "networks": one.networks,
                "is_egress": one.is_egress,
                "guests_apart": one.guests_apart,
                "windows": one.windows,
                "first_day": describe_day(one.first_day, language) if one.first_day else "",
                "last_day": describe_day(one.last_day, language) if one.last_day else "",
                "source": one.source,
            }
            for one in zones
        ],
        workstations=[
            {
                "id": one.id,
                "name": one.name,
                "zone": names.get(one.zone_id, ""),
                "is_shared": one.is_shared,
                "last_seen": describe_instant(one.last_seen_at, language, zone),
            }
            for one in shown
        ],
        pager=pager,
        may_edit=call.agent.actor.holds(Act.EDIT_PLACE, place.id),
        done=done(),
    )


def _ask_new(call: Call) -> Response:
    return _form(call, {"time_zone": call.pages.rooms.config.pages.time_zone, "remember_device": "0", "enrolment_grace": "0"})


def _add(call: Call) -> Response:
    places, typed = call.pages.rooms.desk.places, _typed()
    if is_editing():
        return _form(call, typed)
    try:
        settings = places.read(typed["slug"], typed)
        with call.pages.rooms.database.read() as tx:
            places.refuse_taken(tx, settings.slug)
        _ = words(call)
        rows = [(_("Short name"), "", settings.slug), *((name, "", after) for name, after in _rows(_, settings))]
        page = review(
            call, Proposal(title=_("Add an establishment"), differences=compare(*rows), button=_("Add this establishment"), back=PLACES)
        )
        if page is None:
            places.add(call.agent, settings)
    except WrongInput as wrong:
        return _form(call, typed, problems=problems_of(wrong))
    return page or call.see_other(f"{PLACES}/{settings.slug}?done=added")


def _ask_change(call: Call) -> Response:
    if call.place.source == "config":
        return file_owns(call, call.place.name, f"{PLACES}/{call.place.slug}")
    return _form(call, _present(call.place), place=call.place)


def _change(call: Call) -> Response:
    place, places, typed = call.place, call.pages.rooms.desk.places, _typed()
    back = f"{PLACES}/{place.slug}"
    if is_editing():
        return _form(call, typed, place=place)
    try:
        settings = places.read(place.slug, typed)
        page = review(call, _change_proposal(call, place, settings, back))
        if page is None:
            places.change(call.agent, settings)
    except WrongInput as wrong:
        return _form(call, typed, place=place, problems=problems_of(wrong))
    except NotYours as refused:
        return file_owns(call, refused.detail, back)
    return page or call.see_other(f"{back}?done=changed")


def _change_proposal(call: Call, place: Establishment, settings: EstablishmentSettings, back: str) -> Proposal:
    _ = words(call)
    present = call.pages.rooms.desk.places.read(place.slug, _present(place))
    pairs = zip(_rows(_, present), _rows(_, settings), strict=True)
    warning = ""
    if settings.regulatory_level != present.regulatory_level:
        warning = _("The level changes what everybody of the establishment must prove from their next sign-in on.")
    return Proposal(
        title=_("Change the establishment"),
        differences=compare(*((name, before, after) for (name, before), (_name, after) in pairs)),
        button=_("Make this change"),
        back=back,
        warning=warning,
    )


def _rows(_: Callable[[str], str], settings: EstablishmentSettings) -> tuple[tuple[str, str], ...]:
    """Every setting by its name for people."""
    return (
        (_("Name"), settings.name),
        (_("FINESS number"), settings.finess or ""),
        (_("SIRET number"), settings.siret or ""),
        (_("Time zone"), settings.time_zone),
        (_("IT contact: name"), settings.contact.name),
        (_("IT contact: telephone"), settings.contact.phone),
        (_("IT contact: e-mail"), settings.contact.email),
        (_("Regulatory level"), settings.regulatory_level),
        (_("Who approved the Windows session, and when"), settings.windows_approval),
        (_("Days for which a browser is remembered"), str(settings.remember_device.days)),
        (_("Days to enrol a second factor"), str(settings.enrolment_grace.days)),
    )


def _present(place: Establishment) -> dict[str, str]:
    values = {name: getattr(place, name, None) or "" for name in FIELDS}
    return values | {"remember_device": str(place.remember_device_days), "enrolment_grace": str(place.enrolment_grace_days)}


def _typed() -> dict[str, str]:
    return {name: request.form.get(name, "").strip() for name in (*FIELDS, "slug")}


def _form(
    call: Call, typed: Mapping[str, str], *, place: Establishment | None = None, problems: Mapping[str, str] | None = None
) -> Response:
    return call.render("place_form.html", status=422 if problems else 200, typed=typed, place=place, problems=problems or {})


ROUTES: tuple[Route, ...] = (
    Route(rule="/places", act=Act.SEE_CONSOLE, view=_list),
    Route(rule="/places/+new", act=Act.ADD_PLACE, view=_ask_new, is_dangerous=True),
    Route(rule="/places/+new", method="POST", act=Act.ADD_PLACE, view=_add, is_dangerous=True),
    Route(rule="/places/<slug>", act=Act.SEE_CONSOLE, view=_show),
    Route(rule="/places/<slug>/edit", act=Act.EDIT_PLACE, view=_ask_change, is_dangerous=True),
    Route(rule="/places/<slug>/edit", method="POST", act=Act.EDIT_PLACE, view=_change, is_dangerous=True),
)
