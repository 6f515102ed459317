"""What every refusal must leave: one Event with its reason, and nothing issued."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from idp.store.tables import codes, grants, refresh_tokens, sessions
from tests.support.browser import Browser, Page
from tests.support.world import World


@dataclass(frozen=True, slots=True)
class Issued:
    """How much has been given out so far."""

    sessions: int
    grants: int
    codes: int
    refresh_tokens: int


def issued(world: World) -> Issued:
    """Counted in the store."""
    with world.database.read() as tx:
        return Issued(
            *(tx.connection.scalar(select(func.count()).select_from(table)) or 0 for table in (sessions, grants, codes, refresh_tokens))
        )


def refusal(world: World, page: Page, before: Issued, *, type_prefix: str = "signin.refused") -> dict[str, Any]:
    """The Event behind a page that refused: found by the support code on the page, and nothing was issued since `before`."""
    assert page.callback is None
    assert issued(world) == before
    assert page.support_code is not None
    (event,) = world.events(type_prefix, request_id=page.support_code)
    return event


def at_sign_in(world: World, *, browser: Browser | None = None, client: str = "carnet", **parameters: str) -> tuple[Browser, Page]:
    """A browser on the sign-in page that a client sent it to."""
    browser = browser or world.browser()
    page = browser.get(world.relying_party(client).begin(**parameters))
    assert "signin-form" in page.forms, page
    return browser, page
