"""Linking: somebody whom a provider vouches for becomes the one person they are here, by a proven act. Another Vestibule is the provider."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import PASSWORD
from tests.support.neighbour import LABEL, NAME, Neighbour, neighbouring
from tests.support.world import World

NOTHING = Issued(0, 0, 0, 0)


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world) as found:
        yield found


@pytest.fixture
def home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """A world that knows nobody of the neighbour's, and makes nobody an account."""
    return make_world(providers=[neighbour.settings(creates_accounts=False)])


def come(home: World, neighbour: Neighbour, browser: Browser, person: str = "claire", **parameters: str) -> Page:
    """From an application to the provider and back."""
    page = browser.get(home.relying_party().begin(**parameters))
    page = browser.get(f"{page.url}/upstream/{NAME}")
    if page.url.startswith(neighbour.issuer):
        neighbour.sign_in(browser, person)
    assert browser.page is not None
    return browser.page


def link(home: World, neighbour: Neighbour, browser: Browser, person: str = "claire") -> Page:
    """The whole proven act, for somebody of the same name here and there."""
    come(home, neighbour, browser, person)
    browser.sign_in(home.person(person).username, PASSWORD)
    return browser.press("link-confirm")


def offers(page: Page, button: str) -> bool:
    return any(button in form.button_ids for form in page.document.forms)


def links_of(home: World, person: str) -> list[tuple[str, str, str]]:
    with home.database.read() as tx:
        return [(one.connector, one.subject, one.how) for one in tx.links.of_account(home.account(person).id)]


def fresh_account_page(home: World, browser: Browser, person: str = "claire") -> Page:
    page = browser.get("/account/links")
    return browser.sign_in(home.person(person).username, PASSWORD, page=page)


# The proven act


def test_a_stranger_proves_who_they_are_once_and_is_linked(home: World, neighbour: Neighbour) -> None:
    browser, party = neighbour.browser(home), home.relying_party()
    page = browser.get(party.begin())
    browser.get(f"{page.url}/upstream/{NAME}")
    neighbour.sign_in(browser)
    page = browser.page
    assert page is not None
    assert page.callback is None
    assert f"Votre compte {LABEL}" in page.text
    assert home.last_event("upstream.refused")["reason"] == "nothing_grants"
    assert issued(home) == NOTHING
    page = browser.sign_in("claire.dubois", PASSWORD)
    assert page.callback is None
    assert "Claire Dubois" in page.text
    assert links_of(home, "claire") == []
    page = browser.press("link-confirm")
    assert page.callback is not None, page
    assert party.exchange(page.callback).claims["sub"] == home.account("claire").id
    assert links_of(home, "claire") == [(NAME, neighbour.world.account("claire").id, "proven")]
    line = home.last_event("account.linked")
    assert (line["account_id"], line["details"]["how"]) == (home.account("claire").id, "proven")
    assert come(home, neighbour, neighbour.browser(home)).callback is not None
    assert home.last_event("signin.succeeded")["connector"] == NAME


def test_what_is_called_the_same_is_not_taken_over_by_a_link(home: World, neighbour: Neighbour) -> None:
    """A provider that was linked says nothing of the name, the address or the telephone of somebody whom an operator has written here."""
    before = home.account("claire")
    with neighbour.world.arranging() as tx:
        there = neighbour.world.account("claire")
        tx.people.change(there.id, home.clock.now(), family_name="Autrement", email="autre@ailleurs.example")
    link(home, neighbour, neighbour.browser(home))
    come(home, neighbour, neighbour.browser(home))
    after = home.account("claire")
    assert (after.family_name, after.email, after.username) == (before.family_name, before.email, before.username)


