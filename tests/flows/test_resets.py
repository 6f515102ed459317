"""Resets at the desk, from the outside: asked, proven, approved, carried out and handed over in two halves, on the console's pages."""

import re
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Author, Origin
from idp.desk.approval_passes import ApprovalPasses
from idp.work import Worker
from tests.conftest import MakeRoom
from tests.support.agents import give_role
from tests.support.browser import Page
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.fixed_clock import FixedClock
from tests.support.keyholder import Keyholder, enrolled
from tests.support.messaging import Messaging
from tests.support.second_factors import enrol_phone
from tests.support.smtp import SmtpServer
from tests.support.world import World

BY_DAY = {"night": {"begins": "00:00", "ends": "00:00"}, "approval": "any_factor"}
HALF = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b")


@pytest.fixture
def room(make_room: MakeRoom, smtp: SmtpServer) -> Messaging:
    """A world that has mail, where it is always day."""
    return make_room(mail=smtp.settings(), resets=BY_DAY)


@pytest.fixture
def world(room: Messaging) -> World:
    return room.world


def ask(agent: ConsoleAgent, person: str = "claire", kind: str = "password", why: str = "téléphone perdu") -> Page:
    agent.get(f"/admin/people/{agent.world.account(person).id}/reset?kind={kind}")
    return agent.submit("reset-ask", kind=kind, why=why)


def prove(agent: ConsoleAgent, how: str = "in_person", note: str = "") -> Page:
    return agent.submit("prove-form", how=how, note=note)


def carry_out(agent: ConsoleAgent, channel: str = "email") -> Page:
    return agent.submit("carry-form", channel=channel)


def half_on(page: Page) -> str:
    found = HALF.search(page.text)
    assert found is not None, page.text
    return found[0]


def sent_half(room: Messaging, smtp: SmtpServer) -> str:
    """The half in the person's mailbox; a mail that a busy machine did not take at once is tried again."""
    for _ in range(4):
        room.deliver()
        texts = [mail.get_content() for mail in smtp.mails() if "réinitialisation" in mail["Subject"]]
        found = [half[0] for text in texts if (half := HALF.search(text)) is not None]
        if found:
            return found[-1]
        room.world.clock.advance(timedelta(minutes=1))
    raise AssertionError([mail["Subject"] for mail in smtp.mails()])


def types(world: World, prefix: str = "reset.") -> list[str]:
    return [line["type"] for line in world.events(prefix)]


def mails_to(smtp: SmtpServer, address: str) -> list[str]:
    return [mail["Subject"] for mail in smtp.mails() if address in str(mail["To"])]


def only_reset(world: World, person: str = "claire") -> Any:
    with world.database.read() as tx:
        (found,) = tx.resets.of_account(world.account(person).id)
    return found


def test_contact_reads_once_that_nobody_waits(world: World) -> None:
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    page = contact.get("/admin/resets")
    assert "Nobody waits." in page.text
    assert "wait for somebody" not in page.text
    ask(contact)
    assert "1 request waits for somebody." in contact.get("/admin/resets").text
    assert "1 request waits for somebody." in contact.get("/admin/resets?show=ended").text


def test_contact_resets_a_password_and_sees_one_half_when_she_has_recognised_the_nurse(room: Messaging, smtp: SmtpServer) -> None:
    world = room.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    nurse = world.sign_in("claire", scope="openid offline_access")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    assert ask(contact).status == 200
    assert "To be recognised" in contact.page.text
    prove(contact, "in_person")
    assert "To be carried out" in contact.page.text
    page = carry_out(contact)
    spoken = half_on(page)
    sent = sent_half(room, smtp)
    assert sent != spoken
    assert sent not in page.markup
    assert nurse.party.refresh(nurse.tokens.refresh).status_code == 400
    assert nurse.browser.get("/account").forms.keys() >= {"signin-form"}
    assert types(world) == ["reset.asked", "reset.proven", "reset.issued"]
    trail = str(world.events())
    assert spoken not in trail
    assert sent not in trail
    assert len(mails_to(smtp, "claire.dubois@tilleuls.example")) >= 4
    assert contact.get(f"/admin/resets/{only_reset(world).id}").text.count(spoken) == 0
    metrics = world.application.metrics.render().decode()
    assert 'vestibule_resets_total{move="asked"} 1.0' in metrics
    assert 'vestibule_resets_total{move="issued"} 1.0' in metrics


# The second person


@pytest.fixture
def by_night(make_room: MakeRoom, smtp: SmtpServer, clock: FixedClock) -> Messaging:
    """Two in the morning at Les Tilleuls, with the rules as they come."""
    clock.advance(timedelta(hours=17))
    return make_room(mail=smtp.settings())


def asked_and_proven(world: World, kind: str = "factor") -> ConsoleAgent:
    enrol_phone(world, world.application.signin.second_factors, "claire")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact, kind=kind)
    prove(contact, "manager", "Nadia Ferrand, 04 00 00 01 23")
    return contact


