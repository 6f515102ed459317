"""oidcc-config-certification-test-plan, and the discovery modules of the two logout plans.

OpenID Connect Discovery 1.0 sections 3 and 4, RFC 8414, RFC 9207 section 3, RP-Initiated Logout 1.0 section 2.1, Back-Channel Logout 1.0 section 2.1.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.relying_party import RelyingParty
from tests.support.world import World

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "introspection_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
)


@pytest.fixture
def metadata(carnet: RelyingParty) -> dict[str, Any]:
    """The discovery document."""
    return carnet.metadata


def test_anybody_reads_the_metadata_when_asking_below_the_issuer(world: World) -> None:
    """oidcc-discovery-endpoint-verification: 200, application/json, and the issuer is the address it was found at."""
    response = world.machine.get(WELL_KNOWN)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["issuer"] == world.issuer
    assert urlsplit(world.issuer).scheme == "https"
    assert not urlsplit(world.issuer).query
    assert not urlsplit(world.issuer).fragment


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("response_types_supported", {"code"}),
        ("response_modes_supported", {"query", "form_post"}),
        ("grant_types_supported", {"authorization_code", "refresh_token", "client_credentials"}),
        ("subject_types_supported", {"public"}),
        ("id_token_signing_alg_values_supported", {"RS256", "ES256"}),
        ("userinfo_signing_alg_values_supported", {"RS256"}),
        ("token_endpoint_auth_methods_supported", {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}),
        ("token_endpoint_auth_signing_alg_values_supported", {"RS256", "ES256"}),
        ("scopes_supported", {"openid", "profile", "email", "phone", "address", "offline_access", "establishment"}),
        ("claims_supported", {"sub", "iss", "auth_time", "name", "email", "address", "phone_number", "establishment", "roles"}),
        ("code_challenge_methods_supported", {"S256"}),
        ("prompt_values_supported", {"none", "login", "consent", "select_account"}),
        ("display_values_supported", {"page"}),
        ("ui_locales_supported", {"fr", "en"}),
    ],
)
def test_metadata_lists_what_the_profiles_need_when_read(metadata: dict[str, Any], name: str, held: set[str]) -> None:
    """oidcc-discovery-endpoint-verification: arrays of strings, each with the values that the specifications make mandatory."""
    values = metadata[name]
    assert isinstance(values, list)
    assert all(isinstance(value, str) for value in values)
    assert len(values) == len(set(values))
    assert held <= set(values)


def test_metadata_never_offers_unsigned_tokens_or_plain_pkce_when_read(metadata: dict[str, Any]) -> None:
    """oidcc-idtoken-unsigned: `none` is nowhere among the algorithms; RFC 9700 section 2.1.1: `plain` is not offered."""
    for name, values in metadata.items():
        if name.endswith("signing_alg_values_supported"):
            assert "none" not in values, name
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert "registration_endpoint" not in metadata


def test_metadata_says_which_parameters_work_when_read(metadata: dict[str, Any]) -> None:
    """oidcc-discovery-endpoint-verification: request_uri defaults to true (Discovery section 3), so its absence must be written down."""
    assert metadata["claims_parameter_supported"] is True
    assert metadata["request_parameter_supported"] is False
    assert metadata["request_uri_parameter_supported"] is False
    assert metadata["authorization_response_iss_parameter_supported"] is True


def test_metadata_has_well_formed_scopes_and_locales_when_read(metadata: dict[str, Any]) -> None:
    """oidcc-discovery-endpoint-verification: scope tokens (RFC 6749 section 3.3) and language tags in canonical case (BCP 47)."""
    assert all(SCOPE_TOKEN.fullmatch(scope) for scope in metadata["scopes_supported"])
    assert all(re.fullmatch(r"[a-z]{2,3}(-[A-Z]{2})?", tag) for tag in metadata["ui_locales_supported"])


def test_metadata_gives_https_addresses_of_the_issuer_when_read(world: World, metadata: dict[str, Any]) -> None:
    """oidcc-discovery-endpoint-verification: every endpoint is https, without a fragment, on the issuer's own host."""
    addresses = {name: value for name, value in metadata.items() if name.endswith(("_endpoint", "_uri"))}
    assert set(ENDPOINTS) <= addresses.keys()
    for name, address in addresses.items():
        assert address.startswith(f"{world.issuer}/"), name
        assert "#" not in address


def test_metadata_keeps_the_configured_issuer_when_host_header_says_otherwise(world: World) -> None:
    """House rule behind OIDCD-4.3: absolute URLs come from the configuration, never from Host or X-Forwarded-Host."""
    headers = {"Host": "voleur.example", "X-Forwarded-Host": "voleur.example", "X-Forwarded-Proto": "http"}
    assert world.machine.get(WELL_KNOWN, headers=headers).json() == world.machine.get(WELL_KNOWN).json()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_stranger_finds_each_advertised_endpoint_when_following_the_metadata(world: World, metadata: dict[str, Any], endpoint: str) -> None:
    """oidcc-discovery-endpoint-verification: what is advertised exists; a bare GET is answered, well or with the protocol's own error."""
    response = world.machine.get(metadata[endpoint])
    assert response.status_code in {200, 400, 401, 405}, (endpoint, response.status_code)


def test_metadata_and_keys_are_read_only_when_posted_to(world: World, metadata: dict[str, Any]) -> None:
    """RFC 8414 section 3: they are read by GET; another method is refused and says which ones work."""
    for address in (f"{world.issuer}{WELL_KNOWN}", metadata["jwks_uri"]):
        refused = world.machine.post(address)
        assert refused.status_code == 405
        assert refused.headers["Allow"] == "GET, HEAD"
        head = world.machine.head(address)
        assert (head.status_code, head.content) == (200, b"")


def test_keys_are_public_and_usable_when_fetched(world: World, metadata: dict[str, Any]) -> None:
    """oidcc-discovery-endpoint-verification (ValidateJwks): no private part, a kid each, use and alg, RSA of 2048 bits or more."""
    response = world.machine.get(metadata["jwks_uri"])
    assert response.headers["Content-Type"] == "application/json"
    keys = response.json()["keys"]
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
        assert key["use"] == "sig"
        if key["kty"] == "RSA":
            assert len(key["n"]) * 6 >= 2048
    assert {key["alg"] for key in keys} >= set(metadata["id_token_signing_alg_values_supported"])


def test_each_algorithm_publishes_a_key_before_it_signs_when_fetched(world: World, metadata: dict[str, Any]) -> None:
    """OIDCC-10.1.1 (OP-Rotation-OP-Sig): the next key is published beside the current one, so that a cached JWKS survives a rotation."""
    algorithms = [key["alg"] for key in world.machine.get(metadata["jwks_uri"]).json()["keys"]]
    assert all(algorithms.count(algorithm) >= 2 for algorithm in ("RS256", "ES256"))


def test_metadata_names_the_end_session_endpoint_when_read(world: World, metadata: dict[str, Any]) -> None:
    """oidcc-rp-initiated-logout-discovery-endpoint-verification."""
    assert metadata["end_session_endpoint"] == f"{world.issuer}/logout"


def test_metadata_offers_back_channel_logout_with_sid_when_read(metadata: dict[str, Any]) -> None:
    """oidcc-backchannel-logout-discovery-endpoint-verification: the profile needs session support too."""
    assert metadata["backchannel_logout_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True
