"""What a stranger does after `make run`: sign in to the care application, see who they are and where, sign out, be asked again."""

import json

import pytest
from playwright.sync_api import Page, expect

from demo.people import FIRST_PASSWORD, PASSWORD
from tests.browser.conftest import NewPage
from tests.browser.watched import HEAVIEST_BYTES
from tests.support.demonstration import Demonstration
from tests.support.processes import vestibule, wait_until

pytestmark = pytest.mark.timeout(240)


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Fill the sign-in form in front of us."""
    form = page.locator("#signin-form")
    form.locator('[name="identifier"]').fill(username)
    form.locator('[name="password"]').fill(password)
    form.locator('[name="password"]').press("Enter")


def begin(page: Page, demo: Demonstration) -> None:
    """From the care application to the sign-in page."""
    page.goto(demo.app_url)
    page.locator("#sign-in").click()
    expect(page.locator("#signin-form")).to_be_visible()
    assert page.url.startswith(f"{demo.issuer}/signin/")


@pytest.mark.parametrize("javascript", [False, True], ids=["without JavaScript", "with JavaScript"])
def test_a_nurse_signs_in_sees_where_she_is_signs_out_and_is_asked_again(demo: Demonstration, new_page: NewPage, javascript: bool) -> None:
    watched = new_page(javascript=javascript)
    page = watched.page
    begin(page, demo)
    sign_in(page, "claire.dubois")
    expect(page.locator("#person")).to_have_text("Claire Dubois")
    expect(page.locator("#establishment")).to_contain_text("Les Tilleuls")
    expect(page.locator("#profile")).to_contain_text("Infirmière")
    expect(page.locator("#proof")).to_contain_text("mot de passe")
    page.locator("#sign-out-form button").click()
    expect(page.locator("#notice")).to_contain_text("déconnecté")
    assert page.url.startswith(f"{demo.app_url}/au-revoir")
    begin(page, demo)
    assert not watched.foreign


def test_the_pages_speak_english_when_the_browser_does(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False, locale="en-GB").page
    begin(page, demo)
    assert page.locator("html").get_attribute("lang") == "en"
    sign_in(page, "thomas.girard")
    expect(page.locator("#profile")).to_have_text("Nurse")


def test_a_person_of_two_homes_chooses_one_when_signing_in(demo: Demonstration, new_page: NewPage) -> None:
    watched = new_page()
    page = watched.page
    begin(page, demo)
    sign_in(page, "amina.benali")
    watched.check()
    page.locator("#establishment-form").get_by_role("button", name="Les Glycines").click()
    expect(page.locator("#establishment")).to_contain_text("Les Glycines")
    expect(page.locator("#profile")).to_have_text("Cadre de santé")


@pytest.mark.parametrize("username", ["ines.roche", "hugo.lefevre"], ids=["contract ended", "no home"])
def test_a_person_without_a_home_is_told_whom_to_call(demo: Demonstration, new_page: NewPage, username: str) -> None:
    watched = new_page()
    page = watched.page
    begin(page, demo)
    sign_in(page, username)
    expect(page.locator("h1")).to_be_visible()
    assert page.url.startswith(demo.issuer)
    expect(page.locator("#signin-form")).to_have_count(0)
    watched.check()


def test_a_suspended_person_reads_the_same_words_as_a_wrong_password(demo: Demonstration, new_page: NewPage) -> None:
    said = []
    for username, password in (("paul.garnier", PASSWORD), ("personne.ici", PASSWORD)):
        page = new_page(javascript=False).page
        begin(page, demo)
        sign_in(page, username, password)
        expect(page.locator("#signin-form")).to_be_visible()
        said.append(page.locator('[role="alert"]').inner_text())
    assert said[0] == said[1] != ""


def test_a_person_with_a_first_password_is_asked_for_a_new_one(demo: Demonstration, new_page: NewPage) -> None:
    watched = new_page()
    begin(watched.page, demo)
    sign_in(watched.page, "lea.moreau", FIRST_PASSWORD)
    expect(watched.page.locator('input[autocomplete="new-password"]').first).to_be_visible()
    watched.check()


def test_the_care_application_is_cut_when_an_operator_suspends_the_account(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "lucas.bernier")
    expect(page.locator("#person")).to_have_text("Lucas Bernier")
    vestibule(demo.config_path, "account", "suspend", "lucas.bernier")
    try:
        wait_until(lambda: _is_delivered(demo), seconds=20, log=demo.log)
        page.reload()
        expect(page.locator("#notice")).to_contain_text("fermée par le service de connexion")
    finally:
        vestibule(demo.config_path, "account", "reinstate", "lucas.bernier")


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize("locale", ["fr-FR", "en-GB"])
def test_every_page_on_the_way_satisfies_axe_and_fits(demo: Demonstration, new_page: NewPage, locale: str, width: int) -> None:
    watched = new_page(locale=locale, width=width)
    page = watched.page
    page.goto(demo.app_url)
    watched.check()
    begin(page, demo)
    watched.check()
    sign_in(page, "helene.morel", "ce-n-est-pas-le-bon")
    expect(page.locator('[role="alert"]')).to_be_visible()
    watched.check()
    sign_in(page, "helene.morel")
    expect(page.locator("#person")).to_be_visible()
    watched.check()
    for path in ("/account", "/help", "/logout", "/cette-page-n-existe-pas"):
        page.goto(f"{demo.issuer}{path}")
        watched.check()
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{page.url} is {overflow} pixels too wide"


def test_no_page_weighs_more_than_it_may_on_first_load(demo: Demonstration, new_page: NewPage) -> None:
    watched = new_page()
    page = watched.page
    weights = {f"{demo.app_url}/": watched.weight(f"{demo.app_url}/")}
    begin(page, demo)
    weights[page.url.split("/signin/")[0] + "/signin/"] = watched.weight(page.url)
    sign_in(page, "sophie.renaud")
    expect(page.locator("#person")).to_be_visible()
    for path in ("/account", "/help"):
        weights[path] = watched.weight(f"{demo.issuer}{path}")
    assert all(0 < weight < HEAVIEST_BYTES for weight in weights.values()), weights


def _is_delivered(demo: Demonstration) -> bool:
    notices = json.loads(vestibule(demo.config_path, "outbox", "list", "--json"))["notices"]
    return bool(notices) and notices[0]["state"] == "delivered"
