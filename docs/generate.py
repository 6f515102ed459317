"""Writes docs/reference/*.md from the program itself: settings, commands, event types, reason codes and metrics.

`make docs` runs it; tests/test_docs.py fails when a file is stale, so that nothing of the program is undocumented. Calls no store.
"""

import ast
import inspect
import sys
from collections.abc import Collection, Iterator
from datetime import time, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connectors.settings import Settings, format_duration
from idp.audit import EventType, Reason
from idp.cli import vestibule
from idp.cli.acts import COMMAND_ACTS, Needs
from idp.config import Config
from idp.telemetry import Metrics
from idp.web.admin.console import HOME
from idp.web.admin.routes import ROUTES
from policies.acts import ESTABLISHMENT_ONLY, GROUP_ACTS, GROUP_ONLY, MEANING, ROLES, Act

REFERENCE = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/generate.py (make docs): change the program, not this file. -->"


def documents() -> dict[str, str]:
    """Every reference document by file name."""
    return {
        "configuration.md": _configuration(),
        "commands.md": _commands(),
        "events.md": _codes(
            "Event types", "What an audit line says has happened (column `type`). A published type never changes its meaning.", EventType
        ),
        "reasons.md": _codes(
            "Reason codes",
            "Why something was refused or ended (column `reason` of an audit line). A published code never changes its meaning.",
            Reason,
        ),
        "metrics.md": _metrics(),
        "acts.md": _acts(),
    }


