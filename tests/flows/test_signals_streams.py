"""What an application may do with its streams, and nobody else: made, read, changed, deleted, polled. Each refusal has its Event and changes nothing.

OpenID Shared Signals Framework 1.0 sections 7 and 8, RFC 8936.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from idp import app as composition
from idp.people.accounts import reinstate, suspend
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.flows.test_signals import allow, cut, notices, set_status
from tests.support.set_receiver import CAEP, POLL, PUSH, RISC, Receiver
from tests.support.world import World


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Two of the applications may manage streams, two at most each."""
    world = make_world(signals={"streams_per_client": 2})
    allow(world, "carnet", "ssf.manage", "ssf.read")
    allow(world, "signataire", "ssf.manage", "ssf.read")
    return world


@pytest.fixture
def receiver(world: World) -> Receiver:
    """The application that has the streams."""
    return Receiver(world)


def streams(receiver: Receiver) -> str:
    address: str = receiver.metadata["configuration_endpoint"]
    return address


def test_metadata_says_what_the_framework_and_the_profile_want(world: World) -> None:
    answer = world.transport().get("/.well-known/ssf-configuration")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "spec_version": "1_0",
        "issuer": world.issuer,
        "jwks_uri": f"{world.issuer}/jwks",
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": f"{world.issuer}/ssf/streams",
        "status_endpoint": f"{world.issuer}/ssf/status",
        "add_subject_endpoint": f"{world.issuer}/ssf/subjects/add",
        "remove_subject_endpoint": f"{world.issuer}/ssf/subjects/remove",
        "verification_endpoint": f"{world.issuer}/ssf/verify",
        "critical_subject_members": [],
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    }


def test_stream_is_polled_when_no_delivery_was_said(receiver: Receiver, world: World) -> None:
    stream = receiver.create()
    assert stream["delivery"] == {"method": POLL, "endpoint_url": f"{world.issuer}/ssf/poll/{stream['stream_id']}"}
    assert world.last_event("stream.created")["details"] == {"stream": stream["stream_id"], "what": "poll"}


def test_stream_is_read_changed_replaced_and_deleted(receiver: Receiver) -> None:
    made = receiver.create(description="Le carnet", events_requested=[f"{CAEP}session-revoked"])
    number = made["stream_id"]
    assert receiver.send("GET", streams(receiver), stream_id=number).json() == made
    assert receiver.send("GET", streams(receiver)).json() == [made]
    changed = receiver.send("PATCH", streams(receiver), {"stream_id": number, "description": "Autre"}).json()
    assert changed == {**made, "description": "Autre"}
    wrong = {**made, "events_delivered": [f"{RISC}account-purged"]}
    assert [receiver.send(method, streams(receiver), wrong).status_code for method in ("PATCH", "PUT")] == [400, 400]
    # What is ours to say is compared with what is there before the change (section 8.1.1.3).
    replaced = receiver.send("PUT", streams(receiver), {**made, "events_requested": [f"{RISC}account-enabled"]})
    assert (replaced.status_code, replaced.json()["description"]) == (200, "Le carnet")
    replaced = receiver.send("PUT", streams(receiver), {"stream_id": number, "events_requested": [f"{RISC}account-purged"]})
    assert replaced.json()["events_delivered"] == [f"{RISC}account-purged"]
    assert "description" not in replaced.json()
    assert receiver.send("DELETE", streams(receiver), stream_id=number).status_code == 204
    assert receiver.send("GET", streams(receiver), stream_id=number).status_code == 404
    assert receiver.send("GET", streams(receiver)).json() == []


@contextmanager
def sweeping(world: World) -> Iterator[Worker]:
    """The one worker, which holds the lease; none of its threads runs."""
    worker = Worker(composition.build(world.config, world.clock))
    worker.stand()
    try:
        yield worker
    finally:
        worker.tenure.release()
        for part in (worker.deliverer, worker.sender, worker.streamer, worker.application):
            part.close()


def test_stream_of_another_application_is_as_unknown_as_none(receiver: Receiver, world: World) -> None:
    number = receiver.create()["stream_id"]
    other = Receiver(world, "signataire")
    for method, url, body, query in (
        ("GET", streams(receiver), None, {"stream_id": number}),
        ("DELETE", streams(receiver), None, {"stream_id": number}),
        ("PATCH", streams(receiver), {"stream_id": number, "description": "pris"}, {}),
        ("PUT", streams(receiver), {"stream_id": number}, {}),
        ("GET", receiver.metadata["status_endpoint"], None, {"stream_id": number}),
        ("POST", receiver.metadata["status_endpoint"], {"stream_id": number, "status": "disabled"}, {}),
        ("POST", receiver.metadata["verification_endpoint"], {"stream_id": number}, {}),
        ("POST", f"{world.issuer}/ssf/poll/{number}", {}, {}),
    ):
        answer = other.send(method, url, body, **query)
        assert answer.status_code == 404
        assert world.last_event("stream.refused")["reason"] == "stream_unknown"
    assert receiver.send("GET", streams(receiver), stream_id=number).status_code == 200
    assert other.send("GET", streams(receiver)).json() == []


