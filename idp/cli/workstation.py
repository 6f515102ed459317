"""`vestibule workstation`: passes by which machines are enrolled, the machines that are, and taking one back."""

from typing import Any

import click

from idp.audit import Reason
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.cli.zone import named_zone, open_establishment
from idp.config import format_duration
from idp.endings import Cause, Ended
from idp.signin.passes import NewPass, Passes
from idp.store.base import Workstation
from idp.zones import end_workstation

LONGEST_NAME = 80


@click.group()
def workstation() -> None:
    """Enrolled computers."""


@workstation.command("pass")
@click.argument("establishment")
@click.option("--zone", "zone_name", required=True, help="Name of the zone that the computer stands in.")
@click.option("--name", required=True, help='What people call it, for instance "Poste de soins 2".')
@click.option("--shared", is_flag=True, help="Several people use it: nothing is remembered there, and sign-ins end early.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the pass.")
@command
def make_pass(place: Place, /, establishment: str, *, zone_name: str, name: str, shared: bool, as_json: bool) -> None:
    """Print a pass, once, that enrols one computer of ESTABLISHMENT: it is typed there on the page /workstation."""
    name = " ".join(plain(name).split())
    if not name or len(name) > LONGEST_NAME:
        fail(f"--name: 1 to {LONGEST_NAME} characters")
    life = place.config.factors.workstation_pass_life
    passes = Passes(place.database, place.keyring, place.clock, settings=place.config.factors)
    with place.database.write() as tx:
        where = open_establishment(tx, establishment)
        zone = named_zone(tx, where, zone_name)
        if zone.kind == "blocked":
            fail(f"{establishment}/{zone_name} is blocked: nobody signs in there")
        wanted = NewPass(purpose="workstation", establishment_id=where.id, zone_id=zone.id, is_shared=shared, label=name)
        code, kept = passes.issue(tx, wanted, place.author)
    address = f"{place.config.issuer}/workstation"
    if as_json:
        show_json({"pass": code, "address": address, "zone": f"{establishment}/{zone_name}", "name": name, "expires_at": kept.expires_at})
        return
    click.echo(f"type this pass on the computer itself, at {address}, within {format_duration(life)}; it serves once:", err=True)
    click.echo(code)


@workstation.command("list")
@click.option("--establishment", "slug", help="Only those of this establishment.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_workstations(place: Place, /, *, slug: str | None, as_json: bool) -> None:
    """List the enrolled computers. Last seen is right to about an hour."""
    with place.database.read() as tx:
        labels = {zone.id: f"{of}/{zone.name}" for zone, of in tx.zones.open_with_slugs()}
        found = tx.workstations.open(open_establishment(tx, slug).id if slug else None)
    rows = [_plain(item, labels.get(item.zone_id)) for item in found]
    if as_json:
        show_json(rows)
        return
    names = ("id", "zone", "name", "shared", "enrolled", "enrolled_by", "last_seen")
    show_table(
        names,
        [tuple(row[name] if name not in {"enrolled", "last_seen"} else f"{row[name]:%Y-%m-%d %H:%M}" for name in names) for row in rows],
    )


@workstation.command("revoke")
@click.argument("workstation_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def revoke(place: Place, /, workstation_id: str, *, yes: bool) -> None:
    """End the enrolled computer WORKSTATION_ID, and every session that was opened on it."""
    with place.database.read() as tx:
        found = tx.workstations.get(workstation_id)
    if found is None or found.ended_at is not None:
        fail(f"no workstation {workstation_id}")
    if not yes:
        click.confirm(f"Revoke {plain(found.name)}? Sessions that were opened on it end now.", abort=True)
    with place.database.write() as tx:
        cause = Cause(Reason.ENDED_BY_OPERATOR, place.author.actor, place.author.origin)
        ended = end_workstation(tx, found, cause, clock=place.clock) or Ended()
    click.echo(f"{plain(found.name)} revoked: {ended.sessions} sessions, {ended.grants} grants ended")


def _plain(item: Workstation, zone: str | None) -> dict[str, Any]:
    return {
        "id": item.id,
        "zone": zone,
        "name": item.name,
        "shared": item.is_shared,
        "enrolled": item.created_at,
        "enrolled_by": item.enrolled_by,
        "last_seen": item.last_seen_at,
    }
