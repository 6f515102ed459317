"""Stores brought to the newest schema by copying one that was: a test that does not look at migrations need not run all of them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from idp.store.database import Database
from idp.store.migrations import upgrade
from tests.support.pens import some_pens
from tests.support.postgresql import PostgreSQLServer


@dataclass
class Migrated:
    """Copies of one store of each kind, migrated when the first is asked for."""

    folder: Path
    server: Callable[[], PostgreSQLServer]

    def fill(self, url: str) -> str:
        """An empty store that nobody has open is a migrated one now; its address again."""
        parts = urlsplit(url)
        if parts.scheme == "sqlite":
            shutil.copy(self._file, url.removeprefix("sqlite:///"))
        else:
            name = parts.path.removeprefix("/")
            self.server().drop(name)
            self.server().create(self._template, name=name)
        return url

    @cached_property
    def _file(self) -> Path:
        path = self.folder / "migrated.db"
        self._migrate(f"sqlite:///{path}")
        return path

    @cached_property
    def _template(self) -> str:
        name = self.server().create()
        self._migrate(self.server().url(name))
        return name

    def _migrate(self, url: str) -> None:
        database = Database(url, synchronous="normal", busy_timeout_seconds=20, pool_size=1, pens=some_pens())
        upgrade(database)
        database.close()
