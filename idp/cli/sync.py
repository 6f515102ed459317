"""`vestibule sync`: read a whole directory. The progress bar, the report and the exit code; the run itself is idp.lifecycle's."""

import sys
from types import TracebackType
from typing import Never, Self

import click
from tqdm import tqdm

from connectors.base import PeopleSource
from idp.cli.directories import in_words, readable
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.lifecycle.reading import Ending
from idp.lifecycle.reconcile import Reconciler
from idp.lifecycle.runs import Report
from idp.signin.linking import Linking

SHOWN = 20
EXIT_CODES = {"done": 0, "confirmed": 0, "dismissed": 0, "failed": 1, "held": 3}
REASONS = {
    "directory_gone": "not in the directory any more",
    "directory_disabled": "disabled",
    "directory_expired": "the account has expired",
    "directory_out_of_scope": "not among the people that the settings let in any more (scope)",
    "directory_unplaced": "no mapping rule places them any more",
}


@click.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Read and report; write nothing.")
@click.option(
    "--confirm", "confirmed", metavar="RUN", help="End those whom the waiting run RUN names, if the directory still says so. Nobody else."
)
@click.option("--dismiss", "dismissed", metavar="RUN", help="Let go of those whom the waiting run RUN names.")
@click.option("--waiting", is_flag=True, help="Show the run that waits for a human, and whom it holds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with everybody named.")
@command
def sync(place: Place, name: str, *, dry_run: bool, confirmed: str | None, dismissed: str | None, waiting: bool, as_json: bool) -> None:
    """Read the whole directory NAME: import its people, keep those known up to date, end the access of those who left. NAME may be a provider that is
    listened to (Entra ID): then those who are known are asked for, one by one, and nobody is imported.

    A run that would end too many people (sync.brake_people, sync.brake_percent) changes nothing and waits for a human. Exit code 0: done; 3: held by
    the brake; 1: failed, or some people could not be written; 2: it could not begin, or the store went away.
    """
    if sum(map(bool, (dry_run, confirmed, dismissed, waiting))) > 1:
        fail("give one of --dry-run, --confirm, --dismiss and --waiting")
    with readable(place, name) as source:
        if waiting:
            _show_waiting(place, name, as_json=as_json)
            return
        report = _work(place, source, confirmed, dismissed=dismissed, is_dry_run=dry_run)
    if as_json:
        show_json(_as_json(report, is_dry_run=dry_run))
    else:
        _show(place, name, report, is_dry_run=dry_run)
    raise SystemExit(1 if report.failures else EXIT_CODES[report.state])


class Bars:
    """One progress bar a phase, on a terminal only: a report sent to a file must hold none."""

    def __init__(self) -> None:
        self.is_watched = sys.stderr.isatty()
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, phase: str, total: int | None) -> None:
        """See Progress."""
        self.__exit__(None, None, None)
        self._bar = tqdm(total=total, desc=phase, unit=" people", disable=not self.is_watched, leave=False)

    def advance(self, people: int) -> None:
        """See Progress."""
        if self._bar is not None:
            self._bar.update(people)


def _work(place: Place, source: PeopleSource, confirmed: str | None, *, dismissed: str | None, is_dry_run: bool) -> Report:
    linking = Linking(place.config, place.clock, place.messenger)
    reconciler = Reconciler(place.database, source, linking, settings=place.config.sync, author=place.author, clock=place.clock)
    with Bars() as progress:
        if dismissed is not None:
            return reconciler.dismiss(dismissed)
        if confirmed is not None:
            return reconciler.confirm(confirmed, progress)
        return reconciler.dry_run(progress) if is_dry_run else reconciler.run(progress)


