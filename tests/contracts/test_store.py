"""The contract of the SQL store, on SQLite and on a real PostgreSQL: transactions, the append-only trail, migrations, what queries promise."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from idp.audit import Event, EventType, Origin, Reason
from idp.config import DatabaseSettings
from idp.crypto import digest
from idp.errors import StoreUnavailable
from idp.store import migrations, tables
from idp.store.base import Workstation, Zone
from idp.store.database import Database
from idp.store.events import EventFilter
from idp.store.migrations import current_revision, newest_revision, upgrade
from tests.support.fixed_clock import FixedClock
from tests.support.migrated import Migrated
from tests.support.pens import some_pens
from tests.support.postgresql import PostgreSQLServer
from tests.support.rows import an_account, an_establishment

ORIGIN = Origin(request_id="0123456789", address="127.0.0.1")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a store is; `open` gives a view of it as one process has it."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded one."""
        return self.url.startswith("sqlite:")

    def open(self, *, busy_timeout_seconds: float = 10, on_events: Callable[[Sequence[Event]], None] | None = None) -> Database:
        """A Database."""
        return Database(
            self.url,
            synchronous="normal",
            busy_timeout_seconds=busy_timeout_seconds,
            pool_size=4,
            pens=some_pens(),
            on_events=on_events,
        )


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
def neighbour(database: Database, place: Place) -> Iterator[Database]:
    """Another process's view of the same store."""
    other = place.open()
    yield other
    other.close()


def an_event(clock: FixedClock) -> Event:
    """A line of the trail."""
    return Event(type=EventType.SERVER_STARTED, at=clock.now(), actor="system", origin=ORIGIN)


# Transactions


def test_nothing_is_kept_when_a_transaction_fails(database: Database, clock: FixedClock) -> None:
    account = an_account(clock.new_id(), "jeanne", clock.now())

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
    account = an_account(clock.new_id(), "jeanne", clock.now())
    with database.write() as tx:
        tx.people.add(account, found_by=())
        with neighbour.read() as other:
            assert other.people.get(account.id) is None
    with neighbour.read() as other:
        assert other.people.get(account.id) == account


def test_a_reader_keeps_one_snapshot_when_another_writes(database: Database, neighbour: Database, clock: FixedClock) -> None:
    account = an_account(clock.new_id(), "jeanne", clock.now())
    with neighbour.read() as reader:
        assert reader.events.newest(1) == []
        with database.write() as tx:
            tx.people.add(account, found_by=())
        assert reader.people.get(account.id) is None


def test_audit_lines_are_announced_when_they_committed_and_never_otherwise(place: Place, clock: FixedClock) -> None:
    announced: list[Event] = []
    database = place.open(on_events=announced.extend)
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


def test_sqlite_itself_refuses_what_begin_immediate_avoids(on_sqlite: Place, tmp_path: Path) -> None:
    # The trap, shown on plain sqlite3: this is what every write transaction would risk.
    migrated = on_sqlite.open()
    upgrade(migrated)
    migrated.close()
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


def test_a_writer_waits_for_another_then_says_unavailable(database: Database, place: Place) -> None:
    impatient = place.open(busy_timeout_seconds=0.1)
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


@pytest.mark.parametrize("statement", ["UPDATE events SET actor = 'nobody'", "DELETE FROM events", "replace", "truncate"])
def test_the_trail_refuses_to_be_changed(database: Database, place: Place, clock: FixedClock, statement: str) -> None:
    replacing = "INSERT OR REPLACE INTO events SELECT * FROM events"
    if not place.is_sqlite:
        replacing = "INSERT INTO events SELECT * FROM events ON CONFLICT (id) DO UPDATE SET actor = 'nobody'"
    statement = {"replace": replacing, "truncate": "DELETE FROM events" if place.is_sqlite else "TRUNCATE events"}.get(statement, statement)
    with database.write() as tx:
        tx.events.append(an_event(clock))
    with pytest.raises(DBAPIError), database.write() as tx:
        tx.connection.execute(text(statement))
    with database.read() as tx:
        (line,) = tx.events.newest(10)
    assert line["actor"] == "system"


