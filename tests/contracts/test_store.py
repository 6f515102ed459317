"""The contract of the SQL store: transactions, the append-only trail, migrations, and what the narrow queries promise."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from idp.audit import Event, EventType, Origin
from idp.errors import StoreUnavailable
from idp.store import tables
from idp.store.base import Account, Establishment
from idp.store.database import Database
from idp.store.events import EventFilter
from idp.store.migrations import current_revision, newest_revision, upgrade
from tests.support.fixed_clock import FixedClock

ORIGIN = Origin(request_id="0123456789", address="127.0.0.1")


def open_file(folder: Path, *, busy_timeout_seconds: float = 10) -> Database:
    """A Database on the folder's file, as one process has it."""
    return Database(f"sqlite:///{folder / 'store.db'}", synchronous="normal", busy_timeout_seconds=busy_timeout_seconds, pool_size=4)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty store."""
    database = open_file(tmp_path)
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def neighbour(database: Database, tmp_path: Path) -> Iterator[Database]:
    """Another process's view of the same store."""
    other = open_file(tmp_path)
    yield other
    other.close()


def an_account(clock: FixedClock, username: str) -> Account:
    """An active account."""
    now = clock.now()
    values = dict.fromkeys(("email", "phone_number", "address", "locale", "last_establishment_id", "ended_at"))
    return Account(
        id=clock.new_id(),
        status="active",
        username=username,
        given_name=username,
        family_name="Essai",
        email_verified=False,
        phone_number_verified=False,
        is_demo=False,
        created_at=now,
        updated_at=now,
        **values,
    )


def an_establishment(clock: FixedClock, slug: str) -> Establishment:
    """An establishment."""
    return Establishment(
        id=clock.new_id(),
        slug=slug,
        name=slug.title(),
        finess=None,
        siret=None,
        time_zone="Europe/Paris",
        contact_name="",
        contact_phone="",
        contact_email="",
        logo_type=None,
        source="operator",
        created_at=clock.now(),
        ended_at=None,
    )


def an_event(clock: FixedClock) -> Event:
    """A line of the trail."""
    return Event(type=EventType.SERVER_STARTED, at=clock.now(), actor="system", origin=ORIGIN)


# Transactions


def test_nothing_is_kept_when_a_transaction_fails(database: Database, clock: FixedClock) -> None:
    account = an_account(clock, "jeanne")

    def fail() -> None:
        with database.write() as tx:
            tx.people.add(account, found_by=(("username", "jeanne", ""),))
            tx.events.append(an_event(clock))
            raise LookupError("on purpose")

    with pytest.raises(LookupError):
        fail()
    with database.read() as tx:
        assert tx.people.get(account.id) is None
        assert tx.people.matching("jeanne", None) == ()
        assert tx.events.newest(10) == []


def test_nothing_is_seen_by_others_until_it_commits(database: Database, neighbour: Database, clock: FixedClock) -> None:
    account = an_account(clock, "jeanne")
    with database.write() as tx:
        tx.people.add(account, found_by=())
        with neighbour.read() as other:
            assert other.people.get(account.id) is None
    with neighbour.read() as other:
        assert other.people.get(account.id) == account


def test_a_reader_keeps_one_snapshot_when_another_writes(database: Database, neighbour: Database, clock: FixedClock) -> None:
    account = an_account(clock, "jeanne")
    with neighbour.read() as reader:
        assert reader.events.newest(1) == []
        with database.write() as tx:
            tx.people.add(account, found_by=())
        assert reader.people.get(account.id) is None


def test_audit_lines_are_announced_when_they_committed_and_never_otherwise(tmp_path: Path, clock: FixedClock) -> None:
    announced: list[Event] = []
    database = Database(
        f"sqlite:///{tmp_path / 'store.db'}",
        synchronous="normal",
        busy_timeout_seconds=1,
        pool_size=1,
        on_events=announced.extend,
    )
    upgrade(database)
    event = an_event(clock)
    with database.write() as tx:
        tx.events.append(event)
        assert announced == []
    assert announced == [event]

    def fail() -> None:
        with database.write() as tx:
            tx.events.append(event)
            raise LookupError("on purpose")

    with pytest.raises(LookupError):
        fail()
    assert announced == [event]
    database.close()


def test_read_then_write_does_not_fail_when_another_connection_writes_between(database: Database, neighbour: Database) -> None:
    # A deferred transaction that reads and then writes fails at once, whatever the timeout, when another writer came between.
    def advance(view: Database) -> None:
        for _ in range(25):
            with view.write() as tx:
                tx.revisions.advance("tally")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(advance, [database, neighbour, database, neighbour]))
    with database.read() as tx:
        tally = tx.revisions.get("tally")
    assert tally is not None
    assert tally.number == 100


