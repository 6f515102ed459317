"""Office 365 in Chromium: a real server, the real msal, the stand-in for Entra over HTTPS. There and back, two factors where a rule wants them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.watched import Watched
from tests.support.cast import OUTSIDE
from tests.support.entra import Entra, entra_serving
from tests.support.entra_door import CALLBACK, LABEL, provider_settings
from tests.support.entra_people import MFA_CODE, PASSWORD, SECRET
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

AT_WORK = "10.20.0.7"


@dataclass(frozen=True)
class Place:
    """Our server, behind a proxy that the browser plays, and Entra."""

    server: LiveServer
    entra: Entra


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("office")
    with entra_serving(folder / "entra") as entra:
        (folder / "live").mkdir()
        (folder / "live" / "entra.secret").write_text(SECRET, encoding="utf-8")
        settings: dict[str, Any] = {
            "server": {"trusted_proxies": ["127.0.0.1/32", "::1/128"]},
            "sessions": {"concurrent": None},
            "providers": [provider_settings(entra, client_secret="file:entra.secret")],
        }
        with live_server(folder / "live", session_listener, settings) as server:
            yield Place(server, entra)


@pytest.fixture
def place(served: Place) -> Place:
    """As at first, there."""
    served.entra.reset()
    served.entra.registration.redirect_uris.add(f"{served.server.issuer}{CALLBACK}")
    return served


class Nurse:
    """A person and her browser, which trusts the stand-in's certificate."""

    def __init__(self, context: BrowserContext, place: Place, *, has_scripts: bool) -> None:
        context.set_default_timeout(15_000)
        self.context = context
        self.place = place
        self.has_scripts = has_scripts
        self.watched = Watched(context.new_page(), allowed=(place.server.issuer, place.entra.url))
        self.page = self.watched.page
        self.go_to(AT_WORK)

    def go_to(self, address: str) -> None:
        self.context.set_extra_http_headers({"X-Forwarded-For": address})

    def open(self) -> Page:
        self.page.goto(f"{self.place.server.issuer}/account")
        return self.page

    def leave_by_the_button(self) -> Page:
        self.open()
        self.watched.check() if self.has_scripts else None
        self.page.get_by_role("link", name=LABEL).or_(self.page.get_by_role("button", name=LABEL)).click()
        return self.page

    def type_there(self, name: str = "nadia", password: str = PASSWORD) -> None:
        expect(self.page.locator("#i0118")).to_be_visible()
        assert self.page.url.startswith(self.place.entra.url)
        self.page.locator("#i0116").fill(self.place.entra.person(name).upn)
        self.page.locator("#i0118").fill(password)
        self.page.locator("#idSIButton9").click()

    def type_code_there(self) -> None:
        expect(self.page.locator("#idTxtBx_SAOTCC_OTC")).to_be_visible()
        self.page.locator("#idTxtBx_SAOTCC_OTC").fill(MFA_CODE)
        self.page.locator("#idSubmit_SAOTCC_Continue").click()

    def submit_there(self) -> None:
        """Where the form does not send itself."""
        if not self.has_scripts:
            self.page.locator('input[type="submit"]').click()

    def expect_in(self) -> None:
        expect(self.page.locator("#account-signout")).to_be_visible()

    def sign_out(self) -> None:
        self.open().locator("#account-signout").click()
        expect(self.page.locator("#signed-out-signin")).to_be_visible()


@pytest.fixture
def nurse(chromium: Browser, place: Place, request: pytest.FixtureRequest) -> Iterator[Nurse]:
    """A browser of her own; a test may say that it has no JavaScript."""
    javascript = getattr(request, "param", True)
    context = chromium.new_context(java_script_enabled=javascript, locale="fr-FR", ignore_https_errors=True)
    yield Nurse(context, place, has_scripts=javascript)
    context.close()


WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize("nurse", [True, False], ids=["with JavaScript", "without JavaScript"], indirect=True)


@WITH_AND_WITHOUT_SCRIPTS
def test_nurse_comes_in_by_office_at_work_with_one_factor(nurse: Nurse, place: Place) -> None:
    nurse.leave_by_the_button()
    nurse.type_there()
    nurse.submit_there()
    nurse.expect_in()
    expect(nurse.page.locator("main")).to_contain_text("Nadia Petit")
    assert not any("otc" in form for _, _, form in place.entra.requests)
    if nurse.has_scripts:
        nurse.watched.check()


@WITH_AND_WITHOUT_SCRIPTS
def test_nurse_is_asked_for_two_factors_by_office_from_outside(nurse: Nurse, place: Place) -> None:
    nurse.go_to(OUTSIDE)
    nurse.leave_by_the_button()
    nurse.type_there()
    nurse.submit_there()
    nurse.type_code_there()  # straight back there: it is the only way she has
    nurse.submit_there()
    nurse.expect_in()


def test_nurse_types_nothing_when_she_is_signed_in_there_and_must_act_after_a_sign_out(nurse: Nurse, place: Place) -> None:
    nurse.leave_by_the_button()
    nurse.type_there()
    nurse.expect_in()
    nurse.context.clear_cookies(name="vestibule-session")
    nurse.leave_by_the_button()
    nurse.expect_in()  # nothing typed
    nurse.sign_out()
    nurse.leave_by_the_button()
    nurse.type_there()  # Entra asks again: prompt=login
    nurse.expect_in()


def test_nurse_who_gives_up_there_is_back_on_our_page(nurse: Nurse, place: Place) -> None:
    nurse.leave_by_the_button()
    nurse.page.locator("#idBtn_Back").click()
    expect(nurse.page.locator("#signin-form")).to_be_visible()
    expect(nurse.page.locator("main")).to_contain_text(LABEL)
    nurse.watched.check()


def test_nurse_with_a_forged_token_is_not_in(nurse: Nurse, place: Place) -> None:
    place.entra.forgery = "a changed payload"
    nurse.leave_by_the_button()
    nurse.type_there()
    expect(nurse.page.locator("#signin-form")).to_be_visible()
    expect(nurse.page.locator("#account-signout")).to_have_count(0)
    nurse.watched.check()


def test_nurse_is_told_when_office_is_down_and_may_use_a_password(nurse: Nurse, place: Place) -> None:
    place.entra.fail("/oauth2/v2.0/token", 503)
    nurse.leave_by_the_button()
    nurse.type_there()
    expect(nurse.page.locator("#signin-form")).to_be_visible()
    expect(nurse.page.locator("main")).to_contain_text("ne répond pas")
    nurse.watched.check()
