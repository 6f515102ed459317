"""Messages carried by a real HTTPS SMS service and a real mail server: once, again when they were not taken, given up in the end, forgotten after."""

import base64
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from idp.store.base import Message
from tests.conftest import MakeRoom
from tests.support.listener import Listener
from tests.support.live import live_server
from tests.support.messaging import HINT, NUMBER, ORIGIN, Messaging
from tests.support.processes import wait_until
from tests.support.sms_gateway import SECRET, Answer, SmsGateway
from tests.support.smtp import PASSWORD, SmtpServer, smtp_serving
from tests.support.stores import Stores

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ADDRESS = "claire.dubois@tilleuls.example"


@pytest.fixture
def room(make_room: MakeRoom, gateway: SmsGateway, smtp: SmtpServer) -> Messaging:
    return make_room(sms=gateway.settings(), mail=smtp.settings())


def queued(room: Messaging) -> Message:
    """A code for Claire's telephone waits."""
    factor = room.factor()
    room.codes.send(factor.account_id, factor, ORIGIN)
    return room.messages()[0]


def lines(room: Messaging) -> list[tuple[str, Any]]:
    """The audit lines of messages: type and receipt."""
    return [(line["type"], line["details"].get("receipt")) for line in room.world.events("message.")]


# Sending


def test_a_message_is_sent_once_and_forgotten(room: Messaging, gateway: SmsGateway) -> None:
    message = queued(room)
    assert message.sealed is not None
    assert room.deliver() == 1
    room.world.clock.advance(timedelta(days=1))
    assert room.deliver() == 0
    (request,) = gateway.asked
    assert request.json["reference"] == message.id
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    (after,) = room.messages()
    assert (after.sealed, after.next_attempt_at, after.receipt, after.attempts) == (None, None, "HTTP 200", 1)
    assert after.sent_at is not None
    assert lines(room) == [("message.sent", "HTTP 200")]
    details = room.world.last_event("message.sent")["details"]
    assert (details["channel"], details["purpose"], details["to"]) == ("sms", "code", HINT)


def test_two_workers_never_send_the_same_message(room: Messaging, gateway: SmsGateway) -> None:
    other = Messaging(room.world)
    factors = [room.factor(person) for person in ("claire", "karim", "amina", "rose", "lea", "nora")]
    for factor in factors:
        room.codes.send(factor.account_id, factor, ORIGIN)
    gate = threading.Barrier(2)

    def work(one: Messaging) -> int:
        one.sender  # noqa: B018  # opened before the start
        gate.wait()
        return one.deliver()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, (room, other))) == 6
    other.close()
    references = [asked.json["reference"] for asked in gateway.asked]
    assert len(references) == len(set(references)) == 6


def test_a_message_is_tried_again_with_growing_waits_until_the_code_is_too_old(room: Messaging, gateway: SmsGateway) -> None:
    gateway.usual = Answer(503)
    queued(room)
    instants = []
    for _ in range(700):
        if room.deliver():
            instants.append(room.world.clock.now())
        room.world.clock.advance(SECOND)
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(instants)]
    assert waits == [2, 5, 10, 20, 30, 60, 120, 300]
    kinds = [kind for kind, _ in lines(room)]
    assert kinds == ["message.retried"] * 8 + ["message.abandoned"]
    (message,) = room.messages()
    assert (message.sealed, message.next_attempt_at) == (None, None)
    assert message.abandoned_at is not None
    assert room.world.last_event("message.abandoned")["reason"] == "message_not_taken"


def test_a_worker_that_was_away_does_not_send_a_code_that_is_too_old(room: Messaging, gateway: SmsGateway) -> None:
    queued(room)
    room.world.clock.advance(11 * MINUTE)
    assert room.deliver() == 1
    assert gateway.asked == ()
    assert room.world.last_event("message.abandoned")["reason"] == "message_too_old"
    assert room.messages()[0].cost_micros == 0


def test_a_message_whose_sender_died_is_sent_by_another(room: Messaging, gateway: SmsGateway) -> None:
    message = queued(room)
    with room.stores.database.write() as tx:
        assert tx.messages.claim(message, room.world.clock.now() + 2 * MINUTE)
        assert not tx.messages.claim(message, room.world.clock.now() + 2 * MINUTE)
    assert room.deliver() == 0
    room.world.clock.advance(2 * MINUTE)
    assert room.deliver() == 1
    assert len(gateway.asked) == 1


