"""To a provider and back in Chromium, with and without JavaScript. Another Vestibule is the provider: its own pages forbid forms to lead anywhere but
to us, so that a chain of redirects that went through us to an application would be stopped."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.watched import Watched
from tests.conftest import MakeWorld
from tests.support.cast import PASSWORD
from tests.support.neighbour import LABEL, NAME, Door, Neighbour, neighbouring
from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.sqlite]


@dataclass
class Scene:
    """A world that a real browser can reach, its neighbour, and a page."""

    home: World
    neighbour: Neighbour
    application: str
    watched: Watched
    has_scripts: bool

    def check(self) -> None:
        """Nothing foreign, nothing broken; axe-core runs where scripts do."""
        if self.has_scripts:
            self.watched.check()
        assert not self.watched.errors, self.watched.errors
        assert not self.watched.foreign, self.watched.foreign

    @property
    def page(self) -> Page:
        """Playwright's."""
        return self.watched.page

    def begin(self, **parameters: str) -> None:
        """From the application, which is on this machine."""
        self.page.goto(self.home.relying_party("bureau").begin(redirect_uri=f"{self.application}/retour", **parameters))

    def sign_in(self) -> None:
        """Fill the form that is there."""
        self.page.fill("#identifier", "claire.dubois")
        self.page.fill("#password", PASSWORD)
        self.page.click("#signin-submit")


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def scene(request: pytest.FixtureRequest, chromium: Browser, make_world: MakeWorld) -> Iterator[Scene]:
    """The home is `localhost` and the neighbour 127.0.0.1: cookies are kept by host and not by port."""
    door, application = Door(), Door()
    application.answer = _welcome
    issuer = f"http://localhost:{door.port}"
    with neighbouring(make_world, downstream=issuer) as neighbour:
        home = make_world(issuer=issuer, providers=[neighbour.settings(domains=["voisin.example"])])
        neighbour.link(home)
        door.answer = home.wsgi
        context = chromium.new_context(java_script_enabled=bool(request.param), locale="fr-FR", viewport={"width": 390, "height": 844})
        context.set_default_timeout(15_000)
        app_url = f"http://127.0.0.1:{application.port}"
        watched = Watched(context.new_page(), allowed=(issuer, neighbour.issuer, app_url))
        yield Scene(home, neighbour, app_url, watched, bool(request.param))
        context.close()
    door.close()
    application.close()


def _welcome(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "no-store")])
    return [b'<title>Bureau</title><link rel="icon" href="data:,"><h1>Bienvenue</h1>']


def test_nurse_goes_to_a_provider_by_its_button_and_comes_back_to_the_application(scene: Scene) -> None:
    scene.begin()
    scene.check()
    scene.page.get_by_role("button", name=LABEL).click()
    expect(scene.page).to_have_url(re.compile(f"^{re.escape(scene.neighbour.issuer)}/signin/"))
    scene.sign_in()
    expect(scene.page.get_by_role("heading", name="Bienvenue")).to_be_visible()
    assert not scene.watched.errors, scene.watched.errors


def test_nurse_who_types_her_address_there_is_taken_there(scene: Scene) -> None:
    scene.begin()
    scene.page.fill("#identifier", "claire@voisin.example")
    scene.page.fill("#password", "n'importe quoi")
    scene.page.click("#signin-submit")
    expect(scene.page).to_have_url(re.compile(f"^{re.escape(scene.neighbour.issuer)}/"))
    expect(scene.page.locator("#identifier")).to_have_value("claire@voisin.example")
    scene.sign_in()
    expect(scene.page.get_by_role("heading", name="Bienvenue")).to_be_visible()
    assert not scene.watched.errors, scene.watched.errors


def test_nurse_of_an_application_that_names_the_provider_sees_no_page_of_ours(scene: Scene) -> None:
    scene.begin(kc_idp_hint=NAME)
    assert scene.page.url.startswith(scene.neighbour.issuer)
    scene.page.click("#signin-cancel")
    expect(scene.page.get_by_role("alert")).to_contain_text(LABEL)
    scene.check()
    scene.sign_in()
    expect(scene.page.get_by_role("heading", name="Bienvenue")).to_be_visible()
