"""The trail is streamed as it is written: to a real syslog server over TLS, TCP and UDP, and to a file; what was not taken is sent again."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.audit import Event, EventType, Origin
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.certificates import PrivateAuthority
from tests.support.syslog_server import SyslogServer, syslog_serving
from tests.support.world import World

Serve = Callable[[str], SyslogServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start syslog servers."""
    with ExitStack() as stack:
        yield lambda transport: stack.enter_context(
            syslog_serving(tmp_path / transport, transport, PrivateAuthority(tmp_path / "authority"))
        )


@pytest.fixture
def start(make_world: MakeWorld) -> Iterator[Callable[..., tuple[World, Worker]]]:
    """A world whose worker streams the trail somewhere, from now on."""
    made: list[Worker] = []

    def begin(*streams: dict[str, Any]) -> tuple[World, Worker]:
        world = make_world(audit={"streams": list(streams)})
        worker = Worker(world.application)
        worker.stand()
        made.append(worker)
        stream(worker)
        return world, worker

    yield begin
    for worker in made:
        worker.streamer.close()
        worker.deliverer.close()


def stream(worker: Worker, passes: int = 4) -> int:
    """Several passes: on PostgreSQL a line is sent when none before it can appear any more."""
    return sum(worker.streamer.run_once() for _ in range(passes))


