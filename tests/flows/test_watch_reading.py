"""A whole reading of a directory is under way, and takes its time: who leaves meanwhile is out at once, and what it saw before gives nothing back."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest

from connectors.base import Identity
from connectors.ldap.entry_directory import EntryDirectory
from idp.audit import Author, Origin
from idp.lifecycle.reconcile import Reconciler
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.fixed_clock import FixedClock
from tests.support.processes import wait_until
from tests.support.running_clock import RunningClock
from tests.support.slapd import Slapd
from tests.support.unwatched import Unwatched
from tests.support.watched_world import PATIENCE_SECONDS, cut, cuts, settings, sign_in, state, word_of, working
from tests.support.world import World

Begin = Callable[[World, Worker], "Reading"]


@pytest.fixture
def clock() -> FixedClock:
    """The directory's is real."""
    return RunningClock()


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """A world that is read at night, and listens all day."""
    return make_world(**settings(slapd, work={"reconcile_at": "03:30"}))


class Listing:
    """The directory's listing, once `is_held`: everybody is read, and nobody handed over before `release`. `amend` is what it saw of each."""

    def __init__(self) -> None:
        self.is_held = False
        self.is_read, self.may_go_on = Event(), Event()
        self.amend: Callable[[Identity], Identity] = lambda identity: identity

    def release(self) -> None:
        self.may_go_on.set()


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listing]:
    """Held where the connector hands people over."""
    held = Listing()
    read = EntryDirectory.people

    def people(directory: EntryDirectory) -> Iterator[Identity]:
        if not held.is_held:
            yield from read(directory)
            return
        everybody = [held.amend(identity) for identity in read(directory)]
        held.is_read.set()
        assert held.may_go_on.wait(10 * PATIENCE_SECONDS)
        yield from everybody

    monkeypatch.setattr(EntryDirectory, "people", people)
    yield held
    held.release()


class Reading:
    """One that is under way; `wait` for its end."""

    def __init__(self, world: World, thread: Thread | None = None) -> None:
        self._world = world
        self._thread = thread
        self._before = len(world.events("sync.done"))

    def wait(self) -> None:
        wait_until(lambda: len(self._world.events("sync.done")) > self._before, seconds=2 * PATIENCE_SECONDS)
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
        wait_until(lambda: state(self._world) == "live", seconds=PATIENCE_SECONDS)


def at_night(world: World, worker: Worker) -> Reading:
    """The watch's own."""
    reading = Reading(world)
    world.clock.advance(timedelta(days=1))
    return reading


def by_an_operator(world: World, worker: Worker) -> Reading:
    """As `vestibule sync` does it, beside the watch."""
    application = world.application
    (directory,) = application.directories
    author = Author("operator:root", Origin(world.clock.new_code(10), "local"))
    run = Reconciler(
        application.database, directory, application.linking, settings=application.config.sync, author=author, clock=world.clock
    )
    thread = Thread(target=run.run, args=(Unwatched(),), daemon=True)
    reading = Reading(world, thread)
    thread.start()
    return reading


def test_who_leaves_during_the_very_first_reading_is_cut_at_once_and_stays_out(homes: World, slapd: Slapd, listing: Listing) -> None:
    here = sign_in(homes)
    listing.is_held = True
    with working(homes, {"reading"}):
        assert listing.is_read.wait(PATIENCE_SECONDS)
        slapd.disable("d.claire")
        homes.listener.wait(1)
        assert cut(homes).cause == "directory_disabled"
        assert not listing.may_go_on.is_set(), "the reading was not over: nobody waited for it"
        listing.release()
        wait_until(lambda: state(homes) == "live", seconds=2 * PATIENCE_SECONDS)
        assert word_of(homes, slapd.subject("d.claire")) == "disabled"
        assert "d.paul" in known(homes)
        assert len(cuts(homes)) == 1
    assert here.party.refresh(here.tokens.refresh).status_code == 400


@pytest.mark.parametrize("begin", [at_night, by_an_operator])
def test_who_leaves_during_a_whole_reading_is_cut_at_once_and_the_reading_gives_nothing_back(
    homes: World, slapd: Slapd, listing: Listing, begin: Begin
) -> None:
    with working(homes) as worker:
        listing.is_held = True
        reading = begin(homes, worker)
        assert listing.is_read.wait(PATIENCE_SECONDS)
        here, there = sign_in(homes), sign_in(homes, "d.amina", establishment="tilleuls")
        slapd.disable("d.claire")
        homes.listener.wait(1)
        assert cut(homes).cause == "directory_disabled"
        slapd.leave("tilleuls-infirmiers", slapd.dn("d.amina"))
        homes.listener.wait(2)
        assert cut(homes, 2).cause == "attachment_lost"
        assert not listing.may_go_on.is_set(), "the reading was not over: nobody waited for it"
        listing.release()
        reading.wait()
        assert word_of(homes, slapd.subject("d.claire")) == "disabled"
        assert places(homes, "d.amina") == {homes.establishment("glycines").id}
        assert len(cuts(homes)) == 2
    for one in (here, there):
        assert one.party.refresh(one.tokens.refresh).status_code == 400
    with homes.database.read() as tx:
        (account,) = tx.people.matching("d.claire", None)
    assert account.status == "suspended"


