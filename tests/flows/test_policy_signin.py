"""Inside the gesture is spared, outside a second factor is asked: whole sign-ins under the default rules, and what is kept of each decision."""

from datetime import timedelta
from typing import Any

import pytest

from idp.store.base import Establishment, Role
from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued, refusal
from tests.support.browser import Browser, Page
from tests.support.cast import AT_GLYCINES, OUTSIDE, PASSWORD
from tests.support.second_factors import Phone, enrol_phone
from tests.support.world import World

ZONE_CLAIMS = ("zone", "zone_kind", "zone_why")


@pytest.fixture
def phone(world: World) -> Phone:
    """Claire's, enrolled at work."""
    return enrol_phone(world, world.application.signin.second_factors)


def sign_in(
    world: World, person: str = "claire", *, browser: Browser | None = None, client: str = "carnet", **parameters: str
) -> tuple[Browser, Page]:
    """As far as the page that follows the password, from outside."""
    browser, page = at_sign_in(world, browser=browser or world.browser(address=OUTSIDE), client=client, **parameters)
    return browser, browser.sign_in(world.person(person).username, PASSWORD, page=page)


def at_level(world: World, slug: str = "tilleuls", **values: Any) -> Establishment:
    """An establishment with other settings."""
    with world.arranging() as tx:
        tx.establishments.change(world.establishment(slug).id, values)
    return world.establishment(slug)


def make_administrator(world: World, person: str = "claire") -> None:
    with world.arranging() as tx:
        tx.roles.add(
            Role(
                id=world.clock.new_id(),
                account_id=world.account(person).id,
                role="group_administrator",
                establishment_id=None,
                given_by="operator:essai",
                created_at=world.clock.now(),
                ended_at=None,
            )
        )


# Inside and outside


def test_nurse_gets_in_with_her_password_when_she_is_on_the_lan(world: World) -> None:
    signed = world.sign_in("claire")
    claims = signed.tokens.claims
    assert (claims["acr"], claims["amr"]) == ("urn:vestibule:acr:password", ["pwd"])
    assert [claims[name] for name in ZONE_CLAIMS] == ["tilleuls/lan", "trusted", "network_of_zone"]


def test_nurse_is_asked_for_her_code_when_she_is_outside(world: World, phone: Phone) -> None:
    party = world.relying_party()
    browser = world.browser(address=OUTSIDE)
    before = issued(world)
    page = browser.get(party.begin())
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert "factor-form" in page.forms
    assert issued(world) == before
    page = browser.submit("factor-form", page=page, code=phone.code(world.clock))
    assert page.callback is not None, page
    claims = party.exchange(page.callback).claims
    assert (claims["acr"], claims["amr"]) == ("urn:vestibule:acr:mfa", ["pwd", "otp", "mfa"])
    assert [claims[name] for name in ZONE_CLAIMS] == ["outside", "outside", "no_zone"]


def test_nurse_is_told_whom_to_call_when_she_is_outside_without_a_factor(world: World) -> None:
    before = issued(world)
    _, page = sign_in(world)
    assert page.status == 403
    assert "Nadia Ferrand" in page.text
    event = refusal(world, page, before)
    assert event["reason"] == "no_factor_enrolled"
    assert (event["zone"], event["zone_kind"], event["zone_why"]) == ("outside", "outside", "no_zone")
    assert event["establishment_id"] == world.establishment("tilleuls").id


def test_wrong_code_opens_nothing_and_says_how_many_tries_are_left(world: World, phone: Phone) -> None:
    browser, page = sign_in(world)
    before = issued(world)
    page = browser.submit("factor-form", page=page, code="000000")
    assert page.status == 403
    assert "factor-form" in page.forms
    event = refusal(world, page, before, type_prefix="factor.refused")
    assert event["reason"] == "wrong_code"


def test_code_of_one_person_does_not_serve_another_in_the_same_browser(world: World, phone: Phone) -> None:
    """The proofs of whoever typed first are nothing to whoever types next on the same page."""
    browser, page = at_sign_in(world, browser=world.browser(address=OUTSIDE))
    factor = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert "factor-form" in factor.forms
    again = browser.sign_in("rose.marchand", PASSWORD, page=page)  # an older tab: the form does nothing once somebody is proven
    assert again.callback is None
    before = issued(world)
    browser.submit("factor-form", page=factor, code="111111")
    assert issued(world) == before


