"""A plain Authlib server: what its own guide leads to, its grants and extensions as they come, storage in dictionaries, a bridge to nothing.

Only tests/security/test_authlib_traps.py uses it, to show that each trap is one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import grants as authlib_grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge

from tests.support.relying_party import basic

CALLBACK = "https://carnet.example/retour"


class PlainClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A confidential client that may do everything."""

    client_id = "carnet"

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return CALLBACK

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == CALLBACK

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == "secret"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


@dataclass
class PlainCode:
    """A stored code, with what Authlib's guide says to store."""

    code: str
    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class PlainToken:
    """A stored refresh token."""

    refresh_token: str
    is_revoked: bool = False

    def check_client(self, client: PlainClient) -> bool:
        return True

    def get_scope(self) -> str:
        return "openid"


@dataclass
class PlainStore:
    """What the plain server remembers. `pause` is called between finding a one-time thing and using it up: where any database waits."""

    codes: dict[str, PlainCode] = field(default_factory=dict)
    tokens: dict[str, PlainToken] = field(default_factory=dict)
    pause: Callable[[], object] = lambda: None


class PlainRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """A request of plain values."""

    def __init__(self, method: str, parameters: dict[str, str], headers: dict[str, str]) -> None:
        super().__init__(method, "https://plain.example/", headers=headers)
        self.payload = BasicOAuth2Payload(parameters)

    @property
    def form(self) -> dict[str, str]:
        return dict(self.payload.data)


class PlainServer(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib as it comes."""

    def __init__(self, store: PlainStore) -> None:
        super().__init__()
        self.store = store
        self.register_token_generator("default", self._bearer)
        self.register_grant(_plain_code_grant(store), [CodeChallenge(required=True)])
        self.register_grant(_plain_refresh_grant(store))

    def query_client(self, client_id: str) -> PlainClient | None:
        return PlainClient() if client_id == "carnet" else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        if "refresh_token" in token:
            self.store.tokens[token["refresh_token"]] = PlainToken(token["refresh_token"])

    def _bearer(self, include_refresh_token: bool, **_: Any) -> dict[str, Any]:
        token = {"token_type": "Bearer", "access_token": generate_token(42)}
        return {**token, "refresh_token": generate_token(42)} if include_refresh_token else token

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        return

    def create_oauth2_request(self, request: PlainRequest) -> PlainRequest:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, dict[str, str]]:
        return status, body, dict(headers)

    def authorize(self, **parameters: str) -> tuple[int, Any, dict[str, str]]:
        """/authorize by somebody who is signed in and agrees."""
        request = PlainRequest("GET", {"client_id": "carnet", "redirect_uri": CALLBACK, "scope": "openid", **parameters}, {})
        try:
            grant = self.get_consent_grant(request, end_user="claire")
        except OAuth2Error as error:
            return error.status_code, dict(error.get_body()), {}
        answer: tuple[int, Any, dict[str, str]] = self.create_authorization_response(request, grant_user="claire", grant=grant)
        return answer

    def code(self, **parameters: str) -> str:
        """A code from /authorize."""
        status, body, headers = self.authorize(response_type="code", **parameters)
        assert status == 302, body
        return dict(parse_qsl(urlsplit(headers["Location"]).query))["code"]

    def token(self, **parameters: str) -> tuple[int, Any]:
        """/token as the client."""
        request = PlainRequest("POST", {"redirect_uri": CALLBACK, **parameters}, {"Authorization": basic("carnet", "secret")})
        status, body, _ = self.create_token_response(request)
        return status, body


def _plain_code_grant(store: PlainStore) -> type:
    class Grant(authlib_grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
        def save_authorization_code(self, code: str, request: PlainRequest) -> None:
            asked = request.payload.data
            method = asked.get("code_challenge_method")
            store.codes[code] = PlainCode(code, request.payload.redirect_uri, request.scope, asked.get("code_challenge"), method)

        def query_authorization_code(self, code: str, client: PlainClient) -> PlainCode | None:
            found = store.codes.get(code)
            store.pause()
            return found

        def delete_authorization_code(self, authorization_code: PlainCode) -> None:
            store.codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: PlainCode) -> str:
            return "claire"

    return Grant


def _plain_refresh_grant(store: PlainStore) -> type:
    class Grant(authlib_grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> PlainToken | None:
            found = store.tokens.get(refresh_token)
            usable = found if found and not found.is_revoked else None
            store.pause()
            return usable

        def authenticate_user(self, refresh_token: PlainToken) -> str:
            return "claire"

        def revoke_old_credential(self, refresh_token: PlainToken) -> None:
            refresh_token.is_revoked = True

    return Grant
