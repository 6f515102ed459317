"""`vestibule account import`: the file, the progress bars, the report and the file of one-time passwords. What a line means is idp.people's."""

import csv
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Never

import click
from tqdm import tqdm

from idp.cli.output import plain, show_json
from idp.cli.place import Place, fail
from idp.people import csv_import, passwords
from idp.people.spreadsheet import read_sheet
from idp.signin.password_change import load_block_list


def run(
    place: Place,
    file: Path,
    *,
    is_dry_run: bool,
    keeps_good: bool,
    attaches_existing: bool,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Import, report, and exit with 2 when a line was wrong."""
    rows = read_sheet(file.read_bytes())
    rules = csv_import.ImportRules(profiles=place.config.profiles, attachment=place.config.attachments, attaches_existing=attaches_existing)
    with place.database.read() as tx, _bar("checking", len(rows)) as bar:
        made = csv_import.plan(tx, rows, rules, advance=bar.update)
    may_write = not is_dry_run and (keeps_good or not made.errors) and bool(made.people)
    added = 0
    if may_write:
        with ExitStack() as stack:
            given = _make_passwords(place, made, password_file, stack) if password_file else {}
            # Judged again inside the transaction that writes: somebody may have been added meanwhile.
            with place.database.write() as tx, _bar("writing", len(made.people)) as bar:
                fresh = csv_import.plan(tx, rows, rules)
                if [person.line for person in fresh.people] != [person.line for person in made.people]:
                    fail("the store changed while the file was being checked: nothing was imported, try again")
                written = csv_import.carry_out(tx, fresh, place.author, rules=rules, clock=place.clock, hashes=given, advance=bar.update)
            added = len(written.accounts)
    _report(made, added=added, wrote=may_write, is_dry_run=is_dry_run, as_json=as_json)
    if made.errors:
        raise SystemExit(2)


def _make_passwords(place: Place, made: csv_import.Plan, file: Path, stack: ExitStack) -> dict[int, str]:
    """One-time passwords, hashed, by line; the file of the passwords themselves is written before the accounts exist, or not at all."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"cannot write a new file {file}: {error.strerror}")
    stream = stack.enter_context(os.fdopen(descriptor, "w", encoding="utf-8-sig", newline=""))
    writer = csv.writer(stream, delimiter=";")
    writer.writerow(["line", "given_name", "family_name", "identifier", "one_time_password"])
    blocked = load_block_list(place.config.passwords.block_list)
    hashes: dict[int, str] = {}
    new = [person for person in made.people if person.existing is None]
    with _bar("passwords", len(new)) as bar:
        for person in new:
            password = passwords.generate(place.clock, blocked)
            hashes[person.line] = place.hasher.hash(password)
            identifier = person.new.username or person.new.email or person.new.staff_number
            writer.writerow([person.line, _unarmed(person.new.given_name), _unarmed(person.new.family_name), identifier, password])
            bar.update()
    return hashes


def _unarmed(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def _report(made: csv_import.Plan, *, added: int, wrote: bool, is_dry_run: bool, as_json: bool) -> None:
    attached = sum(len(person.attachments) for person in made.people)
    new = sum(1 for person in made.people if person.existing is None)
    if as_json:
        errors = [{"line": error.line, "column": error.column, "message": error.message} for error in made.errors]
        show_json(
            {"lines": made.lines, "accounts": new, "attachments": attached, "unchanged": made.unchanged, "written": wrote, "errors": errors}
        )
        return
    for error in made.errors:
        place = f"line {error.line}, {error.column}" if error.column else f"line {error.line}"
        click.secho(plain(f"{place}: {error.message}"), fg="red", err=True)
    what = f"{new} account(s) and {attached} attachment(s)"
    tail = f"; {made.unchanged} line(s) unchanged, {len(made.wrong_lines)} of {made.lines} line(s) wrong"
    if wrote:
        click.echo(f"imported {added} account(s) and {attached} attachment(s){tail}")
    elif is_dry_run:
        click.echo(f"would import {what}{tail}")
    else:
        click.echo(f"nothing imported ({what} are ready){tail}")


def _bar(what: str, total: int) -> "tqdm[Never]":
    # Only on a terminal: a report sent to a file must not hold a progress bar.
    return tqdm(total=total, desc=what, unit=" lines", disable=None, leave=False)
