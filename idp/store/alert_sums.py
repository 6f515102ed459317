"""Alerts in SQL: what has been counted and not told yet, and when it was last told, for each kind and establishment.

Which lines of the trail are alerts, and how long one waits for the next, is idp/messages/alerts.py's. Calls nothing but SQL.
"""

from sqlalchemy import Connection, select

from idp.store.base import AlertSum
from idp.store.rows import columns, reader, words
from idp.store.statement import insert_or_replace
from idp.store.tables import alert_sums as t

_read = reader(AlertSum, accounts=words)


class AlertSums:
    """The sums. The worker that holds the lease alone writes them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> tuple[AlertSum, ...]:
        """Every one, in the order of their kinds and establishments: as many as establishments that were ever told of something, times the kinds."""
        rows = self._connection.execute(select(*columns(AlertSum, t)).order_by(t.c.kind, t.c.place))
        return tuple(_read(row) for row in rows)

    def save(self, total: AlertSum) -> None:
        """Keep one as it is now."""
        values = {name: getattr(total, name) for name in AlertSum.__slots__}
        insert_or_replace(self._connection, t, {**values, "accounts": " ".join(total.accounts)})
