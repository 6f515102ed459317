"""Somebody who holds the database, and not the key, changes the audit trail behind the triggers: `vestibule audit verify` names what they did."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.app import build
from idp.audit import Event, EventType, Origin
from idp.config import load
from idp.store.chain import SIGNED, Notary
from idp.work import Worker
from tests.support.fixed_clock import FixedClock
from tests.support.meddling import meddle
from tests.support.operator import Operator

FORGER = Notary(b"another key of thirty-two bytes!!")
Meddle = Callable[..., None]


@pytest.fixture
def sealed(operator: Operator) -> Operator:
    """A trail of two writers' lines and more, sealed twice."""
    for name in ("claire", "rose", "paul"):
        operator.do("account", "add", "--username", name)
    seal(operator)
    operator.do("zone", "add", "tilleuls", "lan", "--kind", "trusted", "--network", "10.0.0.0/8")
    write_many(operator, 6)
    seal(operator)
    assert verified(operator)["intact"]
    return operator


def seal(operator: Operator) -> None:
    """As the worker does every minute; twice, so that on PostgreSQL nothing older can appear."""
    application = build(load(operator.config_path))
    worker = Worker(application)
    worker.stand()
    worker.sealer.run_once()
    worker.sealer.run_once()
    worker.tenure.release()
    worker.deliverer.close()
    worker.sender.close()
    worker.streamer.close()
    application.close()


def write_many(operator: Operator, count: int) -> None:
    """Lines of one writer that follow one another."""
    application = build(load(operator.config_path))
    for number in range(count):
        with application.database.write() as tx:
            event = Event(
                type=EventType.SIGNIN_SUCCEEDED,
                at=application.clock.now(),
                actor="account:x",
                origin=Origin("ABCDEFGHJK", "192.0.2.7", user_agent="Firefox", zone="outside"),
                account_id=f"person-{number}",
                identifier_hash="h",
                client_id="carnet",
                establishment_id="e",
                session_id="s",
                grant_id="g",
                connector="siege",
                device_id="d",
                workstation_id="w",
                reason=None,
                amr=("pwd",),
                acr="eidas1",
                decision={"verdict": "allow"},
                details={"n": number},
            )
            tx.events.append(event)
    application.close()


def verified(operator: Operator, *options: str) -> dict[str, Any]:
    """What the command says; its exit code agrees with it, and what it found is an Event."""
    result = operator.run("audit", "verify", "--json", *options)
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if found["intact"] else 1), result.output
    event = operator.last_event("audit.")
    assert (event["type"], event["reason"]) == (("audit.verified", None) if found["intact"] else ("audit.broken", "audit_touched"))
    return found


@pytest.fixture
def tamper(sealed: Operator) -> Meddle:
    """Runs statements behind the program's back."""
    url = load(sealed.config_path).database.url
    return lambda *statements: meddle(url, *statements)


def stored(operator: Operator) -> list[dict[str, Any]]:
    """The trail as it is stored."""
    with operator.looking() as tx:
        return tx.trail.page(0, 1000)


def chained(operator: Operator) -> list[dict[str, Any]]:
    """The lines of the writer with most of them."""
    found = stored(operator)
    writers = [row["writer"] for row in found]
    longest = max(set(writers), key=writers.count)
    return [row for row in found if row["writer"] == longest]


def copied(row: dict[str, Any], **changes: Any) -> str:
    """An INSERT of a row like another."""
    values = {**row, **changes}
    names = [name for name in values if values[name] is not None]
    shown = ", ".join(
        str(values[name]) if isinstance(values[name], int) else "'" + str(values[name]).replace("'", "''") + "'" for name in names
    )
    return f"INSERT INTO events ({', '.join(names)}) VALUES ({shown})"


def faults(found: dict[str, Any]) -> set[str]:
    """What kinds of things are wrong."""
    return {finding["fault"] for finding in found["findings"]}


def lines(found: dict[str, Any]) -> set[int]:
    """Which lines are named."""
    return {finding["line"] for finding in found["findings"]}


OTHERWISE = {
    "at": "at + 1",
    "sequence": "sequence + 50",
    "writer": "'forged'",
    "previous": "'forged'",
    "mac": "'forged'",
    "reason": "'account_cut'",
    "decision": "NULL",
    "request_id": "'ZZZZZZZZZZ'",
}
CHANGES = {name: OTHERWISE.get(name, f"{name} || 'x'") for name in (*SIGNED, "mac")}


@pytest.mark.parametrize("column", sorted(CHANGES))
def test_a_line_is_named_when_any_of_it_was_changed(sealed: Operator, tamper: Meddle, column: str) -> None:
    victim = chained(sealed)[3]
    tamper(f"UPDATE events SET {column} = {CHANGES[column]} WHERE id = {victim['id']}")
    found = verified(sealed)
    assert not found["intact"]
    assert victim["id"] in lines(found)
    said = " ".join(finding["words"] for finding in found["findings"])
    assert f"line {victim['id']} (" in said
    shown = sealed.run("audit", "verify")
    assert shown.exit_code == 1
    assert f"line {victim['id']} (" in shown.output
    assert "THE TRAIL WAS TOUCHED" in shown.output


