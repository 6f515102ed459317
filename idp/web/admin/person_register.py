"""/admin/people/new and /admin/people/<account_id>/edit: local accounts, made and corrected, each change shown before it is made.

Owns the forms; idp/desk/register.py does it. What a directory or a provider says of a person is shown as theirs and has no form.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from flask import Response

from idp.audit import Reason
from idp.desk.authority import ActRefused
from idp.desk.card import owner_of
from idp.desk.register import Corrected, IdentifierTaken
from idp.desk.wrong_input import WrongInput
from idp.people.accounts import NewAccount
from idp.web.admin.changes import Proposal, compare, is_editing, review, words
from idp.web.admin.console import Call, Route
from idp.web.admin.people import PEOPLE
from idp.web.admin.person import address, told
from idp.web.admin.person_places import PLACE_FIELDS, new_place, places_of, typed_in
from idp.web.admin.person_words import place_rows, problems_in_words, profile_names
from policies.acts import Act

NEW_FIELDS = ("given_name", "family_name", "username", "email", "staff_number", "phone_number", "locale")
EDITED_FIELDS = ("given_name", "family_name", "email", "phone_number", "locale")


def _ask_new(call: Call) -> Response:
    return _new_form(call, {"locale": "fr"})


def _create(call: Call) -> Response:
    typed, register = typed_in(*NEW_FIELDS, *PLACE_FIELDS), call.pages.rooms.desk.register
    if is_editing():
        return _new_form(call, typed)
    _ = words(call)
    try:
        place = new_place(typed, places_of(call, Act.EDIT_ACCOUNT))
        new = NewAccount(
            establishment=place.establishment,
            given_name=typed["given_name"],
            family_name=typed["family_name"],
            username=typed["username"] or None,
            email=typed["email"] or None,
            staff_number=typed["staff_number"] or None,
            phone_number=typed["phone_number"] or None,
            locale=typed["locale"] or None,
        )
        parsed, alike = register.check(call.agent, new, place)
        names = ", ".join(f"{one.name} ({one.username or one.email or one.id})" for one in alike)
        rows = [
            (_("Given name"), "", parsed.given_name),
            (_("Family name"), "", parsed.family_name),
            (_("User name"), "", parsed.username or ""),
            (_("E-mail"), "", parsed.email or ""),
            (_("Staff number"), "", parsed.staff_number or ""),
            (_("Phone"), "", parsed.phone_number or ""),
            *place_rows(call, None, place),
        ]
        page = review(
            call,
            Proposal(
                title=_("A new person"),
                differences=compare(*rows),
                button=_("Create this account"),
                back=PEOPLE,
                warning=_("Somebody is called the same already: {names}. Is it the same person?").replace("{names}", names)
                if alike
                else "",
            ),
        )
        if page is not None:
            return page
        account = register.create(call.agent, new, place)
    except WrongInput as wrong:
        return _new_form(call, typed, wrong=wrong)
    return call.see_other(f"{address(account)}?done=created")


def _new_form(call: Call, typed: Mapping[str, str], *, wrong: WrongInput | None = None) -> Response:
    places = places_of(call, Act.EDIT_ACCOUNT)
    holder = wrong.holder if isinstance(wrong, IdentifierTaken) else None
    taken = {"id": holder.id, "name": holder.name, "query": urlencode({"establishment": typed["establishment"]})} if holder else None
    return call.render(
        "person_new.html",
        status=422 if wrong else 200,
        typed=typed,
        problems=problems_in_words(call, wrong),
        problems_language=call.pages.speak(),
        is_taken=isinstance(wrong, IdentifierTaken),
        holder=taken,
        places=[("", ""), *((place.slug, place.name) for place in places)],
        profiles=[("", ""), *profile_names(call)],
        back=PEOPLE,
    )


def _ask_edit(call: Call) -> Response:
    return _edit_form(call, {name: getattr(call.person, name) or "" for name in EDITED_FIELDS})


def _edit(call: Call) -> Response:
    typed, person = typed_in(*EDITED_FIELDS), call.person
    if is_editing():
        return _edit_form(call, typed)
    if (owner := _owner(call)) is not None:
        return told(call, lambda: _refuse_owned(call, owner))
    _ = words(call)
    try:
        corrected = Corrected(
            given_name=typed["given_name"],
            family_name=typed["family_name"],
            email=typed["email"] or None,
            phone_number=typed["phone_number"] or None,
            # "fr-FR" is chosen as "fr", and stays what it is.
            locale=person.locale if _language(person.locale) == typed["locale"] else typed["locale"] or None,
        ).parsed()
        rows = [
            (_("Given name"), person.given_name, corrected.given_name),
            (_("Family name"), person.family_name, corrected.family_name),
            (_("E-mail"), person.email or "", corrected.email or ""),
            (_("Phone"), person.phone_number or "", corrected.phone_number or ""),
            (_("Language"), person.locale or "", corrected.locale or ""),
        ]
        is_contact = (corrected.email, corrected.phone_number) != (person.email, person.phone_number)
        page = review(
            call,
            Proposal(
                title=_("Correct an account"),
                differences=compare(*rows),
                button=_("Write these corrections"),
                back=address(person),
                warning=_("A new address or number serves for no reset in the next days, and the old one is told.") if is_contact else "",
            ),
        )
        if page is not None:
            return page
        return told(call, lambda: _corrected(call, corrected))
    except WrongInput as wrong:
        return _edit_form(call, typed, wrong=wrong)


def _refuse_owned(call: Call, owner: str) -> Response:
    raise ActRefused(Reason.ACT_OF_SOURCE, Act.EDIT_ACCOUNT, detail=owner, account_id=call.person.id)


def _corrected(call: Call, corrected: Corrected) -> Response:
    call.pages.rooms.desk.register.correct(call.agent, call.person, corrected)
    return call.see_other(f"{address(call.person)}?done=changed")


def _edit_form(call: Call, typed: Mapping[str, str], *, wrong: WrongInput | None = None) -> Response:
    locale = _language(typed.get("locale"))
    return call.render(
        "person_edit.html",
        status=422 if wrong else 200,
        person=call.person,
        owner=_owner(call),
        typed={**typed, "locale": locale},
        problems=problems_in_words(call, wrong),
        problems_language=call.pages.speak(),
        back=address(call.person),
    )


def _language(locale: str | None) -> str:
    return (locale or "").partition("-")[0]


def _owner(call: Call) -> str | None:
    with call.pages.rooms.database.read() as tx:
        return owner_of(tx.links.of_account(call.person.id))


_OF_ONE = "/people/<account_id>"
ROUTES = (
    Route(rule="/people/new", act=Act.EDIT_ACCOUNT, view=_ask_new, is_dangerous=True),
    Route(rule="/people/new", act=Act.EDIT_ACCOUNT, view=_create, method="POST", is_dangerous=True),
    Route(rule=f"{_OF_ONE}/edit", act=Act.EDIT_ACCOUNT, view=_ask_edit, is_dangerous=True),
    Route(rule=f"{_OF_ONE}/edit", act=Act.EDIT_ACCOUNT, view=_edit, method="POST", is_dangerous=True),
)
