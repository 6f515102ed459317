"""Authlib's framework-free AuthorizationServer over plain values: it dispatches /token, /introspect and /revoke, and nothing else.

What we change of its defaults, and why, is in docs/decisions; each has a test. One SQL transaction a request: it commits also when the answer is a
refusal, because the refusal's Event (and the ending of a replayed Grant) must last.
"""

import json
import re
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.oauth.clients import ClientAuthenticator, OAuthClient
from idp.oauth.message import JSON_TYPE, NO_STORE, ProtocolRequest, ProtocolResponse, Refusal, StandingStale, single
from idp.signin.directories import AskStanding
from idp.store.database import Database, Transaction

PRINTABLE = re.compile(r"[ -~]*")
REFUSED_AS = {
    "token": EventType.TOKEN_REFUSED,
    "introspection": EventType.INTROSPECTION_REFUSED,
    "revocation": EventType.INTROSPECTION_REFUSED,
}


class EngineRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """One request inside the engine: the plain request, its parameters, and the transaction it works in."""

    def __init__(self, plain: ProtocolRequest, tx: Transaction, endpoint: str, *, may_write: bool, asked: str | None) -> None:
        # Authlib wants proof of https; TLS ends at the proxy in front of us and the issuer was checked at start.
        super().__init__(plain.method, f"https://engine{plain.path}", headers=dict(plain.headers))
        self.plain = plain
        self.tx = tx
        self.endpoint = endpoint
        self.may_write = may_write
        self.asked = asked  # the account whose directory was asked just before this transaction
        self.parameters: dict[str, str] = {}
        self.payload = BasicOAuth2Payload(self.parameters)

    @property
    def form(self) -> dict[str, str]:
        """Parameters by name, each once."""
        return self.parameters


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Dispatches; the grants and endpoints registered on it do the work."""

    def __init__(self, database: Database, authenticator: ClientAuthenticator, clock: Clock, *, ask: AskStanding) -> None:
        super().__init__()
        self._ask = ask
        self._database = database
        self._authenticator = authenticator
        self.clock = clock

    def answer(self, endpoint: str, plain: ProtocolRequest) -> ProtocolResponse:
        """Answer a POST to a machine endpoint: "token", "introspection" or "revocation".

        When a directory must be asked first, the transaction is let go of (nothing was taken or written), and the request judged again after.
        """
        try:
            return self._answer(endpoint, plain, asked=None)
        except StandingStale as stale:
            self._ask(stale.account_id, plain.origin)
            return self._answer(endpoint, plain, asked=stale.account_id)

    def _answer(self, endpoint: str, plain: ProtocolRequest, *, asked: str | None) -> ProtocolResponse:
        # Introspection only reads, except that a client assertion is spent.
        may_write = endpoint != "introspection" or any(name == "client_assertion" for name, _ in plain.form)
        with self._database.write() if may_write else self._database.read() as tx:
            request = EngineRequest(plain, tx, endpoint, may_write=may_write, asked=asked)
            try:
                if plain.method != "POST":
                    raise Refusal("invalid_request", Reason.INVALID_REQUEST, "Use POST", status=405)
                if plain.query:
                    raise Refusal("invalid_request", Reason.INVALID_REQUEST, "Parameters belong in the body")
                request.parameters.update(single(plain.form))
                _check_alphabet(request.parameters)
                if endpoint == "token" and "grant_type" not in request.parameters:
                    raise Refusal("invalid_request", Reason.INVALID_REQUEST, "Missing grant_type")
                if endpoint == "token":
                    response: ProtocolResponse = self.create_token_response(request)
                else:
                    response = self.create_endpoint_response(endpoint, request)
            except OAuth2Error as error:
                response = self.handle_error_response(request, error)
        return response

    def create_oauth2_request(self, request: EngineRequest) -> EngineRequest:
        """Authlib's hook: ours is one already."""
        return request

    def authenticate_client(self, request: EngineRequest, methods: list[str], endpoint: str = "token") -> OAuthClient:
        """Authlib's hook: our own authentication, for every endpoint alike."""
        client = self._authenticator.authenticate(request.tx, request.plain, request.parameters)
        method = client.settings.token_endpoint_auth_method
        if method not in methods:
            raise Refusal("invalid_client", Reason.CLIENT_AUTHENTICATION_FAILED, "Client authentication failed", status=401)
        request.client = client
        request.auth_method = method
        return client

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Authlib's hook: nobody listens; what happened is in the Events."""

    def handle_response(self, status: int, body: Any, headers: Any) -> ProtocolResponse:
        """Authlib's hook."""
        encoded = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        return ProtocolResponse(status, encoded, (JSON_TYPE, *NO_STORE))

    def handle_error_response(self, request: EngineRequest, error: OAuth2Error) -> ProtocolResponse:
        """Authlib's hook: every refusal is an Event with its reason code."""
        refusal = error if isinstance(error, Refusal) else translate(error)
        client_id = request.client.client_id if request.client else None
        # The name an unproven caller gave is kept in the details, never as the client.
        named = request.parameters.get("client_id") if client_id is None else None
        details = (("error", refusal.error), ("grant_type", request.parameters.get("grant_type")), ("claimed_client", named))
        event = Event(
            type=REFUSED_AS[request.endpoint],
            at=self.clock.now(),
            actor=f"client:{client_id}" if client_id else "anonymous",
            origin=request.plain.origin,
            reason=refusal.reason,
            client_id=client_id,
            details={name: value[:100] for name, value in details if value},
        )
        if request.may_write:
            request.tx.events.append(event)
        else:
            with self._database.write() as tx:
                tx.events.append(event)
        return refuse(refusal, is_basic="authorization" in request.plain.headers)


