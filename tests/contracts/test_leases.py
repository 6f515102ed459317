"""The contract of leases (idp.store.leases): one holder at a time, a fence that only grows, and writes of a holder who was put aside refused."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from idp.config import DatabaseSettings
from idp.store.base import Lease
from idp.store.database import Database, Transaction
from idp.store.leases import Fenced, LeaseLost
from idp.supervision import has_died, own_name
from idp.tenure import LEASE, LOOK_EVERY, Tenure
from tests.support.fixed_clock import FixedClock
from tests.support.migrated import Migrated
from tests.support.postgresql import PostgreSQLServer
from tests.support.stores import Stores

TTL = timedelta(seconds=15)
THREADS = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path, migrated: Migrated) -> Iterator[tuple[Database, Database]]:
    """Two hosts' views of one store."""
    server: PostgreSQLServer | None = request.getfixturevalue("postgresql_session") if request.param == "postgresql" else None
    stores = Stores(server)
    settings = DatabaseSettings.model_validate(stores.place(tmp_path)["database"])
    migrated.fill(settings.url)
    one, other = Database.of(settings, pool_size=THREADS), Database.of(settings, pool_size=THREADS)
    yield one, other
    one.close()
    other.close()
    stores.remove(tmp_path)


@pytest.fixture
def database(databases: tuple[Database, Database]) -> Database:
    """One host's view."""
    return databases[0]


def take(database: Database, holder: str, clock: FixedClock) -> Lease | None:
    with database.write() as tx:
        return tx.leases.take("work", holder, now=clock.now(), ttl=TTL)


def taken(database: Database, holder: str, clock: FixedClock) -> Lease:
    lease = take(database, holder, clock)
    assert lease is not None
    return lease


def test_one_holds_the_lease_until_it_is_over(databases: tuple[Database, Database], clock: FixedClock) -> None:
    one, other = databases
    lease = taken(one, "one", clock)
    assert (lease.name, lease.holder, lease.fence, lease.expires_at) == ("work", "one", 1, clock.now() + TTL)
    assert take(other, "other", clock) is None
    clock.advance(TTL - timedelta(microseconds=1))
    assert take(other, "other", clock) is None
    clock.advance(timedelta(microseconds=1))
    assert taken(other, "other", clock).fence == 2
    with one.read() as tx:
        held = tx.leases.get("work")
    assert held is not None
    assert held.holder == "other"


def test_leases_of_other_names_are_their_own(database: Database, clock: FixedClock) -> None:
    taken(database, "one", clock)
    with database.write() as tx:
        assert tx.leases.get("sync siege") is None
        assert tx.leases.take("sync siege", "other", now=clock.now(), ttl=TTL) is not None


def test_a_renewed_lease_keeps_its_fence_and_lasts_longer(databases: tuple[Database, Database], clock: FixedClock) -> None:
    one, other = databases
    lease = taken(one, "one", clock)
    clock.advance(timedelta(seconds=10))
    with one.write() as tx:
        lease = tx.leases.renew(lease, now=clock.now(), ttl=TTL)
    assert (lease.fence, lease.expires_at) == (1, clock.now() + TTL)
    clock.advance(timedelta(seconds=10))
    assert take(other, "other", clock) is None


def test_a_lease_that_is_over_and_that_nobody_took_can_be_renewed(database: Database, clock: FixedClock) -> None:
    lease = taken(database, "one", clock)
    clock.advance(TTL * 2)
    with database.write() as tx:
        assert tx.leases.renew(lease, now=clock.now(), ttl=TTL).fence == 1
        tx.leases.check("work", 1)


def test_who_was_put_aside_can_neither_renew_nor_release_nor_pass_the_check(
    databases: tuple[Database, Database], clock: FixedClock
) -> None:
    one, other = databases
    old = taken(one, "one", clock)
    clock.advance(TTL)
    new = taken(other, "other", clock)
    with pytest.raises(LeaseLost), one.write() as tx:
        tx.leases.renew(old, now=clock.now(), ttl=TTL)
    with pytest.raises(LeaseLost), one.write() as tx:
        tx.leases.check("work", old.fence)
    with one.write() as tx:
        assert tx.leases.release(old) is False
    with other.write() as tx:
        tx.leases.check("work", new.fence)


def test_a_released_lease_is_free_at_once_even_for_a_clock_that_is_behind(databases: tuple[Database, Database], clock: FixedClock) -> None:
    one, other = databases
    lease = taken(one, "one", clock)
    with one.write() as tx:
        assert tx.leases.release(lease) is True
    behind = FixedClock(clock.now() - timedelta(hours=1))
    assert taken(other, "other", behind).fence == 2
    with pytest.raises(LeaseLost), one.write() as tx:
        tx.leases.check("work", lease.fence)


def test_who_released_the_lease_does_not_pass_the_check_before_another_took_it(database: Database, clock: FixedClock) -> None:
    lease = taken(database, "one", clock)
    with database.write() as tx:
        tx.leases.release(lease)
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.check("work", lease.fence)
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.renew(lease, now=clock.now(), ttl=TTL)


