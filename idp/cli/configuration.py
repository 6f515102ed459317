"""`vestibule check-config`: every error and warning at once. It opens no store."""

from pathlib import Path

import click

from idp.cli.output import show_json
from idp.config import check


@click.command("check-config")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_obj
def check_config(config_path: Path, *, as_json: bool) -> None:
    """Check the configuration file.

    Prints every error and every warning with its place in the YAML. Exit code 1 when there is an error.
    """
    _, findings = check(config_path)
    errors = [finding for finding in findings if finding.severity == "error"]
    if as_json:
        show_json(
            [
                {"severity": item.severity, "file": item.file or str(config_path), "path": item.path, "message": item.message}
                for item in findings
            ]
        )
    else:
        for finding in findings:
            click.secho(str(finding), fg="red" if finding.severity == "error" else "yellow")
        warnings = len(findings) - len(errors)
        click.echo(f"{config_path}: {len(errors)} error(s), {warnings} warning(s)")
    if errors:
        raise SystemExit(1)
