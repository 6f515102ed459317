"""oidcc-rp-initiated-logout-certification-test-plan.

OpenID Connect RP-Initiated Logout 1.0 sections 2 to 4. As in the plan, a sign-out that was done is followed by prompt=none, which must fail.
"""

import base64
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.browser import Browser, Page
from tests.support.refusals import assert_refused_by_redirect, nothing_issued
from tests.support.world import SignedIn, World

GOODBYE = "https://carnet.example/au-revoir"
STATE = "aZ09-._~" * 16


def is_signed_in(world: World, browser: Browser) -> bool:
    """What prompt=none answers; when nobody is there, the whole refusal is checked."""
    before = len(world.events("token.issued"))
    page = browser.get(world.relying_party("ancien").begin(prompt="none"))
    assert page.callback is not None
    if "code" in page.callback.parameters:
        return True
    assert_refused_by_redirect(world, page, error="login_required", reason="login_required", client_id="ancien")
    assert len(world.events("token.issued")) == before
    return False


def sign_out(signed_in: SignedIn, **parameters: str | None) -> Page:
    """The logout request of the plan (id_token_hint, post_logout_redirect_uri, state), with changes; None leaves a parameter out."""
    usual: dict[str, str | None] = {"id_token_hint": signed_in.tokens.identity, "post_logout_redirect_uri": GOODBYE, "state": STATE}
    return signed_in.browser.get(signed_in.party.sign_out_url(**{**usual, **parameters}))


def assert_refused(world: World, signed_in: SignedIn, page: Page, *, reason: str) -> None:
    """An error page, an Event, and nobody was signed out."""
    line = world.last_event("logout.refused")
    assert (line["reason"], line["account_id"], line["session_id"]) == (reason, world.account("claire").id, signed_in.tokens.claims["sid"])
    assert page.callback is None
    assert page.status == 400
    assert page.support_code == line["request_id"]
    assert not world.events("session.ended")
    assert is_signed_in(world, signed_in.browser)


def test_nurse_goes_back_to_the_application_when_it_signs_her_out(world: World) -> None:
    """oidcc-rp-initiated-logout: to the registered address, with state and nothing else; then prompt=none fails."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in)
    assert page.callback is not None
    assert (page.callback.uri, page.callback.parameters) == (GOODBYE, {"state": STATE})
    assert page.status == 303
    line = world.last_event("session.ended")
    assert (line["reason"], line["session_id"]) == ("signed_out_by_application", signed_in.tokens.claims["sid"])
    requested = world.last_event("logout.requested")
    assert (requested["client_id"], requested["account_id"]) == ("carnet", world.account("claire").id)
    assert not is_signed_in(world, signed_in.browser)


def test_cookie_is_taken_back_when_nurse_is_signed_out(world: World) -> None:
    """House rule: the Session's cookie goes, and an old copy of it opens nothing."""
    signed_in = world.sign_in("claire")
    kept = dict(signed_in.browser.jar)
    sign_out(signed_in)
    assert signed_in.browser.cookie("__Host-vestibule-session") is None
    signed_in.browser.jar = kept
    assert not is_signed_in(world, signed_in.browser)


def test_nurse_signs_in_by_hand_when_she_was_signed_out(world: World) -> None:
    """Issue: after a sign-out the next sign-in is interactive."""
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    page = signed_in.browser.get(world.relying_party().begin())
    assert "signin-form" in page.forms


@pytest.mark.parametrize(
    "uri", ["https://carnet.example/ailleurs", "https://carnet.example/au-revoir/xyz", "https://ancien.example/au-revoir", "//x"]
)
def test_error_is_shown_here_when_post_logout_uri_is_not_registered(world: World, uri: str) -> None:
    """oidcc-rp-initiated-logout-bad-post-logout-redirect-uri: another client's address is not registered either."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in, post_logout_redirect_uri=uri)
    assert_refused(world, signed_in, page, reason="post_logout_uri_mismatch")


def test_error_is_shown_here_when_post_logout_uri_has_a_query_added(world: World) -> None:
    """oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in, post_logout_redirect_uri=f"{GOODBYE}?foo=bar")
    assert_refused(world, signed_in, page, reason="post_logout_uri_mismatch")


def test_error_is_shown_here_when_id_token_hint_was_made_unsigned(world: World) -> None:
    """oidcc-rp-initiated-logout-modified-id-token-hint: alg none is refused."""
    signed_in = world.sign_in("claire")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    page = sign_out(signed_in, id_token_hint=f"{header}.{signed_in.tokens.identity.split('.')[1]}.")
    assert_refused(world, signed_in, page, reason="invalid_logout_hint")


