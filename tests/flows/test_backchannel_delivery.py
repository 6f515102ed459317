"""The outbox sent to real listeners: delivered once, retried, abandoned with an alarm, and never held up by a slow application.

OpenID Connect Back-Channel Logout 1.0 sections 2.4 to 2.8. What happens at /logout itself is told in the logout flows.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from idp import app as composition
from idp.composition.cut import open_deliverer
from idp.oauth.delivery import PATIENCE, Deliverer
from idp.store.base import Notice
from tests.conftest import MakeWorld
from tests.support.listener import Listener, listening
from tests.support.processes import wait_until
from tests.support.world import SignedIn, World

Worker = Callable[[], Deliverer]
pytestmark = pytest.mark.usefixtures("patient_delivery")


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    """Start workers, each a process of its own as far as the store can tell."""
    made: list[Deliverer] = []

    def start() -> Deliverer:
        made.append(open_deliverer(composition.build(world.config, world.clock)))
        return made[-1]

    yield start
    for deliverer in made:
        deliverer.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, patient_delivery: None) -> None:
    """An application that hangs is waited for no longer than elsewhere."""
    monkeypatch.setattr("idp.oauth.delivery.PATIENCE", PATIENCE)


@pytest.fixture
def other_listener() -> Iterator[Listener]:
    """A second application's server."""
    with listening() as listener:
        yield listener
        listener.release()


def move(world: World, client_id: str, uri: str) -> None:
    """Register another back-channel address of a client."""
    with world.arranging() as tx:
        client = tx.clients.get(client_id)
        assert client is not None
        settings = client.settings.model_copy(update={"backchannel_logout_uri": uri})
        tx.clients.put(settings, secret_digest=client.secret_digest, source="operator", now=world.clock.now())


def sign_out(signed_in: SignedIn) -> None:
    """By the application, with its ID token."""
    signed_in.browser.get(signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity))


def signed_out(world: World) -> SignedIn:
    """Claire was signed in to the Carnet and has signed out; nothing is sent yet."""
    signed_in = world.sign_in()
    sign_out(signed_in)
    return signed_in


def notices(world: World) -> tuple[Notice, ...]:
    """The outbox."""
    with world.database.read() as tx:
        return tx.outbox.recent()


def notice(world: World) -> Notice:
    """The one notice of the outbox."""
    (found,) = notices(world)
    return found


def lines(world: World) -> list[dict[str, Any]]:
    """The audit lines of deliveries."""
    return [line for line in world.events("logout.") if line["type"] != "logout.requested"]


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_application_is_told_once_when_a_person_signs_out(world: World, worker: Worker, listener: Listener) -> None:
    signed_out(world)
    assert not listener.received
    deliverer = worker()
    assert deliverer.run_once() == 1
    assert deliverer.run_once() == 0
    world.clock.advance(timedelta(days=1))
    assert deliverer.run_once() == 0
    (received,) = listener.received
    assert received.path == "/carnet"
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    assert received.fields.keys() == {"logout_token"}


