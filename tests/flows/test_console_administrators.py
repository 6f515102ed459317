"""The console's front page, and who administers what: given and taken in the open, told, and never one's own."""

import threading
from datetime import timedelta

import pytest

from idp.audit import Author, Origin
from idp.desk.authority import ActRefused, Agent
from policies.acts import AUDITOR, GROUP_ADMINISTRATOR, IT_CONTACT, ON_CALL_APPROVER, Actor
from tests.conftest import MakeWorld
from tests.support.agents import give_role
from tests.support.cast import PASSWORD
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.world import World


@pytest.fixture
def admin(world: World) -> ConsoleAgent:
    return console_agent(world)


def roles_of(world: World, person: str) -> list[tuple[str, str | None]]:
    with world.database.read() as tx:
        return [(role.role, role.establishment_id) for role in tx.roles.open_of(world.account(person).id)]


def role_id(world: World, person: str) -> str:
    with world.database.read() as tx:
        return tx.roles.open_of(world.account(person).id)[0].id


def test_an_administrator_gives_a_role_when_the_difference_was_read(world: World, admin: ConsoleAgent) -> None:
    admin.get("/admin/administrators/give")
    page = admin.submit("give-role-form", who="claire.dubois", role=IT_CONTACT, establishment="tilleuls")
    assert "Claire Dubois" in page.text
    assert "Les Tilleuls" in page.text
    assert roles_of(world, "claire") == []
    page = admin.submit("changes", button="confirm")
    assert page.url.endswith("?done=given&untold=no_mail")
    assert "aucun e-mail ne part d’ici" in page.text
    assert "prévenue" not in page.text
    assert roles_of(world, "claire") == [(IT_CONTACT, world.establishment("tilleuls").id)]
    event = world.last_event("role.given")
    assert (event["actor"], event["account_id"], event["establishment_id"], event["details"]["role"]) == (
        f"account:{world.account('rose').id}",
        world.account("claire").id,
        world.establishment("tilleuls").id,
        IT_CONTACT,
    )


def test_an_administrator_takes_a_role_away_and_its_holder_is_out_at_once(world: World, admin: ConsoleAgent) -> None:
    contact = console_agent(world, "claire", IT_CONTACT, "tilleuls")
    assert contact.get("/admin").status == 200
    path = f"/admin/administrators/{world.account('claire').id}/take/{role_id(world, 'claire')}"
    page = admin.get(path)
    assert "Claire Dubois" in page.text
    assert roles_of(world, "claire")
    page = admin.submit("changes", button="confirm")
    assert page.url.endswith("?done=taken&untold=no_mail")
    assert roles_of(world, "claire") == []
    assert world.last_event("role.taken")["account_id"] == world.account("claire").id
    assert contact.get("/admin").status == 403
    assert world.last_event("desk.refused")["reason"] == "act_not_held"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"who": "personne", "role": IT_CONTACT, "establishment": "tilleuls"}, "no account has"),
        ({"who": "claire.dubois", "role": IT_CONTACT, "establishment": ""}, "name it"),
        ({"who": "claire.dubois", "role": IT_CONTACT, "establishment": "nulle-part"}, "no establishment"),
        ({"who": "claire.dubois", "role": GROUP_ADMINISTRATOR, "establishment": "tilleuls"}, "whole group"),
        ({"who": "claire.dubois", "role": GROUP_ADMINISTRATOR, "establishment": "nulle-part"}, "whole group"),
        ({"who": "paul.garnier", "role": AUDITOR, "establishment": ""}, "cannot administer"),
    ],
)
def test_an_administrator_loses_nothing_typed_when_a_role_cannot_be_given(
    world: World, admin: ConsoleAgent, fields: dict[str, str], said: str
) -> None:
    before = len(world.events("role."))
    admin.get("/admin/administrators/give")
    page = admin.submit("give-role-form", **fields)
    assert page.status == 422
    assert said in page.text
    assert {name: page.forms["give-role-form"].fields[name] for name in fields} == fields
    assert len(world.events("role.")) == before


def test_an_administrator_is_refused_a_role_of_their_own(world: World, admin: ConsoleAgent) -> None:
    """Neither one more, nor one less: the last administrator cannot go that way."""
    admin.get("/admin/administrators/give")
    page = admin.submit("give-role-form", who="rose.marchand", role=ON_CALL_APPROVER, establishment="")
    assert page.status == 403
    page = admin.get(f"/admin/administrators/{world.account('rose').id}/take/{role_id(world, 'rose')}")
    assert page.status == 403
    assert [line["reason"] for line in world.events("desk.refused")] == ["act_on_oneself", "act_on_oneself"]
    assert roles_of(world, "rose") == [(GROUP_ADMINISTRATOR, None)]


