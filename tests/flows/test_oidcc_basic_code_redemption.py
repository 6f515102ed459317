"""oidcc-basic-certification-test-plan: a code is used once, by its client, in time, with its verifier.

RFC 6749 sections 4.1.2, 4.1.3 and 5.2; RFC 7636 sections 4.4 to 4.6; RFC 9700 sections 2.1.1 and 4.5.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.support.browser import Callback
from tests.support.refusals import assert_refused_by_redirect, assert_token_refused, issued, nothing_issued
from tests.support.relying_party import RelyingParty, challenge
from tests.support.world import World


def obtain(world: World, client: str = "carnet", **parameters: str | None) -> tuple[RelyingParty, Callback]:
    """A fresh code and the application it was given to."""
    party, browser = world.relying_party(client), world.browser()
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(party.begin(**parameters)))
    assert page.callback is not None, page
    return party, page.callback


@pytest.mark.parametrize("seconds", [0, 30])
def test_everything_ends_when_a_code_is_used_twice(world: World, seconds: int) -> None:
    """oidcc-codereuse, oidcc-codereuse-30seconds: invalid_grant; the tokens issued before stop working."""
    party, callback = obtain(world)
    tokens = party.exchange(callback)
    world.clock.advance(timedelta(seconds=seconds))
    with nothing_issued(world):
        assert_token_refused(world, party.redeem(callback["code"]), error="invalid_grant", reason="code_replayed")
    assert world.last_event("grant.ended")["reason"] == "code_replayed"
    assert party.userinfo(tokens.access).status_code == 401
    assert party.introspect(tokens.access).json() == {"active": False}
    assert_token_refused(world, party.refresh(tokens.refresh), error="invalid_grant", reason="grant_not_alive")


def test_code_is_used_once_when_two_requests_race(world: World) -> None:
    """oidcc-codereuse at the same instant: one gets tokens, and the Grant ends all the same."""
    party, callback = obtain(world)
    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(party.redeem, callback["code"]) for _ in range(2)]]
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    good = next(answer for answer in answers if answer.status_code == 200)
    assert party.userinfo(good.json()["access_token"]).status_code == 401


def test_code_is_refused_when_it_is_a_minute_old(world: World) -> None:
    """RFC 6749 section 4.1.2: a short life; 59 seconds are in time."""
    party, callback = obtain(world)
    world.clock.advance(timedelta(seconds=60))
    with nothing_issued(world):
        assert_token_refused(world, party.redeem(callback["code"]), error="invalid_grant", reason="code_expired")
    party, callback = obtain(world)
    world.clock.advance(timedelta(seconds=59))
    assert party.redeem(callback["code"]).status_code == 200


@pytest.mark.parametrize("code", ["n-importe-quoi", "x" * 4000, "a b"])
def test_code_is_refused_when_nobody_gave_it(world: World, carnet: RelyingParty, code: str) -> None:
    """RFC 6749 section 5.2: invalid_grant."""
    carnet.begin()
    with nothing_issued(world):
        assert_token_refused(world, carnet.redeem(code), error="invalid_grant", reason="invalid_grant")


def test_code_is_refused_when_it_is_missing(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 5.2: invalid_request."""
    carnet.begin()
    with nothing_issued(world):
        assert_token_refused(world, carnet.redeem(""), error="invalid_request", reason="invalid_request")


def test_code_is_refused_when_another_application_brings_it(world: World) -> None:
    """RFC 6749 section 4.1.3: issued to the authenticated client; the thief's try does not spoil it for its owner."""
    party, callback = obtain(world)
    thief = world.relying_party("autre")
    thief.begun = party.begun
    with nothing_issued(world):
        refused = thief.redeem(callback["code"])
        assert_token_refused(world, refused, error="invalid_grant", reason="code_of_another_client", client_id="autre")
    assert party.redeem(callback["code"]).status_code == 200


@pytest.mark.parametrize("redirect_uri", ["https://carnet.example/autre", ""])
def test_code_is_refused_when_redirect_uri_is_not_the_one_of_the_request(world: World, redirect_uri: str) -> None:
    """RFC 6749 section 4.1.3: included and identical."""
    party, callback = obtain(world)
    with nothing_issued(world):
        refused = party.redeem(callback["code"], redirect_uri=redirect_uri)
        assert_token_refused(world, refused, error="invalid_grant", reason="invalid_grant")


@pytest.mark.parametrize("verifier", ["", "x" * 43, "trop-court", "x" * 129, "é" * 43])
def test_code_is_refused_when_verifier_is_missing_or_wrong(world: World, verifier: str) -> None:
    """RFC 7636 section 4.6: invalid_grant."""
    party, callback = obtain(world)
    with nothing_issued(world):
        refused = party.redeem(callback["code"], code_verifier=verifier)
    assert refused.json()["error"] == ("invalid_request" if "é" in verifier else "invalid_grant")
    line = world.last_event("token.refused")
    assert line["reason"] == ("invalid_request" if "é" in verifier else "pkce_mismatch")


