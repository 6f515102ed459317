"""What the forms about a person say in the reader's language: profiles, what an attachment changes, and what was typed wrong."""

from collections.abc import Mapping

from idp.desk.register import IdentifierTaken
from idp.desk.wrong_input import WrongInput
from idp.people.attachments import NewAttachment
from idp.store.base import Attachment
from idp.web.admin.changes import words
from idp.web.admin.console import Call
from idp.web.description import describe_day
from idp.web.profile_name import profile_name


def profile_names(call: Call) -> list[tuple[str, str]]:
    """The profiles of this deployment, as (code, name)."""
    _ = words(call)
    return [(code, profile_name(code, _)) for code in call.pages.rooms.desk.register.profiles]


def place_rows(call: Call, former: Attachment | None, new: NewAttachment) -> list[tuple[str, str, str]]:
    """What an attachment changes, as rows of (name, before, after)."""
    _ = words(call)
    language, names = call.pages.speak(), dict(profile_names(call))
    first, last = (describe_day(one, language) if one else "" for one in (new.first_day, new.last_day))
    was_first, was_last = (
        describe_day(one, language) if one else "" for one in ((former.first_day, former.last_day) if former is not None else (None, None))
    )
    place = new.establishment.name
    return [
        (_("Establishment"), place if former is not None else "", place),
        (_("Profile"), names.get(former.profile, former.profile) if former is not None else "", names.get(new.profile, new.profile)),
        (_("Sector"), (former.sector or "") if former is not None else "", " ".join((new.sector or "").split())),
        (_("First day"), was_first, first),
        (_("Last day"), was_last, last),
    ]


def problems_in_words(call: Call, wrong: WrongInput | None) -> dict[str, str]:
    """What was typed wrong, by field."""
    if wrong is None or isinstance(wrong, IdentifierTaken):
        return {}
    _ = words(call)
    said: Mapping[str, str] = {
        "given_name": _("A given name is needed, of at most 80 characters."),
        "family_name": _("A family name is needed, of at most 80 characters."),
        "username": _("A user name, an e-mail address or a staff number is needed. A user name has small letters, digits and . _ - only."),
        "email": _("This is not an e-mail address."),
        "staff_number": _("A staff number has letters, digits and . / _ - only, 40 at most."),
        "phone_number": _("This is not a telephone number."),
        "locale": _("Choose a language of the list."),
        "establishment": _("Choose an establishment of the list. They may be attached there already."),
        "profile": _("Choose a profile of the list."),
        "sector": _("A sector has at most 80 characters."),
        "first_day": _("This is not a day such as 31/12/2026."),
        "last_day": _("This is not a day such as 31/12/2026, or it comes before the first one."),
    }
    return {one.field: said.get(one.field, one.detail) for one in wrong.problems}
