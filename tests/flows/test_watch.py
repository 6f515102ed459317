"""A person is disabled in a real slapd that we listen to: their Session is over, and the application told, with nobody asking.

The threads are those of the worker; the time is real, because the directory's is. How long it takes is bench/cut.py's to say, on a quiet machine.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from connectors.base import Heard
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.fixed_clock import FixedClock
from tests.support.processes import vestibule, wait_until
from tests.support.running_clock import RunningClock
from tests.support.slapd import GROUPS, Slapd
from tests.support.watched_world import (
    PATIENCE_SECONDS,
    cut,
    cuts,
    held_run,
    metric,
    notices,
    settings,
    sign_in,
    state,
    watched,
    working,
)
from tests.support.world import World


@pytest.fixture
def clock() -> FixedClock:
    """The worlds of this file live in real time."""
    return RunningClock()


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """The world's two homes, their people in a directory that tells what changes."""
    return make_world(**settings(slapd))


@pytest.fixture
def worker(homes: World) -> Iterator[Worker]:
    """One that listens."""
    with working(homes) as made:
        yield made


def test_disabled_person_is_out_of_the_application_with_nobody_asking(homes: World, slapd: Slapd, worker: Worker) -> None:
    here = sign_in(homes)
    slapd.disable("d.claire")
    (received,) = homes.listener.wait(1)
    claims = here.party.read_logout_token(received.logout_token)
    assert claims["sid"] == here.tokens.claims["sid"]
    found = cut(homes)
    assert (found.kind, found.cause, found.connector) == ("suspended", "directory_disabled", "annuaire")
    assert (found.subject, found.sessions, found.grants, found.notices) == (slapd.subject("d.claire"), 1, 1, 1)
    assert found.written_at is not None
    assert found.heard_at is not None
    assert found.written_at <= found.heard_at <= found.decided_at
    wait_until(lambda: notices(homes, found)[0].delivered_at is not None, seconds=PATIENCE_SECONDS)
    (notice,) = notices(homes, found)
    assert (notice.kind, notice.receipt, notice.cause) == ("backchannel_logout", "HTTP 200", "directory_disabled")
    assert found.decided_at <= notice.delivered_at
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert here.party.introspect(here.tokens.access).json() == {"active": False}
    assert here.party.userinfo(here.tokens.access).status_code == 401
    line = homes.last_event("account.suspended")
    assert (line["actor"], line["reason"], line["connector"]) == ("connector:annuaire", "directory_disabled", "annuaire")
    wait_until(lambda: metric(homes, "vestibule_cut_decided_seconds_count") == 1, seconds=PATIENCE_SECONDS)
    assert metric(homes, "vestibule_cut_heard_seconds_count") == 1
    wait_until(lambda: metric(homes, "vestibule_cut_delivered_seconds_count") == 1, seconds=PATIENCE_SECONDS)
    assert metric(homes, "vestibule_watch_live") == 1


def delete(slapd: Slapd) -> None:
    slapd.delete(slapd.dn("d.claire"))


