"""`vestibule audit`: reading the trail: the last lines, an export, and what one support code leads to.

Owns filters, formats and colours; the trail itself is append-only in idp.store.events. An export is an Event too: who took what away.
"""

import csv
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

import click

from idp.audit import Event, EventType
from idp.cli.audit_seal import give_rights, list_streams, newest_seal, verify_trail
from idp.cli.output import plain
from idp.cli.place import Place, command, fail
from idp.cli.policy_words import past_lines, place_line
from idp.clock import CROCKFORD
from idp.desk.csv_text import csv_cell
from idp.people import accounts
from idp.store.database import Transaction
from idp.store.events import EventFilter

COLUMNS = (
    "id", "at", "type", "reason", "actor", "account_id", "identifier_hash", "client_id", "establishment_id", "session_id", "grant_id",
    "connector", "zone", "zone_kind", "zone_why", "device_id", "workstation_id", "address", "network_chain", "user_agent", "amr", "acr", "request_id",
    "decision", "details", "writer", "sequence", "previous", "mac",
)  # fmt: skip
SHOWN_OTHERWISE = frozenset(
    {
        "id",
        "at",
        "type",
        "reason",
        "establishment_id",
        "request_id",
        "zone",
        "zone_kind",
        "zone_why",
        "decision",
        "details",
        "previous",
        "mac",
    }
)
FOLLOW_EVERY_SECONDS = 0.5


@click.group()
def audit() -> None:
    """The audit trail."""


for _command in (verify_trail, newest_seal, list_streams, give_rights):
    audit.add_command(_command)


def _filters(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--since", help="From this instant: 2026-12-31, 2026-12-31T08:00, or 2h, 7d ago."),
            click.option("--until", help="Before this instant."),
            click.option("--type", "type_prefix", help="Event type or its beginning, for instance signin or token.refused."),
            click.option("--account", "who", help="Id or identifier of a person."),
            click.option("--client", "client_id", help="Client id."),
            click.option("--establishment", "slug", help="Slug of an establishment."),
        )
    ):
        function = option(function)
    return function


@audit.command("tail")
@_filters
@click.option("--lines", "-n", default=20, show_default=True, type=click.IntRange(0, 100_000), help="How many of the last lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on as lines are written.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
def tail(place: Place, /, *, lines: int, follow: bool, as_json: bool, **filters: Any) -> None:
    """Show the last lines of the trail, for people. Times are local to the configuration's time zone."""
    with place.database.read() as tx:
        wanted = replace(_wanted(place, tx, filters), is_settled=follow)
        found = tx.events.last(wanted, lines)
    _show(place, found, as_json=as_json)
    if not follow:
        return
    last = found[-1]["id"] if found else _newest_id(place)
    while True:
        time.sleep(FOLLOW_EVERY_SECONDS)
        with place.database.read() as tx:
            found = list(tx.events.read(replace(wanted, after_id=last), limit=1000))
        if found:
            last = found[-1]["id"]
            _show(place, found, as_json=as_json)


@audit.command("export")
@_filters
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="JSON Lines or CSV.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A new file (0600). Default: standard output.")
@command
def export(place: Place, /, *, form: str, output: Path | None, **filters: Any) -> None:
    """Export the trail, whole or filtered. The export itself is recorded."""
    with place.database.read() as tx:
        wanted = _wanted(place, tx, filters)
    # Recorded before the first line leaves: an export cut short was an export.
    given = {name: value for name, value in filters.items() if value}
    with place.database.write() as tx:
        tx.events.append(
            Event(
                type=EventType.AUDIT_EXPORTED,
                at=place.clock.now(),
                actor=place.author.actor,
                origin=place.author.origin,
                details={"format": form, **given},
            )
        )
    stream = _new_file(output) if output else sys.stdout
    try:
        with place.database.read() as tx:
            count = _write(tx.events.read(wanted), stream, form=form)
    finally:
        if output:
            stream.close()
    click.echo(f"{count} line(s) exported", err=True)


@audit.command("show")
@click.argument("support_code")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
def show(place: Place, support_code: str, *, as_json: bool) -> None:
    """Show what happened in the request that a page's SUPPORT_CODE names, in full.

    With or without the dash, in any case; the letters O, I and L are read as the digits people meant.
    """
    code = read_support_code(support_code)
    with place.database.read() as tx:
        found = list(tx.events.read(EventFilter(request_id=code)))
        if not found:
            fail(f"no line of the trail has the support code {code[:5]}-{code[5:]}")
        if as_json:
            _show(place, found, as_json=True)
            return
        for line in found:
            _show_whole(place, tx, line)


def read_support_code(text: str) -> str:
    """The ten characters of a support code as typed or dictated; ends the command when they cannot be one."""
    folded = text.upper().replace("-", "").replace(" ", "").replace("O", "0").replace("I", "1").replace("L", "1")
    if len(folded) != 10 or any(character not in CROCKFORD for character in folded):
        fail(f"{text!r} is not a support code: ten letters and digits, for instance 4K7QZ-M2X9B")
    return folded


