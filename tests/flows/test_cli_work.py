"""The worker's jobs, on a clock that moves when told: endings, sweeps, keys, gauges, and whose turn they are; then real workers killed and frozen."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest

from idp import app as composition
from idp.clock import SystemClock
from idp.config import load
from idp.store.base import Lease, Notice
from idp.store.database import Database
from idp.store.events import EventFilter
from idp.store.leases import LeaseLost
from idp.store.migrations import upgrade
from idp.tenure import LEASE, LOOK_EVERY
from idp.work import ThreadDied, Worker
from tests.conftest import MakeWorld
from tests.support.cast import clients, settle
from tests.support.listener import Listener
from tests.support.processes import free_port, freeze, running, wait_until
from tests.support.stores import Settings, Stores
from tests.support.world import World, open_database, write_config


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    """The one worker, which holds the lease."""
    made = Worker(world.application)
    made.stand()
    yield made
    made.deliverer.close()


@pytest.mark.usefixtures("patient_delivery")
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
    worker.stand()
    world.clock.advance(timedelta(hours=2))
    assert worker.end_overdue_sessions() == 1
    assert world.last_event("session.ended")["reason"] == "absolute_limit"
    worker.deliverer.close()


def test_worker_deletes_what_ended_long_ago_and_never_an_audit_line(world: World, worker: Worker) -> None:
    world.sign_in("claire", "carnet")
    world.clock.advance(timedelta(minutes=31))
    worker.end_overdue_sessions()
    account = world.account("claire")
    with world.database.write() as tx:
        (browser,) = tx.devices.open_of(account.id)
        tx.devices.end(browser.id, world.clock.now())
    lines = len(world.events())
    world.clock.advance(timedelta(days=29))
    worker.sweep()
    with world.database.read() as tx:
        assert tx.devices.get(browser.id) is not None
        (grant_id,) = {line["grant_id"] for line in world.events("grant.ended")}
        assert tx.grants.get(grant_id) is not None
    world.clock.advance(timedelta(days=2))
    assert worker.sweep() >= 2
    with world.database.read() as tx:
        assert tx.grants.get(grant_id) is None
        assert tx.grants.open_of_account(account.id) == ()
        assert tx.devices.get(browser.id) is None
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


def test_worker_gives_up_when_one_of_its_threads_has_died(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever started it starts another, and another host has the lease meanwhile: a directory that nobody listens to would tell nobody."""
    worker = Worker(world.application)
    monkeypatch.setattr(worker.watching, "is_alive", lambda: False)
    with pytest.raises(ThreadDied):
        worker.run()
    assert not worker.tenure.is_active


