"""`vestibule break-glass`: the sealed account for the night when no directory answers. The act is idp.people.break_glass's."""

import click

from idp.cli.place import Place, command, fail
from idp.people import attachments, break_glass


@click.group("break-glass")
def break_glass_commands() -> None:
    """The sealed account for emergencies."""


@break_glass_commands.command("seal")
@click.argument("username")
@click.option("--establishment", "slug", required=True, help="Where it may be used.")
@click.option("--profile", required=True, help="As what, for instance nurse or it.")
@command
def seal(place: Place, username: str, *, slug: str, profile: str) -> None:
    """Make the break-glass account USERNAME, or seal it again: its new password is printed once.

    Print it, put it in an envelope and lock the envelope away. Every use raises an alarm (the event break_glass.used, a critical log line);
    seal again after each. The password cannot be changed on a page, and wrong tries do not block the account.
    """
    password = break_glass.new_password(place.clock)
    encoded = place.hasher.hash(password)
    with place.database.write() as tx:
        establishment = tx.establishments.by_slug(slug)
        if establishment is None:
            fail(f"no establishment has the slug {slug!r}")
        new = attachments.check(attachments.NewAttachment(establishment=establishment, profile=profile), profiles=place.config.profiles)
        break_glass.seal(tx, username, encoded, place.author, place=new, settings=place.config.attachments, clock=place.clock)
    click.echo(f"{username} sealed at {establishment.name}; the password, shown only now:", err=True)
    click.echo(password)