def test_retry_after_is_respected(room: Messaging, gateway: SmsGateway) -> None:
    gateway.answers.append(Answer(429, "", {"Retry-After": "45"}))
    queued(room)
    room.deliver()
    room.world.clock.advance(timedelta(seconds=44))
    assert room.deliver() == 0
    room.world.clock.advance(SECOND)
    assert room.deliver() == 1
    assert lines(room) == [("message.retried", "HTTP 429"), ("message.sent", "HTTP 200")]


@pytest.mark.parametrize("status", [400, 410, 422])
def test_a_message_refused_for_good_is_given_up_at_once(room: Messaging, gateway: SmsGateway, status: int) -> None:
    gateway.answers.append(Answer(status))
    queued(room)
    assert room.deliver() == 1
    assert lines(room) == [("message.abandoned", f"HTTP {status}")]
    assert room.world.last_event("message.abandoned")["reason"] == "message_refused"


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 408, 500, 503])
def test_a_message_is_kept_when_the_service_may_be_repaired(room: Messaging, gateway: SmsGateway, status: int) -> None:
    gateway.answers.append(Answer(status, "", {"Location": f"https://localhost:{gateway.port}/elsewhere"}))
    queued(room)
    assert room.deliver() == 1
    assert len(gateway.asked) == 1  # no redirect is followed
    room.world.clock.advance(timedelta(seconds=2))
    assert room.deliver() == 1
    assert [kind for kind, _ in lines(room)] == ["message.retried", "message.sent"]


# What a service says


@pytest.mark.parametrize(
    ("success", "body", "is_taken"),
    [
        ({"json_path": "status", "pattern": "^queued$"}, '{"status": "queued"}', True),
        ({"json_path": "status", "pattern": "^queued$"}, '{"status": "error"}', False),
        ({"json_path": "messages.0.code", "pattern": "^0$"}, '{"messages": [{"code": 0}]}', True),
        ({"json_path": "messages.0.code", "pattern": "^0$"}, '{"messages": [{"code": 17}]}', False),
        ({"json_path": "messages.0.code"}, '{"messages": []}', False),
        ({"json_path": "status"}, "<html>OK</html>", False),
        ({"pattern": "^OK"}, "OK 12", True),
        ({"pattern": "^OK"}, "KO solde insuffisant", False),
        ({"statuses": [202]}, "", False),
    ],
)
def test_a_service_that_answers_200_is_believed_only_as_the_settings_say(
    make_room: MakeRoom, gateway: SmsGateway, success: dict[str, Any], body: str, is_taken: bool
) -> None:
    room = make_room(sms=gateway.settings(http=gateway.http(success=success)))
    gateway.answers.append(Answer(200, body))
    queued(room)
    room.deliver()
    assert lines(room)[0][0] == ("message.sent" if is_taken else "message.retried")


def test_what_a_service_repeats_of_the_message_is_not_kept(make_room: MakeRoom, gateway: SmsGateway) -> None:
    success = {"json_path": "error", "pattern": "^none$"}
    room = make_room(sms=gateway.settings(http=gateway.http(success=success)))
    message = queued(room)
    code = room.parts.messenger.open(message).words.text[:6]
    gateway.answers.append(Answer(200, json.dumps({"error": f"cannot send '{code}' to {NUMBER} (06 12 34 56 42) for claire@example.fr"})))
    room.deliver()
    (_, receipt) = lines(room)[0]
    assert receipt == "HTTP 200, but it says: cannot send '…' to …) for …"


def test_a_service_takes_a_form_with_basic_authentication(make_room: MakeRoom, gateway: SmsGateway) -> None:
    http = gateway.http(format="form", headers={}, body={"dest": "{to_digits}", "msg": "{text}", "exp": "{sender}"}, username="maison")
    room = make_room(sms=gateway.settings(http=http))
    queued(room)
    room.deliver()
    (request,) = gateway.asked
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form["dest"] == NUMBER[1:]
    assert request.form["msg"].endswith(request.form["msg"][:6])
    assert request.headers["authorization"] == f"Basic {base64.b64encode(f'maison:{SECRET}'.encode()).decode()}"