def test_the_trail_refuses_to_be_changed_by_any_other_program(database: Database, place: Place, clock: FixedClock) -> None:
    with database.write() as tx:
        tx.events.append(an_event(clock))
    stranger: Any
    if place.is_sqlite:
        stranger = sqlite3.connect(place.url.removeprefix("sqlite:///"), isolation_level=None)
        replacing = "REPLACE INTO events SELECT * FROM events"
    else:
        stranger = psycopg.connect(place.url, autocommit=True)
        replacing = "TRUNCATE events"
    for statement in ("UPDATE events SET reason = 'x'", "DELETE FROM events WHERE id = 1", replacing):
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="append-only"):
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


def test_who_follows_the_trail_misses_no_line_that_is_committed_late(database: Database, neighbour: Database, clock: FixedClock) -> None:
    def settled(after_id: int = 0) -> list[int]:
        with database.read() as tx:
            return [line["id"] for line in tx.events.read(EventFilter(after_id=after_id, is_settled=True))]

    with database.write() as tx:
        tx.events.append(an_event(clock))
    (first,) = settled()
    with database.write() as early:
        early.revisions.advance("tally")
        early.events.append(an_event(clock))
        if not database.is_sqlite:  # there, nobody else can write before the first has ended
            with neighbour.write() as late:
                late.events.append(an_event(clock))
            # Numbered after a line that nobody can see yet: whoever paged past it would never see that one.
            assert settled(first) == []
    if database.is_sqlite:
        with neighbour.write() as late:
            late.events.append(an_event(clock))
    assert settled(first) == [first + 1, first + 2]


# Migrations


def test_a_store_from_empty_has_exactly_the_tables_of_the_program(database: Database) -> None:
    found = inspect(database.engine)
    assert set(found.get_table_names()) == {*tables.metadata.tables, "alembic_version"}
    for name, table in tables.metadata.tables.items():
        assert {column["name"]: column["nullable"] for column in found.get_columns(name)} == {
            column.name: column.nullable for column in table.columns
        }
        # PostgreSQL shows the index behind a unique constraint too.
        indexes = {index["name"] for index in found.get_indexes(name) if "duplicates_constraint" not in index}
        assert indexes == {index.name for index in table.indexes}
    with database.read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    assert current_revision(database) == newest_revision()


