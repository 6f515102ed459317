"""The sealed trail, on SQLite and on a real PostgreSQL: chains, pens, seals, purges, and what a verification says of them."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from idp.audit import Event, EventType, Origin
from idp.config import AuditSettings
from idp.errors import StoreUnavailable
from idp.store.chain import SIGNED, Pens
from idp.store.database import Database
from idp.store.migrations import upgrade
from idp.store.rights import give
from idp.trail.finding import Fault, Verification
from idp.trail.purge import Purge, months_before
from idp.trail.sealer import Sealer
from idp.trail.value import read_seal_value
from idp.trail.verification import LATE, verify
from tests.contracts.test_store import migrate_to
from tests.support.fixed_clock import FixedClock
from tests.support.meddling import meddle
from tests.support.migrated import Migrated
from tests.support.pens import NOTARY, some_pens
from tests.support.postgresql import PostgreSQLServer

LONG_AGO = datetime(2024, 1, 10, 8, 0, tzinfo=UTC)  # old enough, by the database's own clock, for a purge to be let


@dataclass(frozen=True)
class Place:
    """Where a store is; `open` gives a view of it as one process has it."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded one."""
        return self.url.startswith("sqlite:")

    def open(self, *, pens: Pens | None = None, url: str | None = None) -> Database:
        """A Database."""
        return Database(url or self.url, synchronous="normal", busy_timeout_seconds=20, pool_size=8, pens=pens or some_pens())


@pytest.fixture
def clock() -> FixedClock:
    """Long ago."""
    return FixedClock(LONG_AGO)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Place:
    """An empty embedded store."""
    return Place(f"sqlite:///{tmp_path / 'store.db'}")