def test_a_service_takes_everything_in_the_url(make_room: MakeRoom, gateway: SmsGateway) -> None:
    url = f"https://localhost:{gateway.port}/send/{{to_digits}}?text={{text}}&from={{sender}}"
    http = gateway.http(method="GET", url=url, format="none", body={}, headers={"X-Key": "{secret}"})
    room = make_room(sms=gateway.settings(http=http, sender="Les Tilleul"))
    queued(room)
    room.deliver()
    (request,) = gateway.asked
    assert request.method == "GET"
    assert request.path.startswith(f"/send/{NUMBER[1:]}?text=")
    assert request.query["from"] == "Les Tilleul"
    assert "\n@connexion.example #" in request.query["text"]
    assert request.headers["x-key"] == SECRET


# Mail


def test_a_mail_has_its_headers_and_goes_over_tls(room: Messaging, smtp: SmtpServer) -> None:
    assert room.tell("claire", "new_device", browser="Firefox sous Windows")
    assert room.deliver() == 1
    (mail,) = smtp.mails()
    (message,) = room.messages()
    assert mail["From"] == "Vestibule <connexion@vestibule.example>"
    assert mail["To"] == ADDRESS
    assert mail["Subject"] == "Vestibule : Connexion depuis un nouvel appareil"
    assert mail["Message-ID"] == f"<{message.id}@connexion.example>"
    assert mail["Date"].datetime == message.created_at.replace(microsecond=0)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "fr"
    assert mail.get_content_type() == "text/plain"
    assert (mail["X-Over-TLS"], mail["X-Greeted-As"], mail["X-Envelope-From"]) == (
        "yes",
        "connexion.example",
        "connexion@vestibule.example",
    )
    text = mail.get_content()
    assert "Firefox sous Windows" in text
    assert "23/11/2026 à 9 h 00" in text
    assert "http" not in text
    assert PASSWORD.encode() not in b"".join(smtp.raw())


def test_a_mail_server_with_tls_from_the_first_byte_is_spoken_to(make_room: MakeRoom, tmp_path: Path) -> None:
    with smtp_serving(tmp_path / "smtps", "tls") as server:
        room = make_room(mail=server.settings())
        room.tell("claire", "password_changed")
        assert room.deliver() == 1
        (mail,) = server.mails()
        assert mail["X-Over-TLS"] == "yes"


@pytest.mark.parametrize(
    ("purpose", "params", "french", "english"),
    [
        ("factor_added", {"kind": "sms", "hint": HINT}, f"code par SMS {HINT}", f"code by SMS {HINT}"),
        ("factor_added", {"kind": "totp"}, "application d’authentification", "authenticator application"),
        ("factor_removed", {"kind": "passkey"}, "retiré", "removed"),
        ("password_changed", {}, "a été modifié", "was changed"),
        ("account_unlocked", {}, "a été débloqué", "was unlocked"),
        ("recovery_codes_renewed", {}, "codes de secours", "recovery codes"),
        ("recovery_code_used", {}, "codes de secours", "recovery codes"),
        ("pass_issued", {}, "laissez-passer", "pass"),
    ],
)
def test_a_person_is_told_in_their_language(
    room: Messaging, smtp: SmtpServer, purpose: str, params: dict[str, str], french: str, english: str
) -> None:
    assert room.tell("claire", purpose, **params)
    with room.world.arranging() as tx:
        tx.people.change(room.world.account("claire").id, room.world.clock.now(), locale="en-GB")
        tx.people.remember_establishment(room.world.account("claire").id, room.world.establishment("tilleuls").id)
    assert room.tell("claire", purpose, **params)
    room.deliver()
    by_language = {mail["Content-Language"]: " ".join(mail.get_content().split()) for mail in smtp.mails()}
    assert french in by_language["fr"]
    assert english in by_language["en"]
    assert "Nadia Ferrand, informatique, 04 00 00 01 23" in by_language["en"]
    assert room.world.events("message.queued")[0]["details"]["to"] == "c***@t***.example"


def test_nobody_is_told_without_a_mail_server_or_an_address(make_room: MakeRoom, room: Messaging) -> None:
    assert not room.tell("hugo", "password_changed")
    silent = make_room()
    assert not silent.tell("claire", "password_changed")
    assert room.messages() == silent.messages() == ()


def test_a_notice_is_not_sent_when_what_it_tells_did_not_happen(room: Messaging) -> None:
    class Broken(Exception):
        pass

    def change() -> None:
        with room.stores.database.write() as tx:
            account = tx.people.get(room.world.account("claire").id)
            assert account is not None
            assert room.parts.messenger.tell(tx, account, "password_changed", {}, author=room.author)
            raise Broken

    with pytest.raises(Broken):
        change()
    assert room.messages() == ()
    assert room.world.events("message.") == []


