"""People of Office 365 who are disabled, deleted or taken out of a group there: out within one round of asking, or at a notice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any

import httpx
import pytest

from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.console_agent import console_agent
from tests.support.entra import Entra
from tests.support.entra_door import NAME, account_of, come_in, open_door, provider_settings
from tests.support.entra_people import SECRET, Group, Person
from tests.support.listener import Listener
from tests.support.operator import Operator
from tests.support.processes import wait_until
from tests.support.world import SignedIn, World

NURSES, CLOUD = (f"9a1d0000-0000-4000-8000-00000000000{number}" for number in (1, 2))
MAPPING = [
    {"group": NURSES, "establishment": "tilleuls", "profile": "nurse"},
    {"group": CLOUD, "establishment": "glycines", "profile": "doctor"},
]
PATIENCE_SECONDS = 30.0
HOOK = f"/graph/notifications/{NAME}"
MakeHome = Callable[..., World]


@pytest.fixture
def make_home(make_world: MakeWorld, entra: Entra, monkeypatch: pytest.MonkeyPatch) -> MakeHome:
    """A world whose people come by Office 365 and are asked about there; Microsoft reaches its address."""
    monkeypatch.setenv("ENTRA_SECRET", SECRET)

    def make(watch: dict[str, Any] | None = None, **settings: Any) -> World:
        provider = provider_settings(entra, groups="graph", mapping=MAPPING, watch=watch or {"every": "5s"})
        base = {"providers": [provider], "work": {"reconcile_at": None}, "sessions": {"idle": "12h"}, "standing": {"staleness_bound": "2h"}}
        world = open_door(entra, make_world(**{**base, **settings}))
        machine = world.transport()

        def reach(url: str, body: Any) -> tuple[int, str]:
            answer = machine.post(url, json=body) if body is not None else machine.post(url)
            return answer.status_code, answer.text

        entra.directory.reach = reach
        return world

    return make


@contextmanager
def working(world: World) -> Iterator[Worker]:
    """The worker with all its threads, on a clock that goes on by itself, ten times as fast as the real one: tokens live for minutes."""
    worker, over = Worker(world.application), Signal()

    def tick() -> None:
        while not over.wait(0.02):
            world.clock.advance(timedelta(seconds=0.2))

    threads = [Thread(target=worker.run, daemon=True), Thread(target=tick, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: state(world) in {"live", "held"}, seconds=PATIENCE_SECONDS)
        yield worker
    finally:
        worker.stopping.set()
        over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "it does not stop"


def state(world: World) -> str | None:
    with world.database.read() as tx:
        found = tx.watches.get(NAME)
    return found.state if found else None


def is_out(world: World, person: Person) -> bool:
    return account_of(world, person).status != "active"


def word_of(world: World, person: Person) -> str:
    with world.database.read() as tx:
        link = tx.links.get(NAME, person.subject)
    assert link is not None
    return link.word


def group_of(person: Person, oid: str) -> Group:
    return next(one for one in person.groups if one.id == oid)


def is_refused(here: SignedIn) -> bool:
    return here.party.userinfo(here.tokens.access).status_code == 401


def test_person_who_is_disabled_there_is_out_and_the_application_is_told(make_home: MakeHome, entra: Entra, listener: Listener) -> None:
    world, nadia = make_home(), entra.person("nadia")
    here, other = come_in(world, entra, establishment="tilleuls"), come_in(world, entra, "omar")
    with working(world):
        entra.directory.disable(nadia)
        wait_until(lambda: is_out(world, nadia), seconds=PATIENCE_SECONDS)
        assert is_refused(here)
        listener.wait(1, seconds=PATIENCE_SECONDS)
        assert not is_refused(other), "nobody else is cut"
        line = world.last_event("account.suspended")
        assert (line["reason"], line["actor"]) == ("directory_disabled", f"connector:{NAME}")
        entra.directory.enable(nadia)
        wait_until(lambda: word_of(world, nadia) == "usable", seconds=PATIENCE_SECONDS)
        assert is_refused(here), "what was open does not come back"
    assert not is_refused(come_in(world, entra, establishment="tilleuls")), "they sign in again themselves"


@pytest.mark.parametrize("how", ["bin", "purge"])
def test_person_who_is_deleted_there_is_out(make_home: MakeHome, entra: Entra, how: str) -> None:
    world, nadia = make_home(), entra.person("nadia")
    here = come_in(world, entra, establishment="tilleuls")
    come_in(world, entra, "omar")
    with working(world):
        getattr(entra.directory, how)(nadia)
        wait_until(lambda: is_out(world, nadia), seconds=PATIENCE_SECONDS)
        assert is_refused(here)


def test_person_who_leaves_a_group_loses_that_home_and_keeps_the_other(make_home: MakeHome, entra: Entra) -> None:
    world, nadia = make_home(), entra.person("nadia")
    at_tilleuls, at_glycines = (
        come_in(world, entra, establishment="tilleuls"),
        come_in(world, entra, establishment="glycines", address="127.0.0.2"),
    )
    with working(world):
        entra.directory.leave(nadia, group_of(nadia, NURSES))
        wait_until(lambda: world.events("attachment.ended") != [], seconds=PATIENCE_SECONDS)
        assert is_refused(at_tilleuls)
        assert not is_refused(at_glycines)
        assert not is_out(world, nadia)
        (lost,) = world.events("attachment.ended")
        assert (lost["establishment_id"], lost["connector"]) == (world.establishment("tilleuls").id, NAME)


def test_nobody_is_out_while_graph_does_not_answer_and_is_when_it_does(make_home: MakeHome, entra: Entra) -> None:
    world, nadia = make_home(), entra.person("nadia")
    here = come_in(world, entra, establishment="tilleuls")
    come_in(world, entra, "omar")
    with working(world):
        entra.fail("/delta", 503, times=100_000)
        entra.directory.disable(nadia)
        wait_until(lambda: state(world) == "failing", seconds=PATIENCE_SECONDS)
        assert not is_out(world, nadia)
        assert not is_refused(here)
        entra.faults.clear()
        wait_until(lambda: is_out(world, nadia), seconds=PATIENCE_SECONDS * 2)


def test_changes_that_were_missed_are_found_by_asking_for_everybody_known(make_home: MakeHome, entra: Entra) -> None:
    world, nadia = make_home(), entra.person("nadia")
    come_in(world, entra, establishment="tilleuls")
    come_in(world, entra, "omar")
    with working(world):
        pass
    nadia.enabled = False  # and nothing tells it
    entra.directory.is_expired = True
    with working(world):
        wait_until(lambda: is_out(world, nadia), seconds=PATIENCE_SECONDS)
    assert not is_out(world, entra.person("omar"))


def test_notice_of_microsoft_is_followed_at_once(make_home: MakeHome, entra: Entra) -> None:
    world, nadia = make_home(watch={"every": "5m", "subscriptions": True}), entra.person("nadia")
    here = come_in(world, entra, establishment="tilleuls")
    come_in(world, entra, "omar")
    with working(world):
        wait_until(lambda: len(entra.directory.subscriptions) == 2, seconds=PATIENCE_SECONDS)
        asked = world.clock.now()
        entra.directory.disable(nadia)
        wait_until(lambda: is_out(world, nadia), seconds=PATIENCE_SECONDS)
        assert is_refused(here)
        assert world.clock.now() - asked < timedelta(minutes=5), "not by asking every so often"


# The address that Microsoft calls


@pytest.fixture
def called(make_home: MakeHome) -> World:
    """A world whose provider has subscriptions; its worker does not run."""
    return make_home(watch={"every": "5m", "subscriptions": True})


def test_validation_token_is_repeated_as_text_and_nothing_else(called: World) -> None:
    answer = called.machine.post(f"{HOOK}?validationToken=%3Cscript%3Ealert(1)%3C%2Fscript%3E+plus")
    assert (answer.status_code, answer.text) == (200, "<script>alert(1)</script> plus")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("send", "status", "reason"),
    [
        (lambda client: client.post(HOOK, json={"value": [{"clientState": "wrong"}]}), 403, "notice_not_ours"),
        (lambda client: client.post(HOOK, json={"value": [{}]}), 403, "notice_not_ours"),
        (lambda client: client.post(HOOK, content=b'{"value": [{"clientState": "\\ud800"}]}'), 403, "notice_not_ours"),
        (lambda client: client.post(HOOK, json={"value": []}), 400, "invalid_request"),
        (lambda client: client.post(HOOK, content=b"{"), 400, "invalid_request"),
        (lambda client: client.post(HOOK, content=b"x" * 300_000), 413, "too_large"),
        (lambda client: client.post(f"{HOOK}?validationToken={'a' * 3000}"), 400, "invalid_request"),
        (lambda client: client.get(HOOK), 405, "invalid_request"),
    ],
    ids=["wrong secret", "no secret", "half a character", "no notice", "no JSON", "too large", "long token", "GET"],
)
def test_what_is_no_notice_of_ours_is_refused_and_wakes_nobody(
    called: World, send: Callable[[httpx.Client], httpx.Response], status: int, reason: str
) -> None:
    assert send(called.machine).status_code == status
    assert called.last_event("request.refused")["reason"] == reason
    assert called.application.ephemeral.get("graph.notice", NAME) is None


def test_notices_of_a_provider_that_has_none_are_nobodys(called: World) -> None:
    assert called.machine.post("/graph/notifications/another", json={"value": []}).status_code == 404


# People who leave all at once wait for a human


@pytest.mark.parametrize("where", ["command", "console"])
def test_mass_is_held_and_ends_when_a_human_confirms_it(make_home: MakeHome, entra: Entra, where: str) -> None:
    world = make_home(sync={"brake_people": 1, "brake_percent": 100})
    nadia, omar = entra.person("nadia"), entra.person("omar")
    come_in(world, entra, establishment="tilleuls")
    come_in(world, entra, "omar")
    with working(world):
        entra.directory.disable(nadia)
        wait_until(lambda: is_out(world, nadia), seconds=PATIENCE_SECONDS)
        entra.directory.disable(omar)
        wait_until(lambda: run_of(world) is not None, seconds=PATIENCE_SECONDS)
        assert not is_out(world, omar)
    run = run_of(world)
    assert run is not None
    if where == "command":
        operator = Operator(world.config_path, clock=world.clock)
        assert f"the run {run} of" in operator.do("sync", NAME, "--waiting")
        assert "1 people ended as confirmed, 0 kept" in operator.do("sync", NAME, "--confirm", run)
    else:
        admin = console_agent(world)
        page = admin.get(f"/admin/connectors/{NAME}")
        assert account_of(world, omar).family_name in page.text
        admin.get(next(href for href, _text in page.document.links if href.endswith("/confirm")))
        assert admin.submit("changes", button="confirm").url.endswith("?done=confirmed")
    assert is_out(world, omar)
    assert run_of(world) is None


def test_operator_names_a_provider_that_is_listened_to_as_a_directory(
    operator: Operator, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)
    operator.configure(providers=[provider_settings(entra, groups="graph", watch={"every": "30s"})])
    assert f"{NAME}: no run waits" in operator.do("sync", NAME, "--waiting")
    assert "0 added, 0 changed, 0 unchanged, 0 ended" in operator.do("sync", NAME)
    operator.configure(providers=[provider_settings(entra)])
    assert "names no directory" in operator.refused("sync", NAME)


def run_of(world: World) -> str | None:
    with world.database.read() as tx:
        return next((run.id for run in tx.links.runs(NAME, state="held")), None)
