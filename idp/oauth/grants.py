"""The three grants of the token endpoint, on Authlib's classes: authorization_code, refresh_token, client_credentials.

Each takes its one-time thing by one conditional UPDATE before anything is minted, in the request's transaction, and writes tokens only if the
Grant is alive in that same transaction. A second use finds the row and ends the Grant (RFC 9700 sections 4.2.4 and 4.14.2).
"""

import json
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc6749 import grants as authlib_grants
from authlib.oauth2.rfc7636 import CodeChallenge

from idp.audit import Event, EventType, Reason
from idp.crypto import digest
from idp.oauth.clients import OAuthClient
from idp.oauth.issuing import Issuing
from idp.oauth.message import Refusal
from idp.oauth.server import EngineRequest
from idp.store.base import Code, RefreshToken

AUTHENTICATED = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
ANSWER_SEAL = "refresh answer"


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
            request.tx.grants.hold_code(digest(code))
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
            live = issuing.entitled(request, code.grant_id)
            grant = live.grant
            request.scope = _narrowed(None, grant.scope, request.client)
            scope = tuple(request.scope.split())
            subject = issuing.subject(request.tx, request.client, grant, account=live.account, scope=scope)
            audience = issuing.audience(request, grant.resources)
            answer = issuing.tokens(request, live, subject, scope=scope, audience=audience, nonce=code.nonce)
            if request.client.check_grant_type("refresh_token"):
                answer["refresh_token"] = issuing.clock.new_token()
                issuing.add_refresh(request.tx, grant, answer["refresh_token"])
            request.tx.grants.mark_tokens(grant.id)
            issuing.record(request, live, EventType.TOKEN_ISSUED, self.GRANT_TYPE)
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
            request.tx.grants.hold_refresh(digest(presented))
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
            live = issuing.entitled(request, row.grant_id)
            grant = live.grant
            scope = tuple(request.scope.split())
            subject = issuing.subject(request.tx, request.client, grant, account=live.account, scope=scope)
            audience = issuing.audience(request, grant.resources)
            answer = issuing.tokens(request, live, subject, scope=scope, audience=audience, nonce=None)
            answer["refresh_token"] = successor = issuing.clock.new_token()
            body = json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()
            sealed = None if request.client.settings.is_public else issuing.keyring.seal(ANSWER_SEAL, body, row.digest)
            now = issuing.clock.now()
            if not request.tx.grants.rotate(row.digest, now, successor_digest=digest(successor), sealed_answer=sealed):
                raise issuing.end_replayed(request, row.grant_id, Reason.REFRESH_REPLAYED)
            issuing.add_refresh(request.tx, grant, successor)
            issuing.record(request, live, EventType.TOKEN_ISSUED, self.GRANT_TYPE)
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
            live = issuing.entitled(request, row.grant_id)
            grant = live.grant
            body = issuing.keyring.unseal(ANSWER_SEAL, row.sealed_answer or b"", row.digest)
            answer = json.loads(body)
            if answer["scope"] != request.scope:
                raise Refusal("invalid_scope", Reason.INVALID_SCOPE, "A repeated refresh must ask the same scope")
            access = issuing.mint.read_access_token(answer["access_token"])
            if access is not None and access.audience != issuing.audience(request, grant.resources):
                raise Refusal("invalid_target", Reason.INVALID_TARGET, "A repeated refresh must ask the same resource")
            issuing.record(request, live, EventType.TOKEN_REPEATED, self.GRANT_TYPE)
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
            token, jti = issuing.mint.access_token(client, scope, audience, live=None)
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
