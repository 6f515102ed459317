"""Authlib's unsafe defaults, one by one: each probe first breaks a plain Authlib server, then is turned on ours.

The plain server below is what Authlib's own guide leads to: its grants and extensions as they come, storage in dictionaries, a bridge to nothing.
When a probe no longer breaks it, Authlib has changed: read what, and see whether our cure is still needed.
"""

import html
import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import grants as authlib_grants
from authlib.oauth2.rfc6749.hooks import Hookable
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants.util import create_response_mode_response

import idp
from tests.support.browser import Browser
from tests.support.relying_party import basic, challenge
from tests.support.wire import Wire
from tests.support.world import World

CALLBACK = "https://carnet.example/retour"
VERIFIER = "v" * 64


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
            store.pause()
            return found if found and not found.is_revoked else None

        def authenticate_user(self, refresh_token: PlainToken) -> str:
            return "claire"

        def revoke_old_credential(self, refresh_token: PlainToken) -> None:
            refresh_token.is_revoked = True

    return Grant


@pytest.fixture
def plain() -> PlainServer:
    """The plain server."""
    return PlainServer(PlainStore())


@pytest.fixture
def claire(world: World) -> Browser:
    """A browser of ours where Claire is signed in."""
    return world.sign_in("claire", "carnet").browser


def two_at_once(act: Callable[[], Any]) -> list[Any]:
    """The results of two threads."""
    with ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(act), pool.submit(act)]]


def meet(store: PlainStore) -> None:
    """Let two requests find the one-time thing before either uses it up."""
    store.pause = threading.Barrier(2, timeout=10).wait


# 1. PKCE


def test_trap_1_required_pkce_is_required_at_authorize(plain: PlainServer, world: World, claire: Browser) -> None:
    # CodeChallenge(required=True) lets a confidential client through from end to end.
    status, body = plain.token(grant_type="authorization_code", code=plain.code())
    assert (status, "access_token" in body) == (200, True)

    party = world.relying_party("carnet")
    callback = claire.get(party.begin(code_challenge=None)).callback
    assert callback is not None
    assert (callback.get("error"), callback.get("code")) == ("invalid_request", None)
    assert world.last_event("authorization.")["reason"] == "pkce_required"


def test_trap_1_plain_challenge_is_refused(plain: PlainServer, world: World, claire: Browser) -> None:
    code = plain.code(code_challenge=VERIFIER, code_challenge_method="plain")
    assert plain.token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)[0] == 200

    callback = claire.get(world.relying_party("carnet").begin(code_challenge=VERIFIER, code_challenge_method="plain")).callback
    assert callback is not None
    assert (callback.get("error"), callback.get("code")) == ("invalid_request", None)
    assert world.last_event("authorization.")["reason"] == "pkce_method_refused"


def test_trap_1_challenge_without_a_method_is_refused(plain: PlainServer, world: World, claire: Browser) -> None:
    # It would mean `plain`.
    code = plain.code(code_challenge=VERIFIER)
    assert plain.token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)[0] == 200

    callback = claire.get(world.relying_party("carnet").begin(code_challenge=challenge(VERIFIER), code_challenge_method=None)).callback
    assert callback is not None
    assert (callback.get("error"), callback.get("code")) == ("invalid_request", None)
    assert world.last_event("authorization.")["reason"] == "pkce_method_refused"


# 2. One-time things


def test_trap_2_one_code_is_redeemed_once_by_two_requests(plain: PlainServer, world: World, claire: Browser) -> None:
    code = plain.code(code_challenge=challenge(VERIFIER), code_challenge_method="S256")
    meet(plain.store)
    answers = two_at_once(lambda: plain.token(grant_type="authorization_code", code=code, code_verifier=VERIFIER))
    assert [status for status, _ in answers] == [200, 200]

    party = world.relying_party("carnet")
    callback = claire.get(party.begin()).callback
    assert callback is not None
    responses = two_at_once(lambda: party.redeem(callback["code"]))
    assert sorted(response.status_code for response in responses) == [200, 400]


def test_trap_2_code_that_comes_back_ends_the_tokens_it_gave(plain: PlainServer, world: World, claire: Browser) -> None:
    code = plain.code()
    first = plain.token(grant_type="authorization_code", code=code)[1]
    assert plain.token(grant_type="authorization_code", code=code)[0] == 400
    assert plain.token(grant_type="refresh_token", refresh_token=first["refresh_token"])[0] == 200

    party = world.relying_party("carnet")
    callback = claire.get(party.begin()).callback
    assert callback is not None
    first = party.redeem(callback["code"]).json()
    assert party.redeem(callback["code"]).status_code == 400
    assert party.refresh(first["refresh_token"]).status_code == 400
    assert party.introspect(first["access_token"]).json() == {"active": False}


def test_trap_2_one_refresh_token_gives_one_successor(plain: PlainServer, world: World) -> None:
    token = plain.token(grant_type="authorization_code", code=plain.code())[1]["refresh_token"]
    meet(plain.store)
    answers = two_at_once(lambda: plain.token(grant_type="refresh_token", refresh_token=token))
    assert [status for status, _ in answers] == [200, 200]
    assert len({body["refresh_token"] for _, body in answers}) == 2

    signed_in = world.sign_in("claire", "carnet")
    responses = two_at_once(lambda: signed_in.party.refresh(signed_in.tokens.refresh))
    assert len({response.json()["refresh_token"] for response in responses}) == 1