def migrate_to(database: Database, revision: str) -> None:
    """Bring an empty store to an earlier revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with database.write() as tx:
        # Alembic commits by itself on a connection that has said nothing yet (`upgrade` has always asked for the revision).
        tx.connection.execute(text("SELECT 1"))
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


# What a store of the first release may hold: one row a table that later migrations change, and those that they lean on.
OF_0001 = (
    "INSERT INTO establishments (id, slug, name, time_zone, contact_name, contact_phone, contact_email, source, created_at)"
    " VALUES ('e1', 'tilleuls', 'Les Tilleuls', 'Europe/Paris', '', '', '', 'config', 1)",
    "INSERT INTO accounts (id, status, given_name, family_name, email_verified, phone_number_verified, address, is_demo, created_at, updated_at)"
    " VALUES ('active', 'active', 'Claire', 'Dubois', TRUE, FALSE, '{\"locality\": \"Brest\"}', FALSE, 1, 1),"
    " ('cut', 'suspended', 'Marc', 'Morel', FALSE, FALSE, NULL, FALSE, 1, 2), ('gone', 'ended', 'Ana', 'Ruiz', FALSE, FALSE, NULL, FALSE, 1, 2)",
    "INSERT INTO attachments (id, account_id, establishment_id, profile, first_day, created_at)"
    " VALUES ('a1', 'active', 'e1', 'nurse', '2026-01-31', 1)",
    "INSERT INTO sessions (id, cookie_digest, account_id, establishment_id, auth_time, amr, acr, connector, zone, address, user_agent, created_at,"
    " last_active_at, expires_at) VALUES ('s1', 'd1', 'active', 'e1', 1, 'pwd', 'eidas1', 'local', '', '', '', 1, 1, 9)",
    "INSERT INTO grants (id, session_id, account_id, client_id, establishment_id, scope, resources, claims, auth_time, amr, acr, zone, is_offline,"
    " has_tokens, created_at, expires_at) VALUES ('g1', 's1', 'active', 'carnet', 'e1', 'openid', '[]', NULL, 1, 'pwd', 'eidas1', '', FALSE,"
    " TRUE, 1, 9)",
    "INSERT INTO passwords (account_id, hash, previous, must_change, changed_at) VALUES ('active', 'h', '[\"old\"]', FALSE, 1)",
    "INSERT INTO events (at, type, actor, zone, address, network_chain, user_agent, amr, request_id, details)"
    " VALUES (1, 'server.started', 'system', '', '', '', '', '', '0123456789', '{}')",
)


def test_a_store_of_the_first_release_keeps_what_it_holds(place: Place, clock: FixedClock) -> None:
    database = place.open()
    migrate_to(database, "0001")
    with database.write() as tx:
        for statement in OF_0001:
            tx.connection.execute(text(statement))
    assert upgrade(database) == ("0001", newest_revision())
    with database.read() as tx:
        active, cut, gone = (tx.people.get(key) for key in ("active", "cut", "gone"))
        assert active is not None
        assert cut is not None
        assert gone is not None
        assert (active.cut_by, cut.cut_by, gone.cut_by) == (None, "operator", "operator")
        assert (active.is_break_glass, active.address, active.email_verified) == (False, {"locality": "Brest"}, True)
        assert tx.search.people("ana rui", places=None, now=clock.now(), skip=0, count=9) == (gone,)
        assert tx.search.people("", places=None, now=clock.now(), skip=0, count=9) == (active, cut, gone)
        assert tx.search.named("claire dubois") == (active,)
        (attachment,) = tx.people.attachments("active")
        assert (attachment.source, attachment.first_day, attachment.last_day) == ("operator", date(2026, 1, 31), None)
        password = tx.people.password("active")
        assert password is not None
        assert (password.previous, password.must_change) == (("old",), False)
        (session,) = tx.sessions.open_of("active")
        (grant,) = tx.grants.of_session(session.id)
        assert (session.amr, grant.resources, grant.claims, grant.has_tokens) == (("pwd",), (), None, True)
        assert [line["type"] for line in tx.events.newest(10)] == ["server.started"]
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    with database.write() as tx:
        tx.events.append(an_event(clock))
    with pytest.raises(DBAPIError, match="append-only"), database.write() as tx:
        tx.connection.execute(text("DELETE FROM events"))
    database.close()


def test_migrating_twice_changes_nothing(database: Database, clock: FixedClock) -> None:
    with database.write() as tx:
        tx.people.add(an_account(clock.new_id(), "jeanne", clock.now()), found_by=(("username", "jeanne", ""),))
    assert upgrade(database) == (newest_revision(), newest_revision())
    with database.read() as tx:
        assert len(tx.people.matching("jeanne", None)) == 1


def test_two_processes_may_migrate_at_once(place: Place) -> None:
    program = (
        "import sys\n"
        "from idp.store.database import Database\n"
        "from idp.store.migrations import upgrade\n"
        "database = Database(sys.argv[1], synchronous='normal', busy_timeout_seconds=30, pool_size=1)\n"
        "sys.stdin.read(1)\n"
        "print(upgrade(database)[0])\n"
        "database.close()\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, place.url]
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
    database = place.open()
    assert current_revision(database) == newest_revision()
    database.close()


def test_threads_of_one_process_may_migrate_at_once(place: Place) -> None:
    views = [place.open(), place.open()]
    barrier = threading.Barrier(2)

    def migrate(view: Database) -> str:
        barrier.wait()
        return upgrade(view)[1]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(migrate, views)) == [newest_revision()] * 2
    for view in views:
        view.close()


@pytest.mark.sqlite
def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """SQLite changes the mode of a file without waiting for whoever is changing it too."""
    barrier = threading.Barrier(4)

    def look(view: Database) -> None:
        barrier.wait()
        with view.read():
            pass

    for turn in range(30):
        settings = DatabaseSettings.model_validate({"url": f"sqlite:///{tmp_path}/{turn}.db"})
        views = [Database.of(settings, pool_size=1) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(look, views))
        for view in views:
            view.close()


# People


def test_an_identifier_of_an_establishment_names_a_person_only_there(database: Database, clock: FixedClock) -> None:
    here, there = an_establishment(clock.new_id(), "ici", clock.now()), an_establishment(clock.new_id(), "la-bas", clock.now())
    jeanne, marc, ana = (an_account(clock.new_id(), name, clock.now()) for name in ("jeanne", "marc", "ana"))
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
    here = an_establishment(clock.new_id(), "ici", clock.now())
    jeanne = an_account(clock.new_id(), "jeanne", clock.now())
    with database.write() as tx:
        tx.establishments.add(here)
        tx.people.add(jeanne, found_by=(("number", "10042", here.id), ("username", "10042", "")))
    with database.read() as tx:
        assert [account.id for account in tx.people.matching("10042", None)] == [jeanne.id]
        assert [account.id for account in tx.people.matching("10042", here.id)] == [jeanne.id]


def test_a_number_that_is_somebodys_username_elsewhere_is_ambiguous(database: Database, clock: FixedClock) -> None:
    here = an_establishment(clock.new_id(), "ici", clock.now())
    jeanne, marc = an_account(clock.new_id(), "jeanne", clock.now()), an_account(clock.new_id(), "10042", clock.now())
    with database.write() as tx:
        tx.establishments.add(here)
        tx.people.add(jeanne, found_by=(("number", "10042", here.id),))
        tx.people.add(marc, found_by=(("username", "10042", ""),))
    with database.read() as tx:
        assert {account.id for account in tx.people.matching("10042", here.id)} == {jeanne.id, marc.id}


def test_an_identifier_is_taken_once_in_its_scope(database: Database, clock: FixedClock) -> None:
    with database.write() as tx:
        tx.people.add(an_account(clock.new_id(), "jeanne", clock.now()), found_by=(("username", "jeanne", ""),))
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.people.add(an_account(clock.new_id(), "autre", clock.now()), found_by=(("username", "jeanne", ""),))
    with database.read() as tx:
        assert len(tx.people.matching("jeanne", None)) == 1


# What several do at once


def test_who_holds_an_account_is_alone_with_it_and_sees_what_the_one_before_did(
    database: Database, neighbour: Database, clock: FixedClock
) -> None:
    account = an_account(clock.new_id(), "jeanne", clock.now())
    with database.write() as tx:
        tx.people.add(account, found_by=())

    def count_up(view: Database) -> None:
        for _ in range(25):
            with view.write() as tx:
                held = tx.people.held(account.id)
                assert held is not None
                tx.people.change(account.id, clock.now(), family_name=str(int(held.family_name or 0) + 1))

    with database.write() as tx:
        tx.people.change(account.id, clock.now(), family_name="0")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, [database, neighbour, database, neighbour]))
    with database.read() as tx:
        after = tx.people.get(account.id)
    assert after is not None
    assert after.family_name == "100"


def test_who_locks_a_name_is_alone_and_who_shares_it_is_not(database: Database, neighbour: Database) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(view: Database) -> None:
        for _ in range(15):
            with view.write() as tx:
                tx.lock("registry")
                inside.append(1)
                most.append(len(inside))
                tx.revisions.get("tally")
                inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [database, neighbour, database, neighbour]))
    assert max(most) == 1
    if not database.is_sqlite:
        with database.write() as tx, neighbour.write() as other:
            tx.share("registry")
            other.share("registry")
            other.lock("keys")


def test_two_first_passwords_and_two_agreements_at_once_make_no_error(database: Database, neighbour: Database, clock: FixedClock) -> None:
    people = [an_account(clock.new_id(), f"personne{number}", clock.now()) for number in range(20)]
    with database.write() as tx:
        for account in people:
            tx.people.add(account, found_by=())
    barrier = threading.Barrier(2)

    def write(view: Database) -> None:
        for account in people:
            barrier.wait(30)
            with view.write() as tx:
                tx.people.hold(account.id)
                tx.people.set_password(account.id, f"hash {id(view)}", must_change=False, now=clock.now())
                tx.clients.consent(account.id, "carnet", scope=frozenset({"openid", f"s{id(view)}"}), now=clock.now())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [database, neighbour]))
    with database.read() as tx:
        for account in people:
            password = tx.people.password(account.id)
            assert password is not None
            assert {password.hash, *password.previous} == {f"hash {id(database)}", f"hash {id(neighbour)}"}
            assert len(tx.clients.consented_scope(account.id, "carnet")) == 3


# Values


def test_text_that_a_stranger_sent_is_found_nowhere_and_breaks_nothing(database: Database, clock: FixedClock) -> None:
    account = an_account(clock.new_id(), "jeanne", clock.now())
    with database.write() as tx:
        tx.people.add(account, found_by=(("username", "jeanne", ""),))
        tx.events.append(dataclasses.replace(an_event(clock), details={"claimed": "a\x00b", "emoji": "é😀"}))
    with database.read() as tx:
        for text_sent in ("\x00", "jeanne\x00", "a\x00b", "x" * 5000, "%", "_", "' OR 1=1 --"):
            assert tx.people.matching(text_sent, None) == ()
            assert tx.people.get(text_sent) is None
            assert tx.clients.revision(text_sent) is None
            assert tx.establishments.by_slug(text_sent) is None
            assert tx.establishments.logo(text_sent) is None
            assert tx.sessions.get(text_sent) is None
            assert tx.grants.code(text_sent) is None
            assert not tx.grants.is_spent(text_sent, text_sent)
            assert tx.search.named(text_sent) == ()
        (line,) = tx.events.newest(1)
    assert line["details"] == {"claimed": "a\x00b", "emoji": "é😀"}


def test_what_is_too_long_for_a_column_is_in_no_event(clock: FixedClock) -> None:
    columns = tables.events.c
    assert max(len(kind) for kind in EventType) <= columns.type.type.length
    assert max(len(reason) for reason in Reason) <= columns.reason.type.length


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


# Zones and workstations


def a_zone(clock: FixedClock, establishment_id: str, name: str, **values: Any) -> Zone:
    """A zone that counts."""
    given = {"kind": "trusted", "networks": ("10.1.0.0/16", "fd00:1::/32"), "is_egress": False, "guests_apart": "", "source": "operator"}
    nothing = dict.fromkeys(("first_day", "last_day", "valid_from", "valid_until", "ended_at"))
    fixed = {"id": clock.new_id(), "establishment_id": establishment_id, "name": name, "created_at": clock.now()}
    return Zone(**{**nothing, **given, **fixed, **values})


def a_workstation(clock: FixedClock, zone: Zone) -> Workstation:
    """An enrolled machine."""
    return Workstation(
        id=clock.new_id(),
        establishment_id=zone.establishment_id,
        zone_id=zone.id,
        name="Poste 1",
        is_shared=True,
        secret_digest=digest(clock.new_token()),
        previous_digest=None,
        rotated_at=clock.now(),
        last_seen_at=clock.now(),
        enrolled_by="operator:essai",
        created_at=clock.now(),
        ended_at=None,
    )


def test_zones_come_out_as_they_went_in_and_only_open_ones_of_open_establishments_count(database: Database, clock: FixedClock) -> None:
    lilas, roses = an_establishment(clock.new_id(), "lilas", clock.now()), an_establishment(clock.new_id(), "roses", clock.now())
    days = {"first_day": date(2026, 12, 1), "last_day": date(2026, 12, 31), "valid_from": clock.now(), "valid_until": clock.now()}
    lan = a_zone(clock, lilas.id, "lan", **days)
    with database.write() as tx:
        for place in (lilas, roses):
            tx.establishments.add(place)
        tx.zones.add(lan)
        tx.zones.add(a_zone(clock, lilas.id, "ended", ended_at=clock.now()))
        tx.zones.add(a_zone(clock, roses.id, "lan", is_egress=True, guests_apart="Nadia, le 12 mars"))
    with database.read() as tx:
        assert [(zone.name, slug) for zone, slug in tx.zones.open_with_slugs()] == [("lan", "lilas"), ("lan", "roses")]
        assert tx.zones.of(lilas.id) == (lan,)
        assert tx.zones.named(lilas.id, "lan") == tx.zones.get(lan.id) == lan
        assert tx.zones.named(lilas.id, "ended") is None
    with database.write() as tx:
        tx.zones.change(lan.id, {"networks": ("10.2.0.0/16",), "kind": "vpn"})
        tx.establishments.end(roses.id, clock.now())
    with database.read() as tx:
        assert [(zone.networks, zone.kind) for zone, _ in tx.zones.open_with_slugs()] == [(("10.2.0.0/16",), "vpn")]
    with database.write() as tx:
        assert tx.zones.end(lan.id, clock.now())
        assert not tx.zones.end(lan.id, clock.now())


def test_of_two_that_rotate_a_workstation_at_once_one_does(database: Database, neighbour: Database, clock: FixedClock) -> None:
    place = an_establishment(clock.new_id(), "lilas", clock.now())
    zone = a_zone(clock, place.id, "lan")
    machine = a_workstation(clock, zone)
    with database.write() as tx:
        tx.establishments.add(place)
        tx.zones.add(zone)
        tx.workstations.add(machine)
    barrier = threading.Barrier(4)

    def rotate(view: Database) -> bool:
        barrier.wait()
        with view.write() as tx:
            return tx.workstations.rotate(machine.id, present=machine.secret_digest, next_digest=digest("next"), now=clock.now())

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(rotate, [database, neighbour, database, neighbour])) == [False, False, False, True]
    with database.read() as tx:
        (found,) = tx.workstations.open(zone_id=zone.id)
        assert (found.secret_digest, found.previous_digest) == (digest("next"), machine.secret_digest)
        assert tx.workstations.open(place.id) == tx.workstations.open() == (found,)
        assert tx.workstations.open("elsewhere") == ()
    with database.write() as tx:
        assert tx.workstations.end(machine.id, clock.now())
        assert not tx.workstations.end(machine.id, clock.now())
        assert not tx.workstations.rotate(machine.id, present=digest("next"), next_digest=digest("later"), now=clock.now())
        assert tx.workstations.open_session_ids(machine.id) == []
    with database.read() as tx:
        assert tx.workstations.open() == ()
        assert tx.workstations.get(machine.id) is not None


def test_sign_ins_are_counted_by_where_they_came_from(database: Database, clock: FixedClock) -> None:
    def signed_in(account: str, address: str, why: str, home: str) -> Event:
        origin = dataclasses.replace(ORIGIN, address=address, zone_why=why)
        return Event(
            type=EventType.SIGNIN_SUCCEEDED, at=clock.now(), actor="system", origin=origin, account_id=account, establishment_id=home
        )

    with database.write() as tx:
        tx.events.append(signed_in("a", "192.0.2.1", "no_zone", "lilas"))
        clock.advance(timedelta(days=2))
        for account, home in (("a", "lilas"), ("a", "lilas"), ("b", "roses")):
            tx.events.append(signed_in(account, "192.0.2.1", "no_zone", home))
        tx.events.append(signed_in("c", "192.0.2.1", "address_doubtful", "lilas"))
        tx.events.append(an_event(clock))
    with database.read() as tx:
        assert tx.events.sign_in_addresses(clock.now()) == [("192.0.2.1", "no_zone", 3, 2), ("192.0.2.1", "address_doubtful", 1, 1)]
        assert tx.events.count_signed_in(clock.now()) == 3
        assert tx.events.count_signed_in(clock.now() + timedelta(seconds=1)) == 0
        assert tx.revisions.number("never") == 0
