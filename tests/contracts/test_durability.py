"""Group commit: a write returns only after a sync of the log that began after its commit, and threads share syncs."""

import os
import threading
from pathlib import Path

import pytest

from idp.errors import StoreUnavailable
from idp.store.durability import LogSync
from tests.conftest import MakeWorld


@pytest.fixture
def log(tmp_path: Path) -> LogSync:
    (tmp_path / "some.db-wal").write_bytes(b"frames")
    return LogSync(tmp_path / "some.db")


def test_each_wait_syncs_when_alone(log: LogSync, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for _ in range(3):
        log.wait()
    assert len(synced) == 3
    log.close()


def test_waiting_threads_share_a_sync_that_began_after_they_asked(log: LogSync, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Event(), threading.Event()
    syncs: list[int] = []

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        begun.set()
        assert release.wait(60)

    monkeypatch.setattr(os, "fdatasync", slow)
    first = threading.Thread(target=log.wait)
    first.start()
    assert begun.wait(60)
    others = [threading.Thread(target=log.wait) for _ in range(8)]
    for thread in others:
        thread.start()
    release.set()
    for thread in (first, *others):
        thread.join(60)
        assert not thread.is_alive()
    # The first one's sync may have missed the others' frames: at least one more, and far fewer than one each.
    assert 2 <= len(syncs) <= 9
    log.close()


def test_log_is_opened_again_when_sqlite_made_a_new_one(log: LogSync, tmp_path: Path) -> None:
    log.wait()
    (tmp_path / "some.db-wal").unlink()
    log.wait()  # nothing was written since
    (tmp_path / "some.db-wal").write_bytes(b"new frames")
    log.wait()
    log.close()


@pytest.mark.sqlite
def test_nothing_is_answered_when_the_disk_refuses(make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    file = world.config_path
    file.write_text(file.read_text(encoding="utf-8").replace("sqlite_synchronous: normal", "sqlite_synchronous: full"), encoding="utf-8")
    assert world.config.database.sqlite_synchronous == "full"
    party = world.relying_party()
    assert party.client_credentials().status_code == 200

    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    answer = party.client_credentials()
    assert (answer.status_code, answer.json()) == (503, {"error": "temporarily_unavailable"})
    with pytest.raises(StoreUnavailable), world.application.database.write():
        pass
    monkeypatch.undo()
    assert party.client_credentials().status_code == 200