def test_error_is_shown_here_when_id_token_hint_is_signed_by_somebody_else(world: World) -> None:
    """oidcc-rp-initiated-logout-bad-id-token-hint: the same claims and kid, under another key."""
    signed_in = world.sign_in("claire")
    token = signed_in.party.decode(signed_in.tokens.identity, "RS256")
    forged = jwt.encode(token.header, token.claims, RSAKey.generate_key(2048), algorithms=["RS256"])
    assert_refused(world, signed_in, sign_out(signed_in, id_token_hint=forged), reason="invalid_logout_hint")


@pytest.mark.parametrize("kind", ["access", "words", "another client"])
def test_error_is_shown_here_when_id_token_hint_is_not_one(world: World, kind: str) -> None:
    """RP-Initiated Logout section 4: an access token is no hint, and client_id must be the hint's audience."""
    signed_in = world.sign_in("claire")
    changes = {
        "access": {"id_token_hint": signed_in.tokens.access},
        "words": {"id_token_hint": "n-importe-quoi"},
        "another client": {"client_id": "autre"},
    }
    assert_refused(world, signed_in, sign_out(signed_in, **changes[kind]), reason="invalid_logout_hint")


def test_error_is_shown_here_when_there_is_no_id_token_hint(world: World) -> None:
    """oidcc-rp-initiated-logout-no-id-token-hint: a return address that nobody proves is not used."""
    signed_in = world.sign_in("claire")
    assert_refused(world, signed_in, sign_out(signed_in, id_token_hint=None), reason="post_logout_uri_mismatch")


@pytest.mark.parametrize("parameters", [{}, {"state": STATE}, {"ui_locales": "en"}])
def test_nurse_is_asked_when_the_request_proves_nothing(world: World, parameters: dict[str, str]) -> None:
    """oidcc-rp-initiated-logout-no-params, -only-state: a question, then signed out on a page of ours; any site could send her here."""
    signed_in = world.sign_in("claire")
    page = signed_in.browser.get(signed_in.party.sign_out_url(**parameters))
    assert page.status == 200
    assert is_signed_in(world, signed_in.browser), "nothing happens before she says yes"
    page = signed_in.browser.submit("logout-form", page=page, button="yes")
    assert page.status == 200
    assert page.callback is None
    assert not page.forms
    line = world.last_event("session.ended")
    assert (line["reason"], line["session_id"]) == ("signed_out", signed_in.tokens.claims["sid"])
    assert not is_signed_in(world, signed_in.browser)


def test_nurse_stays_signed_in_when_she_says_no(world: World) -> None:
    """RP-Initiated Logout section 2: the question may be answered by no."""
    signed_in = world.sign_in("claire")
    page = signed_in.browser.get(signed_in.party.sign_out_url())
    page = signed_in.browser.submit("logout-form", page=page, button="no")
    assert page.callback is None
    assert not world.events("session.ended")
    assert is_signed_in(world, signed_in.browser)


def test_nobody_is_signed_out_when_another_site_posts_the_confirmation(world: World) -> None:
    """RFC 6749 section 10.12: the form carries a token; a forged one, without it, does nothing."""
    signed_in = world.sign_in("claire")
    signed_in.browser.get(signed_in.party.sign_out_url())
    signed_in.browser.post("/logout/confirm", {"answer": "yes"})
    assert not world.events("session.ended")
    assert is_signed_in(world, signed_in.browser)


def test_nurse_sees_she_is_signed_out_when_there_is_no_return_address(world: World) -> None:
    """oidcc-rp-initiated-logout-no-post-logout-redirect-uri: a page of ours says so."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in, post_logout_redirect_uri=None)
    assert (page.status, page.callback) == (200, None)
    assert page.document.headings
    assert not is_signed_in(world, signed_in.browser)


def test_nurse_goes_back_without_state_when_none_was_sent(world: World) -> None:
    """oidcc-rp-initiated-logout-no-state."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in, state=None)
    assert page.callback is not None
    assert (page.callback.uri, page.callback.parameters) == (GOODBYE, {})
    assert not is_signed_in(world, signed_in.browser)


