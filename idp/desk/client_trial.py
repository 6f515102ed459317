"""A test sign-in: what an application would get of the person who tries it, from where they are, with what they have proven; or what would be asked.

The same dispatcher and the same claims as for a real one, with the agent's own Session and account. Nothing is issued: no code, no Grant, no token.
Only people who manage applications try them. OpenID Connect Core sections 2, 5.1 and 5.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from idp.audit import Event, EventType
from idp.clock import Clock
from idp.config import Config
from idp.desk.authority import Agent, Authority
from idp.oauth.claims import Subject, Zone, gather, gather_for_id_token, held_by, opening, released_to_id_token, released_to_userinfo
from idp.signin.facts import standing_attachments
from idp.signin.ground import Visitor
from idp.signin.interaction import AuthorizationRequest, Finish
from idp.signin.signin import SignIn
from idp.signin.step import Step, StepKind
from idp.store.base import Account, Client, Session
from idp.store.database import Database
from idp.store.grants import SourceBounds
from policies.acts import Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the application is supposed to ask: scopes among those of its registration, an establishment, a level."""

    scope: tuple[str, ...]
    establishment: str | None = None
    acr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it. The claims are empty unless the step is FINISH; then `asks_consent` says whether a person would be asked first."""

    step: Step
    asks_consent: bool = False
    id_token: Mapping[str, Any] = field(default_factory=dict)
    userinfo: Mapping[str, Any] = field(default_factory=dict)


class ClientTrial:
    """Safe between threads; one per process."""

    def __init__(self, config: Config, database: Database, signin: SignIn, *, authority: Authority, clock: Clock) -> None:
        self._database = database
        self._signin = signin
        self._authority = authority
        self._issuer = config.issuer
        self._clock = clock
        standing, directories = config.standing, frozenset(directory.name for directory in config.directories)
        self._bounds = SourceBounds(askable=standing.staleness_bound + standing.grace, seen=standing.upstream_life, directories=directories)

    def run(self, agent: Agent, client: Client, wanted: Wanted, *, session: Session, visitor: Visitor) -> Trial:
        """Try it; `session` is the agent's own. Event client.tried. Raises ActRefused, StoreUnavailable."""
        request = AuthorizationRequest(
            client_id=client.client_id,
            redirect_uri=next(iter(client.settings.redirect_uris), ""),
            response_mode="query",
            scope=wanted.scope,
            establishment_hint=wanted.establishment,
            acr_values=(wanted.acr,) if wanted.acr else (),
            essential_acr=(wanted.acr,) if wanted.acr else (),
        )
        asked = self._signin.open(request, "")
        with self._database.read() as tx:
            chosen = tx.establishments.by_slug(wanted.establishment) if wanted.establishment else None
        if chosen is not None:
            asked = replace(asked, establishment_id=chosen.id)
        step = self._signin.answer(asked, session, visitor)
        asks_consent = step.kind is StepKind.CONSENT
        if asks_consent:
            step = self._signin.answer(replace(asked, consented=True), session, visitor)
        found = Trial(step=step, asks_consent=asks_consent)
        if step.kind is StepKind.FINISH and step.finish is not None and agent.account is not None:
            found = self._claims(found, client, step.finish, agent.account, session)
        event = Event(
            type=EventType.CLIENT_TRIED,
            at=self._clock.now(),
            actor=agent.author.actor,
            origin=agent.author.origin,
            client_id=client.client_id,
            account_id=agent.account.id if agent.account else None,
            details={"step": str(step.kind), "scope": " ".join(wanted.scope)},
        )
        with self._database.write() as tx:
            self._authority.demand(tx, Act.MANAGE_CLIENTS, agent)
            tx.events.append(event)
        return found

    def _claims(self, found: Trial, client: Client, finish: Finish, account: Account, session: Session) -> Trial:
        now = self._clock.now()
        with self._database.read() as tx:
            places = tx.establishments.of_account(account.id)
            attachments = standing_attachments(tx, account.id, now=now, bounds=self._bounds)
        where = finish.grounds.whereabouts
        subject = Subject(
            client.settings,
            account,
            places.get(finish.establishment_id),
            opening(client.settings, attachments, places, now=now),
            Zone(where.zone, where.kind, where.why),
            now,
        )
        scope = finish.request.scope if finish.request else ()
        held = held_by(client.settings.scopes)
        protocol = {
            "iss": self._issuer,
            "aud": client.client_id,
            "sub": account.id,
            "auth_time": int(session.auth_time.timestamp()),
            "acr": finish.acr or finish.grounds.assurance.acr,
            "amr": list(finish.grounds.assurance.amr),
        }
        return replace(
            found,
            id_token={**protocol, **gather_for_id_token(released_to_id_token(scope, None) & held, subject)},
            userinfo={"sub": account.id, **gather(released_to_userinfo(scope, None) & held, subject)},
        )
