"""A telephone is lost, a reset runs out, an account is a minute old or is merged: what whoever holds one half of the means gets from it. Nothing."""

from datetime import timedelta

import pytest

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.desk.authority import ActRefused
from idp.desk.factor_state import were_taken
from idp.desk.marks import NO_MARKS
from idp.desk.register import Corrected
from idp.desk.reset_facts import ResetRefused
from idp.people import factors
from idp.people.accounts import AccountRefused
from idp.people.merging import merge, unmerge
from idp.signin.enrolment import Asking, EnrolmentRefused
from idp.signin.own_history import OwnHistory
from idp.store.database import Transaction
from idp.store.events import EventFilter
from policies.acts import HELPDESK_AGENT
from policies.zones import Whereabouts
from tests.conftest import MakeRoom
from tests.flows.test_redemption import phone_of
from tests.support.agents import enter_console
from tests.support.reset_desk import AT_DESK, ResetDesk
from tests.support.sms_gateway import SmsGateway
from tests.support.smtp import SmtpServer
from tests.support.world import World

DAY = {"approval": "any_factor", "night": {"begins": "00:00", "ends": "00:00"}}
NUMBER = "+33612345678"
ORIGIN = Origin(request_id="REVIEW0002", address="127.0.0.1")
INSIDE = Whereabouts(zone="tilleuls/ehpad", kind="lan", is_inside=True, is_shared=False, may_enrol=True, why="private_address")


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=DAY), smtp)


@pytest.fixture
def world(desk: ResetDesk) -> World:
    return desk.world


def factor_ids(world: World, person: str = "claire") -> list[str]:
    with world.database.read() as tx:
        return [one.id for one in tx.factors.open_of(world.account(person).id)]


def may_enrol_inside(world: World) -> tuple[bool, str]:
    """What a fresh sign-in with the password opens, from the best place there is."""
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"regulatory_level": "tolerant"})
    decision = world.application.signin.second_factors.enrolment.may(
        Asking(
            account_id=world.account("claire").id,
            establishment_id=world.establishment("tilleuls").id,
            whereabouts=INSIDE,
            signed_in_at=world.clock.now(),
            proved_at=None,
        )
    )
    return decision.is_allowed, decision.reasons[0] if decision.reasons else ""


def test_thief_of_a_password_enrols_nothing_when_the_desk_took_the_last_factor(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    desk.world.application.desk.access.lose(
        desk.agent("rose", HELPDESK_AGENT), world.account("claire"), factor_ids=factor_ids(world), why="lost"
    )
    assert factor_ids(world) == []
    assert may_enrol_inside(world) == (False, "enrolment_needs_pass")
    with world.database.read() as tx:
        assert were_taken(tx, world.account("claire").id)
    with pytest.raises(EnrolmentRefused):
        phone_of(world)
    assert world.last_event("enrolment.refused")["reason"] == "enrolment_needs_pass"
    assert factor_ids(world) == []


def test_thief_of_a_password_enrols_nothing_after_a_reset_ran_out(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "factor")
    world.clock.advance(timedelta(days=3))
    with world.arranging() as tx:
        tx.resets.close(halves.reset_id, "expired", world.clock.now(), "system")
    assert may_enrol_inside(world) == (False, "enrolment_needs_pass")
    with pytest.raises(ActRefused) as caught:
        world.application.desk.access.issue_pass(desk.agent(), world.account("claire"), proof="in_person", why="x")
    assert caught.value.code is Reason.ACT_NEEDS_RESET


def test_person_enrols_again_by_themselves_when_a_command_took_the_factor(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    with world.arranging() as tx:
        factors.reset(tx, world.account("claire"), Author("operator:test", ORIGIN), reason="new telephone", clock=world.clock)
    assert may_enrol_inside(world)[0]


def test_finder_of_a_telephone_is_not_called_back_on_it(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), phone_number=NUMBER, phone_number_verified=True)
    rose, resets = desk.agent(), world.application.desk.resets
    world.application.desk.access.lose(rose, world.account("claire"), factor_ids=[], why="stolen")
    after = world.account("claire")
    assert (after.phone_number, after.phone_number_verified, after.phone_changed_at) == (NUMBER, False, world.clock.now())
    reset = resets.ask(rose, after, kind="password", establishment=world.establishment("tilleuls"), why="x")
    with pytest.raises(ResetRefused) as caught:
        resets.prove(rose, reset.id, how="call_back")
    assert caught.value.code is Reason.RESET_CHANNEL_TOO_NEW


def test_number_stays_relied_on_when_what_was_lost_is_another_machine(desk: ResetDesk, world: World) -> None:
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), phone_number=NUMBER, phone_number_verified=True)
    world.application.desk.access.lose(desk.agent(), world.account("claire"), factor_ids=[], why="tablet", takes_number=False)
    after = world.account("claire")
    assert (after.phone_number_verified, after.phone_changed_at) == (True, None)


