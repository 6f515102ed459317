"""Shared Signals from the outside: an application makes a stream, somebody is cut, and what it is told is a Security Event Token that it can verify.

OpenID Shared Signals Framework 1.0, CAEP 1.0, RISC 1.0, RFC 8935. The receiver is tests/support/set_receiver.py.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from idp import app as composition
from idp.audit import Author, Origin
from idp.composition.cut import open_deliverer
from idp.oauth.delivery import Deliverer
from idp.people.accounts import end, reinstate, suspend
from idp.store.base import Notice
from tests.conftest import MakeWorld
from tests.support.processes import wait_until
from tests.support.set_receiver import CAEP, PUSH, RISC, SSF, Ear, Receiver, hearing
from tests.support.world import World

Worker = Callable[[], Deliverer]
AUTHOR = Author("operator", Origin(request_id="ABCDEFGHJK", address="local"))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Two of the applications may manage streams."""
    world = make_world()
    allow(world, "carnet", "ssf.manage", "ssf.read")
    allow(world, "signataire", "ssf.manage", "ssf.read")
    return world


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Where the application listens."""
    with hearing() as ear:
        yield ear


@pytest.fixture
def worker(world: World) -> Iterator[Deliverer]:
    """What sends the outbox."""
    deliverer = open_deliverer(composition.build(world.config, world.clock))
    yield deliverer
    deliverer.close()


def allow(world: World, key: str, *scopes: str) -> None:
    """Register scopes and the audience of the endpoints."""
    with world.arranging() as tx:
        client = tx.clients.get(key)
        assert client is not None
        update = {"scopes": (*client.settings.scopes, *scopes), "resources": (*client.settings.resources, f"{world.issuer}/ssf")}
        settings = client.settings.model_copy(update=update)
        tx.clients.put(settings, secret_digest=client.secret_digest, source=client.source, now=world.clock.now())


def cut(world: World, person: str = "claire", act: Callable[..., Any] = suspend) -> str:
    """An operator takes it all away; the id of the Account."""
    account = world.account(person)
    with world.arranging() as tx:
        act(tx, account, AUTHOR, clock=world.clock)
    return account.id


def drain(world: World, worker: Deliverer) -> None:
    """Send what is due, however slow the machine: until nothing is due and nothing under way."""

    def is_done() -> bool:
        worker.run_once()
        with world.database.read() as tx:
            open_ones = [one for one in tx.outbox.recent(100) if one.kind != "set_poll" and one.next_attempt_at is not None]
        now = world.clock.now()
        return not any(one.next_attempt_at <= now or (one.attempts > 0 and one.receipt is None) for one in open_ones if one.next_attempt_at)

    wait_until(is_done, seconds=20)


def notices(world: World, kind: str = "set_push") -> list[Notice]:
    """The outbox of events, oldest first."""
    with world.database.read() as tx:
        return [one for one in reversed(tx.outbox.recent(100)) if one.kind == kind]


def test_application_verifies_what_it_is_pushed_when_a_person_is_suspended(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    stream = receiver.create_push(ear)
    signed_in = world.sign_in()
    account_id = cut(world)
    assert not ear.pushed
    drain(world, worker)
    revoked, disabled = receiver.heard(ear)
    person = {"format": "iss_sub", "iss": world.issuer, "sub": account_id}
    assert revoked.type == f"{CAEP}session-revoked"
    assert revoked.subject == {"format": "complex", "user": person, "session": {"format": "opaque", "id": signed_in.tokens.claims["sid"]}}
    assert revoked.body == {"event_timestamp": int(world.clock.now().timestamp()), "initiating_entity": "admin"}
    assert (disabled.type, disabled.subject, disabled.body) == (f"{RISC}account-disabled", person, {})
    assert revoked.claims["txn"] == disabled.claims["txn"]
    assert revoked.claims["jti"] != disabled.claims["jti"]
    assert stream["events_delivered"] == stream["events_supported"]


def test_receipts_are_kept_under_the_cut_when_the_application_acknowledged(world: World, ear: Ear, worker: Deliverer) -> None:
    Receiver(world).create_push(ear)
    world.sign_in()
    account_id = cut(world)
    drain(world, worker)
    with world.database.read() as tx:
        (found,) = tx.cuts.of_account(account_id)
        told = tx.cuts.notices(found.id)
    assert {one.kind for one in told} == {"backchannel_logout", "set_push"}
    assert found.notices == len(told) == 3
    assert all(one.delivered_at == world.clock.now() for one in told)
    assert {one.receipt for one in told if one.kind == "set_push"} == {"HTTP 202"}
    lines = world.events("signal.")
    assert [(line["type"], line["client_id"], line["account_id"]) for line in lines] == [("signal.delivered", "carnet", account_id)] * 2


def test_application_that_the_person_never_used_is_told_nothing(world: World, ear: Ear, worker: Deliverer) -> None:
    Receiver(world, "signataire").create_push(ear)
    world.sign_in()
    cut(world)
    drain(world, worker)
    assert not ear.pushed
    assert not notices(world)


def test_application_is_told_of_the_way_back_and_of_the_end(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    receiver.create_push(ear)
    world.sign_in()
    cut(world)
    cut(world, act=reinstate)
    cut(world, act=end)
    drain(world, worker)
    kinds = [heard.type for heard in receiver.heard(ear)]
    assert kinds == [f"{CAEP}session-revoked", f"{RISC}account-disabled", f"{RISC}account-enabled", f"{RISC}account-purged"]


def test_sign_out_by_the_person_says_that_it_was_the_person(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    receiver.create_push(ear, events_requested=[f"{CAEP}session-revoked"])
    signed_in = world.sign_in()
    signed_in.browser.get(signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity))
    drain(world, worker)
    (heard,) = receiver.heard(ear)
    assert heard.body["initiating_entity"] == "user"


def test_only_the_events_that_were_asked_for_are_sent(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    wanted = [f"{RISC}account-disabled", "https://example.com/not-known-here"]
    stream = receiver.create_push(ear, events_requested=wanted)
    assert (stream["events_requested"], stream["events_delivered"]) == (wanted, wanted[:1])
    world.sign_in()
    cut(world)
    drain(world, worker)
    assert [heard.type for heard in receiver.heard(ear)] == wanted[:1]


def test_event_is_pushed_again_when_the_receiver_refuses_it(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    receiver.create_push(ear, events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    ear.answers[:] = [(400, "invalid_key"), (202, None)]
    drain(world, worker)
    (waiting,) = notices(world)
    assert (waiting.receipt, waiting.delivered_at) == ("HTTP 400 invalid_key", None)
    world.clock.advance(world.config.logout.retries[0])
    drain(world, worker)
    first, second = receiver.heard(ear)
    assert first.claims["jti"] == second.claims["jti"]
    assert [line["type"] for line in world.events("signal.")] == ["signal.retried", "signal.delivered"]


def test_redirect_is_not_followed_and_carries_nothing(world: World, ear: Ear, worker: Deliverer) -> None:
    with hearing() as elsewhere:
        Receiver(world).create_push(ear, events_requested=[f"{RISC}account-disabled"])
        world.sign_in()
        cut(world)
        ear.answers[:] = [(307, None)]
        ear.location = elsewhere.url
        drain(world, worker)
        assert not elsewhere.pushed
    assert notices(world)[0].receipt == "HTTP 307"


def test_verification_comes_back_with_its_state(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    stream = receiver.create_push(ear)
    asked = {"stream_id": stream["stream_id"], "state": "une-valeur"}
    assert receiver.send("POST", receiver.metadata["verification_endpoint"], asked).status_code == 204
    drain(world, worker)
    (heard,) = receiver.heard(ear)
    assert (heard.type, heard.body) == (f"{SSF}verification", {"state": "une-valeur"})
    assert heard.subject == {"format": "opaque", "id": stream["stream_id"]}
    with world.database.read() as tx:
        kept = tx.signals.get(stream["stream_id"])
    assert kept is not None
    assert kept.verified_at == world.clock.now()
    again = receiver.send("POST", receiver.metadata["verification_endpoint"], asked)
    assert (again.status_code, again.headers["Retry-After"]) == (429, str(stream["min_verification_interval"]))
    assert world.last_event("stream.refused")["reason"] == "verified_too_often"
    world.clock.advance(timedelta(seconds=stream["min_verification_interval"]))
    assert receiver.send("POST", receiver.metadata["verification_endpoint"], asked).status_code == 204


def test_paused_stream_is_told_afterwards_and_disabled_one_never(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    stream = receiver.create_push(ear, events_requested=[f"{RISC}account-disabled", f"{RISC}account-enabled"])
    set_status(receiver, stream, "paused")
    world.sign_in()
    cut(world)
    drain(world, worker)
    assert not ear.pushed
    set_status(receiver, stream, "enabled")
    drain(world, worker)
    assert [heard.type for heard in receiver.heard(ear)] == [f"{RISC}account-disabled"]
    set_status(receiver, stream, "disabled")
    cut(world, act=reinstate)
    set_status(receiver, stream, "enabled")
    drain(world, worker)
    assert len(ear.pushed) == 1


def set_status(receiver: Receiver, stream: dict[str, Any], status: str) -> None:
    """The application changes the status of its stream."""
    answer = receiver.send("POST", receiver.metadata["status_endpoint"], {"stream_id": stream["stream_id"], "status": status})
    assert answer.json() == {"stream_id": stream["stream_id"], "status": status}


def test_removed_subject_is_told_no_more_until_it_is_added_again(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    stream = receiver.create_push(ear, events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    subject = {"format": "iss_sub", "iss": world.issuer, "sub": world.account("claire").id}
    asked = {"stream_id": stream["stream_id"], "subject": subject}
    assert receiver.send("POST", receiver.metadata["remove_subject_endpoint"], asked).status_code == 204
    cut(world)
    assert not notices(world)
    assert receiver.send("POST", receiver.metadata["add_subject_endpoint"], asked).status_code == 200
    cut(world, act=reinstate)
    cut(world)
    drain(world, worker)
    assert [heard.subject for heard in receiver.heard(ear)] == [subject]


def test_subject_that_never_signed_in_there_is_as_unknown_as_nobody(world: World, ear: Ear) -> None:
    receiver = Receiver(world)
    stream = receiver.create_push(ear)
    answers = []
    for sub in (world.account("claire").id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        subject = {"format": "iss_sub", "iss": world.issuer, "sub": sub}
        answer = receiver.send("POST", receiver.metadata["add_subject_endpoint"], {"stream_id": stream["stream_id"], "subject": subject})
        answers.append((answer.status_code, answer.json()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert world.last_event("stream.refused")["reason"] == "subject_unknown"
    cut(world)
    assert not notices(world)


def test_header_that_the_receiver_wants_is_sealed_and_never_shown(world: World, ear: Ear) -> None:
    receiver = Receiver(world)
    stream = receiver.create_push(ear)
    shown = receiver.send("GET", receiver.metadata["configuration_endpoint"], stream_id=stream["stream_id"]).text
    assert "said-by-the-receiver" not in shown
    with world.database.read() as tx:
        kept = tx.signals.get(stream["stream_id"])
    assert kept is not None
    assert b"said-by-the-receiver" not in (kept.authorization_seal or b"")
    assert stream["delivery"] == {"method": PUSH, "endpoint_url": ear.url}


def test_event_that_a_later_one_overtook_is_not_pushed_after_it(world: World, ear: Ear, worker: Deliverer) -> None:
    receiver = Receiver(world)
    receiver.create_push(ear, events_requested=[f"{RISC}account-disabled", f"{RISC}account-enabled"])
    world.sign_in()
    cut(world)
    drain(world, worker)
    world.clock.advance(timedelta(milliseconds=10))
    cut(world, act=reinstate)
    ear.answers[:] = [(503, None)]
    drain(world, worker)
    world.clock.advance(timedelta(milliseconds=10))
    cut(world)
    drain(world, worker)
    world.clock.advance(world.config.logout.retries[0])
    drain(world, worker)
    # The second was refused once; the receiver knows since that the person is out again, and hears nothing else.
    said = [heard.type.rpartition("/")[2] for heard in receiver.heard(ear)]
    assert said == ["account-disabled", "account-enabled", "account-disabled"]
    assert [one.receipt for one in notices(world)] == ["HTTP 202", "the application took a later one", "HTTP 202"]
    assert world.last_event("signal.")["type"] == "signal.abandoned"


def test_application_whose_receiver_is_dead_delays_no_other(world: World, ear: Ear, worker: Deliverer) -> None:
    with hearing() as dead:
        hung = Receiver(world)
        hung.create_push(dead, events_requested=[f"{CAEP}session-revoked"])
        dead.hold()
        other = Receiver(world, "signataire")
        other.create_push(ear, events_requested=[f"{CAEP}session-revoked"])
        world.sign_in()
        world.sign_in(client="signataire")
        cut(world)
        worker.run_once()
        wait_until(lambda: len(ear.pushed) == 1, seconds=20)
        dead.let_go()
        wait_until(lambda: len(dead.pushed) == 1, seconds=20)
        worker.close()
    assert [heard.type for heard in other.heard(ear)] == [f"{CAEP}session-revoked"]
