"""Where lasting things are kept: an embedded file, or a PostgreSQL server and how long it is waited for.

Owns DatabaseSettings; idp/store/database.py connects. The meaning of each setting is the docstring under it (docs/reference/configuration.md).
"""

from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from connectors.settings import Duration, Secret, Settings
from idp.config.values import SQLITE, StoreUrl

POSTGRESQL_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
LEAST_WAIT = timedelta(milliseconds=10)


class DatabaseSettings(Settings):
    """Where lasting things are kept."""

    url: StoreUrl = Field(default="sqlite:///vestibule.db", repr=False)
    """sqlite:///path (embedded, one host), relative to this file, or postgresql://user@host:5432/name with libpq's options (sslmode,
    sslrootcert, several hosts with target_session_attrs). file:<path> or env:<NAME> when it holds a password."""
    password: Secret | None = Field(default=None, repr=False)
    """PostgreSQL: the password, where the URL holds none."""
    sqlite_synchronous: Literal["normal", "full"] = "full"
    """SQLite only. full: what was answered survives a power cut. normal: faster, may lose the last instants."""
    busy_timeout: Duration = Field(default=timedelta(seconds=10), ge=LEAST_WAIT)
    """How long a write waits for another before the request fails (PostgreSQL: lock_timeout), and for a free connection."""
    connect_timeout: Duration = Field(default=timedelta(seconds=3), ge=timedelta(seconds=1))
    """PostgreSQL: how long a connection may take to open, and a transaction to begin: a server that is hung or gone is noticed within this."""
    statement_timeout: Duration = Field(default=timedelta(seconds=12), ge=LEAST_WAIT)
    """PostgreSQL: how long one statement may take; when nothing is heard for a second more, the connection is given up."""
    idle_in_transaction_timeout: Duration = Field(default=timedelta(seconds=30), ge=LEAST_WAIT)
    """PostgreSQL: a transaction of ours that does nothing for this long (a stopped process, a lost host) is ended and holds nobody up."""

    @property
    def is_embedded(self) -> bool:
        """Whether it is a file of this host."""
        return self.url.startswith(SQLITE)

    @property
    def place(self) -> str:
        """The address without its secrets, to be shown."""
        if self.is_embedded:
            return self.url
        parts = urlsplit(self.url)
        user, at, hosts = parts.netloc.rpartition("@")
        return f"postgresql://{user.partition(':')[0]}{at}{hosts}{parts.path}"

    @model_validator(mode="after")
    def _is_known(self) -> "DatabaseSettings":
        # What is wrong is said without repeating the URL: it may hold a password.
        if not self.is_embedded and self.url.partition("://")[0] not in POSTGRESQL_SCHEMES:
            raise ValueError("the database is sqlite:///<path> or postgresql://user@host:5432/name")
        if self.is_embedded and self.password is not None:
            raise ValueError("a password is for PostgreSQL only")
        return self
