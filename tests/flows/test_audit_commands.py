"""An operator verifies the trail, notes seals, looks at streams, and gives the program's own database role no more than it needs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from idp.app import build
from idp.audit import Event, EventType, Origin
from idp.config import check, load
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.fixed_clock import FixedClock
from tests.support.meddling import meddle
from tests.support.operator import Operator
from tests.support.world import World


def closed(worker: Worker) -> None:
    """Let go of a worker."""
    worker.deliverer.close()
    worker.sender.close()
    worker.streamer.close()


def test_operator_verifies_a_young_trail(operator: Operator) -> None:
    assert "nothing was sealed yet" in operator.refused("audit", "seal")
    application = build(load(operator.config_path))
    worker = Worker(application)
    worker.stand()
    worker.sealer.run_once()
    worker.tenure.release()
    closed(worker)
    application.close()
    said = operator.do("audit", "verify")
    assert "nothing was touched" in said
    assert operator.last_event("audit.verified")["details"]["findings"] == 0
    assert "no stream is configured" in operator.do("audit", "streams")


def test_a_worker_seals_what_happens_and_the_seal_can_be_noted(world: World) -> None:
    worker = Worker(world.application)
    world.sign_in("claire")
    worker.run_due()
    operator = Operator(world.config_path, clock=world.clock)
    value = operator.do("audit", "seal").split()[0]
    assert operator.ask("audit", "seal", "--json")["seal"] == value
    found = operator.ask("audit", "verify", "--json", "--seal", value)
    assert (found["intact"], found["newest_seal"]) == (True, value)
    assert found["unsealed"]["lines"] == 0
    for _ in range(3):
        world.clock.advance(timedelta(minutes=1))
        worker.run_due()
    assert operator.ask("audit", "verify", "--json", "--seal", value)["intact"]
    closed(worker)


def test_operator_is_told_that_the_sealer_is_late(operator: Operator) -> None:
    config = load(operator.config_path)
    clock = FixedClock(datetime.now(UTC) - timedelta(hours=2))
    application = build(config, clock)
    worker = Worker(application)
    worker.stand()
    worker.sealer.run_once()
    with application.database.write() as tx:
        tx.events.append(Event(type=EventType.SERVER_STARTED, at=clock.now(), actor="system", origin=Origin("0123456789", "local")))
    closed(worker)
    application.close()
    assert "the sealer is late" in operator.do("audit", "verify")


def test_a_worker_purges_what_is_past_its_time(operator: Operator) -> None:
    """The database's own clock is asked too: the lines are of two years ago."""
    config = load(operator.config_path)
    clock = FixedClock(datetime.now(UTC) - timedelta(days=800))
    application = build(config, clock)
    for name in ("server.started", "signin.refused"):
        with application.database.write() as tx:
            tx.events.append(Event(type=EventType(name), at=clock.now(), actor="system", origin=Origin("0123456789", "local")))
    clock.advance(timedelta(days=800))
    worker = Worker(application)
    worker.run_due()
    assert [event["details"]["lines"] for event in operator.events("audit.purged")] == [2]
    assert operator.events("signin.refused") == []
    found = operator.ask("audit", "verify", "--json")
    assert (found["intact"], found["purged"]) == (True, 2)
    closed(worker)
    application.close()


def test_operator_sees_how_far_each_stream_is(make_world: MakeWorld, tmp_path: Path) -> None:
    nowhere = {"name": "siem", "type": "syslog", "host": "127.0.0.1", "port": 1, "transport": "tcp"}
    world = make_world(audit={"streams": [nowhere, {"name": "coffre", "type": "file", "path": str(tmp_path / "audit.jsonl")}]})
    operator = Operator(world.config_path, clock=world.clock)
    assert [row["state"] for row in operator.ask("audit", "streams", "--json")] == ["not begun", "not begun"]
    worker = Worker(world.application)
    worker.stand()
    worker.streamer.run_once()
    world.sign_in("claire")
    for _ in range(3):
        worker.streamer.run_once()
    rows = {row["name"]: row for row in operator.ask("audit", "streams", "--json")}
    assert (rows["siem"]["state"], rows["coffre"]["state"]) == ("failing", "running")
    assert "refused" in rows["siem"]["trouble"].lower()
    assert rows["siem"]["behind"] > 0
    assert rows["coffre"]["behind"] == 0
    worker.measure()
    shown = world.application.metrics.render().decode()
    assert 'vestibule_audit_stream_failing{stream="siem"} 1.0' in shown
    assert 'vestibule_audit_stream_failing{stream="coffre"} 0.0' in shown
    closed(worker)


