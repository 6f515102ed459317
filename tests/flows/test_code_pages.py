"""Codes by SMS on our pages: a nurse adds her telephone at work, and types the code it receives when she signs in from outside."""

import re
from datetime import timedelta

import pytest

from tests.conftest import MakeRoom
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.messaging import HINT, NUMBER, ORIGIN, Messaging
from tests.support.sms_gateway import SmsGateway
from tests.support.smtp import SmtpServer

MINUTE = timedelta(minutes=1)
PHONE, MAILBOX = "/account/factors/sms", "/account/factors/email"


@pytest.fixture
def room(make_room: MakeRoom, gateway: SmsGateway, smtp: SmtpServer) -> Messaging:
    return make_room(sms=gateway.settings(), mail=smtp.settings(), factors={"offered": ["totp", "sms", "email"]})


def at_work(room: Messaging, person: str = "claire") -> Browser:
    """Signed in at work, a moment ago."""
    return room.world.sign_in(person).browser


def from_outside(room: Messaging, person: str = "claire") -> tuple[Browser, Page]:
    """The password is right, and the address is outside: the page that asks more."""
    browser = room.world.browser(address=OUTSIDE)
    page = browser.get(room.world.relying_party().begin())
    return browser, browser.sign_in(room.world.person(person).username, PASSWORD, page=page)


def add_phone(room: Messaging, gateway: SmsGateway, typed: str = "06 12 34 56 42") -> Page:
    """Claire adds her telephone on her account's page; the page after."""
    browser = at_work(room)
    browser.get(PHONE)
    browser.submit("address-form", number=typed)
    room.deliver()
    return browser.submit("code-form", code=gateway.code(), label="Mon téléphone")


def test_a_nurse_adds_her_telephone_at_work(room: Messaging, gateway: SmsGateway) -> None:
    browser = at_work(room)
    page = browser.get(PHONE)
    assert page.forms["address-form"].fields["number"] == "0600000042"  # the directory's, to be proven
    page = browser.submit("address-form", number="06 12 34 56 42")
    assert HINT in page.text
    assert NUMBER not in page.markup
    assert gateway.asked == ()
    room.deliver()
    assert browser.submit("code-form", code="abcdef").status == 422
    done = browser.submit("code-form", code=gateway.code(), label="Mon téléphone")
    assert done.status == 200
    assert "code-form" not in done.forms
    listed = browser.get("/account/factors")
    assert "Mon téléphone" in listed.text
    assert HINT in listed.text
    assert room.world.last_event("factor.enrolled")["details"]["kind"] == "sms"


def test_a_nurse_hears_by_mail_that_a_factor_was_added_and_removed(room: Messaging, gateway: SmsGateway, smtp: SmtpServer) -> None:
    smtp.forget()
    browser = at_work(room)
    browser.get(PHONE)
    browser.submit("address-form", number="06 12 34 56 42")
    room.deliver()
    browser.submit("code-form", code=gateway.code(), label="https://evil.example")
    with room.world.database.read() as tx:
        (factor,) = tx.factors.open_of(room.world.account("claire").id)
    room.factor(address="+33700000099")  # the last one would stay
    browser.get("/account/factors/remove", {"factor": factor.id})
    browser.submit("remove-form")
    room.deliver()
    told = {mail["Subject"]: mail.get_content() for mail in smtp.mails()}
    assert "Vestibule : Second facteur ajouté" in told
    assert f"code par SMS {HINT}" in told["Vestibule : Second facteur ajouté"]
    assert "evil" not in "".join(told.values())
    assert "Vestibule : Second facteur retiré" in told


def test_the_page_comes_back_to_the_code_and_to_another_number(room: Messaging, gateway: SmsGateway) -> None:
    browser = at_work(room)
    browser.get(PHONE)
    browser.submit("address-form", number="07 00 00 00 99")
    page = browser.get(PHONE)
    assert "07 ** ** ** 99" in page.text
    soon = browser.press("code-resend")
    assert soon.status == 429
    page = browser.press("code-drop")
    assert "address-form" in page.forms
    assert len(room.messages()) == 1


