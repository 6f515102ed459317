"""`vestibule policy replay`: the real past, from the audit trail, judged by a draft of the rules.

Owns the progress bar, the table and the lists; judging is idp.signin.replay's.
"""

import csv
import sys
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Never, Self

import click
from tqdm import tqdm

from idp.cli.audit import read_instant
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.config import load_draft
from idp.desk.csv_text import csv_cell
from idp.signin import replay as past
from idp.signin.gate import KINDS_OF_SECOND_FACTOR
from idp.signin.replay import Change, Concerned, Replay
from idp.signin.replay_judge import ASKED, CHANGES, LET_IN, REFUSED, SPARED

SHOWN = 20
WORDS = {
    ASKED: "newly asked",
    REFUSED: "newly refused",
    LET_IN: "newly let in",
    SPARED: "asked no more",
}
COLUMNS = ("establishment", "change", "account", "name", "profiles", "times", "last_at", "rules", "has_factor")


class Bar:
    """How far the trail is read, on a terminal only."""

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, lines: int) -> None:
        """See Progress."""
        self._bar = tqdm(total=lines, desc="replaying", unit=" lines", disable=None, leave=False)

    def advance(self, lines: int) -> None:
        """See Progress."""
        if self._bar is not None:
            self._bar.update(lines)


@click.command("replay")
@click.option(
    "--rules", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The draft. Default: the rules in force."
)
@click.option("--since", default="30d", show_default=True, help="From this instant: 2026-12-31, 2026-12-31T08:00, or 2h, 7d ago.")
@click.option("--until", help="Before this instant. Default: now.")
@click.option("--establishment", "slug", help="Only this establishment.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV line for each person concerned.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with everybody concerned.")
@command
def replay(place: Place, /, *, file: Path | None, since: str, until: str | None, slug: str | None, as_csv: bool, as_json: bool) -> None:
    """Judge the sign-ins of the past by a draft: who would newly be asked, refused or let in, and who of them has no second factor.

    Reads the facts that the audit trail keeps of each sign-in, and of each application opened from an open session. What is compared is what the
    rules said then and what the draft says: a regulatory level, or an application, may ask for more beside them. Nothing is written.
    """
    if as_csv and as_json:
        fail("give one of --csv and --json")
    rules = (load_draft(file) if file else place.config.policy).rule_set
    with place.database.read() as tx:
        establishment = tx.establishments.by_slug(slug) if slug else None
    if slug and establishment is None:
        fail(f"no establishment {slug}")
    begin, end = read_instant(place, since), read_instant(place, until) if until else place.clock.now()
    with Bar() as progress:
        establishment_id = establishment.id if establishment else None
        found = past.replay(place.database, rules, since=begin, until=end, progress=progress, establishment_id=establishment_id)
    with place.database.read() as tx:
        equipped = tx.means.equipped({change.account_id for change in found.people if change.account_id}, KINDS_OF_SECOND_FACTOR)
    if as_csv:
        _write_csv(place, found, equipped)
    elif as_json:
        show_json(_as_json(place, found, equipped))
    else:
        _show(place, found, equipped)


def _show(place: Place, found: Replay, equipped: frozenset[str]) -> None:
    rows = []
    tallies = found.tallies()
    for slug in sorted(found.judged):
        changes = [f"{(tally := tallies[slug, what]).times} ({len(tally.account_ids)})" for what in CHANGES]
        without = tallies[slug, ASKED].account_ids - equipped
        rows.append((slug or "(none)", found.judged[slug], *changes, len(without)))
    span = f"from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    click.secho(f"{found.total} sign-ins and openings of applications {span}", bold=True)
    if rows:
        show_table(("establishment", "judged", *(f"{WORDS[what]} (people)" for what in CHANGES), "asked, without a factor"), rows)
    if found.total and not found.people:
        click.secho("nothing changes for anybody", fg="green")
    _show_left_out(found)
    _show_stranded(place, found, equipped)
    _show_refused(place, found)