def agent_for(world: World, person: str) -> Agent:
    account = world.account(person)
    author = Author(f"account:{account.id}", Origin("0123456789", "local"))
    with world.database.read() as tx:
        holdings = world.application.desk.authority.person(tx, account).holdings
    return Agent(author=author, actor=Actor(account_id=account.id, holdings=holdings), account=account)


def test_two_administrators_cannot_take_each_other_away_when_they_press_at_one_moment(world: World) -> None:
    """Each may, alone; the second to come has nothing left to do it with."""
    for person in ("rose", "claire"):
        give_role(world, person, GROUP_ADMINISTRATOR)
    agents = {person: agent_for(world, person) for person in ("rose", "claire")}
    ids = {person: role_id(world, person) for person in agents}
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def press(person: str, other: str) -> None:
        barrier.wait()
        try:
            world.application.desk.administrators.take(agents[person], world.account(other), ids[other])
            outcomes.append("taken")
        except ActRefused as refused:
            outcomes.append(str(refused.code))

    threads = [threading.Thread(target=press, args=pair) for pair in (("rose", "claire"), ("claire", "rose"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["act_not_held", "taken"]
    assert len(roles_of(world, "rose")) + len(roles_of(world, "claire")) == 1


def test_an_administrator_suspended_since_the_request_began_does_nothing_more(world: World) -> None:
    for person in ("rose", "claire"):
        give_role(world, person, GROUP_ADMINISTRATOR)
    agent = agent_for(world, "rose")
    with world.arranging() as tx:
        tx.people.change(world.account("rose").id, world.clock.now(), status="suspended")
    with pytest.raises(ActRefused) as refused:
        world.application.desk.administrators.take(agent, world.account("claire"), role_id(world, "claire"))
    assert refused.value.code == "act_not_held"
    assert roles_of(world, "claire")


def test_a_contact_of_one_establishment_cannot_give_roles(world: World) -> None:
    contact = console_agent(world, "claire", IT_CONTACT, "tilleuls")
    for path in ("/admin/administrators", "/admin/administrators/give"):
        assert contact.get(path).status == 403
    assert "/admin/administrators" not in [href for href, _ in contact.get("/admin").document.links]


def test_an_administrator_without_a_second_factor_is_told_so_and_never_sent_round(make_world: MakeWorld) -> None:
    """Rules of a group may ask administrators nothing at the door; the console still does, and there is nothing to ask."""
    lax = [{"name": "inside", "effect": "allow", "when": {"zone_kind": ["trusted"]}}]
    world = make_world(policy={"rules": lax})
    give_role(world, "rose", GROUP_ADMINISTRATOR)
    browser = world.browser()
    browser.get("/account")
    browser.sign_in("rose.marchand", PASSWORD)
    page = browser.get("/admin")
    assert page.status == 403
    assert "/account/factors" in [href for href, _ in page.document.links]
    assert world.last_event("desk.refused")["reason"] == "no_factor_enrolled"


def test_an_administrator_proves_again_when_the_code_is_old_and_comes_back(world: World, admin: ConsoleAgent) -> None:
    world.clock.advance(timedelta(minutes=6))
    assert admin.browser.get("/admin").status == 200
    page = admin.browser.get("/admin/administrators/give")
    assert "factor-form" in page.forms, "a dangerous page asks again after five minutes"
    world.clock.advance(timedelta(seconds=30))
    page = admin.browser.submit("factor-form", code=admin.phone.code(world.clock))
    assert page.url.endswith("/admin/administrators/give")
    world.clock.advance(timedelta(minutes=29))
    assert admin.browser.get("/admin").status == 200
    world.clock.advance(timedelta(minutes=2))
    assert "factor-form" in admin.browser.get("/admin").forms


def test_an_administrator_sees_on_the_front_page_what_waits_and_what_is_wrong(world: World, admin: ConsoleAgent) -> None:
    page = admin.get("/admin")
    assert {"nothing-waits", "all-quiet"} <= set(page.document.ids)
    give_role(world, "amina", GROUP_ADMINISTRATOR)
    stranger = console_agent(world, "claire", AUDITOR)
    assert stranger.get("/admin/administrators").status == 403
    page = admin.get("/admin")
    assert "all-quiet" not in page.document.ids
    assert "1 acte refusé" in page.text
    assert "1 administrateur n’a pas de second facteur" in page.text
    page = stranger.get("/admin")
    assert "administrateur n’a pas de second facteur" not in page.text


def test_a_name_given_as_a_role_is_refused(world: World, admin: ConsoleAgent) -> None:
    admin.get("/admin/administrators/give")
    token = admin.page.forms["give-role-form"].fields["csrf_token"]
    fields = {"csrf_token": token, "who": "claire.dubois", "role": "emperor", "confirm": "yes", "seen": "x"}
    page = admin.browser.post("/admin/administrators/give", fields)
    assert page.status == 422
    assert roles_of(world, "claire") == []