@pytest.mark.parametrize("how", ["suspended", "lost", "disowned", "merged"])
def test_holder_of_both_halves_gets_nothing_when_the_account_was_cut(desk: ResetDesk, world: World, how: str) -> None:
    if how == "disowned":
        world.sign_in("claire")
        with world.database.read() as tx:
            session = tx.sessions.open_of(world.account("claire").id)[0]
    halves, access, claire = desk.issue("claire", "password"), world.application.desk.access, world.account("claire")
    if how == "suspended":
        access.suspend(desk.agent(), claire, why="stolen account")
    elif how == "lost":
        access.lose(desk.agent(), claire, factor_ids=[], why="stolen telephone")
    elif how == "merged":
        with world.arranging() as tx:
            other = next(
                one for one in (world.account("hugo"), world.account("karim")) if (claire.created_at, claire.id) != (one.created_at, one.id)
            )
            kept, retired = sorted((claire, other), key=lambda one: (one.created_at, one.id))
            assert merge(tx, kept, retired, Author("operator:test", ORIGIN), why="one person", clock=world.clock)
    else:
        with world.database.read() as tx:
            line = tx.events.last(EventFilter(type_prefix="signin.", account_id=claire.id), 1)[0]
        assert OwnHistory(world.database, world.clock).disown(session, line["id"], origin=ORIGIN)
    assert desk.reset(halves.reset_id).state == "cancelled"
    told = world.last_event("reset.cancelled")
    assert (told["account_id"], told["details"]["reset"], told["details"]["was"]) == (claire.id, halves.reset_id, "issued")
    with world.database.read() as tx:
        moves = [one.move for one in tx.resets.moves(halves.reset_id)]
    assert moves[-1] == "cancelled"


def test_old_address_is_told_of_both_when_an_agent_changes_both(desk: ResetDesk, world: World) -> None:
    claire = world.account("claire")
    with world.arranging() as tx:
        tx.people.change(claire.id, world.clock.now(), phone_number=NUMBER)
    corrected = Corrected(
        given_name=claire.given_name,
        family_name=claire.family_name,
        email="autre@tilleuls.example",
        phone_number="+33698765432",
        locale="fr",
    )
    assert set(world.application.desk.register.correct(desk.agent(), world.account("claire"), corrected)) >= {"email", "phone_number"}
    told = [line for line in world.events("message.queued") if line["details"]["purpose"] == "contact_changed"]
    assert len(told) == 2
    assert len({line["details"]["to"] for line in told}) == 1


@pytest.mark.parametrize("changes", [{"phone_number"}, {"phone_number", "email"}])
def test_former_number_is_told_by_sms_and_the_former_address_by_mail_when_an_agent_changes_them(
    make_room: MakeRoom, smtp: SmtpServer, gateway: SmsGateway, changes: set[str]
) -> None:
    room = make_room(mail=smtp.settings(), sms=gateway.settings(), resets=DAY)
    desk, world = ResetDesk(room, smtp), room.world
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), phone_number=NUMBER)
    claire = world.account("claire")
    new = {"email": "autre@tilleuls.example", "phone_number": "+33698765432"}
    corrected = Corrected(
        given_name=claire.given_name,
        family_name=claire.family_name,
        email=new["email"] if "email" in changes else claire.email,
        phone_number=new["phone_number"],
        locale=claire.locale,
    )
    assert set(world.application.desk.register.correct(desk.agent(), claire, corrected)) == changes
    room.deliver()
    assert [asked.json["to"] for asked in gateway.asked] == [NUMBER]
    assert all(new["phone_number"] not in text for text in gateway.texts)
    assert {str(mail["To"]) for mail in smtp.mails()} == {claire.email}
    assert world.account("claire").phone_changed_at == world.clock.now()