def _show_left_out(found: Replay) -> None:
    for count, what in (
        (found.without_facts, "were not judged: the trail keeps no facts of them (a release before rules)"),
        (found.unasked, "refusals were not judged: no rule was asked (a wrong password, a throttle)"),
        (found.unreadable, "were not judged: their facts are in a form that this release cannot read"),
    ):
        if count:
            click.echo(f"{count} {what}")
    for reason, count in sorted(found.observed.items()):
        click.echo(f"{reason}, only observed, would have spoken {count} time(s)")


def _show_stranded(place: Place, found: Replay, equipped: frozenset[str]) -> None:
    """Those who would be asked for what they do not have: the reason to run this before changing rules."""
    stranded = [(change, one) for change, one in _sorted(found, ASKED) if change.account_id and change.account_id not in equipped]
    if stranded:
        _title(f"Newly asked, and without a second factor: {len(stranded)}")
        _show_people(place, stranded)


def _show_refused(place: Place, found: Replay) -> None:
    if refused := _sorted(found, REFUSED):
        _title(f"Newly refused: {len(refused)}")
        _show_people(place, refused)


def _show_people(place: Place, people: list[tuple[Change, Concerned]]) -> None:
    with place.database.read() as tx:
        names = {change.account_id: account.name for change, _ in people[:SHOWN] if (account := tx.people.get(change.account_id))}
    rows = [
        (
            names.get(change.account_id, change.account_id),
            change.slug,
            ", ".join(sorted(one.profiles)),
            one.count,
            _day(one.last_at),
            _rules(one),
        )
        for change, one in people[:SHOWN]
    ]
    show_table(("person", "establishment", "profiles", "times", "last", "by"), rows)
    if len(people) > SHOWN:
        click.echo(f"and {len(people) - SHOWN} more: --csv names them all")


def _write_csv(place: Place, found: Replay, equipped: frozenset[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in _rows(place, found, equipped):
        writer.writerow([csv_cell(row[name]) for name in COLUMNS])


def _as_json(place: Place, found: Replay, equipped: frozenset[str]) -> dict[str, Any]:
    tallies = found.tallies()
    return {
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "judged": found.total,
        "without_facts": found.without_facts,
        "refused_before_any_rule": found.unasked,
        "unreadable": found.unreadable,
        "distinct_facts": found.distinct,
        "observed": dict(found.observed),
        "establishments": [
            {
                "establishment": slug,
                "judged": found.judged[slug],
                **{what: {"times": (one := tallies[slug, what]).times, "people": len(one.account_ids)} for what in CHANGES},
                "asked_without_factor": len(tallies[slug, ASKED].account_ids - equipped),
            }
            for slug in sorted(found.judged)
        ],
        "people": _rows(place, found, equipped),
    }


def _rows(place: Place, found: Replay, equipped: frozenset[str]) -> list[dict[str, Any]]:
    rows = []
    with place.database.read() as tx:
        for change, one in (pair for what in CHANGES for pair in _sorted(found, what)):
            account = tx.people.get(change.account_id) if change.account_id else None
            values = (
                change.slug,
                change.what,
                change.account_id,
                account.name if account else "",
                sorted(one.profiles),
                one.count,
                one.last_at.isoformat() if one.last_at else None,
                sorted(one.rules),
                change.account_id in equipped,
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _sorted(found: Replay, what: str) -> list[tuple[Change, Concerned]]:
    """Those to whom it happens, by establishment, the most often concerned first."""
    some = [(change, one) for change, one in found.people.items() if change.what == what]
    return sorted(some, key=lambda pair: (pair[0].slug, -pair[1].count, pair[0].account_id))


def _rules(one: Concerned) -> str:
    return ", ".join(sorted(one.rules))


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else ""


def _title(text: str) -> None:
    click.echo()
    click.secho(plain(text), bold=True)
