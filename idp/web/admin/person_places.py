"""/admin/people/<account_id>/attach and /attachments/<id>: at which establishments somebody works, as what and until when.

Owns the forms, each change shown before it is made; idp/desk/register.py does it. What a directory gave is shown as the directory's and has no form.
"""

from collections.abc import Mapping
from datetime import date

from flask import Response, request

from idp.desk.wrong_input import Problem, WrongInput
from idp.people.attachments import NewAttachment
from idp.people.values import ValueRefused, day
from idp.store.base import Account, Attachment, Establishment
from idp.web.admin.changes import Proposal, compare, is_editing, review, words
from idp.web.admin.console import Call, Route
from idp.web.admin.people import PEOPLE
from idp.web.admin.person import address, told
from idp.web.admin.person_words import place_rows, problems_in_words, profile_names
from idp.web.description import describe_day
from policies.acts import Act

PLACE_FIELDS = ("establishment", "profile", "sector", "first_day", "last_day")


def typed_in(*names: str) -> dict[str, str]:
    """What the form says, by field, without spaces around it."""
    return {name: request.form.get(name, "").strip() for name in names}


def places_of(call: Call, act: Act) -> tuple[Establishment, ...]:
    """The open establishments where this agent holds an act, by name."""
    with call.pages.rooms.database.read() as tx:
        return call.pages.rooms.desk.register.places(tx, call.agent, act)


def days_in(typed: Mapping[str, str]) -> tuple[date | None, date | None]:
    """The first and the last day that were typed; raises WrongInput with both problems."""
    found: list[date | None] = []
    problems: list[Problem] = []
    for name in ("first_day", "last_day"):
        try:
            found.append(day(typed[name], name) if typed.get(name) else None)
        except ValueRefused as refused:
            problems.append(Problem(name, refused.detail))
    if problems:
        raise WrongInput(problems)
    return found[0], found[1]


def new_place(typed: Mapping[str, str], places: tuple[Establishment, ...]) -> NewAttachment:
    """The attachment that was typed, at one of `places`; raises WrongInput."""
    place = next((one for one in places if one.slug == typed["establishment"]), None)
    if place is None:
        raise WrongInput((Problem("establishment", "unknown"),))
    first, last = days_in(typed)
    return NewAttachment(establishment=place, profile=typed["profile"], sector=typed["sector"] or None, first_day=first, last_day=last)


def _ask_attach(call: Call) -> Response:
    return _attach_form(call, {"establishment": request.args.get("establishment", "")})


def _attach(call: Call) -> Response:
    typed, person = typed_in(*PLACE_FIELDS), call.person
    if is_editing():
        return _attach_form(call, typed)
    _ = words(call)
    try:
        place = new_place(typed, places_of(call, Act.ATTACH))
        page = review(
            call,
            Proposal(
                title=_("Attach to an establishment"),
                differences=compare(*place_rows(call, None, place)),
                button=_("Attach"),
                back=address(person),
            ),
        )
        if page is not None:
            return page
        return told(call, lambda: _attached(call, place))
    except WrongInput as wrong:
        return _attach_form(call, typed, wrong=wrong)


def _attached(call: Call, place: NewAttachment) -> Response:
    call.pages.rooms.desk.register.attach(call.agent, call.person, place)
    return call.see_other(f"{address(call.person)}?done=attached")


def _attach_form(call: Call, typed: Mapping[str, str], *, wrong: WrongInput | None = None) -> Response:
    return call.render(
        "person_attach.html",
        status=422 if wrong else 200,
        person=call.person,
        former=None,
        typed=typed,
        problems=problems_in_words(call, wrong),
        problems_language=call.pages.speak(),
        places=[("", ""), *((place.slug, place.name) for place in places_of(call, Act.ATTACH))],
        profiles=[("", ""), *profile_names(call)],
        back=address(call.person),
    )