@pytest.mark.parametrize("is_first", [True, False])
def test_one_of_many_takes_the_lease_when_all_try_at_once(databases: tuple[Database, Database], clock: FixedClock, is_first: bool) -> None:
    if not is_first:
        taken(databases[0], "one", clock)
    for round_number in range(5):
        if round_number or not is_first:
            clock.advance(TTL)
        barrier = threading.Barrier(THREADS)

        def attempt(index: int, barrier: threading.Barrier = barrier) -> Lease | None:
            barrier.wait()
            return take(databases[index % 2], f"host {index}", clock)

        with ThreadPoolExecutor(THREADS) as pool:
            won = [lease for lease in pool.map(attempt, range(THREADS)) if lease is not None]
        assert len(won) == 1
        assert won[0].fence == round_number + (1 if is_first else 2)


def write_something(tx: Transaction) -> None:
    tx.revisions.advance("something")


def writes(database: Database) -> int:
    with database.read() as tx:
        revision = tx.revisions.get("something")
    return revision.number if revision else 0


def test_nothing_of_a_stale_holder_is_written(databases: tuple[Database, Database], clock: FixedClock) -> None:
    old, new = (Tenure(database, clock, ttl=TTL) for database in databases)
    fenced = Fenced(databases[0], old.check)
    assert old.stand() == 1
    with fenced.write() as tx:
        write_something(tx)
    clock.advance(TTL)
    assert new.stand() == 2
    with pytest.raises(LeaseLost), fenced.write() as tx:
        write_something(tx)
    assert writes(databases[0]) == 1
    with pytest.raises(LeaseLost):
        old.stand()
    old.forget()
    assert old.stand() is None
    assert not old.is_active


def test_nobody_writes_through_the_fence_without_the_lease(databases: tuple[Database, Database], clock: FixedClock) -> None:
    tenure = Tenure(databases[0], clock, ttl=TTL)
    with pytest.raises(LeaseLost), Fenced(databases[0], tenure.check).write() as tx:
        write_something(tx)
    with Fenced(databases[0], tenure.check).read() as tx:
        assert tx.revisions.get("something") is None


def test_the_lease_cannot_change_hands_between_the_check_and_the_commit(databases: tuple[Database, Database], clock: FixedClock) -> None:
    one, other = databases
    tenure = Tenure(one, clock, ttl=TTL)
    tenure.stand()
    order: list[str] = []

    def take_over() -> None:
        taken(other, "other", clock)
        order.append("taken")

    with one.write() as tx:
        tenure.check(tx)
        clock.advance(TTL)
        thief = threading.Thread(target=take_over)
        thief.start()
        thief.join(0.3)
        write_something(tx)
        order.append("written")
    thief.join(60)
    assert order == ["written", "taken"]


def test_the_holder_stays_as_long_as_it_goes_round_and_the_next_takes_over_when_it_stops(
    databases: tuple[Database, Database], clock: FixedClock
) -> None:
    one, other = (Tenure(database, clock, ttl=TTL) for database in databases)
    assert (one.stand(), other.stand()) == (1, None)
    for _ in range(60):
        clock.advance(LOOK_EVERY)
        assert (one.stand(), other.stand()) == (None, None)
    assert (one.is_active, other.is_active) == (True, False)
    for _ in range(16):
        clock.advance(LOOK_EVERY)
        other.stand()
    assert other.is_active


def test_the_next_takes_over_within_a_second_of_a_clean_stop(databases: tuple[Database, Database], clock: FixedClock) -> None:
    one, other = (Tenure(database, clock, ttl=TTL) for database in databases)
    one.stand()
    other.stand()
    one.release()
    assert not one.is_active
    clock.advance(LOOK_EVERY)
    assert other.stand() == 2


def test_a_job_longer_than_the_lease_keeps_it_by_its_writes(databases: tuple[Database, Database], clock: FixedClock) -> None:
    one, other = (Tenure(database, clock, ttl=TTL) for database in databases)
    one.stand()
    fenced = Fenced(databases[0], one.check)
    for _ in range(10):
        clock.advance(TTL / 2)
        with fenced.write() as tx:
            write_something(tx)
        assert other.stand() is None
    assert writes(databases[0]) == 10
    with databases[0].read() as tx:
        held = tx.leases.get(LEASE)
    assert held is not None
    assert held.fence == 1


def test_a_dead_process_of_this_machine_is_not_waited_for(databases: tuple[Database, Database], clock: FixedClock) -> None:
    command = [sys.executable, "-c", "from idp.supervision import own_name; print(own_name())"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert has_died(name)
    lease = taken(databases[0], name, clock)
    assert Tenure(databases[1], clock, ttl=TTL).stand() == 2
    with pytest.raises(LeaseLost), databases[0].write() as tx:
        tx.leases.check("work", lease.fence)
    # It was judged dead as it was then: a lease that changed hands since is another one.
    with databases[1].write() as tx:
        assert tx.leases.take("work", "third", now=clock.now(), ttl=TTL, instead_of=lease) is None


def test_a_process_that_may_be_alive_is_waited_for(database: Database, clock: FixedClock) -> None:
    host, place, pid, began = own_name().split(" ")
    assert not has_died(own_name())
    assert len(own_name()) <= 120
    assert has_died(f"{host} {place} {pid} {int(began) + 1}"), "the number was given to another process"
    for name in (f"{host} another-boot:1 {pid} 0", f"{host} - {pid} 0", "sync", ""):
        assert not has_died(name)
    taken(database, f"elsewhere another-boot:1 {pid} 0", clock)
    assert Tenure(database, clock, ttl=TTL).stand() is None
