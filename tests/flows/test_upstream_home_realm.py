"""Which provider a sign-in page offers first, or leads to by itself: hints, domains, establishments, and what the browser remembers."""

from collections.abc import Iterator

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.flows.test_shared_workstation import SALON, furnish_salon
from tests.support.browser import Page
from tests.support.cast import AT_GLYCINES, PASSWORD
from tests.support.neighbour import LABEL, NAME, Neighbour, neighbouring
from tests.support.world import World

OTHER = "Autre fournisseur"
NOTHING = Issued(0, 0, 0, 0)


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world) as found:
        yield found


def other(neighbour: Neighbour, **changes: object) -> dict[str, object]:
    """A second provider, which does not answer."""
    return neighbour.settings("autre", label=OTHER, issuer="http://127.0.0.1:9", **changes)


@pytest.fixture
def home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """Two providers; the neighbour's people have addresses of its domain."""
    world = make_world(providers=[other(neighbour), neighbour.settings(domains=["voisin.example"])])
    neighbour.link(world)
    return world


def offered(page: Page) -> list[str]:
    """The providers on a page, in its order."""
    return [name for _, name in sorted((page.text.index(name), name) for name in (LABEL, OTHER) if name in page.text)]


def leads(page: Page) -> bool:
    """Whether the page proposes a provider before a password."""
    return "Ou avec un mot de passe" in page.text


# What an application says


