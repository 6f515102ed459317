"""`vestibule connector`: the directories of the configuration, and a step-by-step try of any connector, in words an operator can act on.

Needs no store: it is what is run before the first start. Exit code 1 when a step failed.
"""

import click

from connectors.base import CheckStep
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.composition.sources import source_checks
from idp.config.directories import AnyDirectory, AnyProvider, EntraProviderSettings

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


@click.group()
def connector() -> None:
    """Directories, upstream providers and Windows sessions that people sign in with."""


@connector.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_connectors(place: Place, *, as_json: bool) -> None:
    """List the directories in the order in which they are asked, the upstream providers in that in which they are offered, then the realms."""
    config = place.config
    if as_json:
        show_json([*map(_describe_directory, config.directories), *map(_describe_provider, config.providers)])
        return
    rows: list[tuple[object, ...]] = [
        (one.name, one.type, " ".join(one.servers), f"{one.scope} under {one.base}", len(one.mapping)) for one in config.directories
    ]
    rows += [(one.name, one.type, _address(one), _people(one), len(one.mapping)) for one in config.providers]
    rows += [(one.realm, "windows", one.realm, f"as {one.directory} knows them", 0) for one in config.windows]
    show_table(("name", "type", "where", "people", "rules"), rows)


@connector.command("check")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def check(place: Place, name: str, *, as_json: bool) -> None:
    """Try NAME step by step, and say what to do about what fails: a directory, an upstream provider, a Kerberos realm, or `windows` for every realm.

    Nothing is changed anywhere.
    """
    tries = source_checks(place.config, place.clock)
    wanted = [try_it for names, try_it in tries if name in names]
    if not wanted:
        known = ", ".join(dict.fromkeys(known for names, _ in tries for known in names)) or "none"
        fail(f"no directory, provider or realm {name} in the configuration (there are: {known})")
    steps: list[CheckStep] = []
    for try_it in wanted:
        for step in try_it():
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


def _describe_directory(one: AnyDirectory) -> dict[str, object]:
    return {"name": one.name, "type": one.type, "servers": one.servers, "base": one.base, "scope": one.scope}


def _describe_provider(one: AnyProvider) -> dict[str, object]:
    return {
        "name": one.name,
        "type": one.type,
        "label": one.label,
        "address": _address(one),
        "domains": one.domains,
        "establishments": one.establishments,
        "joins": one.joins,
        "gives_mfa": one.gives_mfa,
    }


def _address(one: AnyProvider) -> str:
    return one.authority if isinstance(one, EntraProviderSettings) else one.issuer


def _people(one: AnyProvider) -> str:
    """Where it is offered and whose domains lead to it."""
    where = f"offered at {', '.join(one.establishments)}" if one.establishments else "offered everywhere"
    return f"{where}; {', '.join(one.domains)}" if one.domains else where


def _show(step: CheckStep) -> None:
    word, colour = MARKS[step.outcome]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {plain(step.title)}{': ' if step.explanation else ''}{plain(step.explanation)}")
