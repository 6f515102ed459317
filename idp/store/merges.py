"""Merges of Accounts, and the rows that move with one, in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from idp.store.base import Merge
from idp.store.rows import columns, reader
from idp.store.tables import attachments, factors, identifiers, links, merges, passwords

_read = reader(Merge, moved=dict)


class Merges:
    """Which Accounts were found to be one person, and what went from the one to the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, merge: Merge) -> None:
        """Insert."""
        values = {name: getattr(merge, name) for name in Merge.__slots__}
        self._connection.execute(insert(merges), {**values, "moved": dict(merge.moved)})

    def of_account(self, account_id: str) -> tuple[Merge, ...]:
        """Those that an Account was part of, undone ones too, oldest first."""
        query = select(*columns(Merge, merges)).where(or_(merges.c.kept_id == account_id, merges.c.retired_id == account_id))
        return tuple(_read(row) for row in self._connection.execute(query.order_by(merges.c.merged_at, merges.c.id)))

    def undo(self, merge_id: str, now: datetime) -> bool:
        """Remember that it was undone; False when it was already."""
        query = update(merges).where(merges.c.id == merge_id, merges.c.undone_at.is_(None)).values(undone_at=now)
        return self._connection.execute(query).rowcount == 1

    def move_links(self, keys: Sequence[Sequence[str]], *, from_id: str, to_id: str) -> list[list[str]]:
        """Give links that stand, as (connector, subject), to another Account; those that moved."""
        return [
            list(key)
            for key in keys
            if self._moved(
                update(links)
                .where(links.c.connector == key[0], links.c.subject == key[1], links.c.account_id == from_id, links.c.ended_at.is_(None))
                .values(account_id=to_id)
            )
        ]

    def move_attachments(self, ids: Sequence[str], *, from_id: str, to_id: str) -> list[str]:
        """Give attachments that have not ended to another Account; those that moved."""
        table = attachments
        return [one for one in ids if self._moved(_open(table, one, from_id).values(account_id=to_id))]

    def move_factors(self, ids: Sequence[str], *, from_id: str, to_id: str) -> list[str]:
        """Give factors that have not ended to another Account; those that moved."""
        return [one for one in ids if self._moved(_open(factors, one, from_id).values(account_id=to_id))]

    def move_identifiers(self, keys: Sequence[Sequence[str]], *, from_id: str, to_id: str) -> list[list[str]]:
        """Let identifiers, as (kind, value, scope), find another Account; those that moved."""
        return [
            list(key)
            for key in keys
            if self._moved(
                update(identifiers)
                .where(
                    identifiers.c.kind == key[0],
                    identifiers.c.value == key[1],
                    identifiers.c.scope == key[2],
                    identifiers.c.account_id == from_id,
                )
                .values(account_id=to_id)
            )
        ]

    def move_password(self, *, from_id: str, to_id: str) -> bool:
        """Give the local password to another Account, which has none."""
        return self._moved(update(passwords).where(passwords.c.account_id == from_id).values(account_id=to_id))

    def _moved(self, statement: Any) -> bool:
        return bool(self._connection.execute(statement).rowcount)


def _open(table: Any, row_id: str, account_id: str) -> Any:
    return update(table).where(table.c.id == row_id, table.c.account_id == account_id, table.c.ended_at.is_(None))
