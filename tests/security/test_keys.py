"""Signing keys across rotations, processes and time: no token fails, no application is surprised, nothing stays for ever.

OpenID Connect Core sections 10.1.1 (rotation) and 10.1; the two processes here are two built applications on one database.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from click.testing import CliRunner, Result
from joserfc import jws

from idp import app as composition
from idp.audit import Origin
from idp.cli import vestibule
from idp.composition.application import Application
from idp.errors import Refused, VestibuleError
from idp.oauth.keys import KEPT_FOR, PUBLISHED_FOR, RELOAD_EVERY, SEAL, forget, rotate
from tests.support.world import SignedIn, World

ORIGIN = Origin(request_id="0123456789", address="local")
# Published everywhere: by every process, and past what applications may keep of /jwks.
KNOWN = PUBLISHED_FOR + RELOAD_EVERY


@pytest.fixture
def signed_in(world: World) -> SignedIn:
    """Claire, with offline access so that only the keys matter."""
    return world.sign_in("claire", "carnet", scope="openid profile offline_access")


@pytest.fixture
def second(world: World, signed_in: SignedIn) -> Iterator[Application]:
    """Another process on the same database."""
    application = composition.build(world.config, world.clock)
    yield application
    application.close()


def rotate_now(world: World, *, is_urgent: bool = False) -> None:
    """One rotation, as the worker does it."""
    keyring = world.application.keyring
    with world.arranging() as tx:
        rotate(tx, keyring, world.clock, actor="system", origin=ORIGIN, is_urgent=is_urgent)


def rotate_in_time(world: World) -> None:
    """One rotation as soon as it is allowed, followed by every process."""
    world.clock.advance(KNOWN)
    rotate_now(world)
    world.clock.advance(RELOAD_EVERY)


def run_command(world: World, *arguments: str) -> Result:
    """`vestibule keys`, at the world's instant."""
    with time_machine.travel(world.clock.now(), tick=False):
        return CliRunner().invoke(vestibule, ["--config", str(world.config_path), "keys", *arguments])


def published(world: World) -> set[str]:
    """The kids of /jwks."""
    return {key["kid"] for key in world.machine.get("/jwks").json()["keys"]}


def kid(token: str) -> str:
    """Who signed a token."""
    found: str = jws.extract_compact(token.encode()).headers()["kid"]
    return found


def by_state(world: World, state: str) -> set[str]:
    """The kids of a state, in the store."""
    with world.database.read() as tx:
        return {key.kid for key in tx.keys.all() if key.state == state}


def jwks_of(application: Application) -> set[str]:
    """The kids another process publishes."""
    with httpx.Client(transport=httpx.WSGITransport(composition.wsgi(application)), base_url=application.config.issuer) as client:
        return {key["kid"] for key in client.get("/jwks").json()["keys"]}


def test_one_current_and_one_next_key_of_each_algorithm_are_published(world: World) -> None:
    keys = world.machine.get("/jwks").json()["keys"]
    assert sorted(key["alg"] for key in keys) == ["ES256", "ES256", "RS256", "RS256"]
    assert {key["kid"] for key in keys} == by_state(world, "current") | by_state(world, "next")
    for key in keys:
        assert key["use"] == "sig"
        assert key.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi", "k"})


def test_tokens_signed_before_a_rotation_are_good_after_it(world: World, signed_in: SignedIn) -> None:
    party, tokens = signed_in.party, signed_in.tokens
    world.clock.advance(KNOWN)
    fresh = party.refresh(tokens.refresh).json()
    rotate_now(world)
    world.clock.advance(RELOAD_EVERY)
    assert party.userinfo(fresh["access_token"]).status_code == 200
    assert party.introspect(fresh["access_token"]).json()["active"] is True
    assert kid(fresh["access_token"]) in published(world)
    party.decode(fresh["id_token"], "RS256")