def test_logout_token_names_the_session_and_nothing_of_the_person(world: World, worker: Worker, listener: Listener) -> None:
    signed_in = signed_out(world)
    worker().run_once()
    claims = signed_in.party.read_logout_token(listener.received[0].logout_token)
    assert claims["sub"] == signed_in.tokens.claims["sub"]
    assert claims["sid"] == signed_in.tokens.claims["sid"]
    assert claims["jti"] == notice(world).id
    assert claims.keys() == {"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}
    assert 0 < claims["exp"] - claims["iat"] <= 120


def test_receipt_and_event_are_kept_when_the_application_acknowledged(world: World, worker: Worker) -> None:
    signed_in = signed_out(world)
    worker().run_once()
    kept = notice(world)
    assert (kept.delivered_at, kept.abandoned_at, kept.next_attempt_at) == (world.clock.now(), None, None)
    assert (kept.attempts, kept.receipt) == (1, "HTTP 200")
    (line,) = lines(world)
    assert line["type"] == "logout.delivered"
    assert (line["client_id"], line["account_id"]) == ("carnet", signed_in.tokens.claims["sub"])
    assert line["session_id"] == signed_in.tokens.claims["sid"]
    assert line["details"] == {"notice": kept.id, "attempt": 1, "receipt": "HTTP 200"}


def test_204_is_an_acknowledgement(world: World, worker: Worker, listener: Listener) -> None:
    listener.answers[:] = [204]
    signed_out(world)
    worker().run_once()
    assert notice(world).delivered_at is not None


def test_application_is_told_again_after_the_wait_when_it_answered_500(world: World, worker: Worker, listener: Listener) -> None:
    listener.answers[:] = [500, 200]
    signed_in = signed_out(world)
    deliverer = worker()
    wait = world.config.logout.retries[0]
    deliverer.run_once()
    assert (notice(world).delivered_at, notice(world).receipt) == (None, "HTTP 500")
    assert notice(world).next_attempt_at == world.clock.now() + wait
    world.clock.advance(wait - timedelta(microseconds=1))
    assert deliverer.run_once() == 0
    world.clock.advance(timedelta(microseconds=1))
    assert deliverer.run_once() == 1
    first, second = (signed_in.party.read_logout_token(received.logout_token) for received in listener.received)
    # The same jti, so that an application which did act on the first one recognises the second.
    assert first["jti"] == second["jti"]
    assert second["iat"] >= first["iat"]
    assert (notice(world).attempts, notice(world).receipt) == (2, "HTTP 200")
    assert [(line["type"], line["reason"]) for line in lines(world)] == [("logout.retried", "delivery_failed"), ("logout.delivered", None)]


def test_application_is_told_when_it_comes_back_after_refusing_connections(world: World, worker: Worker, listener: Listener) -> None:
    move(world, "carnet", f"http://127.0.0.1:{closed_port()}/carnet")
    signed_out(world)
    deliverer = worker()
    deliverer.run_once()
    assert (notice(world).delivered_at, notice(world).receipt) == (None, "ConnectError")
    move(world, "carnet", f"{listener.url}/carnet")
    world.clock.advance(world.config.logout.retries[0])
    deliverer.run_once()
    assert len(listener.received) == 1
    assert notice(world).delivered_at is not None


def test_notice_is_abandoned_with_an_alarm_after_the_last_try(make_world: MakeWorld, listener: Listener) -> None:
    world = make_world(logout={"retries": ["1s", "5s"]})
    listener.answers[:] = [500] * 10
    signed_out(world)
    deliverer = open_deliverer(world.application)
    for wait in (0, 1, 5):
        world.clock.advance(timedelta(seconds=wait))
        assert deliverer.run_once() == 1
    world.clock.advance(timedelta(days=30))
    assert deliverer.run_once() == 0
    deliverer.close()
    assert len(listener.received) == 3
    kept = notice(world)
    assert (kept.delivered_at, kept.next_attempt_at, kept.attempts) == (None, None, 3)
    assert kept.abandoned_at is not None
    assert [line["type"] for line in lines(world)] == ["logout.retried", "logout.retried", "logout.abandoned"]
    assert lines(world)[-1]["reason"] == "delivery_failed"
    assert lines(world)[-1]["details"]["attempt"] == 3


def test_notice_is_abandoned_when_the_application_was_withdrawn(world: World, worker: Worker, listener: Listener) -> None:
    signed_out(world)
    with world.arranging() as tx:
        tx.clients.end("carnet", world.clock.now())
    worker().run_once()
    assert listener.received == ()
    assert notice(world).abandoned_at is not None
    assert [line["type"] for line in lines(world)] == ["logout.abandoned"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(world: World, worker: Worker, listener: Listener, other_listener: Listener, status: int) -> None:
    listener.answers[:] = [status]
    listener.location = f"{other_listener.url}/elsewhere"
    signed_out(world)
    worker().run_once()
    assert other_listener.received == ()
    assert (notice(world).delivered_at, notice(world).receipt) == (None, f"HTTP {status}")


@pytest.mark.usefixtures("impatient")
def test_slow_application_does_not_delay_another(world: World, worker: Worker, listener: Listener, other_listener: Listener) -> None:
    move(world, "autre", f"{other_listener.url}/autre")
    slow, quick = listener, other_listener
    slow.hold()
    first = world.sign_in("claire", "carnet")
    second = world.sign_in("rose", "carnet")
    for signed_in in (first, second):
        sign_out(signed_in)
    sign_out(world.sign_in("karim", "autre", establishment="glycines"))
    deliverer = worker()
    deliverer.run_once()
    # The slow one has one of its two notices and has not answered; the quick one has its own already.
    assert (len(slow.wait(1)), len(quick.wait(1))) == (1, 1)
    # What comes later for the quick one does not wait either.
    sign_out(world.sign_in("karim", "autre", establishment="glycines"))
    deliverer.run_once()
    assert (len(slow.received), len(quick.received)) == (1, 2)
    slow.release()
    slow.wait(2)
    deliverer.close()
    assert [kept.delivered_at is not None for kept in notices(world)] == [True] * 4


@pytest.mark.usefixtures("impatient")
def test_many_notices_of_a_slow_application_leave_room_for_another(
    world: World, worker: Worker, listener: Listener, other_listener: Listener
) -> None:
    move(world, "autre", f"{other_listener.url}/autre")
    listener.hold()
    signed_in = world.sign_in("claire", "carnet")
    sign_out(signed_in)
    original = notice(world)
    with world.arranging() as tx:
        for number in range(120):
            tx.outbox.add(_copy(original, f"{number:026}"))
    world.clock.advance(timedelta(seconds=1))
    sign_out(world.sign_in("claire", "autre"))
    deliverer = worker()
    for _ in range(2):
        deliverer.run_once()
    assert len(other_listener.wait(1)) == 1
    listener.release()


def _copy(original: Notice, notice_id: str) -> Notice:
    values = {name: getattr(original, name) for name in Notice.__slots__}
    return Notice(**{**values, "id": notice_id})


def test_notice_is_sent_by_another_worker_when_the_first_died_after_claiming_it(world: World, worker: Worker, listener: Listener) -> None:
    signed_in = signed_out(world)
    lease = world.config.logout.timeout * 4
    with world.arranging() as tx:
        # What a worker does just before it sends; then it is killed.
        assert tx.outbox.claim(notice(world), world.clock.now() + lease)
    deliverer = worker()
    assert deliverer.run_once() == 0
    world.clock.advance(lease)
    assert deliverer.run_once() == 1
    (received,) = listener.received
    assert signed_in.party.read_logout_token(received.logout_token)["jti"] == notice(world).id
    assert (notice(world).attempts, notice(world).delivered_at) == (2, world.clock.now())


def test_two_workers_send_a_notice_once(world: World, worker: Worker, listener: Listener) -> None:
    for person in ("claire", "rose"):
        sign_out(world.sign_in(person))
    workers = [worker() for _ in range(2)]
    barrier = threading.Barrier(2)

    def run(deliverer: Deliverer) -> int:
        barrier.wait()
        return deliverer.run_once()

    with ThreadPoolExecutor(2) as pool:
        tried = list(pool.map(run, workers))
    assert sum(tried) == 2
    assert len({received.logout_token for received in listener.received}) == len(listener.received) == 2
    assert [kept.attempts for kept in notices(world)] == [1, 1]


def test_a_claim_is_won_once_when_many_workers_claim(world: World) -> None:
    signed_out(world)
    seen = notice(world)
    barrier = threading.Barrier(8)
    later = world.clock.now() + timedelta(minutes=1)

    def claim(_: int) -> bool:
        barrier.wait()
        with world.database.write() as tx:
            return tx.outbox.claim(seen, later)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(claim, range(8))).count(True) == 1


def test_an_answer_without_end_is_not_read(world: World, worker: Worker) -> None:
    # An application may answer with more than memory holds; its status is all that counts.
    with socket.create_server(("127.0.0.1", 0)) as server:
        move(world, "carnet", f"http://127.0.0.1:{server.getsockname()[1]}/carnet")
        signed_out(world)
        sent = threading.Event()
        thread = threading.Thread(target=_pour, args=(server, sent), daemon=True)
        thread.start()
        worker().run_once()
        sent.set()
        thread.join(5)
    assert notice(world).receipt == "HTTP 200"


def _pour(server: socket.socket, is_over: threading.Event) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while not is_over.is_set():
                connection.sendall(b"x" * 65536)
        except OSError:
            return


@contextmanager
def delivering(deliverer: Deliverer) -> Iterator[list[Exception]]:
    """Its own thread, for the length of the block; what broke in it."""
    failures: list[Exception] = []
    thread = threading.Thread(target=deliverer.run, args=(lambda: True, failures.append))
    thread.start()
    try:
        yield failures
    finally:
        deliverer.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.usefixtures("impatient")
def test_applications_are_told_by_a_thread_that_a_hung_one_does_not_delay(
    world: World, worker: Worker, listener: Listener, other_listener: Listener
) -> None:
    move(world, "autre", f"{other_listener.url}/autre")
    signed_in = world.sign_in()
    world.sign_in(client="autre", browser=signed_in.browser)
    listener.hold()
    deliverer = worker()
    with delivering(deliverer) as failures:
        sign_out(signed_in)
        deliverer.wake()
        other_listener.wait(1)
        listener.wait(1)
        for _ in range(3):
            again = world.sign_in(client="autre")
            sign_out(again)
            count = len(other_listener.received) + 1
            other_listener.wait(count)
        assert len(listener.received) == 1
        listener.release()
    assert failures == []


@pytest.mark.usefixtures("impatient")
def test_thread_finds_by_itself_what_another_process_has_decided_and_goes_on_when_the_store_broke(
    world: World, worker: Worker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliverer = worker()
    with delivering(deliverer) as failures:
        signed_out(world)
        listener.wait(1)
        with world.arranging() as tx:
            tx.connection.execute(text("ALTER TABLE outbox RENAME TO elsewhere"))
        wait_until(lambda: bool(failures), seconds=10)
        with world.arranging() as tx:
            tx.connection.execute(text("ALTER TABLE elsewhere RENAME TO outbox"))
        signed_out(world)
        listener.wait(2)
    assert len({received.logout_token for received in listener.received}) == 2


def test_what_a_dead_sender_had_claimed_is_sent_at_once_by_whoever_takes_over(world: World, worker: Worker, listener: Listener) -> None:
    signed_out(world)
    claimed = notice(world)
    with world.arranging() as tx:
        assert tx.outbox.claim(claimed, world.clock.now() + timedelta(seconds=20))
    deliverer = worker()
    assert deliverer.run_once() == 0
    assert deliverer.take_over() == 1
    assert (deliverer.take_over(), notice(world).attempts, notice(world).receipt) == (0, 0, "interrupted")
    assert deliverer.run_once() == 1
    assert (notice(world).attempts, notice(world).receipt) == (1, "HTTP 200")
    assert deliverer.take_over() == 0
    assert len(listener.received) == 1


def test_take_over_does_not_hurry_what_failed_and_waits_for_its_next_try(world: World, worker: Worker, listener: Listener) -> None:
    listener.answers.append(500)
    signed_out(world)
    deliverer = worker()
    assert deliverer.run_once() == 1
    waiting = notice(world).next_attempt_at
    assert deliverer.take_over() == 0
    assert (notice(world).next_attempt_at, notice(world).attempts) == (waiting, 1)