def test_sqlite_itself_refuses_what_begin_immediate_avoids(database: Database, tmp_path: Path) -> None:
    # The trap, shown on plain sqlite3: this is what every write transaction would risk.
    path = tmp_path / "store.db"
    first = sqlite3.connect(path, isolation_level=None, timeout=5)
    second = sqlite3.connect(path, isolation_level=None, timeout=5)
    first.execute("BEGIN")
    first.execute("SELECT count(*) FROM revisions").fetchone()
    second.execute("INSERT INTO revisions (name, number) VALUES ('a', 1)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        first.execute("INSERT INTO revisions (name, number) VALUES ('b', 1)")
    first.close()
    second.close()


def test_a_writer_waits_for_another_then_says_unavailable(database: Database, tmp_path: Path) -> None:
    impatient = open_file(tmp_path, busy_timeout_seconds=0.1)
    with database.write() as tx:
        tx.revisions.advance("tally")
        with pytest.raises(StoreUnavailable), impatient.write() as other:
            other.revisions.advance("tally")
        with impatient.read() as reader:
            assert reader.revisions.get("tally") is None
    with impatient.write() as tx:
        assert tx.revisions.advance("tally") == 2
    impatient.close()


def test_foreign_keys_hold(database: Database, clock: FixedClock) -> None:
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.people.add_identifier("nobody", "username", value="x", scope="")


@pytest.mark.parametrize("level", ["normal", "full"])
def test_the_file_is_in_wal_mode_with_the_configured_durability(tmp_path: Path, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    database = Database(f"sqlite:///{tmp_path / 'store.db'}", synchronous=level, busy_timeout_seconds=1, pool_size=1)  # type: ignore[arg-type]  # parametrized
    with database.write() as tx:
        assert tx.connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert tx.connection.execute(text("PRAGMA synchronous")).scalar() == 1  # the log is synced by us, see test_durability.py
        assert tx.connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    with database.read():
        pass
    assert len(synced) == {"normal": 0, "full": 1}[level]
    database.close()


# The trail


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET actor = 'nobody'", "DELETE FROM events", "INSERT OR REPLACE INTO events SELECT * FROM events"]
)
def test_the_trail_refuses_to_be_changed(database: Database, clock: FixedClock, statement: str) -> None:
    with database.write() as tx:
        tx.events.append(an_event(clock))
    with pytest.raises(DBAPIError), database.write() as tx:
        tx.connection.execute(text(statement))
    with database.read() as tx:
        (line,) = tx.events.newest(10)
    assert line["actor"] == "system"


def test_the_trail_refuses_to_be_changed_by_any_other_program(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    with database.write() as tx:
        tx.events.append(an_event(clock))
    stranger = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    for statement in ("UPDATE events SET reason = 'x'", "DELETE FROM events WHERE id = 1", "REPLACE INTO events SELECT * FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            stranger.execute(statement)
    stranger.close()


def test_the_trail_is_read_in_order_and_by_filter(database: Database, clock: FixedClock) -> None:
    with database.write() as tx:
        for number in range(5):
            clock.advance(timedelta(minutes=1))
            tx.events.append(dataclasses.replace(an_event(clock), client_id=f"client{number % 2}", details={"number": number}))
    with database.read() as tx:
        everything = list(tx.events.read(EventFilter()))
        assert [line["details"]["number"] for line in everything] == [0, 1, 2, 3, 4]
        assert [line["details"]["number"] for line in tx.events.read(EventFilter(client_id="client1"))] == [1, 3]
        assert [line["id"] for line in tx.events.read(EventFilter(after_id=everything[2]["id"]))] == [line["id"] for line in everything[3:]]
        assert list(tx.events.read(EventFilter(type_prefix="server_started"))) == []  # the underscore is a letter, not a wildcard
        assert len(list(tx.events.read(EventFilter(type_prefix="server."), limit=2))) == 2
        assert [line["details"]["number"] for line in tx.events.newest(2)] == [3, 4]
        assert everything[0]["at"].endswith("+00:00")


# Migrations


def test_a_store_from_empty_has_exactly_the_tables_of_the_program(database: Database) -> None:
    found = inspect(database.engine)
    assert set(found.get_table_names()) == {*tables.metadata.tables, "alembic_version"}
    for name, table in tables.metadata.tables.items():
        assert {column["name"]: column["nullable"] for column in found.get_columns(name)} == {
            column.name: column.nullable for column in table.columns
        }
        assert {index["name"] for index in found.get_indexes(name)} == {index.name for index in table.indexes}
    assert current_revision(database) == newest_revision()


def test_migrating_twice_changes_nothing(database: Database, clock: FixedClock) -> None:
    with database.write() as tx:
        tx.people.add(an_account(clock, "jeanne"), found_by=(("username", "jeanne", ""),))
    assert upgrade(database) == (newest_revision(), newest_revision())
    with database.read() as tx:
        assert len(tx.people.matching("jeanne", None)) == 1


def test_two_processes_may_migrate_at_once(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from idp.store.database import Database\n"
        "from idp.store.migrations import upgrade\n"
        "database = Database(sys.argv[1], synchronous='normal', busy_timeout_seconds=30, pool_size=1)\n"
        "sys.stdin.read(1)\n"
        "print(upgrade(database)[0])\n"
        "database.close()\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, f"sqlite:///{tmp_path / 'store.db'}"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    # The one that came second either waited and found it done, or came after.
    assert "None" in {out.strip() for out, _ in outputs} <= {"None", newest_revision()}
    database = open_file(tmp_path)
    assert current_revision(database) == newest_revision()
    database.close()


def test_threads_of_one_process_may_migrate_at_once(tmp_path: Path) -> None:
    views = [open_file(tmp_path), open_file(tmp_path)]
    barrier = threading.Barrier(2)

    def migrate(view: Database) -> str:
        barrier.wait()
        return upgrade(view)[1]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(migrate, views)) == [newest_revision()] * 2
    for view in views:
        view.close()


# People


def test_an_identifier_of_an_establishment_names_a_person_only_there(database: Database, clock: FixedClock) -> None:
    here, there = an_establishment(clock, "ici"), an_establishment(clock, "la-bas")
    jeanne, marc, ana = (an_account(clock, name) for name in ("jeanne", "marc", "ana"))
    with database.write() as tx:
        tx.establishments.add(here)
        tx.establishments.add(there)
        tx.people.add(jeanne, found_by=(("number", "10042", here.id), ("username", "jeanne", "")))
        tx.people.add(marc, found_by=(("number", "10042", there.id),))
        tx.people.add(ana, found_by=(("username", "ana", ""), ("email", "ana@ici.example", "")))
    with database.read() as tx:
        assert [account.id for account in tx.people.matching("10042", here.id)] == [jeanne.id]
        assert [account.id for account in tx.people.matching("10042", there.id)] == [marc.id]
        # Without an establishment the number names two people: the caller must refuse, not choose.
        assert {account.id for account in tx.people.matching("10042", None)} == {jeanne.id, marc.id}
        for place in (None, here.id, there.id):
            assert [account.id for account in tx.people.matching("ana", place)] == [ana.id]
        assert tx.people.matching("10042", clock.new_id()) == ()
        assert tx.people.matching("", None) == ()
        assert tx.people.matching("100%", None) == ()


def test_a_person_is_found_once_when_two_identifiers_are_equal(database: Database, clock: FixedClock) -> None:
    here = an_establishment(clock, "ici")
    jeanne = an_account(clock, "jeanne")
    with database.write() as tx:
        tx.establishments.add(here)
        tx.people.add(jeanne, found_by=(("number", "10042", here.id), ("username", "10042", "")))
    with database.read() as tx:
        assert [account.id for account in tx.people.matching("10042", None)] == [jeanne.id]
        assert [account.id for account in tx.people.matching("10042", here.id)] == [jeanne.id]


def test_a_number_that_is_somebodys_username_elsewhere_is_ambiguous(database: Database, clock: FixedClock) -> None:
    here = an_establishment(clock, "ici")
    jeanne, marc = an_account(clock, "jeanne"), an_account(clock, "10042")
    with database.write() as tx:
        tx.establishments.add(here)
        tx.people.add(jeanne, found_by=(("number", "10042", here.id),))
        tx.people.add(marc, found_by=(("username", "10042", ""),))
    with database.read() as tx:
        assert {account.id for account in tx.people.matching("10042", here.id)} == {jeanne.id, marc.id}


def test_an_identifier_is_taken_once_in_its_scope(database: Database, clock: FixedClock) -> None:
    with database.write() as tx:
        tx.people.add(an_account(clock, "jeanne"), found_by=(("username", "jeanne", ""),))
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.people.add(an_account(clock, "autre"), found_by=(("username", "jeanne", ""),))
    with database.read() as tx:
        assert len(tx.people.matching("jeanne", None)) == 1


# One-time things


def test_an_identifier_is_spent_once(database: Database, neighbour: Database, clock: FixedClock) -> None:
    later = clock.now() + timedelta(minutes=1)

    def spend(view: Database) -> bool:
        with view.write() as tx:
            return tx.grants.spend("assertion", "jti", expires_at=later)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(spend, [database, neighbour] * 3))
    assert results.count(True) == 1
    with database.read() as tx:
        assert tx.grants.is_spent("assertion", "jti")
        assert not tx.grants.is_spent("access_token", "jti")
