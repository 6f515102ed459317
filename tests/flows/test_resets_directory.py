"""Resets of people whose password is a directory's: a real slapd holds an interim one that nobody sees; what it does not take changes nothing."""

from typing import Any

import pytest

from idp.audit import Reason
from idp.desk.authority import ActRefused
from idp.desk.handover import open_interim
from idp.desk.marks import NO_MARKS
from idp.desk.reset_facts import ResetRefused
from idp.store.base import Account, Reset
from tests.conftest import MakeRoom
from tests.support.agents import enter_console
from tests.support.browser import Page
from tests.support.cast import LANS
from tests.support.messaging import Messaging
from tests.support.reset_desk import ResetDesk
from tests.support.rows import a_factor
from tests.support.slapd import PASSWORD, Slapd
from tests.support.sms_gateway import SmsGateway
from tests.support.smtp import SmtpServer
from tests.support.world import World

DAY = {"approval": "any_factor", "night": {"begins": "00:00", "ends": "00:00"}, "second_person": []}


@pytest.fixture
def desk(make_room: MakeRoom, slapd: Slapd, smtp: SmtpServer) -> ResetDesk:
    """The desk of homes whose nurses are in a directory that lets it act."""
    settings: dict[str, Any] = {"directories": [slapd.settings(desk=slapd.desk())], "mail": smtp.settings(), "resets": DAY}
    return ResetDesk(make_room(**settings), smtp)


def attempt(world: World, password: str = PASSWORD) -> Page:
    browser = world.browser(address=LANS["tilleuls"])
    return browser.sign_in("d.claire", password, page=browser.get(world.relying_party().begin()))


def known(desk: ResetDesk) -> Account:
    """The nurse of the directory, who has signed in here for weeks."""
    assert attempt(desk.world).callback is not None
    return desk.known_for_long("d.claire")


def proven(desk: ResetDesk, account: Account) -> Reset:
    resets = desk.world.application.desk.resets
    place = desk.world.establishment("tilleuls")
    reset = resets.ask(desk.agent(), account, kind="password", establishment=place, why="oublié")
    return resets.prove(desk.agent(), reset.id, how="in_person")


def test_nurse_of_a_directory_is_let_in_by_neither_password_until_she_has_chosen(desk: ResetDesk, slapd: Slapd) -> None:
    world = desk.world
    account = known(desk)
    reset = proven(desk, account)
    assert reset.source == "annuaire"
    world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS)
    assert attempt(world).callback is None, "the old one"
    interim = open_interim(world.application.keyring, desk.reset(reset.id))
    assert interim is not None
    page = attempt(world, interim)
    assert page.callback is None, "the interim one only opens the change"
    assert interim not in str(world.events())
    with world.database.read() as tx:
        (link,) = tx.links.of_account(account.id)
        assert tx.sessions.open_of(account.id) == ()
    assert link.password_changed_at == world.clock.now()
    assert world.events("password.set_elsewhere") == [], "the desk's own change is no news"
    assert world.last_event("reset.issued")["connector"] == "annuaire"


def test_nothing_is_carried_out_when_the_directory_does_not_answer(desk: ResetDesk, slapd: Slapd) -> None:
    world = desk.world
    account = known(desk)
    reset = proven(desk, account)
    slapd.stop()
    try:
        with pytest.raises(ActRefused) as caught:
            world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS)
        assert caught.value.code is Reason.DIRECTORY_UNREACHABLE
    finally:
        slapd.start()
    with world.database.read() as tx:
        assert len(tx.sessions.open_of(account.id)) == 1
    assert desk.reset(reset.id).state == "proven"
    assert world.events("reset.issued") == []
    assert attempt(world).callback is not None, "the password is as it was"
    assert desk.world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS).spoken


def test_a_nurse_whom_the_directory_has_disabled_is_not_reset(desk: ResetDesk, slapd: Slapd) -> None:
    account = known(desk)
    slapd.disable("d.claire")
    place = desk.world.establishment("tilleuls")
    with pytest.raises(ActRefused) as caught:
        desk.world.application.desk.resets.ask(desk.agent(), account, kind="password", establishment=place, why="oublié")
    assert caught.value.code is Reason.DIRECTORY_DISABLED
    assert desk.world.events("reset.asked") == []


@pytest.mark.parametrize("kind", ["password", "factor"])
def test_somebody_whom_the_directory_protects_is_not_reset_not_even_here(
    make_room: MakeRoom, slapd: Slapd, smtp: SmtpServer, kind: Any
) -> None:
    directory = slapd.settings(desk=slapd.desk(protected="(uid=d.claire)"))
    desk = ResetDesk(make_room(directories=[directory], mail=smtp.settings(), resets=DAY), smtp)
    account = known(desk)
    place = desk.world.establishment("tilleuls")
    with pytest.raises(ActRefused) as caught:
        desk.world.application.desk.resets.ask(desk.agent(), account, kind=kind, establishment=place, why="oublié")
    assert caught.value.code is Reason.ACT_ON_PROTECTED
    assert desk.world.events("reset.asked") == []