def expire(slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.claire"), {"shadowExpire": "10000"})


def put_out_of_scope(slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.claire"), {"employeeType": "prestataire"})


@pytest.mark.parametrize(
    ("leave", "reason"), [(delete, "directory_gone"), (expire, "directory_expired"), (put_out_of_scope, "directory_out_of_scope")]
)
def test_person_who_is_gone_expired_or_out_of_scope_is_cut_for_that_reason(
    homes: World, slapd: Slapd, worker: Worker, leave: Callable[[Slapd], None], reason: str
) -> None:
    here = sign_in(homes)
    leave(slapd)
    homes.listener.wait(1)
    found = cut(homes)
    assert (found.cause, found.sessions) == (reason, 1)
    assert here.party.refresh(here.tokens.refresh).status_code == 400


def test_person_who_leaves_a_group_loses_that_home_alone_and_comes_back_with_the_group(homes: World, slapd: Slapd, worker: Worker) -> None:
    here = sign_in(homes, "d.amina", establishment="tilleuls")
    there = sign_in(homes, "d.amina", establishment="glycines")
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.amina"))
    homes.listener.wait(1)
    found = cut(homes)
    assert (found.kind, found.establishment_id, found.cause) == ("attachment", homes.establishment("tilleuls").id, "attachment_lost")
    assert found.heard_at is not None
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert there.party.refresh(there.tokens.refresh).status_code == 200
    slapd.join("tilleuls-infirmiers", slapd.dn("d.amina"))
    wait_until(lambda: len(homes.events("attachment.added")) > 3 and places(homes, "d.amina") == 2, seconds=PATIENCE_SECONDS)
    assert sign_in(homes, "d.amina", establishment="tilleuls").tokens.claims["roles"] == ["nurse"]
    assert len(cuts(homes)) == 1


def places(world: World, uid: str) -> int:
    """How many attachments the directory gives a person."""
    with world.database.read() as tx:
        (account,) = tx.people.matching(uid, None)
        return sum(1 for one in tx.people.attachments(account.id) if one.ended_at is None)


def test_person_who_is_enabled_again_signs_in_again_and_not_before(homes: World, slapd: Slapd, worker: Worker) -> None:
    sign_in(homes)
    slapd.disable("d.claire")
    cut(homes)
    slapd.enable("d.claire")
    wait_until(lambda: word(homes, slapd) == "usable", seconds=PATIENCE_SECONDS)
    with homes.database.read() as tx:
        (account,) = tx.people.matching("d.claire", None)
    assert account.status == "suspended", "a word revives nobody: their own sign-in does"
    assert sign_in(homes).tokens.claims["sub"] == account.id
    slapd.disable("d.claire")
    assert cut(homes, 2).cause == "directory_disabled"


def word(world: World, slapd: Slapd, uid: str = "d.claire") -> str:
    with world.database.read() as tx:
        link = tx.links.get("annuaire", slapd.subject(uid))
    assert link is not None
    return link.word


def test_newcomer_is_known_and_a_renamed_person_is_the_same(homes: World, slapd: Slapd, worker: Worker) -> None:
    slapd.join("tilleuls-infirmiers", slapd.add_person("d.nora", mail="d.nora@annuaire.example"))
    wait_until(lambda: has_account(homes, "d.nora"), seconds=PATIENCE_SECONDS)
    with homes.database.read() as tx:
        (before,) = tx.people.matching("d.paul", None)
    slapd.rename(slapd.dn("d.paul"), "uid=d.paolo")
    wait_until(lambda: has_account(homes, "d.paolo"), seconds=PATIENCE_SECONDS)
    with homes.database.read() as tx:
        (after,) = tx.people.matching("d.paolo", None)
    assert after.id == before.id


def test_person_keeps_their_place_when_the_group_follows_a_new_name_a_moment_later(
    homes: World, slapd: Slapd, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The group follows by hand here, and a slow machine takes longer for that than refint does.
    monkeypatch.setattr("idp.lifecycle.hearing.SETTLES_WITHIN_SECONDS", 3.0)
    here = sign_in(homes)
    group = f"cn=tilleuls-infirmiers,{GROUPS}"
    renamed = slapd.rename(slapd.dn("d.claire"), "uid=d.clara")
    slapd.modify(group, {"member": [renamed]})
    wait_until(lambda: has_account(homes, "d.clara"), seconds=PATIENCE_SECONDS)
    assert cuts(homes) == ()
    assert here.party.refresh(here.tokens.refresh).status_code == 200


def has_account(world: World, uid: str) -> bool:
    with world.database.read() as tx:
        return bool(tx.people.matching(uid, None))


def test_what_happened_while_nobody_listened_is_done_at_the_next_start_without_reading_everybody(homes: World, slapd: Slapd) -> None:
    with working(homes):
        here = sign_in(homes)
    (reading,) = homes.events("sync.done")
    slapd.disable("d.claire")
    slapd.delete(slapd.dn("d.hugo"))
    with working(homes):
        homes.listener.wait(1)
        found = cut(homes, 2)
    assert {one.cause for one in cuts(homes)} == {"directory_disabled", "directory_gone"}
    assert found.heard_at is not None
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert homes.events("sync.done") == [reading]
    with working(homes):
        pass
    assert len(cuts(homes)) == 2, "heard twice, done once"


def test_nobody_has_left_when_the_directory_is_down_and_it_is_listened_to_again_when_it_is_back(
    homes: World, slapd: Slapd, worker: Worker
) -> None:
    here = sign_in(homes)
    slapd.stop()
    wait_until(lambda: state(homes) == "failing", seconds=PATIENCE_SECONDS)
    assert metric(homes, "vestibule_watch_live") == 0
    found = watched(homes)
    assert found is not None
    assert found.trouble
    assert worker.is_alive(), "a directory that is down does not take us out"
    slapd.start()
    wait_until(lambda: state(homes) == "live", seconds=PATIENCE_SECONDS)
    assert cuts(homes) == ()
    assert here.party.refresh(here.tokens.refresh).status_code == 200
    slapd.disable("d.claire")
    homes.listener.wait(1)
    assert cut(homes).cause == "directory_disabled"


def test_people_who_leave_one_after_another_are_held_for_a_human_from_one_too_many_on(make_world: MakeWorld, slapd: Slapd) -> None:
    homes = make_world(**settings(slapd, sync={"brake_people": 2}))
    with working(homes):
        here = {uid: sign_in(homes, uid) for uid in ("d.claire", "d.zoe")}
        for uid in ("d.hugo", "d.paul", "d.claire", "d.zoe"):
            slapd.disable(uid)
        wait_until(lambda: (run := held_run(homes)) is not None and run.counts.get("held") == 2, seconds=PATIENCE_SECONDS)
        assert len(cuts(homes)) == 2
        assert here["d.claire"].party.refresh(here["d.claire"].tokens.refresh).status_code == 200
        (line,) = homes.events("sync.held")
        assert (line["reason"], line["connector"], line["actor"]) == ("sync_brake", "annuaire", "connector:annuaire")
        assert len(homes.events("standing.held")) == 2
        run = held_run(homes)
        assert run is not None
        vestibule(homes.config_path, "sync", "annuaire", "--confirm", run.id)
        homes.listener.wait(2)
    assert len(cuts(homes)) == 4
    assert here["d.zoe"].party.refresh(here["d.zoe"].tokens.refresh).status_code == 400


def test_worker_that_was_restarted_in_the_middle_of_a_mistake_goes_on_counting(make_world: MakeWorld, slapd: Slapd) -> None:
    homes = make_world(**settings(slapd, sync={"brake_people": 2}))
    with working(homes):
        slapd.disable("d.hugo")
        slapd.disable("d.paul")
        cut(homes, 2)
    with working(homes):
        slapd.disable("d.zoe")
        wait_until(lambda: held_run(homes) is not None, seconds=PATIENCE_SECONDS)
    homes.clock.advance(timedelta(minutes=11))
    with working(homes):
        slapd.disable("d.amina")
        assert cut(homes, 3).subject == slapd.subject("d.amina"), "who leaves alone, later, is cut at once"


def test_directory_is_read_as_a_whole_at_night_and_only_then_when_it_is_not_listened_to(make_world: MakeWorld, slapd: Slapd) -> None:
    quiet = slapd.settings(watch={"enabled": False})
    homes = make_world(**settings(slapd, directories=[quiet], work={"reconcile_at": "03:30"}))
    worker = Worker(homes.application)
    (watch,) = worker.watching._watches
    worker.stand()
    with homes.arranging() as tx:
        tx.watches.begin("annuaire", homes.clock.now())
    assert not watch.is_listening
    assert not homes.events("sync.")
    homes.clock.advance(timedelta(days=1))

    def is_read() -> bool:
        watch._take(Heard(kind="quiet", heard_at=homes.clock.now()))
        return state(homes) == "live" and not watch._reading.is_going_on

    watch._take(Heard(kind="quiet", heard_at=homes.clock.now()))
    wait_until(is_read, seconds=PATIENCE_SECONDS)
    (line,) = homes.events("sync.done")
    assert line["actor"] == "system"
    assert is_read()
    assert len(homes.events("sync.done")) == 1
    watch._reading.stop()
    worker.deliverer.close()
