"""Tries at second factors: counted before anything is checked, per kind and over all kinds, refused when they cannot be counted. CNIL 2022-100."""

from datetime import timedelta

import pytest

from idp.audit import Reason
from idp.errors import EphemeralUnavailable, StoreUnavailable
from idp.signin.factor import FactorRefused
from idp.signin.second_factors import SecondFactors
from idp.store.base import Ephemeral
from tests.conftest import MakeWorld
from tests.support.second_factors import ORIGIN, enrol_phone, open_parts
from tests.support.world import World


@pytest.fixture
def parts(world: World) -> SecondFactors:
    return open_parts(world)


def fail(parts: SecondFactors, account_id: str, *, kind: str = "totp", typed: str = "nonsense") -> FactorRefused:
    """One try that must fail."""
    with pytest.raises(FactorRefused) as raised:
        parts.prove(kind, account_id, typed, origin=ORIGIN)
    return raised.value


class Deaf:
    """An ephemeral store that does not answer."""

    def __getattr__(self, name: str) -> object:
        def refuse(*given: object, **named: object) -> object:
            raise EphemeralUnavailable("store_unavailable", "the test says so")

        return refuse


def test_five_tries_then_waits_that_grow_and_a_right_code_must_wait_too(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    lefts = [fail(parts, claire.id).tries_left for _ in range(4)]
    assert lefts == [4, 3, 2, 1]
    fifth = fail(parts, claire.id)
    assert (fifth.reason, fifth.wait, fifth.tries_left) == (Reason.WRONG_CODE, timedelta(minutes=1), 0)
    with pytest.raises(FactorRefused) as right:
        parts.totp.prove(claire.id, phone.code(world.clock), ORIGIN)
    assert (right.value.reason, right.value.wait_minutes) == (Reason.THROTTLED, 1)
    assert world.last_event("factor.refused")["reason"] == "throttled"
    world.clock.advance(timedelta(minutes=1))
    assert fail(parts, claire.id).wait == timedelta(minutes=2)
    world.clock.advance(timedelta(minutes=2))
    assert parts.totp.prove(claire.id, phone.code(world.clock), ORIGIN)
    assert fail(parts, claire.id).tries_left == 4  # the row of failures is over


def test_after_fifteen_failures_in_a_row_only_an_operator_opens_the_kind_again(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    for _ in range(15):
        assert fail(parts, claire.id).reason == Reason.WRONG_CODE
        world.clock.advance(timedelta(hours=7))
    blocked = fail(parts, claire.id)
    assert (blocked.reason, blocked.wait) == (Reason.FACTOR_BLOCKED, timedelta(0))
    assert parts.throttle.blocked(claire.id) == frozenset({"totp"})
    world.clock.advance(timedelta(days=30))
    assert fail(parts, claire.id).reason == Reason.FACTOR_BLOCKED
    assert fail(parts, claire.id, kind="recovery").reason == Reason.WRONG_CODE  # another kind is not blocked
    parts.throttle.clear_all(claire.id)
    assert parts.totp.prove(claire.id, phone.code(world.clock), ORIGIN)


def test_kinds_together_have_a_limit_a_day_which_successes_do_not_reset(world: World, parts: SecondFactors) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    for _ in range(6):
        for _ in range(4):
            assert fail(parts, claire.id).reason == Reason.WRONG_CODE
        world.clock.advance(timedelta(minutes=1))
        parts.totp.prove(claire.id, phone.code(world.clock), ORIGIN)
    assert fail(parts, claire.id, kind="recovery").reason == Reason.WRONG_CODE  # the twenty-fifth failure
    for kind in ("totp", "recovery", "pass"):
        assert fail(parts, claire.id, kind=kind).reason == Reason.THROTTLED
    assert fail(parts, world.account("rose").id).reason == Reason.NO_SUCH_FACTOR  # nobody else waits
    world.clock.advance(timedelta(hours=24))
    assert parts.totp.prove(claire.id, phone.code(world.clock), ORIGIN)


def test_the_figures_are_settings(make_world: MakeWorld) -> None:
    world = make_world(factors={"free_tries": 3, "block_after": 5, "waits": ["10s"], "daily_cap": 10})
    parts = open_parts(world)
    claire = world.account("claire")
    assert [fail(parts, claire.id, kind="recovery").tries_left for _ in range(3)] == [2, 1, 0]
    for _ in range(2):
        world.clock.advance(timedelta(seconds=10))
        fail(parts, claire.id, kind="recovery")
    world.clock.advance(timedelta(seconds=10))
    assert fail(parts, claire.id, kind="recovery").reason == Reason.FACTOR_BLOCKED


@pytest.mark.parametrize("kind", ["totp", "recovery", "pass"])
def test_nothing_is_admitted_when_tries_cannot_be_counted(world: World, parts: SecondFactors, kind: str) -> None:
    phone, claire = enrol_phone(world, parts), world.account("claire")
    (code, *_) = parts.recovery.renew(claire.id, ORIGIN)
    deaf: Ephemeral = Deaf()  # type: ignore[assignment]  # it answers nothing at all
    without = open_parts(world, ephemeral=deaf)
    typed = {"totp": phone.code(world.clock), "recovery": code, "pass": "AAAAA-AAAAA-AAAAA"}[kind]
    with pytest.raises(StoreUnavailable):
        without.prove(kind, claire.id, typed, origin=ORIGIN)
    # Nothing was used up: the same code opens when the store answers again.
    if kind != "pass":
        assert parts.prove(kind, claire.id, typed, origin=ORIGIN)


def test_counters_do_not_tell_whose_they_are(world: World, parts: SecondFactors) -> None:
    claire = world.account("claire")
    fail(parts, claire.id)
    if world.stores.redis is not None:
        own = world.config.ephemeral.prefix.encode()  # one Redis serves every test
        kept = repr({key: value for key, value in world.stores.redis.remembered().items() if key.startswith(own)})
    else:
        kept = "".join(file.read_bytes().decode("latin-1") for file in world.folder.glob("ephemeral.db*"))
    assert claire.id not in kept
