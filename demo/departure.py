"""A departure, in the demonstration: somebody's account is suspended by the real command, and their certificate read by another.

Owns no rule: what ends, and what the application is told, is Vestibule's. The commands run in this process, one at a time: another start of Python
would take longer than the cut.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from idp.cli import vestibule

NOT_COMPLETE = 3


class NotDone(Exception):
    """The command refused; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Somebody of the list: `is_in` tells whether they may sign in."""

    username: str
    name: str
    is_in: bool


class Departures:
    """The people of a demonstration. Safe between threads."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._lock = threading.Lock()

    def people(self) -> tuple[Shown, ...]:
        """Everybody who may be suspended, or was, by username."""
        listed = json.loads(self._run(["account", "list", "--json"]))
        people = (
            Shown(one["username"], f"{one['given_name']} {one['family_name']}", one["status"] == "active")
            for one in listed
            if one["status"] != "ended"
        )
        return tuple(sorted(people, key=lambda one: one.username))

    def suspend(self, username: str) -> None:
        """Cut somebody off. Raises NotDone."""
        self._run(["account", "suspend", username])

    def reinstate(self, username: str) -> None:
        """Let them in again. Raises NotDone."""
        self._run(["account", "reinstate", username])

    def certificate(self, username: str) -> dict[str, Any] | None:
        """The signed document of their last cut; None when there was none."""
        try:
            found: dict[str, Any] = json.loads(self._run(["cut", "show", username, "--json"]))
        except NotDone:
            return None
        return found

    def _run(self, arguments: Sequence[str]) -> str:
        with self._lock:
            done = CliRunner().invoke(vestibule, ["--config", str(self._config), *arguments])
        if done.exit_code not in {0, NOT_COMPLETE}:
            raise NotDone(done.output.strip())
        return done.stdout
