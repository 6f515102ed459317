"""Introspection (RFC 7662), revocation (RFC 7009), userinfo (OpenID Connect Core section 5.3) and discovery.

An access token is good only while its Grant is: these endpoints ask the store at every call, so that an ending shows at once.
"""

from typing import Any

from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from idp.audit import Event, EventType, Reason
from idp.config import Config
from idp.crypto import digest
from idp.endings import Cause, end_grant
from idp.oauth.claims import SCOPES, SUPPORTED, gather, held_by, released_to_userinfo
from idp.oauth.clients import ASSERTION_ALGORITHMS, ClientRegistry, OAuthClient
from idp.oauth.grants import AUTHENTICATED
from idp.oauth.issuing import Issuing
from idp.oauth.message import NO_STORE, ProtocolRequest, ProtocolResponse, Refusal, StandingStale, json_response, single
from idp.oauth.server import EngineRequest
from idp.oauth.tokens import AccessClaims, said_amr, said_auth_time
from idp.signin.directories import AskStanding
from idp.store.base import Grant, RefreshToken
from idp.store.database import Database, Transaction
from policies.assurance import ACR_ORDER

SPENT_ACCESS_TOKEN = "access_token"  # noqa: S105  # the name of a kind, not a secret


# What an API needs of a person's situation to decide, when the token's scope releases it.
SITUATION = frozenset({"establishment", "sector", "roles"})


class FoundToken:
    """A token of ours, as the introspection and revocation endpoints see it."""

    def __init__(self, *, access: AccessClaims | None = None, refresh: RefreshToken | None = None, grant: Grant | None = None) -> None:
        self.access = access
        self.refresh = refresh
        self.grant = grant

    def check_client(self, client: OAuthClient) -> bool:
        """Whether it was issued to this client."""
        owner = self.access.client_id if self.access else self.grant.client_id if self.grant else None
        return owner == client.client_id


def find_token(issuing: Issuing, tx: Transaction, token: str) -> FoundToken | None:
    """The token behind a string. The hint is only an optimisation (RFC 7009 section 2.1): a JWT has dots, a refresh token none."""
    if "." in token:
        access = issuing.mint.read_access_token(token)
        return FoundToken(access=access) if access else None
    row = tx.grants.refresh(digest(token))
    return FoundToken(refresh=row, grant=tx.grants.get(row.grant_id)) if row else None


def make_introspection(issuing: Issuing, registry: ClientRegistry) -> type:
    """The introspection endpoint over `issuing`."""

    class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
        CLIENT_AUTH_METHODS = AUTHENTICATED

        def create_endpoint_response(self, request: EngineRequest) -> tuple[int, dict[str, Any], tuple[tuple[str, str], ...]]:
            client = self.authenticate_endpoint_client(request)
            token = request.parameters.get("token")
            if token is None:
                raise Refusal("invalid_request", Reason.INVALID_REQUEST, "Missing token")
            found = find_token(issuing, request.tx, token)
            # An unknown, ended or foreign token, and one made for another audience, all look alike (RFC 7662 section 2.2).
            return (
                200,
                (_describe(issuing, registry, request.tx, found=found, by=client, asked=request.asked) if found else None)
                or {"active": False},
                NO_STORE,
            )

    return Introspection


def _describe(
    issuing: Issuing, registry: ClientRegistry, tx: Transaction, *, found: FoundToken, by: OAuthClient, asked: str | None
) -> dict[str, Any] | None:
    try:
        if found.access is not None:
            return _describe_access(issuing, registry, tx, access=found.access, by=by, asked=asked)
        row, grant = found.refresh, found.grant
        if row is None or grant is None or grant.client_id != by.client_id or row.used_at is not None:
            return None
        live = issuing.alive(tx, grant.id, asked=asked)
    except Refusal as refusal:
        if refusal.status_code == 503:
            raise  # nobody can say whether the token is good: that is not the same as bad
        return None
    return {
        "active": True,
        "client_id": grant.client_id,
        "sub": live.account.id,
        "scope": grant.scope,
        "exp": int(row.expires_at.timestamp()),
        "iat": int(row.issued_at.timestamp()),
        **({"degraded": True} if live.is_degraded else {}),
    }


