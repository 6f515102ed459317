"""The three grants of the token endpoint, on Authlib's classes: authorization_code, refresh_token, client_credentials.

Each takes its one-time thing by one conditional UPDATE before anything is minted, in the request's transaction, and writes tokens only if the
Grant is alive in that same transaction. A second use finds the row and ends the Grant (RFC 9700 sections 4.2.4 and 4.14.2).
"""

import json
from datetime import timedelta
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc6749 import grants as authlib_grants
from authlib.oauth2.rfc7636 import CodeChallenge

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, digest
from idp.endings import Cause, end_grant
from idp.oauth.claims import Subject
from idp.oauth.clients import OAuthClient
from idp.oauth.message import Refusal
from idp.oauth.server import EngineRequest
from idp.oauth.tokens import Mint
from idp.signin.facts import access_of
from idp.store.base import Account, Code, Grant, RefreshToken
from idp.store.database import Transaction
from policies.access import decide

AUTHENTICATED = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
ANSWER_SEAL = "refresh answer"


class Issuing:
    """What the grants share: is the Grant alive, whose is it, write tokens, end it."""

    def __init__(self, config: Config, mint: Mint, keyring: Keyring, clock: Clock) -> None:
        self.mint = mint
        self.keyring = keyring
        self.clock = clock
        self.issuer = config.issuer
        self.access_life: timedelta = config.tokens.access_token_life
        self.retry_window: timedelta = config.tokens.refresh_retry_window
        self.idle: timedelta = config.sessions.idle

    def alive(self, tx: Transaction, grant_id: str, *, jti: str | None = None) -> tuple[Grant, Account]:
        """The Grant and its Account; Refusal(invalid_grant) when either, its Session or its attachment has ended."""
        now = self.clock.now()
        found = tx.grants.alive(grant_id, now, idle_since=now - self.idle, jti=jti)
        if found is None:
            raise Refusal("invalid_grant", Reason.GRANT_NOT_ALIVE, "The grant has ended")
        return found

    def entitled(self, request: EngineRequest, grant_id: str) -> tuple[Grant, Account]:
        """`alive`, and the client is still open to the person there: its registration or their attachments may have changed since."""
        grant, account = self.alive(request.tx, grant_id)
        client: OAuthClient = request.client
        if client.settings.establishments or client.settings.profiles:
            decision = decide(access_of(request.tx, account, client.record, now=self.clock.now()), grant.establishment_id)
            if not decision.is_allowed:
                raise Refusal("invalid_grant", Reason(decision.reasons[0]), "The grant has ended")
        return grant, account

    def subject(self, tx: Transaction, grant: Grant, account: Account, scope: tuple[str, ...]) -> Subject:
        """The facts claims are made of; the establishment and the attachments are read only when a scope or a claim needs them."""
        needs_all = "establishment" in scope or bool(grant.claims)
        establishment = tx.establishments.get(grant.establishment_id) if needs_all or "profile" in scope else None
        pairs = []
        if needs_all:
            for attachment in tx.people.attachments(account.id):
                is_here = establishment is not None and attachment.establishment_id == establishment.id
                place = establishment if is_here else tx.establishments.get(attachment.establishment_id)
                if place is not None and place.ended_at is None:
                    pairs.append((attachment, place))
        return Subject(account, establishment, tuple(pairs), grant.zone, self.clock.now())

    def tokens(
        self,
        request: EngineRequest,
        grant: Grant,
        subject: Subject,
        *,
        scope: tuple[str, ...],
        audience: tuple[str, ...],
        nonce: str | None,
    ) -> dict[str, Any]:
        """An access token, and an ID token when `openid` was granted."""
        client: OAuthClient = request.client
        access_token, _ = self.mint.access_token(client, scope, audience, grant=grant)
        answer: dict[str, Any] = {"access_token": access_token, "token_type": "Bearer", "expires_in": self.mint.access_seconds}
        if "openid" in scope:
            answer["id_token"] = self.mint.id_token(client, grant, subject, nonce=nonce, access_token=access_token)
        answer["scope"] = " ".join(scope)
        return answer

    def add_refresh(self, tx: Transaction, grant: Grant, token: str) -> None:
        """Keep a new refresh token's digest; it lives as long as its Grant."""
        now = self.clock.now()
        row = RefreshToken(
            digest=digest(token),
            grant_id=grant.id,
            issued_at=now,
            expires_at=grant.expires_at,
            used_at=None,
            successor_digest=None,
            sealed_answer=None,
        )
        tx.grants.add_refresh(row)

    def audience(self, request: EngineRequest, granted: tuple[str, ...]) -> tuple[str, ...]:
        """The access token's audience: the resource asked now, among those granted (RFC 8707 section 2.2); else all of them.

        Our own audience is added when the token may be used at userinfo, or when no resource was granted at all. A resource that was taken from
        the client's registration since is not granted any more.
        """
        asked = request.parameters.get("resource")
        kept = tuple(resource for resource in granted if resource in request.client.settings.resources)
        if asked is None:
            is_for_us = not granted or "openid" in (request.scope or "").split()
            kept = (*kept, self.mint.default_audience) if is_for_us else kept
        else:
            kept = tuple(resource for resource in kept if resource == asked)
        if not kept:
            raise Refusal("invalid_target", Reason.INVALID_TARGET, "The resource was not granted")
        return kept

    def record(self, request: EngineRequest, grant: Grant, kind: EventType, grant_type: str) -> None:
        """The Event of tokens issued."""
        request.tx.events.append(
            Event(
                type=kind,
                at=self.clock.now(),
                actor=f"client:{request.client.client_id}",
                origin=request.plain.origin,
                account_id=grant.account_id,
                client_id=grant.client_id,
                establishment_id=grant.establishment_id,
                session_id=grant.session_id,
                grant_id=grant.id,
                amr=grant.amr,
                acr=grant.acr,
                details={"grant_type": grant_type},
            )
        )

    def end_replayed(self, request: EngineRequest, grant_id: str, reason: Reason) -> Refusal:
        """End the Grant of a one-time thing that came back; the refusal to raise."""
        grant = request.tx.grants.get(grant_id)
        if grant is not None:
            end_grant(request.tx, grant, Cause(reason, f"client:{request.client.client_id}", request.plain.origin), clock=self.clock)
        return Refusal("invalid_grant", reason, "The grant was used before and has ended")


