"""`vestibule scim`: the sources that write their people and groups to us themselves; what they wrote, and what became of it.

Arguments and what the terminal shows; acting on it again is idp/scim/settle.py's. Tokens are never shown.
"""

from typing import Any

import click

from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.composition.cut import open_settler
from idp.composition.stores import Stores
from idp.config import ScimSettings
from idp.errors import Refused
from idp.scim.resource import folded
from idp.scim.settle import Settler
from idp.store.base import ScimResource
from idp.store.database import Transaction

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def scim() -> None:
    """Sources that write their people and groups to us by SCIM 2.0, at /scim/v2."""


@scim.command("show")
@click.argument("name", required=False)
@click.option("--user", "login", metavar="LOGIN", help="One person: what the source said, and what became of it.")
@AS_JSON
@command
def show(place: Place, name: str | None, *, login: str | None, as_json: bool) -> None:
    """Show every source, or NAME: how many people and groups it wrote, when it last wrote, whom the brake holds."""
    if login is not None:
        if name is None:
            fail("--user goes with the NAME of a source: a login is unique within one")
        _show_person(place, _source(place, name), login, as_json=as_json)
        return
    sources = place.config.scim if name is None else (_source(place, name),)
    with place.database.read() as tx:
        described = [_describe(tx, one, place) for one in sources]
    if as_json:
        show_json(described)
        return
    if not described:
        click.echo("the configuration names no source (scim:)")
        return
    headers = ("name", "people", "active", "accounts", "groups", "joins", "last written (UTC)", "held", "run")
    show_table(headers, [tuple(one[key] for key in headers) for one in described])


@scim.command("settle")
@click.argument("name")
@AS_JSON
@command
def settle(place: Place, name: str, *, as_json: bool) -> None:
    """Act again on everybody whom NAME wrote: once mapping rules, or establishments, have changed."""
    counts = _settler(place).settle(_source(place, name), place.author)
    if as_json:
        show_json({"kept": counts["kept"], "unkept": {reason: count for reason, count in sorted(counts.items()) if reason != "kept"}})
        return
    click.echo(f"{name}: {counts['kept']} people kept")
    for reason, count in sorted(counts.items()):
        if reason != "kept":
            click.echo(f"{count} not kept: {reason}")


@scim.command("confirm")
@click.argument("name")
@click.argument("run")
@command
def confirm(place: Place, name: str, run: str) -> None:
    """End those whom the waiting RUN of NAME holds, if the source still says no of them. Nobody else."""
    try:
        held = _settler(place).confirm(_source(place, name), run, place.author)
    except Refused as refused:
        fail(refused.detail)
    click.echo(f"{name}: the run {run} is confirmed; it held {held} people")


@scim.command("dismiss")
@click.argument("name")
@click.argument("run")
@command
def dismiss(place: Place, name: str, run: str) -> None:
    """Let go of those whom the waiting RUN of NAME holds, once the source is repaired: what it writes next of each counts."""
    try:
        held = _settler(place).dismiss(_source(place, name), run, place.author)
    except Refused as refused:
        fail(refused.detail)
    click.echo(f"{name}: the run {run} is dismissed; {held} people are held by it no more")


def _settler(place: Place) -> Settler:
    return open_settler(Stores(place.config, place.clock, place.keyring, place.database))


def _source(place: Place, name: str) -> ScimSettings:
    found = next((one for one in place.config.scim if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in place.config.scim) or "none"
        fail(f"no source {name} in the configuration (there are: {known})")
    return found


def _describe(tx: Transaction, source: ScimSettings, place: Place) -> dict[str, Any]:
    run = next(iter(tx.links.runs(source.name, state="held")), None)
    changed_at = tx.scim.changed_at(source.name)
    return {
        "name": source.name,
        "address": f"{place.config.issuer}/scim/v2",
        "tokens": len(source.tokens),
        "clients": list(source.clients),
        "joins": source.joins,
        "people": tx.scim.count(source.name, "User"),
        "active": tx.scim.count(source.name, "User", is_active=True),
        "accounts": tx.links.count(source.name),
        "groups": tx.scim.count(source.name, "Group"),
        "last written (UTC)": f"{changed_at:%Y-%m-%d %H:%M:%S}" if changed_at else None,
        "held": len(tx.links.held_by(run.id)) if run else 0,
        "run": run.id if run else None,
    }


def _show_person(place: Place, source: ScimSettings, login: str, *, as_json: bool) -> None:
    with place.database.read() as tx:
        person = tx.scim.by_name(source.name, "User", folded(login))
        if person is None:
            fail(f"{source.name} has written nobody with the login {login}")
        described = _describe_person(tx, source, person)
    if as_json:
        show_json(described)
        return
    for name, value in described.items():
        if name != "body":
            click.echo(f"{name:<10} {plain(', '.join(value) if isinstance(value, list) else str(value if value is not None else ''))}")


def _describe_person(tx: Transaction, source: ScimSettings, person: ScimResource) -> dict[str, Any]:
    link = tx.links.get(source.name, person.id)
    account = tx.people.get(link.account_id) if link is not None else None
    return {
        "id": person.id,
        "login": person.body.get("userName"),
        "external id": person.external_id,
        "active": person.is_active,
        "groups": [str(one.body.get("displayName")) for one in tx.scim.groups_of([person.id])[person.id]],
        "account": account.id if account else None,
        "status": account.status if account else "no account: no rule places them, or they were never active",
        "word": link.word if link else None,
        "held until": link.held_until.isoformat() if link is not None and link.held_until is not None else None,
        "changed": person.changed_at.isoformat(),
        "body": dict(person.body),
    }