@pytest.fixture
def on_postgresql(postgresql_session: PostgreSQLServer) -> Iterator[Place]:
    """An empty database of a PostgreSQL server."""
    name = postgresql_session.create()
    yield Place(postgresql_session.url(name))
    postgresql_session.drop(name)


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """An empty store of each kind."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database(place: Place, migrated: Migrated) -> Iterator[Database]:
    """A migrated, empty store."""
    migrated.fill(place.url)
    database = place.open()
    yield database
    database.close()


@pytest.fixture
def tamper(place: Place, database: Database) -> Callable[..., None]:
    """Somebody who holds the database and not the key: puts the triggers aside, runs statements, puts them back."""
    return lambda *statements: meddle(place.url, *statements)


def an_event(clock: FixedClock, **facts: Any) -> Event:
    """A line."""
    event = Event(type=EventType.SIGNIN_SUCCEEDED, at=clock.now(), actor="system", origin=Origin("0123456789", "192.0.2.7"))
    return replace(event, **facts)


def write(database: Database, clock: FixedClock, count: int = 1, **facts: Any) -> None:
    """Lines, each in a transaction of its own."""
    for _ in range(count):
        with database.write() as tx:
            tx.events.append(an_event(clock, **facts))


def verified(database: Database, **options: Any) -> Verification:
    """What a verification finds; by default while nothing could be late."""
    return verify(database, NOTARY, begin=lambda _: None, tell=lambda _: None, **{"now": LONG_AGO, **options})


def rows(database: Database) -> list[dict[str, Any]]:
    """The trail as it is stored."""
    with database.read() as tx:
        return tx.trail.page(0, 10_000)


# Chains


def test_each_line_is_signed_in_the_chain_of_its_writer(database: Database, clock: FixedClock) -> None:
    write(database, clock, 3, details={"n": 1, "nom": "Zoé"}, amr=("pwd",), decision={"verdict": "allow"})
    found = rows(database)
    assert len({row["writer"] for row in found}) == 1
    assert [row["sequence"] for row in found] == [1, 2, 3]
    assert [row["previous"] for row in found] == ["", found[0]["mac"], found[1]["mac"]]
    assert all(NOTARY.signed_line(row) for row in found)
    assert verified(database).is_intact


def test_what_was_rolled_back_leaves_no_hole(database: Database, clock: FixedClock) -> None:
    write(database, clock, 2)

    def fail() -> None:
        with database.write() as tx:
            tx.events.append(an_event(clock))
            tx.events.append(an_event(clock))
            raise LookupError("on purpose")

    for _ in range(3):
        with pytest.raises(LookupError):
            fail()
    write(database, clock, 2)
    assert [row["sequence"] for row in rows(database)] == [1, 2, 3, 4]
    assert verified(database).is_intact


def test_a_statement_that_failed_leaves_no_hole(database: Database, clock: FixedClock) -> None:
    write(database, clock)

    def fail() -> None:
        with database.write() as tx:
            tx.events.append(an_event(clock))
            tx.connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises((DBAPIError, StoreUnavailable)):
        fail()
    write(database, clock)
    assert [row["sequence"] for row in rows(database)] == [1, 2]
    assert verified(database).is_intact


def test_a_transaction_that_reads_or_has_no_pens_cannot_write_a_line(place: Place, database: Database, clock: FixedClock) -> None:
    looking = Database(place.url, synchronous="normal", busy_timeout_seconds=5, pool_size=1)
    for opened in (looking.write, database.read):
        with pytest.raises(RuntimeError, match="pens"), opened() as tx:
            tx.events.append(an_event(clock))
    looking.close()
    assert rows(database) == []


def test_threads_and_processes_write_at_once_and_every_chain_holds(place: Place, database: Database, clock: FixedClock) -> None:
    views = [database, place.open(), place.open()]

    def work(number: int) -> None:
        view = views[number % len(views)]
        for turn in range(20):
            try:
                with view.write() as tx:
                    tx.events.append(an_event(clock, details={"thread": number, "turn": turn}))
                    if turn % 5 == 0:
                        raise LookupError("on purpose")
                    tx.events.append(an_event(clock))
            except LookupError:
                continue

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(work, range(9)))
    found = verified(database)
    assert found.is_intact, found.findings
    assert found.lines == 9 * 16 * 2
    # One pen a process on SQLite, which has one writer at a time; never more than wrote at once elsewhere.
    assert found.writers == 3 if place.is_sqlite else found.writers <= 9
    for view in views[1:]:
        view.close()


def test_writers_do_not_wait_for_one_another(on_postgresql: Place, clock: FixedClock) -> None:
    database = on_postgresql.open()
    upgrade(database)
    barrier = threading.Barrier(4)

    def hold(_: int) -> None:
        with database.write() as tx:
            tx.events.append(an_event(clock))
            barrier.wait(60)  # all four are in a transaction that has written a line

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hold, range(4)))
    assert len({row["writer"] for row in rows(database)}) == 4
    assert verified(database).is_intact
    database.close()


def test_a_pen_is_thrown_away_when_nobody_knows_whether_its_lines_were_kept(on_postgresql: Place, clock: FixedClock) -> None:
    database = on_postgresql.open()
    upgrade(database)
    write(database, clock)

    def lose() -> None:
        with database.write() as tx:
            tx.events.append(an_event(clock))
            driver: Any = tx.connection.connection.driver_connection
            with psycopg.connect(on_postgresql.url, autocommit=True) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s)", (driver.info.backend_pid,))

    with pytest.raises(StoreUnavailable):
        lose()
    write(database, clock)
    assert [row["sequence"] for row in rows(database)] == [1, 1]  # two chains
    assert verified(database).is_intact
    database.close()


def test_what_strangers_type_is_signed_as_it_is_stored(database: Database, clock: FixedClock) -> None:
    origin = Origin("0123456789", "192.0.2.7", user_agent='a\x00b\x7f"\\\u2028é\U0001f600' + "x" * 400)
    write(database, clock, origin=origin, details={"nul": "a\x00b", "quote": "'\""})
    (row,) = rows(database)
    assert row["user_agent"].startswith('a\ufffdb\x7f"\\\u2028é\U0001f600')
    assert verified(database).is_intact


def test_every_column_of_a_line_is_signed(database: Database) -> None:
    with database.read() as tx:
        columns = {column["name"] for column in inspect(tx.connection).get_columns("events")}
    assert columns == {"id", "mac", *SIGNED}


# Seals


def test_a_seal_signs_the_heads_that_moved_and_nothing_when_none_did(place: Place, database: Database, clock: FixedClock) -> None:
    other = place.open()
    sealer = Sealer(database, NOTARY, clock)
    assert sealer.run_once() == 0
    write(database, clock, 3)
    write(other, clock, 2)
    assert sealer.run_once() == 2
    for _ in range(3):
        clock.advance(timedelta(minutes=1))
        sealer.run_once()
    write(other, clock)
    clock.advance(timedelta(minutes=1))
    assert sealer.run_once() >= 1
    with database.read() as tx:
        seals = tx.seals.page(0, 10)
    assert [seal["number"] for seal in seals] == list(range(1, len(seals) + 1))
    assert {writer for writer, *_ in json.loads(seals[0]["heads"])} == {row["writer"] for row in rows(database)}
    found = verified(database)
    assert found.is_intact, found.findings
    assert found.unsealed.lines == 0
    write(database, clock, 2)
    found = verified(database)
    assert (found.unsealed.lines, found.unsealed.first_at) == (2, clock.now())
    other.close()


def test_nothing_more_is_sealed_once_everything_is(database: Database, clock: FixedClock) -> None:
    sealer = Sealer(database, NOTARY, clock)
    write(database, clock, 5)
    made = [sealer.run_once() for _ in range(6)]
    assert made[0] == 1
    assert sum(made) <= 2  # PostgreSQL: once more, until nothing older can appear
    assert made[-3:] == [0, 0, 0]


def test_a_line_that_is_committed_late_is_sealed_all_the_same(on_postgresql: Place, clock: FixedClock) -> None:
    database, slow = on_postgresql.open(), on_postgresql.open()
    upgrade(database)
    sealer = Sealer(database, NOTARY, clock)
    write(database, clock)
    with slow.write() as tx:
        tx.events.append(an_event(clock))  # numbered before what the seals see
        for _ in range(3):
            write(database, clock)
            clock.advance(timedelta(minutes=1))
            sealer.run_once()
    clock.advance(timedelta(minutes=1))
    assert sealer.run_once() >= 1
    found = verified(database)
    assert found.is_intact
    assert found.unsealed.lines == 0
    database.close()
    slow.close()


def test_lines_from_before_the_chains_are_named_as_such_and_counted(place: Place, clock: FixedClock) -> None:
    database = place.open()
    migrate_to(database, "0005")
    insert = (
        "INSERT INTO events (at, type, actor, zone, zone_kind, zone_why, address, network_chain, user_agent, amr, request_id, details)"
        " VALUES (1, 'server.started', 'system', '', '', '', '', '', '', '', '0123456789', '{}')"
    )
    with database.write() as tx:
        for _ in range(7):
            tx.connection.execute(text(insert))
    upgrade(database)
    write(database, clock, 2)
    found = verified(database)
    assert (found.is_intact, found.before, found.lines) == (True, 7, 9)
    sealer = Sealer(database, NOTARY, clock)
    for _ in range(3):
        sealer.run_once()
        write(database, clock)
        clock.advance(timedelta(minutes=1))
        assert verified(database).is_intact
    clock.advance(timedelta(days=3))
    write(database, clock)
    sealer.run_once()
    found = verified(database)
    assert (found.is_intact, found.before) == (True, 7), found.findings
    with database.write() as tx:
        tx.connection.execute(text(insert))
    (finding,) = verified(database).findings
    assert "without a writer" in finding.words
    database.close()


# Purges


def purge(database: Database, clock: FixedClock, **settings: Any) -> Purge:
    """The worker's purge."""
    return Purge(database, NOTARY, clock, settings=AuditSettings.model_validate(settings))


