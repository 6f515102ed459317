"""Second factors under many threads and two processes' views of the stores: what serves once serves once, and guesses cannot outrun their limit."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Author
from idp.errors import Refused
from idp.signin.enrolment import EnrolmentRefused
from idp.signin.factor import FactorRefused
from idp.signin.passes import NewPass
from idp.signin.second_factors import SecondFactors
from tests.conftest import MakeWorld
from tests.support.second_factors import ORIGIN, OUTSIDE, Phone, asking, enrol_phone, open_parts
from tests.support.world import World, open_database

THREADS = 12
ROUNDS = 5
OPERATOR = Author("operator:essai", ORIGIN)
Race = Callable[[Callable[[SecondFactors], Any]], Counter[str]]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Limits out of the way: here it is the single use that is looked at."""
    settings = {"free_tries": 10, "block_after": 50, "daily_cap": 100, "waits": ["1s"]}
    return make_world(factors=settings, server={"threads": 2 * THREADS})


@pytest.fixture
def workers(world: World) -> Iterator[tuple[SecondFactors, SecondFactors]]:
    """Two processes' parts: each has its own database, and its own memory, if it leant on any."""
    databases = (open_database(world.config), open_database(world.config))
    yield open_parts(world, database=databases[0]), open_parts(world, database=databases[1])
    for database in databases:
        database.close()


@pytest.fixture
def race(workers: tuple[SecondFactors, SecondFactors]) -> Iterator[Race]:
    """Let threads do the same thing at the same instant, every other one as the other process; how often each thing came of it."""
    barrier = threading.Barrier(THREADS, timeout=60)

    def attempt(act: Callable[[SecondFactors], Any], number: int) -> str:
        barrier.wait()
        try:
            act(workers[number % 2])
        except Refused as refused:
            return refused.reason
        return "served"

    with ThreadPoolExecutor(THREADS) as pool:
        yield lambda act: Counter(pool.map(lambda number: attempt(act, number), range(THREADS)))


def unblocked(world: World, parts: SecondFactors) -> None:
    parts.throttle.clear_all(world.account("claire").id)


def test_one_totp_code_at_the_same_instant_serves_once(world: World, workers: tuple[SecondFactors, SecondFactors], race: Race) -> None:
    phone, claire = enrol_phone(world, workers[0]), world.account("claire")
    for _ in range(ROUNDS):
        code = phone.code(world.clock)
        found = race(lambda parts, code=code: parts.totp.prove(claire.id, code, ORIGIN))  # type: ignore[misc]  # a default binds the loop's code
        assert found["served"] == 1, found
        assert found.keys() <= {"served", "code_already_used", "throttled"}
        unblocked(world, workers[0])
        world.clock.advance(timedelta(seconds=30))


def test_two_codes_of_neighbouring_steps_at_the_same_instant_never_go_back(
    world: World, workers: tuple[SecondFactors, SecondFactors]
) -> None:
    phone, claire = enrol_phone(world, workers[0]), world.account("claire")
    world.clock.advance(timedelta(minutes=5))
    later = phone.code(world.clock, steps=1)
    workers[0].totp.prove(claire.id, later, ORIGIN)
    for steps in (-1, 0, 1):
        with pytest.raises(FactorRefused, match="code_already_used"):
            workers[1].totp.prove(claire.id, phone.code(world.clock, steps=steps), ORIGIN)


def test_one_recovery_code_burns_once(world: World, workers: tuple[SecondFactors, SecondFactors], race: Race) -> None:
    enrol_phone(world, workers[0])
    claire = world.account("claire")
    codes = workers[0].recovery.renew(claire.id, ORIGIN)
    for code in codes[:ROUNDS]:
        found = race(lambda parts, code=code: parts.recovery.prove(claire.id, code, ORIGIN))  # type: ignore[misc]  # as above
        assert found["served"] == 1, found
        unblocked(world, workers[0])
    assert workers[1].recovery.left(claire.id).count == 10 - ROUNDS
    assert len(world.events("recovery_codes.used")) == ROUNDS


