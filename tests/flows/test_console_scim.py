"""The console's pages of a source that writes to us by SCIM: it is shown, not tried, and whom its brake holds is decided there."""

from pathlib import Path

import pytest

from tests.conftest import MakeWorld
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.scim_source import ScimSource, scim_settings
from tests.support.world import World


@pytest.fixture
def home(make_world: MakeWorld, tmp_path: Path) -> World:
    """A source of five people, of whom one may go at a time."""
    world = make_world(scim=[scim_settings(tmp_path)], sync={"brake_people": 1, "brake_percent": 100})
    source = ScimSource(world)
    ids = [source.add_user(f"personne.{number}", name={"givenName": "Personne", "familyName": f"N{number}"})["id"] for number in range(5)]
    source.add_group("tilleuls-ide", *ids)
    for one in ids[:3]:
        source.disable(one)
    return world


@pytest.fixture
def admin(home: World) -> ConsoleAgent:
    return console_agent(home)


def suspended(world: World) -> int:
    return len(world.events("account.suspended"))


def test_administrator_sees_the_source_and_whom_it_would_end(home: World, admin: ConsoleAgent) -> None:
    page = admin.get("/admin/connectors")
    assert "Source qui nous écrit" in page.text
    page = admin.get("/admin/connectors/rh")
    assert "Personne N1" in page.text
    assert "Personne N2" in page.text
    assert "Personne N0" not in page.text
    assert "check-form" not in page.document.ids


@pytest.mark.parametrize(("verdict", "ended"), [("confirm", 3), ("dismiss", 1)])
def test_administrator_decides_on_whom_the_brake_holds(home: World, admin: ConsoleAgent, verdict: str, ended: int) -> None:
    assert suspended(home) == 1
    with home.database.read() as tx:
        (run,) = tx.links.runs("rh", state="held")
    admin.get(f"/admin/connectors/rh/runs/{run.id}/{verdict}")
    page = admin.submit("changes", button="confirm")
    assert "?done=" in page.url
    assert suspended(home) == ended
    with home.database.read() as tx:
        assert tx.links.runs("rh", state="held") == ()
