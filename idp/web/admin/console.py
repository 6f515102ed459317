"""What every page of the console shares: the Route, and the guard that stands before each: who, what role, how fresh a proof, and on whom.

A view is called only when all of that holds; it asks again, in its own transaction, through the room that acts. A refusal is one page, whether the
person is out of reach or not there at all, and an Event desk.refused. Owns no act. Calls idp/desk/authority.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, request

from idp.audit import Reason
from idp.desk.authority import ActRefused, Agent
from idp.signin.enrolment import has_strong
from idp.store.base import Account, Establishment, Session
from idp.web.account import begin_sign_in, signed_in, way_back
from idp.web.http import Pages
from policies.acts import Act

HOME = "/admin"
ENTERED = "console.entered"
# What a refusal may say: none of these tells whether somebody is there who may not be seen.
SHOWN = frozenset({Reason.ACT_ON_ONESELF, Reason.ACT_UPWARDS, Reason.NO_FACTOR_ENROLLED, Reason.LAST_ADMINISTRATOR, Reason.ROLE_GIVES_MORE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted request. `account` and `establishment` are what the address names, where its route says so."""

    pages: Pages
    agent: Agent
    session: Session
    account: Account | None = None
    establishment: Establishment | None = None
    values: Mapping[str, str]

    @property
    def person(self) -> Account:
        """The person that the address names; only for routes with an <account_id>."""
        if self.account is None:
            raise RuntimeError("this route names no person")
        return self.account

    @property
    def place(self) -> Establishment:
        """The establishment that the address names; only for routes with a <slug>."""
        if self.establishment is None:
            raise RuntimeError("this route names no establishment")
        return self.establishment

    @property
    def active(self) -> Establishment | None:
        """The establishment named, else the one that the agent has open; times are told in its zone."""
        return self.establishment or self.pages.rooms.signin.own_account.overview(self.session).active

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of times on the page."""
        return self.pages.zone(self.active)

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """A page of the console (templates/admin/); the establishment named, or the agent's active one, heads it."""
        held = frozenset(act for act in Act if self.agent.actor.places(act) != frozenset())
        active = self.active
        return self.pages.render(
            f"admin/{template}", status=status, establishment=active, agent=self.agent.account, held=held, here=request.path, **context
        )

    def see_other(self, path: str) -> Response:
        """303 to a page of ours."""
        return self.pages.see_other(path)


View = Callable[[Call], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One page or form. `rule` is below /admin; `<account_id>` and `<slug>` in it name whom and where, and `act` is asked about them.

    `is_dangerous`: a second factor given within `console.step_up` is asked, not merely within `console.fresh`. Every form has a GET of the same
    address, to which the person comes back after proving it again.
    """

    rule: str
    act: Act
    view: View
    method: str = "GET"
    is_dangerous: bool = False


def guarded(pages: Pages, route: Route) -> Callable[..., Response]:
    """The view function of a route."""

    def handle(**values: str) -> Response:
        return signed_in(pages, lambda pages, session: _admit(pages, session, route, values))()

    handle.__name__ = f"{route.method.lower()} {route.rule}".replace(".", "_")
    return handle


def _admit(pages: Pages, session: Session, route: Route, values: Mapping[str, str]) -> Response:
    desk = pages.rooms.desk
    origin = pages.origin()
    with pages.rooms.database.read() as tx:
        agent = desk.authority.agent_of(tx, session, origin)
        account = tx.people.get(values["account_id"]) if "account_id" in values else None
        place = tx.establishments.by_slug(values["slug"]) if "slug" in values else None
        is_there = ("account_id" not in values or account is not None) and ("slug" not in values or place is not None)
        reason: Reason | None = Reason.ACT_NOT_HELD
        has_factor = has_strong(tx.factors.open_of(session.account_id))
        if agent is not None:
            reason = desk.authority.ask(tx, route.act, agent, account=account, establishment=place)
    if reason is None and not is_there:
        reason = Reason.ACT_TARGET_UNKNOWN
    if agent is None or reason is not None:
        refused = ActRefused(
            reason or Reason.ACT_NOT_HELD,
            route.act,
            account_id=account.id if account is not None else None,
            establishment_id=place.id if place is not None else None,
        )
        return refuse(pages, refused, session)
    fresh = pages.rooms.config.console.step_up if route.is_dangerous else pages.rooms.config.console.fresh
    if not _is_fresh(pages, agent, fresh):
        if not has_factor:
            # There is nothing to ask: without this they would be sent to the sign-in pages and back for ever.
            refused = ActRefused(Reason.NO_FACTOR_ENROLLED, route.act, account_id=session.account_id)
            return refuse(pages, refused, session)
        # A form comes back to the page it was on: whoever was away proves again that they are there, and presses again.
        return begin_sign_in(pages, way_back(), step_up="second_factor")
    if pages.rooms.ephemeral.add(ENTERED, session.id, b"", pages.rooms.config.console.fresh):
        desk.authority.note_entry(agent)
    call = Call(pages=pages, agent=agent, session=session, account=account, establishment=place, values=values)
    try:
        return route.view(call)
    except ActRefused as refused:
        return refuse(pages, refused, session)


def refuse(pages: Pages, refused: ActRefused, session: Session) -> Response:
    """The page and the Event of an act that may not be done. It does not say whether the person is there."""
    author = pages.rooms.desk.author_of(session, pages.origin())
    pages.rooms.desk.authority.record(refused, author)
    is_shown = refused.code in SHOWN
    return pages.render(
        "admin/refused.html",
        status=403,
        establishment=pages.last_used_establishment(),
        agent=None,
        held=frozenset(),
        here=request.path,
        code=str(refused.code) if is_shown else "act_not_open",
    )


def _is_fresh(pages: Pages, agent: Agent, within: timedelta) -> bool:
    return agent.proved_at is not None and pages.rooms.clock.now() - agent.proved_at <= within
