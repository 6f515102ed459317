"""Where upstream providers send people back to: /upstream/<name>/callback, by GET or by a form of theirs, then /upstream/<name>/return.

Owns the two steps and nothing of what is believed. A form that another site posts brings no cookie of ours (SameSite), so what it says is only
kept, and the browser comes for it by itself, with its cookie. The way out is departures.py's. Sources: Form Post Response Mode 1.0, RFC 9700 4.7.
"""

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from idp.audit import Reason
from idp.errors import Refused
from idp.signin.upstream import UpstreamFailed
from idp.web.http import Pages

EXEMPT_FROM_FORM_TOKEN = ("upstream.callback_post",)
# Beyond the words of error.html there is nothing to tell whoever comes back to no sign-in.
STATUS = {Reason.UPSTREAM_UNKNOWN: 404}


def upstream_pages(pages: Pages) -> Blueprint:
    """The blueprint; its POST endpoint needs no form token, since it does nothing but keep what only the right browser can come for."""
    blueprint = Blueprint("upstream", __name__, url_prefix="/upstream")

    @blueprint.get("/<name>/callback")
    def callback(name: str) -> Response:
        if request.method == "HEAD":  # Flask offers it beside GET; whoever only asks what would come brings nobody back
            return Response(status=204)
        return _receive(pages, name, list(request.args.items(multi=True)))

    @blueprint.post("/<name>/callback")
    def callback_post(name: str) -> Response:
        return _receive(pages, name, list(request.form.items(multi=True)))

    @blueprint.get("/<name>/return")
    def come_back(name: str) -> Response:
        if request.method == "HEAD":
            return Response(status=204)
        return _come_back(pages, name)

    return blueprint


def _receive(pages: Pages, name: str, parameters: list[tuple[str, str]]) -> Response:
    try:
        state = pages.rooms.signin.upstreams.receive(name, parameters, origin=pages.origin())
    except UpstreamFailed as failed:
        return _nowhere(pages, failed)
    return pages.lead(f"/upstream/{name}/return", state=state)


def _come_back(pages: Pages, name: str) -> Response:
    signin, origin, browser = pages.rooms.signin, pages.origin(), pages.known_browser()
    try:
        returned = signin.upstreams.claim(name, request.args.get("state", ""), browser=browser, origin=origin)
    except UpstreamFailed as failed:
        return _nowhere(pages, failed)
    journey = returned.journey
    try:
        interaction = signin.load(journey.interaction_id, browser or "", sign_outs=pages.sign_outs())
    except Refused as refused:
        # It was finished in another tab, or left open too long: its own page says which, and begins again where it can.
        signin.upstreams.refuse(Reason(refused.reason), journey, origin=origin)
        return pages.see_other(f"/signin/{journey.interaction_id}")
    moved = signin.departures.come_back(interaction, returned, origin=origin)
    if journey.purpose == "link" and moved.pending_link is None:
        # Nothing waits to be confirmed: the account page says what became of it.
        return pages.onward(f"/account/links?{urlencode({'from': journey.provider, 'problem': moved.upstream_problem or ''})}")
    if moved.proof is not None and moved.upstream_problem is None:
        moved = pages.take_over(moved)
    # A page of its own, and no redirect: Chromium holds the whole chain that follows a provider's form against that provider's form-action.
    return pages.onward(f"/signin/{moved.id}", interaction=moved)


def _nowhere(pages: Pages, failed: UpstreamFailed) -> Response:
    """There is no sign-in to go back to that this browser could be shown."""
    reason = Reason(failed.reason)
    return pages.error_page(str(reason), STATUS.get(reason, 400), retry_url="/account")
