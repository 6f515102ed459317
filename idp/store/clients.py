"""Clients and consents in SQL."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from idp.config import ClientSettings
from idp.store.alphabet import in_order
from idp.store.base import Client
from idp.store.statement import Statement, insert_or_replace
from idp.store.tables import clients, consents

_GET = select(clients).where(clients.c.client_id == bindparam("client_id"))
_REVISION = Statement(select(clients.c.revision, clients.c.ended_at).where(clients.c.client_id == bindparam("client_id")))
_CONSENT = select(consents.c.scope).where(consents.c.account_id == bindparam("account_id"), consents.c.client_id == bindparam("client_id"))


class Clients:
    """Applications."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def revision(self, client_id: str) -> int | None:
        """The revision of a client that has not ended, or None: tells whether a cached Client still holds."""
        row = _REVISION.first(self._connection, {"client_id": client_id})
        return int(row[0]) if row and row[1] is None else None

    def get(self, client_id: str) -> Client | None:
        """By client_id; an ended one too."""
        row = self._connection.execute(_GET, {"client_id": client_id}).first()
        return _client(row) if row else None

    def all(self) -> tuple[Client, ...]:
        """Every client, by client_id."""
        return tuple(_client(row) for row in self._connection.execute(select(clients).order_by(clients.c.client_id)))

    def page(self, *, named: str = "", offset: int = 0, limit: int = 50) -> tuple[Client, ...]:
        """Those that have not ended and whose client_id or name holds `named`, by name; at most `limit` of them."""
        query = select(clients).where(clients.c.ended_at.is_(None))
        if named:
            pattern = f"%{named.replace('/', '//').replace('%', '/%').replace('_', '/_')}%"
            name = clients.c.registration["name"].as_string()
            query = query.where(or_(clients.c.client_id.ilike(pattern, escape="/"), name.ilike(pattern, escape="/")))
        found = map(_client, self._connection.execute(query))
        # In order here and not by the database: there are dozens of them, and it would order them by its own locale.
        return tuple(sorted(found, key=lambda client: (in_order(client.settings.name), client.client_id))[offset : offset + limit])

    def put(self, settings: ClientSettings, *, secret_digest: str | None, source: str, now: datetime) -> bool:
        """Insert or replace a registration; whether anything changed. A withdrawn client put again is open again."""
        registration = settings.model_dump(mode="json", exclude={"secret"})
        values: dict[str, Any] = {"registration": registration, "secret_digest": secret_digest, "source": source}
        row = self._connection.execute(_GET, {"client_id": settings.client_id}).first()
        if row is None:
            self._connection.execute(insert(clients).values(client_id=settings.client_id, revision=1, created_at=now, **values))
            return True
        if row.ended_at is None and all(getattr(row, name) == value for name, value in values.items()):
            return False
        query = update(clients).where(clients.c.client_id == settings.client_id)
        self._connection.execute(query.values(revision=clients.c.revision + 1, ended_at=None, **values))
        return True

    def end(self, client_id: str, now: datetime) -> bool:
        """Withdraw a client, and what people agreed to with it; False when it had ended or is unknown."""
        query = update(clients).where(clients.c.client_id == client_id, clients.c.ended_at.is_(None))
        if self._connection.execute(query.values(ended_at=now, revision=clients.c.revision + 1)).rowcount == 0:
            return False
        # Whoever is registered under the same name one day is not who people agreed with.
        self._connection.execute(delete(consents).where(consents.c.client_id == client_id))
        return True

    def consented_scope(self, account_id: str, client_id: str) -> frozenset[str]:
        """The scopes a person agreed to give a client."""
        row = self._connection.execute(_CONSENT, {"account_id": account_id, "client_id": client_id}).first()
        return frozenset(row.scope.split()) if row else frozenset()

    def consent(self, account_id: str, client_id: str, *, scope: frozenset[str], now: datetime) -> None:
        """Remember an agreement, added to earlier ones. The account is held by the caller."""
        before = self.consented_scope(account_id, client_id)
        text = " ".join(sorted(before | scope))
        insert_or_replace(self._connection, consents, {"account_id": account_id, "client_id": client_id, "scope": text, "given_at": now})


def _client(row: Any) -> Client:
    return Client(
        client_id=row.client_id,
        revision=row.revision,
        settings=ClientSettings.model_validate(row.registration),
        secret_digest=row.secret_digest,
        source=row.source,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
