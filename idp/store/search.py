"""Finding people by what anybody types of them: the beginnings of their names, in any order and without accents, or of what they sign in with.

Owns the words that names are found by (account_words), which people.py has written with every name. Whoever may see only some establishments is
answered from those alone, in the same statement.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, insert, or_, select

from idp.store.alphabet import plain, sort_name
from idp.store.base import Account
from idp.store.rows import columns, reader
from idp.store.statement import Statement
from idp.store.tables import account_words, accounts, attachments, identifiers

MOST_WORDS = 8
LONGEST_WORD = 80
MOST_TYPED = 16

_account = reader(Account)
_ADD = Statement(insert(account_words), columns=("account_id", "word"))
_FORGET = Statement(delete(account_words).where(account_words.c.account_id == bindparam("account")))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name as they are compared: small letters and digits, no accents; each once, eight at most."""
    return tuple(dict.fromkeys(word[:LONGEST_WORD] for word in plain(text).split()))[:MOST_WORDS]


def add_words(connection: Connection, account: Account) -> None:
    """Let a new account be found by its names."""
    for word in words_of(f"{account.family_name} {account.given_name}"):
        _ADD.run(connection, {"account_id": account.id, "word": word})


def replace_words(connection: Connection, account: Account) -> None:
    """Let an account be found by the names that it has now, and by no earlier ones."""
    _FORGET.run(connection, {"account": account.id})
    add_words(connection, account)


class Search:
    """Looks people up."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def people(self, typed: str, *, places: Collection[str] | None, now: datetime, skip: int, count: int) -> tuple[Account, ...]:
        """A page of those that `typed` is the beginning of, by name; everybody when it is empty.

        `places`: the establishments to which one must be attached, now or later, to be seen; None for everybody. Those who begin alike with the names
        that were typed are found in any order of the words.
        """
        query = select(*columns(Account, accounts)).where(*self._scope(places, now), *self._matches(typed))
        query = query.order_by(accounts.c.sort_name, accounts.c.id).offset(skip).limit(count)
        return tuple(_account(row) for row in self._connection.execute(query))

    def named(self, typed: str) -> tuple[Account, ...]:
        """Everybody who is called exactly what was typed: given and family name, whole and in either order, capitals, accents and hyphens apart."""
        wanted = plain(typed)
        words = wanted.split()
        if not 2 <= len(words) <= MOST_TYPED:
            return ()
        halves = [(" ".join(words[:end]), " ".join(words[end:])) for end in range(1, len(words) + 1)]
        keys = {key for one, other in halves for key in (sort_name(one, other, None), sort_name(other, one, None))}
        query = (
            select(*columns(Account, accounts)).where(accounts.c.sort_name.in_(sorted(keys))).order_by(accounts.c.sort_name, accounts.c.id)
        )
        found = (_account(row) for row in self._connection.execute(query))
        # A username stands in for the names of who has none, and a long name is kept cut: neither is a name that was typed whole.
        return tuple(one for one in found if wanted in _orders(one))

    def is_seen(self, account_id: str, *, places: Collection[str] | None, now: datetime) -> bool:
        """Whether somebody who sees these establishments sees the person."""
        query = select(accounts.c.id).where(accounts.c.id == account_id, *self._scope(places, now))
        return self._connection.execute(query).first() is not None

    def _matches(self, typed: str) -> list[ColumnElement[bool]]:
        text = typed.strip().casefold()
        if not text:
            return []
        begun = select(identifiers.c.account_id).where(identifiers.c.value.startswith(text, autoescape=True))
        ways: list[ColumnElement[bool]] = [accounts.c.id.in_(begun), accounts.c.id == text.upper()]
        if words := words_of(text):
            named = [
                accounts.c.id.in_(select(account_words.c.account_id).where(account_words.c.word.startswith(word, autoescape=True)))
                for word in words
            ]
            ways.append(and_(*named))
        return [or_(*ways)]

    def _scope(self, places: Collection[str] | None, now: datetime) -> list[ColumnElement[bool]]:
        if places is None:
            return []
        there: Any = select(attachments.c.account_id).where(
            attachments.c.establishment_id.in_(places),
            attachments.c.ended_at.is_(None),
            or_(attachments.c.valid_until.is_(None), attachments.c.valid_until > now),
        )
        return [accounts.c.id.in_(there)]


def _orders(account: Account) -> frozenset[str]:
    given, family = account.given_name, account.family_name
    return frozenset({plain(f"{given} {family}"), plain(f"{family} {given}")})
