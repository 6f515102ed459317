"""Somebody at the console in tests: a member of the cast with a role, a telephone, and a browser in which both were shown a moment ago."""

from dataclasses import dataclass
from datetime import timedelta

from idp.people.roles import RoleName
from tests.support.agents import give_role
from tests.support.browser import Browser, Page
from tests.support.cast import PASSWORD
from tests.support.second_factors import Phone, enrol_phone
from tests.support.world import World


@dataclass(slots=True)
class ConsoleAgent:
    """`person` of the cast, signed in; `get` and `submit` give the code again whenever it is asked."""

    world: World
    person: str
    phone: Phone
    browser: Browser

    def get(self, path: str) -> Page:
        """A page of the console."""
        return self.prove(self.browser.get(path))

    def submit(self, form_id: str, *, button: str | None = None, **fields: str) -> Page:
        """Send a form of the page."""
        return self.prove(self.browser.submit(form_id, page=None, button=button, **fields))

    def confirm(self, form_id: str, **fields: str) -> Page:
        """Send a form, read the differences, and do it."""
        page = self.submit(form_id, **fields)
        assert "changes" in page.forms, (page.status, page.text)
        return self.submit("changes", button="confirm")

    @property
    def page(self) -> Page:
        """Where they are."""
        assert self.browser.page is not None
        return self.browser.page

    def prove(self, page: Page) -> Page:
        """The page that comes after a code, where one is asked."""
        if "factor-form" in page.forms:
            self.world.clock.advance(timedelta(seconds=30))
            page = self.browser.submit("factor-form", code=self.phone.code(self.world.clock))
        return page


def console_agent(
    world: World, person: str = "rose", role: RoleName = "group_administrator", slug: str | None = None, *, language: str = "fr"
) -> ConsoleAgent:
    """Somebody with a role who has just shown a code."""
    give_role(world, person, role, slug)
    phone = enrol_phone(world, world.application.signin.second_factors, person)
    browser = world.browser(address=world.lan_of(person), language=language)
    agent = ConsoleAgent(world, person, phone, browser)
    browser.get("/account")
    agent.prove(browser.sign_in(world.person(person).username, PASSWORD))
    agent.get("/admin")
    return agent
