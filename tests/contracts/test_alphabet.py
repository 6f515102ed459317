"""Lists are in the order of a French reader, whatever the database thinks of capitals and accents, and their pages follow one another."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from idp.config import ClientSettings
from idp.store.alphabet import in_order, plain, sort_name
from tests.support.rows import an_account, an_attachment, an_establishment
from tests.support.world import World

# Family and given names in the order in which they are read.
ORDERED = (
    ("abeille", "Zoé"),
    ("Ångström", "Ivan"),
    ("D’Artagnan", "Bob"),
    ("École", "anne"),
    ("ECOLE", "Béa"),
    ("Le", "Zoé"),
    ("Le Goff", "Léa"),
    ("Leblanc", "Ana"),
    ("Œuvrard", "Paul"),
    ("Zèbre", "Ana"),
    ("Zone", "Ana"),
    ("Яблоко", "Яна"),
)


@pytest.fixture
def furnished(world: World) -> World:
    """Everybody of ORDERED at a place of their own, under ids that say another order."""
    now = world.clock.now()
    with world.arranging() as tx:
        tx.establishments.add(an_establishment("S1", "saules", now))
        for index, (family, given) in enumerate(ORDERED):
            key = f"N{99 - index}"
            account = an_account(key, key.lower(), now, given_name=given, family_name=family)
            tx.people.add(account, found_by=(("username", key.lower(), ""),))
            tx.people.attach(an_attachment(f"T{index}", key, "S1", now))
    return world


def pages_of(world: World, *, count: int) -> Iterator[tuple[str, str]]:
    skip = 0
    with world.database.read() as tx:
        while page := tx.search.people("", places={"S1"}, now=world.clock.now(), skip=skip, count=count):
            assert len(page) <= count
            yield from ((one.family_name, one.given_name) for one in page)
            skip += count


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("  L’Hermitage-d'Été ", "l hermitage d ete"),
        ("ŒDIPE Strauß", "oedipe strauss"),
        ("100%\x00_sûr", "100 sur"),
        ("", ""),
    ],
)
def test_name_is_folded_to_its_words(name: str, expected: str) -> None:
    assert plain(name) == expected


def test_longest_names_fit_their_column() -> None:
    assert len(sort_name("ﷺ" * 80, "ß" * 80, None)) <= 170


@pytest.mark.parametrize("count", [5, 50])
def test_agent_reads_people_in_the_order_of_a_french_reader(furnished: World, count: int) -> None:
    assert list(pages_of(furnished, count=count)) == list(ORDERED)


def test_person_moves_in_the_list_when_renamed(furnished: World) -> None:
    with furnished.arranging() as tx:
        tx.people.change("N99", furnished.clock.now(), family_name="Zoulou")
    assert list(pages_of(furnished, count=5))[-2:] == [("Zoulou", "Zoé"), ORDERED[-1]]


def test_person_without_a_name_is_listed_by_username(furnished: World) -> None:
    now = furnished.clock.now()
    with furnished.arranging() as tx:
        tx.people.add(an_account("N1", "élise", now, given_name="", family_name=""), found_by=(("username", "élise", ""),))
        tx.people.attach(an_attachment("T99", "N1", "S1", now))
        assert [one.id for one in tx.search.people("", places={"S1"}, now=now, skip=5, count=1)] == ["N1"]
        tx.people.change("N1", now, username="zzz")
        assert [one.id for one in tx.search.people("", places={"S1"}, now=now, skip=11, count=1)] == ["N1"]


def test_page_of_people_is_read_from_an_index(furnished: World) -> None:
    """Of 100,000 people a page must not put all of them in order first."""
    query = "SELECT id FROM accounts ORDER BY sort_name, id LIMIT 50"
    with furnished.database.read() as tx:
        is_sqlite = tx.connection.dialect.name == "sqlite"
        if not is_sqlite:
            tx.connection.execute(text("SET LOCAL enable_seqscan = off"))  # of a dozen rows the planner would rather read all
        plan = "\n".join(str(row) for row in tx.connection.execute(text(f"{'EXPLAIN QUERY PLAN' if is_sqlite else 'EXPLAIN'} {query}")))
    assert "ix_accounts_sort_name_id" in plan
    assert "SORT" not in plan.upper().replace("SORT_NAME", "")


def test_establishments_and_applications_are_in_the_same_order(world: World) -> None:
    now = world.clock.now()
    names = ("ancolie", "École", "écureuil", "Zone")
    with world.arranging() as tx:
        for index, name in enumerate(reversed(names)):
            tx.establishments.add(an_establishment(f"S{index}", f"s{index}", now, name=f"{name} essai"))
            settings = ClientSettings(client_id=f"c{index}", name=f"{name} essai")
            tx.clients.put(settings, secret_digest=None, source="operator", now=now)
    with world.database.read() as tx:
        everywhere = [one.name for one in tx.establishments.all()]
        assert everywhere == sorted(everywhere, key=in_order)
        for read in (
            lambda offset: [one.name for one in tx.establishments.page(None, named="essai", offset=offset, limit=2)],
            lambda offset: [one.settings.name for one in tx.clients.page(named="essai", offset=offset, limit=2)],
        ):
            assert [*read(0), *read(2), *read(4)] == [f"{name} essai" for name in names]


@pytest.mark.parametrize("typed", ["Le Goff Léa", "lea LE  GOFF", "léa le-goff"])
def test_person_is_named_by_both_names_in_either_order(furnished: World, typed: str) -> None:
    with furnished.database.read() as tx:
        assert [one.family_name for one in tx.search.named(typed)] == ["Le Goff"]


@pytest.mark.parametrize(
    "typed", ["", "Léa", "Le Goff", "Le Gof Léa", "L Le Goff", "Le Goff Léa Marie", "Goff Léa", "Le% Léa", "n93", "a " * 300]
)
def test_nobody_is_named_by_a_part_or_more_than_the_names(furnished: World, typed: str) -> None:
    with furnished.database.read() as tx:
        assert tx.search.named(typed) == ()


def test_username_is_not_a_name_of_two_words(world: World) -> None:
    now = world.clock.now()
    with world.arranging() as tx:
        tx.people.add(an_account("N1", "ana.ruiz", now, given_name="", family_name=""), found_by=())
        assert tx.search.named("ana ruiz") == ()
