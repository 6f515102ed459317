"""`vestibule connector`: the directories of the configuration, and a step-by-step try of one, in words an operator can act on.

Needs no store: it is what is run before the first start. Exit code 1 when a step failed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from connectors.base import CheckStep, Directory
from idp.app import OPENERS
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.config.directories import DirectorySettings

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


@click.group()
def connector() -> None:
    """Directories that people sign in with."""


@connector.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_connectors(place: Place, *, as_json: bool) -> None:
    """List the directories, in the order in which they are asked."""
    found = place.config.directories
    if as_json:
        show_json(
            [{"name": item.name, "type": item.type, "servers": item.servers, "base": item.base, "scope": item.scope} for item in found]
        )
        return
    rows = [(item.name, item.type, " ".join(item.servers), item.base, item.scope, len(item.mapping)) for item in found]
    show_table(("name", "type", "servers", "base", "scope", "rules"), rows)


@connector.command("check")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def check(place: Place, name: str, *, as_json: bool) -> None:
    """Try the directory NAME step by step, and say what to do about what fails. Nothing is changed anywhere."""
    settings = next((item for item in place.config.directories if item.name == name), None)
    if settings is None:
        names = ", ".join(item.name for item in place.config.directories) or "none"
        fail(f"no directory {name} in the configuration (there are: {names})")
    steps: list[CheckStep] = []
    with _opened(place, settings) as directory:
        for step in directory.check():
            steps.append(step)
            if not as_json:
                _show(step)
    if as_json:
        show_json([{"title": step.title, "outcome": step.outcome, "explanation": step.explanation} for step in steps])
    failed = sum(step.outcome == "failed" for step in steps)
    if not as_json:
        warned = sum(step.outcome == "warning" for step in steps)
        click.echo(f"{len(steps)} steps: {failed} failed, {warned} with a warning")
    if failed:
        click.get_current_context().exit(1)


@contextmanager
def _opened(place: Place, settings: DirectorySettings) -> Iterator[Directory]:
    directory = OPENERS[type(settings)](settings, place.clock)
    try:
        yield directory
    finally:
        directory.close()


def _show(step: CheckStep) -> None:
    word, colour = MARKS[step.outcome]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {plain(step.title)}{': ' if step.explanation else ''}{plain(step.explanation)}")