def test_only_the_changed_line_is_named(sealed: Operator, tamper: Meddle) -> None:
    victim = chained(sealed)[2]
    tamper(f"UPDATE events SET account_id = 'somebody-else' WHERE id = {victim['id']}")
    (finding,) = verified(sealed)["findings"]
    assert (finding["line"], finding["fault"]) == (victim["id"], "line_changed")


def test_the_lines_around_those_that_were_taken_away_are_named(sealed: Operator, tamper: Meddle) -> None:
    rows = chained(sealed)
    tamper(f"DELETE FROM events WHERE id IN ({rows[2]['id']}, {rows[3]['id']})")
    (finding,) = verified(sealed)["findings"]
    assert finding["fault"] == "lines_missing"
    assert f"number 3 to 4, after line {rows[1]['id']} and before line {rows[4]['id']}" in finding["words"]


@pytest.mark.parametrize("which", ["first", "last", "all"])
def test_lines_are_missed_at_the_ends_of_a_chain_too(sealed: Operator, tamper: Meddle, which: str) -> None:
    rows = chained(sealed)
    gone = {"first": rows[:1], "last": rows[-2:], "all": rows}[which]
    tamper(f"DELETE FROM events WHERE id IN ({', '.join(str(row['id']) for row in gone)})")
    (finding,) = verified(sealed)["findings"]
    assert finding["fault"] == "lines_missing"
    assert f"{len(gone)} line(s) of {rows[0]['writer']}" in finding["words"]


def test_lines_that_changed_places_are_named(sealed: Operator, tamper: Meddle) -> None:
    rows = chained(sealed)
    one, other = rows[1]["id"], rows[4]["id"]
    tamper(*(f"UPDATE events SET id = {new} WHERE id = {old}" for old, new in ((one, 999_999), (other, one), (999_999, other))))
    assert not verified(sealed)["intact"]
    assert {one, other} & lines(verified(sealed))


def test_a_line_that_was_copied_is_named(sealed: Operator, tamper: Meddle) -> None:
    rows = chained(sealed)
    tamper(copied(rows[2], id=900_000))
    assert 900_000 in lines(verified(sealed))


@pytest.mark.parametrize("place", [-5, 900_000])
def test_a_line_that_was_made_up_is_named(sealed: Operator, tamper: Meddle, place: int) -> None:
    last = chained(sealed)[-1]
    forged = {**last, "id": place, "sequence": last["sequence"] + 1, "previous": last["mac"], "actor": "account:innocent"}
    forged["mac"] = FORGER.sign_line(forged)
    tamper(copied(forged))
    assert place in lines(verified(sealed))


def test_a_chain_that_was_signed_again_with_another_key_is_named(sealed: Operator, tamper: Meddle) -> None:
    previous, statements = "", []
    for row in chained(sealed):
        forged = {**row, "actor": "nobody", "previous": previous}
        previous = FORGER.sign_line(forged)
        statements.append(
            f"UPDATE events SET actor = 'nobody', previous = '{forged['previous']}', mac = '{previous}' WHERE id = {row['id']}"
        )
    tamper(*statements)
    assert {row["id"] for row in chained(sealed)} <= lines(verified(sealed))


def test_a_line_that_lost_its_writer_is_not_taken_for_one_from_before(sealed: Operator, tamper: Meddle) -> None:
    victim = chained(sealed)[2]
    tamper(f"UPDATE events SET writer = NULL, sequence = NULL, previous = NULL, mac = NULL, actor = 'nobody' WHERE id = {victim['id']}")
    # Lines without a writer are counted up to where nothing older can appear any more, which PostgreSQL tells a seal later.
    expected = {"lines_missing", "lines_without_writer"} if load(sealed.config_path).database.is_embedded else {"lines_missing"}
    assert faults(verified(sealed)) == expected


def test_a_value_of_another_kind_is_a_changed_line(sealed: Operator, tamper: Meddle) -> None:
    if not load(sealed.config_path).database.is_embedded:
        return  # PostgreSQL's columns take no other kind
    rows = chained(sealed)
    tamper(
        f"UPDATE events SET actor = x'00ff' WHERE id = {rows[1]['id']}",
        f"UPDATE events SET sequence = 'deux' WHERE id = {rows[2]['id']}",
        f"UPDATE events SET at = 'hier' WHERE id = {rows[3]['id']}",
        f"UPDATE events SET mac = x'00' WHERE id = {rows[4]['id']}",
    )
    assert {rows[index]["id"] for index in (1, 2, 3, 4)} <= lines(verified(sealed))


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE seals SET heads = '[]' WHERE number = 1", "seal_changed"),
        ("UPDATE seals SET at = at + 1 WHERE number = 1", "seal_changed"),
        ("UPDATE seals SET mac = previous WHERE number = 2", "seal_changed"),
        ("DELETE FROM seals WHERE number = 1", "seals_missing"),
        ("UPDATE seals SET number = number + 10 WHERE number = 2", "seal_changed"),
        (
            "INSERT INTO purged_ranges (writer, first, last, count, previous, last_mac, until, retention, purged_at, mac)"
            " SELECT writer, 1, 9, 9, '', mac, 1, 'default', 1, mac FROM events WHERE writer IS NOT NULL LIMIT 1",
            "purge_record_changed",
        ),
    ],
)
def test_seals_and_records_of_purges_are_signed_too(sealed: Operator, tamper: Meddle, statement: str, fault: str) -> None:
    tamper(statement)
    assert fault in faults(verified(sealed))


