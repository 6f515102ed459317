"""`vestibule admin`: who administers what. Arguments and what is shown; the acts are idp.people.roles'."""

import click

from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.desk.administrators import Administrators, Wanted
from idp.desk.authority import Authority
from idp.people import accounts, roles
from idp.signin.passes import Passes
from idp.store.base import Establishment
from idp.store.database import Transaction


@click.group()
def admin() -> None:
    """Administrators."""


@admin.command("bootstrap")
@click.argument("who", metavar="WHO")
@command
def bootstrap(place: Place, who: str) -> None:
    """Make WHO the first administrator of the group and print one pass, once, with which they add a second factor.

    Refused as soon as there is an administrator. Recorded in the audit trail.
    """
    maker = Passes(place.database, place.keyring, place.clock, settings=place.config.factors)
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        code = roles.bootstrap(tx, found, place.author, passes=maker, clock=place.clock)
    click.echo(f"{found.name} administers the group; the pass to add a second factor, shown only now:", err=True)
    click.echo(code)


@admin.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_administrators(place: Place, *, as_json: bool) -> None:
    """List the administrators."""
    with place.database.read() as tx:
        found = [
            {
                "id": account.id,
                "name": account.name,
                "username": account.username,
                "role": role.role,
                "establishment": _slug(tx, role.establishment_id),
                "given_by": role.given_by,
                "since": role.created_at.isoformat(timespec="minutes"),
                "factors": len(tx.factors.open_of(account.id)),
            }
            for role, account in roles.administrators(tx)
        ]
    if as_json:
        show_json(found)
        return
    headers = ("name", "username", "role", "establishment", "given_by", "since", "factors")
    show_table([name.replace("_", " ") for name in headers], [[line[name] for name in headers] for line in found])


@admin.command("give")
@click.argument("who", metavar="WHO")
@click.argument("role", type=click.Choice(list(roles.ROLES)))
@click.option("--establishment", "slug", help="Where; without it the role is held in the whole group.")
@command
def give(place: Place, who: str, role: roles.RoleName, *, slug: str | None) -> None:
    """Make WHO an administrator. From then on they are always asked a second factor."""
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        _room(place).give_in(tx, place.agent, Wanted(account=found, role=role, place=_place(tx, slug)))
        has_factor = bool(tx.factors.open_of(found.id))
    click.echo(f"{found.name} is {role}{f' at {slug}' if slug else ''}")
    if not has_factor:
        click.echo("they have no second factor yet: `vestibule pass issue WHO --for enrol` lets them add one", err=True)


@admin.command("take")
@click.argument("who", metavar="WHO")
@click.argument("role", type=click.Choice(list(roles.ROLES)), required=False)
@click.option("--establishment", "slug", help="Only the role at this establishment.")
@command
def take(place: Place, who: str, role: str | None, *, slug: str | None) -> None:
    """End the roles of WHO, or ROLE only. Refused for the last who administers the group: another one is made first."""
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        taken = _room(place).take_in(tx, place.agent, found, role=role, establishment=_place(tx, slug))
    click.echo(f"{found.name}: {', '.join(one.role for one in taken)} taken")


def _room(place: Place) -> Administrators:
    authority = Authority(place.database, place.clock)
    return Administrators(place.database, place.clock, authority=authority, tell=place.messenger.tell)


def _place(tx: Transaction, slug: str | None) -> Establishment | None:
    if slug is None:
        return None
    found = tx.establishments.by_slug(slug)
    if found is None or found.ended_at is not None:
        fail(f"no establishment {slug}")
    return found


def _slug(tx: Transaction, establishment_id: str | None) -> str | None:
    place = tx.establishments.get(establishment_id) if establishment_id else None
    return place.slug if place else establishment_id
