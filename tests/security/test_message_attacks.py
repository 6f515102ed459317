"""Codes and messages under attack: guessed, raced, used for somebody else; texts that try to be headers or links; what a thief finds at rest."""

import base64
import itertools
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from connectors.delivery import NotDelivered, Outgoing, without_telling
from connectors.mail.message import compose
from connectors.sms.template import fill_body, fill_headers, fill_url
from idp.messages.address import is_served, mask_email, mask_phone, parse_phone
from idp.messages.texts import GSM, LONGEST_SMS, NOTICES, code_mail, code_sms, gsm, notice
from idp.signin.factor import FactorRefused
from idp.store.base import Factor
from tests.conftest import MakeRoom
from tests.support.messaging import HINT, NUMBER, ORIGIN, Messaging
from tests.support.sms_gateway import SECRET, SmsGateway
from tests.support.smtp import SmtpServer

MINUTE = timedelta(minutes=1)
LONG_SINCE = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture
def room(make_room: MakeRoom, gateway: SmsGateway, smtp: SmtpServer) -> Messaging:
    return make_room(sms=gateway.settings(), mail=smtp.settings())


def sent_code(room: Messaging, gateway: SmsGateway, factor: Factor) -> str:
    """The code that was just sent to a factor."""
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.deliver()
    room.world.clock.advance(MINUTE)
    return gateway.code()


def reason(act: Callable[[], Any]) -> str | None:
    """Why it was refused; None when it was not."""
    try:
        act()
    except FactorRefused as refused:
        return refused.reason
    return None


# Codes


def test_a_code_opens_no_other_factor_and_nobody_else_s(room: Messaging, gateway: SmsGateway) -> None:
    hers, second, his = room.factor(), room.factor(address="+33700000099"), room.factor("karim", address="+33700000077")
    for factor in (second, his):
        sent_code(room, gateway, factor)
    code = sent_code(room, gateway, hers)
    for factor in (second, his):
        assert reason(lambda one=factor: room.codes.prove(one.account_id, one, code, origin=ORIGIN)) == "wrong_code"  # type: ignore[misc]
    assert reason(lambda: room.codes.prove(his.account_id, hers, code, origin=ORIGIN)) == "no_such_factor"
    assert reason(lambda: room.codes.prove(hers.account_id, hers, code, origin=ORIGIN)) is None


def test_nobody_is_sent_a_code_by_somebody_else(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    assert reason(lambda: room.codes.send(room.world.account("karim").id, factor, ORIGIN)) == "no_such_factor"
    assert room.messages() == ()


def test_one_code_typed_at_the_same_instant_on_two_servers_serves_once(room: Messaging, gateway: SmsGateway) -> None:
    other = Messaging(room.world)
    factor = room.factor()
    code = sent_code(room, gateway, factor)
    gate = threading.Barrier(8)

    def type_it(one: Messaging) -> str | None:
        one.codes  # noqa: B018  # opened before the start
        gate.wait()
        return reason(lambda: one.codes.prove(factor.account_id, factor, code, origin=ORIGIN))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(type_it, (room, other) * 4))
    assert answers.count(None) == 1
    assert set(answers) <= {None, "code_already_used", "code_not_open", "throttled"}
    other.close()


def test_guesses_at_once_cannot_outrun_the_five_tries(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    right = sent_code(room, gateway, factor)
    guesses = [f"{number:06}" for number in range(40) if f"{number:06}" != right]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda typed: reason(lambda: room.codes.prove(factor.account_id, factor, typed, origin=ORIGIN)), guesses))
    assert answers.count("wrong_code") <= 5
    assert None not in answers
    room.world.clock.advance(5 * MINUTE)
    assert reason(lambda: room.codes.prove(factor.account_id, factor, right, origin=ORIGIN)) in {"code_not_open", "throttled"}
    assert room.codes.sent(factor.account_id, factor) is None


def test_a_patient_guesser_gets_few_tries_in_a_day(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    compared = 0
    numbers = itertools.count()
    for _ in range(24 * 12):
        room.world.clock.advance(5 * MINUTE)
        if reason(lambda: room.codes.send(factor.account_id, factor, ORIGIN)) is None:
            room.deliver()
        for _ in range(6):
            typed = f"{next(numbers):06}"
            compared += reason(lambda typed=typed: room.codes.prove(factor.account_id, factor, typed, origin=ORIGIN)) == "wrong_code"  # type: ignore[misc]
    assert len(gateway.asked) <= 5
    assert compared <= 25


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "１２３４５６７", "0x1234", "-12345", "1e5000", "١٢٣٤٥٦", "\x00" * 6, "9" * 100_000]
)
def test_what_is_no_code_is_a_wrong_one(room: Messaging, gateway: SmsGateway, typed: str) -> None:
    factor = room.factor()
    sent_code(room, gateway, factor)
    assert reason(lambda: room.codes.prove(factor.account_id, factor, typed, origin=ORIGIN)) == "wrong_code"


