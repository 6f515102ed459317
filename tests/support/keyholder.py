"""A person of the world who has passkeys: their browser at work and their authenticator, and the pages on which the two meet."""

import html
import re
from dataclasses import dataclass

from tests.support.authenticator import TRUTH, Authenticator, Lies, Passkey
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.world import World

ENROL = "/account/factors/passkey"
FORM = "passkey-form"


def options_on(page: Page) -> str:
    """What a page asks the browser for."""
    found = re.search(r' data-options="([^"]*)"', page.markup)
    if found is None:
        raise AssertionError(f"no passkey is asked on {page!r}")
    return html.unescape(found[1])


@dataclass(slots=True)
class Keyholder:
    """`browser` is signed in at work after `settle`."""

    world: World
    key: str
    authenticator: Authenticator
    browser: Browser

    @property
    def username(self) -> str:
        """What they type."""
        return self.world.person(self.key).username

    def sign_in_at_work(self) -> Page:
        """On the establishment's network, with the password, to our own pages."""
        page = self.browser.get("/account")
        return self.browser.sign_in(self.username, PASSWORD, page=page)

    def enrol(self, lies: Lies = TRUTH, *, label: str = "Mon téléphone") -> Page:
        """Add a passkey on the account's page."""
        page = self.browser.get(ENROL)
        return self.browser.submit(FORM, page=page, credential=self.authenticator.create(options_on(page), lies), label=label)

    def answer(self, page: Page, lies: Lies = TRUTH, *, passkey: Passkey | None = None) -> str:
        """What the browser would post for the passkey that a page asks for."""
        return self.authenticator.get(options_on(page), lies, passkey=passkey)


def keyholder(world: World, key: str = "claire", *, address: str = "127.0.0.1", algorithm: int = -7, synced: bool = False) -> Keyholder:
    """A person without a passkey yet, signed in at work."""
    found = Keyholder(world, key, Authenticator(world.issuer, algorithm=algorithm, synced=synced), world.browser(address=address))
    page = found.sign_in_at_work()
    if page.status != 200:
        raise AssertionError(f"{key} could not sign in at work: {page!r}")
    return found


def enrolled(world: World, key: str = "claire", *, address: str = "127.0.0.1", algorithm: int = -7, synced: bool = False) -> Keyholder:
    """A person who added a passkey at work."""
    found = keyholder(world, key, address=address, algorithm=algorithm, synced=synced)
    page = found.enrol()
    if page.status != 200 or not passkeys_of(world, key):
        raise AssertionError(f"{key} could not add a passkey: {page!r}")
    return found


def passkeys_of(world: World, key: str = "claire") -> list[str]:
    """The ids of a person's living passkeys."""
    account = world.account(key)
    with world.database.read() as tx:
        return [factor.id for factor in tx.factors.open_of(account.id) if factor.kind == "passkey"]


def at_second_factor(holder: Keyholder, *, client: str = "carnet", **parameters: str) -> tuple[Browser, Page]:
    """Outside, the password typed: the page that asks for the passkey."""
    browser = holder.world.browser(address=OUTSIDE)
    page = browser.get(holder.world.relying_party(client).begin(**parameters))
    page = browser.sign_in(holder.username, PASSWORD, page=page)
    if FORM not in page.forms:
        raise AssertionError(f"no passkey is asked: {page!r}")
    return browser, page