def test_a_mail_for_nobody_is_given_up_and_its_address_not_kept(room: Messaging, smtp: SmtpServer) -> None:
    with room.world.arranging() as tx:
        tx.people.change(room.world.account("claire").id, room.world.clock.now(), email="refuse@tilleuls.example")
    room.tell("claire", "password_changed")
    assert room.deliver() == 1
    assert lines(room)[-1] == ("message.abandoned", "550 5.1.1 … nobody of this name")
    assert room.messages()[0].sealed is None


def test_a_mail_that_is_refused_for_now_is_tried_again_for_two_days(room: Messaging, smtp: SmtpServer) -> None:
    with room.world.arranging() as tx:
        tx.people.change(room.world.account("claire").id, room.world.clock.now(), email="later@tilleuls.example")
    room.tell("claire", "password_changed")
    room.deliver()
    assert lines(room)[-1] == ("message.retried", "451 4.7.1 … try again in 5 minutes, request …")
    for _ in range(110):
        room.world.clock.advance(30 * MINUTE)
        room.deliver()
    assert lines(room)[-1][0] == "message.abandoned"
    (message,) = room.messages()
    assert message.abandoned_at is not None
    assert timedelta(hours=47) < message.abandoned_at - message.created_at <= timedelta(days=2)


def test_no_mail_is_given_to_a_server_that_refuses_our_login(make_room: MakeRoom, smtp: SmtpServer, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong", encoding="utf-8")
    room = make_room(mail=smtp.settings(password=f"file:{tmp_path / 'wrong'}"))
    room.tell("claire", "password_changed")
    room.deliver()
    assert lines(room)[-1][0] == "message.retried"
    assert "login was refused" in str(lines(room)[-1][1])
    assert smtp.mails() == []


# A file, for demonstrations


def test_a_demonstration_writes_sms_to_a_file_that_only_its_owner_reads(make_room: MakeRoom, tmp_path: Path) -> None:
    file = tmp_path / "sms.jsonl"
    room = make_room(issuer="http://127.0.0.1:8499", sms={"file": str(file)})
    queued(room)
    assert room.deliver() == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (line,) = file.read_text(encoding="utf-8").splitlines()
    written = json.loads(line)
    assert written["to"] == NUMBER
    assert written["text"].endswith(f"#{written['text'][:6]}")


def test_a_demonstration_does_not_follow_a_link_somebody_put_there(make_room: MakeRoom, tmp_path: Path) -> None:
    file, target = tmp_path / "sms.jsonl", tmp_path / "target"
    os.symlink(target, file)
    room = make_room(issuer="http://127.0.0.1:8499", sms={"file": str(file)})
    queued(room)
    room.deliver()
    assert not target.exists()
    assert lines(room)[-1][0] == "message.retried"


# The worker


def test_the_worker_sends_and_its_metrics_say_so(
    tmp_path: Path, session_listener: Listener, stores: Stores, gateway: SmsGateway, smtp: SmtpServer
) -> None:
    import httpx

    from idp.clock import SystemClock
    from idp.config import load
    from tests.support.world import open_database

    with live_server(tmp_path, session_listener, {"sms": gateway.settings(), "mail": smtp.settings()}, stores=stores) as server:
        config = load(server.config_path)
        database = open_database(config)
        from idp.composition.outgoing import messenger
        from idp.composition.stores import open_stores
        from tests.support.messaging import AUTHOR

        queue = messenger(open_stores(config, SystemClock()))
        with database.write() as tx:
            (account,) = tx.people.matching("claire.dubois", None)
            assert queue.tell(tx, account, "password_changed", {}, author=AUTHOR)
        database.close()
        smtp.wait(1)

        def metrics() -> str:
            return httpx.get(f"{server.admin_url}/metrics", timeout=20).text

        wait_until(lambda: 'vestibule_messages_total{channel="email",result="sent"} 1.0' in metrics(), seconds=30)
        wait_until(lambda: 'vestibule_messages_waiting{channel="email"} 0.0' in metrics(), seconds=30)  # measured every 10 s
        assert "vestibule_sms_month_euros 0.0" in metrics()
        assert ADDRESS not in server.log.read_text(encoding="utf-8")
