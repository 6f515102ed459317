"""Where a command works: the configuration, the stores, and who runs it; opened when first needed and closed at the end.

`command` turns the program's errors into one clear line and exit code 2, so that no command shows a traceback for a wrong name or a locked file.
"""

import functools
import os
import pwd
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

import click

from idp.audit import Author, Origin
from idp.cli import CLOCK
from idp.cli.acts import COMMAND_ACTS
from idp.clock import Clock, SystemClock
from idp.config import Config, load
from idp.crypto import Keyring, PasswordHasher
from idp.errors import ConfigurationError, StoreUnavailable, VestibuleError
from idp.store.base import Ephemeral
from idp.store.chain import Pens
from idp.store.database import Database
from idp.store.ephemeral import open_ephemeral
from idp.store.migrations import current_revision, newest_revision

if TYPE_CHECKING:
    from idp.desk.authority import Agent
    from idp.messages.messenger import Messenger

P = ParamSpec("P")
R = TypeVar("R")


class CommandFailed(click.ClickException):
    """One line on standard error and exit code 2."""

    exit_code = 2


class Place:
    """One run of one command."""

    def __init__(self, config_path: Path, stack: ExitStack, clock: Clock | None = None) -> None:
        self.config_path = config_path
        self.clock = clock or SystemClock()
        self._stack = stack

    @cached_property
    def config(self) -> Config:
        """The configuration; ConfigurationError lists every error."""
        return load(self.config_path)

    @cached_property
    def database(self) -> Database:
        """The migrated store; a command never creates one by accident."""
        database = self.open_database()
        revision = current_revision(database)
        if revision != newest_revision():
            raise VestibuleError(
                "store_not_migrated", f"{self.config.database.place} is at revision {revision or 'none'}: run `vestibule migrate` first"
            )
        return database

    def open_database(self) -> Database:
        """The store, migrated or not."""
        database = Database.of(self.config.database, pool_size=2, pens=Pens.of(self.keyring, self.clock))
        self._stack.callback(database.close)
        return database

    @cached_property
    def ephemeral(self) -> Ephemeral:
        """The ephemeral store."""
        ephemeral = open_ephemeral(self.config.ephemeral, self.clock)
        self._stack.callback(ephemeral.close)
        return ephemeral

    @cached_property
    def keyring(self) -> Keyring:
        """The keys derived from the master key."""
        return Keyring(self.config.master_key.encode(), self.clock)

    @cached_property
    def messenger(self) -> "Messenger":
        """What queues the mails that tell people of an operator's act."""
        from idp.messages.messenger import Messenger

        return Messenger(self.config, keyring=self.keyring, clock=self.clock)

    @cached_property
    def hasher(self) -> PasswordHasher:
        """For commands that set a password."""
        return PasswordHasher(self.clock, concurrency=self.config.server.hash_concurrency)

    @cached_property
    def author(self) -> Author:
        """The operator at this terminal, for the audit trail."""
        return Author(f"operator:{operating_user(self.config_path)}", Origin(self.clock.new_code(10), "local"))

    @cached_property
    def agent(self) -> "Agent":
        """The same for the desk, with what the configuration lets them hold."""
        from idp.cli.operators import agent_of

        return agent_of(self, operating_user(self.config_path))

    def note(self, error: VestibuleError) -> None:
        """Keep the Event of an act that the desk refused in the middle of a command."""
        from idp.desk.authority import ActRefused, Authority

        if isinstance(error, ActRefused):
            Authority(self.database, self.clock).record(error, self.author)

    def admit(self, path: str, given: Mapping[str, Any]) -> None:
        """Raises VestibuleError unless the configuration's operators let this user run a command with these parameters."""
        needs = COMMAND_ACTS.get(path)
        # A command that concerns nobody runs without a configuration that can be read: check-config says what is wrong with it.
        if (needs is None or needs.act is not None) and self.config.operators:
            from idp.cli.operators import admit

            admit(self, operating_user(self.config_path), path, given)


def operating_user(config_path: Path | None = None) -> str:
    """The operating system's name of whoever runs the command; under sudo, of the person behind it.

    SUDO_USER is believed of root, and of the owner of the configuration: neither gains anything by a false name that they could not write there.
    """
    uid = os.getuid()
    if (person := os.environ.get("SUDO_USER")) and (uid == 0 or (config_path is not None and _owns(uid, config_path))):
        return person
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owns(uid: int, path: Path) -> bool:
    try:
        return path.stat().st_uid == uid
    except OSError:
        return False


def command_path(context: click.Context) -> str:
    """A command by its names, without the program's: `account suspend`."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(names)


def command(function: Callable[Concatenate[Place, P], R]) -> Callable[P, R]:
    """Give the function its Place, and turn the program's errors into a line and exit code 2."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with ExitStack() as stack:
            context = click.get_current_context()
            place = Place(context.find_root().obj, stack, context.meta.get(CLOCK))
            try:
                place.admit(command_path(context), context.params)
                return function(place, *args, **kwargs)
            except ConfigurationError as error:
                fail(f"the configuration {place.config_path} cannot be used:\n{error.detail}")
            except StoreUnavailable as error:
                fail(f"the store does not answer: {error.detail}")
            except VestibuleError as error:
                place.note(error)
                fail(error.detail or error.reason)

    return run


def fail(message: str) -> NoReturn:
    """End with a line on standard error and exit code 2."""
    raise CommandFailed(message)
