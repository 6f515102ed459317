"""An import gone wrong at a source: the first are cut, then the brake holds whoever comes after, until a human says which it was."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.audit import Author, Origin
from idp.composition.cut import open_settler
from tests.conftest import MakeWorld
from tests.support.scim_source import ScimSource, scim_settings
from tests.support.world import World

PEOPLE = 12


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> World:
    """A source with a dozen people at Les Tilleuls; three may go within ten minutes."""
    return make_world(scim=[scim_settings(tmp_path)], sync={"brake_people": 3, "brake_percent": 100})


@pytest.fixture
def people(world: World) -> list[str]:
    """Their ids."""
    source = ScimSource(world)
    ids = [source.add_user(f"personne.{number}")["id"] for number in range(PEOPLE)]
    source.add_group("tilleuls-ide", *ids)
    return ids


def statuses(world: World, people: list[str]) -> list[str]:
    found: list[str] = []
    with world.database.read() as tx:
        for one in people:
            link = tx.links.get("rh", one)
            account = tx.people.get(link.account_id) if link else None
            found.append(account.status if account else "none")
    return found


def held_run(world: World) -> Any:
    with world.database.read() as tx:
        return next(iter(tx.links.runs("rh", state="held")), None)


def test_mass_is_held_after_the_first_and_ended_when_confirmed(world: World, people: list[str]) -> None:
    source = ScimSource(world)
    for one in people[:6]:
        assert source.disable(one).status_code == 200
    assert statuses(world, people[:6]) == ["suspended"] * 3 + ["active"] * 3
    run = held_run(world)
    assert run.counts == {"held": 3}
    assert world.last_event("sync.held")["reason"] == "sync_brake"
    assert world.last_event("standing.held")["reason"] == "directory_disabled"
    assert source.get(f"/Users/{people[5]}").json()["active"] is False  # what was written is kept
    author = Author("operator:test", Origin("0123456789", "local"))
    assert open_settler(world.application).confirm(world.config.scim[0], run.id, author) == 3
    assert statuses(world, people) == ["suspended"] * 6 + ["active"] * 6
    assert held_run(world) is None
    assert world.last_event("account.suspended")["actor"] == "operator:test"


def test_group_that_is_deleted_by_mistake_empties_no_home(world: World, people: list[str]) -> None:
    source = ScimSource(world)
    (group,) = source.get("/Groups").json()["Resources"]
    assert source.send("DELETE", f"/Groups/{group['id']}").status_code == 204
    with world.database.read() as tx:
        links = {one: tx.links.get("rh", one) for one in people[3:]}
        still = [one for one, link in links.items() if link and any(a.ended_at is None for a in tx.people.attachments(link.account_id))]
    assert still == people[3:]
    assert held_run(world).counts == {"held": PEOPLE - 3}


def test_nobody_is_held_longer_than_the_settings_say(world: World, people: list[str]) -> None:
    source = ScimSource(world)
    for one in people[:5]:
        source.disable(one)
    source.patch(f"/Users/{people[4]}", {"op": "replace", "path": "active", "value": True})
    author = Author("system", Origin("0123456789", "local"))
    assert open_settler(world.application).run_once(author) == 0
    world.clock.advance(world.config.sync.brake_hold)
    assert open_settler(world.application).run_once(author) == 2
    assert statuses(world, people[:5]) == ["suspended"] * 4 + ["active"]


def test_single_leavers_are_cut_at_once_however_many_in_a_year(world: World, people: list[str]) -> None:
    source = ScimSource(world)
    for one in people[:8]:
        source.disable(one)
        world.clock.advance(timedelta(minutes=11))
    assert statuses(world, people[:8]) == ["suspended"] * 8
    assert held_run(world) is None


@pytest.mark.parametrize(("verdict", "ended"), [("confirm", 5), ("dismiss", 3)])
def test_people_who_are_deleted_in_a_mass_are_held_too(world: World, people: list[str], verdict: str, ended: int) -> None:
    source = ScimSource(world)
    for one in people[:5]:
        assert source.send("DELETE", f"/Users/{one}").status_code == 204
        assert source.get(f"/Users/{one}").status_code == 404  # what was written is kept
    assert statuses(world, people[:5]) == ["suspended"] * 3 + ["active"] * 2
    run = held_run(world)
    author = Author("operator:test", Origin("0123456789", "local"))
    assert getattr(open_settler(world.application), verdict)(world.config.scim[0], run.id, author) == 2
    assert statuses(world, people[:5]).count("suspended") == ended
    world.clock.advance(world.config.sync.brake_hold * 2)
    open_settler(world.application).run_once(author)
    open_settler(world.application).settle(world.config.scim[0], author)
    assert statuses(world, people[:5]).count("suspended") == ended


def test_held_person_is_let_go_when_the_source_takes_it_back(world: World, people: list[str]) -> None:
    source = ScimSource(world)
    for one in people[:4]:
        answer = source.patch(f"/Users/{one}", {"op": "Replace", "path": "active", "value": "False"})
        assert (answer.status_code, answer.json()["active"]) == (200, False)
    with world.database.read() as tx:
        link = tx.links.get("rh", people[3])
        assert link is not None
        assert link.held_until == world.clock.now() + world.config.sync.brake_hold
        assert tx.cuts.of_account(link.account_id) == ()
    # What is right again there before anybody decided is right here: nothing ended meanwhile.
    assert source.patch(f"/Users/{people[3]}", {"op": "Replace", "path": "active", "value": "True"}).status_code == 200
    author = Author("operator:test", Origin("0123456789", "local"))
    open_settler(world.application).confirm(world.config.scim[0], held_run(world).id, author)
    assert statuses(world, people[:4]) == ["suspended"] * 3 + ["active"]
