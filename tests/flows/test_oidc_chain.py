"""The chain: Apache's mod_auth_openidc is told by a real `vestibule serve` what a real node-oidc-provider proved."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.support.apache import Apache, apache_folder, serving
from tests.support.browser import Browser, Page
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.node_provider import CODE, MFA, NodeProvider, node_provider_serving
from tests.support.processes import wait_until

RULE = {"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse"}


@dataclass(frozen=True, slots=True)
class Chain:
    """The three servers."""

    live: LiveServer
    apache: Apache
    node: NodeProvider

    def browser(self) -> Browser:
        return self.live.browser(self.apache.origin, self.node.issuer)

    def depart(self, browser: Browser) -> Page:
        """From the protected page to the last provider's form."""
        page = browser.get(self.apache.protected)
        page = browser.get(f"{page.url}/upstream/amont")
        assert page.url.startswith(self.node.issuer), page
        return page


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("node")
    with node_provider_serving(folder, ["http://localhost:1/"]) as node:
        provider = node.settings(mapping=[RULE], mfa_acr=[MFA], acr_values=[MFA])
        settings = {"providers": [provider], "standing": {"staleness_bound": "1s"}}
        with live_server(tmp_path_factory.mktemp("live"), session_listener, settings) as live, apache_folder() as (place, apache):
            node.redirect_to(f"{live.issuer}/upstream/amont/callback")
            secret = live.command(
                *("client", "add", "apache", "--name", "Page protégée par Apache"), *("--redirect-uri", apache.redirect_uri)
            ).splitlines()[-1]
            with serving(place, apache, issuer=live.issuer, client_id="apache", client_secret=secret):
                yield Chain(live, apache, node)


def test_what_the_last_provider_proved_is_what_the_first_application_is_told(chain: Chain) -> None:
    browser, before = chain.browser(), int(time.time())
    chain.depart(browser)
    page = browser.submit("upstream-form", button="sign-in", login="claire", code=CODE)
    assert page.url == chain.apache.protected, page
    said = dict(re.findall(r'<p id="([a-z-]+)">([^<]*)</p>', page.markup))
    assert (said["acr"], said["amr"]) == ("urn:vestibule:acr:mfa", "mfa")
    assert before <= int(said["auth-time"]) <= int(time.time())
    assert said["issuer"] == chain.live.issuer
    assert said["name"] == "Claire Amont"
    assert "u-claire" not in said["user"]


def test_somebody_without_the_level_reaches_nothing(chain: Chain) -> None:
    browser = chain.browser()
    chain.depart(browser)
    page = browser.submit("upstream-form", button="sign-in", login="driss", code=CODE)
    assert page.url.startswith(f"{chain.live.issuer}/signin/"), page
    assert httpx.get(chain.apache.protected).status_code == 302


def test_somebody_who_is_gone_there_is_out_at_the_end_of_the_chain(chain: Chain) -> None:
    browser = chain.browser()
    chain.depart(browser)
    assert browser.submit("upstream-form", button="sign-in", login="claire", code=CODE).url == chain.apache.protected
    chain.node.change("u-claire", disabled=True)
    party = chain.live.relying_party()

    def is_out() -> bool:
        page = browser.get(party.begin(prompt="none"))
        return page.callback is not None and page.callback.get("error") == "login_required"

    wait_until(is_out, seconds=15, log=chain.live.log)
    chain.node.reset()
