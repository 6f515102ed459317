"""Client authentication at the token endpoint: oidcc-server with client_secret_basic, oidcc-server-client-secret-post, and private_key_jwt.

OpenID Connect Core 1.0 section 9; RFC 6749 sections 2.3 and 5.2; RFC 7523 section 3 with the audience rule of draft-ietf-oauth-rfc7523bis.
"""

import base64
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from idp.crypto import digest
from tests.support.refusals import assert_token_refused, nothing_issued
from tests.support.relying_party import ASSERTION_TYPE, RelyingParty, basic
from tests.support.world import World


@pytest.mark.parametrize("client", ["carnet", "envoi", "signataire", "tablette", "bureau"])
def test_application_gets_tokens_when_it_proves_itself_as_registered(world: World, client: str) -> None:
    """oidcc-server, oidcc-server-client-secret-post, oidcc-ensure-client-assertion-with-iss-aud-succeeds, and the public ones."""
    assert world.sign_in("claire", client).tokens.claims["aud"] == client


def credentials(world: World, client: str = "carnet") -> dict[str, str]:
    return {"client_id": client, "client_secret": world.registered[client].secret or ""}


def assert_unproven(world: World, response: httpx.Response, *, is_basic: bool) -> None:
    """invalid_client, 401, the challenge only to those who used the Authorization header; always with the same words."""
    assert_token_refused(world, response, error="invalid_client", reason="client_authentication_failed", status=401, client_id=None)
    assert response.json()["error_description"] == "Client authentication failed"
    assert response.headers.get("WWW-Authenticate", "").startswith("Basic") == is_basic


@pytest.mark.parametrize(
    "header",
    [
        basic("carnet", "faux"),
        basic("carnet", ""),
        basic("inconnu", "faux"),
        basic("tablette", "faux"),
        basic("tablette", ""),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"carnet").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Bearer abc",
        "Digest username=carnet",
    ],
)
def test_application_is_refused_when_its_basic_credentials_are_wrong(world: World, header: str) -> None:
    """RFC 6749 section 5.2: 401 with WWW-Authenticate, whether the client exists or not."""
    with nothing_issued(world):
        response = world.machine.post("/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header})
        assert_unproven(world, response, is_basic=True)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"client_id": "envoi"},
        {"client_id": "envoi", "client_secret": "faux"},
        {"client_id": "envoi", "client_secret": ""},
        {"client_id": "inconnu", "client_secret": "faux"},
        {"client_secret": "faux"},
        {"client_id": "carnet"},
        {"client_id": "signataire"},
    ],
)
def test_application_is_refused_when_its_posted_credentials_are_wrong(world: World, fields: dict[str, str]) -> None:
    """RFC 6749 sections 2.3.1 and 3.2.1: a confidential client never passes by its name alone."""
    with nothing_issued(world):
        assert_unproven(world, world.machine.post("/token", data={"grant_type": "client_credentials", **fields}), is_basic=False)


def test_application_is_refused_when_it_posts_a_secret_registered_for_basic(world: World) -> None:
    """OIDCC-9: only the registered method, even with the right secret."""
    with nothing_issued(world):
        response = world.machine.post("/token", data={"grant_type": "client_credentials", **credentials(world)})
        assert_unproven(world, response, is_basic=False)


def test_application_is_refused_when_it_sends_by_header_a_secret_registered_for_post(world: World) -> None:
    """OIDCC-9, the other way round."""
    party = world.relying_party("envoi")
    tokens = world.sign_in("claire", "envoi").tokens
    headers = {"Authorization": basic("envoi", party.registered.secret or "")}
    with nothing_issued(world):
        response = world.machine.post("/token", data={"grant_type": "refresh_token", "refresh_token": tokens.refresh}, headers=headers)
        assert_unproven(world, response, is_basic=True)


