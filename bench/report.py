"""Where results are kept and the page is written: bench/results/*.json, docs/performance.md and its chart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import chart
from bench.page import CHART, markdown
from bench.summary import lines

PAGE = "performance.md"
DIRECTORY = "-directory.json"  # bench.directory and bench.replay keep other figures, in the same folder


def newest(folder: Path) -> Path | None:
    """The newest result file by its name, which begins with date and time; a whole series before any other kind of it."""
    return max(folder.glob("*-series.json"), default=None) or max(
        (
            path
            for path in folder.glob("*.json")
            if not any(other in path.name for other in ("-directory", "-replay", "-decision", "-audit", "-cut"))
        ),
        default=None,
    )


def newest_of_directory(folder: Path) -> Path | None:
    """The newest result file of bench.directory."""
    return max(folder.glob(f"*{DIRECTORY}"), default=None)


def load(path: Path) -> dict[str, Any]:
    """A result file as parsed."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def keep(result: Mapping[str, Any], folder: Path) -> Path:
    """Write a result file named after the result, over an earlier state of the same one."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{result['name']}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Write the page and its chart into `folder` and return the page."""
    every = lines(result)
    page = folder / PAGE
    (folder / CHART).write_text(chart.draw(every), encoding="utf-8")
    page.write_text(markdown(result, every), encoding="utf-8")
    return page
