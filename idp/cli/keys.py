"""`vestibule keys`: the signing keys and the master key that seals them. How keys move is idp.oauth.keys'."""

import os
from pathlib import Path

import click

from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.clock import SystemClock


@click.group()
def keys() -> None:
    """Signing keys and the master key."""


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_keys(place: Place, *, as_json: bool) -> None:
    """List the signing keys: next (published, not used yet), current (signs), retired (still verifies)."""
    with place.database.read() as tx:
        found = tx.keys.all()
    rows = [
        {
            "kid": key.kid,
            "alg": key.alg,
            "state": key.state,
            "created": key.created_at.isoformat(timespec="seconds"),
            "activated": key.activated_at.isoformat(timespec="seconds") if key.activated_at else None,
            "retired": key.retired_at.isoformat(timespec="seconds") if key.retired_at else None,
        }
        for key in found
    ]
    if as_json:
        show_json(rows)
    else:
        show_table(("kid", "alg", "state", "created", "activated", "retired"), [tuple(row.values()) for row in rows])


@keys.command("rotate")
@click.option("--urgent", is_flag=True, help="A key was stolen: do not wait until applications know the next one.")
@command
def rotate(place: Place, *, urgent: bool) -> None:
    """Take the next signing keys into use; the current ones still verify for a while.

    Running servers follow within seconds. Without --urgent it is refused while the next keys were published too recently.
    """
    from idp.oauth.keys import rotate as rotate_keys

    with place.database.write() as tx:
        if not tx.keys.all():
            fail("there is no signing key yet: the first start of the server makes them")
        rotate_keys(tx, place.keyring, place.clock, actor=place.author.actor, origin=place.author.origin, is_urgent=urgent)
    click.echo("the next signing keys are in use")


@keys.command("new-master")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new_master(file: Path) -> None:
    """Write a new master key to FILE, readable by its owner only. It never overwrites one.

    Keep a copy somewhere safe and apart from the database: without it, nothing sealed in the database opens again.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{file} exists: a master key is never overwritten, what it sealed would be lost")
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror}")
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(SystemClock().new_token() + "\n")
    click.echo(f"{file} written; in the configuration: master_key: file:{file}")
