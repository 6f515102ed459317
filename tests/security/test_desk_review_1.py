"""The desk against its own people: nobody comes to both halves of a reset, or to one that two people should have seen."""

import pytest

from idp.audit import Origin, Reason
from idp.desk.marks import NO_MARKS
from idp.desk.reset_facts import ResetRefused
from idp.store.base import Reset
from policies.acts import GROUP_ADMINISTRATOR, IT_CONTACT
from policies.resets import Kind
from tests.conftest import MakeRoom
from tests.flows.test_redemption import phone_of, redeem
from tests.support.cast import OUTSIDE
from tests.support.reset_desk import ResetDesk
from tests.support.smtp import SmtpServer

DAY = {"approval": "any_factor", "night": {"begins": "00:00", "ends": "00:00"}}
AT_PAGE = Origin(request_id="AAAAAAAAAA", address="127.0.0.1")


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=DAY), smtp)


@pytest.fixture
def of_oneself(make_room: MakeRoom, smtp: SmtpServer) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets={**DAY, "modes": [{"mode": "self"}]}), smtp)


def refusals(desk: ResetDesk) -> list[str]:
    """The reasons, newest first."""
    with desk.world.database.read() as tx:
        found = sorted(tx.events.newest(100), key=lambda one: int(one["id"]), reverse=True)
    return [str(one["reason"]) for one in found if one["type"] == "reset.refused"]


def ask(desk: ResetDesk, kind: Kind) -> Reset:
    world = desk.world
    place = world.establishment("tilleuls")
    return world.application.desk.resets.ask(desk.agent(), world.account("claire"), kind=kind, establishment=place, why="again")


def ask_as_person(desk: ResetDesk, person: str = "claire") -> Reset:
    world = desk.world
    found = world.application.desk.resets.ask_as_person(
        world.account(person), kind="password", establishment=world.establishment("tilleuls"), mode="self", origin=AT_PAGE
    )
    assert found is not None
    return found


def test_agent_who_spoke_again_is_no_witness(desk: ResetDesk) -> None:
    phone_of(desk.world)
    resets, amina = desk.world.application.desk.resets, desk.agent("amina", IT_CONTACT)
    halves = desk.issue("claire", "both", channel="witness")
    resets.speak_again(amina, halves.reset_id, browser=NO_MARKS)
    with pytest.raises(ResetRefused) as refused:
        resets.witness(amina, halves.reset_id, browser=NO_MARKS)
    assert refused.value.code is Reason.RESET_SECOND_IS_ASKER
    assert refusals(desk)[0] == Reason.RESET_SECOND_IS_ASKER
    assert desk.reset(halves.reset_id).sent_digest is None


def test_witness_does_not_speak_again(desk: ResetDesk) -> None:
    phone_of(desk.world)
    resets, amina = desk.world.application.desk.resets, desk.agent("amina", IT_CONTACT)
    halves = desk.issue("claire", "both", channel="witness")
    resets.witness(amina, halves.reset_id, browser=NO_MARKS)
    before = desk.reset(halves.reset_id).spoken_digest
    with pytest.raises(ResetRefused) as refused:
        resets.speak_again(amina, halves.reset_id, browser=NO_MARKS)
    assert refused.value.code is Reason.RESET_SECOND_IS_ASKER
    assert refusals(desk)[0] == Reason.RESET_SECOND_IS_ASKER
    assert desk.reset(halves.reset_id).spoken_digest == before


def test_approver_sees_neither_half(desk: ResetDesk) -> None:
    phone_of(desk.world)
    resets, rose, amina = desk.world.application.desk.resets, desk.agent(), desk.agent("amina", IT_CONTACT)
    reset = ask(desk, "both")
    resets.prove(rose, reset.id, how="in_person")
    resets.approve(amina, reset.id)
    resets.carry_out(rose, reset.id, channel="witness", browser=NO_MARKS)
    before = desk.reset(reset.id).spoken_digest
    for move in (resets.speak_again, resets.witness):
        with pytest.raises(ResetRefused) as refused:
            move(amina, reset.id, browser=NO_MARKS)
        assert refused.value.code is Reason.RESET_SECOND_IS_ASKER
    assert len(refusals(desk)) == 2
    assert desk.reset(reset.id).sent_digest is None
    assert desk.reset(reset.id).spoken_digest == before


