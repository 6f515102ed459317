"""People are found by the beginning of any word of their names, whatever the accents, and only where whoever asks may look."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from idp.store.search import words_of
from tests.support.rows import an_account, an_attachment, an_establishment
from tests.support.world import World

NAMED = (
    ("Élodie", "Le Goff"),
    ("Marie-Ange", "Lefèvre"),
    ("Œdipe", "Strauß"),
    ("Ana", "100%_sûr"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lefèvre Marie-Ange", ("lefevre", "marie", "ange")),
        ("  D'Artagnan ", ("d", "artagnan")),
        ("Œdipe Strauß", ("oedipe", "strauss")),
        ("Jean JEAN jean", ("jean",)),
        ("%_*", ()),
        ("", ()),
        (" ".join("abcdefghij"), tuple("abcdefgh")),
    ],
)
def test_name_is_compared_by_its_plain_words(text: str, expected: tuple[str, ...]) -> None:
    assert words_of(text) == expected


@pytest.fixture
def furnished(world: World) -> World:
    """Four people at a place of their own, the last one gone from it since yesterday."""
    now = world.clock.now()
    with world.arranging() as tx:
        tx.establishments.add(an_establishment("S1", "saules", now))
        for index, (given, family) in enumerate(NAMED):
            key = f"N{index}"
            tx.people.add(
                an_account(key, f"n{index}", now, given_name=given, family_name=family), found_by=(("username", f"n{index}", ""),)
            )
            until = now - timedelta(days=1) if index == 3 else None
            tx.people.attach(an_attachment(f"T{index}", key, "S1", now, valid_until=until))
    return world


def found(world: World, typed: str, places: Collection[str] | None = None, *, skip: int = 0, count: int = 9) -> list[str]:
    with world.database.read() as tx:
        return [one.id for one in tx.search.people(typed, places=places, now=world.clock.now(), skip=skip, count=count)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("elo", ["N0"]),
        ("ÉLO", ["N0"]),
        ("goff e", ["N0"]),
        ("ang lef", ["N1"]),
        ("oed", ["N2"]),
        ("strauss", ["N2"]),
        ("n3", ["N3"]),
        ("100 sur", ["N3"]),
        ("%", []),
        ("_", []),
        ("le xx", []),
    ],
)
def test_agent_finds_people_by_beginnings(furnished: World, typed: str, expected: list[str]) -> None:
    assert found(furnished, typed) == expected


def test_agent_of_one_place_finds_nobody_of_another_and_nobody_who_has_left(furnished: World) -> None:
    assert found(furnished, "", {"S1"}) == ["N0", "N1", "N2"]
    assert found(furnished, "100", {"S1"}) == []
    assert found(furnished, "claire", {"S1"}) == []
    assert found(furnished, "", set()) == []


def test_pages_of_a_list_follow_one_another(furnished: World) -> None:
    assert [found(furnished, "", {"S1"}, skip=skip, count=2) for skip in (0, 2, 4)] == [["N0", "N1"], ["N2"], []]


def test_former_name_finds_nobody_any_more(furnished: World) -> None:
    with furnished.arranging() as tx:
        tx.people.change("N0", furnished.clock.now(), family_name="Durand")
    assert (found(furnished, "goff"), found(furnished, "dura elo")) == ([], ["N0"])
