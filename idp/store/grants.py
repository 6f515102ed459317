"""Grants, codes, refresh tokens and spent identifiers in SQL.

What may be used once is redeemed by one conditional UPDATE (or one INSERT), whose row count is the answer: no race gives a second use, and the
row stays so that the second use is seen.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, exists, func, insert, or_, select, update

from idp.store.base import Account, Code, Grant, RefreshToken
from idp.store.rows import columns, reader, words
from idp.store.statement import InsertUnlessThere, Statement
from idp.store.tables import accounts, attachments, codes, establishments, grants, links, refresh_tokens, sessions, spent_identifiers
from policies.sessions import SessionLimits

_read = reader(Grant, amr=words, resources=tuple)
_code = reader(Code)
_refresh = reader(RefreshToken)
_account = reader(Account)
_GRANT_WIDTH = len(columns(Grant, grants))
# A Grant is alive when it, its Account, its establishment and the attachment it stands on are, and its Session too unless it is offline: what was
# given on a shared workstation never outlives its Session, which is idle sooner.
# One statement, so that the answer is of one instant. `revoked` tells whether an access token's jti was given back.
_ALIVE = Statement(
    select(
        *columns(Grant, grants),
        *columns(Account, accounts),
        select(func.min(links.c.word_at))
        .where(
            links.c.account_id == accounts.c.id,
            links.c.ended_at.is_(None),
            or_(links.c.kind == "directory", links.c.refresh_seal.is_not(None)),
            or_(
                links.c.kind == "directory",
                links.c.how == "created",
                links.c.how == "immutable_id",
                links.c.connector == sessions.c.connector,
            ),
        )
        .scalar_subquery()
        .label("word_at"),
        select(func.min(links.c.word_at))
        .where(
            links.c.account_id == accounts.c.id,
            links.c.ended_at.is_(None),
            or_(links.c.kind == "directory", links.c.refresh_seal.is_not(None)),
        )
        .scalar_subquery()
        .label("oldest_at"),
        select(func.max(links.c.word_at))
        .where(
            links.c.account_id == accounts.c.id,
            links.c.connector == sessions.c.connector,
            links.c.ended_at.is_(None),
            links.c.kind == "upstream",
            links.c.refresh_seal.is_(None),
        )
        .scalar_subquery()
        .label("upstream_at"),
        exists().where(spent_identifiers.c.kind == "access_token", spent_identifiers.c.value == bindparam("jti")).label("revoked"),
    )
    .join_from(grants, accounts, grants.c.account_id == accounts.c.id)
    .join(sessions, grants.c.session_id == sessions.c.id)
    .join(establishments, grants.c.establishment_id == establishments.c.id)
    .where(
        grants.c.id == bindparam("id"),
        grants.c.ended_at.is_(None),
        grants.c.expires_at > bindparam("now"),
        accounts.c.status == "active",
        establishments.c.ended_at.is_(None),
        (grants.c.is_offline & ~sessions.c.is_shared)
        | (
            sessions.c.ended_at.is_(None)
            & (sessions.c.expires_at > bindparam("now"))
            & (sessions.c.last_active_at > bindparam("idle_since"))
            & (~sessions.c.is_shared | (sessions.c.last_active_at > bindparam("shared_idle_since")))
        ),
        exists().where(
            attachments.c.account_id == grants.c.account_id,
            attachments.c.establishment_id == grants.c.establishment_id,
            attachments.c.ended_at.is_(None),
            attachments.c.valid_from.is_(None) | (attachments.c.valid_from <= bindparam("now")),
            attachments.c.valid_until.is_(None) | (attachments.c.valid_until > bindparam("now")),
            # What a provider gave stands while its word does, whatever the Session came by.
            ~exists().where(
                links.c.account_id == attachments.c.account_id,
                links.c.connector == attachments.c.source,
                links.c.ended_at.is_(None),
                links.c.kind == "upstream",
                or_(
                    and_(
                        links.c.refresh_seal.is_not(None),
                        links.c.word_at < bindparam("askable_since"),
                        # The silence of those that decide is told as what it is: for the time being.
                        links.c.how != "created",
                        links.c.how != "immutable_id",
                        links.c.connector != sessions.c.connector,
                    ),
                    and_(links.c.refresh_seal.is_(None), links.c.word_at < bindparam("seen_since")),
                ),
            ),
        ),
    )
)
# Its account is held by whoever redeems a code or a refresh token, before it is looked at (People.hold): the second of two sees the first's use.
_OWNER_OF_CODE = select(grants.c.account_id).join_from(codes, grants).where(codes.c.digest == bindparam("digest")).scalar_subquery()
_OWNER_OF_REFRESH = (
    select(grants.c.account_id).join_from(refresh_tokens, grants).where(refresh_tokens.c.digest == bindparam("digest")).scalar_subquery()
)
_HOLD_CODE = Statement(select(accounts.c.id).where(accounts.c.id == _OWNER_OF_CODE).with_for_update(key_share=True))
_HOLD_REFRESH = Statement(select(accounts.c.id).where(accounts.c.id == _OWNER_OF_REFRESH).with_for_update(key_share=True))
_GET = Statement(select(*columns(Grant, grants)).where(grants.c.id == bindparam("id")))
_OF_SESSION = Statement(select(*columns(Grant, grants)).where(grants.c.session_id == bindparam("id")))
_OF_ACCOUNT = Statement(select(*columns(Grant, grants)).where(grants.c.account_id == bindparam("id"), grants.c.ended_at.is_(None)))
_OF_CLIENT = Statement(select(*columns(Grant, grants)).where(grants.c.client_id == bindparam("id"), grants.c.ended_at.is_(None)))
_END = Statement(
    update(grants)
    .where(grants.c.id == bindparam("grant"), grants.c.ended_at.is_(None))
    .values(ended_at=bindparam("now"), ended_cause=bindparam("cause"))
)
_HAS_TOKENS = Statement(update(grants).where(grants.c.id == bindparam("grant"), ~grants.c.has_tokens).values(has_tokens=True))
_INSERT = Statement(insert(grants), columns=Grant.__slots__)
_CODE = Statement(select(*columns(Code, codes)).where(codes.c.digest == bindparam("digest")))
_INSERT_CODE = Statement(insert(codes), columns=Code.__slots__)
_REDEEM_CODE = Statement(
    update(codes).where(codes.c.digest == bindparam("code"), codes.c.used_at.is_(None)).values(used_at=bindparam("now"))
)
_REFRESH = Statement(select(*columns(RefreshToken, refresh_tokens)).where(refresh_tokens.c.digest == bindparam("digest")))
_INSERT_REFRESH = Statement(insert(refresh_tokens), columns=RefreshToken.__slots__)
_ROTATE = Statement(
    update(refresh_tokens)
    .where(refresh_tokens.c.digest == bindparam("token"), refresh_tokens.c.used_at.is_(None))
    .values(used_at=bindparam("now"), successor_digest=bindparam("successor"), sealed_answer=bindparam("answer"))
)
_IS_SPENT = Statement(
    select(exists().where(spent_identifiers.c.kind == bindparam("kind"), spent_identifiers.c.value == bindparam("value")))
)
_SPEND = InsertUnlessThere(spent_identifiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBounds:
    """How old the last word of a provider may be for what it gave to stand: of one that can be asked, and of one that only the person renews.

    `directories` are the sources that this says nothing of: how long one may be silent is asked of the whole person.
    """

    askable: timedelta
    seen: timedelta
    directories: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """When the sources of a Grant's Account last spoke; None: there is no such source. `word_at`: of those that can be asked and decide on it, the
    earliest; `oldest_at`: of all that can be asked; `upstream_at`: the provider that its Session came by, if that cannot be asked.
    """

    word_at: datetime | None
    oldest_at: datetime | None
    upstream_at: datetime | None


class Grants:
    """What Sessions gave Clients, and the one-time things under them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def alive(
        self, grant_id: str, now: datetime, *, limits: SessionLimits, bounds: SourceBounds, jti: str | None = None
    ) -> tuple[Grant, Account, Heard] | None:
        """The Grant, its Account and when its sources spoke, when the Grant may still give tokens. `bounds` are how old the word of a provider may be
        for what it gave to stand; the access token `jti`, if one is named, must not have been given back.
        """
        since = {"idle_since": now - limits.idle, "shared_idle_since": now - limits.idle_of(is_shared=True)}
        since |= {"askable_since": now - bounds.askable, "seen_since": now - bounds.seen}
        row = _ALIVE.first(self._connection, {"id": grant_id, "now": now, "jti": jti, **since})
        if row is None or row[-1]:
            return None
        return _read(row[:_GRANT_WIDTH]), _account(row[_GRANT_WIDTH:-4]), Heard(word_at=row[-4], oldest_at=row[-3], upstream_at=row[-2])

    def get(self, grant_id: str) -> Grant | None:
        """By id, alive or not."""
        row = _GET.first(self._connection, {"id": grant_id})
        return _read(row) if row else None

    def of_session(self, session_id: str) -> tuple[Grant, ...]:
        """Every one of a Session, ended and offline ones too: their clients were told who is there."""
        return tuple(_read(row) for row in _OF_SESSION.all(self._connection, {"id": session_id}))

    def open_of_account(self, account_id: str) -> tuple[Grant, ...]:
        """Those of an Account that have not ended."""
        return tuple(_read(row) for row in _OF_ACCOUNT.all(self._connection, {"id": account_id}))

    def open_of_client(self, client_id: str) -> tuple[Grant, ...]:
        """Those of a Client that have not ended."""
        return tuple(_read(row) for row in _OF_CLIENT.all(self._connection, {"id": client_id}))

    def open_at(self, establishment_id: str) -> tuple[Grant, ...]:
        """Those for an establishment that have not ended."""
        query = select(*columns(Grant, grants)).where(grants.c.establishment_id == establishment_id, grants.c.ended_at.is_(None))
        return tuple(_read(row) for row in self._connection.execute(query))

    def add(self, grant: Grant) -> None:
        """Insert."""
        values = {name: getattr(grant, name) for name in Grant.__slots__}
        _INSERT.run(self._connection, {**values, "amr": " ".join(grant.amr), "resources": list(grant.resources)})

    def mark_tokens(self, grant_id: str) -> None:
        """Remember that the client got tokens, and so must be told when the Grant's Session ends."""
        _HAS_TOKENS.run(self._connection, {"grant": grant_id})

    def end(self, grant_id: str, now: datetime, *, cause: str) -> bool:
        """End it; False when it had ended. Only idp.endings calls this."""
        return _END.run(self._connection, {"grant": grant_id, "now": now, "cause": cause}) == 1

    def add_code(self, code: Code) -> None:
        """Insert."""
        _INSERT_CODE.run(self._connection, {name: getattr(code, name) for name in Code.__slots__})

    def hold_code(self, digest: str) -> None:
        """Hold the account that a code is about, as People.hold does."""
        if self._connection.dialect.name != "sqlite":
            _HOLD_CODE.first(self._connection, {"digest": digest})

    def hold_refresh(self, digest: str) -> None:
        """Hold the account that a refresh token is about, as People.hold does."""
        if self._connection.dialect.name != "sqlite":
            _HOLD_REFRESH.first(self._connection, {"digest": digest})

    def code(self, digest: str) -> Code | None:
        """By digest, used or not."""
        row = _CODE.first(self._connection, {"digest": digest})
        return _code(row) if row else None

    def redeem_code(self, digest: str, now: datetime) -> bool:
        """Use the code: True for exactly one caller ever."""
        return _REDEEM_CODE.run(self._connection, {"code": digest, "now": now}) == 1

    def add_refresh(self, token: RefreshToken) -> None:
        """Insert."""
        _INSERT_REFRESH.run(self._connection, {name: getattr(token, name) for name in RefreshToken.__slots__})

    def refresh(self, digest: str) -> RefreshToken | None:
        """By digest, used or not."""
        row = _REFRESH.first(self._connection, {"digest": digest})
        return _refresh(row) if row else None

    def rotate(self, digest: str, now: datetime, *, successor_digest: str, sealed_answer: bytes | None) -> bool:
        """Use the refresh token and name its successor: True for exactly one caller ever."""
        values = {"token": digest, "now": now, "successor": successor_digest, "answer": sealed_answer}
        return _ROTATE.run(self._connection, values) == 1

    def spend(self, kind: str, value: str, *, expires_at: datetime) -> bool:
        """Record that an identifier was seen: True the first time, False ever after (until the sweep, past `expires_at`)."""
        return _SPEND.run(self._connection, {"kind": kind, "value": value, "expires_at": expires_at})

    def is_spent(self, kind: str, value: str) -> bool:
        """Whether an identifier was spent."""
        row = _IS_SPENT.first(self._connection, {"kind": kind, "value": value})
        return bool(row and row[0])
