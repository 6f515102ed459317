"""The pages that few people meet, each judged by axe-core: consent, choosing an account, too many sessions, errors, a changed password."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Page, Playwright, expect

from demo.people import FIRST_PASSWORD, PASSWORD
from tests.browser.conftest import ARGUMENTS, NewPage
from tests.browser.watched import Watched
from tests.support.browser import Browser
from tests.support.demonstration import Demonstration
from tests.support.processes import program, vestibule

pytestmark = pytest.mark.timeout(240)
REDIRECT_URI = "http://localhost:9/retour"
MOST_SESSIONS = 5


@pytest.fixture(scope="module")
def curious(demo: Demonstration) -> str:
    """A client that asks for consent."""
    vestibule(
        demo.config_path, *("client", "add", "curieux", "--name", "Curieux", "--consent", "--no-pkce", "--redirect-uri", REDIRECT_URI)
    )
    return "curieux"


@pytest.fixture
def http(demo: Demonstration) -> Iterator[httpx.Client]:
    """To sign in without a screen."""
    with httpx.Client(timeout=20) as client:
        yield client


def authorize(demo: Demonstration, client_id: str, **more: str) -> str:
    """An authorization request."""
    query = {"response_type": "code", "client_id": client_id, "redirect_uri": REDIRECT_URI, "scope": "openid profile email", **more}
    return f"{demo.issuer}/authorize?{urlencode(query)}"


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Fill the sign-in form in front of us."""
    page.locator('#signin-form [name="identifier"]').fill(username)
    page.locator('#signin-form [name="password"]').fill(password)
    page.locator('#signin-form [name="password"]').press("Enter")


def test_the_consent_and_account_pages_satisfy_axe(demo: Demonstration, new_page: NewPage, curious: str) -> None:
    watched = new_page()
    page = watched.page
    page.goto(f"{demo.issuer}/account")
    sign_in(page, "marc.lenoir")
    expect(page.locator("h1")).to_have_text("Mon compte")
    page.goto(authorize(demo, curious))
    expect(page.locator("#consent-form")).to_be_visible()
    watched.check()
    page.goto(
        authorize(
            demo,
            "carnet",
            prompt="select_account",
            redirect_uri=f"{demo.app_url}/retour",
            code_challenge="x" * 43,
            code_challenge_method="S256",
        )
    )
    expect(page.locator("#account-continue")).to_be_visible()
    watched.check()


def test_the_error_pages_satisfy_axe(demo: Demonstration, new_page: NewPage, curious: str) -> None:
    watched = new_page()
    page = watched.page
    for url in (
        authorize(demo, "inconnu"),
        authorize(demo, curious, redirect_uri="http://localhost:9/ailleurs"),
        f"{demo.issuer}/signin/cette-page-a-expire",
        f"{demo.issuer}/logout?id_token_hint=faux&post_logout_redirect_uri=http://localhost:9/",
    ):
        page.goto(url)
        expect(page.locator("h1")).to_be_visible()
        assert page.url.startswith(demo.issuer)
        watched.check()


SELF_TEST = {
    "fr-FR": ("Gardés", "Pas gardés", "est à l’heure", "JavaScript est actif", "JavaScript est coupé", "ne sort pas de cet ordinateur"),
    "en-GB": ("Kept: all", "Not kept", "clock is right", "JavaScript is on", "JavaScript is off", "does not leave this computer"),
}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("locale", SELF_TEST)
def test_the_self_test_says_what_it_found(demo: Demonstration, new_page: NewPage, locale: str, width: int) -> None:
    kept, _, clock, on, off, local = SELF_TEST[locale]
    watched = new_page(locale=locale, width=width)
    page = watched.page
    page.goto(f"{demo.issuer}/help/test")
    expect(page.locator("#selftest-script")).to_contain_text(on)
    expect(page.locator("#selftest-skew")).to_contain_text(clock)
    for words in (kept, local):
        expect(page.locator("dl.facts")).to_contain_text(words)
    watched.check()
    watched.check_width()
    without = new_page(locale=locale, width=width, javascript=False)
    without.page.goto(f"{demo.issuer}/help/test")
    expect(without.page.locator("#selftest-script")).to_contain_text(off)
    expect(without.page.locator("#selftest-skew")).to_be_empty()
    expect(without.page.locator("dl.facts")).to_contain_text(kept)
    without.check_width()


@pytest.mark.parametrize(("hours", "words"), [(1, "se trompe de 60 minutes"), (-26, "se trompe de 26 heures")])
def test_the_self_test_says_how_wrong_the_devices_clock_is(demo: Demonstration, new_page: NewPage, hours: int, words: str) -> None:
    watched = new_page()
    watched.page.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    watched.page.goto(f"{demo.issuer}/help/test")
    expect(watched.page.locator("#selftest-skew")).to_contain_text(words)


@pytest.mark.parametrize("locale", SELF_TEST)
def test_the_self_test_says_that_the_browser_keeps_no_cookies(demo: Demonstration, driver: Playwright, tmp_path: Path, locale: str) -> None:
    (tmp_path / "Default").mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocked), encoding="utf-8")
    chromium = program("chromium", "chromium")
    with driver.chromium.launch_persistent_context(str(tmp_path), executable_path=chromium, args=ARGUMENTS, locale=locale) as context:
        watched = Watched(context.new_page(), allowed=(demo.issuer,))
        watched.page.goto(f"{demo.issuer}/help/test")
        expect(watched.page.locator("dl.facts")).to_contain_text(SELF_TEST[locale][1])
        expect(watched.page.locator("#selftest-script")).to_contain_text(SELF_TEST[locale][3])
        watched.check()


def test_a_sixth_session_offers_to_close_an_earlier_one(demo: Demonstration, new_page: NewPage, http: httpx.Client) -> None:
    for _ in range(MOST_SESSIONS):
        browser = Browser(http, demo.issuer)
        browser.get("/account")
        assert browser.sign_in("odette.vasseur", PASSWORD).url.endswith("/account")
    watched = new_page()
    page = watched.page
    page.goto(f"{demo.issuer}/account")
    sign_in(page, "odette.vasseur")
    expect(page.locator("#close-session-form")).to_be_visible()
    watched.check()


def test_a_person_chooses_her_own_password_and_goes_on(demo: Demonstration, new_page: NewPage) -> None:
    watched = new_page(javascript=False)
    page = watched.page
    page.goto(demo.app_url)
    page.locator("#sign-in").click()
    sign_in(page, "lea.moreau", FIRST_PASSWORD)
    fields = page.locator('input[autocomplete="new-password"]')
    for index in range(fields.count()):
        fields.nth(index).fill("Cerisier-Pluvieux-93-Tandem")
    fields.last.press("Enter")
    expect(page.locator("#person")).to_have_text("Léa Moreau")
    shown = json.loads(vestibule(demo.config_path, "account", "show", "lea.moreau"))
    assert shown["password"]["must_change"] is False
