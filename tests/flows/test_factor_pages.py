"""The account page's second factors: adding an authenticator application, recovery codes, names, removal; and what each needs."""

import re
from datetime import timedelta

import pytest

from idp.audit import Author
from idp.signin.passes import NewPass
from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.second_factors import ORIGIN, Phone
from tests.support.world import PASSWORD, World

OUTSIDE = "198.51.100.7"
HOME = "/account/factors"


def at_home(world: World, person: str = "claire", *, path: str = HOME, address: str | None = None) -> Browser:
    """A browser whose person is signed in and looks at a page of theirs."""
    browser = world.browser(address=address) if address else world.browser()
    browser.get(path)
    browser.sign_in(world.person(person).username, PASSWORD)
    return browser


def current(browser: Browser) -> Page:
    assert browser.page is not None
    return browser.page


def path_of(browser: Browser) -> str:
    return current(browser).url.removeprefix("https://connexion.example").partition("?")[0]


def add_phone(world: World, browser: Browser) -> Phone:
    """Add an authenticator application by the page; the recovery codes are on the page then."""
    browser.get(f"{HOME}/totp")
    phone = Phone.scanning(current(browser).markup)
    browser.submit("totp-form", code=phone.code(world.clock), label="Mon téléphone")
    return phone


def codes_on(page: Page) -> list[str]:
    return re.findall(r'<span class="code">([0-9A-Z-]{14})</span>', page.markup)


def test_a_nurse_at_work_adds_an_application_and_is_given_codes_once(world: World) -> None:
    browser = at_home(world)
    assert path_of(browser) == HOME
    assert "Aucun" in current(browser).text
    add_phone(world, browser)
    page = current(browser)
    assert page.status == 200
    codes = codes_on(page)
    assert len(codes) == 10
    assert page.headers["Cache-Control"] == "no-store"
    assert "data:text/plain" in page.markup
    assert all(code in page.markup.partition("data:text/plain")[2] for code in codes)
    browser.get(HOME)
    assert "Mon téléphone" in current(browser).text
    assert codes_on(current(browser)) == []
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(world.account("claire").id)
        assert tx.recovery_codes.left(world.account("claire").id) == 10
    assert factor.enrolled_zone.startswith("tilleuls/")


def test_the_page_of_the_qr_code_needs_no_other_host_and_can_be_typed(world: World) -> None:
    browser = at_home(world)
    page = browser.get(f"{HOME}/totp")
    assert 'class="qr"' in page.markup
    assert "otpauth://totp/" in page.markup
    assert re.search(r'src="http|style="', page.markup) is None
    assert "'unsafe-inline'" not in page.headers["Content-Security-Policy"]


def test_a_wrong_first_code_shows_the_same_qr_code_again(world: World) -> None:
    browser = at_home(world)
    browser.get(f"{HOME}/totp")
    phone = Phone.scanning(current(browser).markup)
    wrong = "000000" if phone.code(world.clock) != "000000" else "000001"
    page = browser.submit("totp-form", code=wrong, label="Tablette <b>")
    assert page.status == 422
    assert Phone.scanning(page.markup) == phone
    assert page.forms["totp-form"].fields["label"] == "Tablette <b>"
    assert "Le code n’est pas le bon" in page.text
    drifting = browser.submit("totp-form", code=phone.code(world.clock, steps=8))
    assert "horloge" in drifting.text
    assert codes_on(browser.submit("totp-form", code=phone.code(world.clock)))


def test_from_outside_with_a_password_alone_nobody_is_even_signed_in(world: World) -> None:
    browser = at_home(world, address=OUTSIDE)
    assert path_of(browser) != HOME
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == ()


def test_a_sign_in_that_is_too_old_is_made_again_and_comes_back_to_the_page(world: World) -> None:
    browser = at_home(world)
    world.clock.advance(timedelta(minutes=6))
    page = browser.get(f"{HOME}/totp")
    assert "signin-form" in page.forms
    browser.sign_in(world.person("claire").username, PASSWORD)
    assert path_of(browser) == f"{HOME}/totp"
    assert "totp-form" in current(browser).forms


def test_a_second_application_takes_a_code_of_the_first(world: World) -> None:
    browser = at_home(world)
    phone = add_phone(world, browser)
    world.clock.advance(timedelta(minutes=11))
    page = browser.get(f"{HOME}/totp")
    assert "factor-form" in page.forms, page
    browser.submit("factor-form", code=phone.code(world.clock))
    assert path_of(browser) == f"{HOME}/totp"
    second = Phone.scanning(current(browser).markup)
    page = browser.submit("totp-form", code=second.code(world.clock))
    assert codes_on(page) == []  # there are codes already
    assert "C’est ajouté" in page.text
    with world.database.read() as tx:
        assert len(tx.factors.open_of(world.account("claire").id)) == 2


def test_a_recovery_code_lets_the_person_add_a_new_telephone(world: World) -> None:
    browser = at_home(world)
    add_phone(world, browser)
    code, *_ = codes_on(current(browser))
    world.clock.advance(timedelta(minutes=11))
    browser.get(f"{HOME}/totp")
    browser.submit("factor-switch", button="recovery")
    browser.submit("factor-form", code=code)
    assert path_of(browser) == f"{HOME}/totp"
    assert "totp-form" in current(browser).forms
    assert world.last_event("recovery_codes.used")["details"] == {"codes": 9}


