"""Somebody at a computer of the domain: their browser, the tickets it holds, and a home whose zone has Windows sessions."""

from base64 import b64encode
from typing import Any

from idp.audit import Author, Origin
from idp.config import ZoneSettings
from idp.zones import put_zone
from tests.support.browser import Browser, Page
from tests.support.world import World

AUTHOR = Author("operator:essai", Origin("0123456789", "local"))
DESK = "10.20.9.14"  # in the zone with Windows sessions; the rest of Les Tilleuls has none
DESKS = "10.20.9.0/24"


def furnish_desks(world: World, *, slug: str = "tilleuls", **zone: Any) -> None:
    """Give a home a zone of computers of the domain."""
    settings = ZoneSettings.model_validate({"name": "bureaux", "kind": "trusted", "networks": [DESKS], "windows": True, **zone})
    with world.arranging() as tx:
        put_zone(tx, world.establishment(slug), settings, AUTHOR, source="operator", clock=world.clock)


def at_desk(world: World, *, address: str = DESK) -> Browser:
    """A browser on a computer there."""
    return world.browser(address=address)


def arrive(browser: Browser, world: World, **parameters: str) -> Page:
    """From the application to our sign-in page."""
    return browser.get(world.relying_party().begin(**parameters))


def show(browser: Browser, token: bytes, *, page: Page | None = None, scheme: str = "Negotiate") -> Page:
    """What a browser does with a 401 that asks for a ticket."""
    page = page or browser.page
    assert page is not None
    return browser.get(page.url, headers={"Authorization": f"{scheme} {b64encode(token).decode()}"})


def is_asked(page: Page) -> bool:
    """Whether the page asks the browser for a ticket; it is the sign-in form all the same."""
    assert "signin-form" in page.forms, page
    asks = page.headers.get("WWW-Authenticate")
    assert (page.status, asks) == (401, "Negotiate") or asks is None, (page.status, asks)
    return asks is not None
