"""`vestibule reset`: requests as operators see and cancel them; never a code."""

from datetime import timedelta

import pytest

from idp.clock import SystemClock
from idp.config import load
from idp.store.base import Reset
from idp.store.database import Database
from tests.support.operator import ACTOR, Operator
from tests.support.pens import pens_of

CLOCK = SystemClock()


@pytest.fixture
def operator(operator: Operator) -> Operator:
    """An operator whose establishment has Claire."""
    place = ("--establishment", "tilleuls", "--profile", "nurse")
    operator.do("account", "add", "--username", "claire", "--given-name", "Claire", "--family-name", "Dubois", *place)
    return operator


def asked(operator: Operator) -> str:
    """A request of Claire's, seven minutes old."""
    account_id = str(operator.ask("account", "show", "claire")["id"])
    config = load(operator.config_path)
    database = Database.of(config.database, pool_size=2, pens=pens_of(config))
    now, reset_id = CLOCK.now() - timedelta(minutes=7), CLOCK.new_id()
    try:
        with database.write() as tx:
            place = tx.establishments.by_slug("tilleuls")
            assert place is not None
            tx.resets.add(
                Reset(
                    id=reset_id,
                    account_id=account_id,
                    establishment_id=place.id,
                    kind="password",
                    source="local",
                    mode="admin",
                    state="asked",
                    is_own=False,
                    asked_by="account:somebody",
                    why="oublié",
                    asked_at=now,
                    expires_at=now + timedelta(hours=24),
                )
            )
    finally:
        database.close()
    return reset_id


def test_operator_lists_shows_and_cancels_a_request(operator: Operator) -> None:
    reset_id = asked(operator)
    (line,) = operator.ask("reset", "list", "--json")
    assert (line["id"], line["name"], line["establishment"], line["state"], line["minutes"]) == (
        reset_id,
        "Claire Dubois",
        "tilleuls",
        "asked",
        7,
    )
    assert operator.ask("reset", "list", "--json", "--establishment", "glycines") == []
    assert "cancelled" in operator.do("reset", "cancel", reset_id, "--reason", "retrouvé")
    assert operator.ask("reset", "list", "--json") == []
    (ended,) = operator.ask("reset", "list", "--json", "--ended")
    assert ended["state"] == "cancelled"
    shown = operator.ask("reset", "show", reset_id, "--json")
    assert [(move["move"], move["actor"]) for move in shown["moves"]] == [("cancelled", ACTOR)]
    assert operator.last_event("reset.cancelled")["details"]["why"] == "retrouvé"


def test_operator_is_told_plainly_when_there_is_no_such_request_or_it_has_ended(operator: Operator) -> None:
    reset_id = asked(operator)
    assert "no request" in operator.refused("reset", "show", "01NOBODY")
    operator.do("reset", "cancel", reset_id, "--reason", "test")
    operator.refused("reset", "cancel", reset_id, "--reason", "test")
    assert operator.last_event("reset.refused")["reason"] == "reset_not_now"


def test_operator_of_another_establishment_sees_no_request(operator: Operator) -> None:
    assert "no establishment" in operator.refused("reset", "list", "--establishment", "nowhere")
