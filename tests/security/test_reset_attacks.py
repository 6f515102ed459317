"""The reset desk is called by somebody who is not the person: what must fail at each move, and what stays as it was."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Reason
from idp.desk.authority import ActRefused, operator
from idp.desk.marks import NO_MARKS
from idp.desk.reset_facts import ResetRefused
from idp.store.base import Reset
from policies.acts import GROUP_ADMINISTRATOR, IT_CONTACT
from tests.conftest import MakeRoom
from tests.support.agents import give_role
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.messaging import AUTHOR
from tests.support.reset_desk import ResetDesk
from tests.support.second_factors import enrol_phone
from tests.support.smtp import SmtpServer
from tests.support.world import World

ANY = {"approval": "any_factor"}
DAY = {**ANY, "night": {"begins": "00:00", "ends": "00:00"}}
MOVES = ("prove", "approve", "pass", "carry-out", "speak", "witness", "cancel")


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=DAY), smtp)


@pytest.fixture
def world(desk: ResetDesk) -> World:
    return desk.world


def opened(desk: ResetDesk, person: str = "claire", kind: Any = "both", *, proven: bool = True) -> Reset:
    """A request that rose made, which takes two."""
    world, agent = desk.world, desk.agent()
    enrol_phone(world, world.application.signin.second_factors, person)
    resets = world.application.desk.resets
    reset = resets.ask(agent, world.account(person), kind=kind, establishment=world.establishment("tilleuls"), why="test")
    return resets.prove(agent, reset.id, how="in_person") if proven else reset


def refused(desk: ResetDesk) -> tuple[str, str]:
    line = desk.world.last_event("reset.refused")
    return line["reason"], line["details"]["move"]


def means(world: World, person: str = "claire") -> tuple[str, int, int]:
    """The hash of somebody's password, how many factors and Sessions they have: what an attack must leave."""
    account = world.account(person)
    with world.database.read() as tx:
        kept = tx.people.password(account.id)
        return kept.hash if kept else "", len(tx.factors.open_of(account.id)), len(tx.sessions.open_of(account.id))


def test_an_agent_does_not_approve_what_they_have_asked_for(desk: ResetDesk) -> None:
    reset, before = opened(desk), means(desk.world)
    with pytest.raises(ResetRefused) as caught:
        desk.world.application.desk.resets.approve(desk.agent(), reset.id)
    assert caught.value.code is Reason.RESET_SECOND_IS_ASKER
    assert refused(desk) == ("reset_second_is_asker", "approved")
    with pytest.raises(ResetRefused) as caught:
        desk.world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_NEEDS_SECOND
    assert means(desk.world) == before
    assert desk.reset(reset.id).state == "proven"


def test_the_person_does_not_approve_their_own_reset_whatever_their_role(desk: ResetDesk) -> None:
    reset = opened(desk)
    own = desk.agent("claire", GROUP_ADMINISTRATOR, None)
    with pytest.raises(ActRefused) as caught:
        desk.world.application.desk.resets.approve(own, reset.id)
    assert caught.value.code is Reason.ACT_ON_ONESELF


def test_whoever_approves_does_not_carry_it_out_too(desk: ResetDesk) -> None:
    reset, resets = opened(desk), desk.world.application.desk.resets
    second = desk.agent("karim", GROUP_ADMINISTRATOR, None)
    resets.approve(second, reset.id)
    with pytest.raises(ResetRefused) as caught:
        resets.carry_out(second, reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_SECOND_IS_ASKER
    assert desk.reset(reset.id).state == "approved"


def test_a_command_is_nobodys_approval(desk: ResetDesk) -> None:
    reset = opened(desk)
    with pytest.raises(ResetRefused) as caught:
        desk.world.application.desk.resets.approve(operator(AUTHOR), reset.id)
    assert caught.value.code is Reason.RESET_SECOND_UNKNOWN


def test_an_approver_without_a_passkey_is_refused_where_it_is_asked(make_room: MakeRoom, smtp: SmtpServer) -> None:
    desk = ResetDesk(make_room(mail=smtp.settings(), resets={"night": DAY["night"]}), smtp)
    reset = opened(desk)
    with pytest.raises(ResetRefused) as caught:
        desk.world.application.desk.resets.approve(desk.agent("karim", GROUP_ADMINISTRATOR, None), reset.id)
    assert caught.value.code is Reason.RESET_SECOND_NOT_PASSKEY
    assert desk.reset(reset.id).state == "proven"


def test_of_two_approvals_at_once_one_counts(desk: ResetDesk) -> None:
    reset, resets = opened(desk), desk.world.application.desk.resets
    seconds = [desk.agent("karim", GROUP_ADMINISTRATOR, None), desk.agent("amina", GROUP_ADMINISTRATOR, None)]

    def approve(index: int) -> str:
        try:
            resets.approve(seconds[index % 2], reset.id)
        except ResetRefused as refused:
            return str(refused.code)
        return "approved"

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(approve, range(8)))
    assert answers == ["approved", *["reset_not_now"] * 7]
    assert len(desk.world.events("reset.approved")) == 1