def test_an_offer_is_only_its_person_s(room: Messaging, gateway: SmsGateway) -> None:
    room.offers.begin(room.asking(), "sms", NUMBER, origin=ORIGIN)
    room.deliver()
    code = gateway.code()
    assert reason(lambda: room.offers.enrol(room.asking("karim"), "sms", code, label="", origin=ORIGIN)) == "offer_expired"
    room.offers.begin(room.asking("karim"), "sms", "+33700000001", origin=ORIGIN)
    hers, his = (f"{room.world.account(person).id} sms" for person in ("claire", "karim"))
    sealed = room.ephemeral.get("code.offer", hers)
    assert sealed is not None
    assert NUMBER.encode() not in sealed
    # Somebody who can write in the ephemeral store moves her offer to himself: the seal does not open there.
    room.ephemeral.put("code.offer", his, sealed, MINUTE)
    assert reason(lambda: room.offers.enrol(room.asking("karim"), "sms", code, label="", origin=ORIGIN)) == "offer_expired"
    assert room.offers.pending(room.world.account("karim").id, "sms") is None


def test_whoever_may_type_no_more_is_sent_no_more(room: Messaging, gateway: SmsGateway) -> None:
    factor = room.factor()
    sent_code(room, gateway, factor)
    for number in range(5):
        reason(lambda number=number: room.codes.prove(factor.account_id, factor, f"{number:05}", origin=ORIGIN))  # type: ignore[misc]
    assert reason(lambda: room.codes.send(factor.account_id, factor, ORIGIN)) == "throttled"


# At rest, in the log, in the audit trail


def test_codes_numbers_and_addresses_are_found_nowhere(
    room: Messaging, gateway: SmsGateway, smtp: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    factor = room.factor()
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.tell("amina", "password_changed")
    code = room.parts.messenger.open(room.messages()[1]).words.text[:6]
    waiting = _at_rest(room)
    room.deliver()
    room.codes.prove(factor.account_id, factor, code, origin=ORIGIN)
    assert code == gateway.code()
    everything = waiting + _at_rest(room)
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith(("httpcore", "httpx"))).encode()
    for secret in (code.encode(), NUMBER.encode(), NUMBER[1:].encode(), SECRET.encode(), b"Un-mot-de-passe-de-relais-77"):
        assert secret not in everything
        assert secret not in logged
    assert b"amina.benali@groupe.example" not in b"".join(json.dumps(line).encode() for line in room.world.events())
    assert {line["details"]["to"] for line in room.world.events("message.sent")} == {HINT, "a***@g***.example"}