KEPT = {"classes": [{"name": "roles", "types": ["role."], "months": 30, "reason": "contrôle interne, procédure P-12"}]}


def test_lines_past_their_time_go_and_all_others_still_verify(place: Place, database: Database, clock: FixedClock) -> None:
    other = place.open()
    sealer = Sealer(database, NOTARY, clock)
    for day in range(6):
        for view in (database, other):
            write(view, clock, 2)
            write(view, clock, 1, type=EventType.ROLE_GIVEN)
        sealer.run_once()
        clock.advance(timedelta(days=1) if day != 2 else timedelta(days=100))
    clock.advance(timedelta(days=300))
    before = len(rows(database))
    assert purge(database, clock, **KEPT).run_once() == 3 * 2 * 2
    left = rows(database)
    assert len(left) == before - 12 + 1
    assert sum(row["type"] == "role.given" for row in left) == 12
    assert left[-1]["type"] == "audit.purged"
    found = verified(database)
    assert found.is_intact, found.findings
    assert found.purged == 12
    assert purge(database, clock, **KEPT).run_once() == 0
    write(other, clock, 2)
    sealer.run_once()
    assert verified(database).is_intact
    # Twice more, until even those kept longest have gone, and seals with them.
    for months in (4, 40):
        clock.advance(timedelta(days=31 * months))
        write(database, clock)
        sealer.run_once()
        purge(database, clock, **KEPT).run_once()
        found = verified(database)
        assert found.is_intact, found.findings
    assert sum(row["type"] == "role.given" for row in rows(database)) == 0
    with database.read() as tx:
        assert tx.seals.get(1) is None
        assert tx.seals.newest() is not None
    other.close()


