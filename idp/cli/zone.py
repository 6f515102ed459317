"""`vestibule zone`: an establishment's places on the network that the configuration file does not name, and whether a proxy hides who asks."""

from datetime import date
from typing import Any

import click
from pydantic import ValidationError

from idp import registry
from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.config import ZoneSettings
from idp.config.zone_checks import LONGEST_LABEL
from idp.people.values import day
from idp.signin.hidden_clients import FEWEST_PEOPLE, find_suspicion, words
from idp.signin.whereabouts import zone_facts
from idp.store.base import Establishment, Zone
from idp.store.database import Transaction
from idp.zones import end_zone, put_zone
from policies.zones import overlaps

KINDS = ("trusted", "shared-workstation", "vpn", "blocked")


@click.group()
def zone() -> None:
    """Places of establishments on the network."""


@zone.command("list")
@click.option("--establishment", "slug", help="Only those of this establishment.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_zones(place: Place, /, *, slug: str | None, as_json: bool) -> None:
    """List the zones that count."""
    with place.database.read() as tx:
        if slug is not None:
            open_establishment(tx, slug)
        found = [(item, of) for item, of in tx.zones.open_with_slugs() if slug in {None, of}]
    rows = [_plain(item, of) for item, of in found]
    if as_json:
        show_json(rows)
        return
    names = ("zone", "kind", "networks", "egress", "guests_apart", "windows", "first_day", "last_day", "source")
    show_table(names, [tuple(" ".join(row[name]) if name == "networks" else row[name] for name in names) for row in rows])


@zone.command("add")
@click.argument("establishment")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What a sign-in from there means.")
@click.option("--network", "networks", multiple=True, required=True, help="A network such as 192.168.4.0/24; repeat for several.")
@click.option("--egress", is_flag=True, help="A public address that the whole site leaves by, guests perhaps too.")
@click.option("--guests-apart", default="", help="With --egress: who declares that guests leave by another address, and when.")
@click.option("--windows", is_flag=True, help="Its computers belong to the domain: an open Windows session signs people in.")
@click.option("--first-day", help="First day it counts.")
@click.option("--last-day", help="Last day it counts.")
@command
def add(place: Place, /, establishment: str, name: str, **given: Any) -> None:
    """Add the zone NAME to ESTABLISHMENT, or change the one that a command had added under this name."""
    days: dict[str, date | None] = {key: day(given[key], key) if given[key] else None for key in ("first_day", "last_day")}
    try:
        settings = ZoneSettings.model_validate({**given, **days, "name": name})
    except ValidationError as error:
        fail("\n".join(".".join((*map(str, item["loc"]), "")) + " " + item["msg"].removeprefix("Value error, ") for item in error.errors()))
    if len(f"{establishment}/{name}") > LONGEST_LABEL:
        fail(f"{establishment}/{name} is longer than {LONGEST_LABEL} characters: take a shorter name")
    with place.database.write() as tx:
        tx.lock("registry")
        where = open_establishment(tx, establishment)
        present = tx.zones.named(where.id, name)
        if present is not None:
            registry.refuse_if_configured(present.source, f"{establishment}/{name}")
        _refuse_overlaps(place, tx, settings, where, present)
        is_changed = put_zone(tx, where, settings, place.author, source=registry.OPERATOR, clock=place.clock)
    if settings.egress and not settings.guests_apart:
        click.secho(
            "warning: without --guests-apart it is inside only on enrolled workstations (vestibule workstation pass)", fg="yellow", err=True
        )
    done = "changed" if present is not None else "added"
    click.echo(f"{establishment}/{name} {done}" if is_changed else f"{establishment}/{name}: nothing to change")


@zone.command("end")
@click.argument("establishment")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def end(place: Place, /, establishment: str, name: str, *, yes: bool) -> None:
    """End the zone NAME of ESTABLISHMENT: whoever comes from there is outside, and its workstations end."""
    if not yes:
        click.confirm(f"End {establishment}/{name}? Whoever comes from there is outside from now on.", abort=True)
    with place.database.write() as tx:
        tx.lock("registry")
        where = open_establishment(tx, establishment)
        found = named_zone(tx, where, name)
        registry.refuse_if_configured(found.source, f"{establishment}/{name}")
        workstations = len(tx.workstations.open(zone_id=found.id))
        ended = end_zone(tx, where, found, place.author, clock=place.clock)
    click.echo(f"{establishment}/{name} ended: {workstations} workstations, {ended.sessions} sessions, {ended.grants} grants ended")


@zone.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def check(place: Place, /, *, as_json: bool) -> None:
    """Say whether zones overlap, and whether the sign-ins of the last day seem to come from one place. Exit code 1 when something is wrong."""
    with place.database.read() as tx:
        facts = [zone_facts(item, slug) for item, slug in tx.zones.open_with_slugs()]
        suspicion = find_suspicion(tx, place.clock.now())
    findings = [overlap.text for overlap in overlaps(facts, place.config.server.trusted_proxies)]
    if suspicion is not None:
        findings.append(words(suspicion))
    if as_json:
        show_json(findings)
    else:
        for finding in findings:
            click.secho(finding, fg="red")
        if not findings:
            click.echo(f"{len(facts)} zones, nothing wrong (an address is judged once {FEWEST_PEOPLE} people have signed in within a day)")
    if findings:
        raise SystemExit(1)


def open_establishment(tx: Transaction, slug: str) -> Establishment:
    """The open establishment of this slug; ends the command when there is none."""
    found = tx.establishments.by_slug(slug)
    if found is None or found.ended_at is not None:
        fail(f"no establishment {slug}")
    return found


def named_zone(tx: Transaction, establishment: Establishment, name: str) -> Zone:
    """The open zone of this name; ends the command when there is none."""
    found = tx.zones.named(establishment.id, name)
    if found is None:
        known = ", ".join(item.name for item in tx.zones.of(establishment.id)) or "none"
        fail(f"no zone {name} at {establishment.slug}; it has: {known}")
    return found


def _refuse_overlaps(place: Place, tx: Transaction, settings: ZoneSettings, establishment: Establishment, present: Zone | None) -> None:
    """The same checks as for the file, against every zone that counts."""
    new = settings.facts("new", establishment.id, slug=establishment.slug, time_zone=establishment.time_zone)
    others = [zone_facts(item, slug) for item, slug in tx.zones.open_with_slugs() if present is None or item.id != present.id]
    wrong = [
        overlap.text
        for overlap in overlaps([*others, new], place.config.server.trusted_proxies)
        if new.id in {overlap.zone_id, overlap.other_id}
    ]
    if wrong:
        fail("\n".join(wrong))


def _plain(item: Zone, slug: str) -> dict[str, Any]:
    return {
        "zone": f"{slug}/{item.name}",
        "kind": item.kind,
        "networks": list(item.networks),
        "egress": item.is_egress,
        "guests_apart": item.guests_apart or None,
        "windows": item.windows,
        "first_day": item.first_day,
        "last_day": item.last_day,
        "source": item.source,
        "id": item.id,
    }
