"""`vestibule pass print`: sealed passes, printed beforehand and kept at a site, each of which stands once, at night, for the approver of a reset.

Owns the sheet; the passes are idp/desk/approval_passes.py's. Shown once, and by whoever holds the group: an agent who could print one would be their
own second person.
"""

from datetime import timedelta

import click

from idp.cli.output import plain, show_json
from idp.cli.place import Place, command
from idp.cli.zone import open_establishment
from idp.desk.approval_passes import LONGEST_LIFE, ApprovalPasses

SHEET = """\
{rule}
{product}  -  {place}
LAISSEZ-PASSER D'APPROBATION {number}/{count}   (approval pass)

    {code}

Fermez-le dans une enveloppe signée. Il remplace, une fois et la nuit, l'accord
de la seconde personne pour une réinitialisation. Valable jusqu'au {until}.
Enveloppe ouverte sans raison : prévenez l'informatique, qui en imprime d'autres.

Seal it in a signed envelope. It stands once, at night, for the second person of
a reset. Good until {until}. Opened for no reason? Tell IT, who prints others.
{rule}
"""


@click.command("print")
@click.argument("establishment")
@click.option("--count", type=click.IntRange(1, 20), default=3, show_default=True, help="How many.")
@click.option("--days", type=click.IntRange(1, LONGEST_LIFE.days), default=180, show_default=True, help="How long they may be used.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the passes.")
@command
def print_passes(place: Place, /, establishment: str, *, count: int, days: int, as_json: bool) -> None:
    """Print sealed approval passes for ESTABLISHMENT, once: nobody can show them again. Send the output to a printer, not to a file."""
    passes = ApprovalPasses(place.keyring, place.clock)
    with place.database.write() as tx:
        where = open_establishment(tx, establishment)
        made = [
            passes.issue(tx, where, place.author, label=f"{place.clock.now():%Y-%m-%d} {number}/{count}", life=timedelta(days=days))
            for number in range(1, count + 1)
        ]
    if as_json:
        show_json([{"pass": code, "label": kept.label, "establishment": where.slug, "expires_at": kept.expires_at} for code, kept in made])
        return
    for number, (code, kept) in enumerate(made, 1):
        click.echo(
            SHEET.format(
                rule="-" * 79,
                product=place.config.pages.product_name,
                place=plain(where.name),
                number=number,
                count=count,
                code=code,
                until=f"{kept.expires_at:%Y-%m-%d}",
            )
        )
    click.echo(f"{count} passes for {where.slug}; shown only now", err=True)
