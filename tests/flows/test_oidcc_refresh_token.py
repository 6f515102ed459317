"""oidcc-refresh-token and oidcc-refresh-token-rp-key-rotation, with what ends a refresh token before its time.

OpenID Connect Core 1.0 sections 11 and 12; RFC 6749 sections 5.2 and 6; RFC 9700 section 4.14.2.
"""

from datetime import timedelta

import httpx
import pytest
from joserfc.jwk import ECKey

from idp.audit import Origin, Reason
from idp.endings import Cause, end_account_access
from tests.support.cast import Registered
from tests.support.refusals import assert_token_refused, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import SignedIn, World

OFFLINE = "openid email offline_access"


def refreshed(party: RelyingParty, response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    return party.read_tokens(response).answer


def assert_refresh_ended(world: World, signed_in: SignedIn, *, reason: str = "grant_not_alive", client_id: str = "carnet") -> None:
    """The refresh token gives nothing, and the access token opens nothing any more."""
    with nothing_issued(world):
        refused = signed_in.party.refresh(signed_in.tokens.refresh)
        assert_token_refused(world, refused, error="invalid_grant", reason=reason, client_id=client_id)
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 401


def test_application_gets_new_tokens_when_it_refreshes(world: World) -> None:
    """oidcc-refresh-token: new access and refresh tokens; the ID token keeps iss, sub, aud and auth_time (OIDCC-12.2)."""
    first = world.sign_in("claire", scope=OFFLINE)
    world.clock.advance(timedelta(seconds=1))
    second = first.party.read_tokens(first.party.refresh(first.tokens.refresh))
    assert second.access != first.tokens.access
    assert second.refresh != first.tokens.refresh
    kept = ("iss", "sub", "aud", "auth_time", "sid", "acr", "amr")
    assert {name: second.claims[name] for name in kept} == {name: first.tokens.claims[name] for name in kept}
    assert second.claims["iat"] == first.tokens.claims["iat"] + 1
    assert "nonce" not in second.claims
    assert first.party.userinfo(second.access).json()["sub"] == second.claims["sub"]
    assert second.answer["scope"] == first.tokens.answer["scope"]


def test_refresh_token_is_long_and_printable_when_issued(world: World) -> None:
    """oidcc-refresh-token: EnsureMinimumRefreshTokenLength and allowed characters (RFC 6749 appendix A.17)."""
    token = world.sign_in("claire").tokens.refresh
    assert len(token) >= 43
    assert token.isascii()
    assert token.isprintable()


def test_refresh_token_is_refused_when_another_application_brings_it(world: World) -> None:
    """oidcc-refresh-token, second client: bound to the client it was issued to; its owner is not harmed."""
    first = world.sign_in("claire")
    with nothing_issued(world):
        refused = world.relying_party("autre").refresh(first.tokens.refresh)
        assert_token_refused(world, refused, error="invalid_grant", reason="refresh_of_another_client", client_id="autre")
    assert first.party.refresh(first.tokens.refresh).status_code == 200


@pytest.mark.parametrize("token", ["n-importe-quoi", "a.b.c"])
def test_refresh_token_is_refused_when_nobody_gave_it(world: World, carnet: RelyingParty, token: str) -> None:
    """RFC 6749 section 5.2: invalid_grant."""
    with nothing_issued(world):
        assert_token_refused(world, carnet.refresh(token), error="invalid_grant", reason="invalid_grant")


def test_application_refreshes_when_it_has_changed_its_key(world: World) -> None:
    """oidcc-refresh-token-rp-key-rotation: the new key of the registration proves the client; the old one no longer does."""
    first = world.sign_in("claire", "signataire")
    key = ECKey.generate_key("P-256", {"kid": "signataire-2", "use": "sig", "alg": "ES256"}, private=True)
    settings = first.party.registered.settings.model_copy(update={"jwks": {"keys": [key.as_dict(private=False)]}})
    with world.arranging() as tx:
        tx.clients.put(settings, secret_digest=None, source="operator", now=world.clock.now())
    with nothing_issued(world):
        refused = first.party.refresh(first.tokens.refresh)
        assert_token_refused(world, refused, error="invalid_client", reason="client_authentication_failed", status=401, client_id=None)
    renewed = RelyingParty(Registered(settings, key=key), world.machine, world.issuer, clock=world.clock)
    assert refreshed(renewed, renewed.refresh(first.tokens.refresh))["refresh_token"]


def test_application_gets_fewer_scopes_when_it_asks_fewer(world: World) -> None:
    """RFC 6749 section 6: narrower once, and the whole again at the next refresh."""
    first = world.sign_in("claire", scope="openid email phone")
    narrow = refreshed(first.party, first.party.refresh(first.tokens.refresh, scope="openid email"))
    assert narrow["scope"] == "openid email"
    assert "phone_number" not in first.party.userinfo(str(narrow["access_token"])).json()
    whole = refreshed(first.party, first.party.refresh(str(narrow["refresh_token"])))
    assert whole["scope"] == "openid email phone"


def test_application_is_told_when_it_asks_more_than_was_granted(world: World) -> None:
    """RFC 6749 section 6: invalid_scope; the refresh token is not spent by the mistake."""
    first = world.sign_in("claire", scope="openid")
    with nothing_issued(world):
        refused = first.party.refresh(first.tokens.refresh, scope="openid email")
        assert_token_refused(world, refused, error="invalid_scope", reason="invalid_scope")
    assert first.party.refresh(first.tokens.refresh).status_code == 200


def test_application_gets_the_same_answer_when_it_lost_the_first(world: World) -> None:
    """Issue: within 10 s of a rotation, the successor unused, a confidential client may ask again."""
    first = world.sign_in("claire")
    answer = first.party.refresh(first.tokens.refresh).json()
    world.clock.advance(timedelta(seconds=10))
    again = first.party.refresh(first.tokens.refresh)
    assert again.json() == answer
    assert world.last_event("token.repeated")["client_id"] == "carnet"
    assert first.party.refresh(answer["refresh_token"]).status_code == 200


@pytest.mark.parametrize("is_late", [True, False])
def test_everything_ends_when_a_rotated_token_comes_back(world: World, is_late: bool) -> None:
    """RFC 9700 section 4.14.2: after the window, or once the successor was used, someone has stolen it."""
    first = world.sign_in("claire")
    second = first.party.refresh(first.tokens.refresh).json()
    if is_late:
        world.clock.advance(timedelta(seconds=11))
    else:
        second = first.party.refresh(second["refresh_token"]).json()
    with nothing_issued(world):
        assert_token_refused(world, first.party.refresh(first.tokens.refresh), error="invalid_grant", reason="refresh_replayed")
    assert world.last_event("grant.ended")["reason"] == "refresh_replayed"
    with nothing_issued(world):
        assert_token_refused(world, first.party.refresh(second["refresh_token"]), error="invalid_grant", reason="grant_not_alive")
    assert first.party.userinfo(second["access_token"]).status_code == 401


def test_everything_ends_when_a_public_client_repeats_a_refresh(world: World) -> None:
    """RFC 9700 section 2.2.2: no window for those that prove nothing."""
    first = world.sign_in("claire", "tablette")
    assert first.party.refresh(first.tokens.refresh).status_code == 200
    with nothing_issued(world):
        refused = first.party.refresh(first.tokens.refresh)
        assert_token_refused(world, refused, error="invalid_grant", reason="refresh_replayed", client_id="tablette")


def test_refresh_ends_with_the_session_when_offline_access_was_not_asked(world: World) -> None:
    """Issue: without offline_access refresh tokens end with the Session."""
    first = world.sign_in("claire", scope="openid email")
    first.browser.get(first.party.sign_out_url(id_token_hint=first.tokens.identity))
    assert_refresh_ended(world, first)


def test_offline_refresh_goes_on_when_nurse_has_signed_out(world: World) -> None:
    """OIDCC-11: offline_access is for when she is not there; it lasts 30 days from the sign-in and not a second more."""
    first = world.sign_in("claire", scope=OFFLINE)
    begun = world.clock.now()
    first.browser.get(first.party.sign_out_url(id_token_hint=first.tokens.identity))
    token = first.tokens.refresh
    for days in (1, 29):
        world.clock.advance(timedelta(days=days) - timedelta(seconds=1))
        token = str(refreshed(first.party, first.party.refresh(token))["refresh_token"])
    world.clock.advance(begun + timedelta(days=30) - world.clock.now())
    with nothing_issued(world):
        assert_token_refused(world, first.party.refresh(token), error="invalid_grant", reason="refresh_expired")


def test_offline_life_is_the_clients_own_when_registered(world: World) -> None:
    """Issue: offline_access is per client with a maximum life."""
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        settings = kept.settings.model_copy(update={"offline_life": timedelta(days=2)})
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    first = world.sign_in("claire", scope=OFFLINE)
    world.clock.advance(timedelta(days=2))
    assert_refresh_ended(world, first, reason="refresh_expired")


@pytest.mark.parametrize("scope", ["openid email", OFFLINE])
def test_refresh_ends_when_the_account_is_suspended(world: World, scope: str) -> None:
    """House rule: a leaver's tokens die, offline ones too; whether the status alone or the whole ending was written."""
    first = world.sign_in("claire", scope=scope)
    account = world.account("claire")
    with world.arranging() as tx:
        tx.people.change(account.id, world.clock.now(), status="suspended")
    assert_refresh_ended(world, first)
    with world.arranging() as tx:
        cause = Cause(Reason.ACCOUNT_CUT, "operator:essai", Origin(request_id="0000000000", address="local"))
        end_account_access(tx, account.id, cause, clock=world.clock)
        tx.people.change(account.id, world.clock.now(), status="active")
    assert_refresh_ended(world, first)


def test_refresh_ends_when_the_session_was_idle_for_half_an_hour(world: World) -> None:
    """Issue: a background refresh is no activity, so refreshing does not keep a Session open."""
    first = world.sign_in("claire", scope="openid email")
    token = first.tokens.refresh
    for _ in range(2):
        world.clock.advance(timedelta(minutes=14))
        token = str(refreshed(first.party, first.party.refresh(token))["refresh_token"])
    world.clock.advance(timedelta(minutes=2))
    with nothing_issued(world):
        assert_token_refused(world, first.party.refresh(token), error="invalid_grant", reason="grant_not_alive")


def test_refresh_goes_on_when_nurse_opens_another_application(world: World) -> None:
    """Issue: an authorization is activity, and keeps every application of the Session going."""
    first = world.sign_in("claire", scope="openid email")
    for _ in range(3):
        world.clock.advance(timedelta(minutes=20))
        assert first.browser.get(world.relying_party("autre").begin()).callback is not None
    assert first.party.refresh(first.tokens.refresh).status_code == 200


def test_refresh_ends_when_the_session_reaches_its_absolute_limit(world: World) -> None:
    """Issue: 14 hours whatever happens."""
    first = world.sign_in("claire", scope="openid email")
    for _ in range(14 * 3 - 1):
        world.clock.advance(timedelta(minutes=20))
        assert first.browser.get(world.relying_party("autre").begin(prompt="none")).callback is not None
    assert first.party.refresh(first.tokens.refresh).status_code == 200
    token = first.party.refresh(first.tokens.refresh).json()["refresh_token"]
    world.clock.advance(timedelta(minutes=20))
    with nothing_issued(world):
        assert_token_refused(world, first.party.refresh(token), error="invalid_grant", reason="refresh_expired")


@pytest.mark.parametrize("scope", ["openid email", OFFLINE])
def test_refresh_ends_when_the_attachment_reaches_noon_after_its_last_day(world: World, scope: str) -> None:
    """Issue: an active account does not open doors by itself; the night shift is not cut at midnight."""
    first = world.sign_in("nora", scope=scope)
    token = first.tokens.refresh
    for _ in range(2):  # nine in the morning in Paris, then twenty-nine minutes later, and so on until a minute to noon
        world.clock.advance(timedelta(minutes=29))
        token = str(refreshed(first.party, first.party.refresh(token))["refresh_token"])
        first.browser.get(world.relying_party("autre").begin(prompt="none"))
    while (noon := world.clock.now().replace(hour=11, minute=0)) - world.clock.now() > timedelta(minutes=1):
        world.clock.advance(min(timedelta(minutes=29), noon - timedelta(minutes=1) - world.clock.now()))
        first.browser.get(world.relying_party("autre").begin(prompt="none"))
    token = str(refreshed(first.party, first.party.refresh(token))["refresh_token"])
    world.clock.advance(timedelta(minutes=1))
    with nothing_issued(world):
        assert_token_refused(world, first.party.refresh(token), error="invalid_grant", reason="grant_not_alive")


@pytest.mark.parametrize("scope", ["openid email", OFFLINE])
def test_refresh_ends_when_the_application_is_withdrawn(world: World, scope: str) -> None:
    """RFC 6749 section 5.2: a client that is no more proves nothing."""
    first = world.sign_in("claire", scope=scope)
    with world.arranging() as tx:
        tx.clients.end("carnet", world.clock.now())
    with nothing_issued(world):
        refused = first.party.refresh(first.tokens.refresh)
        assert_token_refused(world, refused, error="invalid_client", reason="client_authentication_failed", status=401, client_id=None)
    assert first.party.userinfo(first.tokens.access).status_code == 401


def test_offline_access_means_nothing_when_client_cannot_refresh(world: World) -> None:
    """OIDCC-11: the scope is left out of the answer, and the Grant ends with the Session."""
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        settings = kept.settings.model_copy(update={"grant_types": ("authorization_code",)})
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    first = world.sign_in("claire", scope=OFFLINE)
    assert first.tokens.answer["scope"] == "openid email"
    first.browser.get(first.party.sign_out_url(id_token_hint=first.tokens.identity))
    assert first.party.userinfo(first.tokens.access).status_code == 401
