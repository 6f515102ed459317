"""An operator at a terminal: runs `vestibule` commands on a folder of their own, and looks at the store to see what they did."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from idp.cli import vestibule
from idp.cli.place import operating_user
from idp.clock import Clock
from idp.config import load
from idp.store.database import Database, Transaction
from idp.store.events import EventFilter
from tests.support.stores import Settings, Stores

ACTOR = f"operator:{operating_user()}"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator, one configuration file. `clock`: that of the world whose files these are, else the real one."""

    config_path: Path
    stores: Settings = field(default_factory=dict)
    clock: Clock | None = None

    @property
    def folder(self) -> Path:
        """Where the configuration and the store are."""
        return self.config_path.parent

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """A command and what it answered; a bug of ours is raised as it is."""
        result = CliRunner().invoke(vestibule, ["--config", str(self.config_path), *arguments], input=stdin, obj=self.clock)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def do(self, *arguments: str, stdin: str | None = None) -> str:
        """A command that must succeed; its standard output."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def ask(self, *arguments: str) -> Any:
        """A command that must succeed and answers JSON."""
        return json.loads(self.do(*arguments))

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """A command that must be refused with exit code 2 and no traceback; what it said."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        return result.stderr

    @contextmanager
    def looking(self) -> Iterator[Transaction]:
        """A look into the store."""
        database = Database.of(load(self.config_path).database, pool_size=2)
        try:
            with database.read() as tx:
                yield tx
        finally:
            database.close()

    def events(self, type_prefix: str | None = None) -> list[dict[str, Any]]:
        """The audit lines, oldest first."""
        with self.looking() as tx:
            return list(tx.events.read(EventFilter(type_prefix=type_prefix)))

    def last_event(self, type_prefix: str) -> dict[str, Any]:
        """The newest audit line of a type."""
        return self.events(type_prefix)[-1]

    def configure(self, **settings: Any) -> None:
        """Write the configuration anew with other top-level settings."""
        write(self.config_path, {**self.stores, **settings})


def write(path: Path, settings: Mapping[str, Any]) -> None:
    """A configuration file that holds what every test needs, and `settings`."""
    base: dict[str, Any] = {
        "issuer": "http://127.0.0.1:8499",
        "master_key": "file:master.key",
        "database": {"sqlite_synchronous": "normal"},
        "demo": True,
    }
    path.write_text(yaml.safe_dump({**base, **settings}, allow_unicode=True), encoding="utf-8")


def furnish_operator(folder: Path, stores: Stores) -> Path:
    """A folder with a configuration, a master key, a migrated store and two establishments; what operators are copied from."""
    operator = Operator(folder / "vestibule.yaml", stores.place(folder) if stores.postgresql else {})
    operator.configure()
    operator.do("keys", "new-master", str(folder / "master.key"))
    operator.do("migrate")
    operator.do("establishment", "add", "tilleuls", "--name", "Les Tilleuls", "--contact-phone", "01 02 03 04 05")
    operator.do("establishment", "add", "glycines", "--name", "Résidence Les Glycines", "--contact-email", "aide@glycines.example")
    return folder


def settle_operator(template: Path, folder: Path, stores: Stores) -> Operator:
    """A copy of a furnished folder for one test."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    if stores.postgresql is None:
        return Operator(folder / "vestibule.yaml")
    operator = Operator(folder / "vestibule.yaml", stores.place(folder, copied_from=template))
    operator.configure()
    return operator
