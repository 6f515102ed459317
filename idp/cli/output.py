"""What the terminal shows: tables for people, JSON for programs.

Text from the store loses its control characters before it reaches a terminal: strangers wrote some of it.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def show_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; None is shown as nothing."""
    cells = [[plain("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max([len(header), *(len(row[index]) for row in cells)]) for index, header in enumerate(headers)]
    click.secho(_line(headers, widths), bold=True)
    for row in cells:
        click.echo(_line(row, widths))


def plain(text: str) -> str:
    """Without control characters: a user agent must not move the cursor of whoever reads the audit trail."""
    return "".join(character if unicodedata.category(character)[0] != "C" else "\ufffd" for character in text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
