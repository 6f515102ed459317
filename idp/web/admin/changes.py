"""A change shown before it is made: the page of differences that stands between every form of the console and what it does.

A form posts; without `confirm` the differences are shown, with all that was typed in hidden fields; "correct" leads back to the form with nothing
lost, "confirm" posts again and the view goes on. What was shown, to whom, and all that was typed are marked with our key: if anything of it changed
meanwhile, the differences are shown anew.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from flask import Response, request

from idp.crypto import same
from idp.web.admin.console import Call

CONFIRM, EDIT, SEEN = "confirm", "edit", "seen"
_OURS = frozenset({CONFIRM, EDIT, SEEN, "csrf_token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that changes, in the reader's words; "" is nothing."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a form would do. `title` and `button` are sentences in the reader's language; `back` is a path of ours, for who gives it up.

    `warning`: what it does besides, which is easily overlooked ("" for nothing). `can_edit`: the view shows its form again when `is_editing`.
    """

    title: str
    differences: tuple[Difference, ...]
    button: str
    back: str
    warning: str = ""
    can_edit: bool = True


def words(call: Call) -> Callable[[str], str]:
    """What turns an English sentence into the reader's language; call it `_`, so that the catalogue finds the sentence."""
    return call.pages.languages.words(call.pages.speak()).gettext


def compare(*rows: tuple[str, str, str]) -> tuple[Difference, ...]:
    """The differences among (name, before, after)."""
    return tuple(Difference(name=name, before=before, after=after) for name, before, after in rows if before != after)


def is_editing() -> bool:
    """Whether the person went back from the differences to the form, to correct it."""
    return EDIT in request.form


def review(call: Call, proposal: Proposal) -> Response | None:
    """The page of differences; None when they have been confirmed as they are now, and the view may act.

    Nothing to change is a page too, without a button. The page posts to the address that was posted to.
    """
    fields = [(name, value) for name in request.form if name not in _OURS for value in request.form.getlist(name)]
    mark = _mark(call, proposal, fields)
    # A GET changes nothing, whatever it brings: only a POST was checked to come from our own page.
    is_confirmed = request.method == "POST" and request.form.get(CONFIRM) == "yes" and bool(proposal.differences)
    if is_confirmed and same(request.form.get(SEEN, ""), mark):
        return None
    return call.render(
        "changes.html",
        status=409 if is_confirmed else 200,
        proposal=proposal,
        fields=fields,
        seen=mark,
        has_moved=is_confirmed,
    )


def _mark(call: Call, proposal: Proposal, fields: list[tuple[str, str]]) -> str:
    """Of what this person is shown on this page, and of what its form will send: nobody confirms what they have not read, nor lends their reading."""
    rows = [(one.name, one.before, one.after) for one in proposal.differences]
    # A browser ends the lines of a hidden field otherwise than those of the text area that it came from.
    sent = sorted((name, value.replace("\r\n", "\n").replace("\r", "\n")) for name, value in fields)
    shown = json.dumps([call.session.account_id, request.path, proposal.title, proposal.warning, rows, sent])
    return call.pages.rooms.keyring.keyed_hash("page of differences", shown)
