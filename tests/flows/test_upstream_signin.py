"""Signing in by an upstream provider: there and back, whose Account it is, and what is said of the proof. Another Vestibule is the provider."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.neighbour import LABEL, NAME, Neighbour, neighbouring
from tests.support.second_factors import enrol_phone, open_parts
from tests.support.world import World

MFA = "urn:vestibule:acr:mfa"
NOTHING = Issued(0, 0, 0, 0)


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world) as found:
        yield found


@pytest.fixture
def home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """A world whose Claire is known to be the neighbour's."""
    world = make_world(providers=[neighbour.settings()])
    neighbour.link(world)
    return world


def depart(browser: Browser, world: World, **parameters: Any) -> Page:
    """From an application to the provider's own sign-in page, by its button."""
    page = browser.get(world.relying_party().begin(**parameters))
    assert LABEL in page.text, page
    return browser.get(f"{page.url}/upstream/{NAME}")


def arrive(neighbour: Neighbour, browser: Browser) -> Page:
    """Sign in there and come back."""
    assert browser.page is not None
    assert browser.page.url.startswith(neighbour.issuer), browser.page
    neighbour.sign_in(browser)
    return browser.page


# Who


def test_somebody_signs_in_by_a_provider_as_the_person_they_are_linked_to(home: World, neighbour: Neighbour) -> None:
    browser, party = neighbour.browser(home), home.relying_party()
    page = browser.get(party.begin())
    browser.get(f"{page.url}/upstream/{NAME}")
    callback = arrive(neighbour, browser).callback
    assert callback is not None
    tokens = party.exchange(callback)
    assert tokens.claims["sub"] == home.account("claire").id
    assert "amr" not in tokens.claims  # what was shown there is not known
    line = home.last_event("signin.succeeded")
    assert (line["connector"], line["acr"], line["amr"]) == (NAME, "urn:vestibule:acr:password", [])
    assert home.last_event("upstream.arrived")["account_id"] == home.account("claire").id


def test_somebody_unknown_gets_an_account_when_a_rule_places_them(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings()])
    browser, party = neighbour.browser(home), home.relying_party()
    page = browser.get(party.begin())
    browser.get(f"{page.url}/upstream/{NAME}")
    callback = arrive(neighbour, browser).callback
    assert callback is not None
    # The same name is carried by somebody here already: a name makes nobody the same person.
    assert party.exchange(callback).claims["sub"] != home.account("claire").id


