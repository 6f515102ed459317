"""Passkeys in Chromium, with the DevTools virtual authenticator and a real server: added at work, asked outside, and instead of the password."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, ViewportSize, expect
from sqlalchemy import update

from idp.clock import SystemClock
from idp.config import load
from idp.store.tables import factors
from tests.browser.watched import Watched
from tests.support.cast import PASSWORD
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.world import open_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

AT_WORK = "10.20.0.7"
OUTSIDE = "198.51.100.7"
PHONE: ViewportSize = {"width": 390, "height": 844}
NO_AUTOFILL = "PublicKeyCredential.isConditionalMediationAvailable = async () => false;"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[LiveServer]:
    """A server behind a proxy that says where people are: the browser plays the proxy."""
    folder = tmp_path_factory.mktemp("passkeys")
    with live_server(folder, session_listener, {"server": {"trusted_proxies": ["127.0.0.1/32", "::1/128"]}}) as running:
        yield running


@pytest.fixture(autouse=True)
def _nobody_has_a_factor(server: LiveServer) -> Iterator[None]:
    """Each test begins anew, on the one server."""
    yield
    database = open_database(load(server.config_path))
    with database.write() as tx:
        tx.connection.execute(update(factors).values(ended_at=SystemClock().now()))
    database.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser of one person, at work."""
    context = chromium.new_context(locale="fr-FR", viewport=PHONE)
    context.set_default_timeout(15_000)
    go_to(context, AT_WORK)
    yield context
    context.close()


def go_to(context: BrowserContext, address: str) -> None:
    context.set_extra_http_headers({"X-Forwarded-For": address})


def plug_in(page: Page, **options: Any) -> tuple[CDPSession, str]:
    """A virtual authenticator for this page: a phone or a laptop that asks for a finger, and gets it."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    wanted = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
        **options,
    }
    return devtools, devtools.send("WebAuthn.addVirtualAuthenticator", {"options": wanted})["authenticatorId"]


def sign_in(page: Page, server: LiveServer, username: str) -> None:
    page.goto(f"{server.issuer}/account")
    page.locator("#identifier").fill(username)
    page.locator("#password").fill(PASSWORD)
    page.locator("#signin-submit").click()


def enrol(page: Page, server: LiveServer, username: str) -> None:
    """At work, with the password."""
    sign_in(page, server, username)
    expect(page.locator("#account-signout")).to_be_visible()
    page.goto(f"{server.issuer}/account/factors")
    page.locator('a[href="/account/factors/passkey"]').click()
    expect(page.locator("#passkey-submit")).to_be_visible()
    page.locator("#passkey-label").fill("Mon téléphone")
    page.locator("#passkey-submit").click()
    expect(page.locator("#passkey-form")).to_have_count(0)
    page.goto(f"{server.issuer}/account/factors")
    expect(page.locator("#main")).to_contain_text("Mon téléphone")


def sign_out(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.issuer}/account")
    page.locator("#account-signout").click()
    expect(page.locator("#signed-out-signin")).to_be_visible()


def test_nurse_adds_a_passkey_at_work_and_is_asked_for_it_outside(context: BrowserContext, server: LiveServer) -> None:
    watched = Watched(context.new_page(), allowed=(server.issuer,))
    page = watched.page
    page.add_init_script(NO_AUTOFILL)
    devtools, authenticator = plug_in(page)
    enrol(page, server, "claire.dubois")
    (credential,) = devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert credential["isResidentCredential"]
    assert credential["rpId"] == "localhost"
    page.goto(f"{server.issuer}/account/factors/passkey")
    watched.check()
    sign_out(page, server)
    go_to(context, OUTSIDE)
    sign_in(page, server, "claire.dubois")
    expect(page.locator("#passkey-submit")).to_be_visible()
    expect(page.locator("#account-signout")).to_have_count(0)
    watched.check()
    page.locator("#passkey-submit").click()
    expect(page.locator("#account-signout")).to_be_visible()
    assert not watched.foreign


def test_receptionist_signs_in_with_the_button_and_no_password(context: BrowserContext, server: LiveServer) -> None:
    watched = Watched(context.new_page(), allowed=(server.issuer,))
    page = watched.page
    page.add_init_script(NO_AUTOFILL)
    plug_in(page)
    enrol(page, server, "rose.marchand")
    sign_out(page, server)
    go_to(context, OUTSIDE)
    page.goto(f"{server.issuer}/account")
    expect(page.locator("#passkey-submit")).to_be_visible()
    watched.check()
    page.locator("#passkey-submit").click()
    expect(page.locator("#account-signout")).to_be_visible()
    expect(page.locator("#main")).to_contain_text("Rose Marchand")


def test_browser_offers_the_passkey_in_the_identifiers_field(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    plug_in(page)
    enrol(page, server, "claire.dubois")
    sign_out(page, server)
    # The virtual authenticator takes what autofill offers as soon as it is offered.
    page.goto(f"{server.issuer}/account")
    expect(page.locator("#account-signout")).to_be_visible()
    expect(page.locator("#main")).to_contain_text("Claire Dubois")


def test_page_says_so_when_the_key_refuses_and_goes_on_when_it_does_not(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    page.add_init_script(NO_AUTOFILL)
    devtools, authenticator = plug_in(page)
    enrol(page, server, "rose.marchand")
    sign_out(page, server)
    devtools.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    page.goto(f"{server.issuer}/account")
    page.locator("#passkey-submit").click()
    expect(page.locator("[data-passkey-status]")).to_contain_text("autre moyen")
    devtools.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    page.locator("#passkey-submit").click()
    expect(page.locator("#account-signout")).to_be_visible()


def test_same_device_is_not_added_twice(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    page.add_init_script(NO_AUTOFILL)
    plug_in(page)
    enrol(page, server, "rose.marchand")
    page.goto(f"{server.issuer}/account/factors/passkey")
    page.locator("#passkey-submit").click()
    expect(page.locator("[data-passkey-status]")).to_contain_text("détient déjà")


def test_first_passkey_is_not_offered_outside(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    plug_in(page)
    sign_in(page, server, "rose.marchand")
    expect(page.locator("#account-signout")).to_be_visible()
    go_to(context, OUTSIDE)
    page.goto(f"{server.issuer}/account/factors/passkey")
    expect(page.locator("#passkey-form")).to_have_count(0)


def test_ways_out_are_shown_when_the_browser_has_no_passkeys(chromium: Browser, context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    page.add_init_script(NO_AUTOFILL)
    plug_in(page)
    enrol(page, server, "claire.dubois")
    for has_scripts in (False, True):
        other = chromium.new_context(
            locale="fr-FR", extra_http_headers={"X-Forwarded-For": OUTSIDE}, java_script_enabled=has_scripts, viewport=PHONE
        )
        bare = other.new_page()
        bare.add_init_script("delete window.PublicKeyCredential;")
        bare.goto(f"{server.issuer}/account")
        expect(bare.locator("#signin-form")).to_be_visible()
        expect(bare.locator("#passkey-submit")).to_be_hidden()
        sign_in(bare, server, "claire.dubois")
        if not has_scripts:
            expect(bare.locator("#passkey-form noscript p")).to_be_visible()
        else:
            expect(bare.locator("[data-passkey-status]")).to_contain_text("autre moyen")
            expect(bare.locator("#passkey-submit")).to_be_disabled()
        expect(bare.locator("#factor-switch")).to_contain_text("Code de secours")
        if not has_scripts:
            bare.locator("#passkey-submit").click()
            expect(bare.locator('[role="alert"]')).to_contain_text("JavaScript")
        other.close()