@pytest.mark.parametrize("state", ["a b", "a%2Fb", "a+b&c=d", "é~'\"<b>", "#?&="])
def test_state_comes_back_letter_for_letter_when_signing_out(world: World, state: str) -> None:
    """RP-Initiated Logout section 2 (state): passed back unchanged."""
    page = sign_out(world.sign_in("claire"), state=state)
    assert page.callback is not None
    assert page.callback["state"] == state


def test_nurse_is_asked_then_goes_back_when_only_client_id_names_the_application(world: World) -> None:
    """RP-Initiated Logout section 2 (client_id): the address is registered, but nobody proved that she wants it."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in, id_token_hint=None, client_id="carnet")
    assert "logout-form" in page.forms
    assert "Carnet de soins" in page.text
    page = signed_in.browser.submit("logout-form", page=page, button="yes")
    assert page.callback is not None
    assert (page.callback.uri, page.callback.parameters) == (GOODBYE, {"state": STATE})
    assert not is_signed_in(world, signed_in.browser)


def test_error_is_shown_here_when_client_id_is_unknown(world: World) -> None:
    """RP-Initiated Logout section 4."""
    signed_in = world.sign_in("claire")
    page = sign_out(signed_in, id_token_hint=None, client_id="inconnu")
    assert_refused(world, signed_in, page, reason="unknown_client")


def test_nurse_is_signed_out_when_the_id_token_has_expired(world: World) -> None:
    """RP-Initiated Logout section 2 (id_token_hint): expired ones are accepted."""
    signed_in = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=20))
    assert sign_out(signed_in).callback is not None
    assert not is_signed_in(world, signed_in.browser)


def test_nurse_goes_back_when_she_was_signed_out_already(world: World) -> None:
    """RP-Initiated Logout section 2: twice changes nothing, and the application still gets her back."""
    signed_in = world.sign_in("claire")
    sign_out(signed_in)
    ended = len(world.events("session.ended"))
    page = sign_out(signed_in)
    assert page.callback is not None
    assert page.callback["state"] == STATE
    assert len(world.events("session.ended")) == ended


def test_colleague_is_asked_when_the_hint_is_about_somebody_else(world: World) -> None:
    """RP-Initiated Logout section 2: the hint names another person than the one signed in here, who must agree."""
    hint = world.sign_in("claire").tokens.identity
    karim = world.sign_in("karim")
    page = karim.browser.get(karim.party.sign_out_url(id_token_hint=hint, post_logout_redirect_uri=GOODBYE))
    assert "logout-form" in page.forms
    assert not world.events("session.ended")
    assert is_signed_in(world, karim.browser)


def test_nurse_is_signed_out_when_the_request_is_posted(world: World) -> None:
    """RP-Initiated Logout section 2: GET and POST, from the application's own site."""
    signed_in = world.sign_in("claire")
    fields = dict(parse_qsl(urlsplit(signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity, state=STATE)).query))
    page = signed_in.browser.post("/logout", {**fields, "post_logout_redirect_uri": GOODBYE}, cross_site=True)
    assert page.callback is not None
    assert (page.callback.uri, page.callback.parameters) == (GOODBYE, {"state": STATE})
    assert not is_signed_in(world, signed_in.browser)


def test_other_browsers_stay_signed_in_when_one_signs_out(world: World) -> None:
    """House rule: a sign-out ends this browser's Session; the phone in the other pocket is another one."""
    here, there = world.sign_in("claire"), world.sign_in("claire")
    sign_out(here)
    assert not is_signed_in(world, here.browser)
    assert is_signed_in(world, there.browser)


def test_tokens_stop_working_when_nurse_is_signed_out(world: World) -> None:
    """Issue: sign-out ends the IdP Session and every Grant of it that is not offline."""
    signed_in = world.sign_in("claire", scope="openid email")
    sign_out(signed_in)
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 401
    with nothing_issued(world):
        assert signed_in.party.refresh(signed_in.tokens.refresh).json()["error"] == "invalid_grant"


def test_code_is_refused_when_nurse_signed_out_before_it_was_redeemed(world: World) -> None:
    """House rule: tokens are written only if the Grant is alive."""
    signed_in = world.sign_in("claire")
    party = world.relying_party()
    callback = signed_in.browser.get(party.begin(prompt="none")).callback
    assert callback is not None
    sign_out(signed_in)
    with nothing_issued(world):
        assert party.redeem(callback["code"]).json()["error"] == "invalid_grant"
    assert world.last_event("token.refused")["reason"] == "grant_not_alive"