def test_nothing_younger_than_six_months_is_purged_whatever_the_clock_says(database: Database) -> None:
    now = FixedClock(datetime.now(UTC).replace(microsecond=0))
    write(database, now, 2)
    now.advance(timedelta(days=800))  # a worker whose clock is wrong
    with pytest.raises((DBAPIError, psycopg.errors.RaiseException), match="append-only"):
        purge(database, now).run_once()
    assert len(rows(database)) == 2
    assert verified(database).is_intact


def test_an_old_line_cannot_be_deleted_without_a_record_of_it(database: Database, clock: FixedClock) -> None:
    write(database, clock, 3)
    Sealer(database, NOTARY, clock).run_once()
    clock.advance(timedelta(days=800))
    for statement in ("DELETE FROM events WHERE id = 2", "DELETE FROM seals", "UPDATE seals SET at = 1", "DELETE FROM purged_ranges"):
        if statement.endswith("purged_ranges"):
            purge(database, clock).run_once()
        with pytest.raises(DBAPIError, match="append-only"), database.write() as tx:
            tx.connection.execute(text(statement))


def test_a_line_that_does_not_verify_is_not_purged(database: Database, clock: FixedClock, tamper: Callable[..., None]) -> None:
    write(database, clock, 3)
    tamper("UPDATE events SET actor = 'nobody' WHERE id = 2")
    clock.advance(timedelta(days=800))
    assert purge(database, clock).run_once() == 2
    assert [row["actor"] for row in rows(database)] == ["nobody", "system"]
    (finding,) = verified(database).findings
    assert finding.line_id == 2


def test_nothing_is_purged_during_an_inquiry(database: Database, clock: FixedClock) -> None:
    write(database, clock, 3)
    clock.advance(timedelta(days=800))
    assert purge(database, clock, purge="never").run_once() == 0
    assert len(rows(database)) == 3


@pytest.mark.parametrize(
    ("now", "months", "expected"),
    [
        (datetime(2026, 3, 31, 5, tzinfo=UTC), 1, datetime(2026, 2, 28, tzinfo=UTC)),
        (datetime(2024, 2, 29, 5, tzinfo=UTC), 12, datetime(2023, 2, 28, tzinfo=UTC)),
        (datetime(2026, 1, 10, tzinfo=UTC), 12, datetime(2025, 1, 10, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, tzinfo=UTC), 36, datetime(2023, 12, 31, tzinfo=UTC)),
    ],
)
def test_months_are_those_of_the_calendar(now: datetime, months: int, expected: datetime) -> None:
    assert months_before(now, months) == expected


# PostgreSQL: the program's own role


@pytest.fixture
def program(on_postgresql: Place, postgresql_session: PostgreSQLServer) -> Iterator[str]:
    """The URL of a store as the program's role sees it, once the owner has given it its rights."""
    owner = on_postgresql.open()
    upgrade(owner)
    name = f"program_{on_postgresql.url.rpartition('_')[2]}"
    with owner.write() as tx:
        made, _ = give(tx, name)
        assert made
    with owner.write() as tx:
        assert give(tx, name)[0] is False  # again, after an upgrade
    owner.close()
    yield on_postgresql.url.replace("vestibule@", f"{name}@")
    owner = on_postgresql.open()
    with owner.write() as tx:
        tx.connection.execute(text(f"DROP OWNED BY {name}"))
        tx.connection.execute(text(f"DROP ROLE {name}"))
    owner.close()


