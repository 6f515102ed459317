"""oidcc-claims-essential, and the rest of the `claims` parameter.

OpenID Connect Core 1.0 sections 5.5, 5.5.1, 5.5.1.1 (acr) and 5.5.2; section 3.1.2.2 for the sub value.
"""

import json
from typing import Any

import pytest

from idp.signin.local import ACR_PASSWORD
from tests.support.refusals import assert_refused_by_redirect, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import SignedIn, World

TILLEULS = {"slug": "tilleuls", "name": "Les Tilleuls", "finess": "690012345", "siret": "12345678200010"}


def sign_in(world: World, claims: dict[str, Any], *, scope: str = "openid") -> SignedIn:
    return world.sign_in("claire", scope=scope, claims=json.dumps(claims))


def test_application_reads_the_name_when_it_says_it_is_essential(world: World) -> None:
    """oidcc-claims-essential: in userinfo, and not in the ID token."""
    signed_in = sign_in(world, {"userinfo": {"name": {"essential": True}}})
    found = signed_in.party.userinfo(signed_in.tokens.access).json()
    assert found == {"sub": signed_in.tokens.claims["sub"], "name": "Claire Dubois"}
    assert "name" not in signed_in.tokens.claims


def test_application_finds_claims_in_the_id_token_when_it_asks_them_there(world: World) -> None:
    """OIDCC-5.5: `id_token` and `userinfo` are asked apart; null is a voluntary request."""
    signed_in = sign_in(world, {"id_token": {"email": None, "given_name": {"essential": False}}, "userinfo": {"phone_number": None}})
    claims = signed_in.tokens.claims
    assert (claims["email"], claims["given_name"]) == ("claire.dubois@tilleuls.example", "Claire")
    assert "phone_number" not in claims
    assert signed_in.party.userinfo(signed_in.tokens.access).json().keys() == {"sub", "phone_number"}


def test_claims_add_to_scopes_when_both_are_asked(world: World) -> None:
    """OIDCC-5.5: beyond those of the scopes."""
    signed_in = sign_in(world, {"userinfo": {"phone_number": None}}, scope="openid email")
    assert signed_in.party.userinfo(signed_in.tokens.access).json().keys() == {"sub", "email", "email_verified", "phone_number"}


def test_application_reads_the_establishment_when_it_asks_it_as_claims(world: World) -> None:
    """Our claims one by one: without the scope, only those that were named."""
    signed_in = sign_in(world, {"id_token": {"establishment": {"essential": True}}, "userinfo": {"roles": None, "attachments": None}})
    assert signed_in.tokens.claims["establishment"] == TILLEULS
    assert not signed_in.tokens.claims.keys() & {"roles", "sector", "attachments"}
    found = signed_in.party.userinfo(signed_in.tokens.access).json()
    assert found.keys() == {"sub", "roles", "attachments"}
    assert found["roles"] == ["nurse"]


def test_claims_come_again_when_tokens_are_refreshed(world: World) -> None:
    """OIDCC-12.2 with 5.5: the request belongs to the Grant."""
    signed_in = sign_in(world, {"id_token": {"email": None}})
    again = signed_in.party.read_tokens(signed_in.party.refresh(signed_in.tokens.refresh))
    assert again.claims["email"] == signed_in.tokens.claims["email"]


def test_nurse_signs_in_when_claims_that_nobody_has_are_essential(world: World) -> None:
    """OIDCC-5.5.1: a claim that cannot be given, even essential, is no error; unknown members and languages are ignored."""
    claims = {
        "id_token": {"urn:autre": {"essential": True, "values": ["a"]}, "name#fr": None, "sub": None},
        "userinfo": {"birthdate": {"essential": True}, "picture": None},
        "autre": {"x": 1},
    }
    signed_in = sign_in(world, claims)
    assert signed_in.party.userinfo(signed_in.tokens.access).json().keys() == {"sub"}