def test_application_is_refused_when_it_uses_two_methods(world: World) -> None:
    """RFC 6749 section 2.3: not more than one in a request, even when both are right."""
    secret = credentials(world)
    both = {"Authorization": basic(secret["client_id"], secret["client_secret"])}
    assertion = world.relying_party("signataire").assertion()
    for data, headers in (
        (secret, both),
        ({**secret, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, {}),
        ({"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, both),
    ):
        with nothing_issued(world):
            response = world.machine.post("/token", data={"grant_type": "client_credentials", **data}, headers=headers)
            assert_token_refused(world, response, error="invalid_request", reason="client_authentication_failed", client_id=None)


def test_application_is_refused_when_body_names_another_client(world: World) -> None:
    """RFC 6749 section 3.2.1: client_id beside the Authorization header must be the same one."""
    with nothing_issued(world):
        response = world.relying_party("carnet").client_credentials(client_id="autre")
        assert_unproven(world, response, is_basic=True)


def test_application_is_refused_when_credentials_are_in_the_url(world: World) -> None:
    """RFC 6749 section 2.3.1: never in the request URI."""
    with nothing_issued(world):
        response = world.machine.post("/token", params=credentials(world), data={"grant_type": "client_credentials"})
        assert_token_refused(world, response, error="invalid_request", reason="invalid_request", client_id=None)


def test_application_is_refused_when_a_token_parameter_is_repeated(world: World) -> None:
    """RFC 6749 section 3.2: not more than once."""
    with nothing_issued(world):
        response = world.machine.post(
            "/token",
            content="grant_type=client_credentials&grant_type=client_credentials",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic("carnet", "x")},
        )
        assert_token_refused(world, response, error="invalid_request", reason="duplicate_parameter", client_id=None)


def test_token_endpoint_takes_only_posts_when_asked_otherwise(world: World) -> None:
    """RFC 6749 section 3.2."""
    with nothing_issued(world):
        response = world.machine.get("/token", params={"grant_type": "client_credentials"})
        assert_token_refused(world, response, error="invalid_request", reason="invalid_request", status=405, client_id=None)
    assert response.headers["Allow"] == "POST"


def by_assertion(world: World, assertion: str, **fields: str) -> httpx.Response:
    body = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **fields}
    return world.machine.post("/token", data={name: value for name, value in body.items() if value})


def test_application_gets_a_token_when_its_assertion_is_right(world: World) -> None:
    """RFC 7523 section 3: aud is the issuer as a string; client_id may be there when it agrees."""
    signer = world.relying_party("signataire")
    assert by_assertion(world, signer.assertion()).status_code == 200
    assert by_assertion(world, signer.assertion(), client_id="signataire").status_code == 200
    assert by_assertion(world, signer.assertion(iat=None)).status_code == 200


Claims = Callable[[World], dict[str, Any]]


@pytest.mark.parametrize(
    "claims",
    [
        lambda world: {"aud": [world.issuer]},
        lambda world: {"aud": [world.issuer, f"{world.issuer}/token"]},
        lambda world: {"aud": f"{world.issuer}/token"},
        lambda world: {"aud": f"{world.issuer}/"},
        lambda world: {"aud": "https://autre.example"},
        lambda world: {"aud": None},
        lambda world: {"exp": world.clock.timestamp() - 31},
        lambda world: {"exp": world.clock.timestamp() + 3600},
        lambda world: {"exp": None},
        lambda world: {"exp": "bientôt"},
        lambda world: {"exp": True},
        lambda world: {"nbf": world.clock.timestamp() + 60},
        lambda world: {"iat": world.clock.timestamp() + 60},
        lambda world: {"jti": None},
        lambda world: {"jti": ""},
        lambda world: {"jti": 7},
        lambda world: {"jti": "x" * 256},
        lambda world: {"iss": "carnet"},
        lambda world: {"iss": None},
        lambda world: {"sub": "carnet"},
        lambda world: {"sub": None},
        lambda world: {"sub": ["signataire"]},
    ],
)
def test_application_is_refused_when_a_claim_of_its_assertion_is_wrong(world: World, claims: Claims) -> None:
    """RFC 7523 section 3; rfc7523bis: a list of audiences, or the token endpoint, would work at another server too."""
    with nothing_issued(world):
        assert_unproven(world, by_assertion(world, world.relying_party("signataire").assertion(**claims(world))), is_basic=False)


def test_application_is_refused_when_its_assertion_comes_twice(world: World) -> None:
    """RFC 7523 section 3 (jti): once, also when the clock moved on while it was still good."""
    assertion = world.relying_party("signataire").assertion(exp=world.clock.timestamp() + 300)
    assert by_assertion(world, assertion).status_code == 200
    world.clock.advance(timedelta(minutes=4))
    with nothing_issued(world):
        response = by_assertion(world, assertion)
        assert_token_refused(world, response, error="invalid_client", reason="client_assertion_replayed", status=401, client_id=None)


def test_assertion_is_used_once_when_two_requests_race(world: World) -> None:
    """RFC 7523 section 3 (jti) at the same instant."""
    assertion = world.relying_party("signataire").assertion()
    with ThreadPoolExecutor(2) as pool:
        answers = [future.result().status_code for future in [pool.submit(by_assertion, world, assertion) for _ in range(2)]]
    assert sorted(answers) == [200, 401]


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def test_application_is_refused_when_its_assertion_is_signed_otherwise(world: World) -> None:
    """RFC 7523 section 3.9, RFC 8725 section 3.1: another key, a shared secret made of the public key, no signature, or not a JWT."""
    signer = world.relying_party("signataire")
    registered = signer.registered.key
    assert registered is not None
    good = signer.assertion()
    claims = dict(jwt.decode(good, registered, algorithms=["ES256"]).claims)
    stranger = ECKey.generate_key("P-256", {"kid": "signataire-1"}, private=True)
    payload = good.split(".")[1]
    none = segment(b'{"alg":"none"}')
    symmetric = segment(b'{"alg":"HS256","kid":"signataire-1"}') + f".{payload}"
    confused = f"{symmetric}.{segment(hmac.digest(registered.as_pem(private=False), symmetric.encode(), 'sha256'))}"
    for assertion in (
        jwt.encode({"alg": "ES256", "kid": "signataire-1"}, claims, stranger, algorithms=["ES256"]),
        confused,
        f"{none}.{payload}.",
        good[:-6] + "AAAAAA",
        "n-importe-quoi",
        "a.b.c",
    ):
        with nothing_issued(world):
            assert_unproven(world, by_assertion(world, assertion), is_basic=False)


def test_application_is_refused_when_assertion_is_of_another_kind_or_client(world: World) -> None:
    """RFC 7521 section 4.2: the type is checked, and client_id must agree with the subject."""
    signer = world.relying_party("signataire")
    for fields in (
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion_type": ""},
        {"client_id": "carnet"},
        {"client_assertion": ""},
    ):
        with nothing_issued(world):
            assert_unproven(world, by_assertion(world, **{"assertion": signer.assertion(), **fields}), is_basic=False)


def test_secret_may_hold_any_character_when_form_encoded(world: World) -> None:
    """RFC 6749 section 2.3.1: both halves of Basic are form-encoded, so a plus is a space and %2B a plus."""
    secret = "é:+ %2B&=" + "x" * 40
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        tx.clients.put(kept.settings, secret_digest=digest(secret), source=kept.source, now=world.clock.now())
    headers = {"Authorization": basic("carnet", secret)}
    response = world.machine.post("/token", data={"grant_type": "client_credentials"}, headers=headers)
    assert response.status_code == 200


def test_application_is_refused_when_its_old_secret_was_replaced(world: World, carnet: RelyingParty) -> None:
    """House rule: the cached client is forgotten at once."""
    assert carnet.client_credentials().status_code == 200
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        tx.clients.put(kept.settings, secret_digest="autre", source=kept.source, now=world.clock.now())
    with nothing_issued(world):
        assert_unproven(world, carnet.client_credentials(), is_basic=True)
