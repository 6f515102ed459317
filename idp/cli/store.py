"""`vestibule migrate` and `vestibule outbox`: the store itself, and what waits in it to be told to applications."""

import click

from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command
from idp.store.migrations import upgrade


@click.command()
@command
def migrate(place: Place) -> None:
    """Create the store, or bring it to this program's version.

    `vestibule serve` does it too when it starts. Forward only: keep a copy before an upgrade.
    """
    before, after = upgrade(place.open_database())
    url = place.config.database.place
    click.echo(f"{url}: already at revision {after}" if before == after else f"{url}: from {before or 'nothing'} to revision {after}")


@click.group()
def outbox() -> None:
    """Notices that applications are owed (back-channel logout)."""


@outbox.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_outbox(place: Place, *, limit: int, as_json: bool) -> None:
    """List the newest notices: waiting, delivered, or abandoned, with what the application last answered."""
    with place.database.read() as tx:
        notices = tx.outbox.recent(limit)
        waiting = tx.outbox.waiting()
    rows = [
        {
            "id": notice.id,
            "state": "delivered" if notice.delivered_at else "abandoned" if notice.abandoned_at else "waiting",
            "client": notice.client_id,
            "account": notice.account_id,
            "cause": notice.cause,
            "written": notice.created_at.isoformat(timespec="seconds"),
            "attempts": notice.attempts,
            "next": notice.next_attempt_at.isoformat(timespec="seconds") if notice.next_attempt_at else None,
            "answer": notice.receipt,
        }
        for notice in notices
    ]
    if as_json:
        show_json({"waiting": waiting, "notices": rows})
        return
    if rows:
        show_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    click.echo(f"{waiting} waiting")