def test_of_two_agents_who_carry_it_out_at_once_one_hands_out_halves(desk: ResetDesk) -> None:
    reset = opened(desk, kind="password")
    agents = [desk.agent(), desk.agent("amina", IT_CONTACT)]

    def carry(index: int) -> str:
        try:
            return desk.world.application.desk.resets.carry_out(agents[index % 2], reset.id, channel="email", browser=NO_MARKS).spoken
        except ResetRefused as refused:
            return str(refused.code)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(carry, range(4)))
    assert answers.count("reset_not_now") == 3
    assert len(desk.world.events("reset.issued")) == 1


def test_nothing_is_carried_out_before_the_person_was_recognised(desk: ResetDesk) -> None:
    reset, before = opened(desk, kind="password", proven=False), means(desk.world)
    with pytest.raises(ResetRefused) as caught:
        desk.world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_NEEDS_PROOF
    assert means(desk.world) == before


def test_a_role_that_was_taken_away_between_two_moves_counts_no_more(desk: ResetDesk) -> None:
    reset, before = opened(desk, kind="password"), means(desk.world)
    agent = desk.agent()
    with desk.world.arranging() as tx:
        for role in tx.roles.open_of(desk.world.account("rose").id):
            tx.roles.end(role.id, desk.world.clock.now())
    with pytest.raises(ActRefused) as caught:
        desk.world.application.desk.resets.carry_out(agent, reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.ACT_NOT_HELD
    assert means(desk.world) == before


def test_an_administrator_is_not_reset_from_below(desk: ResetDesk) -> None:
    world = desk.world
    give_role(world, "claire", "group_administrator")
    enrol_phone(world, world.application.signin.second_factors, "claire")
    with pytest.raises(ActRefused) as caught:
        world.application.desk.resets.ask(
            desk.agent(), world.account("claire"), kind="password", establishment=world.establishment("tilleuls"), why="test"
        )
    assert caught.value.code is Reason.ACT_UPWARDS
    assert world.events("reset.asked") == []


def test_an_administrator_is_reset_by_a_peer_with_a_second_person(desk: ResetDesk) -> None:
    world = desk.world
    give_role(world, "claire", "it_contact", "tilleuls")
    reset = opened(desk, kind="password")
    assert reset.needs_second
    assert [str(why) for why in world.application.desk.resets.whys(reset)] == ["privileged"]


def test_somebody_of_another_establishment_is_not_reset_nor_seen(desk: ResetDesk) -> None:
    world = desk.world
    reset = opened(desk)
    stranger = foreign_contact(world)
    page = stranger.get(f"/admin/people/{world.account('claire').id}/reset")
    assert page.status == 403
    for path in ("", *(f"/{move}" for move in MOVES)):
        page = stranger.get(f"/admin/resets/{reset.id}{path}")
        assert page.status == 403, path
        assert "Claire" not in page.text
    assert "Claire" not in stranger.get("/admin/resets").text
    token = token_on(stranger)
    for move in MOVES:
        page = stranger.browser.post(
            f"/admin/resets/{reset.id}/{move}", {"csrf_token": token, "how": "in_person", "channel": "email", "why": "x"}
        )
        assert page.status == 403, move
    assert desk.reset(reset.id).state == "proven"
    assert {line["reason"] for line in world.events("desk.refused")} <= {"act_outside_establishment", "act_target_unknown", "act_not_held"}


def foreign_contact(world: World) -> ConsoleAgent:
    """The IT contact of Les Glycines, at their desk."""
    return console_agent(world, "karim", "it_contact", "glycines", language="en")


def token_on(agent: ConsoleAgent) -> str:
    agent.get("/admin/people/new")
    found = re.search(r'name="csrf_token" value="([^"]+)"', agent.page.markup)
    assert found is not None, agent.page
    return found[1]


def test_a_move_is_not_made_by_another_site_nor_with_an_old_proof(desk: ResetDesk) -> None:
    world = desk.world
    reset = opened(desk, kind="password")
    agent = console_agent(world, "karim", GROUP_ADMINISTRATOR, None, language="en")
    before = means(world)
    page = agent.browser.post(f"/admin/resets/{reset.id}/carry-out", {"channel": "email"})
    assert page.status in {400, 403}
    token = token_on(agent)
    world.clock.advance(timedelta(minutes=6))
    page = agent.browser.post(f"/admin/resets/{reset.id}/carry-out", {"channel": "email", "csrf_token": token})
    assert "factor-form" in page.forms, "the factor is asked again"
    assert desk.reset(reset.id).state == "proven"
    assert means(world) == before


def test_an_address_that_was_changed_a_moment_ago_gets_no_half(desk: ResetDesk) -> None:
    world = desk.world
    reset, before = opened(desk, kind="password"), means(world)
    with world.arranging() as tx:
        now = world.clock.now()
        tx.people.change(world.account("claire").id, now, email="mallory@evil.example", email_changed_at=now)
    with pytest.raises(ResetRefused) as caught:
        world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_CHANNEL_TOO_NEW
    assert means(world) == before


def test_a_second_request_does_not_open_beside_the_first(desk: ResetDesk) -> None:
    world = desk.world
    opened(desk, kind="password")
    with pytest.raises(ResetRefused) as caught:
        world.application.desk.resets.ask(
            desk.agent("amina", IT_CONTACT), world.account("claire"), kind="factor", establishment=world.establishment("tilleuls"), why="x"
        )
    assert caught.value.code is Reason.RESET_OPEN_ALREADY


def test_a_request_that_has_ended_is_moved_nowhere(desk: ResetDesk) -> None:
    resets = desk.world.application.desk.resets
    reset = opened(desk, kind="password")
    resets.cancel(desk.agent(), reset.id, why="test")
    for move in (
        lambda: resets.prove(desk.agent(), reset.id, how="in_person"),
        lambda: resets.approve(desk.agent("karim", GROUP_ADMINISTRATOR, None), reset.id),
        lambda: resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS),
        lambda: resets.speak_again(desk.agent(), reset.id, browser=NO_MARKS),
        lambda: resets.witness(desk.agent("amina", IT_CONTACT), reset.id, browser=NO_MARKS),
        lambda: resets.cancel(desk.agent(), reset.id, why="again"),
    ):
        with pytest.raises(ResetRefused) as caught:
            move()
        assert caught.value.code is Reason.RESET_NOT_NOW


