"""The console's pages of directories and providers, on a real slapd: how they are, a try step by step, and a reading that waits for a human."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from idp.audit import Author
from idp.lifecycle.reconcile import Reconciler
from idp.lifecycle.runs import Report
from tests.conftest import MakeWorld
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.second_factors import ORIGIN
from tests.support.slapd import Slapd
from tests.support.world import World

ENTRA: Mapping[str, Any] = {
    "name": "office",
    "type": "entra",
    "label": "Office 365",
    "tenants": ["11111111-2222-3333-4444-555555555555"],
    "client_id": "66666666-7777-8888-9999-000000000000",
    "client_secret_expires": "2026-12-05",
}


class Unwatched:
    """Nobody sees how far a reading is."""

    is_watched = False

    def begin(self, phase: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, people: int) -> None:
        """See Progress."""


@pytest.fixture
def home(make_world: MakeWorld, slapd: Slapd) -> World:
    return make_world(directories=[slapd.settings()], sync={"brake_people": 2, "brake_hold": "2h"})


@pytest.fixture
def admin(home: World) -> ConsoleAgent:
    return console_agent(home)


def read(world: World) -> Report:
    """A whole reading, as the worker makes one."""
    application = world.application
    directory = application.directories.get("annuaire")
    assert directory is not None
    reconciler = Reconciler(
        world.database, directory, application.linking, settings=world.config.sync, author=Author("worker:test", ORIGIN), clock=world.clock
    )
    return reconciler.run(Unwatched())


def held_reading(world: World, slapd: Slapd) -> str:
    """The id of a reading that three people would lose their access by."""
    assert read(world).state == "done"
    for uid in ("d.claire", "d.hugo", "d.zoe"):
        slapd.disable(uid)
    report = read(world)
    assert report.state == "held"
    return report.run_id


def suspended(world: World) -> set[str | None]:
    with world.database.read() as tx:
        found = (tx.people.get(link.account_id) for link in tx.links.all("annuaire"))
        return {account.username for account in found if account is not None and account.status == "suspended"}


def test_an_administrator_tries_a_directory_step_by_step(home: World, admin: ConsoleAgent) -> None:
    page = admin.get("/admin/connectors")
    assert "annuaire" in page.text
    admin.get("/admin/connectors/annuaire")
    page = admin.submit("check-form")
    assert "check-steps" in page.document.ids
    assert "bien" in page.text
    details = home.last_event("connector.tried")["details"]
    assert (details["connector"], details["failed"]) == ("annuaire", 0)
    assert details["steps"] >= 3


def test_an_administrator_reads_what_fails_when_the_directory_is_away(home: World, slapd: Slapd, admin: ConsoleAgent) -> None:
    admin.get("/admin/connectors/annuaire")
    slapd.stop()
    try:
        page = admin.submit("check-form")
    finally:
        slapd.start()
    assert "échec" in page.text
    assert home.last_event("connector.tried")["details"]["failed"] >= 1


def test_a_contact_sees_how_a_directory_is_and_neither_tries_nor_decides(home: World, slapd: Slapd) -> None:
    run_id = held_reading(home, slapd)
    contact = console_agent(home, "claire", "it_contact", "tilleuls")
    page = contact.get("/admin/connectors/annuaire")
    assert "3 personnes perdraient leur accès" in page.text
    assert "Claire Dumont" not in page.text, "who they are is for those who decide"
    assert not {"check-form", "held-confirm"} & set(page.document.ids)
    for verdict in ("confirm", "dismiss"):
        assert contact.get(f"/admin/connectors/annuaire/runs/{run_id}/{verdict}").status == 403
    assert suspended(home) == set()


def test_an_administrator_confirms_that_people_left_and_only_those_end(home: World, slapd: Slapd, admin: ConsoleAgent) -> None:
    held_reading(home, slapd)
    page = admin.get("/admin/connectors")
    assert "Attend votre décision" in page.text
    page = admin.get("/admin/connectors/annuaire")
    assert "Claire Dumont" in page.text
    slapd.enable("d.hugo")
    path = next(href for href, _text in page.document.links if href.endswith("/confirm"))
    page = admin.get(path)
    assert "Claire Dumont" in page.text
    assert suspended(home) == set(), "looking ends nobody"
    page = admin.submit("changes", button="confirm")
    assert page.url.endswith("?done=confirmed")
    assert suspended(home) == {"d.claire", "d.zoe"}
    event = home.last_event("sync.confirmed")
    assert event["actor"] == f"account:{home.account('rose').id}"
    # Again, from a page of before: it waits no more.
    assert admin.get(path).url.endswith("/admin/connectors/annuaire")


def test_an_administrator_lets_go_of_people_when_the_directory_was_wrong(home: World, slapd: Slapd, admin: ConsoleAgent) -> None:
    run_id = held_reading(home, slapd)
    admin.get(f"/admin/connectors/annuaire/runs/{run_id}/dismiss")
    page = admin.submit("changes", button="confirm")
    assert page.url.endswith("?done=dismissed")
    assert suspended(home) == set()
    assert home.last_event("sync.dismissed")["actor"] == f"account:{home.account('rose').id}"
    assert read(home).state == "held", "the next reading judges them anew"


def test_nobody_ends_when_the_directory_is_away_as_they_are_confirmed(home: World, slapd: Slapd, admin: ConsoleAgent) -> None:
    run_id = held_reading(home, slapd)
    admin.get(f"/admin/connectors/annuaire/runs/{run_id}/confirm")
    slapd.stop()
    try:
        page = admin.submit("changes", button="confirm")
    finally:
        slapd.start()
    assert page.url.endswith("?done=failed")
    assert suspended(home) == set()


def test_an_administrator_is_refused_a_directory_that_is_not_there(admin: ConsoleAgent) -> None:
    assert admin.get("/admin/connectors/autre").status == 403


def test_an_administrator_sees_that_a_secret_ends_soon(make_world: MakeWorld, tmp_path: Path) -> None:
    secret = tmp_path / "entra.secret"
    secret.write_text("x" * 40, encoding="utf-8")
    world = make_world(providers=[{**ENTRA, "client_secret": f"file:{secret}"}])
    admin = console_agent(world)
    assert "Le secret prend bientôt fin" in admin.get("/admin/connectors").text
    assert "5 décembre 2026" in admin.get("/admin/connectors/office").text
    assert "x" * 40 not in admin.page.markup


def test_a_deployment_without_directories_says_so(world: World) -> None:
    assert "Il n’y en a pas" in console_agent(world).get("/admin/connectors").text
