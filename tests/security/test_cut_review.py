"""What a hostile reading of the cut found: one person, one notice or one clock that is wrong must keep nobody from being cut.

Faults are real ones: a row that the database refuses, a secret sealed by a key that is gone, a host whose clock was ahead.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from connectors.base import Heard
from idp import app as composition
from idp.audit import Author, Origin
from idp.composition.cut import open_deliverer, open_settler
from idp.lifecycle.watch import ASK_AGAIN_AFTER, Watch
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.flows.test_signals import allow, drain, notices
from tests.flows.test_signals import cut as leave
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.running_clock import RunningClock
from tests.support.scim_source import ScimSource, scim_settings
from tests.support.set_receiver import Receiver, hearing
from tests.support.slapd import Slapd
from tests.support.watched_world import cuts, held_run, metric, sign_in
from tests.support.world import SignedIn, World

AUTHOR = Author("operator:test", Origin("0123456789", "local"))


@pytest.fixture
def clock() -> FixedClock:
    """The directory's is real."""
    return RunningClock()


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """The world's homes, their people in a directory of which a test says what was heard."""
    return make_world(directories=[slapd.settings(name="annuaire")], work={"reconcile_at": None}, sync={"brake_people": 2})


@pytest.fixture
def watch(homes: World) -> Iterator[Watch]:
    """What acts on it, under the lease."""
    yield from watching(homes)


def watching(world: World) -> Iterator[Watch]:
    worker = Worker(world.application)
    worker.stand()
    (made,) = worker.watching._watches
    with world.arranging() as tx:
        made._forget(tx.watches.begin("annuaire", world.clock.now()))
    yield made
    worker.deliverer.close()


def hear(world: World, watch: Watch, slapd: Slapd, uid: str, cursor: bytes | None = None) -> None:
    watch._take(Heard(kind="person", heard_at=world.clock.now(), subject=slapd.subject(uid), cursor=cursor))


def rest(world: World, watch: Watch) -> None:
    """Nothing is said for as long as whoever is asked for again waits."""
    world.clock.advance(ASK_AGAIN_AFTER)
    watch._take(Heard(kind="quiet", heard_at=world.clock.now()))


def known(world: World, slapd: Slapd, uid: str, ahead: timedelta) -> None:
    """A host whose clock is ahead has let somebody in."""
    with world.arranging() as tx:
        link = tx.links.get("annuaire", slapd.subject(uid))
        assert link is not None
        tx.links.change("annuaire", link.subject, word_at=world.clock.now() + ahead)


def test_disabled_person_is_cut_once_the_clock_of_the_host_that_let_them_in_is_reached(homes: World, slapd: Slapd, watch: Watch) -> None:
    here = sign_in(homes)
    known(homes, slapd, "d.claire", timedelta(minutes=1))
    slapd.disable("d.claire")
    hear(homes, watch, slapd, "d.claire", b"reached")
    rest(homes, watch)
    assert cuts(homes) == (), "an earlier word undid a later one"
    homes.clock.advance(timedelta(minutes=1))
    rest(homes, watch)
    (found,) = cuts(homes)
    assert found.cause == "directory_disabled"
    assert here.party.refresh(here.tokens.refresh).status_code == 400


def test_disabled_person_is_cut_although_a_clock_that_was_a_year_ahead_let_them_in(homes: World, slapd: Slapd, watch: Watch) -> None:
    here = sign_in(homes)
    known(homes, slapd, "d.claire", timedelta(days=365))
    slapd.disable("d.claire")
    hear(homes, watch, slapd, "d.claire")
    (found,) = cuts(homes)
    assert found.cause == "directory_disabled"
    assert here.party.refresh(here.tokens.refresh).status_code == 400