def with_passkey(world: World, person: str = "karim") -> Keyholder:
    """Somebody on call with a passkey on their telephone, which they have just used."""
    holder = enrolled(world, person, address=world.lan_of(person))
    give_role(world, person, "on_call_approver")
    holder.browser.headers["Accept-Language"] = "en"
    return holder


def confirm_passkey(holder: Keyholder, path: str) -> Page:
    """Open a page of the console that wants the passkey again, and give it."""
    page = holder.browser.get(path)
    if "passkey-form" in page.forms:
        page = holder.browser.submit("passkey-form", page=page, credential=holder.answer(page))
    return page


def test_on_call_approver_approves_by_passkey_at_night_and_the_contact_goes_on(by_night: Messaging, smtp: SmtpServer) -> None:
    world = by_night.world
    holder = with_passkey(world)
    with world.arranging() as tx:
        tx.people.change(world.account("karim").id, world.clock.now(), email="karim.haddad@glycines.example")
    contact = asked_and_proven(world)
    assert "A second person must approve it: it is night" in contact.page.text
    assert "carry-form" not in contact.page.forms
    by_night.deliver()
    assert any("approval" in mail["Subject"] or "accord" in mail["Subject"] for mail in smtp.mails() if "karim" in str(mail["To"]))
    reset = only_reset(world)
    page = confirm_passkey(holder, f"/admin/resets/{reset.id}/approve")
    assert "Nadia Ferrand, 04 00 00 01 23" in page.text
    page = holder.browser.submit("approve-form", page=page)
    assert "Approved." in page.text
    kept = only_reset(world)
    assert (kept.state, kept.second_how, kept.second_by) == ("approved", "passkey", f"account:{world.account('karim').id}")
    contact.get(f"/admin/resets/{reset.id}")
    half_on(carry_out(contact))
    assert types(world) == ["reset.asked", "reset.proven", "reset.approved", "reset.issued"]
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == ()


def test_contact_is_told_what_is_missing_when_she_carries_out_at_night_alone(by_night: Messaging) -> None:
    world = by_night.world
    contact = asked_and_proven(world)
    reset = only_reset(world)
    contact.get(f"/admin/resets/{reset.id}/carry-out")
    token = re.search(r'name="csrf_token" value="([^"]+)"', contact.page.markup)
    assert token is not None
    page = contact.browser.post(f"/admin/resets/{reset.id}/carry-out", {"channel": "email", "csrf_token": token[1]})
    assert page.status == 409
    assert "A second person must approve it first." in page.text
    assert only_reset(world).state == "proven"
    assert world.last_event("reset.refused")["reason"] == "reset_needs_second"
    with world.database.read() as tx:
        assert len(tx.factors.open_of(world.account("claire").id)) == 1


def test_sealed_pass_of_the_site_stands_for_the_approver_once_at_night(by_night: Messaging) -> None:
    world = by_night.world
    passes = ApprovalPasses(world.application.keyring, world.clock)
    author = Author("operator:test", Origin("0123456789", "local"))
    with world.arranging() as tx:
        code, _ = passes.issue(tx, world.establishment("tilleuls"), author, label="enveloppe 1", life=timedelta(days=90))
        other, _ = passes.issue(tx, world.establishment("glycines"), author, label="enveloppe 1", life=timedelta(days=90))
    contact = asked_and_proven(world)
    contact.submit("pass-form", **{"pass": other})
    assert "not one of this establishment" in contact.page.text
    assert world.last_event("reset.refused")["reason"] == "pass_not_valid"
    contact.submit("pass-form", **{"pass": code.lower()})
    assert "Approved." in contact.page.text
    assert only_reset(world).second_how == "sealed_pass"
    half_on(carry_out(contact))
    assert [line["details"]["label"] for line in world.events("pass.used")] == ["enveloppe 1"]
    with world.arranging() as tx:
        assert passes.redeem(tx, code, world.establishment("tilleuls").id, author) is None


# The other half


def director(world: World) -> ConsoleAgent:
    """Amina, who works at Les Tilleuls alone from now on."""
    with world.arranging() as tx:
        elsewhere = [one for one in tx.people.attachments(world.account("amina").id) if one.profile == "manager"]
        for attachment in elsewhere:
            tx.people.detach(attachment.id, world.clock.now())
    return console_agent(world, "amina", "director", "tilleuls", language="en")


def test_witness_on_the_spot_is_shown_the_other_half_once(room: Messaging) -> None:
    world = room.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact)
    prove(contact)
    spoken = half_on(carry_out(contact, "witness"))
    reset = only_reset(world)
    assert reset.sent_digest is None
    assert "witness-form" not in contact.get(f"/admin/resets/{reset.id}").forms
    amina = director(world)
    amina.get(f"/admin/resets/{reset.id}")
    amina.submit("witness-form")
    half = half_on(amina.page)
    assert half != spoken
    assert "Second code" in amina.page.text
    assert "witness-form" not in amina.get(f"/admin/resets/{reset.id}").forms
    assert world.account("amina").id in str(only_reset(world).barred)
    assert half not in str(world.events())


