"""/account/links: the sign-ins at providers and in directories that are linked to me; link another, unlink one.

Owns the pages; the acts are idp/signin/own_links.py's, the journey to a provider the sign-in room's. Every change wants a sign-in of just now.
"""

from dataclasses import replace

from flask import Blueprint, Response, request

from connectors.base import Ask
from idp.audit import Reason
from idp.errors import Refused
from idp.signin.upstream import UpstreamFailed
from idp.store.base import Session
from idp.web.account import begin_sign_in, signed_in
from idp.web.description import describe_time
from idp.web.http import Pages

PATH = "/account/links"


def link_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("links", __name__, url_prefix=PATH)
    blueprint.get("")(signed_in(pages, _show))
    blueprint.post("/link")(signed_in(pages, _link))
    blueprint.post("/unlink")(signed_in(pages, _unlink))
    return blueprint


def _show(pages: Pages, session: Session, *, error: str | None = None, status: int = 200) -> Response:
    overview = pages.rooms.signin.own_links.overview(session)
    language, zone = pages.speak(), pages.zone(overview.active)
    provider = pages.rooms.signin.upstreams.providers.get(request.args.get("from", ""))
    problem = request.args.get("problem", "")
    return pages.render(
        "links.html",
        status=status,
        establishment=overview.active,
        linked=[
            {"connector": one.connector, "label": one.label, "since": describe_time(one.since, language, zone), "is_own": one.is_own}
            for one in overview.linked
        ],
        linkable=[{"connector": name, "label": label} for name, label in overview.linkable],
        is_fresh=overview.is_fresh,
        error=error,
        upstream={"label": provider.label, "problem": problem} if provider is not None and problem else None,
        notice="unlinked" if request.args.get("done") == "unlinked" else None,
    )


def _link(pages: Pages, session: Session) -> Response:
    signin, name = pages.rooms.signin, request.form.get("connector", "")
    if not signin.own_links.is_fresh(session):
        return begin_sign_in(pages, PATH, step_up="sign_in")
    if all(name != one for one, _ in signin.own_links.overview(session).linkable):
        return pages.see_other(PATH)
    interaction = replace(signin.open(None, pages.browser_secret(), return_to=PATH), sign_outs=pages.sign_outs())
    interaction = signin.keep(interaction)
    # Whoever the provider remembers in this browser may be somebody else: the person must act there.
    ask = Ask(forces_prompt=True, ui_locales=pages.speak())
    try:
        url = signin.departures.depart(interaction, name, ask, purpose="link", account_id=session.account_id, origin=pages.origin())
    except UpstreamFailed as failed:
        return pages.lead(PATH, **{"from": name, "problem": str(failed.reason)})
    provider = signin.upstreams.providers.get(name)
    return pages.onward(url, interaction=interaction, label=provider.label if provider else None)


def _unlink(pages: Pages, session: Session) -> Response:
    own = pages.rooms.signin.own_links
    if not own.is_fresh(session):
        return begin_sign_in(pages, PATH, step_up="sign_in")
    try:
        ended = own.unlink(session, request.form.get("connector", ""), origin=pages.origin())
    except Refused as refused:
        if refused.reason != Reason.LAST_WAY_IN:
            raise
        return _show(pages, session, error="last_way_in", status=409)
    return pages.see_other(PATH if ended is None else f"{PATH}?done=unlinked")
