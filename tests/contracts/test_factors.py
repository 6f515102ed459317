"""The contract of what serves once among second factors, on SQLite and on a real PostgreSQL: steps, counts, recovery codes, passes, roles."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.store.base import Account, Device, Factor, Pass, Role
from idp.store.database import Database
from tests.support.fixed_clock import FixedClock
from tests.support.migrated import Migrated
from tests.support.pens import some_pens
from tests.support.postgresql import PostgreSQLServer
from tests.support.rows import a_factor as plain_factor
from tests.support.rows import an_account, an_attachment, an_establishment

THREADS = 8


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def postgresql_url(postgresql_session: PostgreSQLServer) -> Iterator[str]:
    name = postgresql_session.create()
    yield postgresql_session.url(name)
    postgresql_session.drop(name)


@pytest.fixture(params=["sqlite_url", "postgresql_url"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database(url: str, migrated: Migrated) -> Iterator[Database]:
    """A migrated store."""
    database = Database(migrated.fill(url), synchronous="normal", busy_timeout_seconds=10, pool_size=THREADS, pens=some_pens())
    yield database
    database.close()


@pytest.fixture
def neighbour(database: Database, url: str) -> Iterator[Database]:
    """Another process's view of the same store."""
    other = Database(url, synchronous="normal", busy_timeout_seconds=10, pool_size=THREADS, pens=some_pens())
    yield other
    other.close()


@pytest.fixture
def claire(database: Database, clock: FixedClock) -> Account:
    """The person."""
    return a_person(database, clock, "claire")


def a_person(database: Database, clock: FixedClock, username: str, **changes: Any) -> Account:
    account = an_account(clock.new_id(), username, clock.now(), **changes)
    with database.write() as tx:
        tx.people.add(account, found_by=(("username", username, ""),))
    return account


def a_factor(clock: FixedClock, account: Account, *, kind: str = "totp", step: int | None = 100, count: int | None = None) -> Factor:
    return plain_factor(
        clock.new_id(),
        account.id,
        clock.now(),
        kind=kind,
        label="",
        sealed=b"sealed" if kind == "totp" else None,
        last_step=step if kind == "totp" else None,
        credential_digest=clock.new_token() if kind == "passkey" else None,
        credential_id="id" if kind == "passkey" else None,
        public_key=b"key" if kind == "passkey" else None,
        sign_count=count,
    )


def add(database: Database, factor: Factor) -> Factor:
    with database.write() as tx:
        assert tx.factors.add(factor)
    return factor


def a_pass(clock: FixedClock, account: Account | None, purpose: str = "enrol") -> Pass:
    return Pass(
        digest=clock.new_token(),
        purpose=purpose,  # type: ignore[arg-type]  # as above
        account_id=account.id if account else None,
        establishment_id=None,
        zone_id=None,
        is_shared=False,
        label="",
        issued_by="operator:essai",
        created_at=clock.now(),
        expires_at=clock.now() + timedelta(hours=1),
        used_at=None,
        ended_at=None,
    )


def a_browser(clock: FixedClock, account: Account) -> Device:
    return Device(
        id=clock.new_id(),
        account_id=account.id,
        secret_digest=clock.new_token(),
        previous_digest=None,
        rotated_at=clock.now(),
        user_agent="Firefox",
        address="10.20.5.7",
        remembered_at=None,
        remembered_until=None,
        last_seen_at=clock.now(),
        created_at=clock.now(),
        ended_at=None,
    )


def test_a_step_serves_exactly_one_of_many_callers(database: Database, neighbour: Database, clock: FixedClock, claire: Account) -> None:
    factor = add(database, a_factor(clock, claire))

    def use(number: int) -> bool:
        with (database, neighbour)[number % 2].write() as tx:
            return tx.factors.use_step(factor.id, 101, clock.now())

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(use, range(THREADS))) == 1
    with database.write() as tx:
        assert not tx.factors.use_step(factor.id, 100, clock.now())
        assert tx.factors.use_step(factor.id, 103, clock.now())
        assert not tx.factors.use_step(factor.id, 102, clock.now())
        kept = tx.factors.get(factor.id)
    assert kept is not None
    assert (kept.last_step, kept.last_used_at) == (103, clock.now())


def test_an_ended_factor_serves_nobody(database: Database, clock: FixedClock, claire: Account) -> None:
    factor = add(database, a_factor(clock, claire))
    with database.write() as tx:
        assert tx.factors.end(factor.id, clock.now())
        assert not tx.factors.end(factor.id, clock.now())
        assert not tx.factors.use_step(factor.id, 500, clock.now())
        assert not tx.factors.touch(factor.id, clock.now())
        assert tx.factors.open_of(claire.id) == ()
        ended = tx.factors.get(factor.id)
    assert ended is not None
    assert ended.ended_at == clock.now()