@pytest.mark.parametrize("begin", [at_night, by_an_operator])
def test_what_a_reading_saw_before_does_not_count_when_the_person_was_asked_for_since_and_was_as_before(
    homes: World, slapd: Slapd, listing: Listing, begin: Begin
) -> None:
    def with_another_home(identity: Identity) -> Identity:
        return replace(identity, groups=identity.groups | {"glycines-infirmiers"}) if identity.username == "d.claire" else identity

    with working(homes) as worker:
        before = places(homes, "d.claire")
        listing.is_held, listing.amend = True, with_another_home
        reading = begin(homes, worker)
        assert listing.is_read.wait(PATIENCE_SECONDS)
        asked_before = word_at(homes, slapd, "d.claire")
        slapd.modify(slapd.dn("d.claire"), {"description": "says nothing new"})
        wait_until(lambda: word_at(homes, slapd, "d.claire") > asked_before, seconds=PATIENCE_SECONDS)
        listing.release()
        reading.wait()
        assert places(homes, "d.claire") == before
    assert cuts(homes) == ()


def test_newcomer_who_was_gone_before_the_reading_was_over_is_not_known_as_present(homes: World, slapd: Slapd, listing: Listing) -> None:
    def placed_for_a_moment(identity: Identity) -> Identity:
        return replace(identity, groups=identity.groups | {"tilleuls-infirmiers"}) if identity.username == "d.nora" else identity

    with working(homes) as worker:
        nora = slapd.add_person("d.nora", mail="d.nora@annuaire.example")
        subject = slapd.subject("d.nora")
        listing.is_held = True
        listing.amend = placed_for_a_moment
        reading = at_night(homes, worker)
        assert listing.is_read.wait(PATIENCE_SECONDS)
        slapd.delete(nora)
        (watch,) = worker.watching._watches
        wait_until(lambda: subject in watch._meanwhile, seconds=PATIENCE_SECONDS)
        listing.release()
        reading.wait()
        with homes.database.read() as tx:
            link = tx.links.get("annuaire", subject)
            account = tx.people.get(link.account_id) if link else None
        assert link is not None
        assert account is not None
        assert (link.word, account.status) == ("gone", "suspended")


def test_reading_that_does_not_stop_is_told_of_and_left_behind_and_writes_nothing_more(
    homes: World, slapd: Slapd, listing: Listing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("idp.lifecycle.background_reading.STOPS_WITHIN_SECONDS", 0.2)  # made to hang on purpose
    listing.is_held = True
    with working(homes, {"reading"}) as worker:
        assert listing.is_read.wait(PATIENCE_SECONDS)
        (watch,) = worker.watching._watches
        left = watch._reading
    assert left.is_going_on
    assert worker.role() == "standby"
    with homes.database.read() as tx:
        lease = tx.leases.get("work")
    assert lease is not None
    assert lease.expires_at < homes.clock.now(), "another may take it at once"
    assert "reading_does_not_stop" in capsys.readouterr().out
    before = known(homes)
    listing.release()
    assert left.stop(PATIENCE_SECONDS)
    assert known(homes) == before
    assert not homes.events("sync.done")


def test_reading_that_was_interrupted_because_the_lease_was_lost_for_a_moment_is_still_owed(
    homes: World, slapd: Slapd, listing: Listing
) -> None:
    listing.is_held = True
    with working(homes, {"reading"}) as worker:
        assert listing.is_read.wait(PATIENCE_SECONDS)
        (watch,) = worker.watching._watches
        is_ours = watch._reading._is_ours
        watch._reading._is_ours = lambda: False  # as it is between two looks of the worker
        listing.release()
        wait_until(lambda: bool(homes.events("sync.failed")), seconds=PATIENCE_SECONDS)
        watch._reading._is_ours = is_ours
        wait_until(lambda: state(homes) == "live", seconds=2 * PATIENCE_SECONDS)
        assert len(homes.events("sync.done")) == 1
        assert "d.claire" in known(homes)


def known(world: World) -> set[str | None]:
    with world.database.read() as tx:
        return {account.username for account in tx.people.all()}


def word_at(world: World, slapd: Slapd, uid: str) -> object:
    with world.database.read() as tx:
        link = tx.links.get("annuaire", slapd.subject(uid))
    assert link is not None
    return link.word_at


def places(world: World, uid: str) -> set[str]:
    """Where the directory places a person."""
    with world.database.read() as tx:
        return {
            one.establishment_id
            for account in tx.people.matching(uid, None)
            for one in tx.people.attachments(account.id)
            if one.ended_at is None
        }