def test_one_pass_signs_in_once(world: World, workers: tuple[SecondFactors, SecondFactors], race: Race) -> None:
    claire = world.account("claire")
    for _ in range(ROUNDS):
        with world.arranging() as tx:
            code, _ = workers[0].passes.issue(tx, NewPass(purpose="sign_in", account_id=claire.id), OPERATOR)
        found = race(lambda parts, code=code: parts.passes.prove(claire.id, code, ORIGIN))  # type: ignore[misc]  # as above
        assert found["served"] == 1, found
        unblocked(world, workers[0])
    assert len(world.events("pass.used")) == ROUNDS


def test_one_pass_adds_one_factor(world: World, workers: tuple[SecondFactors, SecondFactors], race: Race) -> None:
    claire = world.account("claire")
    with world.arranging() as tx:
        code, _ = workers[0].passes.issue(tx, NewPass(purpose="enrol", account_id=claire.id), OPERATOR)
    asked = asking(world, where=OUTSIDE, pass_digest=workers[0].passes.check(claire.id, code, ORIGIN))

    def enrol(parts: SecondFactors) -> None:
        offer = parts.totp.begin(claire)
        parts.totp.enrol(asked, offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)

    found = race(enrol)
    assert found["served"] == 1, found
    assert found.keys() <= {"served", "pass_not_valid"}
    with world.database.read() as tx:
        assert len(tx.factors.open_of(claire.id)) == 1


def test_one_offer_makes_one_factor(world: World, workers: tuple[SecondFactors, SecondFactors], race: Race) -> None:
    claire = world.account("claire")
    offer, asked = workers[0].totp.begin(claire), asking(world)
    code = Phone(offer.secret).code(world.clock)
    found = race(lambda parts: parts.totp.enrol(asked, offer.token, code, label="", origin=ORIGIN))
    assert found["served"] == 1, found
    assert found.keys() <= {"served", "offer_expired", "enrolment_needs_factor"}


def test_the_last_two_factors_are_not_removed_at_the_same_instant(world: World, workers: tuple[SecondFactors, SecondFactors]) -> None:
    claire = world.account("claire")
    enrol_phone(world, workers[0])
    offer = workers[0].totp.begin(claire)
    recent = asking(world, proved_ago=timedelta(0))
    workers[0].totp.enrol(recent, offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)
    with world.database.read() as tx:
        both = tx.factors.open_of(claire.id)
    barrier = threading.Barrier(2, timeout=60)

    def remove(number: int) -> str:
        barrier.wait()
        try:
            workers[number].enrolment.remove(recent, both[number].id, ORIGIN)
        except EnrolmentRefused as refused:
            return refused.reason
        return "removed"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(remove, range(2))) == ["last_factor_needed", "removed"]


def test_guesses_in_flight_at_once_cannot_outrun_the_limit(make_world: MakeWorld) -> None:
    world = make_world(server={"threads": 2 * THREADS})
    parts = open_parts(world)
    enrol_phone(world, parts)
    claire = world.account("claire")
    barrier = threading.Barrier(THREADS, timeout=60)

    def guess(number: int) -> str:
        barrier.wait()
        try:
            parts.totp.prove(claire.id, f"{number:06d}", ORIGIN)
        except FactorRefused as refused:
            return refused.reason
        return "served"

    with ThreadPoolExecutor(THREADS) as pool:
        found = Counter(pool.map(guess, range(THREADS)))
    assert found["throttled"] >= THREADS - 5, found
    assert found["served"] == 0
    assert len(world.events("factor.refused")) == THREADS


def test_a_thousand_guesses_in_a_day_are_twenty_five(make_world: MakeWorld) -> None:
    world = make_world(factors={"block_after": 50})
    parts = open_parts(world)
    enrol_phone(world, parts)
    claire = world.account("claire")
    found: Counter[str] = Counter()
    for number in range(1000):
        try:
            parts.totp.prove(claire.id, f"{number:06d}", ORIGIN)
        except FactorRefused as refused:
            found[refused.reason] += 1
        world.clock.advance(timedelta(seconds=80))
    assert found["throttled"] >= 1000 - 25
    assert found["wrong_code"] + found["totp_clock_drift"] <= 25
