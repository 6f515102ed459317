"""A provider of Pro Santé Connect's shape, through the door: paired by a proven act and by nothing else, and worth the level psc."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.cast import PASSWORD
from tests.support.node_provider import CODE, PSC_PEOPLE, PSC_SCOPES, NodeProvider, node_provider_serving
from tests.support.relying_party import RelyingParty
from tests.support.world import ISSUER, World

NAME = "psc"
SUBJECT, LOGIN = next((subject, person["login"]) for subject, person in PSC_PEOPLE.items())


@pytest.fixture(scope="module")
def running_psc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProvider]:
    folder, address = tmp_path_factory.mktemp("psc"), f"{ISSUER}/upstream/{NAME}/callback"
    with node_provider_serving(folder, [address], people=PSC_PEOPLE, scopes=PSC_SCOPES, levels=("eidas1",)) as provider:
        yield provider


class Site:
    """A world whose Claire has a password, an address that Pro Santé Connect also says, and the same number; nobody is linked."""

    def __init__(self, make_world: MakeWorld, psc: NodeProvider, **provider: Any) -> None:
        settings = psc.settings(NAME, label="Pro Santé Connect", creates_accounts=False, **{"preset": "pro-sante-connect", **provider})
        self.world: World = make_world(providers=[settings])
        self.psc = psc
        psc.reset(PSC_PEOPLE)
        psc.change(SUBJECT, claims={"email": self.world.person("claire").email})
        psc.set_time(self.world.clock.now())
        way = httpx.WSGITransport(self.world.wsgi)
        self.client = httpx.Client(mounts={f"all://{self.world.issuer.partition('://')[2]}": way}, trust_env=False, timeout=20)

    def level(self, name: str) -> None:
        with self.world.arranging() as tx:
            tx.establishments.change(self.world.establishment("tilleuls").id, {"regulatory_level": name})

    def browser(self) -> Browser:
        return Browser(self.client, self.world.issuer, origins=(self.psc.issuer,))

    def come(self, browser: Browser, party: RelyingParty | None = None) -> Page:
        """From an application to the card, and back."""
        page = browser.get((party or self.world.relying_party()).begin())
        page = browser.get(f"{page.url}/upstream/{NAME}")
        return browser.submit("upstream-form", button="sign-in", login=LOGIN, code=CODE) if page.callback is None else page

    def pair(self) -> Page:
        """Both sides proven, one after the other, by one person."""
        browser = self.browser()
        page = self.come(browser)
        assert page.callback is None, page
        browser.sign_in("claire.dubois", PASSWORD)
        return browser.press("link-confirm")

    def subject(self) -> str | None:
        with self.world.database.read() as tx:
            link = tx.links.get(NAME, SUBJECT)
        return str(link.account_id) if link is not None else None


@pytest.fixture
def site(make_world: MakeWorld, running_psc: NodeProvider) -> Iterator[Site]:
    site = Site(make_world, running_psc)
    with site.client:
        yield site


def test_neither_number_nor_address_pairs_anybody(site: Site) -> None:
    with site.world.arranging() as tx:
        tx.people.change(site.world.account("claire").id, site.world.clock.now(), username="899700218896")
    page = site.come(site.browser())
    assert page.callback is None
    assert "Pro Santé Connect" in page.text
    assert site.subject() is None
    assert "account.linked" not in [line["type"] for line in site.world.events()]


def test_a_professional_is_paired_by_a_proven_act_and_then_comes_by_the_card_alone(site: Site) -> None:
    page = site.pair()
    assert page.callback is not None, page
    claire = site.world.account("claire").id
    assert site.subject() == claire
    line = site.world.last_event("account.linked")
    assert (line["account_id"], line["connector"], line["details"]["how"]) == (claire, NAME, "proven")
    party = site.world.relying_party()
    page = site.come(site.browser(), party)
    assert page.callback is not None, page
    claims = party.exchange(page.callback).claims
    assert (claims["sub"], claims["acr"], claims["amr"]) == (claire, "urn:vestibule:acr:mfa", ["mfa"])


def test_the_card_is_enough_for_the_level_psc_and_a_password_is_not(site: Site) -> None:
    site.pair()
    site.level("psc")
    party = site.world.relying_party()
    browser = site.browser()
    browser.get(party.begin())
    assert browser.sign_in("claire.dubois", PASSWORD).callback is None
    page = site.come(site.browser())
    assert page.callback is not None, page


def test_the_word_of_another_provider_is_not_enough_for_the_level_psc(make_world: MakeWorld, running_psc: NodeProvider) -> None:
    like_it = {"scopes": ["openid", "scope_all"], "acr_values": ["eidas1"], "mfa_acr": ["eidas1"], "preset": None}
    site = Site(make_world, running_psc, **like_it)
    with site.client:
        assert site.pair().callback is not None
        site.level("psc")
        assert site.come(site.browser()).callback is None


def test_an_answer_below_eidas1_is_refused(site: Site) -> None:
    site.pair()
    site.psc.change(SUBJECT, levels=[])
    page = site.come(site.browser())
    assert page.callback is None
    assert site.world.last_event("upstream.refused")["reason"] == "upstream_assurance"


def test_the_address_that_comes_with_the_card_is_not_taken_over(site: Site) -> None:
    site.psc.change(SUBJECT, claims={"email": "somebody.else@annuaire.example", "email_verified": True})
    assert site.pair().callback is not None
    assert site.come(site.browser()).callback is not None
    assert site.world.account("claire").email == site.world.person("claire").email
