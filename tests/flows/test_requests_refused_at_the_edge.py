"""Requests that never reach a room are recorded too, and what only asks changes nothing."""

from datetime import timedelta

import pytest

from tests.flows.refusal import issued
from tests.support.world import World


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "reason"),
    [
        ("POST", "/token", {"Content-Type": "application/json"}, b"{}", 415, "invalid_request"),
        ("POST", "/token", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=%ff", 400, "invalid_request"),
        ("POST", "/introspect", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=" + b"x" * 70_000, 413, "too_large"),
        ("DELETE", "/userinfo", {}, b"", 405, "invalid_request"),
        ("POST", "/jwks", {}, b"", 405, "invalid_request"),
    ],
)
def test_machine_request_is_recorded_when_it_cannot_be_read(
    world: World, method: str, path: str, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    answer = world.machine.request(method, path, headers=headers, content=body)
    assert answer.status_code == status
    line = world.last_event("request.refused")
    assert (line["reason"], line["details"]) == (reason, {"path": path, "status": status})


def test_no_code_is_given_when_a_program_only_asks_for_headers(world: World) -> None:
    signed_in = world.sign_in("claire")
    before = issued(world)
    answer = signed_in.browser.request("HEAD", signed_in.party.begin())
    assert "Location" not in answer.headers
    assert issued(world) == before


def test_nurse_proves_herself_again_when_she_left_a_question_unanswered_too_long(world: World) -> None:
    browser, party = world.browser(), world.relying_party()
    page = browser.sign_in(world.person("amina").username or "", world.password, page=browser.get(party.begin()))
    assert "establishment-form" in page.forms
    world.clock.advance(timedelta(minutes=11))
    assert "signin-form" in browser.get(page.url).forms
