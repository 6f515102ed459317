"""oidcc-basic-certification-test-plan: prompt, max_age and the two hints about who is there.

OpenID Connect Core 1.0 sections 2 (auth_time), 3.1.2.1, 3.1.2.3 and 3.1.2.6.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.browser import Browser, Page
from tests.support.refusals import assert_refused_by_redirect, nothing_issued
from tests.support.relying_party import RelyingParty, Tokens
from tests.support.world import World


def ask(world: World, browser: Browser, client: str = "carnet", **parameters: str | None) -> tuple[RelyingParty, Page]:
    """Another authorization request in the same browser."""
    party = world.relying_party(client)
    return party, browser.get(party.begin(**parameters))


def answered(party: RelyingParty, page: Page) -> Tokens:
    """The tokens of a request that was answered."""
    assert page.callback is not None, page
    return party.exchange(page.callback)


def test_nurse_proves_herself_again_when_prompt_is_login(world: World) -> None:
    """oidcc-prompt-login: the form is shown although she is signed in, and auth_time is later."""
    first = world.sign_in("claire")
    world.clock.advance(timedelta(seconds=1))
    party, page = ask(world, first.browser, prompt="login")
    assert "signin-form" in page.forms
    second = answered(party, first.browser.sign_in("claire.dubois", world.password))
    assert second.claims["auth_time"] == first.tokens.claims["auth_time"] + 1
    assert second.claims["sub"] == first.tokens.claims["sub"]
    assert second.claims["sid"] == first.tokens.claims["sid"], "the same browser's Session is renewed"


def test_application_is_told_when_prompt_is_none_and_nobody_is_there(world: World, carnet: RelyingParty) -> None:
    """oidcc-prompt-none-not-logged-in: login_required, with a state of 128 characters unharmed."""
    state = "aZ09-._~" * 16
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(prompt="none", state=state))
    assert assert_refused_by_redirect(world, page, error="login_required", reason="login_required")["state"] == state


def test_nurse_sees_no_page_when_prompt_is_none_and_she_is_there(world: World) -> None:
    """oidcc-prompt-none-logged-in: answered at once, with the same sub and auth_time."""
    first = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=5))
    party, page = ask(world, first.browser, prompt="none")
    second = answered(party, page)
    assert len(page.history) == 1
    assert {name: second.claims[name] for name in ("sub", "auth_time", "sid")} == {
        name: first.tokens.claims[name] for name in ("sub", "auth_time", "sid")
    }


def test_nurse_sees_no_page_when_no_prompt_is_asked_and_she_is_there(world: World) -> None:
    """OIDCC-3.1.2.3: an open Session answers by itself."""
    first = world.sign_in("claire")
    party, page = ask(world, first.browser)
    assert answered(party, page).claims["sub"] == first.tokens.claims["sub"]


@pytest.mark.parametrize("prompt", ["none login", "none consent", "none select_account", "rien", "login rien", "NONE"])
def test_application_is_told_when_prompt_is_not_valid(world: World, prompt: str) -> None:
    """OIDCC-3.1.2.1: none stands alone; an unknown value is an error even for someone who is there."""
    browser = world.sign_in("claire").browser
    with nothing_issued(world):
        _, page = ask(world, browser, prompt=prompt)
    assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request")


def test_application_is_told_when_prompt_is_none_and_consent_is_needed(world: World) -> None:
    """OIDCC-3.1.2.6: consent_required; after the consent the same request passes."""
    browser = world.sign_in("claire").browser
    with nothing_issued(world):
        _, page = ask(world, browser, "curieux", prompt="none")
    assert_refused_by_redirect(world, page, error="consent_required", reason="consent_required", client_id="curieux")
    party, page = ask(world, browser, "curieux")
    answered(party, browser.submit("consent-form", button="accept"))
    party, page = ask(world, browser, "curieux", prompt="none")
    assert answered(party, page).claims["sub"] == world.account("claire").id


def test_application_is_told_when_prompt_is_none_and_an_establishment_must_be_chosen(world: World) -> None:
    """OIDCC-3.1.2.6: interaction_required, when the Session's establishment is not one this client serves and two others are."""
    amina = world.account("amina")
    with world.arranging() as tx:
        kept = tx.establishments.by_slug("glycines")
        client = tx.clients.get("glycines")
        assert kept is not None
        assert client is not None
        (glycines,) = (attachment for attachment in tx.people.attachments(amina.id) if attachment.establishment_id == kept.id)
        tx.establishments.add(replace(kept, id=world.clock.new_id(), slug="lilas", name="Les Lilas"))
        lilas = tx.establishments.by_slug("lilas")
        assert lilas is not None
        tx.people.attach(replace(glycines, id=world.clock.new_id(), establishment_id=lilas.id))
        settings = client.settings.model_copy(update={"establishments": ("glycines", "lilas"), "default_establishment": None})
        tx.clients.put(settings, secret_digest=client.secret_digest, source=client.source, now=world.clock.now())
    browser = world.sign_in("amina", establishment="tilleuls").browser
    with nothing_issued(world):
        _, page = ask(world, browser, "glycines", prompt="none")
    assert_refused_by_redirect(world, page, error="interaction_required", reason="interaction_required", client_id="glycines")
    _, page = ask(world, browser, "glycines")
    assert "establishment-form" in page.forms