def test_an_address_that_the_directory_changes_carries_no_half_and_the_old_one_is_told(desk: ResetDesk, slapd: Slapd) -> None:
    account = known(desk)
    old = account.email
    slapd.modify(slapd.dn("d.claire"), {"mail": "d.claire.nouvelle@annuaire.example"})
    assert attempt(desk.world).callback is not None
    with desk.world.database.read() as tx:
        changed = tx.people.get(account.id)
    assert changed is not None
    assert changed.email == "d.claire.nouvelle@annuaire.example"
    assert changed.email_changed_at == desk.world.clock.now()
    desk.room.deliver()
    assert old is not None
    assert [mail["Subject"] for mail in desk.smtp.mails() if old in str(mail["To"])] == ["Vestibule : Coordonnées modifiées"]
    reset = proven(desk, account)
    with pytest.raises(ResetRefused) as caught:
        desk.world.application.desk.resets.carry_out(desk.agent(), reset.id, channel="email", browser=NO_MARKS)
    assert caught.value.code is Reason.RESET_CHANNEL_TOO_NEW


@pytest.mark.parametrize("act", ["lost", "pass"])
@pytest.mark.parametrize("trouble", ["act_on_protected", "directory_unreachable"])
def test_factors_of_whom_the_directory_does_not_let_go_are_neither_taken_nor_gone_around(
    make_room: MakeRoom, slapd: Slapd, smtp: SmtpServer, trouble: str, act: str
) -> None:
    """A lost telephone with its factors, and a one-time pass: both ask the directory first, and do nothing where it says no or nothing."""
    bars = {"protected": "(uid=d.claire)"} if trouble == "act_on_protected" else {}
    room = make_room(directories=[slapd.settings(desk=slapd.desk(**bars))], mail=smtp.settings(), resets=DAY)
    world = room.world
    account = known(ResetDesk(room, smtp))
    factor = factor_of(room, account)
    agent = enter_console(world)
    agent.get("/account")
    page = agent.get(f"/admin/people/{account.id}/{act}")
    if trouble == "directory_unreachable":
        slapd.stop()
    try:
        if act == "lost":
            page = agent.browser.submit("lost-form", page=page, factor=factor, why="volé")
            page = agent.browser.submit("changes", page=page, button="confirm")
        else:
            page = agent.browser.submit("pass-form", page=page, proof="in_person", why="oublié chez elle")
    finally:
        if not slapd.is_running:
            slapd.start()
    assert page.status == 409
    line = world.last_event("desk.refused")
    assert (line["reason"], line["account_id"], line["actor"]) == (trouble, account.id, f"account:{world.account('rose').id}")
    assert line["details"]["act"] == ("reset_factor" if act == "lost" else "issue_pass")
    with world.database.read() as tx:
        assert [one.id for one in tx.factors.open_of(account.id)] == [factor]
        assert len(tx.sessions.open_of(account.id)) == 1
    done = [line["type"] for line in world.events() if line["type"] in {"factors.reset", "pass.issued", "desk.acted"}]
    assert done == []


def factor_of(room: Messaging, account: Account) -> str:
    """A second factor of somebody of the directory: its id."""
    now = room.world.clock.now()
    factor = a_factor(room.world.clock.new_id(), account.id, now, kind="totp", label="Téléphone")
    with room.world.arranging() as tx:
        assert tx.factors.add(factor)
    return factor.id


@pytest.mark.parametrize(("new", "is_told"), [("06 00 00 00 99", True), ("+33600000001", False)])
def test_the_former_telephone_is_told_by_sms_when_the_directory_has_another(
    make_room: MakeRoom, slapd: Slapd, smtp: SmtpServer, gateway: SmsGateway, new: str, is_told: bool
) -> None:
    """Whoever runs the directory, or has broken into it, gives nobody another telephone unseen; the same number written otherwise tells nobody."""
    settings: dict[str, Any] = {"directories": [slapd.settings(desk=slapd.desk())], "sms": gateway.settings(), "mail": smtp.settings()}
    desk = ResetDesk(make_room(**settings, resets=DAY), smtp)
    account = known(desk)
    assert account.phone_number == "06 00 00 00 01"
    slapd.modify(slapd.dn("d.claire"), {"mobile": new})
    assert attempt(desk.world).callback is not None
    desk.room.deliver()
    assert [asked.json["to"] for asked in gateway.asked] == (["+33600000001"] if is_told else [])
    assert account.email in {str(mail["To"]) for mail in smtp.mails()}
    queued = [line["details"] for line in desk.world.events("message.queued", account_id=account.id)]
    told = [details["channel"] for details in queued if details["purpose"] == "contact_changed"]
    assert sorted(told) == (["email", "sms"] if is_told else ["email"])