class StoredCode:
    """A code as Authlib wants to see it."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.code_challenge = code.code_challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        """The one of the authorization request: it must come again, identical."""
        return self.code.redirect_uri


class S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """Authlib's PKCE check without `plain`, with one error for every mismatch (RFC 7636 section 4.6).

    That a challenge is there at all is decided at /authorize, for the client; Authlib's `required` would not ask confidential clients.
    """

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Check the verifier; Refusal(invalid_grant, pkce_mismatch)."""
        try:
            super().validate_code_verifier(grant, result)
        except OAuth2Error as error:
            raise Refusal("invalid_grant", Reason.PKCE_MISMATCH, "The code verifier does not match") from error


def make_authorization_code_grant(issuing: Issuing) -> type:
    """The authorization_code grant over `issuing`; Authlib wants a class it can instantiate by itself."""

    class AuthorizationCodeGrant(authlib_grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
        TOKEN_ENDPOINT_AUTH_METHODS = [*AUTHENTICATED, "none"]

        def query_authorization_code(self, code: str, client: OAuthClient) -> StoredCode:
            request: EngineRequest = self.request
            request.client = client
            row = request.tx.grants.code(digest(code))
            if row is None:
                raise Refusal("invalid_grant", Reason.INVALID_GRANT, "The code is not valid")
            if row.client_id != client.client_id:
                raise Refusal("invalid_grant", Reason.CODE_OF_ANOTHER_CLIENT, "The code is not valid")
            if row.used_at is not None:
                raise issuing.end_replayed(request, row.grant_id, Reason.CODE_REPLAYED)
            if row.expires_at <= issuing.clock.now():
                raise Refusal("invalid_grant", Reason.CODE_EXPIRED, "The code is not valid")
            return StoredCode(row)

        def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
            request: EngineRequest = self.request
            code: Code = request.authorization_code.code
            if not request.tx.grants.redeem_code(code.digest, issuing.clock.now()):
                raise issuing.end_replayed(request, code.grant_id, Reason.CODE_REPLAYED)
            grant, account = issuing.entitled(request, code.grant_id)
            request.scope = _narrowed(None, grant.scope, request.client)
            scope = tuple(request.scope.split())
            subject = issuing.subject(request.tx, grant, account, scope)
            audience = issuing.audience(request, grant.resources)
            answer = issuing.tokens(request, grant, subject, scope=scope, audience=audience, nonce=code.nonce)
            if request.client.check_grant_type("refresh_token"):
                answer["refresh_token"] = issuing.clock.new_token()
                issuing.add_refresh(request.tx, grant, answer["refresh_token"])
            request.tx.grants.mark_tokens(grant.id)
            issuing.record(request, grant, EventType.TOKEN_ISSUED, self.GRANT_TYPE)
            return 200, answer, self.TOKEN_RESPONSE_HEADER

    return AuthorizationCodeGrant


def make_refresh_token_grant(issuing: Issuing) -> type:
    """The refresh_token grant over `issuing`: rotation, with a short retry window for confidential clients on bad Wi-Fi."""

    class RefreshTokenGrant(authlib_grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
        TOKEN_ENDPOINT_AUTH_METHODS = [*AUTHENTICATED, "none"]

        def validate_token_request(self) -> None:
            request: EngineRequest = self.request
            client = self._validate_request_client()
            presented = request.parameters.get("refresh_token")
            if presented is None:
                raise Refusal("invalid_request", Reason.INVALID_REQUEST, "Missing refresh_token")
            row = request.tx.grants.refresh(digest(presented))
            grant = request.tx.grants.get(row.grant_id) if row else None
            if row is None or grant is None:
                raise Refusal("invalid_grant", Reason.INVALID_GRANT, "The refresh token is not valid")
            if grant.client_id != client.client_id:
                raise Refusal("invalid_grant", Reason.REFRESH_OF_ANOTHER_CLIENT, "The refresh token is not valid")
            if row.expires_at <= issuing.clock.now():
                raise Refusal("invalid_grant", Reason.REFRESH_EXPIRED, "The refresh token is not valid")
            request.refresh_token = row
            request.scope = _narrowed(request.parameters.get("scope"), grant.scope, client)

        def create_token_response(self) -> tuple[int, Any, list[tuple[str, str]]]:
            request: EngineRequest = self.request
            row: RefreshToken = request.refresh_token
            if row.used_at is not None:
                return 200, self._repeat(row), self.TOKEN_RESPONSE_HEADER
            grant, account = issuing.entitled(request, row.grant_id)
            scope = tuple(request.scope.split())
            subject = issuing.subject(request.tx, grant, account, scope)
            audience = issuing.audience(request, grant.resources)
            answer = issuing.tokens(request, grant, subject, scope=scope, audience=audience, nonce=None)
            answer["refresh_token"] = successor = issuing.clock.new_token()
            body = json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()
            sealed = None if request.client.settings.is_public else issuing.keyring.seal(ANSWER_SEAL, body, row.digest)
            now = issuing.clock.now()
            if not request.tx.grants.rotate(row.digest, now, successor_digest=digest(successor), sealed_answer=sealed):
                raise issuing.end_replayed(request, row.grant_id, Reason.REFRESH_REPLAYED)
            issuing.add_refresh(request.tx, grant, successor)
            issuing.record(request, grant, EventType.TOKEN_ISSUED, self.GRANT_TYPE)
            return 200, body, self.TOKEN_RESPONSE_HEADER

        def _repeat(self, row: RefreshToken) -> bytes:
            """The same answer again, within the window and while the successor is unused; otherwise the token is stolen: end the Grant."""
            request: EngineRequest = self.request
            now = issuing.clock.now()
            successor = request.tx.grants.refresh(row.successor_digest) if row.successor_digest else None
            is_repeatable = (
                row.sealed_answer is not None
                and row.used_at is not None
                and now - row.used_at <= issuing.retry_window
                and successor is not None
                and successor.used_at is None
            )
            if not is_repeatable:
                raise issuing.end_replayed(request, row.grant_id, Reason.REFRESH_REPLAYED)
            grant, _ = issuing.entitled(request, row.grant_id)
            body = issuing.keyring.unseal(ANSWER_SEAL, row.sealed_answer or b"", row.digest)
            answer = json.loads(body)
            if answer["scope"] != request.scope:
                raise Refusal("invalid_scope", Reason.INVALID_SCOPE, "A repeated refresh must ask the same scope")
            access = issuing.mint.read_access_token(answer["access_token"])
            if access is not None and access.audience != issuing.audience(request, grant.resources):
                raise Refusal("invalid_target", Reason.INVALID_TARGET, "A repeated refresh must ask the same resource")
            issuing.record(request, grant, EventType.TOKEN_REPEATED, self.GRANT_TYPE)
            return body

    return RefreshTokenGrant


def make_client_credentials_grant(issuing: Issuing) -> type:
    """The client_credentials grant over `issuing`: a token about the application itself, never about a person."""

    class ClientCredentialsGrant(authlib_grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATED

        def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
            request: EngineRequest = self.request
            client: OAuthClient = request.client
            scope = tuple(dict.fromkeys((request.parameters.get("scope") or "").split()))
            personal = {"openid", "offline_access"}
            if not set(scope) <= client.scopes - personal:
                raise Refusal("invalid_scope", Reason.INVALID_SCOPE, "A scope is not allowed to this client")
            audience = issuing.audience(request, client.settings.resources)
            token, jti = issuing.mint.access_token(client, scope, audience, grant=None)
            answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": issuing.mint.access_seconds}
            if scope:
                answer["scope"] = " ".join(scope)
            request.tx.events.append(
                Event(
                    type=EventType.TOKEN_ISSUED,
                    at=issuing.clock.now(),
                    actor=f"client:{client.client_id}",
                    origin=request.plain.origin,
                    client_id=client.client_id,
                    details={"grant_type": self.GRANT_TYPE, "jti": jti},
                )
            )
            return 200, answer, self.TOKEN_RESPONSE_HEADER

    return ClientCredentialsGrant


def _narrowed(asked: str | None, granted: str, client: OAuthClient) -> str:
    """The scope of an answer: what was granted and the client may still have, or fewer (RFC 6749 section 6)."""
    kept = [scope for scope in granted.split() if scope in client.scopes]
    if asked is None:
        return " ".join(kept)
    if not set(asked.split()) <= set(kept):
        raise Refusal("invalid_scope", Reason.INVALID_SCOPE, "More than what was granted")
    return " ".join(scope for scope in kept if scope in asked.split())