def test_disabled_person_is_out_within_the_bound_although_a_clock_was_a_year_ahead_and_nobody_listens(homes: World, slapd: Slapd) -> None:
    here, other = sign_in(homes), sign_in(homes, "d.zoe")
    known(homes, slapd, "d.claire", timedelta(days=365))
    slapd.disable("d.claire")
    assert here.party.refresh(here.tokens.refresh).status_code == 200, "her word counts as fresh"
    worker = Worker(homes.application)
    worker.run_due()
    assert is_refused(here)
    assert not is_refused(other)
    with homes.database.read() as tx:
        assert not tx.links.is_heard_after(homes.clock.now())


def is_refused(here: SignedIn) -> bool:
    """Whether the directory is asked, and what it says is followed."""
    return here.party.userinfo(here.tokens.access).status_code == 401


def poison(world: World) -> tuple[str, ...]:
    """Whoever is called so cannot be written, whatever is tried; what takes that back."""
    if world.database.is_sqlite:
        act = "CREATE TRIGGER poison BEFORE UPDATE ON accounts WHEN NEW.given_name = 'Poison' BEGIN SELECT RAISE(ABORT, 'poison'); END"
        antidote = "DROP TRIGGER poison"
    else:
        act, antidote = (
            "ALTER TABLE accounts ADD CONSTRAINT poison CHECK (given_name <> 'Poison')",
            "ALTER TABLE accounts DROP CONSTRAINT poison",
        )
    with world.arranging() as tx:
        tx.connection.execute(text(act))
    return (antidote,)


def test_person_who_cannot_be_written_keeps_nobody_elses_cut_away(homes: World, slapd: Slapd, watch: Watch) -> None:
    for uid in ("d.claire", "d.zoe"):
        sign_in(homes, uid)
    (antidote,) = poison(homes)
    slapd.modify(slapd.dn("d.zoe"), {"givenName": "Poison"})
    slapd.disable("d.claire")
    hear(homes, watch, slapd, "d.zoe", b"1")
    hear(homes, watch, slapd, "d.claire", b"2")
    (found,) = cuts(homes)
    assert found.subject == slapd.subject("d.claire")
    with homes.database.read() as tx:
        row = tx.watches.get("annuaire")
    assert row is not None
    assert row.cursor == b"2"
    assert metric(homes, "vestibule_work_failures_total") >= 1
    with homes.arranging() as tx:
        tx.connection.execute(text(antidote))
    rest(homes, watch)
    with homes.database.read() as tx:
        (account,) = tx.people.matching("d.zoe", None)
    assert account.given_name == "Poison", "they are asked for again"


def test_people_of_a_mass_that_a_human_let_go_of_are_held_again_by_their_next_word(homes: World, slapd: Slapd, watch: Watch) -> None:
    for uid in ("d.claire", "d.zoe", "d.hugo", "d.paul"):
        hear(homes, watch, slapd, uid)
    for uid in ("d.hugo", "d.paul", "d.claire", "d.zoe"):
        slapd.disable(uid)
        hear(homes, watch, slapd, uid)
    run = held_run(homes)
    assert run is not None
    assert run.counts == {"held": 2}
    with homes.arranging() as tx:
        tx.links.change_run(run.id, expected="held", state="dismissed")
        tx.links.release(run.id)
    for uid in ("d.claire", "d.zoe"):
        hear(homes, watch, slapd, uid)
    assert len(cuts(homes)) == 2, "the mistake went on in the directory, and cut them one by one"
    again = held_run(homes)
    assert again is not None
    assert again.counts == {"held": 2}
    with homes.arranging() as tx:
        for link in tx.links.held_by(again.id):
            tx.links.change(link.connector, link.subject, held_until=homes.clock.now())
    hear(homes, watch, slapd, "d.claire")
    assert len(cuts(homes)) == 3, "nobody is held longer than the settings say"
    with homes.database.read() as tx:
        after = tx.links.run(again.id)
    assert after is not None
    assert after.counts == {"held": 2}, "a run says whom it holds, and nobody else"