def test_whoever_is_not_that_person_goes_on_without_linking(home: World, neighbour: Neighbour) -> None:
    """On a shared machine Claire came by the provider and left; Rose types her own password on the page that was open."""
    browser, party = neighbour.browser(home), home.relying_party()
    page = browser.get(party.begin())
    browser.get(f"{page.url}/upstream/{NAME}")
    neighbour.sign_in(browser)
    page = browser.sign_in("rose.marchand", PASSWORD)
    assert page.callback is None
    assert "claire.dubois" in page.text
    assert "Rose" in page.text
    page = browser.press("link-decline")
    assert page.callback is not None
    assert party.exchange(page.callback).claims["sub"] == home.account("rose").id
    assert links_of(home, "rose") == links_of(home, "claire") == []


def test_whoever_finds_another_persons_page_open_says_so(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    come(home, neighbour, browser)
    page = browser.press("link-decline")
    assert not offers(page, "link-decline")
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.callback is not None
    assert links_of(home, "claire") == []


def test_a_page_left_open_links_nobody_after_a_while(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = come(home, neighbour, browser)
    home.clock.advance(timedelta(minutes=11))
    page = browser.get(page.url)
    assert not offers(page, "link-decline")
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None
    assert links_of(home, "claire") == []


def test_a_page_left_open_links_nobody_after_a_sign_out(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    here = come(home, neighbour, browser)
    home.sign_in("rose", browser=browser)
    browser.press("account-signout", page=browser.get("/account"))
    assert not offers(browser.get(here.url), "link-decline")


def test_no_session_that_is_open_answers_for_a_stranger(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    home.sign_in("rose", browser=browser)
    page = browser.get(home.relying_party().begin(prompt="login"))
    browser.get(f"{page.url}/upstream/{NAME}")
    neighbour.sign_in(browser)
    page = browser.page
    assert page is not None
    assert page.callback is None
    assert "signin-form" in page.forms
    assert links_of(home, "rose") == []


def test_somebody_suspended_meanwhile_is_not_linked(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    come(home, neighbour, browser)
    page = browser.sign_in("claire.dubois", PASSWORD)
    with home.arranging() as tx:
        tx.people.change(home.account("claire").id, home.clock.now(), status="suspended", cut_by="operator")
    page = browser.press("link-confirm", page=page)
    assert page.callback is None
    assert links_of(home, "claire") == []
    assert issued(home) == NOTHING


def test_the_person_of_another_account_is_not_linked_twice(home: World, neighbour: Neighbour) -> None:
    """Two browsers: the same person there, proven as two people here. The first who finishes has it."""
    first, second = neighbour.browser(home), neighbour.browser(home)
    come(home, neighbour, first)
    come(home, neighbour, second)
    first.sign_in("claire.dubois", PASSWORD)
    page = second.sign_in("rose.marchand", PASSWORD)
    assert first.press("link-confirm").callback is not None
    page = second.press("link-confirm", page=page)
    assert page.callback is None
    assert home.last_event("signin.restarted")["reason"] == "linked_to_another"
    assert links_of(home, "rose") == []
    assert len(links_of(home, "claire")) == 1


def test_of_two_who_finish_at_once_one_has_the_link(home: World, neighbour: Neighbour) -> None:
    people = {"claire": neighbour.browser(home), "rose": neighbour.browser(home)}
    for person, browser in people.items():
        come(home, neighbour, browser)
        browser.sign_in(home.person(person).username, PASSWORD)
    start = threading.Barrier(2)
    finished: dict[str, bool] = {}

    def finish(person: str) -> None:
        start.wait()
        finished[person] = people[person].press("link-confirm").callback is not None

    threads = [threading.Thread(target=finish, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished.values()) == [False, True]
    assert sorted(len(links_of(home, person)) for person in people) == [0, 1]
    assert len(home.events("account.linked")) == 1


def test_an_account_has_one_person_of_a_provider(home: World, neighbour: Neighbour) -> None:
    link(home, neighbour, neighbour.browser(home))
    browser = neighbour.browser(home)
    come(home, neighbour, browser, "rose")
    page = browser.sign_in("claire.dubois", PASSWORD)
    assert f"Un autre compte {LABEL} vous est déjà relié" in page.text
    assert not offers(page, "link-confirm")
    assert browser.press("link-decline").callback is not None
    assert len(links_of(home, "claire")) == 1


# On the account page


def test_somebody_links_and_unlinks_on_their_account_page(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = fresh_account_page(home, browser)
    assert f"link-{NAME}" in page.forms
    page = browser.submit(f"link-{NAME}", page=page, button=NAME)
    neighbour.sign_in(browser)
    page = browser.page
    assert page is not None
    assert offers(page, "link-confirm"), page
    page = browser.press("link-confirm")
    assert page.url.endswith("/account/links")
    assert f"unlink-{NAME}" in page.forms
    assert links_of(home, "claire") == [(NAME, neighbour.world.account("claire").id, "proven")]
    by_provider = neighbour.browser(home)
    assert come(home, neighbour, by_provider).callback is not None
    page = browser.submit(f"unlink-{NAME}", button=NAME)
    assert "n’est plus relié" in page.text
    assert links_of(home, "claire") == []
    line = home.last_event("account.unlinked")
    assert (line["connector"], line["details"]["sessions"]) == (NAME, 1)
    # What began with the provider's word has ended, and the provider's person is a stranger again: no rule and no name brings them back.
    assert "signin-form" in by_provider.get("/account").forms
    page = come(home, neighbour, neighbour.browser(home))
    assert page.callback is None
    assert home.last_event("upstream.refused")["reason"] == "unlinked"


def test_a_rule_makes_nobody_of_who_was_unlinked(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings()])
    neighbour.link(home)
    with home.arranging() as tx:
        tx.links.change(NAME, neighbour.world.account("claire").id, ended_at=home.clock.now())
    page = come(home, neighbour, neighbour.browser(home))
    assert page.callback is None
    assert offers(page, "link-decline")
    assert issued(home) == NOTHING


def test_a_change_of_links_wants_a_sign_in_of_just_now(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    page = fresh_account_page(home, browser)
    home.clock.advance(timedelta(minutes=11))
    page = browser.submit(f"link-{NAME}", page=page, button=NAME)
    assert page.url.startswith(f"{home.issuer}/signin/")
    assert "signin-form" in page.forms


def test_the_last_way_in_is_not_taken_away(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings()])
    browser = neighbour.browser(home)
    page = browser.get("/account/links")
    browser.get(f"{page.url}/upstream/{NAME}")
    neighbour.sign_in(browser)
    page = browser.submit(f"unlink-{NAME}", button=NAME)
    assert page.status == 409
    assert "seul moyen" in page.text
    assert home.last_event("account.link_refused")["reason"] == "last_way_in"


def test_on_the_account_page_nobody_links_another_persons_sign_in(home: World, neighbour: Neighbour) -> None:
    neighbour.link(home, "rose")
    browser = neighbour.browser(home)
    page = fresh_account_page(home, browser)
    page = browser.submit(f"link-{NAME}", page=page, button=NAME)
    neighbour.sign_in(browser, "rose")
    page = browser.page
    assert page is not None
    assert "relié ici à une autre personne" in page.text
    assert home.last_event("upstream.refused")["reason"] == "upstream_subject"
    assert links_of(home, "claire") == []


def test_linking_on_the_account_page_makes_no_second_account(make_world: MakeWorld, neighbour: Neighbour) -> None:
    """A rule would place who comes: but they come to be linked."""
    home = make_world(providers=[neighbour.settings()])
    browser = neighbour.browser(home)
    page = fresh_account_page(home, browser)
    browser.submit(f"link-{NAME}", page=page, button=NAME)
    neighbour.sign_in(browser)
    browser.press("link-confirm")
    assert links_of(home, "claire") == [(NAME, neighbour.world.account("claire").id, "proven")]