def test_an_application_that_names_a_provider_leads_there_without_a_page(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = browser.get(home.relying_party().begin(kc_idp_hint=NAME))
    assert page.url.startswith(neighbour.issuer)
    neighbour.sign_in(browser)
    assert browser.page is not None
    assert browser.page.callback is not None


def test_an_application_that_names_a_domain_leads_to_its_provider(home: World, neighbour: Neighbour) -> None:
    page = neighbour.browser(home).get(home.relying_party().begin(domain_hint="Voisin.Example"))
    assert page.url.startswith(neighbour.issuer)


def test_who_comes_back_from_there_without_signing_in_is_not_sent_again(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = browser.get(home.relying_party().begin(kc_idp_hint=NAME))
    start = next(url for url in page.history if "/signin/" in url)
    page = browser.get(start)  # the Back button
    assert page.url == start
    assert "signin-form" in page.forms
    assert offered(page) == [LABEL, OTHER]
    assert browser.sign_in("claire.dubois", PASSWORD).callback is not None


def test_a_named_provider_that_is_down_is_told_on_the_page_with_the_other_ways(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = browser.get(home.relying_party().begin(kc_idp_hint="autre"))
    assert page.status == 503
    assert f"{OTHER} ne répond pas" in page.text
    assert "signin-form" in page.forms
    assert offered(page)[0] == OTHER
    assert browser.get(page.url).status == 200  # loaded again, it waits for the person


@pytest.mark.parametrize("hint", ["inconnu", "../voisin", "voisin2", "VOISIN"])
def test_a_provider_that_is_not_ours_is_passed_over(home: World, neighbour: Neighbour, hint: str) -> None:
    page = neighbour.browser(home).get(home.relying_party().begin(kc_idp_hint=hint))
    assert "signin-form" in page.forms
    assert not leads(page)


def test_a_silent_request_is_sent_nowhere(home: World, neighbour: Neighbour) -> None:
    page = neighbour.browser(home).get(home.relying_party().begin(kc_idp_hint=NAME, prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    assert neighbour.asked("/.well-known/openid-configuration") == 0


def test_a_login_hint_of_a_providers_domain_puts_it_first(home: World, neighbour: Neighbour) -> None:
    page = neighbour.browser(home).get(home.relying_party().begin(login_hint="claire@voisin.example"))
    assert leads(page)
    assert offered(page) == [LABEL, OTHER]


# What people type


def test_an_identifier_of_a_providers_domain_is_sent_there_and_its_password_is_tried_nowhere(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    browser.get(home.relying_party().begin())
    page = browser.sign_in(" Claire.Dubois@VOISIN.example ", PASSWORD)
    assert page.url.startswith(neighbour.issuer)
    assert page.forms["signin-form"].fields["identifier"] == "Claire.Dubois@VOISIN.example"  # login_hint
    assert home.events("signin.refused") == []
    assert PASSWORD not in str(home.events())
    assert issued(home) == NOTHING


def test_an_identifier_of_a_domain_whose_provider_is_down_is_tried_nowhere_either(make_world: MakeWorld, neighbour: Neighbour) -> None:
    world = make_world(providers=[other(neighbour, domains=["tilleuls.example"])])
    browser = neighbour.browser(world)
    browser.get(world.relying_party().begin())
    page = browser.sign_in("claire.dubois@tilleuls.example", PASSWORD)  # the right one, here
    assert page.status == 503
    assert page.forms["signin-form"].fields["identifier"] == "claire.dubois@tilleuls.example"
    assert world.events("signin") == []
    assert issued(world) == NOTHING


# Where it is


def test_an_establishment_sees_its_own_providers_and_those_of_everybody(make_world: MakeWorld, neighbour: Neighbour) -> None:
    world = make_world(providers=[other(neighbour), neighbour.settings(establishments=["tilleuls"])])
    page = neighbour.browser(world).get(world.relying_party().begin(establishment="tilleuls"))
    assert offered(page) == [LABEL, OTHER]
    assert leads(page)
    page = neighbour.browser(world).get(world.relying_party().begin(establishment="glycines"))
    assert offered(page) == [OTHER]
    assert not leads(page)


def test_the_network_tells_the_establishment_when_nothing_else_does(make_world: MakeWorld, neighbour: Neighbour) -> None:
    world = make_world(providers=[neighbour.settings(establishments=["tilleuls"])])
    assert offered(neighbour.browser(world).get(world.relying_party().begin())) == [LABEL]
    assert offered(neighbour.browser(world, address=AT_GLYCINES).get(world.relying_party().begin())) == []


def test_a_provider_of_another_establishment_is_not_gone_to(make_world: MakeWorld, neighbour: Neighbour) -> None:
    world = make_world(providers=[neighbour.settings(establishments=["tilleuls"])])
    browser = neighbour.browser(world)
    page = browser.get(world.relying_party().begin(establishment="glycines", kc_idp_hint=NAME))
    assert "signin-form" in page.forms
    assert "signin-form" in browser.get(f"{page.url}/upstream/{NAME}").forms
    assert neighbour.asked("/.well-known/openid-configuration") == 0


# What the browser remembers


def test_the_provider_used_last_in_this_browser_comes_first(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = browser.get(home.relying_party().begin())
    assert offered(page) == [OTHER, LABEL]
    assert not leads(page)
    browser.get(f"{page.url}/upstream/{NAME}")
    neighbour.sign_in(browser)
    browser.press("account-signout", page=browser.get("/account"))
    page = browser.get(home.relying_party().begin())
    assert leads(page)
    assert offered(page) == [LABEL, OTHER]
    browser.sign_in("claire.dubois", PASSWORD)
    browser.press("account-signout", page=browser.get("/account"))
    assert not leads(browser.get(home.relying_party().begin()))


def test_a_shared_workstation_remembers_no_provider_and_has_it_ask_everybody(home: World, neighbour: Neighbour) -> None:
    furnish_salon(home)
    browser = neighbour.browser(home, address=SALON)
    for _ in range(2):
        page = browser.get(home.relying_party().begin(prompt="login"))
        assert not leads(page)
        page = browser.get(f"{page.url}/upstream/{NAME}")
        assert "signin-form" in page.forms  # although the first has a session there
        assert page.url.startswith(neighbour.issuer)
        neighbour.sign_in(browser)
        assert browser.page is not None
        assert browser.page.callback is not None
