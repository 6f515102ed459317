"""A directory that breaks while it is being read, or leaves people out: nobody is judged absent by half a listing."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.base import Directory, Identity, SourceMisbehaved
from idp.audit import Author, Origin
from idp.composition.sources import open_directories
from idp.config import load
from idp.errors import StoreUnavailable, VestibuleError
from idp.lifecycle import reading
from idp.lifecycle.reconcile import Reconciler
from idp.lifecycle.runs import LEASE_TTL, Failure, Report
from idp.signin.linking import Adopted, Linking
from idp.store.base import SyncRun
from idp.store.database import Database, Transaction
from tests.support.fixed_clock import FixedClock
from tests.support.ldap_server import IMPATIENT
from tests.support.operator import Operator
from tests.support.pens import pens_of
from tests.support.slapd import Slapd
from tests.support.unwatched import Unwatched

AUTHOR = Author("operator:nightly", Origin("0123456789", "local"))


class Interfering:
    """The real directory, with something that happens after so many people are listed."""

    def __init__(self, directory: Directory, after: int, happening: Callable[[], None]) -> None:
        self._directory = directory
        self._after = after
        self._happening = happening
        self.name = directory.name

    def people(self) -> Iterator[Identity]:
        for number, identity in enumerate(self._directory.people()):
            if number == self._after:
                self._happening()
            yield identity

    def __getattr__(self, name: str) -> object:
        return getattr(self._directory, name)


class Bench:
    """A store, a directory of a page size so small that reading takes several exchanges, and runs on them."""

    def __init__(self, operator: Operator, slapd: Slapd, **override: Any) -> None:
        slapd_settings = slapd.settings(page_size=10, breaker_failures=100, **override)
        operator.configure(directories=[slapd_settings])
        self.config = load(operator.config_path)
        self.clock = FixedClock()
        self.database = Database.of(self.config.database, pool_size=4, pens=pens_of(self.config))
        self.directories = open_directories(self.config, self.clock)
        found = self.directories.get("annuaire")
        assert found is not None
        self.directory = found
        for number in range(60):
            slapd.add_person(f"p.{number}", departmentNumber="SI")

    def reconciler(self, directory: Directory | None = None) -> Reconciler:
        linking = Linking(self.config, self.clock)
        return Reconciler(
            self.database, directory or self.directory, linking, settings=self.config.sync, author=AUTHOR, clock=self.clock
        )  # fmt: skip

    def run(self, directory: Directory | None = None) -> Report:
        self.clock.advance(timedelta(minutes=1))
        return self.reconciler(directory).run(Unwatched())

    def statuses(self) -> Counter[str]:
        with self.database.read() as tx:
            return Counter(account.status for account in tx.people.all())

    def attached(self) -> int:
        with self.database.read() as tx:
            return sum(one.ended_at is None for account in tx.people.all() for one in tx.people.attachments(account.id))

    def runs(self) -> tuple[SyncRun, ...]:
        with self.database.read() as tx:
            return tx.links.runs("annuaire")

    def close(self) -> None:
        self.directories.close()
        self.database.close()


@pytest.fixture
def bench(operator: Operator, slapd: Slapd) -> Iterator[Bench]:
    with closing(Bench(operator, slapd)) as bench:
        yield bench


@pytest.fixture
def impatient(operator: Operator, slapd: Slapd) -> Iterator[Bench]:
    """One whose directory is to hang."""
    with closing(Bench(operator, slapd, **IMPATIENT)) as bench:
        yield bench


def interfering(bench: Bench, after: int, happening: Callable[[], None]) -> Directory:
    return Interfering(bench.directory, after, happening)  # type: ignore[return-value]  # the rest is the real directory's


def test_nobody_is_judged_when_the_directory_stops_in_the_middle_of_the_listing(bench: Bench, slapd: Slapd) -> None:
    assert bench.run().counts["added"] == 65
    slapd.disable("p.1")
    report = bench.run(interfering(bench, 15, slapd.stop))
    assert (report.state, report.trouble) in {("failed", "closed"), ("failed", "refused")}
    assert (bench.statuses(), bench.runs()[0].state) == ({"active": 65}, "failed")
    slapd.start()
    assert bench.run().counts["ended"] == 1


def test_a_first_import_that_breaks_is_taken_up_by_the_next_run(bench: Bench, slapd: Slapd) -> None:
    report = bench.run(interfering(bench, 45, slapd.stop))
    assert report.state == "failed"
    slapd.start()
    second = bench.run()
    assert second.state == "done"
    assert bench.statuses() == {"active": 65}
    assert report.counts["added"] + second.counts["added"] == 65


def test_a_hung_directory_fails_the_run_in_time_and_ends_nobody(impatient: Bench, slapd: Slapd) -> None:
    bench = impatient
    bench.run()
    report = bench.run(interfering(bench, 15, slapd.hang))
    slapd.resume()
    assert (report.state, report.trouble) == ("failed", "timeout")
    assert bench.statuses() == {"active": 65}


def test_somebody_left_out_of_the_listing_who_is_there_is_kept(bench: Bench, slapd: Slapd) -> None:
    bench.run()

    class LeavesOut(Interfering):
        def people(self) -> Iterator[Identity]:
            return (one for one in super().people() if one.username not in {"p.1", "p.2"})

    report = bench.run(LeavesOut(bench.directory, -1, lambda: None))  # type: ignore[arg-type]  # the rest is the real directory's
    assert (report.state, report.counts["ended"]) == ("done", 0)
    assert bench.statuses() == {"active": 65}


def test_groups_that_only_the_listing_does_not_see_are_taken_from_nobody(bench: Bench) -> None:
    bench.run()
    before = bench.attached()

    class SeesNoGroups(Interfering):
        def people(self) -> Iterator[Identity]:
            return (replace(one, groups=frozenset(), attributes={}) for one in super().people())

    report = bench.run(SeesNoGroups(bench.directory, -1, lambda: None))  # type: ignore[arg-type]  # the rest is the real directory's
    assert (report.state, report.counts["ended"]) == ("done", 0)
    assert bench.attached() == before


def test_a_listing_that_leaves_out_a_crowd_is_not_believed(bench: Bench) -> None:
    bench.run()

    class LeavesOutEverybody(Interfering):
        def people(self) -> Iterator[Identity]:
            return iter(())

    report = bench.run(LeavesOutEverybody(bench.directory, -1, lambda: None))  # type: ignore[arg-type]  # the rest is the real directory's
    assert (report.state, report.trouble) == ("failed", "misbehaved")
    assert bench.statuses() == {"active": 65}


def test_a_word_heard_at_a_sign_in_after_the_listing_is_not_overwritten(bench: Bench, slapd: Slapd) -> None:
    bench.run()
    slapd.modify(slapd.dn("p.1"), {"sn": "Ancien"})
    subject = slapd.subject("p.1")

    def sign_in() -> None:
        slapd.modify(slapd.dn("p.1"), {"sn": "Nouveau"})
        bench.clock.advance(timedelta(seconds=10))
        identity = bench.directory.find(subject)
        assert identity is not None
        with bench.database.write() as tx:
            Linking(bench.config, bench.clock).adopt(tx, identity, AUTHOR)

    bench.run(interfering(bench, 64, sign_in))
    with bench.database.read() as tx:
        link = tx.links.get("annuaire", subject)
        account = tx.people.get(link.account_id) if link else None
    assert account is not None
    assert account.family_name == "Nouveau"


def test_what_the_second_listing_alone_says_ends_nobody_without_being_weighed(
    bench: Bench, slapd: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run()
    monkeypatch.setattr(reading, "KEPT_CHANGES", 2)
    for number in range(4):
        slapd.modify(slapd.dn(f"p.{number}"), {"sn": "Change"})

    class SecondListing(Interfering):
        listings = 0

        def people(self) -> Iterator[Identity]:
            self.listings += 1
            if self.listings == 2:
                slapd.disable("p.50")
                slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
            return super().people()

    report = bench.run(SecondListing(bench.directory, -1, lambda: None))  # type: ignore[arg-type]  # the rest is the real directory's
    assert (report.state, report.counts["changed"], report.counts["ended"]) == ("done", 4, 0)
    assert bench.statuses() == {"active": 65}
    assert bench.run().counts["ended"] == 2


def test_a_run_put_aside_by_another_writes_nothing_more(bench: Bench, slapd: Slapd) -> None:
    def take_over() -> None:
        bench.clock.advance(LEASE_TTL * 2)
        with bench.database.write() as tx:
            assert tx.leases.take("sync:annuaire", "another", now=bench.clock.now(), ttl=LEASE_TTL)

    with pytest.raises(VestibuleError, match="not ours any more"):
        bench.run(interfering(bench, 5, take_over))
    assert bench.statuses() == {}
    assert bench.runs()[0].state == "running"  # it may not even say that it failed: the one that took over closes it
    bench.clock.advance(LEASE_TTL * 2)
    assert bench.run().counts["added"] == 65
    assert [run.state for run in bench.runs()] == ["done", "failed"]


def test_an_interruption_closes_the_run(bench: Bench) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(interfering(bench, 5, interrupt))
    assert (bench.runs()[0].state, bench.runs()[0].detail) == ("failed", "interrupted: ")
    assert bench.run().state == "done"


def test_one_person_who_cannot_be_written_holds_up_nobody_else(bench: Bench) -> None:
    subject = next(iter(bench.directory.people())).subject

    class Contended(Linking):
        """What PostgreSQL answers when a sign-in links the same person at the same instant; SQLite has one writer, so it cannot be provoked there."""

        def adopt(self, tx: Transaction, identity: Identity, author: Author, **given: Any) -> Adopted:
            if identity.subject == subject:
                raise StoreUnavailable("store_conflict", "is being adopted elsewhere")
            return super().adopt(tx, identity, author, **given)

    contended = Contended(bench.config, bench.clock)
    report = Reconciler(
        bench.database, bench.directory, contended, settings=bench.config.sync, author=AUTHOR, clock=bench.clock
    ).run(Unwatched())  # fmt: skip
    assert (report.state, report.counts["added"], report.counts["failed"]) == ("done", 64, 1)
    assert report.failures[0] == Failure(subject, "is being adopted elsewhere")
    assert bench.run().counts["added"] == 1


def test_only_a_directory_that_answers_wrongly_is_said_to_misbehave() -> None:
    report = Report("done")
    report.fail(SourceMisbehaved("several entries"))
    assert (report.trouble, report.detail) == ("misbehaved", "several entries")
