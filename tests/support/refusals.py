"""What every refusal must show: the error as its specification writes it, the audit Event with its reason, and that nothing was issued."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import text

from tests.support.browser import Callback, Page
from tests.support.world import World

ISSUED_ROWS = ("grants", "codes", "refresh_tokens")
ISSUED_EVENTS = ("authorization.granted", "token.issued", "token.repeated")
# RFC 6749 section 4.1.2.1 and 5.2: what error_description may hold.
DESCRIPTION = frozenset(map(chr, (*range(0x20, 0x22), *range(0x23, 0x5C), *range(0x5D, 0x7F))))


def issued(world: World) -> dict[str, int]:
    """How many Grants, codes and refresh tokens exist, and how often something was issued: access tokens leave no row."""
    with world.database.read() as tx:
        counts = {table: int(tx.connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one()) for table in ISSUED_ROWS}
    types = [line["type"] for line in world.events()]
    return counts | {kind: types.count(kind) for kind in ISSUED_EVENTS}


@contextmanager
def nothing_issued(world: World) -> Iterator[None]:
    """Nothing is issued within the block."""
    before = issued(world)
    yield
    assert issued(world) == before


def assert_refused_by_redirect(world: World, page: Page, *, error: str, reason: str, client_id: str = "carnet") -> Callback:
    """The error went back to the application with `iss`, without a code; the Event says why. The callback, for its state."""
    callback = page.callback
    assert callback is not None, f"the application was not told: {page!r}"
    assert callback["error"] == error
    assert callback["iss"] == world.issuer, "RFC 9207: errors carry iss too"
    assert "code" not in callback.parameters
    assert callback.repeated == ()
    assert set(callback.get("error_description") or "") <= DESCRIPTION
    line = world.last_event("authorization.refused")
    assert (line["reason"], line["client_id"], line["details"]["error"]) == (reason, client_id, error)
    return callback


def assert_refused_on_a_page(
    world: World, page: Page, *, reason: str, client_id: str | None = None, event: str = "authorization.refused"
) -> None:
    """The error is shown here and nowhere else, with the support code that leads to its Event."""
    assert page.callback is None, f"an unproven address was used: {page!r}"
    assert page.status == 400
    assert "Location" not in page.headers
    line = world.last_event(event)
    assert (line["reason"], line["client_id"]) == (reason, client_id)
    assert page.support_code == line["request_id"]


def assert_token_refused(
    world: World,
    response: httpx.Response,
    *,
    error: str,
    reason: str,
    status: int = 400,
    client_id: str | None = "carnet",
    event: str = "token.refused",
) -> None:
    """The JSON error (RFC 6749 section 5.2), never cached, holding no token; the Event says why. `client_id` None: it was not proven."""
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    assert answer["error"] == error
    assert answer.keys() <= {"error", "error_description"}
    assert set(answer.get("error_description") or "") <= DESCRIPTION
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    line = world.last_event(event)
    assert (line["reason"], line["client_id"], line["details"]["error"]) == (reason, client_id, error)