@pytest.mark.parametrize(
    ("client", "reason"), [("glycines", "client_not_open_to_establishment"), ("medecins", "client_not_open_to_profile")]
)
def test_application_is_told_when_prompt_is_none_and_it_is_closed_to_the_person(world: World, client: str, reason: str) -> None:
    """RFC 6749 section 4.1.2.1: access_denied at once, for no page could help."""
    browser = world.sign_in("claire").browser
    with nothing_issued(world):
        _, page = ask(world, browser, client, prompt="none")
    assert_refused_by_redirect(world, page, error="access_denied", reason=reason, client_id=client)


def test_application_is_told_when_prompt_is_none_and_the_account_was_suspended(world: World) -> None:
    """House rule: an open Session does not open doors for an account that is not active any more."""
    browser = world.sign_in("claire").browser
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), status="suspended")
    with nothing_issued(world):
        _, page = ask(world, browser, prompt="none")
    assert_refused_by_redirect(world, page, error="access_denied", reason="account_not_active")


def test_nurse_goes_on_as_herself_when_prompt_is_select_account(world: World) -> None:
    """OIDCC-3.1.2.1 (select_account): she is asked, says yes, and her proof keeps its age."""
    first = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=1))
    party, page = ask(world, first.browser, prompt="select_account")
    assert page.callback is None
    assert "Claire" in page.text
    tokens = answered(party, first.browser.press("account-continue", page=page))
    assert tokens.claims["auth_time"] == first.tokens.claims["auth_time"]


def test_colleague_signs_in_instead_when_prompt_is_select_account(world: World) -> None:
    """OIDCC-3.1.2.1 (select_account): another person takes the browser, and gets a Session of their own."""
    first = world.sign_in("claire")
    party, page = ask(world, first.browser, prompt="select_account")
    page = first.browser.press("account-other", page=page)
    tokens = answered(party, first.browser.sign_in("rose.marchand", world.password, page=page))
    assert tokens.claims["sub"] == world.account("rose").id
    assert tokens.claims["sid"] != first.tokens.claims["sid"]
    assert world.last_event("session.ended")["reason"] == "replaced"


def test_nurse_is_asked_when_prompt_is_consent_though_client_needs_none(world: World) -> None:
    """OIDCC-3.1.2.1 (consent): asked each time; refusing gives access_denied."""
    browser = world.sign_in("claire").browser
    party, page = ask(world, browser, prompt="consent")
    assert "consent-form" in page.forms
    answered(party, browser.submit("consent-form", button="accept"))
    assert world.last_event("consent.given")["client_id"] == "carnet"
    party, page = ask(world, browser, prompt="consent")
    assert "consent-form" in page.forms
    with nothing_issued(world):
        page = browser.press("consent-refuse", page=page)
    assert page.callback is not None
    assert (page.callback["error"], page.callback["iss"]) == ("access_denied", world.issuer)
    assert world.last_event("consent.refused")["reason"] == "cancelled_by_person"