def refuse(refusal: Refusal, *, is_basic: bool) -> ProtocolResponse:
    """The JSON error answer (RFC 6749 section 5.2)."""
    body = {"error": refusal.error}
    if refusal.description:
        body["error_description"] = refusal.description
    headers: tuple[tuple[str, str], ...] = (JSON_TYPE, *NO_STORE)
    if refusal.status_code == 401 and is_basic:
        headers += (("WWW-Authenticate", 'Basic realm="token"'),)
    if refusal.status_code == 405:
        headers += (("Allow", "POST"),)
    return ProtocolResponse(refusal.status_code, json.dumps(body).encode(), headers)


def translate(error: OAuth2Error) -> Refusal:
    """One of Authlib's errors as ours: its code, our reason, its words only where they repeat nothing that was sent."""
    reasons = {
        "invalid_client": Reason.CLIENT_AUTHENTICATION_FAILED,
        "invalid_grant": Reason.INVALID_GRANT,
        "invalid_scope": Reason.INVALID_SCOPE,
        "unauthorized_client": Reason.UNAUTHORIZED_CLIENT,
        "unsupported_grant_type": Reason.UNSUPPORTED_GRANT_TYPE,
        "unsupported_token_type": Reason.UNSUPPORTED_TOKEN_TYPE,
    }
    code = error.error or "invalid_request"
    status = 401 if code == "invalid_client" else 400
    return Refusal(code, reasons.get(code, Reason.INVALID_REQUEST), status=status)


def _check_alphabet(parameters: dict[str, str]) -> None:
    """Refuse what no protocol parameter may hold before Authlib quotes it: it raises ValueError on a quote or a non-ASCII character."""
    for name, value in parameters.items():
        if not PRINTABLE.fullmatch(value) or not PRINTABLE.fullmatch(name):
            raise Refusal("invalid_request", Reason.INVALID_REQUEST, "A parameter holds a character outside printable ASCII")
        if name in {"grant_type", "token_type_hint", "client_id"} and ('"' in value or "\\" in value):
            raise Refusal("invalid_request", Reason.INVALID_REQUEST, "A parameter holds a quote or a backslash")
