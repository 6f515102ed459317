"""`vestibule cut`: access that was taken from people, and the certificate of each: looked at, printed, and verified when somebody brings one back.

Arguments and what is shown; what a certificate says is idp/lifecycle/certificate.py's. Nobody is cut from here: `vestibule account suspend` does.
"""

import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.lifecycle.certificate import Certificate, Gap, Receipt, Signatory, certify
from idp.people import accounts
from idp.store.base import Account, Cut
from idp.store.database import Transaction
from policies.acts import Act

KINDS: Mapping[str, str] = {"suspended": "suspended", "ended": "ended", "attachment": "post lost"}
CHANNELS: Mapping[str, str] = {
    "backchannel_logout": "back-channel logout",
    "set_push": "security event (push)",
    "set_poll": "security event (poll)",
}
STATES: Mapping[str, str] = {"acknowledged": "acknowledged", "waiting": "not answered yet", "given_up": "given up"}
GAPS: Mapping[Gap, str] = {
    "written_unknown": "the directory does not say when it was written there",
    "heard_unknown": "when it was heard was not kept",
    "not_told": "an application that held tokens gave no address where it could be told: it learns when it next asks",
    "not_answered_yet": "an application has not answered yet",
    "given_up": "an application did not acknowledge, after every try: look there",
}
LARGEST = 1_000_000


@click.group()
def cut() -> None:
    """Access taken from people, and the certificate of each cut."""


@cut.command("list")
@click.option("--person", "who", help="Only theirs.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_cuts(place: Place, *, who: str | None, limit: int, as_json: bool) -> None:
    """List the newest cuts: whose access, why, when it was decided, and whether every application has answered. The canary's are left out."""
    with place.database.read() as tx:
        account_id = accounts.named(tx, who).id if who else None
        found = tx.cuts.find(places=place.agent.actor.places(Act.READ_AUDIT), account_id=account_id, limit=limit)
        certificates = [certify(tx, one, now=place.clock.now()) for one in found]
    if as_json:
        show_json([_line(one) for one in certificates])
        return
    show_table(
        ("id", "person", "what", "cause", "decided (UTC)", "applications", "state"),
        [
            (
                one.cut.id,
                one.person or one.cut.account_id,
                _what(one),
                one.cut.cause,
                _at(one.cut.decided_at),
                f"{sum(told.state == 'acknowledged' for told in one.receipts)} of {len(one.receipts)}",
                one.state,
            )
            for one in certificates
        ],
    )


@cut.command("show")
@click.argument("who", metavar="PERSON")
@click.option("--cut", "cut_id", metavar="CUT", help="That one of theirs, by its id. Default: the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print the signed document, to keep or to hand over.")
@command
def show(place: Place, who: str, *, cut_id: str | None, as_json: bool) -> None:
    """Show the certificate of PERSON's last cut: when it was written in the directory, heard and decided, and what each application answered.

    Exit code 0: every application that can be told has acknowledged; 3: one has not, or cannot be told.
    """
    with place.database.read() as tx:
        account = accounts.named(tx, who)
        chosen = _chosen(tx, account, cut_id, places=place.agent.actor.places(Act.READ_AUDIT))
        if chosen is None:
            fail(f"{account.name}: nothing was ever cut" if cut_id is None else f"{account.name}: no cut {cut_id}")
        certificate = certify(tx, chosen, now=place.clock.now())
    if as_json:
        show_json(Signatory(place.keyring, place.config.issuer).document(certificate))
    else:
        _show(certificate)
    raise SystemExit(0 if certificate.state == "complete" else 3)


@cut.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@command
def verify(place: Place, file: Path) -> None:
    """Say whether FILE (- for standard input) is a certificate of this deployment, as it was written. Exit code 1: it is not."""
    text = sys.stdin.read(LARGEST) if str(file) == "-" else _read(file)
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not Signatory(place.keyring, place.config.issuer).is_ours(document):
        click.secho("not a certificate of this deployment, or it was changed", fg="red", err=True)
        raise SystemExit(1)
    click.echo(
        plain(f"ours, as it was written at {document['issued_at']}: cut {document['cut']} of {document['person']}, {document['state']}")
    )


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")


def _chosen(tx: Transaction, account: Account, cut_id: str | None, *, places: frozenset[str] | None) -> Cut | None:
    """Theirs by its id, or their newest; None when there is none that may be seen."""
    if cut_id is None:
        return next(iter(tx.cuts.find(places=places, account_id=account.id, limit=1)), None)
    found = tx.cuts.get(cut_id.strip().upper())
    if found is None or found.account_id != account.id or not tx.cuts.is_seen_from(found.id, places):
        return None
    return found


def _show(certificate: Certificate) -> None:
    cut = certificate.cut
    click.secho(
        plain(f"{certificate.person or cut.account_id}: {_what(certificate)} ({cut.cause}) by {certificate.author or cut.actor}"), bold=True
    )
    click.echo(f"  cut {cut.id}, support code {cut.request_id[:5]}-{cut.request_id[5:]}")
    if cut.connector is not None:
        click.echo(plain(f"  written in {cut.connector:<20} {_at(cut.written_at) or 'not said'} (by its clock)"))
        if certificate.held_at is not None:
            click.echo(f"  held by the brake since         {_at(certificate.held_at)}, until somebody confirmed it")
        click.echo(f"  heard by us                     {_at(cut.heard_at) or 'not kept'}{_after(certificate.to_hear)}")
    click.echo(f"  decided and ended               {_at(cut.decided_at)}{_after(certificate.to_decide)}")
    click.echo(f"  ended: {cut.sessions} sessions, {cut.grants} grants with their refresh tokens")
    for one in certificate.receipts:
        click.echo(plain(f"  told: {one.application}: {_receipt(one)}"))
    for other in certificate.untold:
        click.echo(plain(f"  not told: {other.application}"))
    for gap in certificate.gaps:
        click.secho(f"  missing: {GAPS[gap]}", fg="yellow")
    click.echo(f"  {certificate.state}")


def _receipt(one: Receipt) -> str:
    answer = f" ({one.words})" if one.words else ""
    tries = f", {one.attempts} tries" if one.attempts > 1 else ""
    return f"{CHANNELS[one.channel]}, {STATES[one.state]}{answer} {_at(one.ended_at)}{_after(one.took)}{tries}"


def _what(certificate: Certificate) -> str:
    kind = KINDS[certificate.cut.kind]
    return f"{kind} at {certificate.establishment}" if certificate.establishment else kind


def _line(one: Certificate) -> dict[str, Any]:
    return {
        "id": one.cut.id,
        "account": one.cut.account_id,
        "person": one.person,
        "kind": one.cut.kind,
        "establishment": one.establishment or None,
        "cause": one.cut.cause,
        "actor": one.cut.actor,
        "directory": one.cut.connector,
        "decided_at": _at(one.cut.decided_at),
        "sessions": one.cut.sessions,
        "grants": one.cut.grants,
        "acknowledged": sum(told.state == "acknowledged" for told in one.receipts),
        "told": len(one.receipts),
        "state": one.state,
    }


def _at(instant: datetime | None) -> str:
    return instant.isoformat(timespec="milliseconds") if instant is not None else ""


def _after(lasted: timedelta | None) -> str:
    return f"  (+{lasted / timedelta(milliseconds=1):.0f} ms)" if lasted is not None else ""
