"""`vestibule account stuck, unlock`: what the console's page of a person shows and does, at a terminal. The acts are idp/desk's."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from idp.cli.output import show_json
from idp.cli.place import Place, command, fail
from idp.desk.authority import ActRefused
from idp.desk.finding import Finding
from idp.people import accounts

if TYPE_CHECKING:
    from idp.desk.desk import Desk


@click.command("stuck")
@click.argument("who")
@click.option("--establishment", "slug", help="Where they want to sign in. Default: anywhere.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def show_stuck(place: Place, who: str, *, slug: str | None, as_json: bool) -> None:
    """Say where WHO is stuck, here and in their directory, and what helps. Changes nothing."""
    with place.database.read() as tx:
        establishment = tx.establishments.by_slug(slug) if slug else None
        if slug and establishment is None:
            fail(f"no establishment {slug}")
        found = accounts.named(tx, who, establishment_id=establishment.id if establishment else None)
    with _desk(place) as desk:
        findings = desk.diagnosis.of(found, establishment)
    if as_json:
        show_json([_plain(one) for one in findings])
        return
    if not findings:
        click.echo(f"{found.name}: nothing is known to stand in their way")
    for one in findings:
        click.echo(_line(one))


@click.command("unlock")
@click.argument("who")
@command
def unlock_account(place: Place, who: str) -> None:
    """Open whatever is closed to WHO: here, at second factors, and in their directory. Nobody who is disabled or suspended is enabled by it."""
    with place.database.read() as tx:
        found = accounts.named(tx, who)
    with _desk(place) as desk:
        try:
            done = desk.unlock.unlock(place.agent, found)
        except ActRefused as refused:
            desk.authority.record(refused, place.author)
            fail(f"{found.name} is not unlocked: {refused.code.description}")
    here = [*(["tries at passwords"] if done.was_closed_here else []), *(f"tries at {kind}" for kind in done.factors)]
    opened = here + [f"the lock of {one.connector}" for one in done.directories if one.outcome == "unlocked"]
    click.echo(f"{found.name} may try again at once; lifted: {', '.join(opened) or 'nothing was closed'}")
    if refusing := [one for one in done.directories if one.outcome == "refused"]:
        fail("; ".join(f"{one.connector} did not: {one.reason.description if one.reason else one.outcome}" for one in refusing))


@contextmanager
def _desk(place: Place) -> "Iterator[Desk]":
    from idp.app import build  # every part, directories too, for those who need them

    with closing(build(place.config, place.clock)) as application:
        yield application.desk


def _line(finding: Finding) -> str:
    parts = [f"{'!' if finding.is_blocking else '-'} {finding.obstacle.description}"]
    if finding.source:
        parts.append(f"({finding.source})")
    if finding.until:
        parts.append(f"Until {finding.until:%Y-%m-%d %H:%M} UTC.")
    if finding.since:
        parts.append(f"Since {finding.since:%Y-%m-%d %H:%M} UTC.")
    if finding.reason:
        parts.append(f"{finding.reason.description} Support code {finding.support_code}.")
    if finding.act:
        parts.append(f"Helps: {finding.act}.")
    return " ".join(parts)


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "obstacle": str(finding.obstacle),
        "says": finding.obstacle.description,
        "is_blocking": finding.is_blocking,
        "act": finding.act,
        "source": finding.source,
        "source_kind": finding.source_kind,
        "since": finding.since,
        "until": finding.until,
        "kinds": list(finding.kinds),
        "reason": finding.reason,
        "support_code": finding.support_code,
        "zone": finding.zone,
        "address": finding.address,
    }
