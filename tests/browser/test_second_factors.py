"""Codes in Chromium, with a real server: an authenticator application, recovery codes and one-time passes, where they are allowed and where not.

Passkeys are in test_passkeys.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import update

from idp.clock import SystemClock
from idp.config import load
from idp.store.tables import factors, recovery_codes
from tests.browser.watched import Watched
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.world import open_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

AT_WORK = "10.20.0.7"
SALON = "10.20.6.9"
STEP_SECONDS = 30
WITH_AND_WITHOUT = pytest.mark.parametrize(
    ("javascript", "locale", "width"),
    [(True, "fr-FR", 390), (True, "en-GB", 1280), (False, "fr-FR", 390)],
    ids=["French phone", "English desktop", "without JavaScript"],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[LiveServer]:
    """A server behind a proxy that says where people are: the browser plays the proxy. Its sitting room has a shared workstation."""
    folder = tmp_path_factory.mktemp("second-factors")
    with live_server(folder, session_listener, {"server": {"trusted_proxies": ["127.0.0.1/32", "::1/128"]}}) as running:
        running.command("zone", "add", "tilleuls", "salon", "--kind", "shared-workstation", "--network", "10.20.6.0/24")
        yield running


@pytest.fixture(autouse=True)
def _nobody_has_a_factor(server: LiveServer) -> Iterator[None]:
    """Each test begins anew, on the one server."""
    yield
    database = open_database(load(server.config_path))
    now = SystemClock().now()
    with database.write() as tx:
        tx.connection.execute(update(factors).values(ended_at=now))
        tx.connection.execute(update(recovery_codes).values(ended_at=now))
    database.close()


@dataclass
class Telephone:
    """An authenticator application that knows which of its codes were typed."""

    secret: str
    _step: int = field(default=0)

    @classmethod
    def reading(cls, page: Page) -> "Telephone":
        """One that was given the key that the page shows to those who cannot scan."""
        page.locator("summary").click()
        key = page.locator(".code.key")
        expect(key).to_be_visible()
        return cls(key.inner_text().replace(" ", ""))

    def next_code(self) -> str:
        """One that was not typed yet: what it shows, or what it will show half a minute from now."""
        self._step = max(int(self._now().timestamp()) // STEP_SECONDS, self._step + 1)
        return self.last_code()

    def last_code(self) -> str:
        """The one that was typed last."""
        return pyotp.TOTP(self.secret).at(self._step * STEP_SECONDS)

    @staticmethod
    def _now() -> datetime:
        return SystemClock().now()


class Nurse:
    """A person, her browser and where she is."""

    def __init__(self, context: BrowserContext, server: LiveServer, *, has_scripts: bool) -> None:
        context.set_default_timeout(15_000)
        self.context = context
        self.server = server
        self._has_scripts = has_scripts
        self.watched = Watched(context.new_page(), allowed=(server.issuer,))
        self.page = self.watched.page
        self.go_to(AT_WORK)

    def go_to(self, address: str) -> None:
        """Elsewhere, with the same browser."""
        self.context.set_extra_http_headers({"X-Forwarded-For": address})

    def open(self, path: str) -> Page:
        """One of the server's pages."""
        self.page.goto(f"{self.server.issuer}{path}")
        return self.page

    def sign_in(self, path: str = "/account") -> Page:
        """As far as the password leads."""
        page = self.open(path)
        page.locator("#identifier").fill("claire.dubois")
        page.locator("#password").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("#signin-submit").click()
        return page

    def sign_out(self) -> None:
        """From the account page."""
        self.open("/account").locator("#account-signout").click()
        expect(self.page.locator("#signed-out-signin")).to_be_visible()

    def add_telephone(self) -> tuple[Telephone, list[str]]:
        """By the account's pages, with the password typed a moment ago: the telephone, and the recovery codes shown with it."""
        page = self.open("/account/factors")
        page.locator('a[href="/account/factors/totp"]').click()
        telephone = Telephone.reading(page)
        self.type_first_code(telephone)
        codes = page.locator(".codes .code").all_inner_texts()
        assert len(set(codes)) == 10
        return telephone, codes

    def type_first_code(self, telephone: Telephone) -> None:
        """Into the form below the QR code."""
        self.page.locator("#code").fill(telephone.next_code())
        self.page.locator("#label").fill("Mon téléphone")
        self.page.locator("#totp-submit").click()
        expect(self.page.locator("#codes-continue")).to_be_visible()

    def confirm(self, code: str) -> None:
        """Type a second factor."""
        self.page.locator("#code").fill(code)
        self.page.locator("#factor-submit").click()

    def use(self, way: str) -> None:
        """Choose another way to confirm."""
        self.page.locator(f'#factor-switch [value="{way}"]').click()
        expect(self.page.locator("#factor-form")).to_be_visible()

    def expect_in(self) -> None:
        """She has arrived on her account."""
        expect(self.page.locator("#account-signout")).to_be_visible()

    def expect_not_in(self) -> None:
        """Her account is not before her, whatever she asks for."""
        expect(self.page.locator("#account-signout")).to_have_count(0)
        assert self.context.request.get(f"{self.server.issuer}/account", max_redirects=0).status == 303

    def check(self) -> None:
        """The page satisfies axe and is not too wide. Axe is JavaScript itself: without it only the width is looked at."""
        self.watched.check_width()
        assert not self.watched.foreign
        if self._has_scripts:
            self.watched.check()


