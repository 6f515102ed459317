"""The console's charts: each drawing and its table say the same, and nobody is counted who may not be seen."""

import re
from datetime import timedelta

import pytest

from idp.store.base import Reset
from tests.conftest import MakeWorld
from tests.support.agents import AgentAtWork, enter_console
from tests.support.browser import Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.second_factors import enrol_phone
from tests.support.world import World

CHARTS = "/admin/charts"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def rose(world: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(world)


def section(page: Page, name: str) -> str:
    """The source of one section of the page."""
    found = re.search(rf'<section [^>]*id="{name}">(.*?)</section>', page.markup, re.DOTALL)
    assert found is not None
    return found[1]


def rows(page: Page, name: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    body = re.search(r"<tbody>(.*?)</tbody>", section(page, name), re.DOTALL)
    if body is None:
        return []
    lines = re.findall(r"<tr>(.*?)</tr>", body[1], re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)] for line in lines]


def sign_in_outside(world: World, person: str) -> None:
    phone = enrol_phone(world, world.application.signin.second_factors, person)
    browser = world.browser(language="en", address=OUTSIDE)
    page = browser.sign_in(world.person(person).username, PASSWORD, page=browser.get("/account"))
    assert AgentAtWork(world, person, browser, phone).proved(page).url.endswith("/account")


def refuse(world: World, person: str, *, address: str, times: int) -> None:
    browser = world.browser(address=address)
    page = browser.get("/account")
    for number in range(times):
        page = browser.sign_in(world.person(person).username, f"Faux-Mot-De-Passe-{number}", page=page)


def finish_reset(world: World, person: str, slug: str, *, lasted: timedelta) -> None:
    """One that was asked `lasted` ago and has just been done."""
    now = world.clock.now()
    with world.arranging() as tx:
        tx.resets.add(
            Reset(
                id=world.clock.new_id(),
                account_id=world.account(person).id,
                establishment_id=world.establishment(slug).id,
                kind="password",
                source="local",
                mode="admin",
                state="done",
                is_own=False,
                asked_by="operator:test",
                why="",
                asked_at=now - lasted,
                expires_at=now + timedelta(hours=1),
                closed_at=now,
            )
        )


def test_contact_sees_the_sign_ins_of_their_establishment_by_hour_and_zone(world: World, rose: AgentAtWork) -> None:
    for _ in range(2):
        world.sign_in("claire")
    sign_in_outside(world, "claire")
    before = rows(rose.get(CHARTS), "hours")
    for _ in range(3):
        world.sign_in("karim", "glycines")
    page = rose.get(CHARTS)
    table = rows(page, "hours")
    assert table == before, "those of the other establishment are not counted"
    with world.database.read() as tx:
        place = world.establishment("tilleuls").id
        lines = [line for line in tx.events.newest(500) if line["type"] == "signin.succeeded" and line["establishment_id"] == place]
    assert sum(int(row[-1]) for row in table) == len(lines)
    assert sum(int(row[4]) for row in table) == sum(line["zone_kind"] == "outside" for line in lines) == 1
    assert len(table) == 24


def test_drawing_of_the_hours_says_the_same_as_its_table(world: World, rose: AgentAtWork) -> None:
    world.sign_in("claire")
    world.clock.advance(timedelta(hours=2))
    sign_in_outside(world, "claire")
    world.sign_in("karim", "glycines")
    page = enter_console(world, "amina", "group_administrator", None).get(CHARTS)
    table = [[int(cell) for cell in row[1:]] for row in rows(page, "hours")]
    kinds = ("trusted", "shared_workstation", "vpn", "outside")
    boxes = re.findall(r'class="series-(\w+)" x="(\d+)" y="[\d.]+" width="26" height="([\d.]+)"', section(page, "hours"))
    most = max(row[-1] for row in table)
    drawn = {(int(x) // 30, kind): float(height) for kind, x, height in boxes}
    written = {(hour, kind): 200 * row[index] / most for hour, row in enumerate(table) for index, kind in enumerate(kinds) if row[index]}
    assert drawn == pytest.approx(written, abs=0.01)
    assert "style=" not in page.markup


def test_contact_sees_why_their_people_were_refused_lately_and_nobody_else_s(world: World) -> None:
    refuse(world, "claire", address=OUTSIDE, times=1)
    world.clock.advance(timedelta(days=8))
    rose = enter_console(world)
    assert rows(rose.get(CHARTS), "refused") == []
    refuse(world, "claire", address=OUTSIDE, times=2)
    refuse(world, "karim", address="127.0.0.2", times=3)
    page = rose.get(CHARTS)
    assert [row[1:] for row in rows(page, "refused")] == [["wrong_password", "2"]]
    whole = enter_console(world, "amina", "group_administrator", None).get(CHARTS)
    assert [row[1:] for row in rows(whole, "refused")] == [["wrong_password", "5"]]


def test_contact_sees_how_long_resets_took_at_their_establishment(world: World, rose: AgentAtWork) -> None:
    for minutes in (2, 4, 30):
        finish_reset(world, "claire", "tilleuls", lasted=timedelta(minutes=minutes))
    finish_reset(world, "karim", "glycines", lasted=timedelta(days=2))
    page = rose.get(CHARTS)
    restored = section(page, "restored")
    assert "<dd>3</dd>" in restored
    assert "<dd>4 min</dd>" in restored
    assert "<dd>30 min</dd>" in restored
    assert [int(row[1]) for row in rows(page, "restored")] == [2, 0, 1, 0, 0, 0]
    drawn = [int(count) for count in re.findall(r"<strong>(\d+)</strong>", restored)]
    assert drawn == [2, 0, 1, 0, 0, 0]


def test_helpdesk_agent_may_not_see_the_charts(world: World) -> None:
    agent = enter_console(world, "rose", "helpdesk_agent", "tilleuls")
    assert agent.get(CHARTS).status == 403
    refused = world.last_event("desk.refused")
    assert (refused["reason"], refused["details"]["act"]) == ("act_not_held", "read_audit")


def test_contact_reads_the_charts_in_french(world: World, rose: AgentAtWork) -> None:
    page = rose.get(CHARTS, language="fr")
    assert "Connexions par heure de la journée" in page.text
