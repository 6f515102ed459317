"""`vestibule stream list`: whose streams there are and what waits for each, and never what their Authorization header says."""

from datetime import timedelta

from idp.clock import SystemClock
from idp.config import load
from idp.store.base import Stream
from tests.support.operator import Operator
from tests.support.world import open_database


def keep(operator: Operator, client_id: str, number: int, **values: str) -> Stream:
    """A stream that an application made."""
    clock = SystemClock()
    now = clock.now() + timedelta(seconds=number)
    stream = Stream(
        id=clock.new_id(),
        client_id=client_id,
        status="paused",
        reason=values.get("reason", ""),
        delivery="push",
        endpoint_url="https://carnet.example/evenements",
        authorization_seal=b"sealed-and-not-to-be-seen",
        events_requested=(),
        description="Le carnet",
        verified_at=None,
        created_at=now,
        changed_at=now,
    )
    database = open_database(load(operator.config_path))
    try:
        with database.write() as tx:
            tx.signals.add(stream)
    finally:
        database.close()
    return stream


def test_operator_sees_the_streams_and_no_header(operator: Operator) -> None:
    assert "no application has a stream" in operator.do("stream", "list")
    first, second = keep(operator, "carnet", 1, reason="\x1b[31mentretien"), keep(operator, "signataire", 2)
    shown = operator.ask("stream", "list", "--json")
    assert [(one["client"], one["id"], one["status"], one["waiting"]) for one in shown] == [
        ("carnet", first.id, "paused", 0),
        ("signataire", second.id, "paused", 0),
    ]
    assert "\x1b" not in shown[0]["reason"]
    assert len(shown[0]["events"]) == 6
    assert [one["id"] for one in operator.ask("stream", "list", "--client", "carnet", "--json")] == [first.id]
    everything = operator.do("stream", "list") + operator.do("stream", "list", "--json")
    assert first.id in everything
    assert "sealed" not in everything