def test_application_has_no_more_streams_than_it_may(receiver: Receiver, world: World) -> None:
    receiver.create()
    receiver.create()
    assert receiver.send("POST", streams(receiver), {}).status_code == 409
    assert world.last_event("stream.refused")["reason"] == "stream_limit"


def test_stranger_and_a_token_of_a_person_are_refused(receiver: Receiver, world: World) -> None:
    person = world.sign_in().tokens.access
    for token, status, reason in (("nothing", 401, "invalid_token"), (person, 401, "invalid_token")):
        answer = receiver.send("POST", streams(receiver), {}, token=token)
        assert answer.status_code == status
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert world.last_event("stream.refused")["reason"] == reason
    assert world.transport().post("/ssf/streams", json={}).headers["WWW-Authenticate"] == "Bearer"
    assert receiver.send("GET", streams(receiver)).json() == []


def test_token_that_may_only_read_changes_nothing(receiver: Receiver, world: World) -> None:
    stream = receiver.create()
    reader = Receiver(world, scope="ssf.read")
    assert reader.send("GET", streams(receiver)).json() == [stream]
    assert reader.poll(stream) == {}
    answer = reader.send("DELETE", streams(receiver), stream_id=stream["stream_id"])
    assert (answer.status_code, 'scope="ssf.manage"' in answer.headers["WWW-Authenticate"]) == (403, True)
    assert world.last_event("stream.refused")["reason"] == "insufficient_scope"
    assert receiver.send("GET", streams(receiver)).json() == [stream]


