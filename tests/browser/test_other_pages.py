"""The pages that few people meet, each judged by axe-core: consent, choosing an account, too many sessions, errors, a changed password."""

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Page, expect

from demo.people import FIRST_PASSWORD, PASSWORD
from tests.browser.conftest import NewPage
from tests.support.browser import Browser
from tests.support.demonstration import Demonstration
from tests.support.processes import vestibule

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
