"""A PostgreSQL that is stopped, killed, hung, full or read-only under a running Vestibule: a clean 503 within a bound, nothing half done or usable
twice, and back to work without a restart."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from idp.errors import StoreUnavailable
from idp.store.database import Database
from idp.store.postgresql import Patience
from tests.faults.test_stores_down import a_code, assert_down, writing_requests
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.postgresql import PostgreSQLServer, postgresql_serving
from tests.support.processes import wait_until
from tests.support.stores import Stores, database_name
from tests.support.world import Furniture, World, furnish

SHORT = {"busy_timeout": "1s", "connect_timeout": "2s", "statement_timeout": "2s"}
BOUND = 20.0  # two tries to connect, one statement, and a machine that stalls


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    """A server of this module's own: nobody else's tests are stopped with it. What it committed outlives a kill."""
    with postgresql_serving("synchronous_commit=on") as running:
        yield running


@pytest.fixture(scope="module")
def on_postgresql(server: PostgreSQLServer, tmp_path_factory: pytest.TempPathFactory, session_listener: Listener) -> Furniture:
    """What this module's worlds are copied from."""
    return furnish(tmp_path_factory.mktemp("on-postgresql"), FixedClock(), session_listener, stores=Stores(server))


@pytest.fixture
def world(on_postgresql: Furniture, tmp_path: Path, clock: FixedClock, listener: Listener) -> Iterator[World]:
    """A Vestibule that does not wait long."""
    made = World(on_postgresql, tmp_path, clock=clock, listener=listener, settings={"database": SHORT, "sessions": {"concurrent": None}})
    yield made
    made.close()


@contextmanager
def stopped(server: PostgreSQLServer) -> Iterator[None]:
    """Stopped by an operator for a while."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def killed(server: PostgreSQLServer) -> Iterator[None]:
    """Killed, and started again a while later."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def hung(server: PostgreSQLServer) -> Iterator[None]:
    """Alive and deaf for a while."""
    server.hang()
    try:
        yield
    finally:
        server.wake()


@contextmanager
def read_only(server: PostgreSQLServer) -> Iterator[None]:
    """It takes no writes, as a standby or a service whose disk is full."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    reload(server, "on")
    try:
        yield
    finally:
        server.execute("SET default_transaction_read_only = off")
        server.execute("ALTER SYSTEM RESET default_transaction_read_only")
        reload(server, "off")


def reload(server: PostgreSQLServer, expected: str) -> None:
    """Have the settings read again; whoever asks from then on finds `default_transaction_read_only` as expected."""

    def shown() -> str:
        with psycopg.connect(server.url()) as fresh:  # its parent has told the others by then
            return str(fresh.execute("SHOW default_transaction_read_only").fetchone()[0])  # type: ignore[index]

    server.execute("SELECT pg_reload_conf()")
    wait_until(lambda: shown() == expected, seconds=60)


def name_of(world: World) -> str:
    """The world's database."""
    return database_name({"database": {"url": world.config.database.url}})


Away = Callable[[PostgreSQLServer], AbstractContextManager[None]]
AWAY = pytest.mark.parametrize("away", [stopped, killed, hung], ids=["stopped", "killed", "hung"])


@AWAY
def test_everything_answers_503_within_a_bound_and_works_again_without_a_restart(
    world: World, server: PostgreSQLServer, away: Callable[[PostgreSQLServer], "contextmanager[None]"]
) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, browser = signed_in.party, signed_in.browser
    code, refresh = a_code(browser, party), signed_in.tokens.refresh
    begun = party.begun
    lines = len(world.events())
    with away(server):  # type: ignore[attr-defined]
        acts = (
            *writing_requests(party, code),
            lambda: party.refresh(refresh),
            lambda: party.introspect(signed_in.tokens.access),
            lambda: party.userinfo(signed_in.tokens.access),
            lambda: browser.request("GET", party.begin()),
            lambda: browser.request("GET", "/account"),
        )
        for act in acts[:: 3 if away is hung else 1]:  # each of them waits, for real
            began = time.monotonic()
            assert_down(act())
            assert time.monotonic() - began < BOUND
        assert browser.request("GET", "/healthz").status_code == 200
        assert browser.request("GET", "/readyz").status_code == 503
    assert browser.request("GET", "/readyz").status_code == 200
    assert len(world.events()) == lines
    # What was refused was not used: both are good once, and once only.
    party.begun = begun
    assert party.redeem(code).status_code == 200
    assert party.redeem(code).status_code == 400
    assert party.refresh(refresh).status_code == 200