def _former(call: Call) -> tuple[Attachment, Establishment]:
    """The attachment that the address names. Raises ActRefused when there is none, or it is where the agent does nothing."""
    rooms = call.pages.rooms
    found, place = rooms.desk.register.attachment(call.person, call.values["attachment_id"])
    with rooms.database.read() as tx:
        rooms.desk.authority.demand(tx, Act.DETACH, call.agent, account=call.person, establishment=place)
    return found, place


def _ask_attachment(call: Call) -> Response:
    former, place = _former(call)
    typed = {
        "profile": former.profile,
        "sector": former.sector or "",
        "first_day": former.first_day.isoformat() if former.first_day else "",
        "last_day": former.last_day.isoformat() if former.last_day else "",
    }
    return _attachment_form(call, former, place, typed=typed)


def _change_attachment(call: Call) -> Response:
    """Other days, or another profile; or, by its own button, the end of it."""
    former, place = _former(call)
    typed = typed_in("profile", "sector", "first_day", "last_day", "end")
    if is_editing():
        return _attachment_form(call, former, place, typed=typed)
    _ = words(call)
    person: Account = call.person
    try:
        if typed["end"]:
            today = describe_day(call.pages.rooms.clock.now().astimezone(call.pages.zone(place)).date(), call.pages.speak())
            differences = compare((place.name, _("Attached"), _("Ended on {day}").replace("{day}", today)))
        else:
            new = new_place({**typed, "establishment": place.slug}, (place,))
            differences = compare(*place_rows(call, former, new))
        page = review(
            call,
            Proposal(
                title=_("End an attachment") if typed["end"] else _("Change an attachment"),
                differences=differences,
                button=_("End it now") if typed["end"] else _("Change it"),
                back=address(person),
                warning=_("What is open to them there is closed at once.") if typed["end"] else "",
            ),
        )
        if page is not None:
            return page
        return told(call, lambda: _attachment_done(call, former, typed))
    except WrongInput as wrong:
        return _attachment_form(call, former, place, typed=typed, wrong=wrong)


def _attachment_done(call: Call, former: Attachment, typed: Mapping[str, str]) -> Response:
    register = call.pages.rooms.desk.register
    if typed["end"]:
        register.detach(call.agent, call.person, former.id)
        # Whoever is attached nowhere else is out of the agent's sight from here on.
        with call.pages.rooms.database.read() as tx:
            is_seen = call.pages.rooms.desk.authority.ask(tx, Act.FIND, call.agent, account=call.person) is None
        return call.see_other(f"{address(call.person)}?done=detached" if is_seen else f"{PEOPLE}?done=detached")
    register.redate(call.agent, call.person, former.id, profile=typed["profile"], sector=typed["sector"], days=days_in(typed))
    return call.see_other(f"{address(call.person)}?done=changed")


def _attachment_form(
    call: Call, former: Attachment, place: Establishment, *, typed: Mapping[str, str], wrong: WrongInput | None = None
) -> Response:
    return call.render(
        "person_attach.html",
        status=422 if wrong else 200,
        person=call.person,
        former={"establishment": place.name, "source": "" if former.source == "operator" else former.source},
        typed=typed,
        problems=problems_in_words(call, wrong),
        problems_language=call.pages.speak(),
        places=[],
        profiles=profile_names(call),
        back=address(call.person),
    )


_OF_ONE = "/people/<account_id>"
ROUTES = (
    Route(rule=f"{_OF_ONE}/attach", act=Act.ATTACH, view=_ask_attach, is_dangerous=True),
    Route(rule=f"{_OF_ONE}/attach", act=Act.ATTACH, view=_attach, method="POST", is_dangerous=True),
    Route(rule=f"{_OF_ONE}/attachments/<attachment_id>", act=Act.DETACH, view=_ask_attachment, is_dangerous=True),
    Route(rule=f"{_OF_ONE}/attachments/<attachment_id>", act=Act.DETACH, view=_change_attachment, method="POST", is_dangerous=True),
)
