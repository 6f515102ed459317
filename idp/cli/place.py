"""Where a command works: the configuration, the stores, and who runs it; opened when first needed and closed at the end.

`command` turns the program's errors into one clear line and exit code 2, so that no command shows a traceback for a wrong name or a locked file.
"""

import functools
import os
import pwd
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, NoReturn, ParamSpec, TypeVar

import click

from idp.audit import Author, Origin
from idp.clock import Clock, SystemClock
from idp.config import Config, load
from idp.crypto import Keyring, PasswordHasher
from idp.errors import ConfigurationError, StoreUnavailable, VestibuleError
from idp.store.base import Ephemeral
from idp.store.database import Database
from idp.store.ephemeral import open_ephemeral
from idp.store.migrations import current_revision, newest_revision

if TYPE_CHECKING:
    from idp.messages.messenger import Messenger

P = ParamSpec("P")
R = TypeVar("R")


class CommandFailed(click.ClickException):
    """One line on standard error and exit code 2."""

    exit_code = 2


class Place:
    """One run of one command."""

    def __init__(self, config_path: Path, stack: ExitStack) -> None:
        self.config_path = config_path
        self._stack = stack

    @cached_property
    def clock(self) -> Clock:
        """The real clock."""
        return SystemClock()

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
        database = Database.of(self.config.database, pool_size=2)
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
        return Author(f"operator:{operating_user()}", Origin(self.clock.new_code(10), "local"))


def operating_user() -> str:
    """The operating system's name of whoever runs the command; under sudo, of the person rather than of root."""
    uid = os.getuid()
    if uid == 0 and (person := os.environ.get("SUDO_USER")):
        return person
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def command(function: Callable[Concatenate[Place, P], R]) -> Callable[P, R]:
    """Give the function its Place, and turn the program's errors into a line and exit code 2."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with ExitStack() as stack:
            place = Place(click.get_current_context().find_root().obj, stack)
            try:
                return function(place, *args, **kwargs)
            except ConfigurationError as error:
                fail(f"the configuration {place.config_path} cannot be used:\n{error.detail}")
            except StoreUnavailable as error:
                fail(f"the store does not answer: {error.detail}")
            except VestibuleError as error:
                fail(error.detail or error.reason)

    return run


def fail(message: str) -> NoReturn:
    """End with a line on standard error and exit code 2."""
    raise CommandFailed(message)
