"""The canary: a real slapd, the worker's own threads, and our own listener; what it measures, what it says when the path is broken, whom it refuses.

The time is real, because the directory's is; runs are made due by jumping ahead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import httpx
import pytest

from idp.audit import Origin, Reason
from idp.endings import Cause, cut_account
from idp.lifecycle.canary import CLIENT_ID
from idp.lifecycle.canary_listener import CanaryListener
from idp.store.base import CanaryRun
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.agents import enter_console
from tests.support.fixed_clock import FixedClock
from tests.support.operator import Operator
from tests.support.processes import wait_until
from tests.support.slapd import Slapd
from tests.support.smtp import SmtpServer
from tests.support.world import World

PATIENCE_SECONDS = 30.0
HOUR = timedelta(hours=1)
CANARY = "d.claire"  # nobody there, in these tests
DPO = "dpo@groupe.example"


class RunningClock(FixedClock):
    """The time as it goes, and a jump when told."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
        self._jump = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._jump

    def timestamp(self) -> int:
        return int(self.now().timestamp())

    def advance(self, by: timedelta) -> datetime:
        self._jump += by
        return self.now()


@pytest.fixture
def clock() -> FixedClock:
    """The worlds of this file live in real time."""
    return RunningClock()


def settings(slapd: Slapd, **canary: Any) -> dict[str, Any]:
    told = slapd.canary(every="1h", within="10s", **canary)
    directory = slapd.settings(watch={"heartbeat": "1s"}, receive_timeout="10s", canary=told)
    return {"directories": [directory], "work": {"reconcile_at": None}, "logout": {"retries": ["500ms"] * 5}}


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """A world that listens to slapd, with a canary there."""
    return make_world(**settings(slapd))


@contextmanager
def working(world: World) -> Iterator[Worker]:
    """The worker, all its threads, for the length of the block."""
    worker = Worker(world.application)
    thread = Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: is_listening(world), seconds=PATIENCE_SECONDS)
        yield worker
    finally:
        worker.stopping.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the worker does not stop"


def is_listening(world: World) -> bool:
    with world.database.read() as tx:
        found = tx.watches.get("annuaire")
    return found is not None and found.state == "live"


def runs(world: World) -> tuple[CanaryRun, ...]:
    """The earliest first."""
    with world.database.read() as tx:
        return tx.canary.last("annuaire", 20)


def finished(world: World, count: int) -> CanaryRun:
    """The last of so many runs, when it is over."""

    def is_over() -> bool:
        found = runs(world)
        return len(found) >= count and found[-1].restored_at is not None

    try:
        wait_until(is_over, seconds=PATIENCE_SECONDS)
    except AssertionError as late:
        raise AssertionError(f"{count} runs are not over: {runs(world)}") from late
    return runs(world)[-1]


def due(world: World, count: int) -> CanaryRun:
    """The next run, made due, to its end."""
    world.clock.advance(HOUR)
    return finished(world, count)


def test_operator_sees_every_stage_when_the_canary_comes_through(homes: World, slapd: Slapd) -> None:
    with working(homes):
        run = finished(homes, 1)
    assert run.trouble == ""
    assert run.written_at is not None
    assert run.heard_at is not None
    assert run.decided_at is not None
    assert run.delivered_at is not None
    assert run.restored_at is not None
    assert run.written_at <= run.heard_at <= run.decided_at <= run.delivered_at <= run.restored_at
    assert slapd.values(CANARY, "pwdAccountLockedTime") == []
    metrics = homes.application.metrics.render().decode()
    assert 'vestibule_canary_well{connector="annuaire"} 1.0' in metrics
    assert 'stage="whole"' in metrics