@pytest.fixture
def arrive(chromium: Browser, server: LiveServer) -> Iterator["Arrive"]:
    """Open browsers of people, who are at work first."""
    arriving = Arrive(chromium, server)
    yield arriving
    for context in arriving.contexts:
        context.close()


class Arrive:
    """`arrive(javascript=True, locale="fr-FR", width=390)`."""

    def __init__(self, chromium: Browser, server: LiveServer) -> None:
        self._chromium = chromium
        self._server = server
        self.contexts: list[BrowserContext] = []

    def __call__(self, *, javascript: bool = True, locale: str = "fr-FR", width: int = 390) -> Nurse:
        context = self._chromium.new_context(java_script_enabled=javascript, locale=locale, viewport={"width": width, "height": 844})
        self.contexts.append(context)
        return Nurse(context, self._server, has_scripts=javascript)


def test_nurse_gets_in_with_her_password_at_work_and_not_with_it_alone_outside(arrive: Arrive) -> None:
    nurse = arrive()
    nurse.sign_in()
    nurse.expect_in()
    expect(nurse.page.locator("#account-place")).to_contain_text("réseau de votre établissement")
    expect(nurse.page.locator("#account-proofs")).to_have_text("mot de passe")
    nurse.check()
    nurse.sign_out()
    nurse.go_to(OUTSIDE)
    nurse.sign_in()
    expect(nurse.page.locator("h1")).to_contain_text("second moyen")
    nurse.check()
    nurse.expect_not_in()


@WITH_AND_WITHOUT
def test_telephone_added_at_work_serves_outside_and_no_code_serves_twice(arrive: Arrive, javascript: bool, locale: str, width: int) -> None:
    nurse = arrive(javascript=javascript, locale=locale, width=width)
    page = nurse.sign_in("/account/factors")
    nurse.check()
    page.locator('a[href="/account/factors/totp"]').click()
    expect(page.locator(".qr-frame")).to_be_visible()
    telephone = Telephone.reading(page)
    nurse.check()
    nurse.type_first_code(telephone)
    nurse.check()
    page.locator("#codes-continue").click()
    expect(page.locator("#main")).to_contain_text("Mon téléphone")
    nurse.check()
    nurse.sign_out()

    nurse.go_to(OUTSIDE)
    nurse.sign_in()
    expect(page.locator("#code")).to_be_focused()
    nurse.check()
    nurse.expect_not_in()
    nurse.confirm(telephone.last_code())
    expect(page.locator("#factor-error")).to_contain_text("déjà servi" if locale == "fr-FR" else "has served")
    nurse.check()
    nurse.confirm(telephone.next_code())
    nurse.expect_in()
    expect(page.locator("#account-proofs")).to_contain_text("application")
    nurse.check()
    nurse.sign_out()

    nurse.sign_in()
    nurse.confirm(telephone.last_code())
    expect(page.locator("#factor-error")).to_contain_text("déjà servi" if locale == "fr-FR" else "has served")
    nurse.expect_not_in()