@pytest.mark.parametrize("away", [stopped, killed], ids=["stopped", "killed"])
def test_nothing_is_half_issued_or_usable_twice_when_the_server_goes_away_under_load(
    world: World, server: PostgreSQLServer, away: Away
) -> None:
    """Sign-ins go on all the time: what was answered stays good, what was not can be asked again, and no code or token serves twice."""
    world.sign_in("claire", "carnet")
    statuses: list[int] = []
    given: list[str] = []
    over = threading.Event()

    def sign_in_again_and_again(person: str) -> None:
        party = world.relying_party("carnet")
        while not over.is_set():
            browser = world.browser(address=world.lan_of(person))
            page = browser.get(party.begin(scope="openid offline_access"))
            if page.status == 200 and "signin-form" in page.forms:
                page = browser.sign_in(world.person(person).username, world.password, page=page)
            statuses.append(page.status if page.callback is None else 302)
            if page.callback is None:
                continue
            answers = [party.redeem(page.callback["code"]) for _ in range(2)]
            good = [answer for answer in answers if answer.status_code == 200]
            assert {answer.status_code for answer in answers} <= {200, 400, 503}
            assert len(good) <= 1, "one code gave tokens twice"
            if len(good) == 1 and answers[0].status_code == 200 and answers[1].status_code == 503:
                given.append(good[0].json()["refresh_token"])  # the Grant lives: nobody could say that the code came twice

    threads = [threading.Thread(target=sign_in_again_and_again, args=(person,)) for person in ("claire", "karim", "rose")]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            come(statuses, 302)
            with away(server):
                come(statuses, 503)
        come(statuses, 302)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert set(statuses) <= {302, 503, 410}, (
        sorted(set(statuses)),
        [(e["reason"], e["details"]) for e in world.events("signin.refused")][:5],
    )
    party = world.relying_party("carnet")
    for token in given:
        assert party.refresh(token).status_code == 200
    with world.database.read() as tx:
        half = tx.connection.execute(
            text("SELECT count(*) FROM grants g WHERE NOT EXISTS (SELECT 1 FROM codes c WHERE c.grant_id = g.id)")
        ).scalar_one()
        lost = tx.connection.execute(
            text(
                "SELECT count(*) FROM sessions s WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.session_id = s.id AND e.type = 'session.opened')"
            )
        ).scalar_one()
    assert (half, lost) == (0, 0)


def come(statuses: list[int], status: int) -> None:
    """Wait for two answers of a status from now on."""
    before = len(statuses)
    wait_until(lambda: statuses[before:].count(status) >= 2, seconds=40)


@AWAY
def test_a_transaction_in_progress_writes_nothing_when_the_server_goes_away(
    world: World, server: PostgreSQLServer, away: Callable[[PostgreSQLServer], "contextmanager[None]"]
) -> None:
    began = 0.0
    with suppress(StoreUnavailable), world.application.database.write() as tx:
        tx.revisions.advance("tally")
        with away(server):  # type: ignore[attr-defined]
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                raise_from_here(tx.connection, began)
    with world.database.read() as tx:
        assert tx.revisions.get("tally") is None


def raise_from_here(connection: object, began: float) -> None:
    """A statement on a connection whose server is away, as the transaction's end would tell it."""
    try:
        connection.execute(text("SELECT 1"))  # type: ignore[attr-defined]
    except Exception as error:
        assert time.monotonic() - began < BOUND
        raise StoreUnavailable("store_unavailable", str(error)) from error


def test_sign_in_goes_on_when_the_server_was_away_at_its_end(world: World, server: PostgreSQLServer) -> None:
    browser, party = world.browser(), world.relying_party("carnet")
    page = browser.get(party.begin())
    with stopped(server):
        failed = browser.sign_in(world.person("claire").username, world.password, page=page)
        assert (failed.status, failed.callback) == (503, None)
        assert failed.support_code is not None
    again = browser.get(page.url)
    if again.callback is None:
        again = browser.sign_in(world.person("claire").username, world.password, page=again)
    assert again.callback is not None
    assert party.redeem(again.callback["code"]).status_code == 200


def test_nobody_notices_when_idle_connections_were_ended(world: World, server: PostgreSQLServer) -> None:
    signed_in = world.sign_in("claire", "carnet")
    with ThreadPoolExecutor(6) as pool:  # several connections are kept
        assert {answer.status_code for answer in pool.map(lambda _: signed_in.party.userinfo(signed_in.tokens.access), range(12))} == {200}
    server.end_connections(name_of(world))
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 200
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200


def test_nothing_is_kept_when_a_connection_is_ended_in_the_middle(world: World, server: PostgreSQLServer) -> None:
    def go_on() -> None:
        with world.application.database.write() as tx:
            tx.revisions.advance("tally")
            server.end_connections(name_of(world))
            tx.revisions.advance("tally")

    with pytest.raises(StoreUnavailable):
        go_on()
    with world.application.database.write() as tx:
        assert tx.revisions.advance("tally") == 1


def test_reading_goes_on_and_writing_is_a_503_when_the_server_is_read_only(world: World, server: PostgreSQLServer) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party = signed_in.party
    with read_only(server):
        assert_down(party.refresh(signed_in.tokens.refresh))
        assert_down(party.client_credentials())
        assert party.userinfo(signed_in.tokens.access).status_code == 200
    assert party.refresh(signed_in.tokens.refresh).status_code == 200


