"""Workstations under many threads: a pass enrols one machine, a rotation happens once, a copy raises one alarm."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Author, Origin
from idp.signin.passes import NewPass, Passes
from idp.signin.workstations import Enrolled, WorkstationRefused
from tests.conftest import MakeWorld
from tests.support.cast import AT_TILLEULS
from tests.support.world import World

THREADS = 12
ORIGIN = Origin("0123456789", AT_TILLEULS)
AUTHOR = Author("operator:nadia", Origin("0123456789", "local"))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A Vestibule that serves so many at once."""
    return make_world(server={"threads": THREADS})


@pytest.fixture
def race() -> Iterator[Callable[[Callable[[], Any]], list[Any]]]:
    """Let many threads do the same thing at the same instant; what each got."""
    barrier = threading.Barrier(THREADS, timeout=60)
    with ThreadPoolExecutor(THREADS) as pool:

        def run(act: Callable[[], Any]) -> list[Any]:
            def begin(_: int) -> Any:
                barrier.wait()
                return act()

            return list(pool.map(begin, range(THREADS)))

        yield run


def issue(world: World) -> str:
    application = world.application
    passes = Passes(application.database, application.keyring, world.clock, settings=world.config.factors)
    with world.arranging() as tx:
        place = world.establishment("tilleuls")
        zone = tx.zones.named(place.id, "lan")
        assert zone is not None
        return passes.issue(tx, NewPass(purpose="workstation", establishment_id=place.id, zone_id=zone.id, label="Poste"), AUTHOR)[0]


def test_one_pass_typed_everywhere_at_once_enrols_one_machine(world: World, race: Callable[..., list[Any]]) -> None:
    workstations = world.application.workstations
    code = issue(world)

    def enrol() -> Enrolled | str:
        try:
            return workstations.enrol(code, ORIGIN)
        except WorkstationRefused as refused:
            return str(refused.reason)

    got = race(enrol)
    assert sorted(str(one) if isinstance(one, str) else "enrolled" for one in got) == ["enrolled", *["pass_not_valid"] * (THREADS - 1)]
    with world.database.read() as tx:
        assert len(tx.workstations.open()) == 1
    assert (len(world.events("workstation.enrolled")), len(world.events("pass.used"))) == (1, 1)
    assert len(world.events("workstation.refused")) == THREADS - 1


def test_many_tabs_that_bring_the_next_secret_at_once_are_all_recognised(world: World, race: Callable[..., list[Any]]) -> None:
    workstations = world.application.workstations
    first = workstations.enrol(issue(world), ORIGIN).cookie
    world.clock.advance(timedelta(hours=2))
    offered = {found.cookie for found in race(lambda: workstations.recognise(first, ORIGIN))}
    (second,) = offered
    assert second not in {None, first}
    assert all(found.facts is not None and found.cookie is None for found in race(lambda: workstations.recognise(second, ORIGIN)))
    # Slow tabs still bring the former, and are handed the one that was taken into use.
    assert {found.cookie for found in race(lambda: workstations.recognise(first, ORIGIN))} == {second}
    assert world.events("workstation.stolen") == []


def test_a_copy_that_comes_back_many_times_at_once_is_one_alarm(world: World, race: Callable[..., list[Any]]) -> None:
    workstations = world.application.workstations
    first = workstations.enrol(issue(world), ORIGIN).cookie
    world.clock.advance(timedelta(hours=2))
    second = workstations.recognise(first, ORIGIN).cookie
    workstations.recognise(second, ORIGIN)
    world.clock.advance(timedelta(minutes=10))
    assert all(found.facts is None and found.is_over for found in race(lambda: workstations.recognise(first, ORIGIN)))
    assert (len(world.events("workstation.stolen")), len(world.events("workstation.ended"))) == (1, 1)
    assert workstations.recognise(second, ORIGIN).facts is None
