"""Stores that are locked, broken, replaced or gone: a clean 503, nothing half done, and back to work without a restart.

An open SQLite file that is deleted lives on for those who have it open: that is physics, not ours. What is tested is what can happen to a file
under a running server, and to a server started on a file that is not there.
"""

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import MakeWorld
from tests.support.browser import Browser
from tests.support.journey import IN_THE_WRONG_FIELD
from tests.support.relying_party import RelyingParty
from tests.support.world import World

pytestmark = pytest.mark.sqlite

RUBBISH = b"this is no database, " * 400


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A Vestibule that does not wait long for a lock."""
    return make_world(database={"busy_timeout": "100ms"})


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program writes and does not stop."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def ruined(file: Path) -> Iterator[None]:
    """The file's content is rubbish for a while, in place (a full disk, a wrong copy), its write-ahead log too."""
    files = [path for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")) if path.exists()]
    kept = {path: path.read_bytes() for path in files}
    for path in files:
        path.write_bytes(RUBBISH.ljust(len(kept[path]), b"\x00")[: max(len(kept[path]), 512)])
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def assert_down(response: httpx.Response) -> None:
    """503, and the caller told when to come back; JSON for applications, a page for people."""
    assert response.status_code == 503, response.text[:300]
    assert response.headers["Retry-After"] == "5"
    assert "sqlite" not in response.text.lower()
    if "json" in response.headers["Content-Type"]:
        assert response.json() == {"error": "temporarily_unavailable"}
    else:
        assert "text/html" in response.headers["Content-Type"]


def writing_requests(party: RelyingParty, code: str) -> tuple[Callable[[], httpx.Response], ...]:
    """What an application may ask that writes."""
    return (lambda: party.redeem(code), lambda: party.client_credentials(), lambda: party.revoke("x" * 43))


def a_code(browser: Browser, party: RelyingParty) -> str:
    """A code for whoever is signed in."""
    callback = browser.get(party.begin()).callback
    assert callback is not None
    return callback["code"]


def test_nothing_is_issued_while_another_writer_holds_the_database(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    browser, party = signed_in.browser, signed_in.party
    code = a_code(browser, party)
    lines = len(world.events())
    with locked(world.folder / "vestibule.db"):
        for act in writing_requests(party, code):
            assert_down(act())
        assert_down(browser.request("GET", party.begin(prompt="none")))
        # What only reads goes on.
        assert party.userinfo(signed_in.tokens.access).status_code == 200
        assert party.introspect(signed_in.tokens.access).json()["active"] is True
        assert world.machine.get("/jwks").status_code == 200
    assert len(world.events()) == lines
    assert party.redeem(a_code(browser, party)).status_code == 200


def test_the_code_is_still_good_when_the_database_was_locked_at_the_first_try(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party = signed_in.party
    code = a_code(signed_in.browser, party)
    with locked(world.folder / "vestibule.db"):
        assert_down(party.redeem(code))
    assert party.redeem(code).status_code == 200


def test_the_refresh_token_is_still_good_when_the_database_was_locked_at_the_first_try(world: World) -> None:
    signed_in = world.sign_in("claire", "tablette")
    with locked(world.folder / "vestibule.db"):
        assert_down(signed_in.party.refresh(signed_in.tokens.refresh))
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200


def test_sign_in_is_refused_cleanly_and_goes_on_when_the_lock_is_gone(world: World) -> None:
    browser = world.browser()
    party = world.relying_party("carnet")
    page = browser.get(party.begin())
    with locked(world.folder / "vestibule.db"):
        failed = browser.sign_in(world.person("claire").username, world.password, page=page)
        assert failed.status == 503
        assert failed.support_code is not None
        assert failed.callback is None
    with world.database.read() as tx:
        assert tx.sessions.open_of(world.account("claire").id) == ()
    again = browser.get(page.url)
    if again.callback is None:
        again = browser.sign_in(world.person("claire").username, world.password, page=again)
    assert again.callback is not None
    assert party.redeem(again.callback["code"]).status_code == 200


def test_a_broken_database_is_a_503_everywhere_and_work_goes_on_when_it_is_back(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, browser = signed_in.party, signed_in.browser
    world.database.close()
    with ruined(world.folder / "vestibule.db"):
        for act in writing_requests(party, "x" * 43):
            assert_down(act())
        assert_down(party.introspect(signed_in.tokens.access))
        assert_down(party.userinfo(signed_in.tokens.access))
        assert_down(browser.request("GET", party.begin()))
        assert_down(browser.request("GET", "/account"))
        assert browser.request("GET", "/healthz").status_code == 200
        assert browser.request("GET", "/readyz").status_code == 503
    assert browser.request("GET", "/readyz").status_code == 200
    assert party.userinfo(signed_in.tokens.access).status_code == 200
    assert party.redeem(a_code(browser, party)).status_code == 200


def test_a_server_whose_database_is_missing_answers_503_and_makes_no_new_one_behind_our_back(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party = signed_in.party
    world.database.close()
    world.application.database.close()
    away = world.folder / "away"
    away.mkdir()
    for file in world.folder.glob("vestibule.db*"):
        shutil.move(file, away / file.name)
    assert_down(party.refresh(signed_in.tokens.refresh))
    assert_down(signed_in.browser.request("GET", "/account"))
    for file in world.folder.glob("vestibule.db*"):
        file.unlink()
    for file in away.iterdir():
        shutil.move(file, world.folder / file.name)
    assert party.refresh(signed_in.tokens.refresh).status_code == 200


def test_a_broken_ephemeral_store_is_a_503_on_pages_and_nothing_to_applications(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party = signed_in.party
    stranger = world.browser()
    page = stranger.get(party.begin())
    with ruined(world.folder / "ephemeral.db"):
        failed = stranger.sign_in(world.person("rose").username, world.password, page=page)
        assert failed.status == 503
        assert failed.callback is None
        assert_down(world.browser().request("GET", party.begin()))
        # Tokens do not need it.
        assert party.userinfo(signed_in.tokens.access).status_code == 200
        assert party.refresh(signed_in.tokens.refresh).status_code == 200
    assert len(world.events("session.opened")) == 1
    newcomer = world.browser()
    arrived = newcomer.sign_in(world.person("rose").username, world.password, page=newcomer.get(party.begin()))
    assert arrived.callback is not None


def test_what_was_typed_is_not_logged_when_the_store_fails(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    browser = world.browser()
    page = browser.get(world.relying_party("carnet").begin())
    with caplog.at_level(logging.DEBUG), locked(world.folder / "vestibule.db"):
        assert browser.sign_in(IN_THE_WRONG_FIELD, world.password, page=page).status in {403, 503}
    world.database.close()
    with caplog.at_level(logging.DEBUG), ruined(world.folder / "vestibule.db"):
        assert browser.sign_in(IN_THE_WRONG_FIELD, world.password, page=page).status == 503
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err):
        assert IN_THE_WRONG_FIELD.lower() not in text.lower()
        assert world.password not in text


def test_a_database_that_cannot_be_opened_is_a_503(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    world.database.close()
    world.application.database.close()
    file = world.folder / "vestibule.db"
    # Unlike a mode without any right, a folder in its place stops root too.
    file.rename(world.folder / "away.db")
    file.mkdir()
    assert_down(signed_in.party.refresh(signed_in.tokens.refresh))
    assert_down(signed_in.browser.request("GET", "/account"))
    file.rmdir()
    (world.folder / "away.db").rename(file)
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