class Meanwhile:
    """The progress of a confirmation; once everybody was asked for, `act` is done."""

    is_watched = False

    def __init__(self, people: int, act: Callable[[], object]) -> None:
        self._left, self._act = people, act

    def begin(self, phase: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, people: int) -> None:
        """See Progress."""
        self._left -= people
        if not self._left:
            self._act()


def test_held_person_whose_application_refreshes_during_the_confirmation_is_cut_by_it(homes: World, slapd: Slapd, watch: Watch) -> None:
    here = sign_in(homes)
    for uid in ("d.zoe", "d.hugo", "d.paul"):
        hear(homes, watch, slapd, uid)
    for uid in ("d.hugo", "d.paul", "d.claire", "d.zoe"):
        slapd.disable(uid)
        hear(homes, watch, slapd, uid)
    run = held_run(homes)
    assert run is not None
    homes.clock.advance(homes.config.standing.staleness_bound * 2)
    answers: list[int] = []

    def refresh() -> None:
        answers.append(here.party.refresh(here.tokens.refresh).status_code)

    report = watch._reconciler(lambda: None).confirm(run.id, Meanwhile(2, refresh))
    assert answers == [200], "who is held keeps what they have"
    assert (report.state, report.counts["ended"]) == ("confirmed", 2)
    assert len(cuts(homes)) == 4


def test_person_who_cannot_be_written_keeps_no_reading_from_its_end(homes: World, slapd: Slapd, watch: Watch) -> None:
    for uid in ("d.claire", "d.zoe"):
        sign_in(homes, uid)
    (antidote,) = poison(homes)
    slapd.modify(slapd.dn("d.zoe"), {"givenName": "Poison"})
    slapd.disable("d.claire")
    report = watch._reconciler(lambda: None).run(Meanwhile(-1, tuple))
    assert (report.state, [one.subject for one in report.failures]) == ("done", [slapd.subject("d.zoe")])
    assert [one.subject for one in cuts(homes)] == [slapd.subject("d.claire")]
    with homes.arranging() as tx:
        tx.connection.execute(text(antidote))


def test_notice_that_cannot_be_made_is_tried_again_like_any_other_and_delays_nobody(world: World, listener: Listener) -> None:
    allow(world, "carnet", "ssf.manage")
    with hearing() as ear:
        Receiver(world).create_push(ear)
        world.sign_in()
        with world.arranging() as tx:
            (stream,) = tx.signals.all()
            tx.signals.change(stream.id, world.clock.now(), authorization_seal=b"sealed by a key that is gone")
        leave(world)
        worker = open_deliverer(composition.build(world.config, world.clock))
        drain(world, worker)
        worker.close()
        listener.wait(1)
    told = notices(world)
    assert {(one.attempts, one.delivered_at) for one in told} == {(1, None)}
    assert all(one.receipt and one.next_attempt_at and one.next_attempt_at > one.created_at for one in told)


def test_mass_that_is_confirmed_is_ended_in_short_transactions(
    make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.scim.settle.BATCH", 2)
    world = make_world(scim=[scim_settings(tmp_path)], sync={"brake_people": 3, "brake_percent": 100})
    source = ScimSource(world)
    people = [source.add_user(f"personne.{number}")["id"] for number in range(9)]
    source.add_group("tilleuls-ide", *people)
    for one in people[:8]:
        source.disable(one)
    assert len(cuts(world)) == 3
    with world.database.read() as tx:
        (run,) = tx.links.runs("rh", state="held")
    assert open_settler(world.application).confirm(world.config.scim[0], run.id, AUTHOR) == 5
    found = cuts(world)
    assert len(found) == 8
    with world.database.read() as tx:
        assert tx.links.held_by(run.id) == ()
        after = tx.links.run(run.id)
    assert after is not None
    assert after.state == "confirmed"
    assert world.last_event("sync.confirmed")["details"]["people"] == 5
