"""The engine's front: what the web layer and the worker call.

Builds the machine endpoints, validates authorization requests, and finishes sign-ins: Session, Grant, code and Events in one SQL transaction.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, digest
from idp.errors import Refused
from idp.oauth.authorize import AuthorizationRefused, Draft, respond, validate
from idp.oauth.clients import ClientAuthenticator, ClientRegistry
from idp.oauth.end_session import LogoutRequests
from idp.oauth.endpoints import SPENT_ACCESS_TOKEN, Userinfo, discovery, make_introspection, make_revocation
from idp.oauth.grants import (
    S256Only,
    make_authorization_code_grant,
    make_client_credentials_grant,
    make_refresh_token_grant,
)
from idp.oauth.issuing import Issuing
from idp.oauth.keys import PUBLISHED_FOR, Keys
from idp.oauth.message import JSON_TYPE, AuthorizationResponse, ProtocolRequest, ProtocolResponse, json_response
from idp.oauth.server import Server
from idp.oauth.tokens import Mint
from idp.signin.devices import Tell
from idp.signin.directories import AskStanding
from idp.signin.interaction import AuthorizationRequest, Finish
from idp.signin.session import Written, write_session
from idp.signin.whereabouts import told
from idp.store.base import Code, Grant, Session
from idp.store.database import Database, Transaction


class Finished:
    """The end of a sign-in: what goes to the application, and what the browser's cookies become."""

    __slots__ = ("response", "written")

    def __init__(self, response: AuthorizationResponse, written: Written) -> None:
        self.response = response
        self.written = written


