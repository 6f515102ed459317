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


def confirm(page: Page, code: str) -> None:
    """Type a second proof."""
    page.locator('#factor-form [name="code"]').fill(code)
    page.locator("#factor-submit").click()


@pytest.mark.parametrize("javascript", [False, True], ids=["without JavaScript", "with JavaScript"])
def test_a_nurse_inside_signs_in_with_her_password_sees_why_signs_out_and_is_asked_again(
    demo: Demonstration, new_page: NewPage, javascript: bool
) -> None:
    watched = new_page(javascript=javascript)
    page = watched.page
    begin(page, demo)
    sign_in(page, "claire.dubois")
    expect(page.locator("#person")).to_have_text("Claire Dubois")
    expect(page.locator("#establishment")).to_contain_text("Les Tilleuls")
    expect(page.locator("#profile")).to_contain_text("Infirmière")
    expect(page.locator("#proof")).to_have_text("mot de passeune seule preuve")
    expect(page.locator("#zone")).to_contain_text("Dans l'établissement")
    page.locator("#sign-out-form button").click()
    expect(page.locator("#notice")).to_contain_text("déconnecté")
    assert page.url.startswith(f"{demo.app_url}/au-revoir")
    begin(page, demo)
    assert not watched.foreign


def test_a_care_assistant_outside_is_asked_a_code_and_then_opens_the_sensitive_record(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "fatou.diallo")
    confirm(page, demo.codes()["fatou.diallo"])
    expect(page.locator("#proof")).to_contain_text("mot de passe, code à usage unique")
    expect(page.locator("#zone")).to_contain_text("Hors de l'établissement")
    expect(page.locator("#zone")).to_contain_text("d'une autre maison")
    page.locator("#open-record").click()
    expect(page.locator("#record")).to_have_text("Dossier sensible")


def test_a_nurse_inside_gives_a_second_proof_before_the_sensitive_record_opens(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "claire.dubois")
    page.locator("#open-record").click()
    page.locator("#factor-skip").click()
    expect(page.locator("h1")).to_have_text("Le dossier reste fermé")
    page.get_by_role("link", name="Recommencer").click()
    confirm(page, demo.codes()["claire.dubois"])
    expect(page.locator("#record")).to_have_text("Dossier sensible")
    expect(page.locator("#level")).to_have_text("deux preuves, de deux natures")
    expect(page.locator("#zone")).to_contain_text("Dans l'établissement")


def test_a_nurse_outside_types_the_sms_that_the_telephone_shows(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "thomas.girard")
    page.locator("#factor-switch").get_by_role("button", name="Code par SMS").click()
    telephone = new_page(javascript=False).page
    telephone.goto(f"{demo.app_url}/telephone")
    # It reloads by itself.
    expect(telephone.locator(".sms .text").first).to_contain_text("Vestibule")
    confirm(page, telephone.locator(".sms .digits").first.inner_text())
    expect(page.locator("#proof")).to_contain_text("code par SMS")


def test_a_psychologist_without_her_telephone_burns_a_recovery_code(demo: Demonstration, new_page: NewPage) -> None:
    code = demo.papers()["helene.morel"][0]
    for is_first in (True, False):
        page = new_page(javascript=False).page
        begin(page, demo)
        sign_in(page, "helene.morel")
        page.locator("#factor-switch").get_by_role("button", name="Code de secours").click()
        confirm(page, code)
        expect(page.locator("#person") if is_first else page.locator("#factor-error")).to_be_visible()


def test_an_administrator_is_asked_a_code_even_inside_and_is_cut_when_an_operator_suspends_her(
    demo: Demonstration, new_page: NewPage
) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "julie.perrin")
    confirm(page, demo.codes()["julie.perrin"])
    expect(page.locator("#zone")).to_contain_text("Dans l'établissement")
    vestibule(demo.config_path, "account", "suspend", "julie.perrin")

    def is_cut() -> bool:
        page.reload()
        return page.locator("#notice").count() == 1

    wait_until(is_cut, seconds=60, log=demo.log)
    expect(page.locator("#notice")).to_contain_text("fermée par le service de connexion")


def test_a_nurse_loses_her_session_while_she_looks_when_a_visitor_makes_her_leave(demo: Demonstration, new_page: NewPage) -> None:
    nurse, office = new_page().page, new_page().page
    begin(nurse, demo)
    sign_in(nurse, "claire.dubois")
    expect(nurse.locator("#person")).to_have_text("Claire Dubois")
    office.goto(f"{demo.app_url}/depart")
    try:
        office.locator("#form-claire\\.dubois button").click()
        expect(nurse.locator("#notice")).to_contain_text("fermée par le service de connexion")
        expect(office.locator("#state")).to_contain_text("Complète")
        shown = json.loads(vestibule(demo.config_path, "cut", "show", "claire.dubois", "--json"))
        # One for each session that she had; how fast it was is bench.cut's to say.
        assert {one["milliseconds"] is not None for one in shown["applications"]} == {True}
    finally:
        office.goto(f"{demo.app_url}/depart")
        office.locator("#form-claire\\.dubois button[name=retour]").click()
        expect(office.locator("#form-claire\\.dubois button[name=depart]")).to_be_visible()