def _describe_access(
    issuing: Issuing, registry: ClientRegistry, tx: Transaction, *, access: AccessClaims, by: OAuthClient, asked: str | None
) -> dict[str, Any] | None:
    if not set(by.settings.audiences) & set(access.audience):
        return None
    described: dict[str, Any] = {
        "active": True,
        "iss": issuing.issuer,
        "client_id": access.client_id,
        "sub": access.subject,
        "aud": access.audience[0] if len(access.audience) == 1 else list(access.audience),
        "scope": " ".join(access.scope),
        "token_type": "Bearer",
        "exp": access.expires_at,
        "iat": access.issued_at,
        "jti": access.jti,
    }
    if access.grant_id is None:
        is_over = tx.clients.revision(access.client_id) is None or tx.grants.is_spent(SPENT_ACCESS_TOKEN, access.jti)
        return None if is_over else described
    live = issuing.alive(tx, access.grant_id, asked=asked, jti=access.jti)
    grant, account = live.grant, live.account
    described |= {"acr": grant.acr, **said_amr(grant), **said_auth_time(grant), "sid": grant.session_id}
    described |= {"zone": grant.zone, "zone_kind": grant.zone_kind, "zone_why": grant.zone_why}
    if account.username:
        described["username"] = account.username
    if live.is_degraded:
        described["degraded"] = True
    owner = registry.get(tx, access.client_id)
    if "establishment" in access.scope and owner is not None:
        # The roles are those of the application that the token was given to: an API is told no more than it was.
        subject = issuing.subject(tx, owner, grant, account=account, scope=access.scope)
        described |= gather(SITUATION & held_by(owner.scopes), subject)
    return described


def make_revocation(issuing: Issuing) -> type:
    """The revocation endpoint over `issuing`: a refresh token takes its whole Grant with it, an access token only itself."""

    class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
        CLIENT_AUTH_METHODS = (*AUTHENTICATED, "none")

        def create_endpoint_response(self, request: EngineRequest) -> tuple[int, dict[str, Any], tuple[tuple[str, str], ...]]:
            client = self.authenticate_endpoint_client(request)
            token = request.parameters.get("token")
            if token is None:
                raise Refusal("invalid_request", Reason.INVALID_REQUEST, "Missing token")
            found = find_token(issuing, request.tx, token)
            # Another client's token is answered like an unknown one and nothing is done: an error would tell that it exists.
            if found is not None and found.check_client(client):
                self.revoke_token(found, request)
            return 200, {}, NO_STORE

        def revoke_token(self, token: FoundToken, request: EngineRequest) -> None:
            client_id = request.client.client_id
            cause = Cause(Reason.TOKEN_GIVEN_BACK, f"client:{client_id}", request.plain.origin)
            if token.grant is not None:
                end_grant(request.tx, token.grant, cause, clock=issuing.clock)
            elif token.access is not None:
                later = issuing.clock.now() + issuing.access_life
                request.tx.grants.spend(SPENT_ACCESS_TOKEN, token.access.jti, expires_at=later)
            request.tx.events.append(
                Event(
                    type=EventType.TOKEN_REVOKED,
                    at=issuing.clock.now(),
                    actor=cause.actor,
                    origin=cause.origin,
                    reason=Reason.TOKEN_GIVEN_BACK,
                    client_id=client_id,
                    grant_id=token.grant.id if token.grant else token.access.grant_id if token.access else None,
                    details={"kind": "refresh_token" if token.grant else "access_token"},
                )
            )

    return Revocation