def test_the_account_page_opens_by_a_provider(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = browser.get("/account")
    browser.get(f"{page.url}/upstream/{NAME}")
    page = arrive(neighbour, browser)
    assert page.url == f"{home.issuer}/account"
    assert "Claire Dubois" in page.text


def test_somebody_suspended_here_is_refused_although_the_provider_knows_them(home: World, neighbour: Neighbour) -> None:
    account = home.account("claire")
    with home.arranging() as tx:
        tx.people.change(account.id, home.clock.now(), status="suspended", cut_by="operator")
    browser = neighbour.browser(home)
    depart(browser, home)
    page = arrive(neighbour, browser)
    assert page.callback is None
    assert "signin-form" in page.forms
    assert "n'est pas admis" in page.text.replace("’", "'")
    assert home.last_event("upstream.refused")["reason"] == "account_not_active"
    assert issued(home) == NOTHING


# What goes wrong there


def test_somebody_who_gives_up_there_may_try_another_way(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    depart(browser, home)
    page = browser.press("signin-cancel")
    assert page.url.startswith(f"{home.issuer}/signin/")
    assert f"chez {LABEL}" in page.text
    line = home.last_event("upstream.refused")
    assert (line["reason"], line["connector"], line["details"]["error"]) == ("upstream_cancelled", NAME, "access_denied")
    page = browser.sign_in("claire.dubois", PASSWORD)
    assert page.callback is not None


def test_a_provider_that_is_down_is_told_and_hides_nothing(make_world: MakeWorld, neighbour: Neighbour) -> None:
    other = neighbour.settings("autre", label="Autre fournisseur", issuer="http://127.0.0.1:9")
    home = make_world(providers=[neighbour.settings(), other])
    browser = neighbour.browser(home)
    page = browser.get(home.relying_party().begin())
    start = page.url
    page = browser.get(f"{start}/upstream/autre")
    assert page.status == 503
    assert "Autre fournisseur ne répond pas" in page.text
    assert "signin-form" in page.forms
    assert LABEL in page.text
    line = home.last_event("upstream.refused")
    assert (line["reason"], line["connector"], line["details"]["trouble"]) == ("upstream_unreachable", "autre", "refused")
    browser.get(f"{start}/upstream/{NAME}")
    assert arrive(neighbour, browser).callback is not None


def test_a_provider_that_goes_down_in_the_middle_is_told(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    depart(browser, home)
    neighbour.is_down = True
    page = arrive(neighbour, browser)
    assert "ne répond pas" in page.text
    assert home.last_event("upstream.refused")["reason"] == "upstream_unreachable"
    neighbour.is_down = False
    assert browser.sign_in("claire.dubois", PASSWORD).callback is not None


# Who was there before


def test_a_session_at_the_provider_answers_for_its_person(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    depart(browser, home)
    assert arrive(neighbour, browser).callback is not None
    other = home.browser()
    other.jar = {key: cookie for key, cookie in browser.jar.items() if key[0] == "127.0.0.1"}
    other.client, other.origins = browser.client, browser.origins
    assert depart(other, home).callback is not None


def test_nobody_is_let_in_by_the_provider_after_a_sign_out(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    depart(browser, home)
    assert arrive(neighbour, browser).callback is not None
    browser.press("account-signout", page=browser.get("/account"))
    page = depart(browser, home)
    assert page.callback is None
    assert page.url.startswith(neighbour.issuer)
    assert "signin-form" in page.forms
    assert arrive(neighbour, browser).callback is not None
    assert depart_silently(browser, home).callback is not None


def depart_silently(browser: Browser, world: World) -> Page:
    """An application that asks for nobody in particular while somebody is signed in."""
    return browser.get(world.relying_party().begin())


def test_an_application_that_asks_for_a_login_has_the_provider_ask_again(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    depart(browser, home)
    assert arrive(neighbour, browser).callback is not None
    page = depart(browser, home, prompt="login")
    assert page.url.startswith(neighbour.issuer)
    assert arrive(neighbour, browser).callback is not None


def test_what_was_begun_before_a_sign_out_in_another_tab_is_worth_nothing(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    there = depart(browser, home)
    home.sign_in("rose", browser=browser)
    browser.press("account-signout", page=browser.get("/account"))
    browser.page = there
    page = arrive(neighbour, browser)
    assert page.callback is None
    assert "signin-form" in page.forms
    assert home.last_event("upstream.refused")["reason"] == "upstream_state"


# Two factors


@pytest.fixture
def strict_home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """A world that trusts the neighbour's word for two factors."""
    world = make_world(providers=[neighbour.settings(mfa_acr=[MFA])])
    neighbour.link(world)
    return world


def test_somebody_outside_is_sent_back_for_two_factors_and_comes_in(strict_home: World, neighbour: Neighbour) -> None:
    phone = enrol_phone(neighbour.world, open_parts(neighbour.world))
    browser, party = neighbour.browser(strict_home, address=OUTSIDE), strict_home.relying_party()
    page = browser.get(party.begin())
    browser.get(f"{page.url}/upstream/{NAME}")
    page = arrive(neighbour, browser)
    assert page.url.startswith(neighbour.issuer), page  # by itself: there is no other way
    page = browser.submit("factor-form", code=phone.code(neighbour.world.clock))
    assert page.callback is not None, page
    claims = party.exchange(page.callback).claims
    assert (claims["acr"], claims["amr"]) == (MFA, ["mfa"])
    line = strict_home.last_event("signin.succeeded")
    assert (line["zone_kind"], line["connector"]) == ("outside", NAME)


def test_a_second_factor_of_somebody_else_there_is_refused(strict_home: World, neighbour: Neighbour) -> None:
    neighbour.link(strict_home, "rose")
    phone = enrol_phone(neighbour.world, open_parts(neighbour.world), "rose")
    enrol_phone(neighbour.world, open_parts(neighbour.world))
    browser = neighbour.browser(strict_home, address=OUTSIDE)
    depart(browser, strict_home)
    page = arrive(neighbour, browser)
    assert "factor-form" in page.forms
    # At the neighbour's the person changes: the journey that was Claire's is answered by Rose.
    begun = [url for url in page.history if "/authorize?" in url][-1]
    browser.jar = {key: cookie for key, cookie in browser.jar.items() if key[0] != "127.0.0.1"}
    page = browser.get(begun)
    page = browser.sign_in("rose.marchand", PASSWORD)
    page = browser.submit("factor-form", code=phone.code(neighbour.world.clock))
    assert page.callback is None
    assert strict_home.last_event("upstream.refused")["reason"] == "upstream_subject"
    assert "quelqu'un d'autre" in page.text.replace("’", "'")
    assert issued(strict_home) == NOTHING


def test_a_provider_that_does_not_prove_two_factors_leaves_the_person_at_the_door(strict_home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(strict_home, address=OUTSIDE)
    depart(browser, strict_home)
    page = arrive(neighbour, browser)
    # Claire has no factor at the neighbour's, who is not asked for one by its own rules: the word that comes back is not the one that was asked.
    assert page.callback is None
    assert page.url.startswith(f"{strict_home.issuer}/signin/")
    assert strict_home.last_event("upstream.refused")["reason"] == "upstream_assurance"
    assert issued(strict_home) == NOTHING


def test_a_proof_that_reached_us_long_ago_is_worth_nothing_any_more(strict_home: World, neighbour: Neighbour) -> None:
    enrol_phone(neighbour.world, open_parts(neighbour.world))
    browser = neighbour.browser(strict_home, address=OUTSIDE)
    page = depart(browser, strict_home)
    start = next(url for url in page.history if "/signin/" in url).partition("/upstream/")[0]
    arrive(neighbour, browser)
    strict_home.clock.advance(timedelta(minutes=11))
    assert "signin-form" in browser.get(start).forms


def test_journeys_are_counted_by_provider_and_reason_without_names(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    depart(browser, home)
    browser.press("signin-cancel")
    depart(browser, home)
    arrive(neighbour, browser)
    counted = home.application.metrics.render().decode()
    assert f'vestibule_upstream_journeys_total{{provider="{NAME}",reason="upstream_cancelled",result="refused"}} 1.0' in counted
    assert f'vestibule_upstream_journeys_total{{provider="{NAME}",reason="",result="arrived"}} 1.0' in counted
    assert "claire" not in counted