def test_first_half_is_made_anew_once_when_the_agent_asks(room: Messaging) -> None:
    world = room.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact)
    prove(contact)
    first = half_on(carry_out(contact))
    before = only_reset(world).spoken_digest
    for _ in range(2):
        world.clock.advance(timedelta(minutes=20))
        contact.get(f"/admin/resets/{only_reset(world).id}")
    contact.get(f"/admin/resets/{only_reset(world).id}/speak")
    contact.submit("speak-form")
    assert half_on(contact.page) != first
    assert only_reset(world).spoken_digest != before
    assert "speak-form" not in contact.get(f"/admin/resets/{only_reset(world).id}").forms


@pytest.mark.parametrize(("age", "channel_open", "call_back_open"), [(71, False, False), (73, False, True), (7 * 24 + 1, True, True)])
def test_address_that_was_changed_carries_no_half_for_a_week_nor_serves_to_call_back_for_three_days(
    make_room: MakeRoom, smtp: SmtpServer, age: int, channel_open: bool, call_back_open: bool
) -> None:
    world = make_room(mail=smtp.settings(), resets=BY_DAY).world
    claire = world.account("claire")
    now = world.clock.now()
    with world.arranging() as tx:
        tx.people.change(claire.id, now, phone_number="+33612345642", email_changed_at=now, phone_changed_at=now)
    enrol_phone(world, world.application.signin.second_factors, "claire")
    world.clock.advance(timedelta(hours=age))
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact)
    assert ('id="how-call_back" disabled' in contact.page.markup) is not call_back_open
    prove(contact, "call_back")
    assert (only_reset(world).state == "proven") is call_back_open
    if not call_back_open:
        assert world.last_event("reset.refused")["reason"] == "reset_channel_too_new"
        prove(contact)
    carry_out(contact)
    assert (only_reset(world).state == "issued") is channel_open
    if not channel_open:
        assert world.last_event("reset.refused")["reason"] == "reset_channel_too_new"
        assert world.account("claire").email == claire.email


# The clock


def test_request_that_waits_is_told_once_and_ends_after_a_day(room: Messaging, smtp: SmtpServer) -> None:
    world = room.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact)
    worker = Worker(world.application)
    try:
        worker.stand()
        assert worker.resets.run_once() == 0
        world.clock.advance(timedelta(minutes=16))
        worker.stand()
        assert worker.resets.run_once() == 1
        assert worker.resets.run_once() == 0
        room.deliver()
        assert any("informatique@tilleuls.example" in str(mail["To"]) for mail in smtp.mails())
        assert not any("Claire" in mail.get_content() for mail in smtp.mails() if "informatique@tilleuls" in str(mail["To"]))
        assert "Waits too long" in contact.get("/admin/resets").text
        world.clock.advance(timedelta(hours=24))
        worker.stand()
        assert worker.resets.run_once() == 1
    finally:
        worker.deliverer.close()
        worker.sender.close()
        worker.streamer.close()
    assert types(world) == ["reset.asked", "reset.escalated", "reset.expired"]
    assert not only_reset(world).is_open


def test_contact_cancels_a_request_and_the_person_is_told(room: Messaging, smtp: SmtpServer) -> None:
    world = room.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact)
    contact.submit("cancel-form", why="retrouvé")
    assert "Cancelled" in contact.page.text
    room.deliver()
    assert any("annulée" in subject for subject in mails_to(smtp, "claire.dubois@tilleuls.example"))
    assert only_reset(world).state == "cancelled"
    assert ask(contact).url != "", "another may be asked for"
    with world.database.read() as tx:
        assert len(tx.resets.of_account(world.account("claire").id)) == 2


def test_person_stops_a_reset_with_the_code_of_a_notice(room: Messaging, smtp: SmtpServer) -> None:
    world = room.world
    enrol_phone(world, world.application.signin.second_factors, "claire")
    contact = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    ask(contact)
    room.deliver()
    (notice,) = [mail.get_content() for mail in smtp.mails() if "claire.dubois" in str(mail["To"]) and "demandée" in mail["Subject"]]
    code = re.search(r"\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b", notice)
    assert code is not None
    resets, origin = world.application.desk.resets, Origin("STOP000001", "198.51.100.9")
    assert not resets.stop("ABCDE-FGHJK", origin)
    assert resets.stop(code[0].lower(), origin)
    assert not resets.stop(code[0], origin)
    assert only_reset(world).state == "stopped"
    assert [line["reason"] for line in world.events("reset.refused")] == ["reset_unknown", "reset_not_now"]
    assert "Stopped by the person" in contact.get(f"/admin/resets/{only_reset(world).id}").text
    room.deliver()
    assert any("arrêtée par la personne" in mail["Subject"] for mail in smtp.mails() if "informatique@" in str(mail["To"]))