class Userinfo:
    """Claims about the person of an access token."""

    def __init__(self, database: Database, registry: ClientRegistry, issuing: Issuing, *, ask: AskStanding) -> None:
        self._ask = ask
        self._database = database
        self._registry = registry
        self._issuing = issuing

    def answer(self, request: ProtocolRequest) -> ProtocolResponse:
        """Answer GET or POST; the token comes in the Authorization header or, by POST, in the form (RFC 6750 section 2)."""
        try:
            access = self._read(request)
            try:
                with self._database.read() as tx:
                    return self._claims(tx, access, asked=None)
            except StandingStale as stale:
                self._ask(stale.account_id, request.origin)
                with self._database.read() as tx:
                    return self._claims(tx, access, asked=stale.account_id)
        except Refusal as refusal:
            return self._refused(request, refusal)

    def _read(self, request: ProtocolRequest) -> AccessClaims:
        scheme, _, header = request.headers.get("authorization", "").partition(" ")
        form = single(request.form) if request.method == "POST" else {}
        if any(name == "access_token" for name, _ in request.query):
            raise Refusal("invalid_request", Reason.INVALID_TOKEN, "A token in the URL is refused", status=400)
        if header and form.get("access_token"):
            raise Refusal("invalid_request", Reason.INVALID_TOKEN, "The token was sent twice", status=400)
        token = header.strip() if scheme.lower() == "bearer" else form.get("access_token", "")
        if not token:
            raise Refusal("", Reason.INVALID_TOKEN, status=401)
        access = self._issuing.mint.read_access_token(token)
        if access is None or self._issuing.mint.default_audience not in access.audience:
            raise Refusal("invalid_token", Reason.INVALID_TOKEN, "The access token is not valid", status=401)
        if access.grant_id is None or "openid" not in access.scope:
            raise Refusal("insufficient_scope", Reason.INSUFFICIENT_SCOPE, "The openid scope is needed", status=403)
        return access

    def _claims(self, tx: Transaction, access: AccessClaims, *, asked: str | None) -> ProtocolResponse:
        try:
            live = self._issuing.alive(tx, access.grant_id or "", asked=asked, jti=access.jti)
        except Refusal as ended:
            if ended.status_code == 503:
                raise
            raise Refusal("invalid_token", ended.reason, "The access token is not valid", status=401) from ended
        client = self._registry.get(tx, access.client_id)
        if client is None:
            raise Refusal("invalid_token", Reason.CLIENT_WITHDRAWN, "The access token is not valid", status=401)
        grant, account = live.grant, live.account
        subject = self._issuing.subject(tx, client, grant, account=account, scope=access.scope)
        names = released_to_userinfo(access.scope, grant.claims) & held_by(client.scopes)
        values = {"sub": account.id, **gather(names, subject), **({"degraded": True} if live.is_degraded else {})}
        if client.settings.userinfo_signed_response_alg:
            signed = self._issuing.mint.userinfo(client, values)
            return ProtocolResponse(200, signed.encode(), (("Content-Type", "application/jwt"), *NO_STORE))
        return json_response(values)

    def _refused(self, request: ProtocolRequest, refusal: Refusal) -> ProtocolResponse:
        event = Event(
            type=EventType.USERINFO_REFUSED,
            at=self._issuing.clock.now(),
            actor="anonymous",
            origin=request.origin,
            reason=refusal.reason,
        )
        with self._database.write() as tx:
            tx.events.append(event)
        # Without any token the challenge names no error (RFC 6750 section 3.1).
        challenge = f'Bearer error="{refusal.error}", error_description="{refusal.description}"' if refusal.error else "Bearer"
        body = {"error": refusal.error} if refusal.error else {}
        return json_response(body, refusal.status_code, (("WWW-Authenticate", challenge), *NO_STORE))


def discovery(config: Config) -> dict[str, Any]:
    """The provider's metadata (OpenID Connect Discovery 1.0 section 3, RFC 8414), serialised once by the caller."""
    issuer = config.issuer
    methods = [*AUTHENTICATED, "none"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "acr_values_supported": list(ACR_ORDER),
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "userinfo_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": AUTHENTICATED,
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "claim_types_supported": ["normal"],
        "claims_supported": [*SUPPORTED, "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "display_values_supported": ["page", "touch"],
        "ui_locales_supported": ["fr", "en"],
        "service_documentation": f"{issuer}/help",
    }
