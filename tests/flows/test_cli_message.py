"""`vestibule message`: a test that says what happens at each step, right and wrong; and what could not be sent."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from idp.cli import vestibule
from idp.clock import SystemClock
from idp.config import load
from idp.crypto import Keyring
from idp.messages.messenger import Letter, Messenger
from idp.messages.texts import Words
from idp.store.database import Database
from tests.support.operator import ACTOR, Operator
from tests.support.pens import pens_of
from tests.support.processes import free_port
from tests.support.sms_gateway import SECRET, Answer, SmsGateway
from tests.support.smtp import SmtpServer


def test_operator_sends_a_test_sms_and_sees_each_step(operator: Operator, gateway: SmsGateway) -> None:
    operator.configure(sms=gateway.settings())
    told = operator.do("message", "test", "--sms", "06 12 34 56 42")
    assert "ok       Number: 06 ** ** ** 42, which people may enrol" in told
    assert "ok       SMS service: POST to localhost" in told
    assert "ok       Answer: HTTP 200" in told
    (asked,) = gateway.asked
    assert asked.json["to"] == "+33612345642"
    assert asked.json["text"] == "Essai de Vestibule : ce message vous est bien parvenu."
    event = operator.last_event("message.tested")
    assert (event["actor"], event["details"]) == (ACTOR, {"channel": "sms", "to": "06 ** ** ** 42", "taken": True})
    assert SECRET not in told


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(401), "FAILED   Answer: HTTP 401"),
        (Answer(200, '{"status": "solde épuisé"}'), "FAILED   Answer: HTTP 200, but it says: solde épuisé"),
        (Answer(fault="drop"), "FAILED   Connection:"),
    ],
)
def test_operator_is_told_what_the_service_refused(operator: Operator, gateway: SmsGateway, answer: Answer, words: str) -> None:
    operator.configure(sms=gateway.settings(http=gateway.http(success={"json_path": "status", "pattern": "queued"})))
    gateway.answers.append(answer)
    result = operator.run("message", "test", "--sms", "0612345642")
    assert result.exit_code == 1
    assert words in result.output
    assert operator.last_event("message.tested")["reason"] == "message_not_taken"


def test_operator_is_told_that_the_service_is_not_there_or_not_trusted(operator: Operator, gateway: SmsGateway) -> None:
    operator.configure(sms=gateway.settings(http=gateway.http(url=f"https://localhost:{free_port()}/")))
    assert "reachable from this machine" in operator.run("message", "test", "--sms", "0612345642").output
    operator.configure(sms=gateway.settings(http=gateway.http(ca_file=None)))
    assert "sms.http.ca_file" in operator.run("message", "test", "--sms", "0612345642").output
    assert gateway.asked == ()


def test_operator_is_warned_of_a_number_that_people_may_not_enrol(operator: Operator, gateway: SmsGateway) -> None:
    operator.configure(sms=gateway.settings())
    assert "warning  Number: people may not enrol such a number" in operator.do("message", "test", "--sms", "+32470123456")


def test_operator_sends_a_test_mail_and_sees_each_step(operator: Operator, smtp: SmtpServer) -> None:
    operator.configure(mail=smtp.settings(), pages={"product_name": "Maison"})
    told = operator.do("message", "test", "--email", "claire@example.fr")
    for words in (
        f"Connection: localhost:{smtp.port}",
        "STARTTLS: the certificate is trusted",
        "Login: accepted",
        "the server has taken it",
    ):
        assert f"ok       {words}" in told or words in told
    assert smtp.mails()[-1]["Subject"] == "Maison : essai"
    assert operator.last_event("message.tested")["details"]["to"] == "c***@e***.fr"


def test_operator_is_told_why_the_mail_server_refuses(operator: Operator, smtp: SmtpServer, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong", encoding="utf-8")
    operator.configure(mail=smtp.settings(password=f"file:{tmp_path / 'wrong'}"))
    result = operator.run("message", "test", "--email", "claire@example.fr")
    assert result.exit_code == 1
    assert "ok       STARTTLS" in result.output
    assert (
        "FAILED   Mail server: it did not take the mail: the login was refused (535 5.7.8 Authentication credentials invalid)"
        in result.output
    )
    operator.configure(mail=smtp.settings(ca_file=None))
    assert "mail.ca_file" in operator.run("message", "test", "--email", "claire@example.fr").output
    operator.configure(mail=smtp.settings())
    assert "550 5.1.1 … nobody of this name" in operator.run("message", "test", "--email", "refuse@example.fr").output
    assert "a mail can carry" in operator.run("message", "test", "--email", "claire").output


def test_operator_writes_a_test_sms_to_the_file_of_a_demonstration(operator: Operator) -> None:
    operator.configure(sms={"file": "sms.jsonl"})
    assert "nothing is sent to any telephone" in operator.do("message", "test", "--sms", "0612345642")
    assert stat.S_IMODE((operator.folder / "sms.jsonl").stat().st_mode) == 0o600


def test_operator_is_refused_a_test_of_what_is_not_set(operator: Operator) -> None:
    assert "`sms` is not set" in operator.refused("message", "test", "--sms", "0612345642")
    assert "`mail` is not set" in operator.refused("message", "test", "--email", "a@example.fr")
    assert "give one of" in operator.refused("message", "test")
    assert "give one of" in operator.refused("message", "test", "--sms", "1", "--email", "2")


def test_operator_is_refused_what_is_no_number(operator: Operator, gateway: SmsGateway) -> None:
    operator.configure(sms=gateway.settings())
    assert "not a phone number" in operator.refused("message", "test", "--sms", "abc")


def test_operator_lists_what_could_not_be_sent(operator: Operator) -> None:
    assert operator.do("message", "list") == "0 waiting\n"
    config = load(operator.config_path)
    clock = SystemClock()
    keyring = Keyring(config.master_key.encode(), clock)
    messenger = Messenger(config, keyring=keyring, clock=clock)
    letter = Letter(
        channel="sms",
        purpose="code",
        to="+33612345642",
        hint="06 ** ** ** 42",
        words=Words("", "123456"),
        language="fr",
        life=timedelta(minutes=1),
    )
    database = Database.of(config.database, pool_size=2, pens=pens_of(config))
    with database.write() as tx:
        waiting, failed = (messenger.put(tx, None, letter).id for _ in range(2))
        tx.messages.abandon(failed, clock.now(), receipt="HTTP 422", less_micros=0)
    database.close()
    assert operator.ask("message", "list", "--json")["waiting"] == 1
    assert {row["id"] for row in operator.ask("message", "list", "--json")["messages"]} == {waiting, failed}
    (row,) = operator.ask("message", "list", "--failed", "--json")["messages"]
    assert (row["id"], row["state"], row["to"], row["answer"]) == (failed, "abandoned", "06 ** ** ** 42", "HTTP 422")
    shown = operator.do("message", "list", "--failed")
    assert "HTTP 422" in shown
    assert "123456" not in operator.do("message", "list")
    assert "message" in vestibule.list_commands(None)  # type: ignore[arg-type]  # it needs no context
