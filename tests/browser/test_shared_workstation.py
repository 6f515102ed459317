"""A shared workstation in Chromium, with the care application of the demonstration behind a real server: handed over, locked, and warned in time."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.watched import Watched
from tests.support.cast import PASSWORD
from tests.support.demonstration import REPOSITORY
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.processes import answers, free_port, running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SALON = "10.20.6.9"
SECRET = "vestibule_cs_" + "poste-partage-" * 3


@dataclass(frozen=True, slots=True)
class Post:
    """A shared workstation of Les Tilleuls: the server, and the care application that its people use."""

    server: LiveServer
    app_url: str


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[Post]:
    """The server is behind a proxy that says where people are: the browser plays the proxy."""
    folder, port = tmp_path_factory.mktemp("shared"), free_port()
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
    # Two minutes are the length of the warning: it is there from the beginning.
    settings = {
        "server": {"trusted_proxies": ["127.0.0.1/32", "::1/128"]},
        "sessions": {"shared_idle": "2m"},
        "clients": [soins],
    }
    command = [sys.executable, "-m", "demo.care_app", "--client-id", "soins", "--port", str(port), "--issuer"]
    with live_server(folder, session_listener, settings) as server:
        server.command("zone", "add", "tilleuls", "salon", "--kind", "shared-workstation", "--network", "10.20.6.0/24")
        started = running(
            [*command, server.issuer],
            log=folder / "soins.log",
            ready=lambda: answers(f"{app_url}/sante"),
            seconds=45,
            environment={"CARNET_CLIENT_SECRET": SECRET},
            folder=REPOSITORY,
        )
        with started:
            yield Post(server, app_url)


class Sitting:
    """Who sits at the workstation: one browser, which nobody closes."""

    def __init__(self, context: BrowserContext, post: Post) -> None:
        context.set_default_timeout(15_000)
        context.set_extra_http_headers({"X-Forwarded-For": SALON})
        self.context = context
        self.post = post
        self.allowed = (post.server.issuer, post.app_url)

    def tab(self) -> Watched:
        """Another tab."""
        return Watched(self.context.new_page(), allowed=self.allowed)

    def sign_in(self, page: Page, username: str) -> None:
        """Fill the form in front of us."""
        page.locator("#identifier").fill(username)
        page.locator("#password").fill(PASSWORD)
        page.locator("#password").press("Enter")

    def open_application(self, page: Page, username: str, name: str) -> None:
        """From the care application through the sign-in, back to it."""
        page.goto(self.post.app_url)
        page.locator("#sign-in").click()
        self.sign_in(page, username)
        expect(page.locator("#person")).to_have_text(name)


@pytest.fixture
def sit(chromium: Browser, post: Post) -> Iterator[Any]:
    """`sit(javascript=True, locale="fr-FR", width=1280)`."""
    contexts: list[BrowserContext] = []

    def make(*, javascript: bool = True, locale: str = "fr-FR", width: int = 1280) -> Sitting:
        contexts.append(chromium.new_context(java_script_enabled=javascript, locale=locale, viewport={"width": width, "height": 844}))
        return Sitting(contexts[-1], post)

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_change_of_person_ends_the_formers_application_before_the_next_one_is_in(post: Post, sit: Any, javascript: bool) -> None:
    sitting = sit(javascript=javascript)
    notebook, ours = sitting.tab().page, sitting.tab().page
    sitting.open_application(notebook, "claire.dubois", "Claire Dubois")
    cookies = {cookie["name"]: cookie["value"] for cookie in sitting.context.cookies(post.app_url)}
    assert "Claire Dubois" in httpx.get(post.app_url, cookies=cookies).text
    ours.goto(f"{post.server.issuer}/account")
    ours.locator("#change-person").click()
    expect(ours.locator("#signin-form")).to_be_visible()
    expect(ours.locator('[role="status"]').first).to_contain_text("La session de la personne d’avant est fermée")
    expect(ours.locator("#identifier")).to_have_value("")
    # Nobody has touched the application's tab: it is told by back-channel, and whoever holds its cookie has nothing.
    wait_until(lambda: "Claire" not in httpx.get(post.app_url, cookies=cookies).text, seconds=60, log=post.server.log)
    wait_until(lambda: post.server.notices()[0]["state"] == "delivered", seconds=60, log=post.server.log)
    notebook.reload()
    expect(notebook.locator("#notice")).to_contain_text("fermée par le service de connexion")
    sitting.sign_in(ours, "rose.marchand")
    expect(ours.locator("h1")).to_have_text("Mon compte")
    notebook.locator("#sign-in").click()
    expect(notebook.locator("#person")).to_have_text("Rose Marchand")


def test_lock_keeps_the_place_of_who_steps_away(post: Post, sit: Any) -> None:
    sitting = sit()
    watched = sitting.tab()
    page = watched.page
    sitting.open_application(page, "claire.dubois", "Claire Dubois")
    page.goto(f"{post.server.issuer}/lock")
    watched.check()
    page.locator("#lock-submit").click()
    expect(page.locator("h1")).to_have_text("Session verrouillée")
    expect(page.locator("#identifier")).to_have_count(0)
    expect(page.locator("#password")).to_be_focused()
    watched.check()
    page.locator("#password").fill("Ce-n-est-pas-le-bon")
    page.locator("#password").press("Enter")
    expect(page.locator('[role="alert"]')).to_contain_text("Le mot de passe n’est pas bon.")
    watched.check()
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    expect(page.locator("h1")).to_have_text("Mon compte")
    page.goto(post.app_url)
    expect(page.locator("#person")).to_have_text("Claire Dubois")


def test_person_is_warned_in_time_and_stays_with_one_press(post: Post, sit: Any) -> None:
    sitting = sit()
    page = sitting.tab().page
    page.goto(f"{post.server.issuer}/account")
    sitting.sign_in(page, "claire.dubois")
    warning = page.locator("#time-warning")
    expect(warning).to_be_visible()
    expect(warning).to_contain_text("2 min")
    page.wait_for_timeout(3_000)
    assert int(page.locator("#time-left").get_attribute("data-seconds-left") or 0) > 60
    warning.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("Mon compte")
    # The end, as the page shows it: nothing of the person is left on the screen.
    page.clock.install()
    page.goto(f"{post.server.issuer}/account")
    page.clock.fast_forward("02:10")
    expect(page.locator("h1")).to_have_text("Session fermée")
    assert "Claire" not in page.locator("body").inner_text()


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize("locale", ["fr-FR", "en-GB"])
def test_pages_of_a_shared_workstation_satisfy_axe_and_fit(post: Post, sit: Any, locale: str, width: int) -> None:
    sitting = sit(locale=locale, width=width)
    watched = sitting.tab()
    page = watched.page

    def look() -> None:
        watched.check()
        watched.check_width()

    page.goto(f"{post.server.issuer}/account")
    expect(page.locator("#password")).to_have_attribute("autocomplete", "one-time-code")
    look()
    sitting.sign_in(page, "rose.marchand")
    expect(page.locator("#account-lock")).to_be_visible()
    look()
    page.locator("#account-lock").click()
    expect(page.locator("#change-person")).to_be_visible()
    look()
    page.locator("#change-person").click()
    expect(page.locator("#identifier")).to_be_visible()
    look()
