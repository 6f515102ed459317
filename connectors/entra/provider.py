"""Entra ID as an upstream provider (RedirectConnector): there and back, again with a refresh token, and its check.

Joins the code flow (code_flow.py), the reading of the ID token (token.py) and Graph (graph.py) into an Identity; decides nothing and keeps nothing of
a person. The refresh token that it hands over is a secret of the caller's.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from connectors.base import (
    Arrival,
    Ask,
    CheckStep,
    Clock,
    Departure,
    Identity,
    Lapsed,
    PersonNotUsable,
    Renewal,
    SourceMisbehaved,
    State,
)
from connectors.entra.application import ApplicationGraph
from connectors.entra.code_flow import CodeFlow, Tokens
from connectors.entra.examination import examine
from connectors.entra.graph import Graph, Profile
from connectors.entra.metadata import Publications
from connectors.entra.refusals import DISABLED_WORDS, at_the_door
from connectors.entra.settings import EntraSettings
from connectors.entra.token import TokenReader, Word
from connectors.entra.wire import Wire

SYNCHRONISED = ("onPremisesImmutableId", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "userPrincipalName", "userType")


class EntraProvider:
    """One registration in Entra. Safe to share between threads; nothing is asked before it is needed."""

    def __init__(self, name: str, settings: EntraSettings, clock: Clock) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._entra = Wire("Entra", settings, clock)
        self._graph_wire = Wire("Graph", settings, clock)
        self._publications = Publications(settings, self._entra, clock)
        self._flow = CodeFlow(settings, self._entra, self._publications, clock=clock)
        self._reader = TokenReader(settings, self._publications, clock)
        self._graph = Graph(settings, self._graph_wire)

    def begin(self, callback_url: str, *, state: str, ask: Ask) -> Departure:
        """See RedirectConnector."""
        asked: dict[str, Any] = {"login_hint": ask.login_hint, "domain_hint": ask.domain_hint, "claims_challenge": self._claims(ask)}
        if ask.forces_prompt:
            asked["prompt"] = "login"
        if ask.max_age is not None:
            asked["max_age"] = int(ask.max_age.total_seconds())
        with self._entra.departure(asks=not self._flow.is_open):
            url, flow = self._flow.begin(callback_url, state=state, **asked)
        now = self._clock.now()
        since = [now] if ask.forces_prompt else []
        if ask.max_age is not None:
            since.append(now - ask.max_age)
        ours = {"since": max(since).isoformat() if since else None, "wants_mfa": ask.wants_mfa}
        return Departure(url, {"flow": flow, **ours})

    def complete(self, parameters: Mapping[str, str], *, callback_url: str, kept: Mapping[str, Any]) -> Arrival:
        """See RedirectConnector."""
        flow: Mapping[str, Any] = kept["flow"]
        if not parameters.get("state") or parameters["state"] != flow["state"] or flow["redirect_uri"] != callback_url:
            raise SourceMisbehaved("the answer belongs to another sign-in", problem="state")
        if "error" in parameters:
            raise at_the_door(parameters)
        if not parameters.get("code"):
            raise SourceMisbehaved("the answer holds neither a code nor an error", problem="code_refused")
        since = datetime.fromisoformat(kept["since"]) if kept["since"] else None
        with self._entra.passage(of="sign_in"):
            tokens = self._flow.redeem(flow, {"state": parameters["state"], "code": parameters["code"]})
            word = self._reader.read(
                tokens,
                nonce=flow["nonce_as_sent"],
                since=since,
                needs_auth_time=since is not None and self._settings.auth_time_required,
            )
        context = self._settings.mfa_context
        is_multi_factor = context is not None and context in word.contexts
        if kept["wants_mfa"] and context is not None and not is_multi_factor:
            raise SourceMisbehaved(f"two factors were asked for, and acrs does not hold {context}", problem="assurance")
        try:
            with self._graph_wire.passage(of="sign_in"):
                identity = self._identity(word, tokens, is_proven=True)
        except Lapsed as error:
            raise SourceMisbehaved(error.detail) from error
        return Arrival(
            identity=identity,
            auth_time=word.auth_time,
            acr=context if is_multi_factor else None,
            is_multi_factor=is_multi_factor,
            refresh_token=tokens.refresh_token,
        )

    def renew(self, subject: str, refresh_token: str) -> Renewal:
        """See RedirectConnector."""
        with self._entra.passage(of="question"):
            tokens = self._flow.refresh(refresh_token, subject=subject)
            word = self._reader.read(tokens, nonce=None)
        if word.subject != subject:
            raise SourceMisbehaved("the refresh token is of another person", problem="subject")
        with self._graph_wire.passage(of="question"):
            identity = self._identity(word, tokens, is_proven=False)
        return Renewal(identity, tokens.refresh_token)

    def check(self, callback_url: str | None = None) -> Iterator[CheckStep]:
        """See RedirectConnector. With `callback_url`, whether it is registered there too."""
        yield from examine(
            self._settings,
            self._entra,
            self._graph_wire,
            publications=self._publications,
            flow=self._flow,
            clock=self._clock,
            callback_url=callback_url,
        )
        if self._settings.watch is not None:
            with closing(ApplicationGraph(self._settings, self._clock)) as application:
                yield from application.check()

    def close(self) -> None:
        """Let go of connections."""
        self._entra.close()
        self._graph_wire.close()

    def _claims(self, ask: Ask) -> str | None:
        """The `claims` parameter (Core section 5.5): an authentication context, and when the person was there."""
        wanted: dict[str, Any] = {}
        if ask.wants_mfa and self._settings.mfa_context is not None:
            wanted["acrs"] = {"essential": True, "value": self._settings.mfa_context}
        if ask.forces_prompt or ask.max_age is not None:
            wanted["auth_time"] = {"essential": True}
        return json.dumps({"id_token": wanted}, separators=(",", ":")) if wanted else None

    def _identity(self, word: Word, tokens: Tokens, *, is_proven: bool) -> Identity:
        if tokens.access_token is None:
            raise SourceMisbehaved("the token answer holds no access token")
        profile = self._graph.me(tokens.access_token, subject=word.subject)
        if profile.oid != word.oid:
            raise SourceMisbehaved("Graph speaks of another person than the ID token", problem="subject")
        if profile.is_guest:
            self._reader.refuse_guest(word.subject, is_proven=is_proven)
        if profile.is_disabled:
            raise PersonNotUsable(DISABLED_WORDS, state=State.DISABLED, subject=word.subject, is_proven=is_proven)
        if self._settings.groups == "graph" or word.groups is None:
            groups = self._graph.groups(tokens.access_token, subject=word.subject)
        else:
            groups = frozenset(group.lower() for group in word.groups)
        return Identity(
            connector=self.name,
            subject=word.subject,
            seen_at=self._clock.now(),
            username=profile.text("userPrincipalName"),
            given_name=profile.text("givenName") or "",
            family_name=profile.text("surname") or "",
            email=profile.text("mail"),
            number=profile.text("employeeId"),
            phone_number=profile.text("mobilePhone"),
            groups=groups | {role.lower() for role in word.roles},
            attributes=self._attributes(word, profile),
        )

    def _attributes(self, word: Word, profile: Profile) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {"tid": (word.tenant,), "oid": (word.oid,)}
        if word.roles:
            found["roles"] = word.roles
        for name in (*SYNCHRONISED, *self._settings.attributes):
            if (value := profile.text(name)) is not None:
                found[name.lower()] = (value,)
        return found
