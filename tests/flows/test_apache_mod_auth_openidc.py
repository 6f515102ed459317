"""An application we did not write: Apache's mod_auth_openidc, configured from our discovery document, signs people in and out through us."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.apache import Apache, apache_folder, serving
from tests.support.browser import Browser, Page
from tests.support.cast import AT_GLYCINES
from tests.support.live import LiveServer
from tests.support.processes import wait_until


@dataclass(frozen=True, slots=True)
class Site:
    """The provider and an Apache that stands behind it."""

    live: LiveServer
    apache: Apache

    def browser(self, *, address: str | None = None) -> Browser:
        """A browser that follows both."""
        return self.live.browser(self.apache.origin, address=address)

    def sign_in(self, browser: Browser, username: str) -> Page:
        """From the protected page, through the sign-in form, back to the protected page."""
        page = browser.get(self.apache.protected)
        assert page.url.startswith(f"{self.live.issuer}/signin/"), page
        return browser.sign_in(username, self.live.password)


@pytest.fixture(scope="module")
def site(live: LiveServer) -> Iterator[Site]:
    """Apache, registered as an operator registers an application."""
    with apache_folder() as (folder, apache):
        secret = live.command(
            *("client", "add", "apache", "--name", "Page protégée par Apache"),
            *("--redirect-uri", apache.redirect_uri),
            *("--post-logout-redirect-uri", apache.public),
            *("--backchannel-logout-uri", apache.backchannel_logout_uri),
        ).splitlines()[-1]
        with serving(folder, apache, issuer=live.issuer, client_id="apache", client_secret=secret):
            yield Site(live, apache)


def test_a_nurse_reaches_the_protected_page_when_she_has_signed_in(site: Site) -> None:
    page = site.sign_in(site.browser(), "claire.dubois")
    assert page.url == site.apache.protected
    assert page.status == 200, (page, site.apache.error_log.read_text())
    assert "Page protégée" in page.text
    for claim in ("Claire Dubois", "claire.dubois@tilleuls.example", "nurse", site.live.issuer):
        assert claim in page.text, page.text


def test_nobody_reaches_the_protected_page_when_the_password_is_wrong(site: Site) -> None:
    browser = site.browser()
    browser.get(site.apache.protected)
    page = browser.sign_in("claire.dubois", "pas-le-bon-mot-de-passe")
    assert "signin-form" in page.forms
    assert browser.get(site.apache.protected).url.startswith(f"{site.live.issuer}/signin/")


def test_a_second_page_asks_nothing_when_the_session_is_open(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser, "claire.dubois")
    for name in [name for name in browser.jar if name[1].startswith("mod_auth_openidc")]:
        del browser.jar[name]
    page = browser.get(site.apache.protected)
    assert page.url == site.apache.protected, page


def test_the_provider_session_ends_when_apache_signs_out(site: Site) -> None:
    """RP-Initiated Logout 1.0 section 2."""
    browser = site.browser()
    site.sign_in(browser, "claire.dubois")
    page = browser.get(f"{site.apache.redirect_uri}?logout={site.apache.public}")
    assert page.url.split("?")[0] == site.apache.public, page
    assert any(url.startswith(f"{site.live.issuer}/logout") for url in page.history)
    assert browser.get(site.apache.protected).url.startswith(f"{site.live.issuer}/signin/")


def test_apache_session_ends_by_itself_when_an_operator_cuts_the_account(site: Site) -> None:
    """Back-Channel Logout 1.0 section 2.5: the logout token reaches Apache, without the browser."""
    browser = site.browser(address=AT_GLYCINES)
    assert site.sign_in(browser, "karim.haddad").status == 200
    site.live.command("account", "suspend", "karim.haddad")
    wait_until(lambda: bool(site.live.notices()) and site.live.notices()[0]["state"] == "delivered", seconds=20, log=site.apache.error_log)
    response = browser.request("GET", site.apache.protected)
    assert response.status_code == 302, "Apache still let the person in"
    assert response.headers["Location"].startswith(f"{site.live.issuer}/authorize")


def test_the_other_browser_stays_signed_in_when_one_session_ends(site: Site) -> None:
    first, second = site.browser(), site.browser()
    site.sign_in(first, "rose.marchand")
    site.sign_in(second, "rose.marchand")
    first.get(f"{site.apache.redirect_uri}?logout={site.apache.public}")
    assert second.request("GET", site.apache.protected).status_code == 200
