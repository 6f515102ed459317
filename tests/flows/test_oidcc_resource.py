"""Around the certification plans: resource indicators, introspection and revocation.

RFC 8707 sections 2.1 and 2.2; RFC 9068 sections 2.2 and 3; RFC 7662 section 2.2; RFC 7009 sections 2.1 and 2.2.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt

from tests.support.refusals import assert_refused_by_redirect, assert_token_refused, nothing_issued
from tests.support.relying_party import RelyingParty, basic
from tests.support.world import SignedIn, World

API = "https://api.carnet.example"
ARCHIVES = "https://archives.example"
INACTIVE = {"active": False}


def access_claims(signed_in: SignedIn, token: str | None = None) -> dict[str, Any]:
    settings = signed_in.party.registered.settings
    return dict(signed_in.party.decode(token or signed_in.tokens.access, settings.access_token_signed_response_alg).claims)


def test_access_token_follows_the_jwt_profile_when_issued(world: World) -> None:
    """RFC 9068 section 2.2: the mandatory claims, ES256, five minutes, and no name."""
    signed_in = world.sign_in("claire", scope="openid email")
    claims = access_claims(signed_in)
    assert claims.keys() >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "auth_time", "acr", "amr"}
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (world.issuer, world.issuer, "carnet")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["scope"] == "openid email"
    assert not claims.keys() & {"email", "name", "nonce"}


def test_access_token_names_the_resource_when_asked_at_authorization(world: World) -> None:
    """RFC 8707 section 2: the audience is restricted to it (and to userinfo, for openid)."""
    assert access_claims(world.sign_in("claire", scope="openid", resource=API))["aud"] == [API, world.issuer]
    assert access_claims(world.sign_in("claire", scope="email", resource=API))["aud"] == API


def test_access_token_names_one_resource_when_two_were_granted(world: World) -> None:
    """RFC 8707 section 2.2: several at /authorize, one of them at /token and at each refresh."""
    browser, party = world.browser(), world.relying_party()
    url = f"{party.begin(scope='openid')}&{urlencode([('resource', API), ('resource', ARCHIVES)])}"
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(url))
    assert page.callback is not None
    tokens = party.exchange(page.callback, resource=API)
    signed_in = SignedIn(browser, party, tokens)
    assert access_claims(signed_in)["aud"] == API
    again = party.refresh(tokens.refresh, resource=ARCHIVES).json()
    assert access_claims(signed_in, again["access_token"])["aud"] == ARCHIVES
    assert party.userinfo(again["access_token"]).status_code == 401, "made for another audience"


@pytest.mark.parametrize("resource", ["https://voleur.example", f"{API}/", f"{API}#x", "api", "https://connexion.example"])
def test_application_is_told_when_resource_is_not_in_its_list(world: World, carnet: RelyingParty, resource: str) -> None:
    """RFC 8707 section 2: invalid_target."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(resource=resource))
    assert_refused_by_redirect(world, page, error="invalid_target", reason="invalid_target")


def test_application_is_told_when_one_of_several_resources_is_not_in_its_list(world: World, carnet: RelyingParty) -> None:
    """RFC 8707 section 2: all or nothing."""
    with nothing_issued(world):
        page = world.browser().get(f"{carnet.begin(resource=API)}&resource=https://voleur.example")
    assert_refused_by_redirect(world, page, error="invalid_target", reason="invalid_target")


def test_application_is_told_when_it_refreshes_for_a_resource_not_granted(world: World) -> None:
    """RFC 8707 section 2.2: only among those granted, even when it might have asked; the refresh token is not spent."""
    signed_in = world.sign_in("claire", scope="openid", resource=API)
    for resource in (ARCHIVES, "https://voleur.example"):
        with nothing_issued(world):
            refused = signed_in.party.refresh(signed_in.tokens.refresh, resource=resource)
            assert_token_refused(world, refused, error="invalid_target", reason="invalid_target")
    assert signed_in.party.refresh(signed_in.tokens.refresh, resource=API).status_code == 200