@pytest.mark.parametrize("typed", ["08 92 70 12 34", "n'importe quoi", "+12125550100"])
def test_a_number_that_is_not_served_is_told(room: Messaging, typed: str) -> None:
    browser = at_work(room)
    browser.get(PHONE)
    page = browser.submit("address-form", number=typed)
    assert page.status == 422
    assert page.forms["address-form"].fields["number"] == typed
    assert "numéro de mobile" in page.text
    assert room.messages() == ()


def test_nobody_adds_a_telephone_from_outside_with_a_password_alone(room: Messaging) -> None:
    _, page = from_outside(room)
    assert page.callback is None
    assert room.world.events("factor.enrolled") == []
    assert room.messages() == ()


def test_a_nurse_signs_in_from_outside_with_the_code_her_telephone_received(room: Messaging, gateway: SmsGateway) -> None:
    add_phone(room, gateway)
    room.world.clock.advance(2 * MINUTE)
    browser, page = from_outside(room)
    before = len(gateway.asked)
    assert "factor-form" not in page.forms  # looking at the page sends nothing
    page = browser.submit("factor-switch", button="Code par SMSMon téléphone 06 ** ** ** 42")
    assert HINT in page.text
    room.deliver()
    assert len(gateway.asked) == before + 1
    assert browser.submit("factor-form", code="000000" if gateway.code() != "000000" else "000001").status == 403
    assert browser.press("factor-resend").status == 429
    page = browser.submit("factor-form", code=gateway.code())
    assert page.callback is not None
    session = room.world.last_event("session.opened")
    assert "sms" in session["amr"]
    assert "mfa" in session["amr"]


def test_a_code_that_is_over_is_told_and_another_is_sent(room: Messaging, gateway: SmsGateway) -> None:
    add_phone(room, gateway)
    room.world.clock.advance(2 * MINUTE)
    browser, page = from_outside(room)
    page = browser.submit("factor-switch", button="Code par SMSMon téléphone 06 ** ** ** 42")
    room.deliver()
    with room.world.database.read() as tx:
        (factor,) = tx.factors.open_of(room.world.account("claire").id)
    room.ephemeral.forget("code.open", factor.id)  # as when it is too old
    page = browser.submit("factor-form", code=gateway.code())
    assert page.callback is None
    assert "n’est plus bon" in page.text
    room.world.clock.advance(MINUTE)
    browser.press("factor-resend")
    room.deliver()
    assert browser.submit("factor-form", code=gateway.code()).callback is not None


def test_the_page_offers_another_way_when_no_code_can_be_sent(room: Messaging, gateway: SmsGateway) -> None:
    add_phone(room, gateway)
    for _ in range(4):
        room.world.clock.advance(2 * MINUTE)
        with room.world.database.read() as tx:
            (factor,) = tx.factors.open_of(room.world.account("claire").id)
        room.codes.send(factor.account_id, factor, ORIGIN)
    room.world.clock.advance(11 * MINUTE)
    browser, page = from_outside(room)
    page = browser.submit("factor-switch", button="Code par SMSMon téléphone 06 ** ** ** 42")
    assert page.status == 403
    assert "A code was sent" not in page.text
    assert "recovery" in [value for _, value, _ in page.forms["factor-switch"].buttons]


def test_a_code_by_mail_is_not_enough_outside(room: Messaging, smtp: SmtpServer) -> None:
    browser = at_work(room)
    browser.get(MAILBOX)
    browser.submit("address-form", number="claire.perso@courriel.example")
    room.deliver()
    code = re.search(r"^  (\d{6})$", smtp.mails()[-1].get_content(), re.MULTILINE)
    assert code is not None
    browser.submit("code-form", code=code[1])
    assert room.world.last_event("factor.enrolled")["details"]["kind"] == "email"
    # With a mailbox alone there are no recovery codes either.
    assert "/account/factors/codes" not in browser.get("/account/factors").markup
    _, page = from_outside(room)
    assert page.callback is None
    assert "factor-form" not in page.forms or "courriel" not in page.text