def test_the_agent_who_carried_it_out_is_no_witness(desk: ResetDesk) -> None:
    resets = desk.world.application.desk.resets
    reset = opened(desk, kind="password")
    resets.carry_out(desk.agent(), reset.id, channel="witness", browser=NO_MARKS)
    with pytest.raises(ResetRefused) as caught:
        resets.witness(desk.agent(), reset.id, browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_SECOND_IS_ASKER
    with pytest.raises(ResetRefused) as caught:
        resets.witness(desk.agent("karim", GROUP_ADMINISTRATOR, None), reset.id, browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_WITNESS_ELSEWHERE
    assert desk.reset(reset.id).sent_digest is None


def test_no_half_and_no_stop_code_is_kept_as_it_is(desk: ResetDesk) -> None:
    world = desk.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    halves = desk.issue("claire", "both")
    stop = [code for mail in desk.smtp.mails() for code in re.findall(r"\b[0-9A-Z]{5}-[0-9A-Z]{5}\b", mail.get_content())]
    assert stop
    kept = str(desk.reset(halves.reset_id)) + str(world.events())
    with world.database.read() as tx:
        kept += str(tx.resets.moves(halves.reset_id))
    for secret in (halves.spoken, halves.sent, *stop):
        assert secret not in kept
        assert secret.replace("-", "") not in kept