def test_nurse_of_another_home_is_outside_on_this_lan(world: World) -> None:
    """The zone is trusted for the establishment that is active, and for no other."""
    before = issued(world)
    _, page = sign_in(world, "karim", browser=world.browser())
    assert page.status == 403
    event = refusal(world, page, before)
    assert (event["zone"], event["zone_why"]) == ("outside", "zone_of_another_establishment")


def test_nurse_of_two_homes_is_inside_only_where_she_says_she_works(world: World) -> None:
    browser, page = sign_in(world, "amina", browser=world.browser(address=AT_GLYCINES))
    assert browser.submit("establishment-form", page=page, button="tilleuls").status == 403
    browser, page = sign_in(world, "amina", browser=world.browser(address=AT_GLYCINES))
    page = browser.submit("establishment-form", page=page, button="glycines")
    assert page.callback is not None


def test_blocked_network_is_refused_whatever_is_proven(world: World, phone: Phone) -> None:
    with world.arranging() as tx:
        (lan,) = tx.zones.of(world.establishment("tilleuls").id)
        tx.zones.change(lan.id, {"kind": "blocked"})
        tx.revisions.advance("zones")
    before = issued(world)
    _, page = sign_in(world, browser=world.browser())
    event = refusal(world, page, before)
    assert event["reason"] == "denied_by_rule"
    assert event["zone_kind"] == "blocked"


# A Session that moves