def test_telephone_is_not_added_where_it_may_not_be(arrive: Arrive) -> None:
    nurse = arrive()
    page = nurse.sign_in("/account/factors/totp")
    telephone = Telephone.reading(page)
    # Signed in and the form open, she goes home: neither the form nor the page serves from there.
    nurse.go_to(OUTSIDE)
    page.locator("#code").fill(telephone.next_code())
    page.locator("#totp-submit").click()
    expect(page.locator('[role="alert"]')).to_contain_text("d’ici il ne suffit pas")
    nurse.check()
    nurse.open("/account/factors/totp")
    expect(page.locator("#totp-form")).to_have_count(0)
    # A computer that others use is no place for it either.
    nurse.go_to(SALON)
    nurse.open("/account/factors/totp")
    expect(page.locator("#totp-form")).to_have_count(0)
    expect(page.locator("#main")).to_contain_text("poste est partagé")
    nurse.check()
    nurse.go_to(AT_WORK)
    nurse.open("/account/factors")
    expect(page.locator("#main")).to_contain_text("Aucun pour l’instant")


def test_recovery_code_burns(arrive: Arrive) -> None:
    nurse = arrive()
    page = nurse.sign_in()
    nurse.expect_in()
    _, codes = nurse.add_telephone()
    nurse.sign_out()
    nurse.go_to(OUTSIDE)
    nurse.sign_in()
    nurse.use("recovery")
    nurse.check()
    nurse.confirm(codes[0].lower())
    nurse.expect_in()
    nurse.open("/account/factors")
    expect(page.locator("#main")).to_contain_text("9 codes")
    nurse.check()
    nurse.sign_out()
    nurse.sign_in()
    nurse.use("recovery")
    nurse.confirm(codes[0])
    expect(page.locator("#factor-error")).to_contain_text("n’est pas le bon")
    nurse.expect_not_in()
    nurse.check()
    nurse.confirm(codes[1])
    nurse.expect_in()
    nurse.open("/account/factors")
    expect(page.locator("#main")).to_contain_text("8 codes")


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_pass_from_the_contact_opens_the_addition_outside_once(arrive: Arrive, server: LiveServer, javascript: bool) -> None:
    nurse = arrive(javascript=javascript)
    code = server.command("pass", "issue", "claire.dubois", "--for", "enrol").strip()
    nurse.go_to(OUTSIDE)
    page = nurse.sign_in()
    expect(page.locator("#pass-form")).to_be_visible()
    nurse.check()
    page.locator("#pass").fill("AAAAA-AAAAA-AAAAA")
    page.locator("#pass-submit").click()
    expect(page.locator("#factor-error")).to_be_visible()
    nurse.check()
    page.locator("#pass").fill(code.lower())
    page.locator("#pass-submit").click()
    expect(page.locator("#enrol-choice")).to_be_visible()
    nurse.check()
    page.locator('#enrol-choice [value="totp"]').click()
    telephone = Telephone.reading(page)
    nurse.check()
    nurse.type_first_code(telephone)
    page.locator("#codes-continue").click()
    nurse.expect_in()
    nurse.sign_out()
    # The pass has served: from now on the telephone is asked.
    nurse.sign_in()
    expect(page.locator("#pass-form")).to_have_count(0)
    nurse.confirm(telephone.next_code())
    nurse.expect_in()