def test_nurse_cancels_when_she_does_not_want_to_sign_in(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 4.1.2.1: access_denied with state and iss."""
    browser = world.browser()
    page = browser.get(carnet.begin())
    with nothing_issued(world):
        page = browser.press("signin-cancel", page=page)
    assert page.callback is not None
    assert carnet.begun is not None
    assert page.callback.parameters.keys() >= {"error", "state", "iss"}
    assert (page.callback["error"], page.callback["state"]) == ("access_denied", carnet.begun.state)
    assert world.last_event("signin.cancelled")["reason"] == "cancelled_by_person"


def test_nurse_proves_herself_again_when_her_proof_is_older_than_max_age(world: World) -> None:
    """oidcc-max-age-1: two seconds later max_age=1 asks again; auth_time is there, later and recent."""
    first = world.sign_in("claire")
    world.clock.advance(timedelta(seconds=2))
    party, page = ask(world, first.browser, max_age="1")
    assert "signin-form" in page.forms
    second = answered(party, first.browser.sign_in("claire.dubois", world.password))
    assert second.claims["auth_time"] == first.tokens.claims["auth_time"] + 2 == world.clock.timestamp()


def test_nurse_sees_no_page_when_her_proof_is_within_max_age(world: World) -> None:
    """oidcc-max-age-10000: not asked again; auth_time is that of the first sign-in."""
    first = world.sign_in("claire")
    world.clock.advance(timedelta(seconds=1))
    party, page = ask(world, first.browser, max_age="10000")
    assert answered(party, page).claims["auth_time"] == first.tokens.claims["auth_time"]


def test_nurse_proves_herself_once_when_max_age_is_zero(world: World) -> None:
    """OIDCC-3.1.2.1: max_age=0 means prompt=login; the proof just given answers, however slow the person's typing before it."""
    browser = world.sign_in("claire").browser
    world.clock.advance(timedelta(seconds=1))
    party, page = ask(world, browser, max_age="0")
    assert "signin-form" in page.forms
    world.clock.advance(timedelta(minutes=2))
    assert answered(party, browser.sign_in("claire.dubois", world.password)).claims["auth_time"] == world.clock.timestamp()


def test_application_is_told_when_prompt_is_none_and_the_proof_is_too_old(world: World) -> None:
    """OIDCC-3.1.2.6: login_required."""
    browser = world.sign_in("claire").browser
    world.clock.advance(timedelta(seconds=61))
    with nothing_issued(world):
        _, page = ask(world, browser, prompt="none", max_age="60")
    assert_refused_by_redirect(world, page, error="login_required", reason="login_required")


def test_client_default_max_age_asks_again_when_request_has_none(world: World) -> None:
    """Registration 1.0 section 2 (default_max_age): applies when the request says nothing, and yields to what it says."""
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        settings = kept.settings.model_copy(update={"default_max_age": timedelta(minutes=1)})
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    browser = world.sign_in("claire").browser
    world.clock.advance(timedelta(minutes=2))
    _, page = ask(world, browser)
    assert "signin-form" in page.forms
    _, page = ask(world, browser, max_age="600")
    assert page.callback is not None


@pytest.mark.parametrize("max_age", ["-1", "1.5", "bientôt", "1e3", "٣", "99999999999"])
def test_application_is_told_when_max_age_is_not_a_number_of_seconds(world: World, carnet: RelyingParty, max_age: str) -> None:
    """OIDCC-3.1.2.1 (max_age): whole seconds."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(max_age=max_age))
    assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request")


def test_nurse_sees_no_page_when_id_token_hint_names_her(world: World) -> None:
    """oidcc-id-token-hint: prompt=none with the first ID token, which has expired since; same sub and auth_time."""
    first = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=10))
    party, page = ask(world, first.browser, prompt="none", id_token_hint=first.tokens.identity)
    second = answered(party, page)
    assert (second.claims["sub"], second.claims["auth_time"]) == (first.tokens.claims["sub"], first.tokens.claims["auth_time"])


def test_application_is_told_when_id_token_hint_names_somebody_else(world: World) -> None:
    """OIDCC-3.1.2.1 (id_token_hint): login_required, never a code for whoever sits there."""
    hint = world.sign_in("karim").tokens.identity
    browser = world.sign_in("claire").browser
    with nothing_issued(world):
        _, page = ask(world, browser, prompt="none", id_token_hint=hint)
    assert_refused_by_redirect(world, page, error="login_required", reason="login_required")


def test_somebody_else_gets_no_code_when_id_token_hint_named_another(world: World) -> None:
    """OIDCC-3.1.2.1 (id_token_hint): with pages, the form is shown; the wrong person is told here, then the client."""
    hint = world.sign_in("karim").tokens.identity
    browser = world.sign_in("claire").browser
    _, page = ask(world, browser, id_token_hint=hint)
    assert "signin-form" in page.forms
    with nothing_issued(world):
        page = browser.sign_in("claire.dubois", world.password)
        assert page.callback is None
        assert world.last_event("signin.refused")["reason"] == "login_required"
        page = browser.press("denied-back")
    assert_refused_by_redirect(world, page, error="login_required", reason="login_required")


def test_hint_is_understood_when_nurse_works_at_many_establishments(world: World) -> None:
    """OIDCC-3.1.2.1 (id_token_hint): our own ID token is never too long for us, even with as many attachments as it may hold."""
    with world.arranging() as tx:
        kept = tx.establishments.by_slug("tilleuls")
        assert kept is not None
        (attachment,) = tx.people.attachments(world.account("claire").id)
        for number in range(19):  # with her own, as many as one may hold (idp/oauth/claims.py)
            place_id = world.clock.new_id()
            tx.establishments.add(replace(kept, id=place_id, slug=f"maison-{number}", name=f"La maison aux {number} volets"))
            tx.people.attach(replace(attachment, id=world.clock.new_id(), establishment_id=place_id))
    first = world.sign_in("claire", establishment="tilleuls", scope="openid profile email establishment establishments")
    assert len(first.tokens.identity) > 4096
    party, page = ask(world, first.browser, prompt="none", id_token_hint=first.tokens.identity)
    assert answered(party, page).claims["sub"] == first.tokens.claims["sub"]


def test_application_is_told_when_id_token_hint_is_not_ours_or_not_its_own(world: World) -> None:
    """OIDCC-3.1.2.1 (id_token_hint): invalid_request for a broken one, and for one that another application was given."""
    other = world.sign_in("claire", "autre")
    broken = other.tokens.identity[:-8] + "AAAAAAAA"
    for hint in (other.tokens.identity, broken, other.tokens.access, "n-importe-quoi"):
        with nothing_issued(world):
            _, page = ask(world, other.browser, prompt="none", id_token_hint=hint)
        assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request")