def test_application_never_overwrites_the_protocol_when_it_asks_its_claims(world: World) -> None:
    """OIDCC-5.5: a requested value is a wish about our own claims, never a value we copy."""
    claims = sign_in(world, {"id_token": {"aud": {"value": "autre"}, "email": {"value": "autre@example"}, "iss": None}}).tokens.claims
    assert (claims["aud"], claims["iss"]) == ("carnet", world.issuer)
    assert claims["email"] == "claire.dubois@tilleuls.example"


@pytest.mark.parametrize("part", ["id_token", "userinfo"])
def test_sub_value_names_who_must_be_there_when_asked(world: World, part: str) -> None:
    """OIDCC-5.5.1 and 3.1.2.2: with prompt=none, the right person passes and anybody else is login_required."""
    browser = world.sign_in("claire").browser
    mine, other = ({part: {"sub": {"value": world.account(person).id}}} for person in ("claire", "karim"))
    party = world.relying_party()
    callback = browser.get(party.begin(prompt="none", claims=json.dumps(mine))).callback
    assert callback is not None
    assert party.exchange(callback).claims["sub"] == world.account("claire").id
    with nothing_issued(world):
        page = browser.get(party.begin(prompt="none", claims=json.dumps(other)))
    assert_refused_by_redirect(world, page, error="login_required", reason="login_required")


def test_application_is_told_when_hint_and_sub_value_differ(world: World) -> None:
    """OIDCC-3.1.2.2: two different people cannot both be meant."""
    signed_in = world.sign_in("claire")
    claims = json.dumps({"id_token": {"sub": {"value": world.account("karim").id}}})
    party = world.relying_party()
    with nothing_issued(world):
        page = signed_in.browser.get(party.begin(prompt="none", claims=claims, id_token_hint=signed_in.tokens.identity))
    assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request")


def test_nurse_sees_no_page_when_the_essential_acr_is_the_one_she_has(world: World) -> None:
    """OIDCC-5.5.1.1: met by the open Session."""
    browser = world.sign_in("claire").browser
    party = world.relying_party()
    claims = json.dumps({"id_token": {"acr": {"essential": True, "values": ["urn:autre", ACR_PASSWORD]}}})
    callback = browser.get(party.begin(prompt="none", claims=claims)).callback
    assert callback is not None
    assert party.exchange(callback).claims["acr"] == ACR_PASSWORD


@pytest.mark.parametrize("prompt", [None, "none"])
@pytest.mark.parametrize("demand", [{"value": "urn:autre"}, {"values": ["urn:autre", "urn:encore"]}])
def test_application_is_told_when_the_essential_acr_cannot_be_met(
    world: World, carnet: RelyingParty, demand: dict[str, Any], prompt: str | None
) -> None:
    """OIDCC-5.5.1.1: the request fails, with unmet_authentication_requirements (its own specification); nobody types a password for nothing."""
    claims = json.dumps({"id_token": {"acr": {"essential": True, **demand}}})
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(claims=claims, prompt=prompt))
    error = "unmet_authentication_requirements"
    assert_refused_by_redirect(world, page, error=error, reason=error)


def test_nurse_signs_in_when_a_voluntary_acr_cannot_be_met(world: World) -> None:
    """OIDCC-5.5.1.1: not essential, so no error; the ID token says what was done."""
    assert sign_in(world, {"id_token": {"acr": {"values": ["urn:autre"]}}}).tokens.claims["acr"] == ACR_PASSWORD


@pytest.mark.parametrize(
    "claims",
    [
        "pas du json",
        "[]",
        '"texte"',
        "null",
        "7",
        '{"id_token": []}',
        '{"id_token": {"email": true}}',
        '{"userinfo": "name"}',
        '{"id_token": {"acr": {"values": "urn:a"}}}',
        '{"id_token": {"acr": {"essential": true, "values": null}}}',
        "[" * 2000,
        '{"id_token": {"acr": {"essential": true, "values": {"a": 1}}}}',
    ],
)
def test_application_is_told_when_claims_are_malformed(world: World, carnet: RelyingParty, claims: str) -> None:
    """OIDCC-5.5: a JSON object of objects; anything else is invalid_request, never a server error."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(claims=claims))
    assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request")