def settings(section: type[Settings] = Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its path with what it means, sections before what they hold: `server.listen`, `clients[].name`."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        yield path, _meanings(section).get(name, "")
        inners, is_list = _inner(field.annotation)
        for inner in inners:
            yield from settings(inner, f"{path}[]." if is_list else f"{path}.")


def main() -> None:
    """Write the files; `--check` only says which are stale and exits with 1."""
    stale = [
        name for name, text in documents().items() if not (REFERENCE / name).is_file() or (REFERENCE / name).read_text("utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"stale: docs/reference/{name}" for name in stale) or "docs/reference is up to date")
        raise SystemExit(1 if stale else 0)
    REFERENCE.mkdir(exist_ok=True)
    for name, text in documents().items():
        (REFERENCE / name).write_text(text, "utf-8")
    print(f"docs/reference: {len(stale)} file(s) written anew")


def _configuration() -> str:
    parts = [
        "# Configuration",
        WRITTEN,
        "One YAML file, and the files it includes; `config.example.yaml` is a complete one. Unknown keys are errors. `vestibule check-config` "
        "prints every error and warning at once. Durations are a whole number and a unit (`500ms`, `30s`, `30m`, `14h`, `7d`). Relative paths "
        "are relative to the file. Secrets are `file:<path>` or `env:<NAME>`, never in the file itself.",
        *_section("The file", Config, ""),
    ]
    return "\n\n".join(parts) + "\n"


@cache
def _meanings(section: type[Settings]) -> dict[str, str]:
    """What is written under each setting, read from the source: a program that runs has no use for it."""
    found: dict[str, str] = {}
    for each in reversed(section.__mro__):
        if not issubclass(each, Settings):
            continue
        (written,) = ast.parse(inspect.getsource(each)).body
        for setting, after in pairwise(getattr(written, "body", ())):
            match setting, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    return found


def _section(title: str, section: type[Settings], prefix: str) -> Iterator[str]:
    yield f"## {title}"
    yield " ".join((section.__doc__ or "").split())
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    inner_sections = []
    for name, field in section.model_fields.items():
        inners, is_list = _inner(field.annotation)
        inner_sections += [(f"{prefix}{name}{'[]' if is_list else ''}", inner, len(inners) > 1) for inner in inners]
        rows.append(f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {_cell(_meanings(section).get(name, ''))} |")
    yield "\n".join(rows)
    for path, inner, is_one_of_several in inner_sections:
        kind = f", `type: {get_args(inner.model_fields['type'].annotation)[0]}`" if is_one_of_several else ""
        yield from _section(f"`{path}`{kind}", inner, f"{path}.")


def _inner(annotation: Any) -> tuple[list[type[Settings]], bool]:
    """The sections that a setting holds, one of several kinds perhaps, and whether it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation], False
    found = [inner for part in get_args(annotation) for inner in _inner(part)[0]]
    return found, get_origin(annotation) is tuple


def _type(field: FieldInfo) -> str:
    return "secret" if _is_secret(field.metadata) else _cell(_annotation(field.annotation))


def _is_secret(metadata: Any) -> bool:
    return any(getattr(getattr(item, "func", None), "__name__", "") == "_secret" for item in metadata)


def _annotation(annotation: Any) -> str:
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {Union, UnionType}:
        return " or ".join(dict.fromkeys("null" if part is NoneType else _annotation(part) for part in arguments))
    if origin is tuple:
        return f"list of {_annotation(arguments[0])}"
    if origin is dict:
        return "mapping"
    if hasattr(annotation, "__metadata__"):
        return "secret" if _is_secret(annotation.__metadata__) else _annotation(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "section"
    known = {
        str: "text",
        int: "number",
        Decimal: "number",
        bool: "true or false",
        timedelta: "duration",
        time: "time of day",
        Path: "path",
        Any: "any",
    }
    return known.get(
        annotation, "network" if getattr(annotation, "__module__", "") == "ipaddress" else getattr(annotation, "__name__", str(annotation))
    )


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, Settings):
        return ""
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, time):
        return value.isoformat("minutes")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value) or '""'


def _commands() -> str:
    parts = [
        "# Commands",
        WRITTEN,
        "Each command reads the configuration named by `--config` or `VESTIBULE_CONFIG`. Every change is an audit line by `operator:<user of the "
        "operating system>`. Exit code 0: done; 2: refused, with the reason on standard error; `check-config` ends with 1 when the file is wrong.",
        *_command(vestibule, click.Context(vestibule, info_name="vestibule")),
    ]
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    formatter = click.HelpFormatter(width=110)
    command.format_usage(context, formatter)
    yield f"## `{context.command_path}`"
    yield " ".join((command.help or "").split("\n\n")[0].split())
    more = [" ".join(part.split()) for part in (command.help or "").split("\n\n")[1:]]
    if more:
        yield "\n\n".join(more)
    yield f"```\n{formatter.getvalue().strip().removeprefix('Usage: ')}\n```"
    rows = [
        f"| `{' '.join((*parameter.opts, *parameter.secondary_opts))}` | {_cell(_help(parameter))} |"
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
    ]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _command(inner, click.Context(inner, info_name=name, parent=context))


def _help(option: click.Option) -> str:
    text = option.help or ""
    if isinstance(option.type, click.Choice):
        text += f" One of: {', '.join(map(str, option.type.choices))}."
    if option.required:
        text += " Required."
    if option.multiple and "repeat" not in text:
        text += " May be repeated."
    return text


def _codes(title: str, intro: str, codes: Any) -> str:
    rows = "\n".join(f"| `{code.value}` | {_cell(code.description)} |" for code in codes)
    return f"# {title}\n\n{WRITTEN}\n\n{intro}\n\n| code | meaning |\n|---|---|\n{rows}\n"


def _metrics() -> str:
    rows = "\n".join(
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {_cell(meaning)} |"
        for name, kind, meaning, labels in Metrics().described()
    )
    intro = (
        "Prometheus text on `/metrics` of the admin listener (`server.admin_listen`), all processes together. No label holds personal data. "
        "Sign-ins, tokens and deliveries are counted from committed audit lines."
    )
    return f"# Metrics\n\n{WRITTEN}\n\n{intro}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n{rows}\n"


def _acts() -> str:
    held = [(role, acts) for role, acts in ROLES.items()]
    matrix = [f"| `{act}` | {_cell(MEANING[act])} | {' | '.join('yes' if act in acts else '' for _, acts in held)} |" for act in Act]
    routes = [
        f"| {route.method} | `{HOME}{route.rule}` | `{route.act}` | {'yes' if route.is_dangerous else ''} |"
        for route in sorted(ROUTES, key=lambda route: (route.rule, route.method))
    ]
    commands = [f"| `{name}` | {_needs(needs)} |" for name, needs in sorted(COMMAND_ACTS.items())]
    parts = [
        "# Acts, roles, pages and commands",
        WRITTEN,
        "Every page of the console and every command needs one act. A role is held at an establishment or in the whole group, and gives its acts "
        "there. Nobody acts on themselves, on somebody who may do more than they, or outside their establishments; suspending, correcting and "
        "attaching somebody takes the act in every establishment where they work. [roles.md](../roles.md) explains it for people.",
        "## Roles",
        "\n".join([f"| act | meaning | {' | '.join(f'`{role}`' for role, _ in held)} |", "|---|---|" + "---|" * len(held), *matrix]),
        f"Only in the whole group: {_words(GROUP_ONLY)}. Only at an establishment: {_words(ESTABLISHMENT_ONLY)}. "
        f"Acts that are held in the whole group or not at all: {_words(GROUP_ACTS)}.",
        "## Pages of the console",
        "All need a second factor given within `console.fresh`; those marked, within `console.step_up`.",
        "\n".join(["| method | address | act | asks again |", "|---|---|---|---|", *routes]),
        "## Commands",
        "Asked when the configuration names `operators`; without any, whoever can run a command may.",
        "\n".join(["| command | needs |", "|---|---|", *commands]),
    ]
    return "\n\n".join(parts) + "\n"


def _needs(needs: Needs) -> str:
    if needs.act is None:
        return "nothing"
    said = f"`{needs.act}`"
    if needs.whom:
        said += f" on {' and '.join(f'`{name.upper()}`' for name in needs.whom)}"
    if needs.where:
        said += " at the establishment named; in the whole group when none is"
    if needs.thing:
        said += " at the establishment of what is named"
    return said + (", in the whole group" if needs.is_everywhere else "")


def _words(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
