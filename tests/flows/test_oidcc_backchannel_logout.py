"""oidcc-backchannel-rp-initiated-logout-certification-test-plan.

OpenID Connect Back-Channel Logout 1.0 sections 2.3 to 2.8. Delivery is the worker's: each test runs it as `vestibule work` does, on the fixed clock.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from idp.composition.cut import open_deliverer
from idp.oauth.delivery import Deliverer
from tests.support.listener import Received
from tests.support.world import SignedIn, World

GOODBYE = "https://carnet.example/au-revoir"


@pytest.fixture
def worker(world: World) -> Iterator[Deliverer]:
    """The sender of the outbox."""
    with closing(open_deliverer(world.application)) as made:
        yield made


def sign_out(signed_in: SignedIn) -> None:
    page = signed_in.browser.get(
        signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity, post_logout_redirect_uri=GOODBYE, state="retour")
    )
    assert page.callback is not None
    assert page.callback["state"] == "retour"


def deliver(worker: Deliverer, count: int = 1) -> None:
    """Run the worker's rounds until that many notices were tried: a busy machine may be slower than the patience of one round."""
    tried = 0
    for _ in range(20):
        tried += worker.run_once()
        if tried >= count:
            break
    assert tried == count


def only(received: tuple[Received, ...], path: str = "/carnet") -> Received:
    (arrived,) = received
    assert arrived.path == path
    return arrived