def test_application_gets_a_token_of_its_own_when_it_names_a_resource(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 4.4 with RFC 8707: about the application itself."""
    answer = carnet.client_credentials(resource=API)
    assert answer.status_code == 200
    claims = dict(jwt.decode(answer.json()["access_token"], carnet.keys(), algorithms=["ES256"]).claims)
    assert (claims["aud"], claims["sub"]) == (API, "carnet")
    assert "refresh_token" not in answer.json()
    with nothing_issued(world):
        refused = carnet.client_credentials(resource="https://voleur.example")
        assert_token_refused(world, refused, error="invalid_target", reason="invalid_target")


@pytest.mark.parametrize("scope", ["openid", "offline_access", "inconnu", "email openid"])
def test_application_is_told_when_it_asks_personal_scopes_for_itself(world: World, carnet: RelyingParty, scope: str) -> None:
    """RFC 6749 section 5.2: invalid_scope; nobody is there."""
    with nothing_issued(world):
        assert_token_refused(world, carnet.client_credentials(scope=scope), error="invalid_scope", reason="invalid_scope")


def test_application_learns_about_its_token_when_it_introspects(world: World) -> None:
    """RFC 7662 section 2.2: what was granted, to whom, until when."""
    signed_in = world.sign_in("claire", scope="openid email")
    found = signed_in.party.introspect(signed_in.tokens.access)
    assert found.headers["Cache-Control"] == "no-store"
    answer = found.json()
    assert answer["active"] is True
    assert (answer["client_id"], answer["sub"], answer["username"]) == ("carnet", world.account("claire").id, "claire.dubois")
    assert (answer["scope"], answer["aud"], answer["token_type"]) == ("openid email", world.issuer, "Bearer")
    refresh = signed_in.party.introspect(signed_in.tokens.refresh, token_type_hint="access_token").json()
    assert (refresh["active"], refresh["client_id"]) == (True, "carnet")


def test_api_learns_about_a_token_when_it_was_made_for_it(world: World) -> None:
    """RFC 7662 section 4 with RFC 8707: the audience may ask, about tokens made for it and no others."""
    with world.arranging() as tx:
        kept = tx.clients.get("autre")
        assert kept is not None
        settings = kept.settings.model_copy(update={"audiences": (API,)})
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    api = world.relying_party("autre")
    made_for_it = world.sign_in("claire", scope="openid", resource=API).tokens.access
    answer = api.introspect(made_for_it).json()
    assert (answer["active"], answer["aud"], answer["client_id"]) == (True, [API, world.issuer], "carnet")
    for signed_in in (world.sign_in("claire", scope="openid", resource=ARCHIVES), world.sign_in("claire", scope="openid")):
        assert api.introspect(signed_in.tokens.access).json() == INACTIVE


def test_application_learns_nothing_about_its_own_token_when_it_is_not_the_audience(world: World) -> None:
    """RFC 7662 section 4: a token is for its audience to read; whom it was issued to is not who may ask."""
    signed_in = world.sign_in("claire", "autre")
    assert signed_in.party.introspect(signed_in.tokens.access).json() == INACTIVE


def test_stranger_learns_nothing_when_it_introspects(world: World) -> None:
    """RFC 7662 section 4: inactive for whom the token was not made for, and the same for what is no token at all."""
    signed_in = world.sign_in("claire", resource=API)
    stranger = world.relying_party("autre")
    for token in (signed_in.tokens.access, signed_in.tokens.refresh, signed_in.tokens.identity, "n-importe-quoi", "a.b.c"):
        response = stranger.introspect(token)
        assert (response.status_code, response.json()) == (200, INACTIVE)


@pytest.mark.parametrize("ending", ["expired", "revoked", "signed out", "rotated"])
def test_token_is_inactive_when_it_is_over(world: World, ending: str) -> None:
    """RFC 7662 section 2.2: at once."""
    signed_in = world.sign_in("claire")
    token = signed_in.tokens.access
    if ending == "expired":
        world.clock.advance(timedelta(minutes=5))
    elif ending == "revoked":
        signed_in.party.revoke(token)
    elif ending == "signed out":
        signed_in.browser.get(signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity))
    else:
        token = signed_in.tokens.refresh
        signed_in.party.refresh(token)
    assert signed_in.party.introspect(token).json() == INACTIVE


@pytest.mark.parametrize("endpoint", ["introspection_endpoint", "revocation_endpoint"])
def test_endpoint_refuses_when_application_is_unproven_or_sends_no_token(world: World, carnet: RelyingParty, endpoint: str) -> None:
    """RFC 7662 section 2.1, RFC 7009 section 2.1."""
    url = carnet.metadata[endpoint]
    refused = world.machine.post(url, data={"token": "x"}, headers={"Authorization": basic("carnet", "faux")})
    reason = "client_authentication_failed"
    assert_token_refused(world, refused, error="invalid_client", reason=reason, status=401, client_id=None, event="introspection.refused")
    refused = carnet.post(url, {})
    assert_token_refused(world, refused, error="invalid_request", reason="invalid_request", event="introspection.refused")


def test_public_application_may_not_introspect_when_it_names_itself(world: World) -> None:
    """RFC 7662 section 2.1: callers are authenticated."""
    signed_in = world.sign_in("claire", "tablette")
    refused = signed_in.party.introspect(signed_in.tokens.access)
    reason = "client_authentication_failed"
    assert_token_refused(world, refused, error="invalid_client", reason=reason, status=401, client_id=None, event="introspection.refused")


@pytest.mark.parametrize("hint", ["", "access_token", "refresh_token", "autre"])
def test_whole_grant_ends_when_refresh_token_is_given_back(world: World, hint: str) -> None:
    """RFC 7009 section 2.1: the access token goes with it; the hint is only an optimisation, an unknown one is ignored."""
    signed_in = world.sign_in("claire")
    assert signed_in.party.revoke(signed_in.tokens.refresh, token_type_hint=hint).status_code == 200
    assert world.last_event("token.revoked")["details"]["kind"] == "refresh_token"
    assert world.last_event("grant.ended")["reason"] == "token_given_back"
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 401
    with nothing_issued(world):
        assert_token_refused(world, signed_in.party.refresh(signed_in.tokens.refresh), error="invalid_grant", reason="grant_not_alive")


def test_only_itself_ends_when_access_token_is_given_back(world: World) -> None:
    """RFC 7009 section 2.1: the refresh token goes on; the Session too."""
    signed_in = world.sign_in("claire")
    assert signed_in.party.revoke(signed_in.tokens.access).status_code == 200
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 401
    again = signed_in.party.refresh(signed_in.tokens.refresh)
    assert signed_in.party.userinfo(again.json()["access_token"]).status_code == 200
    callback = signed_in.browser.get(world.relying_party("autre").begin(prompt="none")).callback
    assert callback is not None
    assert callback["code"]


def test_public_application_gives_its_token_back_when_it_names_itself(world: World) -> None:
    """RFC 7009 section 2.1: public clients too."""
    signed_in = world.sign_in("claire", "tablette")
    assert signed_in.party.revoke(signed_in.tokens.refresh).status_code == 200
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 401


def test_nothing_ends_when_another_application_gives_a_token_back(world: World) -> None:
    """RFC 7009 section 2.1: not issued to it; answered like an unknown token, so that it learns nothing."""
    signed_in = world.sign_in("claire")
    stranger = world.relying_party("autre")
    for token in (signed_in.tokens.refresh, signed_in.tokens.access, "n-importe-quoi"):
        response = stranger.revoke(token)
        assert (response.status_code, response.json()) == (200, {})
    assert not world.events("token.revoked")
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 200
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
