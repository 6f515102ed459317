"""Somebody is disabled in a real slapd, and a receiver written against the specifications ends the session that it keeps of them: pushed, and polled.

The threads are those of the worker, and the time is real.
"""

from collections.abc import Iterator

import pytest

from idp.work import Worker
from tests.conftest import MakeWorld
from tests.flows.test_signals import allow
from tests.support.fixed_clock import FixedClock
from tests.support.processes import wait_until
from tests.support.running_clock import RunningClock
from tests.support.set_receiver import CAEP, RISC, Ear, Heard, Receiver, hearing
from tests.support.slapd import Slapd
from tests.support.watched_world import PATIENCE_SECONDS, cut, notices, settings, sign_in, working
from tests.support.world import World


@pytest.fixture
def clock() -> FixedClock:
    """The worlds of this file live in real time."""
    return RunningClock()


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """People in a directory that tells what changes; two of the applications take events."""
    world = make_world(**settings(slapd))
    allow(world, "carnet", "ssf.manage")
    allow(world, "signataire", "ssf.manage")
    return world


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Where the application listens."""
    with hearing() as ear:
        yield ear


@pytest.fixture
def worker(homes: World) -> Iterator[Worker]:
    """One that listens."""
    with working(homes) as made:
        yield made


class Sessions:
    """What an application keeps of who is in it, and what a receiver makes of an event: by `sid`, and by `sub` when it is about the person."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}

    def begin(self, claims: dict[str, object]) -> None:
        """Somebody signed in."""
        self.open[str(claims["sid"])] = str(claims["sub"])

    def hear(self, heard: Heard) -> None:
        """Act on one verified event."""
        if heard.type == f"{CAEP}session-revoked":
            self.open.pop(heard.subject["session"]["id"], None)
        elif heard.type == f"{RISC}account-disabled":
            self.open = {sid: sub for sid, sub in self.open.items() if sub != heard.subject["sub"]}


@pytest.mark.parametrize("wanted", [f"{CAEP}session-revoked", f"{RISC}account-disabled"])
def test_receiver_that_is_pushed_loses_the_session_of_who_is_disabled_in_the_directory(
    homes: World, slapd: Slapd, worker: Worker, ear: Ear, wanted: str
) -> None:
    receiver, sessions = Receiver(homes), Sessions()
    receiver.create_push(ear, events_requested=[wanted])
    sessions.begin(sign_in(homes).tokens.claims)
    sessions.begin(sign_in(homes, "d.paul").tokens.claims)
    _, paul = sessions.open.values()
    slapd.disable("d.claire")
    wait_until(lambda: bool(ear.pushed), seconds=PATIENCE_SECONDS)
    for heard in receiver.heard(ear):
        sessions.hear(heard)
    assert list(sessions.open.values()) == [paul]
    found = cut(homes)
    wait_until(lambda: all(one.delivered_at for one in notices(homes, found)), seconds=PATIENCE_SECONDS)
    assert "HTTP 202" in {one.receipt for one in notices(homes, found) if one.kind == "set_push"}


def test_receiver_that_polls_loses_the_session_while_a_dead_one_beside_it_is_still_waited_for(
    homes: World, slapd: Slapd, worker: Worker, ear: Ear
) -> None:
    other = Receiver(homes, "signataire")
    other.create_push(ear, events_requested=[f"{CAEP}session-revoked"])
    ear.answers[:] = [(503, None)] * 20
    receiver, sessions = Receiver(homes), Sessions()
    stream = receiver.create(events_requested=[f"{CAEP}session-revoked"])
    sessions.begin(sign_in(homes).tokens.claims)
    sign_in(homes, client="signataire")
    slapd.disable("d.claire")
    wait_until(lambda: bool(receiver.poll(stream)), seconds=PATIENCE_SECONDS)
    events = receiver.poll(stream)
    for heard in events.values():
        sessions.hear(heard)
    assert not sessions.open
    assert receiver.poll(stream, ack=list(events)) == {}
    wait_until(lambda: bool(ear.pushed), seconds=PATIENCE_SECONDS)
    told = notices(homes, cut(homes))
    assert {one.receipt for one in told if one.kind == "set_poll"} == {"acknowledged"}
    assert all(one.delivered_at is None for one in told if one.kind == "set_push")