def test_code_is_refused_when_the_challenge_itself_is_brought_as_verifier(world: World) -> None:
    """RFC 7636 section 7.2: `plain` is not understood; the challenge travels through the browser and proves nothing."""
    party, callback = obtain(world)
    assert party.begun is not None
    assert party.begun.verifier is not None
    with nothing_issued(world):
        refused = party.redeem(callback["code"], code_verifier=challenge(party.begun.verifier))
        assert_token_refused(world, refused, error="invalid_grant", reason="pkce_mismatch")


def test_code_is_refused_when_verifier_comes_without_a_challenge(world: World) -> None:
    """RFC 9700 section 4.8.2: a downgrade attack; the client that may go without PKCE stays safe."""
    party, callback = obtain(world, "ancien", code_challenge=None)
    with nothing_issued(world):
        refused = party.redeem(callback["code"], code_verifier="x" * 43)
        assert_token_refused(world, refused, error="invalid_grant", reason="pkce_mismatch", client_id="ancien")


def test_nurse_signs_in_when_old_software_sends_no_pkce(world: World) -> None:
    """The certification plans send none: a confidential client may be registered so."""
    party, callback = obtain(world, "ancien", code_challenge=None)
    assert party.exchange(callback).claims["sub"] == world.account("claire").id


@pytest.mark.parametrize("client", ["carnet", "tablette", "bureau", "signataire"])
def test_application_is_told_when_it_sends_no_challenge(world: World, client: str) -> None:
    """RFC 9700 section 2.1.1: required, above all of public clients."""
    with nothing_issued(world):
        page = world.browser().get(world.relying_party(client).begin(code_challenge=None))
    assert_refused_by_redirect(world, page, error="invalid_request", reason="pkce_required", client_id=client)


def test_public_client_never_goes_without_pkce_when_registered_so(world: World) -> None:
    """RFC 9700 section 2.1.1: `require_pkce: false` is refused for, or means nothing to, a public client."""
    with world.arranging() as tx:
        kept = tx.clients.get("tablette")
        assert kept is not None
        settings = kept.settings.model_copy(update={"require_pkce": False})
        tx.clients.put(settings, secret_digest=None, source=kept.source, now=world.clock.now())
    with nothing_issued(world):
        page = world.browser().get(world.relying_party("tablette").begin(code_challenge=None))
    assert_refused_by_redirect(world, page, error="invalid_request", reason="pkce_required", client_id="tablette")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"code_challenge_method": "plain"}, "pkce_method_refused"),
        ({"code_challenge_method": None}, "pkce_method_refused"),
        ({"code_challenge_method": "s256"}, "pkce_method_refused"),
        ({"code_challenge": "trop-court"}, "pkce_method_refused"),
        ({"code_challenge": "x" * 42 + "="}, "pkce_method_refused"),
    ],
)
@pytest.mark.parametrize("client", ["carnet", "ancien"])
def test_application_is_told_when_challenge_is_plain_or_malformed(
    world: World, client: str, parameters: dict[str, str | None], reason: str
) -> None:
    """RFC 7636 section 4.4.1, RFC 9700 section 2.1.1: S256 or nothing; no method means plain."""
    with nothing_issued(world):
        page = world.browser().get(world.relying_party(client).begin(**parameters))
    assert_refused_by_redirect(world, page, error="invalid_request", reason=reason, client_id=client)


def test_method_without_challenge_is_refused_when_client_may_go_without(world: World) -> None:
    """RFC 7636 section 4.3: half of PKCE is a mistake, not a choice."""
    with nothing_issued(world):
        page = world.browser().get(world.relying_party("ancien").begin(code_challenge=None, code_challenge_method="S256"))
    assert_refused_by_redirect(world, page, error="invalid_request", reason="pkce_required", client_id="ancien")


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type", "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, "unsupported_grant_type", "unsupported_grant_type"),
        ({"grant_type": 'a"b'}, "invalid_request", "invalid_request"),
        ({"grant_type": "cödé"}, "invalid_request", "invalid_request"),
        ({"grant_type": ""}, "invalid_request", "invalid_request"),
    ],
)
def test_token_request_is_refused_when_grant_type_is_not_offered(
    world: World, carnet: RelyingParty, change: dict[str, str], error: str, reason: str
) -> None:
    """RFC 6749 section 5.2; a quote or an accent is refused, never a server error."""
    carnet.begin()
    with nothing_issued(world):
        assert_token_refused(world, carnet.redeem("x", **change), error=error, reason=reason, client_id=None)


def test_token_request_is_refused_when_grant_is_not_registered(world: World) -> None:
    """RFC 6749 section 5.2: unauthorized_client."""
    with nothing_issued(world):
        refused = world.relying_party("autre").client_credentials()
        assert_token_refused(world, refused, error="unauthorized_client", reason="unauthorized_client", client_id="autre")


def test_no_refresh_token_is_given_when_client_is_not_registered_for_it(world: World) -> None:
    """RFC 6749 section 1.5: optional, per client."""
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        settings = kept.settings.model_copy(update={"grant_types": ("authorization_code",)})
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    before = issued(world)["refresh_tokens"]
    assert "refresh_token" not in world.sign_in("claire").tokens.answer
    assert issued(world)["refresh_tokens"] == before