def test_session_of_the_lan_needs_the_code_when_it_goes_on_outside(world: World, phone: Phone) -> None:
    signed = world.sign_in("claire")
    cookie = signed.browser.cookie("__Host-vestibule-session")
    assert cookie is not None
    world.move(signed.browser, OUTSIDE)
    page = signed.browser.get(signed.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "interaction_required"
    page = signed.browser.get(signed.party.begin())
    assert "factor-form" in page.forms
    assert "signin-form" not in page.forms
    page = signed.browser.submit("factor-form", page=page, code=phone.code(world.clock))
    assert page.callback is not None
    stepped = signed.party.exchange(page.callback).claims
    assert stepped["sid"] == signed.tokens.claims["sid"]
    assert stepped["auth_time"] == signed.tokens.claims["auth_time"]
    assert stepped["amr"] == ["pwd", "otp", "mfa"]
    assert stepped["zone"] == "outside"
    changed = signed.browser.cookie("__Host-vestibule-session")
    assert changed is not None
    assert changed.value != cookie.value
    assert world.last_event("session.stepped_up")["session_id"] == stepped["sid"]
    page = signed.browser.get(signed.party.begin(prompt="none"))
    assert page.callback is not None
    assert "code" in page.callback.parameters


def test_old_cookie_opens_nothing_once_the_session_was_stepped_up(world: World, phone: Phone) -> None:
    signed = world.sign_in("claire")
    old = dict(signed.browser.jar)
    world.move(signed.browser, OUTSIDE)
    page = signed.browser.get(signed.party.begin())
    signed.browser.submit("factor-form", page=page, code=phone.code(world.clock))
    thief = world.browser(address=OUTSIDE)
    thief.jar = old
    page = thief.get(signed.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"


def test_session_that_goes_back_to_the_lan_keeps_what_was_proven(world: World, phone: Phone) -> None:
    browser, page = sign_in(world)
    browser.submit("factor-form", page=page, code=phone.code(world.clock))
    world.move(browser, world.lan_of("claire"))
    party = world.relying_party("autre")
    page = browser.get(party.begin())
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    assert (claims["amr"], claims["zone"]) == (["pwd", "otp", "mfa"], "tilleuls/lan")


# What is kept


def test_decision_is_kept_once_with_the_sign_in_it_decided(world: World, phone: Phone) -> None:
    browser, page = sign_in(world)
    browser.submit("factor-form", page=page, code=phone.code(world.clock))
    (kept,) = [line for line in world.events() if line["decision"] is not None]
    assert kept["type"] == "signin.succeeded"
    decision = kept["decision"]
    assert decision["verdict"] == "require"
    assert decision["reasons"] == ["second_factor_outside"]
    facts = decision["facts"]
    assert facts["zone"] == "outside"
    assert facts["methods"] == ["password", "totp"]
    assert facts["factors"] == ["totp"]
    assert (facts["client"], facts["establishment"], facts["profiles"]) == ("carnet", "tilleuls", ["nurse"])
    assert facts["administrator"] is False


def test_silent_authorization_keeps_its_decision_and_its_place(world: World) -> None:
    signed = world.sign_in("claire")
    count = len(world.events())
    signed.browser.get(world.relying_party("autre").begin())
    fresh = world.events()[count:]
    (kept,) = [line for line in fresh if line["decision"] is not None]
    assert kept["type"] == "authorization.granted"
    assert kept["decision"]["facts"]["methods"] == ["password"]
    assert (kept["zone"], kept["zone_kind"]) == ("tilleuls/lan", "trusted")


def test_refusal_keeps_the_decision_that_the_support_code_leads_to(world: World) -> None:
    before = issued(world)
    _, page = sign_in(world)
    event = refusal(world, page, before)
    assert event["decision"]["verdict"] == "require"
    assert event["decision"]["facts"]["factors"] == []


# Who is held to more


def test_administrator_gives_a_code_even_on_the_lan(world: World, phone: Phone) -> None:
    make_administrator(world)
    browser, page = sign_in(world, browser=world.browser())
    assert "factor-form" in page.forms
    assert browser.submit("factor-form", page=page, code=phone.code(world.clock)).callback is not None


def test_level_rie_asks_two_factors_on_the_lan_and_a_remembered_grace_spares_newcomers(world: World, phone: Phone) -> None:
    at_level(world, regulatory_level="rie-2026", enrolment_grace_days=14)
    _, page = sign_in(world, browser=world.browser())
    assert "factor-form" in page.forms
    _, page = sign_in(world, "rose", browser=world.browser())
    assert page.callback is not None
    began = world.account("rose").grace_began_at
    assert began is not None
    world.clock.advance(timedelta(days=15))
    _, page = sign_in(world, "rose", browser=world.browser())
    assert page.status == 403
    assert world.last_event("signin.refused")["reason"] == "no_factor_enrolled"


def test_person_without_a_factor_must_add_one_on_the_lan_when_the_grace_is_over(world: World) -> None:
    at_level(world, enrolment_grace_days=14)
    assert world.sign_in("claire").tokens.claims["amr"] == ["pwd"]
    world.clock.advance(timedelta(days=15))
    browser, page = sign_in(world, browser=world.browser())
    assert "enrol-choice" in page.forms, page
    page = browser.submit("enrol-choice", page=page, button="totp")
    phone = Phone.scanning(page.markup)
    page = browser.submit("totp-form", page=page, code=phone.code(world.clock))
    assert page.status == 200
    assert len(page.document.text.split()) > 10
    page = browser.get(page.url)
    assert page.callback is not None
    assert world.last_event("signin.succeeded")["amr"] == ["pwd", "otp", "mfa"]
    assert world.account("claire").grace_began_at is None


def test_pass_lets_a_person_add_a_first_factor_outside(world: World) -> None:
    from idp.audit import Author, Origin
    from idp.signin.passes import NewPass

    passes = world.application.signin.second_factors.passes
    with world.application.database.write() as tx:
        code, _ = passes.issue(
            tx, NewPass(purpose="enrol", account_id=world.account("claire").id), Author("operator:essai", Origin("0123456789", "local"))
        )
    browser, page = sign_in(world)
    assert "pass-form" in page.forms
    assert "enrol-choice" not in page.forms
    page = browser.submit("pass-form", page=page, **{"pass": "AAAAA-BBBBB-CCCCC"})
    assert page.status == 403
    page = browser.submit("pass-form", page=page, **{"pass": code})
    page = browser.submit("enrol-choice", page=page, button="totp")
    phone = Phone.scanning(page.markup)
    page = browser.submit("totp-form", page=page, code="000000")
    assert page.status == 403
    assert Phone.scanning(page.markup) == phone, "the same key is shown again after a wrong code"
    page = browser.submit("totp-form", page=page, code=phone.code(world.clock))
    page = browser.get(page.url)
    assert page.callback is not None, page
    assert world.last_event("signin.succeeded")["amr"] == ["pwd", "otp", "mfa"]


# When the store of counters is gone


@pytest.mark.sqlite  # breaks the embedded file
def test_factor_fails_closed_with_a_clear_page_when_nothing_can_be_counted(make_world: MakeWorld) -> None:
    world = make_world()
    phone = enrol_phone(world, world.application.signin.second_factors)
    browser, page = sign_in(world)
    before = issued(world)
    world.application.ephemeral.close()
    for path in world.folder.glob("*ephemeral*"):
        path.unlink()
        path.mkdir()
    page = browser.submit("factor-form", page=page, code=phone.code(world.clock))
    assert page.status == 503
    assert issued(world) == before
