"""The last day of somebody is over: nobody writes anything, and they are out of the applications all the same, with a certificate that says so."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from idp.store.base import Attachment, Cut
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.fixed_clock import FixedClock
from tests.support.processes import wait_until
from tests.support.running_clock import RunningClock
from tests.support.slapd import Slapd
from tests.support.watched_world import PATIENCE_SECONDS, cut, cuts, settings, state, word_of, working
from tests.support.watched_world import sign_in as sign_in_there
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("patient_delivery")
ONE_DAY = timedelta(days=1)
SOON = timedelta(minutes=4)
OFFLINE = "openid profile offline_access"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    """The one worker, which holds the lease, and goes round when told."""
    made = Worker(world.application)
    made.run_due()
    yield made
    made.deliverer.close()


def let_end(world: World, person: str, slug: str, *, at: datetime | None = None) -> Attachment:
    """An operator wrote that they work there until then, and no longer."""
    place = world.establishment(slug).id
    account = world.account(person)
    with world.arranging() as tx:
        (found,) = (one for one in tx.people.attachments(account.id) if one.establishment_id == place)
        tx.people.change_attachment(found.id, valid_until=at or world.clock.now() + SOON)
    return found


def end_days(world: World, worker: Worker, after: timedelta = SOON) -> tuple[Cut, ...]:
    """The instant comes, and the worker goes round once."""
    world.clock.advance(after)
    worker.run_due()
    worker.deliverer.run_once()
    with world.database.read() as tx:
        return tx.cuts.newest()


def test_person_is_out_of_one_establishment_alone_at_the_instant_their_last_day_there_is_over(world: World, worker: Worker) -> None:
    ends_at = world.clock.now() + SOON
    let_end(world, "amina", "tilleuls")
    here = world.sign_in("amina", establishment="tilleuls", scope=OFFLINE)
    there = world.sign_in("amina", establishment="glycines")
    assert end_days(world, worker, SOON - timedelta(seconds=1)) == ()
    assert here.party.introspect(here.tokens.access).json()["active"] is True
    (found,) = end_days(world, worker, timedelta(seconds=1))
    assert (found.kind, found.cause, found.actor) == ("attachment", "attachment_ended", "system")
    assert found.establishment_id == world.establishment("tilleuls").id
    assert found.decided_at == ends_at, "not a second late"
    assert (found.sessions, found.grants, found.notices) == (1, 1, 1)
    (told,) = world.listener.received
    assert here.party.read_logout_token(told.logout_token)["sid"] == here.tokens.claims["sid"]
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert here.party.introspect(here.tokens.access).json() == {"active": False}
    assert there.party.refresh(there.tokens.refresh).status_code == 200
    assert world.account("amina").status == "active"
    (line,) = world.events("session.ended")
    assert (line["reason"], line["actor"], line["establishment_id"]) == ("attachment_ended", "system", found.establishment_id)
    assert len(end_days(world, worker)) == 1, "once"


def test_person_who_works_nowhere_else_is_out_of_everything_and_may_be_given_another_last_day(world: World, worker: Worker) -> None:
    kept = let_end(world, "claire", "tilleuls")
    here = world.sign_in("claire", scope=OFFLINE)
    (found,) = end_days(world, worker)
    assert (found.cause, found.sessions, found.grants) == ("attachment_ended", 1, 1)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    with world.arranging() as tx:
        tx.people.change_attachment(kept.id, valid_until=world.clock.now() + SOON)
    assert world.sign_in("claire").tokens.claims["sub"] == found.account_id


def test_person_whom_another_attachment_there_still_carries_keeps_their_session(world: World, worker: Worker) -> None:
    ending = let_end(world, "claire", "tilleuls")
    with world.arranging() as tx:
        other = {name: getattr(ending, name) for name in Attachment.__slots__} | {"id": world.clock.new_id(), "profile": "aide"}
        tx.people.attach(Attachment(**other))
    here = world.sign_in("claire")
    assert end_days(world, worker) == ()
    assert here.party.refresh(here.tokens.refresh).status_code == 200


def test_last_days_that_were_over_while_no_worker_went_round_are_seen_to_by_the_next_one(world: World) -> None:
    let_end(world, "claire", "tilleuls")
    world.sign_in("claire")
    world.clock.advance(timedelta(days=3))
    worker = Worker(world.application)
    (found,) = end_days(world, worker, timedelta(0))
    worker.deliverer.close()
    assert found.cause == "attachment_ended"


class TestDirectory:
    """An account that ends by itself in a real slapd (shadowExpire): from that day on, and nobody tells."""

    @pytest.fixture
    def clock(self) -> FixedClock:
        """The directory's is real; ours is moved to shortly before midnight, UTC."""
        return RunningClock()

    @pytest.mark.parametrize("is_listened_to", [True, False])
    def test_person_whose_account_ends_by_itself_is_cut_when_the_day_comes(
        self, make_world: MakeWorld, slapd: Slapd, *, is_listened_to: bool
    ) -> None:
        watch = {"heartbeat": "1s"} if is_listened_to else {"enabled": False}
        homes = make_world(**settings(slapd, directories=[slapd.settings(watch=watch)]))
        now = homes.clock.now()
        ends_at = (now + ONE_DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        homes.clock.advance(ends_at - now - SOON)
        slapd.modify(slapd.dn("d.claire"), {"shadowExpire": str(int(ends_at.timestamp()) // 86400)})
        with working(homes):
            here, other = sign_in_there(homes), sign_in_there(homes, "d.paul")
            assert state(homes) == "live"
            assert cuts(homes) == ()
            homes.clock.advance(SOON)
            homes.listener.wait(1)
            found = cut(homes)
            wait_until(lambda: word_of(homes, slapd.subject("d.claire")) == "expired", seconds=PATIENCE_SECONDS)
        assert (found.kind, found.cause, found.connector) == ("suspended", "directory_expired", "annuaire")
        assert found.written_at == ends_at, "the instant itself: nobody wrote anything"
        assert (found.sessions, found.grants, found.notices) == (1, 1, 1)
        assert here.party.refresh(here.tokens.refresh).status_code == 400
        assert other.party.refresh(other.tokens.refresh).status_code == 200

    def test_person_who_is_given_more_time_is_not_cut_on_the_first_day(self, make_world: MakeWorld, slapd: Slapd) -> None:
        homes = make_world(**settings(slapd))
        now = homes.clock.now()
        ends_at = (now + ONE_DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        homes.clock.advance(ends_at - now - SOON)
        day = int(ends_at.timestamp()) // 86400
        slapd.modify(slapd.dn("d.claire"), {"shadowExpire": str(day)})
        with working(homes):
            here = sign_in_there(homes)
            slapd.modify(slapd.dn("d.claire"), {"shadowExpire": str(day + 30)})
            wait_until(lambda: end_of(homes, slapd.subject("d.claire")) == ends_at + 30 * ONE_DAY, seconds=PATIENCE_SECONDS)
            homes.clock.advance(SOON)
            slapd.disable("d.paul")
            assert cut(homes).subject == slapd.subject("d.paul"), "heard after the day had come"
        assert here.party.refresh(here.tokens.refresh).status_code == 200


def end_of(world: World, subject: str) -> datetime | None:
    with world.database.read() as tx:
        link = tx.links.get("annuaire", subject)
    assert link is not None
    return link.ends_at
