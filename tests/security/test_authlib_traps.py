"""Authlib's unsafe defaults, one by one: each probe first breaks a plain Authlib server, then is turned on ours.

The plain server is in tests/support/plain_authlib.py.
When a probe no longer breaks it, Authlib has changed: read what, and see whether our cure is still needed.
"""

import html
import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc6749.hooks import Hookable
from authlib.oidc.core.grants.util import create_response_mode_response

import idp
from tests.support.browser import Browser
from tests.support.plain_authlib import CALLBACK, PlainServer, PlainStore
from tests.support.relying_party import challenge
from tests.support.wire import Wire
from tests.support.world import World

VERIFIER = "v" * 64


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

    wire = Wire(broken, world.issuer, frozenset())
    with pytest.raises(AssertionError, match="reflected markup"):
        wire.check(wire.send("GET", "/"), {})
