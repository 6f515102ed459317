"""`vestibule`: the operator's commands. Each is one module, imported only when it is the one that runs.

Owns arguments, prompts and what the terminal shows; the acts are idp.people's, idp.registry's and idp.oauth.keys'. Errors are one line on
standard error and exit code 2; check-config alone uses 1 for "the file is wrong".
"""

import importlib
from typing import Any

import click

CLOCK = "idp.cli.clock"
COMMANDS = {
    "account": "idp.cli.account:account",
    "admin": "idp.cli.admin:admin",
    "audit": "idp.cli.audit:audit",
    "break-glass": "idp.cli.break_glass:break_glass_commands",
    "check-config": "idp.cli.configuration:check_config",
    "client": "idp.cli.client:client",
    "connector": "idp.cli.connector:connector",
    "cut": "idp.cli.cut:cut",
    "establishment": "idp.cli.establishment:establishment",
    "factor": "idp.cli.factor:factor",
    "keys": "idp.cli.keys:keys",
    "mapping": "idp.cli.mapping:mapping",
    "message": "idp.cli.message:message",
    "migrate": "idp.cli.store:migrate",
    "outbox": "idp.cli.store:outbox",
    "pass": "idp.cli.factor:passes",
    "policy": "idp.cli.policy:policy",
    "reload": "idp.cli.server:reload",
    "reset": "idp.cli.reset:reset",
    "scim": "idp.cli.scim:scim",
    "serve": "idp.cli.server:serve",
    "stream": "idp.cli.stream:stream",
    "sync": "idp.cli.sync:sync",
    "work": "idp.cli.server:work",
    "workstation": "idp.cli.workstation:workstation",
    "zone": "idp.cli.zone:zone",
}


class Commands(click.Group):
    """The commands by name, each imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a guess at what was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            likely = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise click.UsageError(f"{error.message} Did you mean {likely[0]}?" if likely else error.message, ctx) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config",
    "config_path",
    envvar="VESTIBULE_CONFIG",
    default="vestibule.yaml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The configuration file; also VESTIBULE_CONFIG.",
)
@click.version_option(package_name="vestibule")
@click.pass_context
def vestibule(ctx: click.Context, config_path: str) -> None:
    """Vestibule: sign people in to the applications of care homes."""
    from pathlib import Path

    ctx.meta[CLOCK] = ctx.obj  # the clock of whoever runs commands in their own program, at their own hour; nobody's at a terminal
    ctx.obj = Path(config_path)


def main(arguments: list[str] | None = None) -> Any:
    """The entry point of the `vestibule` command."""
    return vestibule.main(args=arguments, prog_name="vestibule")