class Provider:
    """One OpenID Provider."""

    def __init__(
        self, config: Config, database: Database, keyring: Keyring, clock: Clock, *, ask_standing: AskStanding, tell: Tell
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._tell = tell
        self.keys = Keys(database, keyring, clock)
        self.mint = Mint(config, self.keys, clock)
        self.registry = ClientRegistry()
        issuing = Issuing(config, self.mint, keyring, clock)
        self._server = Server(database, ClientAuthenticator(self.registry, config.issuer, clock), clock, ask=ask_standing)
        self._server.register_grant(make_authorization_code_grant(issuing), [S256Only(required=False)])
        self._server.register_grant(make_refresh_token_grant(issuing))
        self._server.register_grant(make_client_credentials_grant(issuing))
        self._server.register_endpoint(make_introspection(issuing, self.registry))
        self._server.register_endpoint(make_revocation(issuing))
        self._userinfo = Userinfo(database, self.registry, issuing, ask=ask_standing)
        self.logout = LogoutRequests(config, database, self.registry, self.mint, clock)
        self._discovery = json.dumps(discovery(config)).encode()
        seconds = int(PUBLISHED_FOR.total_seconds())
        self._public = (JSON_TYPE, ("Cache-Control", f"public, max-age={seconds}"), ("Access-Control-Allow-Origin", "*"))

    def answer(self, request: ProtocolRequest) -> ProtocolResponse:
        """Answer a machine endpoint; the paths are in ENDPOINTS."""
        return ENDPOINTS[request.path](self, request)

    def token(self, request: ProtocolRequest) -> ProtocolResponse:
        """POST /token."""
        return self._server.answer("token", request)

    def introspect(self, request: ProtocolRequest) -> ProtocolResponse:
        """POST /introspect."""
        return self._server.answer("introspection", request)

    def revoke(self, request: ProtocolRequest) -> ProtocolResponse:
        """POST /revoke."""
        return self._server.answer("revocation", request)

    def userinfo(self, request: ProtocolRequest) -> ProtocolResponse:
        """GET or POST /userinfo."""
        if request.method not in {"GET", "POST"}:
            return self.refuse_method(request, "GET, POST")
        return self._userinfo.answer(request)

    def publish(self, path: str) -> ProtocolResponse:
        """GET of one of PUBLISHED: what every application reads, the same for all."""
        return ProtocolResponse(200, self.keys.jwks() if path == "/jwks" else self._discovery, self._public)

    def machine_of(self, token: str, resource: str) -> tuple[str, frozenset[str]] | None:
        """The client that an access token of client_credentials is about, and its scopes; None for anything else, and for one that was given back.

        The token is made for us, or for `resource`, which is a part of us (RFC 8707). Raises StoreUnavailable.
        """
        access = self.mint.read_access_token(token)
        if access is None or access.grant_id is not None or not {self.mint.default_audience, resource} & set(access.audience):
            return None
        with self._database.read() as tx:
            client = self.registry.get(tx, access.client_id)
            if client is None or tx.grants.is_spent(SPENT_ACCESS_TOKEN, access.jti):
                return None
        return access.client_id, frozenset(access.scope) & client.scopes

    def refuse_method(self, request: ProtocolRequest, allowed: str = "GET, HEAD") -> ProtocolResponse:
        """Anything but GET of one of PUBLISHED, and what else is asked in a way that is not offered; recorded."""
        self.record_unreadable(request.path, 405, request.origin)
        return json_response({"error": "invalid_request"}, 405, (("Allow", allowed),))

    def record_unreadable(self, path: str, status: int, origin: Origin) -> None:
        """The Event of a request that was refused before it could be read: too large, of another type, by another method."""
        with self._database.write() as tx:
            tx.events.append(
                Event(
                    type=EventType.REQUEST_REFUSED,
                    at=self._clock.now(),
                    actor="anonymous",
                    origin=origin,
                    reason=Reason.TOO_LARGE if status == 413 else Reason.INVALID_REQUEST,
                    details={"path": path, "status": status},
                )
            )

    def authorize(self, parameters: list[tuple[str, str]], origin: Origin) -> AuthorizationRequest:
        """A validated authorization request; AuthorizationRefused, recorded, otherwise."""
        try:
            with self._database.read() as tx:
                return validate(Draft(parameters, tx, self.registry, self.mint, self._config.issuer))
        except AuthorizationRefused as refused:
            named = next((value for name, value in parameters if name == "client_id"), "")
            self._record_refusal(
                refused.reason_code, origin, client_id=refused.client_id, details={"error": refused.error, "claimed_client": named[:100]}
            )
            raise

    def refuse(
        self, request: AuthorizationRequest, error: str, reason: Reason, *, origin: Origin, account_id: str | None = None
    ) -> AuthorizationResponse:
        """Refuse a validated request by redirect; recorded."""
        self._record_refusal(reason, origin, client_id=request.client_id, details={"error": error}, account_id=account_id)
        return respond(request.redirect_uri, request.response_mode, [("error", error)], state=request.state, issuer=self._config.issuer)

    def finish(self, finish: Finish, origin: Origin) -> Finished:
        """Write Session, Grant, code and Events in one transaction.

        Refused when the Session, the Account or the client ended while the person was signing in: nothing was written, begin again.
        """
        request = finish.request
        if request is None:
            raise ValueError("a sign-in without an application has no authorization to finish")
        code = self._clock.new_token()
        with self._database.write() as tx:
            tx.share("registry")  # a client that is being withdrawn is seen withdrawn, or sees this Grant
            client = self.registry.get(tx, request.client_id)
            if client is None:
                raise Refused(Reason.UNKNOWN_CLIENT, "withdrawn while signing in")
            if not client.accepts_redirect(request.redirect_uri):
                raise Refused(Reason.REDIRECT_URI_MISMATCH, "taken from the registration while signing in")
            settings = self._config.sessions
            written = write_session(tx, finish, clock=self._clock, settings=settings, origin=origin, tell=self._tell)
            origin = told(origin, finish.grounds.whereabouts)
            life = client.settings.offline_life or self._config.tokens.offline_life
            grant = self._add_grant(tx, request, finish, written.session, offline_life=life)
            self._add_code(tx, request, grant, code)
            if finish.consented:
                tx.clients.consent(finish.account_id, request.client_id, scope=frozenset(request.consent_scope), now=self._clock.now())
                tx.events.append(self._event(EventType.CONSENT_GIVEN, grant, origin, scope=request.consent_scope))
            details = {"degraded": True} if finish.is_degraded else {}
            granted = self._event(EventType.AUTHORIZATION_GRANTED, grant, origin, scope=request.scope, **details)
            # With a proof the sign-in's own Event has the decision.
            is_silent = finish.proof is None and not finish.factors
            session = written.session
            decision = finish.grounds.decision if is_silent else None
            tx.events.append(replace(granted, decision=decision, device_id=session.device_id, workstation_id=finish.grounds.workstation_id))
        response = respond(request.redirect_uri, request.response_mode, [("code", code)], state=request.state, issuer=self._config.issuer)
        return Finished(response, written)

    def _add_grant(
        self, tx: Transaction, request: AuthorizationRequest, finish: Finish, session: Session, *, offline_life: timedelta
    ) -> Grant:
        now = self._clock.now()
        is_offline = "offline_access" in request.scope
        grant = Grant(
            id=self._clock.new_id(),
            session_id=session.id,
            account_id=session.account_id,
            client_id=request.client_id,
            establishment_id=finish.establishment_id,
            scope=" ".join(request.scope),
            resources=request.resources,
            claims=request.claims,
            claims_locales=request.claims_locales,
            auth_time=session.auth_time,
            amr=finish.grounds.assurance.amr,
            acr=finish.acr or session.acr,
            # Where the person is now: a Session of the LAN may have gone home since.
            zone=finish.grounds.whereabouts.zone,
            zone_kind=finish.grounds.whereabouts.kind,
            zone_why=finish.grounds.whereabouts.why,
            is_offline=is_offline,
            has_tokens=False,
            created_at=now,
            expires_at=now + offline_life if is_offline else session.expires_at,
            ended_at=None,
            ended_cause=None,
        )
        tx.grants.add(grant)
        return grant

    def _add_code(self, tx: Transaction, request: AuthorizationRequest, grant: Grant, code: str) -> None:
        tx.grants.add_code(
            Code(
                digest=digest(code),
                grant_id=grant.id,
                client_id=request.client_id,
                redirect_uri=request.redirect_uri,
                code_challenge=request.code_challenge,
                nonce=request.nonce,
                expires_at=grant.created_at + self._config.tokens.code_life,
                used_at=None,
            )
        )

    def _event(self, kind: EventType, grant: Grant, origin: Origin, *, scope: tuple[str, ...], **details: bool) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            actor=f"account:{grant.account_id}",
            origin=origin,
            account_id=grant.account_id,
            client_id=grant.client_id,
            establishment_id=grant.establishment_id,
            session_id=grant.session_id,
            grant_id=grant.id,
            amr=grant.amr,
            acr=grant.acr,
            details={"scope": " ".join(scope), **details},
        )

    def _record_refusal(
        self, reason: Reason, origin: Origin, *, client_id: str | None, details: dict[str, Any], account_id: str | None = None
    ) -> None:
        with self._database.write() as tx:
            tx.events.append(
                Event(
                    type=EventType.AUTHORIZATION_REFUSED,
                    at=self._clock.now(),
                    actor=f"account:{account_id}" if account_id else "anonymous",
                    origin=origin,
                    reason=reason,
                    account_id=account_id,
                    client_id=client_id,
                    details=details,
                )
            )


PUBLISHED = frozenset({"/jwks", "/.well-known/openid-configuration"})
ENDPOINTS = {
    "/token": Provider.token,
    "/introspect": Provider.introspect,
    "/revoke": Provider.revoke,
    "/userinfo": Provider.userinfo,
    "/jwks": Provider.refuse_method,
    "/.well-known/openid-configuration": Provider.refuse_method,
}