def _wanted(place: Place, tx: Transaction, given: dict[str, Any]) -> EventFilter:
    establishment = tx.establishments.by_slug(given["slug"]) if given["slug"] else None
    if given["slug"] and establishment is None:
        fail(f"no establishment {given['slug']}")
    return EventFilter(
        since=read_instant(place, given["since"]) if given["since"] else None,
        until=read_instant(place, given["until"]) if given["until"] else None,
        type_prefix=given["type_prefix"],
        account_id=accounts.named(tx, given["who"]).id if given["who"] else None,
        client_id=given["client_id"],
        establishment_id=establishment.id if establishment else None,
    )


def read_instant(place: Place, text: str) -> datetime:
    """An instant as typed, in the configuration's time zone; ends the command when it is none."""
    if text[:-1].isdecimal() and text[-1] in "mhd":
        unit = {"m": "minutes", "h": "hours", "d": "days"}[text[-1]]
        return place.clock.now() - timedelta(**{unit: int(text[:-1])})
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not an instant such as 2026-12-31, 2026-12-31T08:00 or 2h")
    return (instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(place.config.pages.time_zone))).astimezone(UTC)


def _newest_id(place: Place) -> int:
    with place.database.read() as tx:
        newest = tx.events.last(EventFilter(is_settled=True), 1)
    return int(newest[0]["id"]) if newest else 0


def _write(lines: Iterator[dict[str, Any]], stream: TextIO, *, form: str) -> int:
    from tqdm import tqdm

    # disable=None: no bar unless standard error is a terminal.
    counted = tqdm(lines, desc="exporting", unit=" lines", disable=None, leave=False)
    count = 0
    if form == "jsonl":
        for line in counted:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
        return count
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for line in counted:
        writer.writerow([csv_cell(line[name]) for name in COLUMNS])
        count += 1
    return count


def _new_file(path: Path) -> TextIO:
    import os

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"cannot write a new file {path}: {error.strerror}")
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


def _show(place: Place, found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for line in found:
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    with place.database.read() as tx:
        for line in found:
            colour = _colour(line["type"])
            at = datetime.fromisoformat(line["at"]).astimezone(ZoneInfo(place.config.pages.time_zone))
            click.echo(
                "  ".join(
                    (
                        click.style(f"{at:%Y-%m-%d %H:%M:%S}", dim=True),
                        click.style(f"{line['type']:<24}", fg=colour),
                        click.style(f"{line['reason'] or '':<26}", fg=colour),
                        f"{plain(_who(tx, line)):<28}",
                        f"{plain(line['client_id'] or ''):<18}",
                        f"{line['address']:<15}",
                        click.style(f"{line['request_id'][:5]}-{line['request_id'][5:]}", dim=True),
                    )
                ).rstrip()
            )


def _show_whole(place: Place, tx: Transaction, line: dict[str, Any]) -> None:
    at = datetime.fromisoformat(line["at"]).astimezone(ZoneInfo(place.config.pages.time_zone))
    click.secho(f"{at:%Y-%m-%d %H:%M:%S.%f %Z}  {line['type']}", fg=_colour(line["type"]), bold=True)
    kind = EventType(line["type"])
    click.echo(f"  {kind.description}")
    if line["reason"]:
        from idp.audit import Reason

        click.echo(f"  reason: {line['reason']}: {Reason(line['reason']).description}")
    if line["account_id"]:
        click.echo(f"  person: {plain(_who(tx, line))}")
    if line["establishment_id"] and (place_of := tx.establishments.get(line["establishment_id"])):
        click.echo(f"  establishment: {place_of.slug} ({plain(place_of.name)})")
    if line["zone_why"] != "not_concluded":
        click.echo(f"  where: {plain(place_line(line['zone'], line['zone_kind'], line['zone_why']))}")
    for name in COLUMNS:
        value = line[name]
        if name in SHOWN_OTHERWISE or not value:
            continue
        click.echo(f"  {name}: {plain(' '.join(value) if isinstance(value, list) else str(value))}")
    for name, value in line["details"].items():
        click.echo(f"  {name}: {plain(str(value))}")
    for said in past_lines(line["decision"]) if line["decision"] else ():
        click.echo(f"  {plain(said)}")


def _who(tx: Transaction, line: dict[str, Any]) -> str:
    if line["account_id"]:
        account = tx.people.get(line["account_id"])
        name = account.name if account else line["account_id"]
        return name if line["actor"].startswith("account:") else f"{name} ({line['actor']})"
    actor: str = line["actor"]
    return actor


def _colour(kind: str) -> str | None:
    verb = kind.rsplit(".", 1)[1]
    if "refused" in verb or verb == "abandoned":
        return "red"
    return (
        "yellow"
        if verb in {"ended", "suspended", "retried", "restarted"}
        else "green"
        if verb in {"succeeded", "granted", "issued"}
        else None
    )
