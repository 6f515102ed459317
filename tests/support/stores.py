"""Which stores the tests run on: SQLite files beside the configuration, or databases of a PostgreSQL server and keys of a Redis.

`--stores=postgresql` (or VESTIBULE_TEST_STORES) chooses the second pair. Whoever furnishes a Vestibule asks `place` for the settings of its stores;
the furnished one is what others are copied from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.postgresql import PostgreSQLServer
from tests.support.redis import RedisServer

Settings = dict[str, dict[str, Any]]


@dataclass(slots=True)
class Stores:
    """Where the stores of a test session are; both None: files."""

    postgresql: PostgreSQLServer | None = None
    redis: RedisServer | None = None
    _databases: dict[str, str] = field(default_factory=dict)
    _made: int = 0

    def place(self, folder: Path, *, copied_from: Path | None = None) -> Settings:
        """The settings of the stores of a Vestibule in `folder`; a copy of what the stores of another folder hold, files excepted."""
        if self.postgresql is None:
            # Nothing of a test must survive a power cut.
            return {
                "database": {"url": f"sqlite:///{folder / 'vestibule.db'}", "sqlite_synchronous": "normal"},
                "ephemeral": {"url": f"sqlite:///{folder / 'ephemeral.db'}"},
            }
        template = self._databases[str(copied_from)] if copied_from else None
        self._databases[str(folder)] = name = self.postgresql.create(template)
        settings: Settings = {"database": {"url": self.postgresql.url(name)}, "ephemeral": {"url": f"sqlite:///{folder / 'ephemeral.db'}"}}
        if self.redis is not None:
            self._made += 1
            # What passes is never copied: a Vestibule that was just furnished holds nothing of it.
            settings["ephemeral"] = {"url": self.redis.url, "prefix": f"test-{self._made}"}
        return settings

    def remove(self, folder: Path) -> None:
        """Drop what `place` made for a folder."""
        name = self._databases.pop(str(folder), None)
        if name is not None and self.postgresql is not None:
            self.postgresql.drop(name)


def database_name(settings: Mapping[str, Any]) -> str:
    """The name of the PostgreSQL database in a Vestibule's settings."""
    return urlsplit(settings["database"]["url"]).path.removeprefix("/")