def test_the_next_key_is_published_before_it_signs(world: World, signed_in: SignedIn) -> None:
    waiting, current = by_state(world, "next"), by_state(world, "current")
    assert waiting <= published(world)
    assert kid(signed_in.tokens.identity) in current
    rotate_in_time(world)
    renewed = signed_in.party.refresh(signed_in.tokens.refresh).json()
    assert {kid(renewed["id_token"]), kid(renewed["access_token"])} == waiting
    assert by_state(world, "retired") == current
    assert by_state(world, "next").isdisjoint(waiting | current)


def test_rotation_is_refused_when_the_next_key_was_published_too_recently(world: World, signed_in: SignedIn) -> None:
    rotate_in_time(world)
    states = {state: by_state(world, state) for state in ("next", "current", "retired")}
    world.clock.advance(PUBLISHED_FOR - timedelta(microseconds=1))
    with pytest.raises(Refused, match="rotated_too_soon"):
        rotate_now(world)
    assert {state: by_state(world, state) for state in ("next", "current", "retired")} == states
    assert len(world.events("keys.rotated")) == 1


def test_urgent_rotation_does_not_wait(world: World, signed_in: SignedIn) -> None:
    rotate_in_time(world)
    rotate_now(world, is_urgent=True)
    assert [line["details"]["urgent"] for line in world.events("keys.rotated")] == [False, True]


def test_stolen_key_is_believed_no_more_after_an_urgent_rotation(world: World, signed_in: SignedIn) -> None:
    party, stolen = signed_in.party, by_state(world, "current")
    rotate_now(world, is_urgent=True)
    world.clock.advance(RELOAD_EVERY)
    assert not stolen & published(world)
    assert party.userinfo(signed_in.tokens.access).status_code == 401
    fresh = party.refresh(signed_in.tokens.refresh).json()
    assert party.userinfo(fresh["access_token"]).status_code == 200


def test_retired_key_is_deleted_when_nothing_needs_it(world: World, signed_in: SignedIn) -> None:
    rotate_in_time(world)
    retired = by_state(world, "retired")
    world.clock.advance(KEPT_FOR - 2 * RELOAD_EVERY)
    with world.arranging() as tx:
        assert forget(tx, world.clock) == 0
    world.clock.advance(3 * RELOAD_EVERY)
    with world.arranging() as tx:
        assert forget(tx, world.clock) == len(retired)
    assert by_state(world, "retired") == set()


def test_no_token_fails_across_two_rotations(world: World, signed_in: SignedIn, second: Application) -> None:
    party = signed_in.party
    refresh = signed_in.tokens.refresh
    made: list[dict[str, Any]] = []
    access = signed_in.tokens.access
    for step in range(60):
        world.clock.advance(timedelta(seconds=30))
        assert party.userinfo(access).status_code == 200
        assert second.provider.mint.read_access_token(access) is not None
        answer = party.refresh(refresh).json()
        access, refresh = answer["access_token"], answer["refresh_token"]
        made.append(answer)
        if step in {20, 40}:
            rotate_now(world)
    assert len({kid(answer["id_token"]) for answer in made}) == 3
    for answer in made:
        # Hints outlive the tokens.
        assert world.application.provider.mint.read_id_token_hint(answer["id_token"]) is not None
        assert second.provider.mint.read_id_token_hint(answer["id_token"]) is not None


def test_second_process_follows_within_the_reload_time(world: World, second: Application) -> None:
    before = jwks_of(second)
    world.clock.advance(KNOWN)
    rotate_now(world)
    world.clock.advance(RELOAD_EVERY)
    after = jwks_of(second)
    assert before < after
    client = world.application.provider.registry
    with world.database.read() as tx:
        carnet = client.get(tx, "carnet")
    assert carnet is not None
    token, _ = second.provider.mint.access_token(carnet, (), ("x",), live=None)
    assert kid(token) in by_state(world, "current")