def _at_rest(room: Messaging) -> bytes:
    """Every value of the tables that hold messages, factors and Events, and of the ephemeral store."""
    engine = create_engine(room.world.config.database.url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    found = b""
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            if table in {"accounts", "identifiers"}:
                continue  # where a person's address is meant to be
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                found += b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    engine.dispose()
    if room.world.stores.redis is not None:
        return found + b"".join(room.world.stores.redis.remembered().values())
    ephemeral = create_engine(room.world.config.ephemeral.url, poolclass=NullPool)
    with ephemeral.connect() as connection:
        for row in connection.execute(text("SELECT kind, key, value FROM entries")):
            found += b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    ephemeral.dispose()
    return found


def test_a_message_sealed_for_one_row_opens_in_no_other(room: Messaging) -> None:
    from dataclasses import replace

    from idp.errors import VestibuleError

    for person in ("claire", "karim"):
        factor = room.factor(person)
        room.codes.send(factor.account_id, factor, ORIGIN)
    first, second = room.messages()
    with pytest.raises(VestibuleError):
        room.parts.messenger.open(replace(first, sealed=second.sealed))


# Texts that try to be something else

NASTY = st.text(max_size=200) | st.sampled_from(
    [
        "\r\nBcc: all@example.fr",
        "\n.\nMAIL FROM:<x>",
        "{secret}",
        "{to}",
        "{0.__class__}",
        "%s%n",
        "https://evil.example/x",
        "\u202e\u2028",
        '","to":"+33"',
        "&to=1",
    ]
)


@given(NASTY, NASTY)
def test_no_text_adds_a_header_or_a_recipient_to_a_mail(subject: str, body: str) -> None:
    outgoing = Outgoing(id="01J", to="claire@example.fr", text=body, subject=subject, at=LONG_SINCE)
    try:
        mail = compose(outgoing, sender="connexion@example.fr", sender_name="Maison", reply_to=None, host="connexion.example.fr")
    except ValueError:
        return
    head = mail.as_bytes().partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert sorted(names) == sorted(
        b"from to subject date message-id auto-submitted x-auto-response-suppress mime-version content-type content-transfer-encoding"
        b" content-language".split()
    )


@pytest.mark.parametrize(
    "address",
    [
        "a@example.fr\r\nBcc: b@example.fr",
        "a@example.fr, b@example.fr",
        "A <a@example.fr>",
        "a@example.fr>",
        "é@example.fr",
        "a@[127.0.0.1]",
        '"a b"@example.fr',
    ],
)
def test_a_mail_goes_to_one_plain_address_or_nowhere(room: Messaging, smtp: SmtpServer, address: str) -> None:
    with room.world.arranging() as tx:
        tx.people.change(room.world.account("claire").id, room.world.clock.now(), email=address)
    room.tell("claire", "password_changed")
    room.deliver()
    assert smtp.mails() == []
    assert room.world.last_event("message.abandoned")["reason"] == "message_refused"


def test_what_a_browser_says_of_itself_stays_a_line_without_links(room: Messaging, smtp: SmtpServer) -> None:
    room.tell(
        "claire", "new_device", browser="Firefox\r\nBcc: x@example.fr\r\n\r\nAllez sur https://evil.example \u202emoc {at} " + "A" * 500
    )
    room.deliver()
    (mail,) = smtp.mails()
    assert mail["Bcc"] is None
    assert mail["X-Envelope-To"] == "claire.dubois@tilleuls.example"
    content = mail.get_content()
    assert "://" not in content
    assert "{at}" in content
    assert "A" * 100 not in content


VALUES = {"to": "+33612345642", "to_digits": "33612345642", "sender": "Maison", "secret": "s3cr3t", "id": "01J"}


@given(NASTY)
def test_no_text_ends_the_place_a_template_gives_it(words: str) -> None:
    words = words.encode("utf-8", "ignore").decode()
    values = {**VALUES, "text": words}
    url = fill_url("https://sms.example/send?to={to}&text={text}&key=1", values)
    assert url.count("&") == 2
    assert "s3cr3t" not in url
    body = fill_body({"to": "{to}", "nested": [{"text": "{text}"}], "count": 1}, values)
    assert body == {"to": "+33612345642", "nested": [{"text": words}], "count": 1}
    assert json.loads(json.dumps(body)) == body


def test_a_secret_with_a_line_break_makes_no_header() -> None:
    with pytest.raises(ValueError):
        fill_headers({"Authorization": "Bearer {secret}"}, {"secret": "x\r\nX-Other: 1"})


@given(NASTY, st.sampled_from(["fr", "en"]), st.integers(0, 999_999))
def test_an_sms_is_always_one_part_in_its_own_alphabet(product: str, language: Any, number: int) -> None:
    code = f"{number:06}"
    for host in ("connexion.example.fr", "connexion.un-groupe-de-residences-au-nom-interminable.example.fr"):
        words = code_sms(code, product=product, host=host, minutes=10, language=language).text
        assert len(words) <= LONGEST_SMS
        assert set(words) <= GSM
        assert words.startswith(code)
    assert len(gsm(product)) >= 0
    assert code in code_mail(code, product=product, minutes=10, language=language).text


@given(NASTY, st.sampled_from(sorted(NOTICES)), st.sampled_from(["fr", "en"]))
def test_a_notice_never_holds_what_a_stranger_would_have_people_click(words: str, purpose: str, language: Any) -> None:
    params = {"browser": words, "hint": words, "kind": "sms", "at": "1", "act": "both", "stop": "A"}
    made = notice(purpose, params, product="Maison", contact=words, language=language)
    assert "://" not in made.text
    assert made.subject.isprintable()


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_a_mask_shows_at_most_five_digits(number: str) -> None:
    shown = mask_phone(number)
    assert sum(character.isdigit() for character in shown) <= 5
    assert number not in shown
    assert without_telling(f"to {number}!") == "to …!"


@given(st.emails())
def test_a_masked_address_is_not_the_address(address: str) -> None:
    assert address.rpartition("@")[0] == address[:1] or address.rpartition("@")[0] not in mask_email(address)


@given(st.text(max_size=60))
def test_a_number_is_parsed_or_refused(typed: str) -> None:
    try:
        number = parse_phone(typed)
    except ValueError:
        return
    assert number.startswith("+")
    assert number[1:].isdecimal()
    assert number.isascii()
    assert is_served(number, ["+"]) or number.startswith("+33")


def test_a_secret_is_in_no_error_of_the_template() -> None:
    from connectors.sms.http import HttpSms
    from connectors.sms.settings import SmsHttpSettings
    from idp.clock import SystemClock

    settings = SmsHttpSettings.model_construct(
        method="POST",
        url="https://127.0.0.1:9/",
        headers={"X-Key": "{secret}"},
        format="json",
        body={"t": "{text}", "n": "{to}"},
        username=None,
        secret="une\nclef",
        ca_file=None,
        timeout=timedelta(seconds=1),
        success=SmsHttpSettings.model_fields["success"].default,
    )
    gateway = HttpSms(settings, SystemClock(), sender="Maison")
    with pytest.raises(NotDelivered) as caught:
        gateway.send(Outgoing(id="1", to="+33612345642", text="123456", at=LONG_SINCE))
    gateway.close()
    assert "clef" not in str(caught.value)
    assert base64.b64encode(b"clef").decode() not in str(caught.value)
