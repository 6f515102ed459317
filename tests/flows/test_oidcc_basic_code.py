"""oidcc-basic-certification-test-plan: the plain code flow, its ID token and its userinfo.

OpenID Connect Core 1.0 sections 2, 3.1.2.1, 3.1.3.3, 3.1.3.7 and 5.3; RFC 6749 sections 4.1.2, 5.1 and 10.10; RFC 6750.
"""

import re
from datetime import timedelta

import httpx
import pytest
from joserfc import jws
from pydantic import ValidationError

from idp.config import ClientSettings
from tests.support.refusals import assert_refused_by_redirect, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import World

ID_TOKEN_PROTOCOL = {"iss", "sub", "aud", "iat", "exp", "auth_time", "acr", "amr", "sid", "at_hash", "nonce"}


def test_nurse_signs_in_when_application_uses_the_code_flow(world: World) -> None:
    """oidcc-server: token response fields and caching headers, ID token claims, at_hash (checked by RelyingParty), userinfo sub."""
    signed_in = world.sign_in("claire", scope="openid")
    answer, claims = signed_in.tokens.answer, signed_in.tokens.claims
    assert answer["token_type"] == "Bearer"
    assert 0 < answer["expires_in"] <= 300
    assert claims["sub"] == world.account("claire").id
    assert claims["exp"] - claims["iat"] == 300
    assert claims["auth_time"] == world.clock.timestamp()
    assert signed_in.party.userinfo(signed_in.tokens.access).json()["sub"] == claims["sub"]


def test_id_token_holds_only_the_protocol_when_nothing_more_was_asked(world: World) -> None:
    """oidcc-server: EnsureIdTokenDoesNotContainName and EnsureIdTokenDoesNotContainNonRequestedClaims."""
    assert world.sign_in("claire", scope="openid").tokens.claims.keys() == ID_TOKEN_PROTOCOL


def test_code_is_long_and_never_the_same_when_issued(world: World) -> None:
    """oidcc-server: EnsureMinimumAuthorizationCodeLength and Entropy (RFC 6749 section 10.10)."""
    browser = world.browser()
    world.sign_in("claire", browser=browser)
    codes = set()
    for _ in range(3):
        callback = browser.get(world.relying_party().begin(prompt="none")).callback
        assert callback is not None
        codes.add(callback["code"])
    assert len(codes) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43,}", code) for code in codes)


def test_every_response_names_the_issuer_once_when_it_succeeds(world: World) -> None:
    """RFC 9207 section 2: iss beside code and state, and nothing else."""
    browser = world.browser()
    party = world.relying_party()
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(party.begin()))
    assert page.callback is not None
    assert page.callback.parameters.keys() == {"code", "state", "iss"}
    assert page.callback["iss"] == world.issuer
    assert page.callback.mode == "query"
    assert page.status == 303


def test_application_is_told_when_response_type_is_missing(world: World, carnet: RelyingParty) -> None:
    """oidcc-response-type-missing: invalid_request (or unsupported_response_type) by redirect."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(response_type=None))
    callback = assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request")
    assert carnet.begun is not None
    assert callback["state"] == carnet.begun.state


@pytest.mark.parametrize("response_type", ["token", "id_token", "id_token token", "code id_token", "code token", "none", 'co"de', "cödé"])
def test_application_is_told_when_response_type_is_not_code(world: World, carnet: RelyingParty, response_type: str) -> None:
    """RFC 6749 section 4.1.2.1, RFC 9700 section 2.1.2: no implicit or hybrid flow; a quote or an accent is refused, not a server error."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(response_type=response_type))
    assert_refused_by_redirect(world, page, error="unsupported_response_type", reason="unsupported_response_type")


def test_id_token_is_signed_with_rs256_and_names_its_key_when_nothing_was_chosen(world: World) -> None:
    """oidcc-idtoken-signature: RS256 by default; the header names a published key."""
    signed_in = world.sign_in("claire")
    header = jws.extract_compact(signed_in.tokens.identity.encode()).headers()
    assert header["alg"] == "RS256"
    keys = world.machine.get(signed_in.party.metadata["jwks_uri"]).json()["keys"]
    assert header["kid"] in {key["kid"] for key in keys if key["alg"] == "RS256"}


def test_id_token_is_signed_with_es256_when_client_is_registered_so(world: World) -> None:
    """OIDCC-3.1.3.7: id_token_signed_response_alg is honoured; the access token has its own (RFC 9068 section 2.1)."""
    signed_in = world.sign_in("claire", "signataire")
    assert jws.extract_compact(signed_in.tokens.identity.encode()).headers()["alg"] == "ES256"
    header = jws.extract_compact(signed_in.tokens.access.encode()).headers()
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")


def test_client_is_never_registered_for_unsigned_id_tokens_when_it_asks() -> None:
    """oidcc-idtoken-unsigned: `none` is refused at registration, so no ID token is ever unsigned."""
    with pytest.raises(ValidationError):
        ClientSettings.model_validate({"client_id": "imprudent", "name": "Imprudent", "id_token_signed_response_alg": "none"})


def test_nonce_is_left_out_when_request_has_none(world: World) -> None:
    """oidcc-ensure-request-without-nonce-succeeds-for-code-flow."""
    party = world.relying_party()
    browser = world.browser()
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(party.begin(nonce=None)))
    assert page.callback is not None
    claims = party.read_tokens(party.redeem(page.callback["code"])).claims
    assert "nonce" not in claims


