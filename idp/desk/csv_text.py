"""CSV that a spreadsheet opens without running any of it: cells as text, rows as text. Knows nothing of what is exported."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

# A cell that begins so is a formula to a spreadsheet: what a stranger typed must not run on the desk of whoever reads the export (OWASP).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: Any) -> str:
    """A value as a cell: lists as words, mappings as JSON, and never a formula."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    if isinstance(value, list | tuple):
        text = " ".join(map(str, value))
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_row(values: Iterable[Any]) -> str:
    """One row, with the end of its line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([csv_cell(value) for value in values])
    return text.getvalue()