def test_reader_finds_the_canary_charted_and_not_among_the_cuts(homes: World, slapd: Slapd) -> None:
    with working(homes):
        run = finished(homes, 1)
    with homes.database.read() as tx:
        (cut,) = tx.cuts.newest()
        assert cut.decided_at == run.decided_at
        assert tx.cuts.find(places=None) == ()
        assert run.account_id not in {one.account.id for one in tx.factors.unequipped(homes.clock.now())}
    page = enter_console(homes).get("/admin/cuts")
    assert "no-cuts" in page.markup
    assert "annuaire" in page.text
    assert "<rect" in page.markup
    assert_session_is_not_counted(homes)
    homes.clock.advance(timedelta(days=91))
    with homes.arranging() as tx:
        assert tx.sweep.delete_canary_runs(homes.clock.now() - timedelta(days=90)) >= 1
        assert tx.cuts.newest() == ()


def assert_session_is_not_counted(world: World) -> None:
    """That of a run which is open now."""
    now, limits = world.clock.now(), world.config.sessions.limits
    with world.arranging() as tx:
        (session,) = tx.sessions.live_at(None, now, limits=limits, skip=0, count=10)
        assert tx.sessions.count_open(now, limits) == 1
        tx.canary.add(CanaryRun(id=session.id, connector="annuaire", began_at=now, restored_at=now))
        assert tx.sessions.live_at(None, now, limits=limits, skip=0, count=10) == ()
        assert tx.sessions.count_open(now, limits) == 0


def test_operator_is_alarmed_when_nobody_listens_any_more(make_world: MakeWorld, slapd: Slapd) -> None:
    """The directory takes the write, and nothing tells us."""
    world = make_world(**settings(slapd))
    with working(world) as worker:
        assert finished(world, 1).trouble == ""
        for watch in worker.watching._watches:
            watch.close()
        world.clock.advance(HOUR)
        wait_until(lambda: slapd.values(CANARY, "pwdAccountLockedTime") != [], seconds=PATIENCE_SECONDS)
        world.clock.advance(timedelta(seconds=10))
        broken = finished(world, 2)
    assert broken.trouble.startswith("not heard within 10 s")
    assert slapd.values(CANARY, "pwdAccountLockedTime") == []
    line = world.last_event("canary.failed")
    assert (line["connector"], line["details"]["run"]) == ("annuaire", broken.id)
    assert 'vestibule_canary_well{connector="annuaire"} 0.0' in world.application.metrics.render().decode()


def test_operator_is_alarmed_by_mail_when_the_directory_is_stopped_and_told_when_it_is_back(
    make_world: MakeWorld, slapd: Slapd, smtp: SmtpServer
) -> None:
    world = make_world(**settings(slapd), mail=smtp.settings(), alerts={"dpo": DPO})
    with working(world) as worker:
        run = finished(world, 1)
        slapd.stop()
        broken = due(world, 2)
        assert broken.trouble != ""
        assert world.last_event("canary.failed")["details"]["run"] == broken.id
        assert metric(world) == 0.0
        for _ in range(3):  # on PostgreSQL a line is settled when it was seen twice
            worker.alerts.run_once()
        wait_until(lambda: any("canari" in str(mail["Subject"]) for mail in smtp.mails()), seconds=PATIENCE_SECONDS)
        assert {str(mail["To"]) for mail in smtp.mails()} == {DPO}
        slapd.start()
        hear_late(world, run)
        assert due(world, 3).trouble == ""
        assert metric(world) == 1.0
    assert world.last_event("canary.recovered")["connector"] == "annuaire"
    assert slapd.values(CANARY, "pwdAccountLockedTime") == []


def metric(world: World) -> float:
    """Whether the last run came through, as it is measured."""
    (line,) = [one for one in world.application.metrics.render().decode().splitlines() if one.startswith("vestibule_canary_well{")]
    return float(line.split()[-1])


