"""`vestibule audit verify`, `seal`, `streams` and `rights`: whether the trail is as it was written, and who could change it.

Owns what is shown; idp/trail concludes. A verification is an Event too, whatever it found. Exit code 1: the trail was touched.
"""

import sys
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from idp.audit import Event, EventType, Reason
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.store.chain import Notary
from idp.trail.finding import Verification, shown
from idp.trail.value import instant, read_seal_value, seal_value
from idp.trail.verification import LATE, verify

SHOWN = 50


@click.command("verify")
@click.option(
    "--seal", "noted", help="A seal as it was noted elsewhere (the log, a stream, paper): the trail must still hold that very one."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def verify_trail(place: Place, *, noted: str | None, as_json: bool) -> None:
    """Verify every line, chain, seal and record of a purge, and name what was touched.

    Without the master key nobody can make a line, or change one, that this would not find. It does not find lines that were written and taken away
    before the next seal (a minute), nor a database that was put back as a whole: for that give --seal.
    """
    from tqdm import tqdm

    expected = read_seal_value(noted) if noted else None
    with tqdm(desc="verifying", unit=" lines", unit_scale=True, disable=None, leave=False, file=sys.stderr) as bar:
        notary, now = Notary.of(place.keyring), place.clock.now()
        found = verify(place.database, notary, now=now, begin=lambda lines: bar.reset(lines), tell=bar.update, noted=expected)
    with place.database.write() as tx:
        tx.events.append(
            Event(
                type=EventType.AUDIT_VERIFIED if found.is_intact else EventType.AUDIT_BROKEN,
                at=place.clock.now(),
                actor=place.author.actor,
                origin=place.author.origin,
                reason=None if found.is_intact else Reason.AUDIT_TOUCHED,
                details={"lines": found.lines, "seals": found.seals, "findings": len(found.findings)},
            )
        )
    if as_json:
        show_json(_as_json(found))
    else:
        _show(place, found)
    if not found.is_intact:
        raise click.exceptions.Exit(1)


@click.command("seal")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def newest_seal(place: Place, *, as_json: bool) -> None:
    """Print the newest seal. Noted where the database's administrators do not reach, it shows a database that was put back."""
    with place.database.read() as tx:
        seal = tx.seals.newest()
    if seal is None:
        fail("nothing was sealed yet: `vestibule work` seals every minute in which something happened")
    if not Notary.of(place.keyring).signed_seal(seal):
        fail(f"the newest seal, {seal['number']}, is not one of ours: run `vestibule audit verify`")
    if as_json:
        show_json({"seal": seal_value(seal), "at": instant(seal["at"]).isoformat()})
        return
    click.echo(f"{seal_value(seal)}  {_local(place, instant(seal['at']))}")


@click.command("streams")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_streams(place: Place, *, as_json: bool) -> None:
    """List the streams of the configuration: how far each has got, and what its trouble is."""
    rows = []
    with place.database.read() as tx:
        newest = tx.trail.newest()
        for stream in place.config.audit.streams:
            cursor = tx.seals.cursor(stream.name)
            rows.append(
                {
                    "name": stream.name,
                    "type": stream.type,
                    "state": "not begun" if cursor is None else "failing" if cursor.trouble else "running",
                    "behind": newest - cursor.line if cursor else None,
                    "sent": cursor.sent_at.isoformat(timespec="seconds") if cursor and cursor.sent_at else None,
                    "since": cursor.failing_since.isoformat(timespec="seconds") if cursor and cursor.failing_since else None,
                    "trouble": cursor.trouble if cursor else "",
                }
            )
    if as_json:
        show_json(rows)
    elif rows:
        show_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    else:
        click.echo("no stream is configured (audit.streams)")


@click.command("rights")
@click.argument("role")
@command
def give_rights(place: Place, role: str) -> None:
    """Give ROLE, the program's own PostgreSQL role, what it needs and no more: no right to change or delete a line of the trail.

    Run as the owner of the tables (with the owner's database.url), after `vestibule migrate` and after each upgrade. Makes the role when it is not
    there; its password is set in PostgreSQL. The program then connects as ROLE.
    """
    if place.config.database.is_embedded:
        fail("the store is a file: its owner can do anything with it; roles are PostgreSQL's (docs/audit-trail.md)")
    from idp.store.rights import give

    with place.database.write() as tx:
        made, owner = give(tx, role)
        tx.events.append(
            Event(
                type=EventType.CONFIGURATION_APPLIED,
                at=place.clock.now(),
                actor=place.author.actor,
                origin=place.author.origin,
                details={"database_role": role},
            )
        )
    click.echo(
        f"{role} {'was made and ' if made else ''}may read and write; the trail it may only read and add to. {owner} owns the tables."
    )


def _show(place: Place, found: Verification) -> None:
    click.echo(f"{found.lines} line(s) of {found.writers} writer(s), {found.seals} seal(s); {found.purged} line(s) were purged before")
    if found.before:
        click.echo(f"{found.before} of them are from before the chains: no signature protects what they say")
    if found.newest_seal and found.sealed_at:
        click.echo(f"sealed up to {_local(place, found.sealed_at)}: {found.newest_seal}")
    window = found.unsealed
    if window.first_at and window.last_at:
        click.echo(f"not yet sealed: {window.lines} line(s), from {_local(place, window.first_at)} to {_local(place, window.last_at)}")
        if place.clock.now() - window.first_at > LATE:
            click.secho("the sealer is late: does `vestibule work` run?", fg="yellow")
    if found.began_late is not None:
        hours = found.began_late.total_seconds() / 3600
        click.secho(
            f"the first seal was made {hours:.1f} hours after the first signed line: if `vestibule work` ran all that time, earlier seals were "
            "taken away; a seal noted elsewhere shows it (--seal)",
            fg="yellow",
        )
    if found.may_be_changed and not place.config.database.is_embedded:
        click.secho("this PostgreSQL role has the right to change the trail: see `vestibule audit rights`", fg="yellow")
    if place.config.audit.purge == "never":
        click.secho("nothing is purged (audit.purge: never)", fg="yellow")
    if found.is_intact:
        click.secho("nothing was touched", fg="green")
        return
    for words in shown(found.findings, SHOWN):
        click.secho(plain(words), fg="red")
    click.secho(f"THE TRAIL WAS TOUCHED: {len(found.findings)} finding(s)", fg="red", bold=True)


def _as_json(found: Verification) -> dict[str, Any]:
    return {
        "intact": found.is_intact,
        "lines": found.lines,
        "before_the_chains": found.before,
        "writers": found.writers,
        "seals": found.seals,
        "purged": found.purged,
        "newest_seal": found.newest_seal,
        "sealed_at": _iso(found.sealed_at),
        "began_late_seconds": found.began_late.total_seconds() if found.began_late is not None else None,
        "unsealed": {"lines": found.unsealed.lines, "from": _iso(found.unsealed.first_at), "to": _iso(found.unsealed.last_at)},
        "findings": [
            {"fault": str(one.fault), "line": one.line_id, "writer": one.writer, "at": _iso(one.at), "words": one.words}
            for one in found.findings
        ],
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _local(place: Place, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(place.config.pages.time_zone)):%Y-%m-%d %H:%M:%S}"
