"""`vestibule stream`: the Shared Signals streams that applications have made for themselves, and what waits for each.

Arguments and what is shown. Streams are the applications' own: from here they are only looked at; what their Authorization header says never shows.
"""

from typing import Any

import click

from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command
from idp.signals import delivered
from idp.store.base import Stream
from idp.store.database import Transaction


@click.group()
def stream() -> None:
    """Shared Signals streams: what applications are told by Security Event Tokens."""


@stream.command("list")
@click.option("--client", "client_id", help="Only this application's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_streams(place: Place, *, client_id: str | None, as_json: bool) -> None:
    """List the streams: whose, how they are delivered, their status, when one was last verified, and how many events wait."""
    with place.database.read() as tx:
        found = tx.signals.all() if client_id is None else tx.signals.of_client(client_id)
        described = [_describe(tx, one) for one in found]
    if as_json:
        show_json(described)
        return
    if not described:
        click.echo("no application has a stream (docs/connect-an-application.md)")
        return
    headers = ("client", "id", "delivery", "status", "events", "waiting", "verified (UTC)")
    show_table(headers, [(*(one[key] for key in headers[:4]), len(one["events"]), *(one[key] for key in headers[5:])) for one in described])


def _describe(tx: Transaction, one: Stream) -> dict[str, Any]:
    return {
        "client": one.client_id,
        "id": one.id,
        "delivery": one.delivery,
        "endpoint": plain(one.endpoint_url or ""),
        "status": one.status,
        "reason": plain(one.reason),
        "description": plain(one.description),
        "events": list(delivered(one)),
        "waiting": tx.signals.count_waiting(one.id),
        "verified (UTC)": f"{one.verified_at:%Y-%m-%d %H:%M:%S}" if one.verified_at else None,
    }
