"""oidcc-formpost-basic-certification-test-plan: the same flow answered by a form that posts itself.

OAuth 2.0 Form Post Response Mode 1.0 sections 2 and 5. The plan runs the basic modules again; what differs is the answer, checked here.
"""

import pytest

from tests.support.browser import Page
from tests.support.refusals import assert_refused_by_redirect, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import World


def test_nurse_signs_in_when_application_asks_form_post(world: World, carnet: RelyingParty) -> None:
    """oidcc-server (form_post): the parameters come in a POST form to the registered address, none in a URL."""
    browser = world.browser()
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(carnet.begin(response_mode="form_post")))
    form = page.forms["form-post-form"]
    assert (page.status, form.method, form.action) == (200, "post", "https://carnet.example/retour")
    assert form.fields.keys() == {"code", "state", "iss"}
    assert set(form.types.values()) == {"hidden"}
    assert "code=" not in " ".join(page.history)
    assert page.callback is not None
    assert carnet.exchange(page.callback).claims["sub"] == world.account("claire").id


def answer_page(world: World, **parameters: str) -> Page:
    browser = world.sign_in("claire").browser
    return browser.get(world.relying_party().begin(prompt="none", response_mode="form_post", **parameters))


def test_page_is_never_kept_when_it_holds_a_code(world: World) -> None:
    """Form Post section 2: no-cache, no-store; and OAuth 2.0 Security: no referrer with a path, no framing."""
    page = answer_page(world)
    assert "no-store" in page.headers["Cache-Control"]
    assert page.headers["Content-Type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_browser_may_post_to_the_application_when_page_says_so(world: World) -> None:
    """Form Post with CSP form-action: only the validated origin is added."""
    policy = answer_page(world).headers["Content-Security-Policy"]
    (form_action,) = (part.strip() for part in policy.split(";") if part.strip().startswith("form-action"))
    assert "https://carnet.example" in form_action.split()
    assert not {"*", "https:", "http:"} & set(form_action.split())


def test_form_works_without_a_script_when_scripts_are_off(world: World) -> None:
    """Form Post section 5 (no-script browsers): a visible button sends the form; no inline script is needed."""
    page = answer_page(world)
    assert page.forms["form-post-form"].buttons
    assert "onload" not in page.markup
    assert "<script>" not in page.markup


@pytest.mark.parametrize("state", ["avec des espaces", "a%2Fb", "a+b&amp;c", "é~'\"></form><b>", "#?&=;"])
def test_state_comes_back_letter_for_letter_when_posted(world: World, state: str) -> None:
    """Form Post section 2: HTML-encoded, not URL-encoded (Authlib's own template percent-encodes it)."""
    page = answer_page(world, state=state)
    assert page.callback is not None
    assert page.callback["state"] == state
    assert "</form><b>" not in page.markup


def test_application_is_told_by_post_when_request_is_refused(world: World, carnet: RelyingParty) -> None:
    """oidcc-response-type-missing, oidcc-prompt-none-not-logged-in (form_post): errors take the asked mode too."""
    for error, reason, parameters in (
        ("login_required", "login_required", {"prompt": "none"}),
        ("invalid_request", "invalid_request", {"response_type": None}),
    ):
        with nothing_issued(world):
            page = world.browser().get(carnet.begin(response_mode="form_post", **parameters))
        callback = assert_refused_by_redirect(world, page, error=error, reason=reason)
        assert (callback.mode, callback.uri) == ("form_post", "https://carnet.example/retour")


def test_application_is_told_by_post_when_nurse_cancels(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 4.1.2.1 (access_denied) in form_post."""
    browser = world.browser()
    browser.get(carnet.begin(response_mode="form_post"))
    with nothing_issued(world):
        page = browser.press("signin-cancel")
    assert assert_refused_by_redirect(world, page, error="access_denied", reason="cancelled_by_person").mode == "form_post"
