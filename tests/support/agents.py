"""People with a role in tests, and their way into the console: a password, a telephone, and the code that it shows."""

from dataclasses import dataclass
from datetime import timedelta

from idp.audit import Author
from idp.people import roles
from idp.people.roles import RoleName
from tests.support.browser import Browser, Page
from tests.support.cast import LANS, PASSWORD
from tests.support.second_factors import ORIGIN, Phone, enrol_phone
from tests.support.world import World


@dataclass
class AgentAtWork:
    """Somebody signed in to the console, with the telephone that proves it again."""

    world: World
    person: str
    browser: Browser
    phone: Phone

    def get(self, path: str, *, language: str | None = None) -> Page:
        """A page of the console; a factor is given when one is asked."""
        return self.proved(self.browser.get(path + (f"?lang={language}" if language else "")))

    def proved(self, page: Page) -> Page:
        """The page that comes after a factor, where one is asked."""
        if "factor-form" in page.forms:
            self.world.clock.advance(timedelta(seconds=30))
            page = self.browser.submit("factor-form", page=page, code=self.phone.code(self.world.clock))
        return page


def give_role(world: World, person: str, role: RoleName, slug: str | None = None) -> None:
    """As whoever holds the machine gives it."""
    with world.arranging() as tx:
        place = tx.establishments.by_slug(slug) if slug else None
        roles.give(tx, world.account(person), role, Author("operator:test", ORIGIN), clock=world.clock, establishment=place)


def enter_console(world: World, person: str = "rose", role: RoleName = "it_contact", slug: str | None = "tilleuls") -> AgentAtWork:
    """Give somebody a role and a telephone, and take them to /admin."""
    give_role(world, person, role, slug)
    phone = enrol_phone(world, world.application.signin.second_factors, person)
    at_home = next((place for place, *_ in world.person(person).attachments), "tilleuls")
    browser = world.browser(language="en", address=LANS[at_home])
    agent = AgentAtWork(world, person, browser, phone)
    page = browser.sign_in(world.person(person).username, PASSWORD, page=browser.get("/admin"))
    if "establishment-form" in page.forms:
        page = browser.submit("establishment-form", page=page, button=at_home)
    page = agent.proved(page)
    if page.status != 200 or not page.url.endswith("/admin"):
        raise AssertionError(f"the console did not open: {page!r}")
    return agent
