"""Chromium on a computer of the domain: with a ticket nobody types, without one the form is there, and what wants somebody to act gets them to.

A Samba domain gives the tickets; the server and the care application of the demonstration are real ones, on this machine's loopback network.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect

from tests.browser.conftest import ARGUMENTS
from tests.support.demonstration import REPOSITORY
from tests.support.kdc import get_tickets, offer
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.processes import answers, free_port, program, running
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD, REALM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DESK, ELSEWHERE = "10.20.9.14", "10.20.8.14"  # in the zone with Windows sessions, and in the rest of the home
SECRET = "vestibule_cs_" + "poste-windows-" * 3
# Chromium on Linux loads Kerberos only where it has seen the header before; on Windows it is there from the beginning.
SEEN = {"net": {"received_http_auth_negotiate_headers": True}}


@dataclass(frozen=True, slots=True)
class Home:
    """The server, the care application, and the domain."""

    server: LiveServer
    app_url: str
    samba: Samba


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, session_samba: Samba, session_listener: Listener) -> Iterator[Home]:
    """The server is behind a proxy that says where people are: the browser plays the proxy."""
    folder, port = tmp_path_factory.mktemp("windows"), free_port()
    session_samba.reset()
    session_samba.add_service("svc-vestibule", "HTTP/localhost")
    keytab = session_samba.export_keytab(folder / "http.keytab", "HTTP/localhost")
    app_url = f"http://localhost:{port}"
    (folder / "soins.secret").write_text(SECRET, encoding="utf-8")
    soins: dict[str, Any] = {
        "client_id": "soins",
        "name": "Carnet de soins",
        "secret": f"file:{folder / 'soins.secret'}",
        "redirect_uris": [f"{app_url}/retour"],
        "post_logout_redirect_uris": [f"{app_url}/au-revoir"],
        "backchannel_logout_uri": f"{app_url}/deconnexion-silencieuse",
        "grant_types": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email", "establishment", "establishments"],
    }
    directory = session_samba.settings()
    settings = {
        "server": {"trusted_proxies": ["127.0.0.1/32", "::1/128"]},
        "clients": [soins],
        "directories": [directory],
        "windows": [{"realm": REALM, "keytabs": [str(keytab)], "directory": directory["name"]}],
    }
    with live_server(folder, session_listener, settings) as server:
        server.command("zone", "add", "tilleuls", "bureaux", "--kind", "trusted", "--network", "10.20.9.0/24", "--windows")
        started = running(
            [sys.executable, "-m", "demo.care_app", "--client-id", "soins", "--port", str(port), "--issuer", server.issuer],
            log=folder / "soins.log",
            ready=lambda: answers(f"{app_url}/sante"),
            seconds=45,
            environment={"CARNET_CLIENT_SECRET": SECRET},
            folder=REPOSITORY,
        )
        with started:
            yield Home(server, app_url, session_samba)


class Desk:
    """A computer of the domain: one browser of one Windows account."""

    def __init__(self, context: BrowserContext, home: Home) -> None:
        context.set_default_timeout(15_000)
        self.context = context
        self.home = home
        self.page: Page = context.pages[0]
        self.statuses: list[int] = []
        self.page.on("response", self._note)

    def _note(self, response: Any) -> None:
        if "/signin/" in response.url and response.request.is_navigation_request():
            self.statuses.append(response.status)

    def open_application(self) -> None:
        """Click on the application's button, and nothing else."""
        self.page.goto(self.home.app_url)
        self.page.locator("#sign-in").click()

    def expect_form(self) -> None:
        """The sign-in form, which works."""
        expect(self.page.locator("#signin-form")).to_be_visible()

    def sign_in(self, login: str) -> None:
        """Fill it."""
        self.page.locator("#identifier").fill(login)
        self.page.locator("#password").fill(PASSWORD)
        self.page.locator("#password").press("Enter")


OpenDesk = Callable[..., Desk]


@pytest.fixture
def open_desk(driver: Playwright, home: Home, tmp_path: Path) -> Iterator[OpenDesk]:
    """`open_desk("a.claire")`: somebody opens their Windows session; `open_desk(None)`: a computer outside the domain."""
    home.samba.start()
    contexts: list[BrowserContext] = []

    def make(login: str | None, *, address: str = DESK, is_allowed: bool = True) -> Desk:
        profile = tmp_path / f"profile-{len(contexts)}"
        profile.mkdir()
        (profile / "Local State").write_text(json.dumps(SEEN))
        cache = tmp_path / f"tickets-{len(contexts)}"
        environment = {"KRB5_CONFIG": str(home.samba.krb5_conf), "KRB5CCNAME": f"FILE:{cache}"}
        if login is not None:
            get_tickets(environment, f"{login}@{REALM}", PASSWORD)
            offer(environment, "HTTP@localhost")  # they have been here today: the ticket for us is there, whatever the domain says since
        allowed = ["--auth-server-allowlist=localhost"] if is_allowed else []
        contexts.append(
            driver.chromium.launch_persistent_context(
                profile,
                executable_path=program("chromium", "chromium"),
                args=[*ARGUMENTS, *allowed],
                env={**os.environ, **environment},
                locale="fr-FR",
                extra_http_headers={"X-Forwarded-For": address},
            )
        )
        return Desk(contexts[-1], home)

    yield make
    for context in contexts:
        context.close()


def test_whoever_has_a_ticket_reaches_the_application_without_typing(open_desk: OpenDesk) -> None:
    desk = open_desk("a.claire")
    desk.open_application()
    expect(desk.page.locator("#person")).to_have_text("Claire Dumas")
    expect(desk.page.locator("#zone")).to_contain_text("Dans l'établissement")
    assert desk.statuses[:2] == [401, 303] or desk.statuses[0] == 303, desk.statuses


def test_whoever_has_no_ticket_gets_the_form_and_signs_in_with_it(open_desk: OpenDesk) -> None:
    desk = open_desk(None)
    desk.open_application()
    desk.expect_form()
    expect(desk.page.locator("#signin-error")).to_have_count(0)
    desk.sign_in("a.claire")
    expect(desk.page.locator("#person")).to_have_text("Claire Dumas")


def test_a_browser_that_the_policy_does_not_allow_gets_the_form(open_desk: OpenDesk) -> None:
    desk = open_desk("a.claire", is_allowed=False)
    desk.open_application()
    desk.expect_form()


def test_in_another_zone_no_browser_is_asked(open_desk: OpenDesk) -> None:
    desk = open_desk("a.claire", address=ELSEWHERE)
    desk.open_application()
    desk.expect_form()
    assert desk.statuses == [200]


def test_after_a_sign_out_somebody_must_act(open_desk: OpenDesk) -> None:
    desk = open_desk("a.claire")
    desk.open_application()
    expect(desk.page.locator("#person")).to_have_text("Claire Dumas")
    desk.page.locator("#sign-out-form button").click()
    expect(desk.page.locator("#notice")).to_contain_text("déconnecté")
    desk.open_application()
    desk.expect_form()
    desk.page.reload()
    desk.expect_form()
    desk.sign_in("a.claire")
    expect(desk.page.locator("#person")).to_have_text("Claire Dumas")


def test_whoever_was_disabled_is_refused_although_the_ticket_is_valid(open_desk: OpenDesk, home: Home) -> None:
    desk = open_desk("a.paul")
    home.samba.disable("a.paul")
    desk.open_application()
    desk.expect_form()
    expect(desk.page.locator("#signin-error")).to_contain_text("Windows vous a reconnu, mais votre compte est fermé")
    desk.page.reload()
    desk.expect_form()
    assert "directory_disabled" in home.server.command("audit", "tail")