def test_the_programs_role_writes_seals_and_purges_and_cannot_change_the_trail(
    program: str, on_postgresql: Place, clock: FixedClock
) -> None:
    database = on_postgresql.open(url=program)
    sealer = Sealer(database, NOTARY, clock)
    write(database, clock, 3)
    assert sealer.run_once() == 1
    for statement in (
        "UPDATE events SET actor = 'nobody'",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE seals SET at = 1",
        "DELETE FROM seals",
        "DELETE FROM purged_ranges",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TRIGGER events_append_only ON events",
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), database.write() as tx:
            tx.connection.execute(text(statement))
    for statement in ("SELECT purge_events('{1,2}')", "SELECT purge_seals(1)"):
        with pytest.raises(DBAPIError, match="append-only"), database.write() as tx:
            tx.connection.execute(text(statement))
    # A table of its own with the name of ours is not what the owner's function and triggers look at.
    with psycopg.connect(program, autocommit=True) as own:
        own.execute("CREATE TEMPORARY TABLE purged_ranges AS SELECT * FROM purged_ranges")
        own.execute("INSERT INTO pg_temp.purged_ranges SELECT writer, 1, 9, 9, '', '', 1, 'x', 1, '' FROM events LIMIT 1")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            own.execute("SELECT purge_events('{1}')")
    clock.advance(timedelta(days=800))
    assert purge(database, clock).run_once() == 3
    found = verified(database)
    assert found.is_intact, found.findings
    assert not found.may_be_changed
    owner = on_postgresql.open()
    assert verified(owner).may_be_changed
    owner.close()
    database.close()


# What was noted elsewhere


def test_a_seal_that_was_noted_is_found_again(database: Database, clock: FixedClock) -> None:
    sealer = Sealer(database, NOTARY, clock)
    write(database, clock)
    sealer.run_once()
    noted = verified(database).newest_seal
    assert noted is not None
    write(database, clock)
    sealer.run_once()
    assert verified(database, noted=read_seal_value(noted)).is_intact
    number, signature = read_seal_value(noted)
    assert not verified(database, noted=(number, signature[::-1])).is_intact
    assert not verified(database, noted=(number + 100, signature)).is_intact


# Seals taken away


def test_a_trail_without_any_seal_is_a_finding_once_there_should_be_one(
    database: Database, clock: FixedClock, tamper: Callable[..., None]
) -> None:
    write(database, clock, 3)
    assert verified(database, now=clock.now() + LATE).is_intact, "the sealer has not come round yet"
    (never,) = verified(database, now=clock.now() + LATE + timedelta(seconds=1)).findings
    assert (never.fault, never.at) == (Fault.NEVER_SEALED, LONG_AGO)
    Sealer(database, NOTARY, clock).run_once()
    assert verified(database, now=clock.now() + LATE + timedelta(seconds=1)).is_intact
    tamper("DELETE FROM seals")
    assert [one.fault for one in verified(database, now=clock.now() + timedelta(days=1)).findings] == [Fault.NEVER_SEALED]
    assert "never ran" in never.words


@pytest.mark.parametrize("meanwhile", ["DELETE FROM seals", "UPDATE seals SET mac = 'forged'", None])
def test_a_line_without_a_writer_after_signed_ones_is_named_when_no_seal_holds(
    database: Database, clock: FixedClock, tamper: Callable[..., None], meanwhile: str | None
) -> None:
    write(database, clock, 3)
    if meanwhile is not None:
        Sealer(database, NOTARY, clock).run_once()
        tamper(meanwhile)
    names = "at, type, actor, zone, zone_kind, zone_why, address, network_chain, user_agent, amr, request_id, details"
    tamper(f"INSERT INTO events ({names}) VALUES (1, 'signin.succeeded', 'x', '', '', '', '', '', '', '', 'y', '{{}}')")
    added = max(row["id"] for row in rows(database))
    found = verified(database).findings
    assert [one.line_id for one in found if one.fault is Fault.UNSIGNED] == [added]


def test_a_first_seal_long_after_the_first_line_is_pointed_at(database: Database, clock: FixedClock) -> None:
    write(database, clock, 2)
    clock.advance(timedelta(hours=3))
    Sealer(database, NOTARY, clock).run_once()
    found = verified(database, now=clock.now())
    assert found.is_intact
    assert found.began_late == timedelta(hours=3)