def test_person_redeems_nothing_when_their_last_factor_went_after_one_agent_had_carried_it_out(desk: ResetDesk) -> None:
    world = desk.world
    phone_of(world)
    halves = desk.issue("claire", "password")
    assert desk.reset(halves.reset_id).second_by is None
    with world.arranging() as tx:
        for factor in tx.factors.open_of(world.account("claire").id):
            tx.factors.end(factor.id, world.clock.now())
    page = redeem(world.browser(language="en", address=OUTSIDE), halves)
    assert page.status == 403
    assert "reset-form" in page.forms
    assert refusals(desk)[0] == Reason.RESET_NEEDS_SECOND
    assert desk.reset(halves.reset_id).state == "issued"


def test_person_redeems_nothing_when_they_were_given_a_role_after_one_agent_had_carried_it_out(desk: ResetDesk) -> None:
    phone_of(desk.world)
    halves = desk.issue("claire", "password")
    desk.agent("claire", GROUP_ADMINISTRATOR, None)
    assert redeem(desk.world.browser(language="en", address=OUTSIDE), halves).status == 403
    assert refusals(desk)[0] == Reason.RESET_NEEDS_SECOND


def test_administrator_waits_for_the_desk_when_the_mode_is_self(of_oneself: ResetDesk) -> None:
    phone_of(of_oneself.world)
    of_oneself.agent("claire", GROUP_ADMINISTRATOR, None)
    reset = ask_as_person(of_oneself)
    handed = of_oneself.world.application.desk.resets.hand_to_self(reset.id, spoken="ABCD-EFGH", origin=AT_PAGE)
    assert handed is None
    assert of_oneself.reset(reset.id).state == "asked"
    assert of_oneself.reset(reset.id).spoken_digest is None


@pytest.mark.parametrize("kind", ["factor", "both"])
def test_agent_asks_again_when_the_factors_were_taken_and_the_person_did_not_come(desk: ResetDesk, kind: Kind) -> None:
    phone_of(desk.world)
    resets, rose = desk.world.application.desk.resets, desk.agent()
    halves = desk.issue("claire", "factor")
    resets.cancel(rose, halves.reset_id, why="she did not come")
    again = desk.issue("claire", kind)
    assert desk.reset(again.reset_id).state == "issued"
    page = redeem(desk.world.browser(language="en", address=OUTSIDE), again)
    assert page.status == 200
    assert desk.reset(again.reset_id).state == "redeemed"


def test_agent_asks_in_spite_of_a_request_that_a_stranger_left_on_the_page(of_oneself: ResetDesk) -> None:
    left = ask_as_person(of_oneself)  # no factor: it waits for the desk
    reset = ask(of_oneself, "password")
    assert of_oneself.reset(left.id).state == "cancelled"
    assert of_oneself.reset(reset.id).state == "asked"
    with of_oneself.world.database.read() as tx:
        assert tx.resets.last_move(left.id, "cancelled") is not None


def test_agent_reads_the_whole_number_only_where_they_call_back(desk: ResetDesk) -> None:
    phone_of(desk.world)
    resets, rose, dossiers = desk.world.application.desk.resets, desk.agent(), desk.world.application.desk.dossiers
    reset = ask(desk, "password")
    assert "proven" in {str(one) for one in dossiers.one(rose, reset.id).may}
    resets.prove(rose, reset.id, how="in_person")
    assert "proven" not in {str(one) for one in dossiers.one(rose, reset.id).may}
