"""Accounts, what they are found by, their passwords and attachments, in SQL."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Connection, String, and_, any_, bindparam, delete, exists, func, insert, or_, select, update

from idp.store.alphabet import sort_name
from idp.store.base import Account, Attachment, Password
from idp.store.rows import columns, reader
from idp.store.search import add_words, replace_words
from idp.store.statement import InsertUnlessThere, Statement, insert_or_replace
from idp.store.tables import accounts, attachments, grants, identifiers, links, passwords, sessions

_account = reader(Account)
_attachment = reader(Attachment)
_password = reader(Password, previous=tuple)
_BY_ID = Statement(select(*columns(Account, accounts)).where(accounts.c.id == bindparam("id")))
_IS_ASKABLE = or_(links.c.kind == "directory", links.c.refresh_seal.is_not(None))
_HEARD = Statement(
    select(
        *columns(Account, accounts),
        select(func.min(links.c.word_at))
        .where(
            links.c.account_id == accounts.c.id,
            links.c.ended_at.is_(None),
            _IS_ASKABLE,
            # What somebody linked by themselves binds what came by it, and not who came another way.
            or_(
                links.c.kind == "directory",
                links.c.how == "created",
                links.c.how == "immutable_id",
                links.c.connector == bindparam("connector"),
            ),
        )
        .scalar_subquery()
        .label("word_at"),
        select(func.min(links.c.word_at))
        .where(links.c.account_id == accounts.c.id, links.c.ended_at.is_(None), _IS_ASKABLE)
        .scalar_subquery()
        .label("oldest_at"),
    ).where(accounts.c.id == bindparam("id"))
)
_SILENT = Statement(
    select(links.c.connector).where(
        links.c.account_id == bindparam("id"),
        links.c.ended_at.is_(None),
        links.c.kind == "upstream",
        or_(
            and_(links.c.refresh_seal.is_not(None), links.c.word_at < bindparam("askable_since")),
            and_(links.c.refresh_seal.is_(None), links.c.word_at < bindparam("seen_since")),
        ),
    )
)
_BY_IDENTIFIER = Statement(
    select(identifiers.c.scope, *columns(Account, accounts))
    .join_from(identifiers, accounts, identifiers.c.account_id == accounts.c.id)
    .where(identifiers.c.value == bindparam("value"))
)
_PASSWORD = Statement(select(*columns(Password, passwords)).where(passwords.c.account_id == bindparam("id")))
_ATTACHMENTS = Statement(
    select(*columns(Attachment, attachments))
    .where(attachments.c.account_id == bindparam("id"))
    .order_by(attachments.c.created_at, attachments.c.id)
)
# Not FOR UPDATE: whoever only adds a row that names the account (its foreign key) need not wait.
_HOLD = Statement(
    select(accounts.c.id)
    .where(accounts.c.id == any_(bindparam("ids", type_=ARRAY(String))))
    .order_by(accounts.c.id)
    .with_for_update(key_share=True)
)
_HELD = Statement(select(*columns(Account, accounts)).where(accounts.c.id == bindparam("id")).with_for_update(key_share=True))
_IDENTIFIERS = Statement(
    select(identifiers.c.kind, identifiers.c.value, identifiers.c.scope).where(identifiers.c.account_id == bindparam("id"))
)
_REMEMBER = Statement(
    update(accounts).where(accounts.c.id == bindparam("account")).values(last_establishment_id=bindparam("establishment"))
)
_INSERT = Statement(insert(accounts), columns=(*Account.__slots__, "sort_name"))
_ATTACH = Statement(insert(attachments), columns=Attachment.__slots__)
_CLAIM = InsertUnlessThere(identifiers)
_LEAVE = Statement(delete(identifiers).where(identifiers.c.account_id == bindparam("account"), identifiers.c.kind == bindparam("of_kind")))


class People:
    """Accounts and what hangs on them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, account_id: str) -> Account | None:
        """By id (the `sub`), whatever its status."""
        row = _BY_ID.first(self._connection, {"id": account_id})
        return _account(row) if row else None

    def heard(self, account_id: str, connector: str | None = None) -> tuple[Account, datetime | None, datetime | None] | None:
        """By id, with two earliest last words, of its sources that can be asked (None when there are none): of those whose word decides on somebody
        who came by `connector`, and of all.

        Directories, and providers that made the Account or joined it by the directory's id, decide for everybody; another for what came by it.
        """
        row = _HEARD.first(self._connection, {"id": account_id, "connector": connector})
        return (_account(row[:-2]), row[-2], row[-1]) if row else None

    def silent_sources(self, account_id: str, *, askable_since: datetime, seen_since: datetime) -> frozenset[str]:
        """Its providers whose last word is too old to stand on what they gave: those that can be asked, and those that only the person renews."""
        limits = {"askable_since": askable_since, "seen_since": seen_since}
        return frozenset(name for (name,) in _SILENT.all(self._connection, {"id": account_id, **limits}))

    def hold(self, *account_ids: str) -> None:
        """Keep every other transaction that holds these accounts waiting until this one ends. Nothing to do on SQLite, which has one writer.

        Whoever decides on a person's standing or changes it does this first, before looking: what is read afterwards stays true. Several accounts
        are held in the order of their ids, so that two transactions never wait for one another.
        """
        if self._connection.dialect.name != "sqlite" and account_ids:
            _HOLD.all(self._connection, {"ids": list(account_ids)})

    def held(self, account_id: str) -> Account | None:
        """Hold an account, and how it is now."""
        row = _HELD.first(self._connection, {"id": account_id})
        return _account(row) if row else None

    def matching(self, identifier: str, establishment_id: str | None) -> tuple[Account, ...]:
        """Accounts that carry a normalised identifier: those of the establishment when it is known, and those known everywhere.

        More than one means that the identifier alone does not name a person.
        """
        found: dict[str, Account] = {}
        scoped: dict[str, Account] = {}
        for row in _BY_IDENTIFIER.all(self._connection, {"value": identifier}):
            account = _account(row[1:])
            if row[0] == "":
                found[account.id] = account
            elif establishment_id is None or row[0] == establishment_id:
                scoped[account.id] = account
        return tuple({**found, **scoped}.values())

    def all(self) -> Iterator[Account]:
        """Every account, by name, streamed."""
        query = select(*columns(Account, accounts)).order_by(accounts.c.sort_name, accounts.c.id)
        for row in self._connection.execute(query, execution_options={"yield_per": 500}):
            yield _account(row)

    def count_demo(self) -> int:
        """How many demonstration accounts have not ended."""
        query = select(func.count()).select_from(accounts).where(accounts.c.is_demo, accounts.c.ended_at.is_(None))
        return self._connection.execute(query).scalar_one()

    def add(self, account: Account, *, found_by: tuple[tuple[str, str, str], ...]) -> None:
        """Insert an account and what it is found by, as (kind, normalised value, scope); IntegrityError when one is taken."""
        values = {name: getattr(account, name) for name in Account.__slots__}
        _INSERT.run(self._connection, {**values, "sort_name": _sort_name(account)})
        add_words(self._connection, account)
        for kind, value, scope in found_by:
            self.add_identifier(account.id, kind, value=value, scope=scope)

    def add_identifier(self, account_id: str, kind: str, *, value: str, scope: str) -> None:
        """Let the account be found by one more identifier; IntegrityError when it is taken."""
        self._connection.execute(insert(identifiers).values(account_id=account_id, kind=kind, value=value, scope=scope))

    def claim_identifier(self, account_id: str, kind: str, *, value: str, scope: str) -> bool:
        """Let the account be found by one more identifier; False when it is taken."""
        return _CLAIM.run(self._connection, {"account_id": account_id, "kind": kind, "value": value, "scope": scope})

    def remove_identifiers(self, account_id: str, kind: str) -> None:
        """Stop finding the account by one kind of identifier."""
        _LEAVE.run(self._connection, {"account": account_id, "of_kind": kind})

    def identifiers(self, account_id: str) -> tuple[tuple[str, str, str], ...]:
        """What the account is found by: (kind, value, scope)."""
        return tuple((kind, value, scope) for kind, value, scope in _IDENTIFIERS.all(self._connection, {"id": account_id}))

    def change(self, account_id: str, now: datetime, **values: Any) -> None:
        """Set columns of an account and its updated_at."""
        self._connection.execute(update(accounts).where(accounts.c.id == account_id).values(updated_at=now, **values))
        if not values.keys().isdisjoint({"given_name", "family_name", "username"}) and (named := self.get(account_id)) is not None:
            self._connection.execute(update(accounts).where(accounts.c.id == account_id).values(sort_name=_sort_name(named)))
            replace_words(self._connection, named)

    def remember_establishment(self, account_id: str, establishment_id: str) -> None:
        """The establishment last used, to be proposed next time."""
        _REMEMBER.run(self._connection, {"account": account_id, "establishment": establishment_id})

    def password(self, account_id: str) -> Password | None:
        """The local password's hash, or None when the account has none."""
        row = _PASSWORD.first(self._connection, {"id": account_id})
        return _password(row) if row else None

    def set_password(self, account_id: str, encoded: str, *, must_change: bool, now: datetime) -> None:
        """Replace the password; the one it replaces joins the three remembered. The account is held by the caller."""
        current = self.password(account_id)
        previous = [current.hash, *current.previous][:3] if current else []
        values = {"hash": encoded, "previous": previous, "must_change": must_change, "changed_at": now}
        insert_or_replace(self._connection, passwords, {"account_id": account_id, **values})

    def expire_password(self, account_id: str, now: datetime) -> bool:
        """Let the local password serve only to be changed; what was proven with it before `now` is worth nothing. False when there is none."""
        query = update(passwords).where(passwords.c.account_id == account_id)
        return self._connection.execute(query.values(must_change=True, changed_at=now)).rowcount == 1

    def rehash_password(self, account_id: str, old: str, new: str) -> None:
        """Replace a hash by a stronger one of the same password, unless it changed meanwhile."""
        query = update(passwords).where(passwords.c.account_id == account_id, passwords.c.hash == old)
        self._connection.execute(query.values(hash=new))

    def attachments(self, account_id: str) -> tuple[Attachment, ...]:
        """Every attachment of an account, past ones too, oldest first."""
        return tuple(_attachment(row) for row in _ATTACHMENTS.all(self._connection, {"id": account_id}))

    def past_their_last_day(self, since: datetime | None, now: datetime, *, limit: int) -> tuple[Attachment, ...]:
        """Attachments whose last day was over in (since, now] and on which alone something still stands open, the earliest first."""
        other = attachments.alias()
        is_carried = exists().where(
            other.c.account_id == attachments.c.account_id,
            other.c.establishment_id == attachments.c.establishment_id,
            other.c.ended_at.is_(None),
            or_(other.c.valid_from.is_(None), other.c.valid_from <= now),
            or_(other.c.valid_until.is_(None), other.c.valid_until > now),
        )
        is_open = or_(
            *(
                exists().where(
                    table.c.account_id == attachments.c.account_id,
                    table.c.establishment_id == attachments.c.establishment_id,
                    table.c.ended_at.is_(None),
                )
                for table in (sessions, grants)
            )
        )
        query = select(*columns(Attachment, attachments)).where(
            attachments.c.valid_until <= now, attachments.c.ended_at.is_(None), ~is_carried, is_open
        )
        if since is not None:
            query = query.where(attachments.c.valid_until > since)
        query = query.order_by(attachments.c.valid_until, attachments.c.id).limit(limit)
        return tuple(_attachment(row) for row in self._connection.execute(query))

    def attach(self, attachment: Attachment) -> None:
        """Insert an attachment."""
        _ATTACH.run(self._connection, {name: getattr(attachment, name) for name in Attachment.__slots__})

    def change_attachment(self, attachment_id: str, **values: Any) -> None:
        """Set columns of an attachment."""
        self._connection.execute(update(attachments).where(attachments.c.id == attachment_id).values(**values))

    def detach(self, attachment_id: str, now: datetime) -> bool:
        """End an attachment; False when it had ended."""
        query = update(attachments).where(attachments.c.id == attachment_id, attachments.c.ended_at.is_(None)).values(ended_at=now)
        return self._connection.execute(query).rowcount == 1


def _sort_name(account: Account) -> str:
    return sort_name(account.given_name, account.family_name, account.username)
