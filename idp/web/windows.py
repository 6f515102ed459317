"""The Windows session on the sign-in page: the page itself is the body of the 401 that asks the browser for a ticket (RFC 4559 section 4.1).

Owns the two headers and which words a refusal is told in. A browser without a ticket shows the page, one that has shown a ticket in vain gets it with
a status that asks for no other: there is no loop. Whether to ask at all, and whose ticket it is, idp/signin/windows.py says.
"""

import binascii
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from flask import Response, request

from idp.signin.interaction import Interaction
from idp.signin.step import Step
from idp.signin.windows import WindowsRefused

if TYPE_CHECKING:
    from idp.web.signin import Visit

SCHEME = "Negotiate"
DOCUMENT = {None, "document"}  # a browser that is led here, or one too old to say


def ask(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """The answer to a page that a Windows session may spare: the page with its challenge, or what the ticket led to. None: not here, not now."""
    is_led_here = request.method == "GET" and request.headers.get("Sec-Fetch-Dest") in DOCUMENT
    if not is_led_here or not _is_offered(visit, interaction, step):
        return None
    token = _token()
    if token is None:
        response = visit.page(interaction, step, status=401)
        response.headers["WWW-Authenticate"] = SCHEME
        return response
    try:
        _, answer = visit.signin.sign_in_with_ticket(interaction, token, visit.pages.visitor())
    except WindowsRefused as refused:
        return _refused(visit, interaction, step, refused)
    response = visit.back_to_page()
    if answer:
        response.headers["WWW-Authenticate"] = f"{SCHEME} {b64encode(answer).decode()}"
    return response


def _is_offered(visit: "Visit", interaction: Interaction, step: Step) -> bool:
    pages = visit.pages
    session = visit.presence.session
    return visit.signin.offers_ticket(interaction, step, session, visitor=pages.visitor(), must_act=pages.must_act())


def _token() -> bytes | None:
    """What the browser shows; None when it shows nothing, b"" when that is no base64."""
    scheme, _, written = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != SCHEME.lower():
        return None
    try:
        return b64decode(written.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _refused(visit: "Visit", interaction: Interaction, step: Step, refused: WindowsRefused) -> Response:
    if refused.is_plain:
        return visit.page(interaction, step)
    if refused.is_shared:
        return visit.page(interaction, step, error="windows_shared", status=403)
    if refused.told is not None:
        return visit.page(interaction, step, error="windows_not_usable", status=403, told=str(refused.told))
    if refused.is_unreachable:
        return visit.page(interaction, step, error="windows_unreachable", status=503)
    return visit.page(interaction, step, error="windows_refused", status=403)