def _show(place: Place, name: str, report: Report, *, is_dry_run: bool) -> None:
    counts = report.counts
    if report.state == "failed":
        click.secho(plain(f"{name}: failed: {in_words(report.trouble or '', report.detail)}"), fg="red", err=True)
        click.echo(f"nobody was judged absent; written before it failed: {counts['added']} added, {counts['changed']} changed", err=True)
        return
    if report.state == "held":
        _show_held(place, name, report, is_dry_run=is_dry_run)
        return
    if report.state == "dismissed":
        click.echo(f"{name}: run {report.run_id} dismissed; {counts['released']} people are held by it no more")
        return
    if report.state == "confirmed":
        click.echo(f"{name}: {counts['ended']} people ended as confirmed, {counts['kept']} kept: the directory lets them in again")
    else:
        said = ", ".join(f"{counts[what]} {what}" for what in ("added", "changed", "unchanged", "ended"))
        click.echo(f"{name}: would be {said}; nothing was written" if is_dry_run else f"{name}: {said}")
        if counts["unplaced"]:
            click.echo(f"{counts['unplaced']} listed people are placed nowhere by the rules: `vestibule mapping explain PERSON` says why")
        if counts["unusable"]:
            click.echo(f"{counts['unusable']} listed people are not let in by the directory (disabled or expired)")
    _show_endings(report.endings, "would end" if is_dry_run else "ended")
    for failure in report.failures:
        click.secho(plain(f"failed: {failure.subject}: {failure.reason}"), fg="red", err=True)


def _show_held(place: Place, name: str, report: Report, *, is_dry_run: bool) -> None:
    brake = place.config.sync
    allows = f"{brake.brake_people} people and {brake.brake_percent} % of those known"
    click.secho(f"{name}: stopped by the brake: nothing was changed", fg="red", err=True)
    click.echo(f"{report.counts['held']} people would lose their access; a run may end {allows}", err=True)
    _show_endings(report.endings, "would end")
    if is_dry_run or report.held_until is None:
        return
    click.echo(
        f"The run {report.run_id} waits for you. These people keep their access until {report.held_until:%Y-%m-%d %H:%M} UTC at most."
    )
    click.echo(f"If they really left:               vestibule sync {name} --confirm {report.run_id}")
    click.echo(f"If the directory or a setting was wrong, once repaired: vestibule sync {name} --dismiss {report.run_id}")


def _show_endings(endings: tuple[Ending, ...], what: str) -> None:
    for ending in endings[:SHOWN]:
        click.echo(plain(f"{what}: {ending.name} ({ending.account_id}): {REASONS[ending.reason]}"))
    if len(endings) > SHOWN:
        click.echo(f"and {len(endings) - SHOWN} more: --json names them all")


def _show_waiting(place: Place, name: str, *, as_json: bool) -> None:
    with place.database.read() as tx:
        run = next(iter(tx.links.runs(name, state="held")), None)
        held = tx.links.held_by(run.id) if run else ()
        people = [(link, tx.people.get(link.account_id)) for link in held]
    rows = [
        (link.account_id, account.name if account else "", account.status if account else "", link.held_until) for link, account in people
    ]
    if as_json:
        named = [dict(zip(("account", "name", "status", "held_until"), row, strict=True)) for row in rows]
        show_json({"run": run.id if run else None, "since": run.started_at if run else None, "people": named})
    elif run is None:
        click.echo(f"{name}: no run waits")
    else:
        click.echo(f"{name}: the run {run.id} of {run.started_at:%Y-%m-%d %H:%M} UTC waits; --confirm or --dismiss it")
        show_table(("account", "name", "status", "keeps access until (UTC)"), [(*row[:3], f"{row[3]:%Y-%m-%d %H:%M}") for row in rows])


def _as_json(report: Report, *, is_dry_run: bool) -> dict[str, object]:
    counted = ("added", "changed", "unchanged", "ended", "held", "kept", "released", "unplaced", "unusable", "failed")
    return {
        "state": report.state,
        "run": report.run_id or None,
        "dry_run": is_dry_run,
        **{what: report.counts[what] for what in counted},
        "held_until": report.held_until,
        "trouble": report.trouble,
        "detail": report.detail,
        "people": [
            {"account": one.account_id, "name": one.name, "subject": one.subject, "reason": one.reason, "asked_again": one.is_asked}
            for one in report.endings
        ],
        "failures": [{"subject": one.subject, "reason": one.reason} for one in report.failures],
    }
