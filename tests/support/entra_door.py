"""A world whose people come by the stand-in for Entra, and the way there and back through our door with a person's two browsers in one."""

from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.browser import Browser, Page
from tests.support.entra import Entra
from tests.support.entra_people import Person
from tests.support.relying_party import RelyingParty
from tests.support.world import SignedIn, World

NAME, LABEL = "office", "Office 365"
CALLBACK = f"/upstream/{NAME}/callback"
NURSES = "9a1d0000-0000-4000-8000-000000000001"
MAPPING = [{"group": NURSES, "establishment": "tilleuls", "profile": "nurse"}]


def provider_settings(entra: Entra, **override: Any) -> dict[str, Any]:
    """What an operator writes; the secret is in ENTRA_SECRET."""
    given: dict[str, Any] = {
        "name": NAME,
        "type": "entra",
        "label": LABEL,
        "client_secret": "env:ENTRA_SECRET",
        "mfa_context": "c1",
        "mapping": MAPPING,
    }
    return entra.settings(**{**given, **override})


def open_door(entra: Entra, world: World) -> World:
    """Register the world's address there."""
    entra.registration.redirect_uris.add(f"{world.issuer}{CALLBACK}")
    return world


def depart(browser: Browser, world: World, party: RelyingParty | None = None, **parameters: Any) -> str:
    """From an application, by the provider's button: where the browser is sent."""
    page = browser.get((party or world.relying_party()).begin(**parameters))
    if page.callback is None:
        assert LABEL in page.text, page
        page = browser.get(f"{page.url}/upstream/{NAME}")
    return sent_to(page)


def sent_to(page: Page) -> str:
    """The address of Entra that a page of ours sent the browser to."""
    assert page.callback is not None, page
    return str(httpx.URL(page.callback.uri, params=page.callback.parameters))


def arrive(browser: Browser, entra: Entra, url: str, name: str = "nadia", *, there: httpx.Client | None = None) -> Page:
    """Sign in there, and what its page then posts to us from its own origin."""
    return bring(browser, entra, entra.sign_in(url, name, browser=there))


def bring(browser: Browser, entra: Entra, parameters: Mapping[str, str]) -> Page:
    """Post an answer as Entra's page does: across sites, without our cookies."""
    return browser.post(CALLBACK, parameters, cross_site=True, headers={"Origin": entra.url, "Referer": f"{entra.url}/"})


def come_in(
    world: World, entra: Entra, name: str = "nadia", *, client: str = "carnet", address: str = "127.0.0.1", **parameters: str
) -> SignedIn:
    """A whole sign-in by Entra."""
    browser, party = world.browser(address=address), world.relying_party(client)
    page = arrive(browser, entra, depart(browser, world, party, **parameters), name)
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def account_of(world: World, person: Person) -> Any:
    """The Account that somebody of Entra has here, or None."""
    with world.database.read() as tx:
        link = tx.links.get(NAME, person.subject)
        return tx.people.get(link.account_id) if link else None