def test_the_programs_own_role_is_enough_to_run_on_and_too_little_to_change_the_trail(world: World) -> None:
    operator = Operator(world.config_path, clock=world.clock)
    if world.config.database.is_embedded:
        assert "the store is a file" in operator.refused("audit", "rights", "vestibule_program")
        return
    name = f"program_{urlsplit(world.config.database.url).path[1:]}"
    owner = world.config.database.url
    assert "this PostgreSQL role has the right to change the trail" in operator.do("audit", "verify")
    assert f"{name} was made" in operator.do("audit", "rights", name)
    assert "owns the tables" in operator.refused("audit", "rights", "vestibule")
    settings = yaml.safe_load(world.config_path.read_text())
    settings["database"]["url"] = owner.replace("vestibule@", f"{name}@")
    world.config_path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    assert "run this with the database.url of vestibule" in operator.refused("audit", "rights", "another")
    signed_in = world.sign_in("claire")  # the world now runs as the role
    assert signed_in.tokens.access
    worker = Worker(world.application)
    for _ in range(3):
        worker.run_due()
        world.clock.advance(timedelta(minutes=11))
    said = operator.do("audit", "verify")
    assert "nothing was touched" in said
    assert "has the right to change the trail" not in said
    closed(worker)
    meddle(owner, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


GOOD_REASON = "contrôle interne des accès, procédure P-12"


@pytest.mark.parametrize(
    ("audit", "path", "says"),
    [
        ({"months": 24}, "audit.reason", "written reason"),
        ({"months": 24, "reason": "parce que"}, "audit.reason", "written reason"),
        ({"months": 40, "reason": GOOD_REASON}, "audit.months", "less than or equal to 36"),
        ({"months": 3}, "audit.months", "greater than or equal to 6"),
        ({"classes": [{"name": "a", "types": ["role."], "months": 36}]}, "audit.classes[0].reason", "written reason"),
        ({"classes": [{"name": "a", "types": ["nothing."], "months": 12}]}, "audit.classes[0].types", "no event type begins"),
        ({"classes": [{"name": "default", "types": ["role."], "months": 12}]}, "audit.classes[0].name", "taken"),
        ({"purge": "never"}, "audit.purge", "nothing is purged"),
        (
            {"streams": [{"name": "a", "type": "syslog", "host": "logs.example", "transport": "udp"}]},
            "audit.streams[0].transport",
            "not encrypted",
        ),
        (
            {"streams": [{"name": "a", "type": "syslog", "host": "logs.example", "ca_file": "nowhere.pem"}]},
            "audit.streams[0].ca_file",
            "no file",
        ),
        (
            {"streams": [{"name": "a", "type": "file", "path": "a"}, {"name": "a", "type": "file", "path": "b"}]},
            "audit.streams[1].name",
            "two streams",
        ),
    ],
)
def test_the_configuration_says_what_is_wrong_with_the_trails_settings(
    operator: Operator, audit: dict[str, Any], path: str, says: str
) -> None:
    operator.configure(audit=audit)
    findings = [finding for finding in check(operator.config_path)[1] if finding.path.startswith("audit")]
    assert any(path in finding.path and says in finding.message for finding in findings), findings


def test_longer_is_allowed_with_a_written_reason(operator: Operator) -> None:
    operator.configure(audit={"months": 36, "reason": GOOD_REASON, "classes": [{"name": "a", "types": ["role."], "months": 6}]})
    assert [finding for finding in check(operator.config_path)[1] if finding.path.startswith("audit")] == []
