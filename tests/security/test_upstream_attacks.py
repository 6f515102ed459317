"""What an attacker may try with the way back from a provider: other browsers' answers, old ones, other providers' ones, forms of other sites."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import PASSWORD
from tests.support.neighbour import NAME, Neighbour, neighbouring
from tests.support.world import World

NOTHING = Issued(0, 0, 0, 0)


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world, NAME, "jumeau") as found:
        yield found


@pytest.fixture
def home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """Two registrations at one provider, and Claire linked by the first."""
    world = make_world(providers=[neighbour.settings(), neighbour.settings("jumeau", label="Le Jumeau")])
    neighbour.link(world)
    return world


def answered(home: World, neighbour: Neighbour, browser: Browser, *, name: str = NAME) -> dict[str, str]:
    """Sign in at the provider, and keep what it answers instead of going back with it."""
    page = browser.get(home.relying_party().begin())
    browser.get(f"{page.url}/upstream/{name}")
    browser.origins = {neighbour.issuer}
    neighbour.sign_in(browser)
    browser.origins = {home.issuer, neighbour.issuer}
    assert browser.page is not None
    callback = browser.page.callback
    assert callback is not None
    assert callback.uri == f"{home.issuer}/upstream/{name}/callback"
    return dict(callback.parameters)


def refused(home: World, page: Page, reason: str = "upstream_state") -> None:
    """Nobody was signed in, and the trail says why."""
    assert page.callback is None, page
    assert home.last_event("upstream.refused")["reason"] == reason
    assert issued(home) == NOTHING


def back(home: World, browser: Browser, parameters: dict[str, str], *, name: str = NAME) -> Page:
    return browser.get(f"{home.issuer}/upstream/{name}/callback", parameters)


def test_an_answer_brought_by_another_browser_signs_nobody_in(home: World, neighbour: Neighbour) -> None:
    # Login CSRF: the attacker signs in at the provider as themselves, and has the victim's browser come back with the answer.
    attacker, victim = neighbour.browser(home), neighbour.browser(home)
    victim.get(home.relying_party().begin())
    answer = answered(home, neighbour, attacker)
    page = back(home, victim, answer)
    assert page.status == 400
    refused(home, page)
    assert "n’est plus valable" in page.text
    # It was not spoiled by that: whoever it belongs to may still come for it.
    assert back(home, attacker, answer).callback is not None


def test_an_answer_brought_without_a_cookie_signs_nobody_in(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    browser.jar = {key: cookie for key, cookie in browser.jar.items() if key[0] == "127.0.0.1"}
    page = back(home, browser, answer)
    assert page.status == 400
    refused(home, page)


def test_an_answer_serves_once(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    assert back(home, browser, answer).callback is not None
    before = issued(home)
    page = back(home, browser, answer)
    assert page.callback is None
    assert page.status == 400
    page = browser.get(f"/upstream/{NAME}/return?state={answer['state']}")
    assert page.status == 400
    assert [line["reason"] for line in home.events("upstream.refused")] == ["upstream_state", "upstream_state"]
    assert issued(home) == before


@pytest.mark.parametrize("state", ["", "x", "x" * 43, "é" * 30, "x" * 5_000, "%00"])
def test_an_invented_state_is_nobodys(home: World, neighbour: Neighbour, state: str) -> None:
    browser = neighbour.browser(home)
    browser.get(home.relying_party().begin())
    for page in (
        back(home, browser, {"code": "x", "state": state}),
        browser.get(f"/upstream/{NAME}/return", {"state": state}),
        browser.post(f"/upstream/{NAME}/callback", {"code": "x", "state": state}, cross_site=True),
    ):
        assert page.status == 400
        refused(home, page)


def test_an_answer_for_one_provider_is_none_for_another(home: World, neighbour: Neighbour) -> None:
    # Mix-up: a code of one provider must never be sent to another one's token endpoint.
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    asked = neighbour.asked("/token")
    refused(home, back(home, browser, answer, name="jumeau"))
    assert neighbour.asked("/token") == asked
    page = browser.get(f"/upstream/jumeau/return?state={answer['state']}")
    refused(home, page)


def test_an_answer_that_names_another_issuer_is_refused(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    asked = neighbour.asked("/token")
    page = back(home, browser, {**answer, "iss": "https://un-autre.example"})
    refused(home, page, "upstream_callback_issuer")
    assert neighbour.asked("/token") == asked
    assert "signin-form" in page.forms


def test_a_code_of_another_sign_in_is_refused(home: World, neighbour: Neighbour) -> None:
    # Code injection: PKCE and the nonce tie the code to the browser that left.
    thief, victim = neighbour.browser(home), neighbour.browser(home)
    stolen = answered(home, neighbour, victim)
    own = answered(home, neighbour, thief)
    page = back(home, thief, {**own, "code": stolen["code"]})
    refused(home, page, "upstream_code_refused")


def test_the_first_answer_under_a_state_stands(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    # Somebody who saw the state posts another code before the browser comes for its own: nothing is gained, for it is not the right one.
    stranger = neighbour.browser(home)
    stranger.request("POST", f"{home.issuer}/upstream/{NAME}/callback", data={**answer, "code": "x" * 43})
    refused(home, back(home, browser, answer), "upstream_code_refused")


def test_a_form_of_another_site_brings_no_cookie_and_still_comes_back(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    response = browser.request("POST", f"{home.issuer}/upstream/{NAME}/callback", data=answer, is_cross_site=True)
    assert response.status_code == 303
    target = urlsplit(response.headers["Location"])
    assert (target.path, parse_qs(target.query)) == (f"/upstream/{NAME}/return", {"state": [answer["state"]]})
    assert "Set-Cookie" not in response.headers
    assert browser.get(response.headers["Location"]).callback is not None


def test_a_repeated_parameter_is_refused(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    for twice in ("code", "state", "iss"):
        page = browser.get(
            f"{home.issuer}/upstream/{NAME}/callback?" + "&".join(f"{k}={v}" for k, v in [*answer.items(), (twice, answer[twice])])
        )
        assert page.status == 400
        refused(home, page, "upstream_malformed")


def test_too_much_is_refused_and_kept_nowhere(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    page = browser.post(f"/upstream/{NAME}/callback", {**answer, "more": "x" * 20_000}, cross_site=True)
    refused(home, page, "upstream_malformed")
    page = browser.post(f"/upstream/{NAME}/callback", {**answer, **{f"p{n}": "x" for n in range(30)}}, cross_site=True)
    refused(home, page, "upstream_malformed")
    assert browser.post(f"/upstream/{NAME}/callback", {**answer, "more": "x" * 70_000}, cross_site=True).status == 413


def test_nobody_is_led_anywhere_but_to_their_own_sign_in(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    more = {"return_to": "https://mechant.example", "redirect_uri": "https://mechant.example", "next": "//mechant.example"}
    page = back(home, browser, {**answer, **more})
    assert page.callback is not None
    assert page.callback.uri == home.registered["carnet"].redirect_uri
    assert not any("mechant" in urlsplit(url).netloc for url in page.history)


@pytest.mark.parametrize("name", ["inconnu", "..%2f", "voisin%2f..", "x" * 300])
def test_a_provider_that_is_not_there_is_not_found(home: World, neighbour: Neighbour, name: str) -> None:
    page = neighbour.browser(home).get(f"{home.issuer}/upstream/{name}/callback?state=x&code=y")
    assert page.status in {400, 404}
    assert issued(home) == NOTHING


def test_a_sign_in_that_ended_meanwhile_is_not_finished_by_the_answer(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    start = browser.get(home.relying_party().begin()).url
    there = browser.get(f"{start}/upstream/{NAME}")
    assert browser.press("signin-cancel", page=browser.get(start)).callback is not None  # in another tab
    browser.origins = {neighbour.issuer}
    callback = browser.submit("signin-form", page=there, identifier="claire.dubois", password=PASSWORD).callback
    assert callback is not None
    browser.origins = {home.issuer, neighbour.issuer}
    answer = dict(callback.parameters)
    before = issued(home)
    page = back(home, browser, answer)
    assert page.callback is None
    assert home.last_event("upstream.refused")["reason"] == "interaction_expired"
    assert issued(home) == before


def test_two_tabs_each_come_back_to_their_own_sign_in(home: World, neighbour: Neighbour) -> None:
    browser, first, second = neighbour.browser(home), home.relying_party(), home.relying_party("autre")
    there = []
    for party in (first, second):
        page = browser.get(party.begin())
        there.append(browser.get(f"{page.url}/upstream/{NAME}"))
    for page, party in zip(there, (first, second), strict=True):
        page = browser.submit("signin-form", page=page, identifier="claire.dubois", password=PASSWORD)
        assert page.callback is not None, page
        assert party.exchange(page.callback).claims["sub"] == home.account("claire").id


def test_an_answer_too_late_is_refused(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    home.clock.advance(timedelta(minutes=21))
    refused(home, back(home, browser, answer))


def test_nothing_of_the_journey_is_in_the_store_to_be_read(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    browser.request("POST", f"{home.issuer}/upstream/{NAME}/callback", data=answer, is_cross_site=True)
    kept = b"".join(file.read_bytes() for file in home.folder.iterdir() if file.is_file())
    for name in ("code", "state"):
        assert answer[name].encode() not in kept
    assert back(home, browser, answer).callback is not None


def test_two_returns_at_once_sign_in_once(home: World, neighbour: Neighbour) -> None:
    browser = neighbour.browser(home)
    answer = answered(home, neighbour, browser)
    browser.request("POST", f"{home.issuer}/upstream/{NAME}/callback", data=answer, is_cross_site=True)
    tabs = [neighbour.browser(home) for _ in range(4)]
    for tab in tabs:
        tab.jar = dict(browser.jar)
    asked = neighbour.asked("/token")
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda tab: tab.request("GET", f"/upstream/{NAME}/return?state={answer['state']}").status_code, tabs))
    assert sorted(statuses) == [200, 400, 400, 400]
    assert neighbour.asked("/token") == asked + 1
    assert [line["reason"] for line in home.events("upstream.refused")] == ["upstream_state"] * 3
