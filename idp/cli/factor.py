"""`vestibule factor` and `vestibule pass`: second factors as operators see them. Arguments and what is shown; the acts are idp.people.factors'."""

import csv
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import click

from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.cli.sealed_pass import print_passes
from idp.desk.csv_text import csv_cell
from idp.people import accounts, factors
from idp.people.factors import WithoutFactor
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.passes import Passes

KINDS = ("totp", "passkey", "sms", "email")
MISSING_COLUMNS = ("id", "name", "username", "establishment", "profile", "last_sign_in", "sign_ins_outside", "grace_ends_at")


@click.group()
def factor() -> None:
    """Second factors: who has which, who has none, taking them away."""


@factor.command("list")
@click.argument("who", metavar="WHO")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_factors(place: Place, who: str, *, as_json: bool) -> None:
    """List the second factors of WHO. Never a secret."""
    with place.database.read() as tx:
        found = accounts.named(tx, who)
        present = tx.factors.open_of(found.id)
        codes = tx.recovery_codes.left(found.id)
        passes = tx.passes.open_of(found.id, place.clock.now())
    if as_json:
        show_json(
            {
                "account": found.id,
                "factors": [
                    {
                        "id": one.id,
                        "kind": one.kind,
                        "label": one.label,
                        "hint": one.hint,
                        "enrolled_at": one.created_at.isoformat(),
                        "enrolled_zone": one.enrolled_zone,
                        "last_used_at": one.last_used_at.isoformat() if one.last_used_at else None,
                    }
                    for one in present
                ],
                "recovery_codes_left": codes,
                "passes": [
                    {"purpose": one.purpose, "expires_at": one.expires_at.isoformat(), "issued_by": one.issued_by} for one in passes
                ],
            }
        )
        return
    rows = [(one.kind, one.label, one.hint, _minute(one.created_at), one.enrolled_zone, _minute(one.last_used_at)) for one in present]
    show_table(("kind", "label", "hint", "enrolled", "where", "last used"), rows)
    click.echo(f"recovery codes left: {codes}")
    for one in passes:
        click.echo(f"pass to {one.purpose}, issued by {one.issued_by}, until {_minute(one.expires_at)}")


@factor.command("reset")
@click.argument("who", metavar="WHO")
@click.option("--kind", type=click.Choice(KINDS), help="Only factors of this kind. Default: all of them.")
@click.option("--reason", required=True, help="Why, for the audit trail: for instance a lost phone and its ticket.")
@command
def reset(place: Place, who: str, *, kind: str | None, reason: str) -> None:
    """End the second factors of WHO, with every session: check first that it is really them who ask.

    Then `vestibule pass issue WHO --for enrol` lets them add another.
    """
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        done = factors.reset(tx, found, place.author, kind=kind, reason=reason, clock=place.clock)
        _throttle(place).clear_all(found.id)
    names = ", ".join(one.kind for one in done.factors)
    click.echo(f"{found.name}: {names} ended, {done.ended.sessions} sessions and {done.ended.grants} grants with them")


@factor.command("unblock")
@click.argument("who", metavar="WHO")
@command
def unblock(place: Place, who: str) -> None:
    """Forget the failed tries at the second factors of WHO."""
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        factors.record_unblocked(tx, found, place.author, clock=place.clock)
        _throttle(place).clear_all(found.id)
    click.echo(f"{found.name} may try again at once")


@factor.command("missing")
@click.option("--establishment", "slug", help="Only people of this establishment.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def missing(place: Place, *, slug: str | None, as_csv: bool, as_json: bool) -> None:
    """List who has no second factor yet, and how often they sign in from outside."""
    with place.database.read() as tx:
        establishment = tx.establishments.by_slug(slug) if slug else None
        if slug and establishment is None:
            fail(f"no establishment {slug}")
        found = list(factors.missing(tx, now=place.clock.now(), establishment=establishment))
    if as_json:
        show_json([_line(one, datetime.isoformat) for one in found])
    elif as_csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(MISSING_COLUMNS)
        writer.writerows([csv_cell(value) for value in _line(one, datetime.isoformat).values()] for one in found)
        click.echo(text.getvalue(), nl=False)
    else:
        show_table([name.replace("_", " ") for name in MISSING_COLUMNS[1:]], [list(_line(one, _minute).values())[1:] for one in found])
        click.echo(f"{len({one.account.id for one in found})} people without a second factor", err=True)


@click.group("pass")
def passes() -> None:
    """One-time passes, handed over to a person whom one has recognised."""


@passes.command("issue")
@click.argument("who", metavar="WHO")
@click.option(
    "--for", "purpose", type=click.Choice(["enrol", "sign-in"]), required=True, help="To add a factor, or to sign in without one's own."
)
@click.option("--hours", type=click.IntRange(1, 14 * 24), help="How long it may be used. Default: as configured (factors).")
@command
def issue(place: Place, who: str, *, purpose: str, hours: int | None) -> None:
    """Print a one-time pass for WHO, once. The unused ones of the same kind end."""
    maker = Passes(place.database, place.keyring, place.clock, settings=place.config.factors)
    life = timedelta(hours=hours) if hours else None
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        kind: Literal["enrol", "sign_in"] = "enrol" if purpose == "enrol" else "sign_in"
        code, given = factors.issue_pass(tx, found, kind, place.author, passes=maker, life=life, tell=place.messenger.tell)
    click.echo(f"pass to {purpose} for {found.name}, until {_minute(given.expires_at)}; shown only now:", err=True)
    click.echo(code)


passes.add_command(print_passes)


def _throttle(place: Place) -> FactorThrottle:
    return FactorThrottle(place.database, place.ephemeral, place.keyring, clock=place.clock, settings=place.config.factors)


def _line(one: WithoutFactor, show: Callable[[datetime], str]) -> dict[str, Any]:
    values = (
        one.account.id,
        one.account.name,
        one.account.username,
        one.establishment.slug,
        one.profile,
        show(one.last_sign_in) if one.last_sign_in else None,
        one.sign_ins_outside,
        show(one.grace_ends_at) if one.grace_ends_at else None,
    )
    return dict(zip(MISSING_COLUMNS, values, strict=True))


def _minute(at: datetime | None) -> str:
    return at.isoformat(timespec="minutes") if at else ""
