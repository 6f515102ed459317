"""Second factors in a whole sign-in from outside: a code, a recovery code, a pass; and a first factor with a pass from the contact."""

import re

from idp.audit import Author
from idp.signin.passes import NewPass
from tests.support.browser import Browser, Page
from tests.support.second_factors import ORIGIN, Phone, enrol_phone, open_parts
from tests.support.world import PASSWORD, World

OUTSIDE = "198.51.100.7"


def arriving(world: World) -> tuple[Browser, Page]:
    """Claire, outside, after her password."""
    browser = world.browser(address=OUTSIDE)
    page = browser.get(world.relying_party("carnet").begin())
    return browser, browser.sign_in("claire.dubois", PASSWORD, page=page)


def issue(world: World, purpose: str) -> str:
    new = NewPass(purpose=purpose, account_id=world.account("claire").id)  # type: ignore[arg-type]  # purposes that exist
    with world.arranging() as tx:
        return open_parts(world).passes.issue(tx, new, Author("operator:nadia", ORIGIN))[0]


def test_a_wrong_code_is_told_with_the_tries_left_and_a_right_one_goes_on(world: World) -> None:
    phone = enrol_phone(world, open_parts(world))
    browser, page = arriving(world)
    assert "factor-form" in page.forms
    wrong = "000000" if phone.code(world.clock) != "000000" else "000001"
    page = browser.submit("factor-form", code=wrong)
    assert page.status == 403
    assert "Il reste 4 essais" in page.text
    page = browser.submit("factor-form", code=phone.code(world.clock))
    assert page.callback is not None
    line = world.last_event("signin.succeeded")
    assert (line["amr"], line["acr"], line["zone_kind"]) == (["pwd", "otp", "mfa"], "urn:vestibule:acr:mfa", "outside")


def test_a_code_that_has_signed_in_does_not_sign_in_again(world: World) -> None:
    phone = enrol_phone(world, open_parts(world))
    code = phone.code(world.clock)
    browser, _ = arriving(world)
    assert browser.submit("factor-form", code=code).callback is not None
    browser, _ = arriving(world)
    page = browser.submit("factor-form", code=code)
    assert page.callback is None
    assert "déjà servi" in page.text


def test_a_recovery_code_signs_in_once(world: World) -> None:
    parts = open_parts(world)
    enrol_phone(world, parts)
    code, *_ = parts.recovery.renew(world.account("claire").id, ORIGIN)
    browser, _ = arriving(world)
    browser.submit("factor-switch", button="recovery")
    assert browser.submit("factor-form", code=code.lower()).callback is not None
    browser, _ = arriving(world)
    browser.submit("factor-switch", button="recovery")
    page = browser.submit("factor-form", code=code)
    assert page.callback is None
    assert "Le code n’est pas le bon" in page.text


def test_a_pass_signs_in_once_without_the_factor(world: World) -> None:
    enrol_phone(world, open_parts(world))
    code = issue(world, "sign_in")
    browser, _ = arriving(world)
    browser.submit("factor-switch", button="pass")
    assert browser.submit("factor-form", code=code).callback is not None
    browser, page = arriving(world)
    assert 'value="pass"' not in page.markup


def test_too_many_tries_are_a_wait_that_the_browser_is_told_too(world: World) -> None:
    enrol_phone(world, open_parts(world))
    browser, _ = arriving(world)
    for _ in range(5):
        browser.submit("factor-form", code="nonsense")
    page = browser.submit("factor-form", code="nonsense")
    assert page.status == 429
    assert page.headers["Retry-After"] == "60"
    assert "Attendez 1 minute" in page.text


def test_a_first_factor_is_added_outside_with_a_pass_and_never_without(world: World) -> None:
    _, page = arriving(world)
    assert page.callback is None
    assert not {"totp-form", "enrol-choice", "factor-form"} & page.forms.keys()
    code = issue(world, "enrol")
    browser, page = arriving(world)
    assert "totp-form" not in page.forms
    assert browser.submit("pass-form", **{"pass": "AAAAA-AAAAA-AAAAA"}).callback is None
    browser.submit("pass-form", **{"pass": code})
    page = browser.submit("enrol-choice", button="totp")
    page = browser.submit("totp-form", code=Phone.scanning(page.markup).code(world.clock))
    assert len(re.findall(r'<span class="code">[0-9A-Z-]{14}</span>', page.markup)) == 10
    link = re.search(r'id="codes-continue" href="([^"]+)"', page.markup)
    assert link is not None
    assert browser.get(link[1]).callback is not None
    assert world.last_event("pass.used")["details"] == {"purpose": "enrol", "issued_by": "operator:nadia"}