def test_worker_goes_on_when_a_job_fails(world: World, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> int:
        raise RuntimeError("the disk is full")

    next(job for job in worker.jobs if job.name == "send_messages").run = broken
    with caplog.at_level(logging.ERROR):
        worker.run_due()
    assert worker.is_alive()
    assert 'vestibule_work_failures_total{job="send_messages"} 1.0' in world.application.metrics.render().decode()
    assert 'vestibule_work_failures_total{job="sweep"}' not in world.application.metrics.render().decode()


@pytest.fixture
def second(world: World) -> Iterator[Worker]:
    """Another host's worker on the same store."""
    application = composition.build(world.config, world.clock)
    made = Worker(application)
    yield made
    made.deliverer.close()
    application.close()


def test_of_two_workers_one_does_the_single_jobs_and_both_do_their_own(world: World, worker: Worker, second: Worker) -> None:
    world.sign_in("claire", "carnet")
    world.clock.advance(timedelta(minutes=31))
    worker.run_due()
    second.run_due()
    assert (worker.role(), second.role()) == ("active", "standby")
    assert len(world.events("session.ended")) == 1
    for each, active in ((worker, "1.0"), (second, "0.0")):
        rendered = each.application.metrics.render().decode()
        assert f"vestibule_work_active {active}" in rendered
        assert "vestibule_work_last_beat_timestamp_seconds" in rendered
        assert "vestibule_outbox_waiting" in rendered
        assert each.is_alive()
    with pytest.raises(LeaseLost):
        second.sweep()


def test_the_second_worker_takes_over_when_the_first_stands_still(world: World, worker: Worker, second: Worker) -> None:
    second.run_due()
    world.sign_in("claire", "carnet")
    world.clock.advance(timedelta(minutes=31))
    second.run_due()
    assert second.role() == "active"
    assert len(world.events("session.ended")) == 1
    assert "vestibule_work_takeovers_total 1.0" in second.application.metrics.render().decode()
    # The first wakes up in the middle of a job: nothing of it is written, and it stands by.
    assert worker.role() == "active"
    with pytest.raises(LeaseLost):
        worker.sweep()
    worker.run_due()
    assert worker.role() == "standby"
    assert "vestibule_work_failures_total{" not in worker.application.metrics.render().decode()


def test_the_second_worker_takes_over_at_once_when_the_first_stops(world: World, worker: Worker, second: Worker) -> None:
    second.run_due()
    assert second.role() == "standby"
    worker.stopping.set()
    worker.run()
    world.clock.advance(LOOK_EVERY)
    second.run_due()
    assert second.role() == "active"


TTL = "2s"
NEVER_ENDING = "10m"  # of a lease: whoever has it next was given it
PATIENCE_SECONDS = 30.0
CLIENT = "carnet"


@dataclass(slots=True)
class Hosts:
    """Two hosts, each with a worker of its own on the same store; real processes, real time."""

    folder: Path
    database: Database
    listener: Listener
    admin_ports: tuple[int, int]
    processes: "list[Popen[bytes]]" = field(default_factory=list)

    def is_role(self, host: int, role: str) -> bool:
        """Whether the host's admin listener says so."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.admin_ports[host]}/healthz", timeout=0.5)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.text == f"ok, {role}\n"

    def log(self, host: int) -> str:
        """What the host logged."""
        return (self.folder / f"host-{host}.log").read_text(encoding="utf-8")

    def owe(self) -> str:
        """Owe an application a notice; its id."""
        clock = SystemClock()
        now = clock.now()
        notice = Notice(
            id=clock.new_id(),
            kind="backchannel_logout",
            client_id=CLIENT,
            account_id=clock.new_id(),
            session_id=None,
            cause="signed_out",
            created_at=now,
            attempts=0,
            next_attempt_at=now,
            delivered_at=None,
            abandoned_at=None,
            receipt=None,
        )
        with self.database.write() as tx:
            tx.outbox.add(notice)
        return notice.id

    def notice(self, notice_id: str) -> Notice:
        """As it stands."""
        with self.database.read() as tx:
            found = tx.outbox.get(notice_id)
        assert found is not None
        return found

    def lease(self) -> Lease:
        """As it stands."""
        with self.database.read() as tx:
            found = tx.leases.get(LEASE)
        assert found is not None
        return found

    def delivered(self) -> list[dict[str, Any]]:
        """The audit lines of deliveries."""
        with self.database.read() as tx:
            return list(tx.events.read(EventFilter(type_prefix="logout.delivered")))


@pytest.fixture
def hosts(request: pytest.FixtureRequest, tmp_path: Path, listener: Listener, stores: Stores) -> Iterator[Hosts]:
    """The first is active, the second stands by."""
    clock = SystemClock()
    (tmp_path / "master.key").write_text(clock.new_token(), encoding="utf-8")
    with ExitStack() as stack:
        admin_ports = (free_port(), free_port())
        shared = stores.place(tmp_path)
        stack.callback(stores.remove, tmp_path)
        configs = [configured(tmp_path, host, port, shared, lease=getattr(request, "param", TTL)) for host, port in enumerate(admin_ports)]
        database = open_database(load(configs[0]))
        stack.callback(database.close)
        upgrade(database)
        with database.write() as tx:
            settle(tx, clock, registered=clients(clock, listener.url), password_hash="x")
        made = Hosts(tmp_path, database, listener, admin_ports)
        for host, (config, role) in enumerate(zip(configs, ("active", "standby"), strict=True)):
            made.processes.append(
                stack.enter_context(
                    running(
                        [sys.executable, "-m", "idp.work"],
                        log=tmp_path / f"host-{host}.log",
                        ready=partial(made.is_role, host, role),
                        environment={composition.CONFIG_VARIABLE: str(config)},
                    )
                )
            )
        stack.callback(listener.release)
        yield made


def configured(folder: Path, host: int, admin_port: int, shared: Settings, *, lease: str) -> Path:
    """A host's own configuration on the shared stores."""
    own = folder / f"host-{host}"
    own.mkdir()
    return write_config(
        own,
        {
            "master_key": f"file:{folder / 'master.key'}",
            "server": {"admin_listen": f"127.0.0.1:{admin_port}"},
            "work": {"lease": lease},
            "logout": {"timeout": "1s", "retries": ["500ms"]},
        },
        shared,
    )


def test_another_host_takes_over_and_delivers_when_the_active_worker_is_killed(hosts: Hosts) -> None:
    first = hosts.owe()
    wait_until(lambda: hosts.notice(first).delivered_at is not None, seconds=PATIENCE_SECONDS)
    fence = hosts.lease().fence
    hosts.processes[0].kill()
    second = hosts.owe()
    wait_until(lambda: hosts.notice(second).delivered_at is not None, seconds=PATIENCE_SECONDS)
    assert hosts.is_role(1, "active")
    assert hosts.lease().fence == fence + 1
    assert '"event": "lease_taken"' in hosts.log(1)
    assert len(hosts.delivered()) == 2


@pytest.mark.parametrize("hosts", [NEVER_ENDING], indirect=True)
def test_another_host_takes_over_at_once_when_the_active_worker_stops(hosts: Hosts) -> None:
    hosts.processes[0].terminate()
    wait_until(lambda: hosts.is_role(1, "active"), seconds=PATIENCE_SECONDS)
    assert hosts.processes[0].wait(PATIENCE_SECONDS) == 0
    assert "lease_lost" not in hosts.log(0)


def test_a_worker_that_was_frozen_in_the_middle_of_a_delivery_writes_nothing_when_it_wakes_up(hosts: Hosts) -> None:
    hosts.listener.hold()
    notice_id = hosts.owe()
    hosts.listener.wait(1)
    freeze(hosts.processes[0].pid)
    try:
        wait_until(lambda: hosts.is_role(1, "active"), seconds=PATIENCE_SECONDS)
        assert hosts.notice(notice_id).delivered_at is None
        # The answer comes while it sleeps: it would note it as delivered.
        hosts.listener.release()
    finally:
        hosts.processes[0].send_signal(signal.SIGCONT)
    wait_until(lambda: "lease_lost" in hosts.log(0), seconds=PATIENCE_SECONDS)
    wait_until(lambda: hosts.is_role(0, "standby"), seconds=PATIENCE_SECONDS)
    # What it had claimed comes back to the one who took over, which would not be if it had been noted as delivered.
    wait_until(lambda: hosts.notice(notice_id).delivered_at is not None, seconds=PATIENCE_SECONDS)
    assert len(hosts.listener.received) == 2
    assert [line["details"]["attempt"] for line in hosts.delivered()] == [1], "a try that nobody finished does not count"
    assert hosts.notice(notice_id).attempts == 1
    assert hosts.is_role(1, "active")