def lines_of(path: Path) -> list[dict[str, Any]]:
    """What a file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
def test_a_syslog_server_is_sent_each_line_and_seal_as_they_are_written(
    start: Callable[..., tuple[World, Worker]], serve: Serve, transport: str
) -> None:
    server = serve(transport)
    world, worker = start(server.settings("siem", hostname="connexion-1"))
    began = 0
    world.sign_in("claire")
    written = world.events()
    sent = stream(worker)
    assert sent >= 3
    worker.sealer.run_once()
    stream(worker)
    taken = server.taken(began + sent + 1)
    lines = [message for message in taken if message["msg"]["type"] != "audit.sealed"]
    assert [message["msg"]["id"] for message in lines] == [line["id"] for line in written[-len(lines) :]]
    (signed_in,) = [message for message in lines if message["msgid"] == "signin.succeeded"]
    assert (signed_in["app-name"], signed_in["hostname"], signed_in["procid"]) == ("vestibule", "connexion-1", "-")
    assert (signed_in["syslogfacility"], signed_in["syslogseverity"]) == ("13", "6")
    assert signed_in["timereported"].startswith("2026-11-23T08:00:00")
    assert signed_in["msg"]["account_id"] == world.account("claire").id
    assert signed_in["msg"]["mac"] == next(line["mac"] for line in written if line["type"] == "signin.succeeded")
    with world.database.read() as tx:
        newest = tx.seals.newest()
    assert newest is not None
    assert taken[-1]["msg"]["seal"] == f"{newest['number']}-{newest['mac']}"


def test_a_refusal_and_an_alarm_are_more_than_information(start: Callable[..., tuple[World, Worker]], serve: Serve) -> None:
    server = serve("tcp")
    world, worker = start(server.settings("siem"))
    browser = world.browser()
    browser.sign_in(world.person("claire").username, "ce-n'est-pas-cela", page=browser.get(world.relying_party().begin()))
    stream(worker)
    taken = server.taken(1)
    assert {"4"} == {message["syslogseverity"] for message in taken if message["msgid"] == "signin.refused"}


def test_what_a_server_that_was_away_missed_is_sent_when_it_is_back(start: Callable[..., tuple[World, Worker]], serve: Serve) -> None:
    server = serve("tls")
    world, worker = start(server.settings("siem", timeout="1s"))
    server.stop()
    world.sign_in("claire")
    assert stream(worker) == 0
    with world.database.read() as tx:
        cursor = tx.seals.cursor("siem")
    assert cursor is not None
    assert cursor.failing_since == world.clock.now()
    assert cursor.trouble
    world.sign_in("rose")
    stream(worker)  # not yet asked again
    server.start()
    world.clock.advance(timedelta(minutes=2))
    assert stream(worker) >= 6
    sent = [message["msg"]["id"] for message in server.taken(6) if "id" in message["msg"]]
    assert set(sent) >= {line["id"] for line in world.events("signin.succeeded")}
    assert sent == sorted(sent)
    with world.database.read() as tx:
        cursor = tx.seals.cursor("siem")
    assert cursor is not None
    assert (cursor.failing_since, cursor.trouble) == (None, "")


def test_a_server_that_takes_nothing_holds_up_no_other_stream(
    start: Callable[..., tuple[World, Worker]], serve: Serve, tmp_path: Path
) -> None:
    server = serve("tls")
    path = tmp_path / "audit.jsonl"
    world, worker = start(server.settings("siem", timeout="30s"), {"name": "coffre", "type": "file", "path": str(path)})
    server.hang()
    world.sign_in("claire")
    for _ in range(4):
        worker.streamer.run_once()
    assert "signin.succeeded" in {line["type"] for line in lines_of(path)}
    server.stop()


def test_a_server_whose_certificate_is_not_trusted_is_sent_nothing(
    start: Callable[..., tuple[World, Worker]], serve: Serve, tmp_path: Path
) -> None:
    server = serve("tls")
    stranger = PrivateAuthority(tmp_path / "stranger")
    world, worker = start(server.settings("siem", ca_file=str(stranger.ca_file)))
    world.sign_in("claire")
    assert stream(worker) == 0
    with world.database.read() as tx:
        cursor = tx.seals.cursor("siem")
    assert cursor is not None
    assert "certificate is not trusted" in cursor.trouble


def test_a_file_holds_each_line_and_seal_once_and_may_be_moved_away(start: Callable[..., tuple[World, Worker]], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    world, worker = start({"name": "coffre", "type": "file", "path": str(path)})
    world.sign_in("claire")
    stream(worker)
    assert path.stat().st_mode & 0o777 == 0o600
    first = lines_of(path)
    path.rename(tmp_path / "audit.jsonl.1")
    world.sign_in("rose")
    worker.sealer.run_once()
    stream(worker)
    found = [*first, *lines_of(path)]
    ids = [line["id"] for line in found if "id" in line]
    assert ids == [line["id"] for line in world.events()][-len(ids) :]
    assert [line["type"] for line in found].count("audit.sealed") == 1
    # A machine that stopped in the middle of a line.
    with path.open("a") as torn:
        torn.write('{"id": 1, "ty')
    world.sign_in("claire")
    stream(worker)
    assert json.loads(path.read_text().splitlines()[-1])["type"]


def test_another_worker_goes_on_where_the_first_one_stopped(start: Callable[..., tuple[World, Worker]], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    world, worker = start({"name": "coffre", "type": "file", "path": str(path)})
    world.sign_in("claire")
    stream(worker)
    worker.tenure.release()
    world.sign_in("rose")
    other = Worker(world.application)
    world.clock.advance(timedelta(seconds=2))
    other.stand()
    stream(other)
    ids = [line["id"] for line in lines_of(path) if "id" in line]
    assert ids == [line["id"] for line in world.events()][-len(ids) :]
    other.streamer.close()
    other.deliverer.close()


def test_a_line_that_is_committed_late_is_streamed_all_the_same(start: Callable[..., tuple[World, Worker]], tmp_path: Path) -> None:
    """PostgreSQL numbers lines when they are written and shows them when they are committed. On SQLite a writer waits for the other."""
    path = tmp_path / "audit.jsonl"
    world, worker = start({"name": "coffre", "type": "file", "path": str(path)})
    if world.config.database.is_embedded:
        world.sign_in("claire")
    else:
        line = Event(type=EventType.SERVER_STARTED, at=world.clock.now(), actor="system", origin=Origin("LATELATE00", "local"))
        with world.arranging() as tx:
            tx.revisions.advance("late")  # an older transaction
            world.sign_in("claire")
            stream(worker)
            tx.events.append(line)
            world.sign_in("rose")
            stream(worker)
    stream(worker)
    sent = [found["id"] for found in lines_of(path) if "id" in found]
    assert sorted(sent) == [found["id"] for found in world.events()][-len(sent) :]
    assert {found["id"] for found in world.events("signin.succeeded")} <= set(sent)