def test_somebody_outside_without_a_second_proof_is_told_whom_to_call_and_adds_one_with_a_pass(
    demo: Demonstration, new_page: NewPage
) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "lucas.bernier")
    expect(page.locator("main")).to_contain_text("04 00 00 04 56")
    given = vestibule(demo.config_path, "pass", "issue", "lucas.bernier", "--for", "enrol")
    begin(page, demo)
    if page.locator("#signin-form").count():
        sign_in(page, "lucas.bernier")
    page.locator('#pass-form [name="pass"]').fill(given.strip())
    page.locator('#pass-form [name="pass"]').press("Enter")
    page.locator('#enrol-choice [name="kind"][value="totp"]').click()
    _copy_key(page, demo, new_page, name="Lucas")
    expect(page.locator("h1")).to_have_text("Vos codes de secours")


def test_somebody_inside_adds_a_second_proof_on_the_account_page_and_opens_the_record(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False).page
    begin(page, demo)
    sign_in(page, "marc.lenoir")
    page.locator("#open-record").click()
    page.locator("#add-factor").click()
    page.locator('a[href="/account/factors/totp"]').click()
    _copy_key(page, demo, new_page, name="Marc")
    expect(page.locator("h1")).to_have_text("Vos codes de secours")
    page.goto(f"{demo.app_url}/dossier")
    expect(page.locator("#record")).to_have_text("Dossier sensible")


def test_the_pages_speak_english_when_the_browser_does(demo: Demonstration, new_page: NewPage) -> None:
    page = new_page(javascript=False, locale="en-GB").page
    begin(page, demo)
    assert page.locator("html").get_attribute("lang") == "en"
    sign_in(page, "sophie.renaud")
    expect(page.locator("#profile")).to_have_text("Coordinating doctor")
    expect(page.locator("#zone")).to_contain_text("Inside the care home")


def test_a_person_of_two_homes_is_asked_by_the_one_that_she_chooses(demo: Demonstration, new_page: NewPage) -> None:
    for home, zone in (("Les Tilleuls", "Dans l'établissement"), ("Les Glycines", "Hors de l'établissement")):
        watched = new_page()
        page = watched.page
        begin(page, demo)
        sign_in(page, "amina.benali")
        page.locator("#establishment-form").get_by_role("button", name=home).click()
        if home == "Les Glycines":
            confirm(page, demo.codes()["amina.benali"])
        expect(page.locator("#establishment")).to_contain_text(home)
        expect(page.locator("#zone")).to_contain_text(zone)


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


# Every template of the provider is looked at in both languages and widths by test_every_template.py: here, those of the care application.
@pytest.mark.parametrize(("locale", "width"), [("fr-FR", 390), ("en-GB", 1280)], ids=["phone in French", "desktop in English"])
def test_every_page_on_the_way_satisfies_axe_and_fits(demo: Demonstration, new_page: NewPage, locale: str, width: int) -> None:
    watched = new_page(locale=locale, width=width)
    page = watched.page
    page.goto(demo.app_url)
    watched.check()
    begin(page, demo)
    sign_in(page, "sophie.renaud", "ce-n-est-pas-le-bon")
    expect(page.locator('[role="alert"]')).to_be_visible()
    watched.check()
    sign_in(page, "sophie.renaud")
    expect(page.locator("#person")).to_be_visible()
    watched.check()
    for url in (
        *(f"{demo.app_url}{path}" for path in ("/dossier?refus=1", "/telephone?arret=1", "/telephone/ajouter", "/depart")),
        *(f"{demo.issuer}{path}" for path in ("/account", "/cette-page-n-existe-pas")),
    ):
        page.goto(url)
        watched.check()
        watched.check_width()


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


def _copy_key(page: Page, demo: Demonstration, new_page: NewPage, *, name: str) -> None:
    """What a visitor does with the key under the QR code: into the telephone, and its code into the page."""
    key = page.locator(".code.key").text_content() or ""
    telephone = new_page(javascript=False).page
    telephone.goto(f"{demo.app_url}/telephone/ajouter")
    telephone.locator("#key").fill(key[:9])
    telephone.locator("#key-form button").click()
    expect(telephone.locator("#wrong")).to_be_visible()
    telephone.locator("#key").fill(key)
    telephone.locator("#name").fill(name)
    telephone.locator("#key-form button").click()
    digits = telephone.locator(".codes li", has_text=name).locator(".digits").inner_text()
    page.locator('[name="code"]').fill(digits)
    page.locator('[name="code"]').press("Enter")
