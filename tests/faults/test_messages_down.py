"""Gateways, mail servers and stores that are gone, hang or lie about who they are: nothing written is lost, nothing goes out in clear."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from idp.errors import StoreUnavailable
from idp.signin.factor import FactorRefused
from tests.conftest import MakeRoom
from tests.support.certificates import PrivateAuthority
from tests.support.messaging import ORIGIN, Messaging
from tests.support.processes import free_port
from tests.support.redis import RedisServer, redis_serving
from tests.support.sms_gateway import Answer, SmsGateway, sms_gateway_serving
from tests.support.smtp import SmtpServer, smtp_serving

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SmsGateway]:
    with sms_gateway_serving(tmp_path / "sms") as made:
        yield made


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpServer]:
    with smtp_serving(tmp_path / "smtp") as server:
        yield server


def send(room: Messaging, person: str = "claire") -> None:
    factor = room.factor(person)
    room.codes.send(factor.account_id, factor, ORIGIN)


def receipts(room: Messaging) -> list[tuple[str, str]]:
    return [(line["type"], line["details"]["receipt"]) for line in room.world.events("message.") if "receipt" in line["details"]]


# The SMS service


def test_a_code_arrives_when_the_service_comes_back(make_room: MakeRoom, tmp_path: Path) -> None:
    port = free_port()
    with sms_gateway_serving(tmp_path / "before") as gone:
        gone.port = port
        room = make_room(sms=gone.settings())
        send(room)
        room.deliver()
    ((kind, receipt),) = receipts(room)
    assert kind == "message.retried"
    assert receipt.startswith("refused: ")
    room.world.clock.advance(2 * SECOND)
    with sms_gateway_serving(tmp_path / "before", port=port, authority=gone.authority) as back:
        assert room.deliver() == 1
        assert len(back.asked) == 1
    assert receipts(room)[-1] == ("message.sent", "HTTP 200")


@pytest.mark.parametrize("fault", ["drop", "hang", "cut"])
def test_a_service_that_breaks_off_is_tried_again_and_counted_twice(make_room: MakeRoom, gateway: SmsGateway, fault: Any) -> None:
    room = make_room(sms=gateway.settings(http=gateway.http(timeout="3s"), price=0.10))
    gateway.answers.append(Answer(fault=fault))
    send(room)
    room.deliver()
    gateway.released.set()
    assert receipts(room)[-1][0] == "message.retried"
    # It may have sent it: what may cost is counted.
    assert room.messages()[0].cost_micros == 200_000
    room.world.clock.advance(2 * SECOND)
    room.deliver()
    assert receipts(room)[-1] == ("message.sent", "HTTP 200")


def test_a_service_that_hangs_holds_up_no_mail(make_room: MakeRoom, gateway: SmsGateway, smtp: SmtpServer) -> None:
    room = make_room(sms=gateway.settings(http=gateway.http(timeout="30s")), mail=smtp.settings())
    gateway.usual = Answer(fault="hang")
    for person in ("claire", "karim", "amina", "rose", "lea"):
        send(room, person)
    room.tell("claire", "password_changed")
    began = monotonic()
    room.sender.run_once()
    assert monotonic() - began < 15
    assert len(smtp.mails()) == 1
    gateway.released.set()


def test_a_service_that_is_down_is_left_alone_for_a_while(make_room: MakeRoom, gateway: SmsGateway) -> None:
    gateway.port = free_port()
    room = make_room(sms=gateway.settings())
    # Several are sent at once: only what comes after the five that fail surely finds it left alone.
    for people in (("claire", "karim", "amina", "rose", "lea"), ("nora", "ines")):
        for person in people:
            send(room, person)
        room.deliver()
    said = sorted(receipt.partition(":")[0] for _, receipt in receipts(room))
    assert said == ["paused", "paused", *["refused"] * 5]


@pytest.mark.parametrize("fake", ["another authority", "expired", "another host"])
def test_nothing_is_said_to_a_service_whose_certificate_is_not_right(make_room: MakeRoom, tmp_path: Path, fake: str) -> None:
    ours, theirs = PrivateAuthority(tmp_path / "ours"), PrivateAuthority(tmp_path / "theirs")
    certificate = {
        "another authority": lambda: theirs.sign("gateway"),
        "expired": lambda: ours.sign_expired(),
        "another host": lambda: ours.sign_for_another(),
    }[fake]()
    with sms_gateway_serving(tmp_path / "fake", certificate=certificate) as gateway:
        room = make_room(sms=gateway.settings(http=gateway.http(ca_file=str(ours.ca_file))))
        send(room)
        room.deliver()
        assert gateway.asked == ()
        assert (
            receipts(room)[-1][1].partition(":")[0]
            == {
                "another authority": "tls_untrusted",
                "expired": "tls_expired",
                "another host": "tls_name",
            }[fake]
        )


def test_a_proxy_of_the_environment_sees_nothing(make_room: MakeRoom, gateway: SmsGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    room = make_room(sms=gateway.settings())
    send(room)
    room.deliver()
    assert receipts(room) == [("message.sent", "HTTP 200")]


# The mail server


def test_a_notice_arrives_when_the_mail_server_comes_back(make_room: MakeRoom, smtp: SmtpServer) -> None:
    room = make_room(mail=smtp.settings())
    smtp.stop()
    room.tell("claire", "password_changed")
    room.deliver()
    assert receipts(room)[-1][0] == "message.retried"
    smtp.start()
    room.world.clock.advance(2 * SECOND)
    room.deliver()
    assert receipts(room)[-1] == ("message.sent", "accepted by the mail server")
    assert len(smtp.mails()) == 1


def test_a_mail_server_that_hangs_holds_up_no_sms(make_room: MakeRoom, gateway: SmsGateway, smtp: SmtpServer) -> None:
    room = make_room(sms=gateway.settings(), mail=smtp.settings(timeout="30s"))
    smtp.hang()
    for _ in range(5):
        room.tell("claire", "password_changed")
    send(room)
    began = monotonic()
    room.sender.run_once()
    assert monotonic() - began < 15
    assert len(gateway.asked) == 1
    smtp.wake()


def test_a_mail_server_that_breaks_off_after_the_mail_is_tried_again(make_room: MakeRoom, smtp: SmtpServer) -> None:
    room = make_room(mail=smtp.settings())
    with room.world.arranging() as tx:
        tx.people.change(room.world.account("claire").id, room.world.clock.now(), email="drop@tilleuls.example")
    room.tell("claire", "password_changed")
    room.deliver()
    assert receipts(room)[-1] == ("message.retried", "closed: the server closed the connection")
    room.world.clock.advance(2 * SECOND)
    room.deliver()
    first, second = smtp.mails()
    assert first["Message-ID"] == second["Message-ID"]  # a reader's program shows it once


@pytest.mark.parametrize("fake", ["another authority", "expired", "another host"])
@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_nothing_is_said_to_a_mail_server_whose_certificate_is_not_right(make_room: MakeRoom, tmp_path: Path, mode: str, fake: str) -> None:
    ours, theirs = PrivateAuthority(tmp_path / "ours"), PrivateAuthority(tmp_path / "theirs")
    certificate = {
        "another authority": lambda: theirs.sign("mail"),
        "expired": lambda: ours.sign_expired(),
        "another host": lambda: ours.sign_for_another(),
    }[fake]()
    with smtp_serving(tmp_path / "fake", mode, certificate=certificate) as server:
        room = make_room(mail=server.settings(ca_file=str(ours.ca_file)))
        room.tell("claire", "password_changed")
        room.deliver()
        assert server.mails() == []
        assert receipts(room)[-1][0] == "message.retried"
        assert receipts(room)[-1][1].partition(":")[0] in {"tls_untrusted", "tls_expired", "tls_name"}


def test_no_mail_is_given_to_a_server_that_offers_no_starttls(make_room: MakeRoom, tmp_path: Path) -> None:
    with smtp_serving(tmp_path / "clear", "clear") as server:
        room = make_room(mail=server.settings(security="starttls"))
        room.tell("claire", "password_changed")
        room.deliver()
        assert server.mails() == []
        assert receipts(room)[-1] == ("message.retried", "tls_failed: the server does not offer STARTTLS")


# The ephemeral store


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_serving(tmp_path / "redis") as made:
        yield made


def test_no_code_is_sent_or_taken_when_redis_is_gone(make_room: MakeRoom, gateway: SmsGateway, redis: RedisServer) -> None:
    room = make_room(sms=gateway.settings(), ephemeral={"url": redis.url, "timeout": "2s"})
    factor = room.factor()
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.deliver()
    redis.kill()
    with pytest.raises(StoreUnavailable):
        room.codes.prove(factor.account_id, factor, gateway.code(), origin=ORIGIN)
    with pytest.raises(StoreUnavailable):
        room.codes.send(factor.account_id, factor, ORIGIN)
    assert len(room.messages()) == 1


def test_a_code_does_not_serve_twice_when_redis_falls_back(make_room: MakeRoom, gateway: SmsGateway, redis: RedisServer) -> None:
    room = make_room(sms=gateway.settings(), ephemeral={"url": redis.url})
    factor = room.factor()
    room.codes.send(factor.account_id, factor, ORIGIN)
    room.deliver()
    before = redis.remembered()
    room.codes.prove(factor.account_id, factor, gateway.code(), origin=ORIGIN)
    redis.put_back(before)
    with pytest.raises(FactorRefused) as caught:
        room.codes.prove(factor.account_id, factor, gateway.code(), origin=ORIGIN)
    assert caught.value.reason == "code_already_used"
    assert room.world.last_event("factor.refused")["reason"] == "code_already_used"


def test_the_day_s_codes_are_counted_when_redis_forgets(make_room: MakeRoom, gateway: SmsGateway, redis: RedisServer) -> None:
    room = make_room(sms=gateway.settings(), ephemeral={"url": redis.url})
    factor = room.factor()
    for _ in range(5):
        room.codes.send(factor.account_id, factor, ORIGIN)
        redis.empty()
    with pytest.raises(FactorRefused) as caught:
        room.codes.send(factor.account_id, factor, ORIGIN)
    assert caught.value.reason == "codes_of_the_day"


def test_one_click_sends_one_code_when_two_servers_hear_it(make_room: MakeRoom, gateway: SmsGateway) -> None:
    room = make_room(sms=gateway.settings())
    other = Messaging(room.world)
    factor = room.factor()
    gate = threading.Barrier(2)
    refused: list[str] = []

    def click(one: Messaging) -> None:
        one.codes  # noqa: B018  # opened before the start
        gate.wait()
        try:
            one.codes.send(factor.account_id, factor, ORIGIN)
        except FactorRefused as refusal:
            refused.append(refusal.reason)

    threads = [threading.Thread(target=click, args=(one,)) for one in (room, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["code_too_soon"]
    assert len(room.messages()) == 1
    other.close()
