"""Fixtures that every test may use. `world` is a furnished Vestibule on a fixed clock; `make_world(**settings)` one with other settings."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener, listening
from tests.support.live import LiveServer, live_server
from tests.support.operator import Operator, furnish_operator, settle_operator
from tests.support.relying_party import RelyingParty
from tests.support.world import Furniture, World, furnish

MakeWorld = Callable[..., World]


@pytest.fixture
def clock() -> FixedClock:
    """A clock that moves when told."""
    return FixedClock()


@pytest.fixture(scope="session")
def session_listener() -> Iterator[Listener]:
    """The one listener of a test session: its port is in the registrations."""
    with listening() as listener:
        yield listener


@pytest.fixture
def listener(session_listener: Listener) -> Listener:
    """An application's back-channel logout endpoint, nothing received yet."""
    session_listener.clear()
    return session_listener


@pytest.fixture(scope="session")
def furniture(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Furniture:
    """What every World is copied from."""
    return furnish(tmp_path_factory.mktemp("furniture"), FixedClock(), session_listener)


@pytest.fixture
def make_world(tmp_path: Path, furniture: Furniture, clock: FixedClock, listener: Listener) -> Iterator[MakeWorld]:
    """Make worlds with other settings; each call has its own folder."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        folder = tmp_path / f"world-{len(made)}"
        folder.mkdir()
        made.append(World(furniture, folder, clock=clock, listener=listener, settings=settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A Vestibule with the default settings."""
    return make_world()


@pytest.fixture
def browser(world: World) -> Browser:
    """A browser of the world, nobody signed in."""
    return world.browser()


@pytest.fixture
def carnet(world: World) -> RelyingParty:
    """The world's main application."""
    return world.relying_party("carnet")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Iterator[LiveServer]:
    """A real `vestibule serve` for a module of tests."""
    with live_server(tmp_path_factory.mktemp("live"), session_listener) as server:
        yield server


@pytest.fixture(scope="session")
def operator_furniture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every Operator's folder is copied from."""
    return furnish_operator(tmp_path_factory.mktemp("operator"))


@pytest.fixture
def operator(tmp_path: Path, operator_furniture: Path) -> Operator:
    """An operator at a terminal, with a migrated store and two establishments."""
    return settle_operator(operator_furniture, tmp_path / "operator")
