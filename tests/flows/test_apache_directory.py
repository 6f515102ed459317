"""Apache's mod_auth_openidc signs in a person of a real slapd, through a real `vestibule serve`; and a leaver is out of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.apache import Apache, apache_folder, serving
from tests.support.browser import Browser
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.processes import wait_until
from tests.support.slapd import PASSWORD, Slapd


@dataclass(frozen=True, slots=True)
class Site:
    """The provider, the directory behind it and an Apache in front."""

    live: LiveServer
    apache: Apache

    def sign_in(self, uid: str) -> Browser:
        browser = self.live.browser(self.apache.origin)
        browser.get(self.apache.protected)
        browser.sign_in(uid, PASSWORD)
        return browser


@pytest.fixture(scope="module")
def site(session_slapd: Slapd, tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[Site]:
    """Apache, registered as an operator registers an application; the directory is asked again after a second."""
    session_slapd.reset()
    settings = {"directories": [session_slapd.settings()], "standing": {"staleness_bound": "1s"}}
    with live_server(tmp_path_factory.mktemp("live"), session_listener, settings) as live, apache_folder() as (folder, apache):
        secret = live.command(
            *("client", "add", "apache", "--name", "Page protégée par Apache"),
            *("--redirect-uri", apache.redirect_uri),
            *("--backchannel-logout-uri", apache.backchannel_logout_uri),
        ).splitlines()[-1]
        with serving(folder, apache, issuer=live.issuer, client_id="apache", client_secret=secret):
            yield Site(live, apache)


def test_a_nurse_of_the_directory_reaches_the_protected_page(site: Site) -> None:
    page = site.sign_in("d.claire").page
    assert page is not None
    assert page.url == site.apache.protected, page
    assert "nurse" in page.text
    assert "d.claire@annuaire.example" in page.text


def test_a_leaver_is_thrown_out_of_apache_once_anything_asks(site: Site, session_slapd: Slapd) -> None:
    browser = site.sign_in("d.amina")
    if browser.page is not None and "establishment-form" in browser.page.forms:
        browser.submit("establishment-form", button="tilleuls")
    assert browser.request("GET", site.apache.protected).status_code == 200
    session_slapd.disable("d.amina")
    party = site.live.relying_party()
    elsewhere = f"{site.live.issuer}/authorize"

    def asked() -> bool:
        page = browser.get(party.begin(prompt="none"))
        return page.callback is not None and page.callback.get("error") == "login_required"

    wait_until(asked, seconds=15, log=site.live.log)
    wait_until(lambda: browser.request("GET", site.apache.protected).status_code == 302, seconds=20, log=site.apache.error_log)
    assert browser.request("GET", site.apache.protected).headers["Location"].startswith(elsewhere)


def test_a_leaver_is_thrown_out_of_apache_though_nothing_asks(site: Site, session_slapd: Slapd) -> None:
    browser, other = site.sign_in("d.zoe"), site.sign_in("d.paul")
    for one in (browser, other):
        assert one.request("GET", site.apache.protected).status_code == 200
    session_slapd.disable("d.zoe")
    wait_until(lambda: browser.request("GET", site.apache.protected).status_code == 302, seconds=20, log=site.apache.error_log)
    assert other.request("GET", site.apache.protected).status_code == 200