def test_a_purge_that_was_made_up_hides_nothing(sealed: Operator, tamper: Meddle) -> None:
    rows = chained(sealed)
    record = {
        "writer": rows[0]["writer"],
        "first": 3,
        "last": 4,
        "count": 2,
        "previous": rows[1]["mac"],
        "last_mac": rows[3]["mac"],
        "until": rows[3]["at"],
        "retention": "default",
        "purged_at": rows[3]["at"],
    }
    shown = ", ".join(f"'{value}'" for value in (*record.values(), FORGER.sign_range(record)))
    tamper(
        f"INSERT INTO purged_ranges (writer, first, last, count, previous, last_mac, until, retention, purged_at, mac) VALUES ({shown})",
        f"DELETE FROM events WHERE id IN ({rows[2]['id']}, {rows[3]['id']})",
    )
    assert faults(verified(sealed)) == {"purge_record_changed", "lines_missing"}


def test_lines_that_no_seal_covers_yet_are_said_to_be_so(sealed: Operator) -> None:
    before = verified(sealed)
    assert before["unsealed"]["lines"] >= 1  # the Event of the last verification
    write_many(sealed, 3)
    after = verified(sealed)
    assert after["unsealed"]["lines"] == before["unsealed"]["lines"] + 4
    assert "not yet sealed" in sealed.do("audit", "verify")


def put_over(source: Path, target: Path) -> None:
    """Copy one SQLite database over another."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


@pytest.mark.sqlite
def test_a_database_that_was_put_back_is_shown_by_a_seal_that_was_noted(operator: Operator, tmp_path: Path) -> None:
    write_many(operator, 2)
    seal(operator)
    store = Path(load(operator.config_path).database.url.removeprefix("sqlite:///"))
    kept = tmp_path / "kept.db"
    put_over(store, kept)
    operator.do("account", "add", "--username", "mallory")
    seal(operator)
    noted = operator.do("audit", "seal").split()[0]
    assert verified(operator, "--seal", noted)["intact"]
    put_over(kept, store)
    assert verified(operator)["intact"]  # it is a whole and honest trail, of yesterday
    (finding,) = verified(operator, "--seal", noted)["findings"]
    assert finding["fault"] == "noted_seal"
    write_many(operator, 1)
    seal(operator)  # another seal with the same number
    (finding,) = verified(operator, "--seal", noted)["findings"]
    assert "put back" in finding["words"]
    assert "not the value of a seal" in operator.refused("audit", "verify", "--seal", "douze")


def test_the_sealer_raises_the_alarm_when_its_last_seal_is_gone_or_changed(operator: Operator) -> None:
    application = build(load(operator.config_path), FixedClock())
    url = load(operator.config_path).database.url
    worker = Worker(application)
    worker.stand()

    def one_more() -> list[dict[str, Any]]:
        with application.database.write() as tx:
            tx.revisions.advance("something")
        write_many(operator, 1)
        worker.sealer.run_once()
        return operator.events("audit.broken")

    assert one_more() == []
    assert one_more() == []
    meddle(url, "DELETE FROM seals WHERE number = (SELECT max(number) FROM seals)")
    assert [event["reason"] for event in one_more()] == ["audit_rolled_back"]
    meddle(url, "UPDATE seals SET heads = '[]' WHERE number = (SELECT max(number) FROM seals)")
    assert [event["reason"] for event in one_more()] == ["audit_rolled_back", "audit_seal_changed"]
    worker.deliverer.close()
    worker.sender.close()
    worker.streamer.close()
    application.close()


def test_all_seals_taken_away_are_missed(operator: Operator) -> None:
    earlier = FixedClock(datetime.now(UTC) - timedelta(hours=1))
    application = build(load(operator.config_path), earlier)
    with application.database.write() as tx:
        tx.events.append(
            Event(type=EventType.SIGNIN_SUCCEEDED, at=earlier.now(), actor="account:x", origin=Origin("ABCDEFGHJK", "192.0.2.7"))
        )
    application.close()
    seal(operator)
    assert verified(operator)["intact"]
    meddle(load(operator.config_path).database.url, "DELETE FROM seals")
    assert faults(verified(operator)) == {"never_sealed"}


def test_without_the_master_key_nothing_verifies(sealed: Operator) -> None:
    (sealed.folder / "master.key").write_text("x" * 43)
    found = verified(sealed)
    assert not found["intact"]
    assert {"line_changed", "seal_changed"} <= faults(found)
