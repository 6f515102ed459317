"""The worker's jobs, on a clock that moves when told: endings, sweeps, keys, gauges."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.world import World


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    made = Worker(world.application)
    yield made
    made.deliverer.close()


def test_worker_ends_idle_sessions_and_tells_the_application(world: World, worker: Worker) -> None:
    world.sign_in("claire", "carnet")
    world.clock.advance(timedelta(minutes=29))
    assert worker.end_overdue_sessions() == 0
    world.clock.advance(timedelta(minutes=2))
    assert worker.end_overdue_sessions() == 1
    line = world.last_event("session.ended")
    assert (line["reason"], line["actor"], line["details"]["notices"]) == ("idle", "system", 1)
    assert worker.end_overdue_sessions() == 0
    assert worker.deliverer.run_once() == 1
    assert world.last_event("logout.delivered")["session_id"] == line["session_id"]


def test_worker_ends_sessions_at_the_absolute_limit(make_world: MakeWorld) -> None:
    world = make_world(sessions={"idle": "2h", "absolute": "2h"})
    world.sign_in("claire", "carnet")
    worker = Worker(world.application)
    world.clock.advance(timedelta(hours=2))
    assert worker.end_overdue_sessions() == 1
    assert world.last_event("session.ended")["reason"] == "absolute_limit"
    worker.deliverer.close()


def test_worker_deletes_what_ended_long_ago_and_never_an_audit_line(world: World, worker: Worker) -> None:
    world.sign_in("claire", "carnet")
    world.clock.advance(timedelta(minutes=31))
    worker.end_overdue_sessions()
    lines = len(world.events())
    world.clock.advance(timedelta(days=29))
    worker.sweep()
    account = world.account("claire")
    with world.database.read() as tx:
        (grant_id,) = {line["grant_id"] for line in world.events("grant.ended")}
        assert tx.grants.get(grant_id) is not None
    world.clock.advance(timedelta(days=2))
    assert worker.sweep() >= 2
    with world.database.read() as tx:
        assert tx.grants.get(grant_id) is None
        assert tx.grants.open_of_account(account.id) == ()
    assert len(world.events()) == lines


def test_worker_rotates_the_keys_when_their_time_has_come(world: World, worker: Worker) -> None:
    assert worker.keep_keys() == 0
    world.clock.advance(timedelta(days=91))
    assert worker.keep_keys() == 1
    assert world.last_event("keys.rotated")["actor"] == "system"
    assert worker.keep_keys() == 0


def test_worker_measures_what_operators_watch(world: World, worker: Worker) -> None:
    world.sign_in("claire", "carnet")
    world.machine.get("/jwks")
    worker.run_due()
    rendered = world.application.metrics.render().decode()
    assert "vestibule_sessions_open 1.0" in rendered
    assert 'vestibule_signins_total{reason="",result="succeeded"} 1.0' in rendered
    assert 'vestibule_tokens_total{grant_type="authorization_code",result="issued"} 1.0' in rendered
    assert 'vestibule_requests_total{route="/jwks",status="200"}' in rendered
    assert 'route="/signin"' in rendered
    assert world.person("claire").username not in rendered
    assert "claire" not in rendered.lower()


def test_worker_goes_on_when_a_job_fails(world: World, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> int:
        raise RuntimeError("the disk is full")

    worker.jobs[0].run = broken
    with caplog.at_level(logging.ERROR):
        worker.run_due()
    assert worker.is_alive()
    assert 'vestibule_work_failures_total{job="deliver"} 1.0' in world.application.metrics.render().decode()
    assert 'vestibule_work_failures_total{job="sweep"}' not in world.application.metrics.render().decode()