@pytest.mark.parametrize(
    ("stored", "given", "serves"),
    [(0, 0, True), (0, 1, True), (5, 6, True), (5, 5, False), (5, 4, False), (5, 0, False), (None, 0, True), (2**32 - 1, 1, False)],
)
def test_a_sign_count_that_is_used_must_grow(
    database: Database, clock: FixedClock, claire: Account, *, stored: int | None, given: int, serves: bool
) -> None:
    factor = add(database, a_factor(clock, claire, kind="passkey", count=stored))
    with database.write() as tx:
        assert tx.factors.use_count(factor.id, given, clock.now()) is serves
        kept = tx.factors.get(factor.id)
    assert kept is not None
    assert kept.sign_count == (given if serves else stored)


def test_a_credential_is_enrolled_once_and_found_while_it_has_not_ended(database: Database, clock: FixedClock, claire: Account) -> None:
    passkey = add(database, a_factor(clock, claire, kind="passkey", count=0))
    rose = a_person(database, clock, "rose")
    assert passkey.credential_digest is not None
    with database.write() as tx:
        assert not tx.factors.add(replace(passkey, id=clock.new_id(), account_id=rose.id))
        assert tx.factors.by_credential(passkey.credential_digest) == passkey
        tx.factors.end(passkey.id, clock.now())
        assert tx.factors.by_credential(passkey.credential_digest) is None


def test_factors_are_listed_oldest_first_and_renamed(database: Database, clock: FixedClock, claire: Account) -> None:
    first = add(database, a_factor(clock, claire))
    clock.advance(timedelta(seconds=1))
    second = add(database, a_factor(clock, claire, kind="passkey"))
    with database.write() as tx:
        assert [one.id for one in tx.factors.open_of(claire.id)] == [first.id, second.id]
        tx.factors.rename(first.id, "Téléphone")
        assert [one.label for one in tx.factors.open_of(claire.id)] == ["Téléphone", ""]


def test_a_recovery_code_burns_for_exactly_one_of_many(database: Database, neighbour: Database, clock: FixedClock, claire: Account) -> None:
    with database.write() as tx:
        tx.recovery_codes.replace(claire.id, ("a" * 43, "b" * 43), clock.now())

    def burn(number: int) -> bool:
        with (database, neighbour)[number % 2].write() as tx:
            return tx.recovery_codes.burn(claire.id, "a" * 43, clock.now())

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(burn, range(THREADS))) == 1
    rose = a_person(database, clock, "rose")
    with database.write() as tx:
        assert tx.recovery_codes.left(claire.id) == 1
        assert not tx.recovery_codes.burn(rose.id, "b" * 43, clock.now())
        made = clock.now()
        clock.advance(timedelta(days=1))
        assert tx.recovery_codes.made_at(claire.id) == made
        tx.recovery_codes.replace(claire.id, ("c" * 43,), clock.now())
        assert not tx.recovery_codes.burn(claire.id, "b" * 43, clock.now())
        assert tx.recovery_codes.made_at(claire.id) == clock.now()
        assert tx.recovery_codes.end_all(claire.id, clock.now()) == 1
        assert (tx.recovery_codes.left(claire.id), tx.recovery_codes.made_at(rose.id)) == (0, None)


def test_a_pass_is_redeemed_by_exactly_one_of_many(database: Database, neighbour: Database, clock: FixedClock, claire: Account) -> None:
    given = a_pass(clock, claire)
    with database.write() as tx:
        tx.passes.add(given)

    def redeem(number: int) -> bool:
        with (database, neighbour)[number % 2].write() as tx:
            return tx.passes.redeem(given.digest, "enrol", clock.now())

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(redeem, range(THREADS))) == 1
    with database.read() as tx:
        assert tx.passes.get(given.digest) == replace(given, used_at=clock.now())
        assert tx.passes.get("unheard of") is None


def test_a_pass_is_worth_nothing_late_for_another_purpose_or_ended(database: Database, clock: FixedClock, claire: Account) -> None:
    late, other, ended = a_pass(clock, claire), a_pass(clock, claire, "sign_in"), a_pass(clock, claire)
    with database.write() as tx:
        tx.passes.add(ended)
        assert tx.passes.end_unused(claire.id, clock.now(), purpose="enrol") == 1
        tx.passes.add(late)
        tx.passes.add(other)
        tx.passes.add(a_pass(clock, None, "workstation"))
        assert not tx.passes.redeem(ended.digest, "enrol", clock.now())
        assert not tx.passes.redeem(other.digest, "enrol", clock.now())
        assert {one.digest for one in tx.passes.open_of(claire.id, clock.now())} == {late.digest, other.digest}
        assert not tx.passes.redeem(late.digest, "enrol", late.expires_at)
        assert tx.passes.open_of(claire.id, late.expires_at) == ()
        assert tx.passes.end_unused(claire.id, clock.now()) == 2