@pytest.mark.parametrize(
    "body",
    [
        {"delivery": {"method": "urn:example:carrier-pigeon"}},
        {"delivery": {"method": PUSH}},
        {"delivery": {"method": PUSH, "endpoint_url": "http://carnet.example/events"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://a:b@carnet.example/events"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://carnet.example/events#x"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://10.1.2.3/events"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://169.254.169.254/latest"}},
        {"delivery": {"method": PUSH, "endpoint_url": "file:///etc/passwd"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://carnet.example/", "authorization_header": "a\r\nHost: b"}},
        {"delivery": {"method": POLL, "endpoint_url": "https://carnet.example/"}},
        {"delivery": []},
        {"events_requested": []},
        {"events_requested": [1]},
        {"description": 1},
        {"description": "x" * 301},
        [],
    ],
)
def test_stream_that_makes_no_sense_is_refused_and_not_made(receiver: Receiver, world: World, body: Any) -> None:
    answer = receiver.send("POST", streams(receiver), body)
    assert answer.status_code == 400
    assert answer.json()["err"] == "invalid_request"
    assert world.last_event("stream.refused")["reason"] in {"invalid_request", "address_not_allowed"}
    assert receiver.send("GET", streams(receiver)).json() == []


def test_body_that_is_not_json_or_too_large_is_refused(receiver: Receiver, world: World) -> None:
    headers = {"Authorization": f"Bearer {receiver.token}"}
    for content, status in ((b"{", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b"x" * 65_537, 413)):
        assert world.transport().post("/ssf/streams", content=content, headers=headers).status_code == status
    assert world.transport().get("/ssf/rien", headers=headers).status_code == 404
    assert world.transport().delete("/ssf/status", headers=headers).headers["Allow"] == "GET, POST"


def test_event_is_handed_out_until_it_is_acknowledged(receiver: Receiver, world: World) -> None:
    stream = receiver.create(events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    account_id = cut(world)
    first = receiver.poll(stream)
    assert receiver.poll(stream).keys() == first.keys()
    (jti,) = first
    assert first[jti].subject == {"format": "iss_sub", "iss": world.issuer, "sub": account_id}
    assert receiver.poll(stream, ack=[jti]) == {}
    assert receiver.poll(stream, ack=[jti]) == {}
    with world.database.read() as tx:
        (found,) = tx.cuts.of_account(account_id)
        (kept,) = [one for one in tx.cuts.notices(found.id) if one.kind == "set_poll"]
    assert (kept.receipt, kept.delivered_at) == ("acknowledged", world.clock.now())
    assert world.last_event("signal.delivered")["client_id"] == "carnet"


def test_event_that_the_receiver_cannot_take_is_given_up_with_its_code(receiver: Receiver, world: World) -> None:
    stream = receiver.create(events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    (jti,) = receiver.poll(stream)
    said = {jti: {"err": "invalid_audience", "description": "anything, of anybody"}}
    assert receiver.poll(stream, setErrs=said) == {}
    (kept,) = notices(world, "set_poll")
    assert (kept.receipt, kept.abandoned_at) == ("refused: invalid_audience", world.clock.now())
    assert world.last_event("signal.abandoned")["reason"] == "delivery_failed"


def test_poll_gives_as_many_as_were_asked_and_says_that_there_are_more(receiver: Receiver, world: World) -> None:
    stream = receiver.create(events_requested=[f"{CAEP}session-revoked", f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    url = stream["delivery"]["endpoint_url"]
    assert receiver.send("POST", url, {"maxEvents": 0}).json() == {"sets": {}, "moreAvailable": True}
    one = receiver.send("POST", url, {"maxEvents": 1}).json()
    assert (len(one["sets"]), one["moreAvailable"]) == (1, True)
    rest = receiver.send("POST", url, {"maxEvents": 1, "ack": list(one["sets"])}).json()
    assert (len(rest["sets"]), "moreAvailable" in rest) == (1, False)
    wrong: tuple[dict[str, Any], ...] = (
        {"maxEvents": -1},
        {"ack": "x"},
        {"setErrs": []},
        {"setErrs": {"x": {}}},
        {"returnImmediately": "no"},
    )
    for body in wrong:
        assert receiver.send("POST", url, body).status_code == 400


def test_application_acknowledges_nothing_on_a_stream_that_is_not_its_own(receiver: Receiver, world: World) -> None:
    stream = receiver.create(events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    (jti,) = receiver.poll(stream)
    other = Receiver(world, "signataire")
    other.poll(other.create(), ack=[jti])
    assert receiver.poll(stream).keys() == {jti}


def test_paused_stream_hands_out_nothing_until_it_is_enabled(receiver: Receiver, world: World) -> None:
    stream = receiver.create(events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    set_status(receiver, stream, "paused")
    assert receiver.poll(stream) == {}
    set_status(receiver, stream, "enabled")
    assert len(receiver.poll(stream)) == 1


def test_what_waits_goes_the_new_way_when_the_delivery_changes(receiver: Receiver, world: World) -> None:
    stream = receiver.create(events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    delivery = {"method": PUSH, "endpoint_url": "https://carnet.example/events"}
    receiver.send("PATCH", streams(receiver), {"stream_id": stream["stream_id"], "delivery": delivery})
    assert [one.kind for one in notices(world)] == ["set_push"]


def test_event_that_nobody_came_for_is_given_up_with_an_alarm(receiver: Receiver, world: World) -> None:
    receiver.create(events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    with sweeping(world) as worker:
        world.clock.advance(world.config.signals.kept)
        worker.stand()
        worker.sweep()
        assert notices(world, "set_poll")[0].abandoned_at is None
        world.clock.advance(timedelta(seconds=1))
        worker.sweep()
    assert notices(world, "set_poll")[0].abandoned_at == world.clock.now()
    line = world.last_event("signal.abandoned")
    assert (line["reason"], line["actor"]) == ("signal_not_collected", "system")


def test_deleted_stream_is_owed_nothing_more(receiver: Receiver, world: World) -> None:
    stream = receiver.create()
    world.sign_in()
    cut(world)
    receiver.send("DELETE", streams(receiver), stream_id=stream["stream_id"])
    assert notices(world, "set_poll")
    assert all(one.receipt == "the stream was deleted" for one in notices(world, "set_poll"))


def test_no_more_events_wait_for_a_stream_than_may_and_the_oldest_go_with_an_alarm(make_world: MakeWorld) -> None:
    world = make_world(signals={"waiting": 2})
    allow(world, "carnet", "ssf.manage")
    receiver = Receiver(world)
    stream = receiver.create(events_requested=[f"{RISC}account-disabled", f"{RISC}account-enabled"])
    world.sign_in()
    for act in (suspend, reinstate, suspend):
        cut(world, act=act)
        world.clock.advance(timedelta(seconds=1))
    with sweeping(world) as worker:
        worker.sweep()
    assert [heard.type.rpartition("/")[2] for heard in receiver.poll(stream).values()] == ["account-enabled", "account-disabled"]
    assert [one.receipt for one in notices(world, "set_poll")] == ["too many wait", None, None]
    line = world.last_event("signal.")
    assert (line["type"], line["reason"]) == ("signal.abandoned", "signal_not_collected")