def test_nobody_relies_on_the_address_of_an_account_that_was_made_a_minute_ago(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), phone_number=NUMBER, created_at=world.clock.now())
    rose, resets = desk.agent(), world.application.desk.resets
    world.clock.advance(timedelta(minutes=1))
    reset = resets.ask(rose, world.account("claire"), kind="password", establishment=world.establishment("tilleuls"), why="x")
    with pytest.raises(ResetRefused) as caught:
        resets.prove(rose, reset.id, how="call_back")
    assert caught.value.code is Reason.RESET_CHANNEL_TOO_NEW
    resets.prove(rose, reset.id, how="in_person")
    with pytest.raises(ResetRefused) as caught:
        resets.carry_out(rose, reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_CHANNEL_TOO_NEW
    assert world.last_event("reset.refused")["reason"] == "reset_channel_too_new"
    assert desk.reset(reset.id).state == "proven"
    assert resets.carry_out(rose, reset.id, channel="witness", browser=NO_MARKS).spoken


DANGEROUS = ("people/{claire}/sessions/end", "resets/{reset}/prove", "resets/{reset}/cancel", "audit")


@pytest.mark.parametrize("path", DANGEROUS)
def test_whoever_finds_an_open_console_is_asked_for_the_factor_before_what_is_dangerous(desk: ResetDesk, world: World, path: str) -> None:
    phone_of(world)
    world.sign_in("claire")
    agent = enter_console(world)
    claire = world.account("claire")
    place = world.establishment("tilleuls")
    reset = world.application.desk.resets.ask(desk.agent(), claire, kind="password", establishment=place, why="x")
    token = next(form.fields["csrf_token"] for form in agent.get("/account").document.forms if "csrf_token" in form.fields)
    world.clock.advance(timedelta(minutes=6))
    before = len(world.events())
    fields = {"csrf_token": token, "how": "in_person", "why": "x", "note": "", "format": "csv"}
    page = agent.browser.post(f"/admin/{path.format(claire=claire.id, reset=reset.id)}", fields, headers={"Origin": world.issuer})
    assert "factor-form" in page.forms, page
    assert desk.reset(reset.id).state == "asked"
    assert {line["type"] for line in world.events()[before:]} <= {"factor.asked"}
    with world.database.read() as tx:
        assert len(tx.sessions.open_of(claire.id)) == 1


# Merges


def two_of_one(world: World, *, kept: str, retired: str) -> None:
    """Make one of the cast older than the other, and let them sign in with it."""
    now = world.clock.now()
    with world.arranging() as tx:
        tx.people.change(world.account(retired).id, now, created_at=world.account(kept).created_at + timedelta(days=1))


def merged(world: World, *, kept: str = "claire", retired: str = "karim") -> None:
    with world.arranging() as tx:
        merge(tx, world.account(kept), world.account(retired), Author("operator:test", ORIGIN), why="one person", clock=world.clock)


@pytest.mark.parametrize("taken_from", ["claire", "karim"])
@pytest.mark.parametrize("other_has", ["nothing", "telephone"])
def test_person_whose_factors_the_desk_took_is_not_merged_into_freedom(
    desk: ResetDesk, world: World, taken_from: str, other_has: str
) -> None:
    two_of_one(world, kept="claire", retired="karim")
    phone_of(world, taken_from)
    if other_has == "telephone":
        phone_of(world, "karim" if taken_from == "claire" else "claire")
    slug = "tilleuls" if taken_from == "claire" else "glycines"
    agent = desk.agent("amina" if slug == "glycines" else "rose", HELPDESK_AGENT, slug)
    world.application.desk.access.lose(agent, world.account(taken_from), factor_ids=factor_ids(world, taken_from), why="lost")
    before = factor_ids(world, "claire"), factor_ids(world, "karim")
    with pytest.raises(AccountRefused) as caught:
        merged(world)
    assert caught.value.reason == "factors_taken"
    assert (factor_ids(world, "claire"), factor_ids(world, "karim")) == before
    assert world.events("account.merged") == []
    assert world.account("karim").is_active


def test_person_who_has_added_the_next_factor_by_a_reset_is_merged(desk: ResetDesk, world: World) -> None:
    two_of_one(world, kept="claire", retired="karim")
    with world.arranging() as tx:
        factors_of(world, tx, "karim", "reset")
        factors_of(world, tx, "karim", "enrolled")
    merged(world)
    assert len(world.events("account.merged")) == 1


def test_retired_account_does_not_come_back_free_when_the_desk_took_its_factor_meanwhile(desk: ResetDesk, world: World) -> None:
    two_of_one(world, kept="claire", retired="karim")
    phone_of(world, "karim")
    karim = world.account("karim")
    merged(world)
    access = world.application.desk.access
    access.lose(desk.agent("rose", HELPDESK_AGENT), world.account("claire"), factor_ids=factor_ids(world), why="lost")
    with pytest.raises(AccountRefused) as caught, world.arranging() as tx:
        unmerge(tx, karim, Author("operator:test", ORIGIN), why="two people", clock=world.clock)
    assert caught.value.reason == "factors_taken"
    assert world.events("account.unmerged") == []


def factors_of(world: World, tx: Transaction, person: str, what: str) -> None:
    """A line of the trail: the desk took their factors, or they enrolled one."""
    account = world.account(person)
    actor = f"account:{world.account('rose').id}" if what == "reset" else f"account:{account.id}"
    kind = EventType.FACTORS_RESET if what == "reset" else EventType.FACTOR_ENROLLED
    tx.events.append(
        Event(
            type=kind, at=world.clock.now(), actor=actor, origin=AT_DESK, account_id=account.id, details={"kind": "totp", "kinds": "totp"}
        )
    )