def test_trap_2_rotated_token_that_comes_back_ends_the_family(plain: PlainServer, world: World) -> None:
    old = plain.token(grant_type="authorization_code", code=plain.code())[1]["refresh_token"]
    new = plain.token(grant_type="refresh_token", refresh_token=old)[1]["refresh_token"]
    assert plain.token(grant_type="refresh_token", refresh_token=old)[0] == 400
    # The thief, or the victim, goes on undisturbed.
    assert plain.token(grant_type="refresh_token", refresh_token=new)[0] == 200

    signed_in = world.sign_in("claire", "tablette")
    new = signed_in.party.refresh(signed_in.tokens.refresh).json()["refresh_token"]
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 400
    assert signed_in.party.refresh(new).status_code == 400


# 3. Characters


@pytest.mark.parametrize("character", ['"', "é", "\\"])
def test_trap_3_odd_characters_are_refused_not_fallen_over(plain: PlainServer, world: World, claire: Browser, character: str) -> None:
    with pytest.raises(ValueError, match="forbidden characters"):
        plain.authorize(response_type=f"code{character}")
    with pytest.raises(ValueError, match="forbidden characters"):
        plain.authorize(response_type="code", redirect_uri=f"{CALLBACK}{character}")

    party = world.relying_party("carnet")
    callback = claire.get(party.begin(response_type=f"code{character}")).callback
    assert callback is not None
    assert callback["error"] == "unsupported_response_type"
    assert claire.get(party.begin(redirect_uri=f"{CALLBACK}{character}")).status == 400
    for name in (
        "grant_type",
        "scope",
        "client_id",
        "redirect_uri",
        "code",
        "code_verifier",
        "refresh_token",
        "resource",
        "token_type_hint",
    ):
        response = party.token(**{"grant_type": "authorization_code", "code": "x", name: f"x{character}"})
        assert response.status_code in {400, 401}, (name, response.text)
        assert response.json()["error"] != "server_error"


# 4. form_post and hooks


def test_trap_4_form_post_brings_the_state_back_as_it_was_sent(world: World, claire: Browser) -> None:
    state = "é/ +%2F&=\"'<x7q>"
    _, body, _ = create_response_mode_response(CALLBACK, [("code", "x"), ("state", state)], "form_post")
    # A browser undoes HTML escaping only: what Authlib wrote would come to the application percent-encoded.
    assert html.escape(state) not in body
    assert "%C3%A9" in body

    callback = claire.get(world.relying_party("carnet").begin(state=state, response_mode="form_post")).callback
    assert callback is not None
    assert (callback.mode, callback["state"]) == ("form_post", state)


def test_trap_4_our_checks_do_not_lean_on_the_order_of_hooks() -> None:
    # Hooks sit in a set: two extensions on one hook run in an order that nobody chose.
    assert isinstance(Hookable()._hooks["anything"], set)

    from idp.oauth.authorize import CHECKS
    from idp.oauth.provider import Provider

    assert isinstance(CHECKS, tuple)
    assert [check.__name__ for check in CHECKS[:3]] == ["read_parameters", "find_client", "prove_redirect_uri"]
    assert Provider is not None


def test_trap_4_each_of_our_grants_has_at_most_one_extension(world: World) -> None:
    server = world.application.provider._server
    assert all(len(extensions or ()) <= 1 for _, extensions in server._token_grants)
    # /authorize is never Authlib's.
    assert not hasattr(server, "authorize")


# 5. What Authlib does not have


def test_trap_5_only_what_is_there_is_announced(world: World) -> None:
    assert list(Path(importlib.import_module("authlib.oauth2.rfc8693").__file__ or "").parent.glob("*.py")) != []
    assert not [name for name in vars(importlib.import_module("authlib.oauth2.rfc8693")) if not name.startswith("_")]
    for absent in ("rfc9126", "rfc9449", "rfc8705", "rfc9396"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"authlib.oauth2.{absent}")

    metadata = world.machine.get("/.well-known/openid-configuration").json()
    announced = {
        "pushed_authorization_request_endpoint",
        "require_pushed_authorization_requests",
        "dpop_signing_alg_values_supported",
        "tls_client_certificate_bound_access_tokens",
        "mtls_endpoint_aliases",
        "authorization_details_types_supported",
        "backchannel_authentication_endpoint",
        "frontchannel_logout_supported",
        "registration_endpoint",
        "device_authorization_endpoint",
    }
    assert announced.isdisjoint(metadata)
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["grant_types_supported"] == ["authorization_code", "refresh_token", "client_credentials"]


@pytest.mark.parametrize(
    "grant_type",
    [
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "password",
        "implicit",
    ],
)
def test_trap_5_other_grants_are_refused(world: World, grant_type: str) -> None:
    response = world.relying_party("carnet").token(grant_type=grant_type, username="claire", password="x", assertion="x", device_code="x")
    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


# 6. JOSE


def test_trap_6_legacy_jose_is_never_imported() -> None:
    sources = [path for path in Path(idp.__file__).parent.rglob("*.py") if "authlib.jose" in path.read_text(encoding="utf-8")]
    assert sources == []


def test_the_wire_check_itself_sees_what_it_looks_for(world: World) -> None:
    def broken(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/html"), ("X-Content-Type-Options", "nosniff")])
        return [b"<p><x7q></p>"]

    wire = Wire(broken, world.issuer, frozenset())  # type: ignore[arg-type]  # a WSGI application
    with pytest.raises(AssertionError, match="reflected markup"):
        wire.check(wire.send("GET", "/"), {})
