"""What listens, and what it depends on, dies or hangs at the worst moment: nobody who was disabled stays in, and nobody who was not is cut."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from idp import app as composition
from idp.store.leases import LONG_AGO
from idp.tenure import LEASE
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.fixed_clock import FixedClock
from tests.support.processes import running, wait_until
from tests.support.running_clock import RunningClock
from tests.support.slapd import Slapd
from tests.support.watched_world import PATIENCE_SECONDS, cut, cuts, settings, sign_in, state, watched, working
from tests.support.world import World

EVERYBODY = ("d.claire", "d.hugo", "d.amina", "d.zoe", "d.paul")
BRAVE = {"brake_people": 100, "brake_percent": 100}  # all but one of five may go


@pytest.fixture
def clock() -> FixedClock:
    """The directory's is real."""
    return RunningClock()


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """A world that listens; a lease that is soon over."""
    return make_world(**settings(slapd, work={"reconcile_at": None, "lease": "1s"}, sync=BRAVE))


@pytest.fixture
def worker(homes: World) -> Iterator[Worker]:
    """One that listens."""
    with working(homes) as made:
        yield made


def test_directory_that_hangs_is_noticed_and_listened_to_again_when_it_goes_on(make_world: MakeWorld, slapd: Slapd) -> None:
    quick = slapd.settings(watch={"heartbeat": "1s"}, receive_timeout="5s")
    homes = make_world(**settings(slapd, directories=[quick]))
    with working(homes):
        here = sign_in(homes)
        slapd.hang()
        wait_until(lambda: state(homes) == "failing", seconds=PATIENCE_SECONDS)
        slapd.resume()
        wait_until(lambda: state(homes) == "live", seconds=2 * PATIENCE_SECONDS)
        slapd.disable("d.claire")
        homes.listener.wait(1)
        assert cut(homes).cause == "directory_disabled"
    assert here.party.refresh(here.tokens.refresh).status_code == 400


def test_nothing_is_lost_when_the_store_breaks_while_somebody_is_disabled(homes: World, slapd: Slapd, worker: Worker) -> None:
    here = sign_in(homes)
    with homes.arranging() as tx:
        tx.connection.execute(text("ALTER TABLE cuts RENAME TO elsewhere"))
    slapd.disable("d.claire")
    wait_until(lambda: state(homes) == "failing", seconds=PATIENCE_SECONDS)
    assert here.party.introspect(here.tokens.access).json()["active"] is True
    with homes.arranging() as tx:
        tx.connection.execute(text("ALTER TABLE elsewhere RENAME TO cuts"))
    homes.listener.wait(1)
    assert cut(homes).cause == "directory_disabled"


def test_worker_that_lost_the_lease_decides_nothing_and_whoever_holds_it_next_does(homes: World, slapd: Slapd, worker: Worker) -> None:
    sign_in(homes)
    before = watched(homes)
    later = homes.clock.now() + timedelta(minutes=10)
    with homes.arranging() as tx:
        stolen = tx.leases.take(LEASE, "another host", now=later, ttl=timedelta(minutes=10))
    assert stolen is not None
    slapd.disable("d.claire")
    wait_until(lambda: worker.role() == "standby", seconds=PATIENCE_SECONDS)
    assert cuts(homes) == ()
    after = watched(homes)
    assert before is not None
    assert after is not None
    assert after.cursor == before.cursor, "what nothing was done about is not behind us"
    with homes.arranging() as tx:
        assert tx.leases.release(stolen)
        held = tx.leases.get(LEASE)
    assert held is not None
    assert held.expires_at == LONG_AGO
    homes.listener.wait(1)
    assert cut(homes).cause == "directory_disabled"
    wait_until(lambda: worker.role() == "active", seconds=PATIENCE_SECONDS)


def test_everybody_disabled_is_cut_once_when_the_worker_is_killed_in_the_middle_of_it(homes: World, slapd: Slapd, tmp_path: Path) -> None:
    here = {uid: sign_in(homes, uid) for uid in ("d.claire", "d.zoe")}
    environment = {composition.CONFIG_VARIABLE: str(homes.config_path)}
    command = [sys.executable, "-m", "idp.work"]
    leaving = EVERYBODY[:4]
    with running(command, log=tmp_path / "first.log", ready=lambda: state(homes) == "live", environment=environment) as first:
        slapd.disable(leaving[0])
        wait_until(lambda: len(cuts(homes)) == 1, seconds=PATIENCE_SECONDS)
        burst = Thread(target=lambda: [slapd.disable(uid) for uid in leaving[1:]])
        burst.start()
        os.killpg(first.pid, signal.SIGKILL)
        burst.join()
    with running(command, log=tmp_path / "second.log", ready=lambda: len(cuts(homes)) == len(leaving), environment=environment):
        homes.listener.wait(len(here))
    assert {one.subject for one in cuts(homes)} == {slapd.subject(uid) for uid in leaving}
    assert len(cuts(homes)) == len(leaving)
    for one in here.values():
        assert one.party.refresh(one.tokens.refresh).status_code == 400
    assert len({one.logout_token for one in homes.listener.received}) == len(homes.listener.received)


def test_trouble_that_lasts_is_noted_again_and_again_and_keeps_nobody_from_listening(homes: World, slapd: Slapd, worker: Worker) -> None:
    sign_in(homes)
    (watch,) = worker.watching._watches
    for _ in range(3):
        watch.fail("refused: nobody answers")
    slapd.disable("d.claire")
    assert cut(homes).cause == "directory_disabled"
