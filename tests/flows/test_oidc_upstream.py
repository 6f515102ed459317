"""node-oidc-provider as our upstream, through the door: who comes in, what applications are told, who is out again, what is refused."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE
from tests.support.node_provider import CODE, MFA, NodeProvider, node_provider_serving
from tests.support.relying_party import RelyingParty, Tokens
from tests.support.world import ISSUER, World

NAME = "amont"
RULE = {"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse"}
NOTHING = Issued(0, 0, 0, 0)


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProvider]:
    with node_provider_serving(tmp_path_factory.mktemp("node"), [f"{ISSUER}/upstream/{NAME}/callback"]) as provider:
        yield provider


class Site:
    """A world with node-oidc-provider behind it, and browsers that reach both."""

    def __init__(self, world: World, node: NodeProvider) -> None:
        self.world, self.node = world, node
        self._clients: list[httpx.Client] = []

    def browser(self, *, address: str = "127.0.0.1") -> Browser:
        way = httpx.WSGITransport(self.world.wsgi, remote_addr=address)
        client = httpx.Client(mounts={f"all://{self.world.issuer.partition('://')[2]}": way}, trust_env=False, timeout=20)
        self._clients.append(client)
        return Browser(client, self.world.issuer, origins=(self.node.issuer,))

    def depart(self, browser: Browser, party: RelyingParty, **parameters: Any) -> Page:
        """From an application to the provider, by its button; where that ends."""
        page = browser.get(party.begin(**parameters))
        assert "Groupe Amont" in page.text, page
        return browser.get(f"{page.url}/upstream/{NAME}")

    def sign_in(self, browser: Browser, login: str = "claire", act: str = "sign-in") -> Page:
        """At the provider, and back."""
        return browser.submit("upstream-form", button=act, login=login, code=CODE)

    def tokens(self, login: str = "claire", *, browser: Browser | None = None, party: RelyingParty | None = None) -> Tokens:
        party = party or self.world.relying_party()
        browser = browser or self.browser()
        page = self.depart(browser, party)
        if page.callback is None:
            page = self.sign_in(browser, login)
        assert page.callback is not None, page
        return party.exchange(page.callback)

    def later(self, by: timedelta) -> None:
        self.node.set_time(self.world.clock.advance(by))

    def reason(self) -> str:
        return str(self.world.last_event("upstream.refused")["reason"])

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def make_site(make_world: MakeWorld, running_node: NodeProvider) -> Iterator[Any]:
    made: list[Site] = []

    def make(**provider: Any) -> Site:
        settings = running_node.settings(mapping=[RULE], mfa_acr=[MFA], **provider)
        site = Site(make_world(providers=[settings]), running_node)
        running_node.reset()
        running_node.set_time(site.world.clock.now())
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Any) -> Site:
    found: Site = make_site()
    return found


def test_somebody_comes_in_by_a_rule_and_stays_the_same_person(site: Site) -> None:
    first = site.tokens().claims
    assert first["sub"] != "u-claire"
    # Another name, another address, another login: the provider's lasting id is the same.
    changed = {"family_name": "Nouveau", "email": "claire.nouveau@amont.example", "preferred_username": "cnouveau"}
    site.node.change("u-claire", login="cnouveau", claims=changed)
    party = site.world.relying_party()
    tokens = site.tokens("cnouveau", party=party)
    assert tokens.claims["sub"] == first["sub"]
    said = party.userinfo(tokens.access).json()
    assert (said["family_name"], said["email"]) == ("Nouveau", "claire.nouveau@amont.example")


def test_somebody_new_who_was_given_a_leavers_login_and_address_is_another_person(site: Site) -> None:
    first = site.tokens().claims["sub"]
    site.node.rename("u-claire", to="u-claire-2")
    assert site.tokens().claims["sub"] != first


def test_nobody_is_found_by_an_address_that_the_provider_calls_verified(make_site: Any) -> None:
    site: Site = make_site()
    email = site.world.person("claire").email
    site.node.change("u-claire", claims={"email": email, "email_verified": True, "preferred_username": "claire.dubois"})
    assert site.tokens().claims["sub"] != site.world.account("claire").id


def test_somebody_outside_is_sent_back_for_two_factors_and_the_application_is_told_so(make_site: Any) -> None:
    site: Site = make_site(acr_request="claims")  # its session of one factor would answer a mere wish
    party, browser = site.world.relying_party(), site.browser(address=OUTSIDE)
    page = site.depart(browser, party, max_age="3600")
    site.later(timedelta(minutes=1))
    page = site.sign_in(browser)
    assert page.url.startswith(site.node.issuer), page  # by itself: there is no other way
    page = site.sign_in(browser)
    assert page.callback is not None, page
    claims = party.exchange(page.callback).claims
    assert (claims["acr"], claims["amr"]) == ("urn:vestibule:acr:mfa", ["mfa"])
    assert claims["auth_time"] == site.world.clock.timestamp()
    assert site.world.last_event("upstream.arrived")["details"]["acr"] == MFA


@pytest.mark.parametrize("request_by", ["acr_values", "claims"])
def test_somebody_whose_level_there_is_too_low_stays_at_the_door(make_site: Any, request_by: str) -> None:
    site: Site = make_site(acr_request=request_by)
    site.node.change("u-claire", levels=["urn:upstream:one"])
    browser = site.browser(address=OUTSIDE)
    page = site.depart(browser, site.world.relying_party())
    before = issued(site.world)
    page = site.sign_in(browser)
    if page.callback is None and page.url.startswith(site.node.issuer):
        page = site.sign_in(browser)
    assert page.callback is None, page
    assert site.reason() == "upstream_assurance"
    assert issued(site.world) == before


def test_somebody_who_is_gone_there_is_out_within_the_bound(site: Site) -> None:
    party = site.world.relying_party()
    tokens = site.tokens(party=party)
    site.later(timedelta(minutes=6))
    answer = party.refresh(tokens.refresh)
    assert answer.status_code == 200
    tokens = party.read_tokens(answer)
    site.node.change("u-claire", disabled=True)
    site.later(timedelta(minutes=6))
    answer = party.refresh(tokens.refresh)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert party.introspect(tokens.access).json() == {"active": False}


def test_somebody_who_was_moved_there_is_moved_here_within_the_bound(site: Site) -> None:
    party = site.world.relying_party()
    tokens = site.tokens(party=party)
    site.node.change("u-claire", claims={"groups": ["autre-chose"]})
    site.later(timedelta(minutes=6))
    assert party.refresh(tokens.refresh).status_code == 400


def test_answer_in_another_persons_browser_is_worth_nothing(site: Site) -> None:
    victim, thief = site.browser(), site.browser()
    site.depart(thief, site.world.relying_party())
    thief.origins = {site.node.issuer}  # the thief stops before the answer is given to us
    page = site.sign_in(thief)
    assert page.callback is not None
    page = victim.get(page.callback.uri, page.callback.parameters)
    assert page.callback is None
    assert page.status == 400
    assert site.reason() == "upstream_state"
    assert issued(site.world) == NOTHING


def test_answer_is_taken_once(site: Site) -> None:
    browser = site.browser()
    site.depart(browser, site.world.relying_party())
    browser.origins = {site.node.issuer}
    answer = site.sign_in(browser).callback
    assert answer is not None
    browser.origins = {site.world.issuer, site.node.issuer}
    assert browser.get(answer.uri, answer.parameters).callback is not None
    before = issued(site.world)
    again = browser.get(answer.uri, answer.parameters)
    assert again.callback is None
    assert site.reason() == "upstream_state"
    assert issued(site.world) == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://elsewhere.example"}, "upstream_callback_issuer"),
        ({"iss": None}, "upstream_callback_issuer"),
        ({"code": "made-up"}, "upstream_code_refused"),
        ({"code": None}, "upstream_code_refused"),
        ({"code": None, "error": "access_denied"}, "upstream_cancelled"),
        ({"code": None, "error": "<script>"}, "upstream_error"),
        ({"state": "made-up"}, "upstream_state"),
        ({"state": None}, "upstream_state"),
    ],
)
def test_answer_that_was_changed_on_its_way_is_refused(site: Site, changed: dict[str, str | None], reason: str) -> None:
    browser = site.browser()
    site.depart(browser, site.world.relying_party())
    browser.origins = {site.node.issuer}
    answer = site.sign_in(browser).callback
    assert answer is not None
    browser.origins = {site.world.issuer, site.node.issuer}
    parameters = {name: value for name, value in {**answer.parameters, **changed}.items() if value is not None}
    page = browser.get(answer.uri, parameters)
    assert page.callback is None
    assert "<script>" not in page.markup.replace("<script src", "")
    assert site.reason() == reason
    assert issued(site.world) == NOTHING


def test_somebody_who_gives_up_there_may_try_another_way(site: Site) -> None:
    browser = site.browser()
    site.depart(browser, site.world.relying_party())
    page = site.sign_in(browser, act="cancel")
    assert "signin-form" in page.forms
    assert site.reason() == "upstream_cancelled"
    assert browser.sign_in("claire.dubois", site.world.password).callback is not None


def test_nothing_secret_of_the_journey_is_in_the_trail(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    browser = site.browser()
    site.depart(browser, site.world.relying_party())
    browser.origins = {site.node.issuer}
    answer = site.sign_in(browser).callback
    assert answer is not None
    browser.origins = {site.world.issuer, site.node.issuer}
    browser.get(answer.uri, {**answer.parameters, "iss": "https://elsewhere.example"})
    written = "".join(capfd.readouterr()) + str(site.world.events())
    assert "upstream_callback_issuer" in written
    for secret in (answer["code"], answer["state"]):
        assert secret not in written