def test_a_pass_to_sign_in_is_not_asked_for_a_change_of_factors(world: World) -> None:
    browser = at_home(world)
    add_phone(world, browser)
    with world.arranging() as tx:
        new = NewPass(purpose="sign_in", account_id=world.account("claire").id)
        world.application.signin.second_factors.passes.issue(tx, new, Author("operator:nadia", ORIGIN))
    world.clock.advance(timedelta(minutes=11))
    page = browser.get(f"{HOME}/totp")
    assert 'value="recovery"' in page.markup
    assert 'value="pass"' not in page.markup


def test_new_codes_take_a_fresh_proof_and_end_the_old_ones(world: World) -> None:
    browser = at_home(world)
    phone = add_phone(world, browser)
    old = codes_on(current(browser))
    browser.get(HOME)
    fresh = codes_on(browser.press("factors-codes"))
    assert len(fresh) == 10
    assert set(fresh).isdisjoint(old)
    world.clock.advance(timedelta(minutes=11))
    browser.get(HOME)
    page = browser.press("factors-codes")
    assert codes_on(page) == []
    browser.submit("factor-form", code=phone.code(world.clock))
    assert path_of(browser) == HOME
    assert len(codes_on(browser.press("factors-codes"))) == 10
    with world.database.read() as tx:
        assert tx.recovery_codes.left(world.account("claire").id) == 10


def test_few_codes_are_a_warning(world: World) -> None:
    browser = at_home(world)
    add_phone(world, browser)
    claire = world.account("claire")
    for code in codes_on(current(browser))[:8]:
        world.application.signin.second_factors.recovery.prove(claire.id, code, ORIGIN)
    page = browser.get(HOME)
    assert "2 codes" in page.text
    assert "Il en reste peu" in page.text


def test_the_last_factor_is_not_removed_while_it_will_be_asked(world: World) -> None:
    browser = at_home(world)
    add_phone(world, browser)
    browser.get(HOME)
    page = browser.get(re.findall(r'href="(/account/factors/remove\?factor=[^"]+)"', current(browser).markup)[0])
    assert "remove-form" in page.forms
    page = browser.submit("remove-form")
    assert "dernier moyen" in page.text
    with world.database.read() as tx:
        assert len(tx.factors.open_of(world.account("claire").id)) == 1


def test_one_of_two_is_removed_and_renamed(world: World) -> None:
    browser = at_home(world)
    add_phone(world, browser)
    browser.get(f"{HOME}/totp")
    second = Phone.scanning(current(browser).markup)
    browser.submit("totp-form", code=second.code(world.clock), label="Tablette")
    with world.database.read() as tx:
        first, _ = tx.factors.open_of(world.account("claire").id)
    assert f'href="{HOME}/rename?factor={first.id}"' in browser.get(HOME).markup
    page = browser.get(f"{HOME}/rename", {"factor": first.id})
    assert page.forms["rename-form"].fields["label"] == first.label
    browser.submit("rename-form", label="Vieux téléphone")
    assert "Vieux téléphone" in current(browser).text
    browser.get(f"{HOME}/remove", {"factor": first.id})
    page = browser.submit("remove-form")
    assert "Vieux téléphone" not in page.text
    assert "Tablette" in page.text
    assert world.last_event("factor.removed")["details"]["left"] == 1


def test_nobody_removes_or_sees_another_s_factor(world: World) -> None:
    hers = at_home(world)
    add_phone(world, hers)
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(world.account("claire").id)
    his = at_home(world, "rose")
    add_phone(world, his)
    his.get(HOME)
    token = current(his).document.forms[0].fields["csrf_token"]
    assert "rename-form" not in his.get(f"{HOME}/rename", {"factor": factor.id}).forms
    assert "remove-form" not in his.get(f"{HOME}/remove", {"factor": factor.id}).forms
    his.post(f"{HOME}/remove", {"csrf_token": token, "factor": factor.id})
    his.post(f"{HOME}/rename", {"csrf_token": token, "factor": factor.id, "label": "à moi"})
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == (factor,)


def test_on_a_shared_computer_a_pass_opens_it(world: World) -> None:
    with world.arranging() as tx:
        from sqlalchemy import text

        tx.connection.execute(text("UPDATE establishments SET regulatory_level = 'tolerant'"))
        tx.connection.execute(text("UPDATE zones SET kind = 'shared_workstation'"))
        tx.connection.execute(text("UPDATE revisions SET number = number + 1 WHERE name = 'zones'"))
        code, _ = world.application.signin.second_factors.passes.issue(
            tx, NewPass(purpose="enrol", account_id=world.account("claire").id), Author("operator:nadia", ORIGIN)
        )
    browser = at_home(world)
    assert "poste est partagé" in current(browser).text
    page = browser.submit("pass-form", **{"pass": "AAAAA-AAAAA-AAAAA"})
    assert page.status == 422
    browser.submit("pass-form", **{"pass": code.lower()})
    assert path_of(browser) == HOME
    add_phone(world, browser)
    assert len(codes_on(current(browser))) == 10
    assert world.last_event("factor.enrolled")["details"]["opened_by"] == "pass"
    # It has served: a second factor is added with the first.
    page = browser.get(HOME)
    assert "pass-form" not in page.forms


@pytest.mark.parametrize("path", [HOME, f"{HOME}/totp", f"{HOME}/remove?factor=x"])
def test_who_is_not_signed_in_is_asked_to(world: World, path: str) -> None:
    page = world.browser().get(path)
    assert "signin-form" in page.forms


def test_a_kind_that_is_not_offered_is_not_on_the_page(make_world: MakeWorld) -> None:
    world = make_world(factors={"offered": ["passkey"]})
    browser = at_home(world)
    assert f"{HOME}/totp" not in current(browser).markup
