"""The whole program, `vestibule serve`, beside a real slapd: a directory that a reload adds is listened to, and a stop leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from idp.config import load
from idp.store.base import Cut, Watched
from idp.store.database import Database
from tests.support.cast import LANS
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.processes import answers, wait_until
from tests.support.slapd import PASSWORD, Slapd
from tests.support.stores import Stores
from tests.support.world import open_database

PATIENCE_SECONDS = 60.0
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server(tmp_path: Path, listener: Listener, slapd: Slapd, stores: Stores) -> Iterator[LiveServer]:
    """One that has no directory yet, where people sign in from anywhere on this machine."""
    with live_server(tmp_path, listener, {"work": {"reconcile_at": None}}, stores=stores) as made:
        yield made


def test_directory_that_a_reload_adds_is_listened_to_and_who_is_disabled_there_is_out(
    server: LiveServer, slapd: Slapd, listener: Listener
) -> None:
    database = open_database(load(server.config_path))
    try:
        wait_until(lambda: answers(f"{server.admin_url}/healthz"), seconds=PATIENCE_SECONDS, log=server.log)
        assert watched(database) is None
        change(server, directories=[slapd.settings()])
        assert "were replaced" in server.command("reload")
        wait_until(lambda: (found := watched(database)) is not None and found.state == "live", seconds=PATIENCE_SECONDS, log=server.log)
        wait_until(lambda: 'vestibule_watch_live{connector="annuaire"} 1.0' in metrics(server), seconds=PATIENCE_SECONDS)
        party, browser = server.relying_party(), server.browser(address=LANS["tilleuls"])
        page = browser.sign_in("d.claire", PASSWORD, page=browser.get(party.begin(scope="openid profile")))
        assert page.callback is not None, page
        tokens = party.exchange(page.callback)
        slapd.disable("d.claire")
        listener.wait(1)
        (found,) = cuts(database)
        assert found.cause == "directory_disabled"
        assert party.refresh(tokens.refresh).status_code == 400
        wait_until(lambda: "vestibule_cut_delivered_seconds_count" in metrics(server), seconds=PATIENCE_SECONDS)
        change(server, directories=[slapd.settings(watch={"enabled": False})])
        assert "were replaced" in server.command("reload")
        wait_until(lambda: server.log.read_text().count('"work_stopped"') == 2, seconds=PATIENCE_SECONDS, log=server.log)
    finally:
        database.close()


def change(server: LiveServer, **settings: Any) -> None:
    text = server.config_path.read_text(encoding="utf-8")
    server.config_path.write_text(yaml.safe_dump({**yaml.safe_load(text), **settings}, allow_unicode=True), encoding="utf-8")


def metrics(server: LiveServer) -> str:
    try:
        return httpx.get(f"{server.admin_url}/metrics").text
    except httpx.HTTPError:
        return ""  # one worker has stopped, and the next has not begun


def watched(database: Database) -> Watched | None:
    with database.read() as tx:
        return tx.watches.get("annuaire")


def cuts(database: Database) -> tuple[Cut, ...]:
    with database.read() as tx:
        return tx.cuts.newest()
