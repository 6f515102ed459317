"""`vestibule reset`: the requests of the reset desk, looked at and cancelled from the machine. They are made and approved in the console.

Arguments and what is shown; the acts are idp/desk/resets.py's. No command approves or carries out: nobody at a terminal has recognised a person.
"""

from datetime import datetime
from typing import Any

import click

from idp.app import build
from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.store.base import Reset


@click.group()
def reset() -> None:
    """Requests for a new password or second factor."""


@reset.command("list")
@click.option("--establishment", "slug", help="Only those of this establishment.")
@click.option("--ended", is_flag=True, help="Those that have ended, the newest first. Default: those that are open, the oldest first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_resets(place: Place, *, slug: str | None, ended: bool, limit: int, as_json: bool) -> None:
    """List requests with how long they have waited. Never a code."""
    with place.database.read() as tx:
        home = tx.establishments.by_slug(slug) if slug else None
        if slug and home is None:
            fail(f"no establishment {slug}")
        found = tx.resets.queue(frozenset({home.id}) if home else None, is_open=not ended, limit=limit)
        slugs = {one.id: one.slug for one in tx.establishments.all()}
        names = {one.account_id: account.name for one in found if (account := tx.people.get(one.account_id)) is not None}
    now = place.clock.now()
    lines = [
        {**_line(one, now), "establishment": slugs.get(one.establishment_id, ""), "name": names.get(one.account_id, "")} for one in found
    ]
    if as_json:
        show_json(lines)
        return
    show_table(
        ("id", "establishment", "name", "kind", "state", "minutes"),
        [(one["id"], one["establishment"], one["name"], one["kind"], one["state"], str(one["minutes"])) for one in lines],
    )


@reset.command("show")
@click.argument("reset_id", metavar="RESET")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def show(place: Place, reset_id: str, *, as_json: bool) -> None:
    """Show a request and what was done with it. Never a code."""
    with place.database.read() as tx:
        found = tx.resets.get(reset_id.strip().upper())
        if found is None:
            fail(f"no request {reset_id}")
        moves = tx.resets.moves(found.id)
        account = tx.people.get(found.account_id)
    if as_json:
        done = [{"at": one.at.isoformat(), "move": one.move, "actor": one.actor, "details": dict(one.details)} for one in moves]
        show_json({**_line(found, place.clock.now()), "account": found.account_id, "moves": done})
        return
    click.echo(f"{found.kind} of {account.name if account else found.account_id}: {found.state}; {found.why}")
    show_table(
        ("at", "move", "by", "details"),
        [
            (
                one.at.isoformat(timespec="seconds"),
                one.move,
                one.actor,
                " ".join(f"{name}={value}" for name, value in one.details.items() if value),
            )
            for one in moves
        ],
    )


@reset.command("cancel")
@click.argument("reset_id", metavar="RESET")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@command
def cancel(place: Place, reset_id: str, *, reason: str) -> None:
    """Cancel a request: its codes are worth nothing any more. What was carried out stays so; the person is told."""
    application = build(place.config, place.clock)
    try:
        ended = application.desk.resets.cancel(place.agent, reset_id.strip().upper(), why=reason)
    finally:
        application.close()
    click.echo(f"{ended.id} cancelled")


def _line(one: Reset, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "source": one.source,
        "state": one.state,
        "is_own": one.is_own,
        "asked_by": one.asked_by,
        "asked_at": one.asked_at.isoformat(),
        "needs_second": one.needs_second,
        "proof": one.proof_kind,
        "second_by": one.second_by,
        "carried_by": one.carried_by,
        "sent_channel": one.sent_channel,
        "minutes": int(((one.closed_at or now) - one.asked_at).total_seconds() // 60),
    }