def test_what_was_used_up_long_ago_is_swept_and_nothing_else(database: Database, clock: FixedClock, claire: Account) -> None:
    used, late = a_pass(clock, claire), a_pass(clock, claire, "sign_in")
    with database.write() as tx:
        tx.passes.add(used)
        tx.passes.add(late)
        tx.passes.redeem(used.digest, "enrol", clock.now())
        tx.recovery_codes.replace(claire.id, ("a" * 43, "b" * 43), clock.now())
        tx.recovery_codes.burn(claire.id, "a" * 43, clock.now())
    began = clock.now()
    clock.advance(timedelta(hours=2))
    fresh = a_pass(clock, claire)
    with database.write() as tx:
        tx.passes.add(fresh)
        assert tx.sweep.delete_passes(began) == 0
        assert tx.sweep.delete_passes(clock.now()) == 3
        assert (tx.passes.get(used.digest), tx.passes.get(late.digest)) == (None, None)
        assert tx.passes.get(fresh.digest) == fresh
        assert tx.recovery_codes.left(claire.id) == 1


def test_a_browser_that_ended_long_ago_is_swept_and_nothing_else(database: Database, clock: FixedClock, claire: Account) -> None:
    lost, kept = a_browser(clock, claire), a_browser(clock, claire)
    with database.write() as tx:
        tx.devices.add(lost)
        tx.devices.add(kept)
        assert tx.devices.end(lost.id, clock.now())
    ended = clock.now()
    clock.advance(timedelta(days=400))
    with database.write() as tx:
        assert tx.sweep.delete_devices(ended) == 0
        assert tx.sweep.delete_devices(clock.now()) == 1
        assert tx.devices.get(lost.id) is None
        assert tx.devices.open_of(claire.id) == (kept,)


def test_roles_are_those_that_have_not_ended(database: Database, clock: FixedClock, claire: Account) -> None:
    roles = [
        Role(
            id=clock.new_id(),
            account_id=claire.id,
            role=name,
            establishment_id=None,
            given_by="operator:essai",
            created_at=clock.now(),
            ended_at=None,
        )
        for name in ("group_administrator", "it_contact")
    ]
    with database.write() as tx:
        for role in roles:
            tx.roles.add(role)
        assert tx.roles.open_of(claire.id) == tuple(roles)
        assert tx.roles.holders("group_administrator") == (roles[0],)
        assert tx.roles.end(roles[0].id, clock.now())
        assert not tx.roles.end(roles[0].id, clock.now())
        assert tx.roles.holders() == (roles[1],)


def test_who_has_no_factor_is_listed_in_a_demonstration_too(database: Database, clock: FixedClock) -> None:
    place, demo = an_establishment(clock.new_id(), "tilleuls", clock.now()), a_person(database, clock, "demo", is_demo=True)
    with database.write() as tx:
        tx.establishments.add(place)
        tx.people.attach(an_attachment(clock.new_id(), demo.id, place.id, clock.now()))
        assert [one.account for one in tx.factors.unequipped(clock.now())] == [demo]


def test_who_has_no_factor_is_listed_once_a_place(database: Database, clock: FixedClock, claire: Account) -> None:
    rose, hugo = a_person(database, clock, "rose"), a_person(database, clock, "hugo")
    places = [an_establishment(clock.new_id(), slug, clock.now()) for slug in ("tilleuls", "glycines")]
    add(database, a_factor(clock, hugo))
    with database.write() as tx:
        for place in places:
            tx.establishments.add(place)
        for person, place in ((claire, places[0]), (claire, places[1]), (rose, places[1]), (hugo, places[0])):
            tx.people.attach(an_attachment(clock.new_id(), person.id, place.id, clock.now()))
        tx.people.attach(an_attachment(clock.new_id(), rose.id, places[0].id, clock.now(), valid_until=clock.now()))
        found = list(tx.factors.unequipped(clock.now()))
        assert [(one.account.username, one.establishment_id) for one in found] == [
            ("claire", places[1].id),
            ("claire", places[0].id),
            ("rose", places[1].id),
        ]
        assert {(one.last_sign_in, one.sign_ins_outside) for one in found} == {(None, 0)}
        assert [one.account.username for one in tx.factors.unequipped(clock.now(), establishment_id=places[0].id)] == ["claire"]
