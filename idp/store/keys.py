"""Signing keys in SQL, private parts sealed."""

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from idp.store.base import SigningKey
from idp.store.rows import columns, reader
from idp.store.tables import signing_keys as t

_read = reader(SigningKey)
_ALL = select(*columns(SigningKey, t)).order_by(t.c.created_at, t.c.kid)


class SigningKeys:
    """Keys by state; how they move is decided in idp/oauth/keys.py."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> tuple[SigningKey, ...]:
        """Every key that has not been swept, oldest first."""
        return tuple(_read(row) for row in self._connection.execute(_ALL))

    def add(self, key: SigningKey) -> None:
        """Insert."""
        self._connection.execute(insert(t), {name: getattr(key, name) for name in SigningKey.__slots__})

    def remove(self, kid: str) -> None:
        """Delete: nothing it signed is believed any more."""
        self._connection.execute(delete(t).where(t.c.kid == kid))

    def move(self, kid: str, state: str, **instants: datetime) -> None:
        """Change a key's state and the instants that go with it."""
        self._connection.execute(update(t).where(t.c.kid == kid).values(state=state, **instants))