def test_nonce_comes_back_letter_for_letter_when_sent(world: World) -> None:
    """OIDCC-3.1.2.1 (nonce): passed through unmodified into the ID token."""
    nonce = "a b/%2F+&=é~'\"<nonce>"
    party = world.relying_party()
    browser = world.browser()
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(party.begin(nonce=nonce)))
    assert page.callback is not None
    assert party.read_tokens(party.redeem(page.callback["code"]), nonce=nonce).claims["nonce"] == nonce


def test_application_reads_userinfo_when_it_gets_with_a_header(world: World) -> None:
    """oidcc-userinfo-get: JSON, with the sub of the ID token."""
    signed_in = world.sign_in("claire")
    response = signed_in.party.userinfo(signed_in.tokens.access)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json()["sub"] == signed_in.tokens.claims["sub"]


def test_application_reads_userinfo_when_it_posts_with_a_header(world: World) -> None:
    """oidcc-userinfo-post-header."""
    signed_in = world.sign_in("claire")
    url = signed_in.party.metadata["userinfo_endpoint"]
    response = world.machine.post(url, headers={"Authorization": f"Bearer {signed_in.tokens.access}"})
    assert response.json() == signed_in.party.userinfo(signed_in.tokens.access).json()


def test_application_reads_userinfo_when_it_posts_the_token_in_the_body(world: World) -> None:
    """oidcc-userinfo-post-body (RFC 6750 section 2.2)."""
    signed_in = world.sign_in("claire")
    response = world.machine.post(signed_in.party.metadata["userinfo_endpoint"], data={"access_token": signed_in.tokens.access})
    assert response.json() == signed_in.party.userinfo(signed_in.tokens.access).json()


def assert_userinfo_refused(world: World, response: httpx.Response, *, error: str, reason: str, status: int) -> None:
    assert response.status_code == status
    assert f'error="{error}"' in response.headers["WWW-Authenticate"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "sub" not in response.json()
    assert world.last_event("userinfo.refused")["reason"] == reason


def test_userinfo_only_challenges_when_no_token_is_sent(world: World, carnet: RelyingParty) -> None:
    """RFC 6750 section 3.1: a request without credentials gets the bare challenge, without an error code."""
    response = world.machine.get(carnet.metadata["userinfo_endpoint"])
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert world.last_event("userinfo.refused")["reason"] == "invalid_token"


@pytest.mark.parametrize("token", ["n-importe-quoi", "a.b.c", "", "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJ4In0."])
def test_userinfo_refuses_when_token_is_not_ours(world: World, carnet: RelyingParty, token: str) -> None:
    """RFC 6750 section 3.1: invalid_token, 401."""
    response = world.machine.get(carnet.metadata["userinfo_endpoint"], headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert world.last_event("userinfo.refused")["reason"] == "invalid_token"


def test_userinfo_refuses_when_access_token_has_expired(world: World) -> None:
    """RFC 6750 section 3.1: five minutes later the token is over, though the Grant lives."""
    signed_in = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=5))
    assert_userinfo_refused(
        world, signed_in.party.userinfo(signed_in.tokens.access), error="invalid_token", reason="invalid_token", status=401
    )


def test_userinfo_refuses_when_an_id_token_is_presented(world: World) -> None:
    """RFC 9068 section 4 and RFC 8725 section 3.11: the type of a token is checked."""
    signed_in = world.sign_in("claire")
    assert_userinfo_refused(
        world, signed_in.party.userinfo(signed_in.tokens.identity), error="invalid_token", reason="invalid_token", status=401
    )


def test_userinfo_refuses_when_token_comes_in_the_url_or_twice(world: World) -> None:
    """RFC 9700 section 4.3.2: not in the query; RFC 6750 section 2: one way only."""
    signed_in = world.sign_in("claire")
    url, token = signed_in.party.metadata["userinfo_endpoint"], signed_in.tokens.access
    in_url = world.machine.get(url, params={"access_token": token})
    assert_userinfo_refused(world, in_url, error="invalid_request", reason="invalid_token", status=400)
    twice = world.machine.post(url, data={"access_token": token}, headers={"Authorization": f"Bearer {token}"})
    assert_userinfo_refused(world, twice, error="invalid_request", reason="invalid_token", status=400)


@pytest.mark.parametrize(
    ("client", "error", "status"),
    [("carnet", "invalid_token", 401), ("signataire", "insufficient_scope", 403)],  # made for its resources; made for nobody
)
def test_userinfo_refuses_when_token_is_about_an_application(world: World, client: str, error: str, status: int) -> None:
    """OIDCC-5.3.1: a client_credentials token is about nobody."""
    party = world.relying_party(client)
    token = party.client_credentials().json()["access_token"]
    assert_userinfo_refused(world, party.userinfo(token), error=error, reason=error, status=status)


def test_userinfo_is_signed_when_client_is_registered_so(world: World) -> None:
    """oidcc-userinfo-rs256 (OIDCC-5.3.2): application/jwt with iss and aud."""
    settings = world.registered["carnet"].settings.model_copy(update={"userinfo_signed_response_alg": "RS256"})
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    signed_in = world.sign_in("claire")
    response = signed_in.party.userinfo(signed_in.tokens.access)
    assert response.headers["Content-Type"] == "application/jwt"
    claims = signed_in.party.decode(response.text, "RS256").claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == (world.issuer, "carnet", signed_in.tokens.claims["sub"])
