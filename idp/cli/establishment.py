"""`vestibule establishment`: add, list and change the care homes that the configuration file does not name."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from idp import registry
from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.config import EstablishmentSettings
from idp.config.checks import Parts, cross_check


def _options(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--name", help="Full name."),
            click.option("--finess", help="FINESS number, nine characters."),
            click.option("--siret", help="SIRET number, fourteen digits."),
            click.option("--time-zone", help="IANA time zone; Europe/Paris when not given."),
            click.option("--contact-name", help="Local IT contact: name."),
            click.option("--contact-phone", help="Local IT contact: phone."),
            click.option("--contact-email", help="Local IT contact: e-mail."),
            click.option("--regulatory-level", type=click.Choice(["tolerant", "rie-2026", "psc"]), help="What a sign-in must hold."),
            click.option("--windows-approval", help="Who approved its computers' Windows session as a means, and when; empty: nobody."),
            click.option("--remember-device", help="How long a second factor spares the gesture in a browser, in days: 30d; 0d: never."),
            click.option(
                "--enrolment-grace", help="How long a person without a second factor is spared inside, in days: 14d; 0d: at once."
            ),
            click.option("--logo", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PNG or SVG of at most 64 kB."),
        )
    ):
        function = option(function)
    return function


@click.group()
def establishment() -> None:
    """Care homes."""


@establishment.command("add")
@click.argument("slug")
@_options
@command
def add(place: Place, /, slug: str, **given: Any) -> None:
    """Add the establishment SLUG (its short name in addresses and tokens; it never changes)."""
    if not given["name"]:
        fail("an establishment needs --name")
    settings = _settings(place, slug, given, {})
    with place.database.write() as tx:
        if tx.establishments.by_slug(slug) is not None:
            fail(f"there is, or was, an establishment {slug}: see `vestibule establishment change`")
        registry.put_establishment(tx, settings, place.author, source=registry.OPERATOR, clock=place.clock)
    click.echo(f"{slug} added")


@establishment.command("change")
@click.argument("slug")
@_options
@command
def change(place: Place, /, slug: str, **given: Any) -> None:
    """Change what is given of the establishment SLUG; the rest stays."""
    with place.database.write() as tx:
        present = tx.establishments.by_slug(slug)
        if present is None:
            fail(f"no establishment {slug}")
        registry.refuse_if_configured(present.source, slug)
        kept = {
            name: getattr(present, name)
            for name in ("name", "finess", "siret", "time_zone", "contact_name", "contact_phone", "contact_email")
        }
        kept |= {
            "regulatory_level": present.regulatory_level,
            "windows_approval": present.windows_approval,
            "remember_device": timedelta(days=present.remember_device_days),
            "enrolment_grace": timedelta(days=present.enrolment_grace_days),
        }
        settings = _settings(place, slug, given, kept)
        changed = registry.put_establishment(
            tx, settings, place.author, source=registry.OPERATOR, clock=place.clock, keeps_logo=settings.logo is None
        )
    click.echo(f"{slug} changed" if changed else f"{slug}: nothing to change")


@establishment.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_establishments(place: Place, *, as_json: bool) -> None:
    """List the establishments that are open."""
    with place.database.read() as tx:
        found = tx.establishments.all()
    names = (
        "slug",
        "name",
        "finess",
        "siret",
        "time_zone",
        "contact_name",
        "contact_phone",
        "contact_email",
        "regulatory_level",
        "source",
        "id",
    )
    rows = [{name: getattr(item, name) for name in names} for item in found]
    if as_json:
        show_json(rows)
    else:
        show_table(names, [tuple(row.values()) for row in rows])


def _settings(place: Place, slug: str, given: dict[str, Any], kept: dict[str, Any]) -> EstablishmentSettings:
    """The same checks as for the configuration file."""
    values = {**kept, **{name: value for name, value in given.items() if value is not None}}
    contact = {name: values.pop(f"contact_{name}") for name in ("name", "phone", "email") if values.get(f"contact_{name}")}
    values = {name: value for name, value in values.items() if not name.startswith("contact_")}
    try:
        settings = EstablishmentSettings.model_validate({"slug": slug, "contact": contact, **values})
    except ValidationError as error:
        fail("\n".join(f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()))
    wrong = [
        finding
        for finding in cross_check(Parts(place.config, frozenset(), {0: settings}, {}))
        if finding.path.startswith("establishments[0]") and finding.severity == "error"
    ]
    if wrong:
        fail("\n".join(f"{finding.path.removeprefix('establishments[0].')}: {finding.message}" for finding in wrong))
    return settings