def test_second_process_looks_again_at_once_when_a_kid_is_unknown(world: World, signed_in: SignedIn, second: Application) -> None:
    jwks_of(second)
    # Two urgent rotations in a row: the second process has never seen the key that signs now, and its reload is not due.
    rotate_now(world, is_urgent=True)
    rotate_now(world, is_urgent=True)
    third = composition.build(world.config, world.clock)
    with world.database.read() as tx:
        carnet = third.provider.registry.get(tx, "carnet")
    assert carnet is not None
    token, _ = third.provider.mint.access_token(carnet, (), ("x",), live=None)
    third.close()
    assert kid(token) not in jwks_of(second)
    assert second.provider.mint.read_access_token(token) is not None


def test_token_that_verified_before_is_refused_when_its_key_was_stolen(world: World, signed_in: SignedIn) -> None:
    access, mint = signed_in.tokens.access, world.application.provider.mint
    assert mint.read_access_token(access) is not None
    rotate_now(world, is_urgent=True)
    world.clock.advance(RELOAD_EVERY)
    assert mint.read_access_token(access) is None


def test_token_that_verified_before_is_refused_when_it_has_expired(world: World, signed_in: SignedIn) -> None:
    access, mint = signed_in.tokens.access, world.application.provider.mint
    first = mint.read_access_token(access)
    assert first is not None
    assert mint.read_access_token(access) == first
    world.clock.advance(world.config.tokens.access_token_life)
    assert mint.read_access_token(access) is None


def test_token_that_verified_before_lends_nothing_to_another_string(world: World, signed_in: SignedIn) -> None:
    access, mint = signed_in.tokens.access, world.application.provider.mint
    assert mint.read_access_token(access) is not None
    head, payload, signature = access.split(".")
    other = f"{head}.{payload}.{'A' * len(signature)}"
    assert mint.read_access_token(other) is None
    assert mint.read_access_token(other) is None


@pytest.mark.parametrize("has_later_rotation", [False, True])
def test_retired_keys_leave_when_they_were_kept_long_enough(world: World, signed_in: SignedIn, has_later_rotation: bool) -> None:
    old = by_state(world, "current")
    hint = signed_in.tokens.identity
    mint = world.application.provider.mint
    rotate_in_time(world)
    world.clock.advance(KEPT_FOR - RELOAD_EVERY)
    assert old <= published(world)
    assert mint.read_id_token_hint(hint) is not None
    world.clock.advance(RELOAD_EVERY + timedelta(seconds=1))
    if has_later_rotation:
        rotate_now(world)
        world.clock.advance(RELOAD_EVERY)
    # In the very process that has known it all along.
    assert published(world).isdisjoint(old)
    assert mint.read_id_token_hint(hint) is None


def test_operator_rotates_by_the_command(world: World, signed_in: SignedIn) -> None:
    waiting = by_state(world, "next")
    world.clock.advance(KNOWN)
    result = run_command(world, "rotate")
    assert (result.exit_code, result.output) == (0, "the next signing keys are in use\n")
    assert by_state(world, "current") == waiting
    assert world.last_event("keys.")["actor"].startswith("operator:")
    world.clock.advance(RELOAD_EVERY)
    renewed = signed_in.party.refresh(signed_in.tokens.refresh).json()
    assert kid(renewed["id_token"]) in waiting

    refused = run_command(world, "rotate")
    assert refused.exit_code == 2
    assert "must have been published" in refused.output
    assert by_state(world, "current") == waiting
    assert run_command(world, "rotate", "--urgent").exit_code == 0


def test_operator_lists_keys_without_their_private_part(world: World, signed_in: SignedIn) -> None:
    listed = json.loads(run_command(world, "list", "--json").output)
    assert {key["kid"] for key in listed} == published(world)
    assert {key["state"] for key in listed} == {"next", "current"}
    assert listed[0].keys() == {"kid", "alg", "state", "created", "activated", "retired"}


def test_nothing_starts_with_another_master_key(world: World, signed_in: SignedIn) -> None:
    (world.folder / "master.key").write_text("x" * 43, encoding="utf-8")
    from idp.config import load

    with pytest.raises(VestibuleError, match="seal_broken"):
        composition.build(load(world.config_path), world.clock)
    assert SEAL == "signing key"