def hear_late(world: World, run: CanaryRun) -> None:
    """What a run wrote is heard when the run is over: its Account is suspended, and the directory says nothing more."""
    if run.account_id is None:
        pytest.fail("the run had no account")
    with world.arranging() as tx:
        cause = Cause(Reason.DIRECTORY_DISABLED, "system", Origin("0123456789", "local"))
        cut_account(tx, run.account_id, cause, status="suspended", cut_by="annuaire", clock=world.clock)


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        ({"login": "nobody.of.that.name"}, "the directory has nobody called"),
        ({"bind_dn": None, "bind_password": None}, "may not disable and enable"),
    ],
)
def test_run_is_not_begun_when_something_is_not_set_up(make_world: MakeWorld, slapd: Slapd, canary: dict[str, Any], words: str) -> None:
    world = make_world(**settings(slapd, **canary))
    with working(world):
        run = finished(world, 1)
        assert words in run.trouble
    assert slapd.values(CANARY, "pwdAccountLockedTime") == []
    assert words in world.last_event("canary.failed")["details"]["trouble"]


def test_person_with_a_role_is_never_taken_for_a_canary(homes: World, slapd: Slapd) -> None:
    with working(homes):
        finished(homes, 1)
    with homes.database.read() as tx:
        link = tx.links.get("annuaire", slapd.subject(CANARY))
    assert link is not None
    before = slapd.values(CANARY, "entryCSN")
    Operator(homes.config_path, clock=homes.clock).do("admin", "give", link.account_id, "auditor")
    with working(homes):
        run = due(homes, len(runs(homes)) + 1)
    assert "a canary is nobody" in run.trouble
    assert slapd.values(CANARY, "entryCSN") == before


def test_dead_worker_leaves_nobody_disabled_when_another_takes_over(homes: World, slapd: Slapd) -> None:
    """The first died between the write and the end of its run: the run is open, and its person disabled."""
    with working(homes):
        run = finished(homes, 1)
    slapd.disable(CANARY)
    with homes.arranging() as tx:
        tx.canary.change(run.id, restored_at=None)
    with working(homes):
        finished(homes, 1)
        assert slapd.values(CANARY, "pwdAccountLockedTime") == []


def test_person_who_has_left_is_not_enabled_when_the_settings_name_them_by_mistake(homes: World, slapd: Slapd) -> None:
    """Not at the beginning of a run, nor at the end of one that began with somebody else."""
    with working(homes):
        run = finished(homes, 1)
    slapd.disable(CANARY)
    with homes.arranging() as tx:
        other = homes.account("claire").id
        began_at = run.began_at + HOUR
        trouble = "of another person"
        tx.canary.add(CanaryRun(id=homes.clock.new_id(), connector="annuaire", account_id=other, began_at=began_at, trouble=trouble))
    with working(homes):
        homes.clock.advance(HOUR + timedelta(minutes=1))
        finished(homes, 2)
        broken = due(homes, 3)
        assert broken.trouble == "it is disabled in the directory: enable it there"
    assert slapd.values(CANARY, "pwdAccountLockedTime") != []


def test_stranger_is_refused_by_the_listener_when_what_they_send_is_no_logout_token(homes: World) -> None:
    listener = CanaryListener(homes.clock)
    uri = listener.start()
    try:
        with httpx.Client(trust_env=False) as client:
            assert client.post(uri, data={"logout_token": "nonsense"}).status_code == 400
            assert client.post(uri, content=b"\xff").status_code == 400
            assert client.post(f"{uri}/elsewhere", data={"logout_token": "a.e30.c"}).status_code == 400
            assert client.post(uri, data={"logout_token": "a.eyJqdGkiOiAiMSJ9.c"}).status_code == 200
        assert listener.arrived("1") is not None
        assert listener.arrived("2") is None
    finally:
        listener.close()


def test_nobody_signs_in_at_the_application_of_the_canary(homes: World, slapd: Slapd) -> None:
    with working(homes):
        finished(homes, 1)
    with homes.database.read() as tx:
        client = tx.clients.get(CLIENT_ID)
    if client is None:
        pytest.fail("no run began")
    page = homes.browser().get(f"/authorize?client_id={CLIENT_ID}&response_type=code&redirect_uri=http://127.0.0.1/&scope=openid")
    assert page.status == 400
    refused = homes.machine.post("/token", auth=(CLIENT_ID, ""), data={"grant_type": "client_credentials"})
    assert refused.status_code == 401