def test_application_is_told_when_nurse_signs_out(world: World, worker: Deliverer) -> None:
    """oidcc-backchannel-rp-initiated-logout: the token's fields, no nonce (RelyingParty checks both), sub and sid of the ID token."""
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    deliver(worker)
    arrived = only(world.listener.received)
    claims = signed_in.party.read_logout_token(arrived.logout_token)
    assert (claims["sub"], claims["sid"]) == (signed_in.tokens.claims["sub"], signed_in.tokens.claims["sid"])
    assert claims.keys() == {"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}
    assert claims["exp"] - claims["iat"] == 120
    page = signed_in.browser.get(world.relying_party().begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"


def test_post_holds_the_token_and_nothing_else_when_delivered(world: World, worker: Deliverer) -> None:
    """Section 2.5: form-encoded, one parameter, uncached."""
    sign_out(world.sign_in("claire"))
    deliver(worker)
    arrived = only(world.listener.received)
    assert arrived.fields.keys() == {"logout_token"}
    assert arrived.headers["content-type"] == "application/x-www-form-urlencoded"
    assert arrived.headers["cache-control"] == "no-store"
    assert "cookie" not in arrived.headers
    assert "authorization" not in arrived.headers


def test_logout_token_is_no_id_token_when_somebody_tries(world: World, worker: Deliverer) -> None:
    """Section 4, RFC 8725 section 3.11: our own endpoints do not take it for a hint or an access token."""
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    deliver(worker)
    token = only(world.listener.received).logout_token
    assert signed_in.party.userinfo(token).status_code == 401
    page = signed_in.browser.get(signed_in.party.sign_out_url(id_token_hint=token, post_logout_redirect_uri=GOODBYE))
    assert page.callback is None
    assert world.last_event("logout.refused")["reason"] == "invalid_logout_hint"


def test_every_application_of_the_session_is_told_once_when_nurse_signs_out(world: World, worker: Deliverer) -> None:
    """Section 2.3: each one that was given tokens, however many Grants it had, and with its own audience."""
    signed_in = world.sign_in("claire")
    world.sign_in("claire", browser=signed_in.browser)
    other = world.sign_in("claire", "autre", browser=signed_in.browser)
    sign_out(signed_in)
    deliver(worker, 2)
    by_path = {arrived.path: arrived.logout_token for arrived in world.listener.received}
    assert by_path.keys() == {"/carnet", "/autre"}
    assert signed_in.party.read_logout_token(by_path["/carnet"])["aud"] == "carnet"
    assert other.party.read_logout_token(by_path["/autre"])["sid"] == signed_in.tokens.claims["sid"]
    assert worker.run_once() == 0


def test_application_without_tokens_is_not_told_when_nurse_signs_out(world: World, worker: Deliverer) -> None:
    """Section 2.3: a code that was never redeemed told the application nothing."""
    signed_in = world.sign_in("claire")
    assert signed_in.browser.get(world.relying_party("autre").begin(prompt="none")).callback is not None
    sign_out(signed_in)
    deliver(worker)
    only(world.listener.received)


def test_application_is_told_of_one_session_when_nurse_has_two(world: World, worker: Deliverer) -> None:
    """Section 2.4 (sid): only the Session that ended."""
    here, there = world.sign_in("claire"), world.sign_in("claire")
    sign_out(here)
    deliver(worker)
    claims = here.party.read_logout_token(only(world.listener.received).logout_token)
    assert claims["sid"] == here.tokens.claims["sid"] != there.tokens.claims["sid"]
    assert there.party.userinfo(there.tokens.access).status_code == 200


def test_application_is_told_without_sid_when_registered_so(world: World, worker: Deliverer) -> None:
    """Section 2.2 (backchannel_logout_session_required false): sub alone is enough."""
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        settings = kept.settings.model_copy(update={"backchannel_logout_session_required": False})
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    deliver(worker)
    claims = signed_in.party.read_logout_token(only(world.listener.received).logout_token)
    assert "sid" not in claims
    assert claims["sub"] == signed_in.tokens.claims["sub"]


@pytest.mark.parametrize("status", [200, 204])
def test_receipt_is_kept_when_application_acknowledges(world: World, worker: Deliverer, status: int) -> None:
    """Section 2.8: 200, and 204 for frameworks that turn an empty 200 into it."""
    world.listener.answers.append(status)
    sign_out(world.sign_in("claire"))
    deliver(worker)
    line = world.last_event("logout.delivered")
    assert (line["client_id"], line["account_id"], line["details"]["receipt"]) == ("carnet", world.account("claire").id, f"HTTP {status}")
    assert line["details"]["attempt"] == 1


@pytest.mark.parametrize("status", [302, 400, 404, 500, 501])
def test_application_is_told_again_when_it_did_not_acknowledge(world: World, worker: Deliverer, status: int) -> None:
    """Section 2.8: anything else is a failure, tried again later under the same jti; a redirect is not followed."""
    world.listener.answers.append(status)
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    deliver(worker)
    line = world.last_event("logout.retried")
    assert (line["reason"], line["details"]["receipt"]) == ("delivery_failed", f"HTTP {status}")
    assert worker.run_once() == 0, "not before its time"
    world.clock.advance(timedelta(seconds=1))
    deliver(worker)
    first, second = (signed_in.party.read_logout_token(arrived.logout_token) for arrived in world.listener.received)
    assert first["jti"] == second["jti"]
    assert second["iat"] == first["iat"] + 1
    assert world.last_event("logout.delivered")["details"]["attempt"] == 2


def test_alarm_is_raised_when_application_never_acknowledges(world: World, worker: Deliverer) -> None:
    """Issue: a durable outbox with retries; after the last try the notice is abandoned, in the trail."""
    waits = world.config.logout.retries
    world.listener.answers.extend([500] * (len(waits) + 1))
    sign_out(world.sign_in("claire"))
    deliver(worker)
    for wait in waits:
        world.clock.advance(wait)
        deliver(worker)
    assert world.last_event("logout.abandoned")["reason"] == "delivery_failed"
    world.clock.advance(timedelta(days=30))
    assert worker.run_once() == 0
    assert len(world.listener.received) == len(waits) + 1


def test_notice_survives_when_the_worker_was_not_there(world: World) -> None:
    """Issue: the outbox is durable; a sign-out of this morning is told at noon."""
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    world.clock.advance(timedelta(hours=3))
    with closing(open_deliverer(world.application)) as late:
        deliver(late)
    claims = signed_in.party.read_logout_token(only(world.listener.received).logout_token)
    assert claims["iat"] == world.clock.timestamp(), "a token is made when it is sent: it lives two minutes"


def test_application_is_told_when_session_is_found_idle(world: World, worker: Deliverer) -> None:
    """Section 2.3: every ending of a Session, not only a sign-out; noticed here when the browser comes back."""
    signed_in = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=30))
    page = signed_in.browser.get(world.relying_party().begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    deliver(worker)
    claims = signed_in.party.read_logout_token(only(world.listener.received).logout_token)
    assert claims["sid"] == signed_in.tokens.claims["sid"]
    assert world.last_event("session.ended")["reason"] == "idle"


def test_application_with_offline_access_is_told_when_nurse_signs_out(world: World, worker: Deliverer) -> None:
    """Section 2.7: told of the sign-out all the same; refresh tokens with offline_access are not revoked."""
    signed_in = world.sign_in("claire", scope="openid offline_access")
    sign_out(signed_in)
    deliver(worker)
    only(world.listener.received)
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