def test_an_account_that_somebody_holds_too_long_is_a_503_and_nothing_is_used(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    other = world.sign_in("rose", "carnet")
    with world.database.write() as tx:
        tx.people.hold(world.account("claire").id)
        began = time.monotonic()
        assert_down(signed_in.party.refresh(signed_in.tokens.refresh))
        assert time.monotonic() - began < BOUND
        # Nobody else is held up.
        assert other.party.refresh(other.tokens.refresh).status_code == 200
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200


def test_two_that_wait_for_one_another_are_a_conflict_for_one_of_them(world: World) -> None:
    accounts = [world.account("claire").id, world.account("rose").id]
    database = Database(world.config.database.url, synchronous="full", busy_timeout_seconds=10, pool_size=2)
    barrier = threading.Barrier(2)

    def cross(order: list[str]) -> str:
        try:
            with database.write() as tx:
                tx.people.hold(order[0])
                barrier.wait()
                tx.people.hold(order[1])
        except StoreUnavailable as error:
            return error.reason
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(cross, [accounts, accounts[::-1]])) == ["done", "store_conflict"]
    barrier.reset()

    def together(order: list[str]) -> None:
        barrier.wait()
        with database.write() as tx:
            tx.people.hold(*order)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):  # held in one call, they are held in one order
            list(pool.map(together, [accounts, accounts[::-1]]))
    database.close()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("53100", "store_unavailable"),  # disk_full
        ("53200", "store_unavailable"),  # out_of_memory
        ("57P01", "store_unavailable"),  # admin_shutdown
        ("57014", "store_unavailable"),  # query_canceled: statement_timeout
        ("25006", "store_unavailable"),  # read_only_sql_transaction
        ("58030", "store_unavailable"),  # io_error
        ("XX001", "store_unavailable"),  # data_corrupted
        ("40001", "store_conflict"),
        ("40P01", "store_conflict"),
    ],
)
def test_what_the_server_says_of_itself_is_unavailable(world: World, state: str, reason: str) -> None:
    with pytest.raises(StoreUnavailable) as caught, world.application.database.write() as tx:
        tx.connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'said so' USING ERRCODE = '{state}'; END $$"))
    assert (caught.value.reason, caught.value.detail) == (reason, "said so")
    with world.application.database.write() as tx:
        tx.revisions.advance("tally")


def test_too_many_connections_is_unavailable(server: PostgreSQLServer, world: World) -> None:
    server.execute("DROP ROLE IF EXISTS narrow")
    server.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1")
    url = world.config.database.url.replace("vestibule@", "narrow@")
    wide, narrow = (Database(url, synchronous="full", busy_timeout_seconds=1, pool_size=1) for _ in range(2))
    with wide.read(), pytest.raises(StoreUnavailable, match="too many connections"), narrow.read():
        pass
    for view in (wide, narrow):
        view.close()


def test_no_more_connections_are_opened_than_allowed(world: World) -> None:
    database = Database(world.config.database.url, synchronous="full", busy_timeout_seconds=10, pool_size=3)

    def connections(_: int) -> int:
        with database.read() as tx:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vestibule' AND datname = current_database()"
            return int(tx.connection.execute(text(query)).scalar_one())

    with ThreadPoolExecutor(12) as pool:
        assert max(pool.map(connections, range(60))) <= 3
    database.close()


def test_who_holds_a_row_never_waits_for_those_who_wait_for_it(world: World) -> None:
    account = world.account("claire").id
    database = Database(world.config.database.url, synchronous="full", busy_timeout_seconds=5, pool_size=2)

    def look(_: int) -> None:
        with database.write() as tx:
            tx.people.hold(account)
            with database.read() as other:  # every connection of the pool may be waiting for the account by now
                assert other.people.get(account) is not None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(look, range(40)))
    database.close()


def test_a_transaction_that_goes_on_after_an_error_is_not_taken_for_done(world: World) -> None:
    def go_on() -> None:
        with world.application.database.write() as tx:
            tx.revisions.advance("tally")
            with suppress(Exception):
                tx.connection.execute(text("SELECT nothing"))

    with pytest.raises(RuntimeError, match="went on"):
        go_on()
    with world.database.read() as tx:
        assert tx.revisions.get("tally") is None


def test_a_transaction_that_does_nothing_is_ended_by_the_server(world: World) -> None:
    patience = Patience(idle=timedelta(seconds=1))
    database = Database(world.config.database.url, synchronous="full", busy_timeout_seconds=5, pool_size=1, patience=patience)
    account = world.account("claire").id

    def do_nothing() -> None:
        with database.write() as tx:
            tx.people.hold(account)
            time.sleep(4)  # real time: the server's clock is not ours to move
            tx.people.hold(account)

    with pytest.raises(StoreUnavailable):
        do_nothing()
    with database.write() as tx:
        tx.people.hold(account)
    database.close()


def test_a_password_beside_the_url_is_used_and_never_shown(world: World, server: PostgreSQLServer) -> None:
    database = Database(
        world.config.database.url, synchronous="full", busy_timeout_seconds=1, pool_size=1, password="mot-de-passe de la base '\\"
    )
    database.ping()
    assert "mot-de-passe" not in repr(database.__dict__) + repr(database.engine)
    database.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(server.url("nowhere"))
    missing = Database(server.url("nowhere"), synchronous="full", busy_timeout_seconds=1, pool_size=1)
    with pytest.raises(StoreUnavailable, match="does not exist"):
        missing.ping()
    missing.close()
