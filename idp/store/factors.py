"""Second factors, recovery codes, one-time passes and roles, in SQL.

What serves once is used by one conditional UPDATE (a TOTP step, a recovery code, a pass, a sign count that must grow): of several callers at once,
in any process, exactly one is told True, whatever the ephemeral store has lost meanwhile.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, case, exists, func, insert, or_, select, update

from idp.store.base import Account, Factor, Pass, Role
from idp.store.canary import ACCOUNT_IS_NOBODYS
from idp.store.rows import columns, reader
from idp.store.statement import InsertUnlessThere, Statement
from idp.store.tables import accounts, attachments, establishments, events, factors, passes, recovery_codes, roles

_factor = reader(Factor)
_pass = reader(Pass)
_role = reader(Role)
_account = reader(Account)
_ACCOUNT_WIDTH = len(columns(Account, accounts))
_FACTOR = columns(Factor, factors)
_BY_ID = Statement(select(*_FACTOR).where(factors.c.id == bindparam("id")))
_BY_CREDENTIAL = Statement(select(*_FACTOR).where(factors.c.credential_digest == bindparam("digest"), factors.c.ended_at.is_(None)))
_OPEN = Statement(
    select(*_FACTOR)
    .where(factors.c.account_id == bindparam("account_id"), factors.c.ended_at.is_(None))
    .order_by(factors.c.created_at, factors.c.id)
)
_INSERT = InsertUnlessThere(factors)
_IS_OPEN = and_(factors.c.id == bindparam("factor"), factors.c.ended_at.is_(None))
_STEP = Statement(
    update(factors)
    .where(_IS_OPEN, or_(factors.c.last_step.is_(None), factors.c.last_step < bindparam("step")))
    .values(last_step=bindparam("step"), last_used_at=bindparam("now"))
)
# Web Authentication level 2, section 6.1.1: a count that is used at all must grow.
_COUNT = Statement(
    update(factors)
    .where(
        _IS_OPEN,
        or_(
            factors.c.sign_count.is_(None),
            factors.c.sign_count < bindparam("count"),
            and_(factors.c.sign_count == 0, bindparam("count", type_=BigInteger) == 0),
        ),
    )
    .values(sign_count=bindparam("count"), last_used_at=bindparam("now"))
)
_TOUCH = Statement(update(factors).where(_IS_OPEN).values(last_used_at=bindparam("now")))
_END = Statement(update(factors).where(_IS_OPEN).values(ended_at=bindparam("now")))
_BURN = Statement(
    update(recovery_codes)
    .where(
        recovery_codes.c.digest == bindparam("code"),
        recovery_codes.c.account_id == bindparam("account"),
        recovery_codes.c.used_at.is_(None),
        recovery_codes.c.ended_at.is_(None),
    )
    .values(used_at=bindparam("now"))
)
_PASS = Statement(select(*columns(Pass, passes)).where(passes.c.digest == bindparam("digest")))
_REDEEM = Statement(
    update(passes)
    .where(
        passes.c.digest == bindparam("code"),
        passes.c.purpose == bindparam("what_for"),
        passes.c.used_at.is_(None),
        passes.c.ended_at.is_(None),
        passes.c.expires_at > bindparam("now"),
    )
    .values(used_at=bindparam("now"))
)
_ROLES = Statement(
    select(*columns(Role, roles))
    .where(roles.c.account_id == bindparam("account_id"), roles.c.ended_at.is_(None))
    .order_by(roles.c.created_at, roles.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unequipped:
    """An active Account without a factor, at one of the places where it is attached today. `sign_ins_outside` counts since ever."""

    account: Account
    establishment_id: str
    profile: str
    last_sign_in: datetime | None
    sign_ins_outside: int


class Factors:
    """Enrolled second proofs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, factor_id: str) -> Factor | None:
        """By id, ended or not."""
        row = _BY_ID.first(self._connection, {"id": factor_id})
        return _factor(row) if row else None

    def by_credential(self, credential_digest: str) -> Factor | None:
        """The passkey that has not ended, by the digest of its credential id."""
        row = _BY_CREDENTIAL.first(self._connection, {"digest": credential_digest})
        return _factor(row) if row else None

    def open_of(self, account_id: str) -> tuple[Factor, ...]:
        """Those of an account that have not ended, oldest first."""
        return tuple(_factor(row) for row in _OPEN.all(self._connection, {"account_id": account_id}))

    def add(self, factor: Factor) -> bool:
        """Insert; False when its id or its credential is there already."""
        return _INSERT.run(self._connection, {name: getattr(factor, name) for name in Factor.__slots__})

    def use_step(self, factor_id: str, step: int, now: datetime) -> bool:
        """Let a TOTP step serve: True for exactly one caller ever; steps before the last that served never do."""
        return _STEP.run(self._connection, {"factor": factor_id, "step": step, "now": now}) == 1

    def use_count(self, factor_id: str, count: int, now: datetime) -> bool:
        """Let a passkey's signature serve: False when its count has not grown (a copy of the key) or the factor has ended."""
        return _COUNT.run(self._connection, {"factor": factor_id, "count": count, "now": now}) == 1

    def touch(self, factor_id: str, now: datetime) -> bool:
        """Record its use; False when it has ended."""
        return _TOUCH.run(self._connection, {"factor": factor_id, "now": now}) == 1

    def rename(self, factor_id: str, label: str) -> None:
        """Give it another label."""
        self._connection.execute(update(factors).where(factors.c.id == factor_id, factors.c.ended_at.is_(None)).values(label=label))

    def end(self, factor_id: str, now: datetime) -> bool:
        """End it; False when it had ended."""
        return _END.run(self._connection, {"factor": factor_id, "now": now}) == 1

    def unequipped(
        self, now: datetime, *, establishment_id: str | None = None, places: Collection[str] | None = None
    ) -> Iterator[Unequipped]:
        """Who has no factor yet, by name, once for each establishment where they are attached now; sealed and canary accounts left out.

        A mailbox is no factor here: alone it satisfies no rule. `places`: only these establishments; None for all. Demonstration accounts are
        people here: where there are any, no server runs but on this machine (readiness.py), and there they sign in like everybody.
        """
        signed_in = (
            select(
                events.c.account_id,
                func.max(events.c.at).label("last"),
                func.sum(case((events.c.zone_kind == "outside", 1), else_=0)).label("outside"),
            )
            .where(events.c.type == "signin.succeeded")
            .group_by(events.c.account_id)
            .subquery()
        )
        query = (
            select(
                *columns(Account, accounts), attachments.c.establishment_id, attachments.c.profile, signed_in.c.last, signed_in.c.outside
            )
            .join_from(accounts, attachments, attachments.c.account_id == accounts.c.id)
            .join(establishments, establishments.c.id == attachments.c.establishment_id)
            .outerjoin(signed_in, signed_in.c.account_id == accounts.c.id)
            .where(
                accounts.c.status == "active",
                ~accounts.c.is_break_glass,
                ~ACCOUNT_IS_NOBODYS,
                attachments.c.ended_at.is_(None),
                or_(attachments.c.valid_from.is_(None), attachments.c.valid_from <= now),
                or_(attachments.c.valid_until.is_(None), attachments.c.valid_until > now),
                establishments.c.ended_at.is_(None),
                ~exists().where(factors.c.account_id == accounts.c.id, factors.c.ended_at.is_(None), factors.c.kind != "email"),
            )
            .order_by(accounts.c.sort_name, accounts.c.id, establishments.c.slug, attachments.c.profile)
        )
        if establishment_id is not None:
            query = query.where(attachments.c.establishment_id == establishment_id)
        if places is not None:
            query = query.where(attachments.c.establishment_id.in_(places))
        for row in self._connection.execute(query, execution_options={"yield_per": 500}):
            place, profile, last, outside = row[_ACCOUNT_WIDTH:]
            yield Unequipped(
                account=_account(row[:_ACCOUNT_WIDTH]),
                establishment_id=place,
                profile=profile,
                last_sign_in=last,
                sign_ins_outside=outside or 0,
            )


class RecoveryCodes:
    """Codes on paper, each used once; only keyed hashes are kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def replace(self, account_id: str, digests: tuple[str, ...], now: datetime) -> None:
        """End the ones there are and insert these."""
        self.end_all(account_id, now)
        rows = [{"digest": digest, "account_id": account_id, "created_at": now} for digest in digests]
        self._connection.execute(insert(recovery_codes), rows)

    def burn(self, account_id: str, digest: str, now: datetime) -> bool:
        """Use one: True for exactly one caller ever."""
        return _BURN.run(self._connection, {"account": account_id, "code": digest, "now": now}) == 1

    def left(self, account_id: str) -> int:
        """How many may still be used."""
        query = select(func.count()).select_from(recovery_codes).where(self._usable(account_id))
        return self._connection.execute(query).scalar_one()

    def made_at(self, account_id: str) -> datetime | None:
        """When the ones that have not ended were made; None when there are none."""
        query = select(func.max(recovery_codes.c.created_at)).where(
            recovery_codes.c.account_id == account_id, recovery_codes.c.ended_at.is_(None)
        )
        return self._connection.execute(query).scalar()

    def end_all(self, account_id: str, now: datetime) -> int:
        """End them, used or not; how many could still be used."""
        left = self.left(account_id)
        query = update(recovery_codes).where(recovery_codes.c.account_id == account_id, recovery_codes.c.ended_at.is_(None))
        self._connection.execute(query.values(ended_at=now))
        return left

    def _usable(self, account_id: str) -> ColumnElement[bool]:
        return and_(recovery_codes.c.account_id == account_id, recovery_codes.c.used_at.is_(None), recovery_codes.c.ended_at.is_(None))


class Passes:
    """What somebody entitled hands over, used once; known by keyed hashes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, digest: str) -> Pass | None:
        """By digest, used or not."""
        row = _PASS.first(self._connection, {"digest": digest})
        return _pass(row) if row else None

    def add(self, given: Pass) -> None:
        """Insert."""
        self._connection.execute(insert(passes).values({name: getattr(given, name) for name in Pass.__slots__}))

    def redeem(self, digest: str, purpose: str, now: datetime) -> bool:
        """Use it for its purpose, before its end: True for exactly one caller ever."""
        return _REDEEM.run(self._connection, {"code": digest, "what_for": purpose, "now": now}) == 1

    def open_of(self, account_id: str, now: datetime) -> tuple[Pass, ...]:
        """Those of an account that could still be used."""
        query = select(*columns(Pass, passes)).where(
            passes.c.account_id == account_id, passes.c.used_at.is_(None), passes.c.ended_at.is_(None), passes.c.expires_at > now
        )
        return tuple(_pass(row) for row in self._connection.execute(query.order_by(passes.c.created_at)))

    def end_unused(self, account_id: str, now: datetime, *, purpose: str | None = None) -> int:
        """End those of an account that were not used, of one purpose or of all; how many."""
        query = update(passes).where(passes.c.account_id == account_id, passes.c.used_at.is_(None), passes.c.ended_at.is_(None))
        if purpose is not None:
            query = query.where(passes.c.purpose == purpose)
        return self._connection.execute(query.values(ended_at=now)).rowcount


class Roles:
    """Who administers what."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_of(self, account_id: str) -> tuple[Role, ...]:
        """Those of an account that have not ended, oldest first."""
        return tuple(_role(row) for row in _ROLES.all(self._connection, {"account_id": account_id}))

    def holders(self, role: str | None = None) -> tuple[Role, ...]:
        """Every one that has not ended, of one kind or of all, oldest first."""
        query = select(*columns(Role, roles)).where(roles.c.ended_at.is_(None)).order_by(roles.c.created_at, roles.c.id)
        if role is not None:
            query = query.where(roles.c.role == role)
        return tuple(_role(row) for row in self._connection.execute(query))

    def page(self, *, named: str, offset: int, limit: int) -> tuple[tuple[Role, Account, bool], ...]:
        """Who administers, by name: each open role of an Account that may be used, and whether that has a second factor that counts.

        `named`: the beginning of a name, a username or an e-mail address; "" for all.
        """
        has_factor = exists().where(factors.c.account_id == accounts.c.id, factors.c.ended_at.is_(None), factors.c.kind != "email")
        query = (
            select(has_factor, *columns(Account, accounts), *columns(Role, roles))
            .join(accounts, accounts.c.id == roles.c.account_id)
            .where(roles.c.ended_at.is_(None), accounts.c.status == "active")
            .order_by(accounts.c.sort_name, accounts.c.id, roles.c.created_at, roles.c.id)
        )
        if named:
            found_by = (accounts.c.family_name, accounts.c.given_name, accounts.c.username, accounts.c.email)
            query = query.where(or_(*(column.istartswith(named, autoescape=True) for column in found_by)))
        return tuple(
            (_role(row[1 + _ACCOUNT_WIDTH :]), _account(row[1 : 1 + _ACCOUNT_WIDTH]), bool(row[0]))
            for row in self._connection.execute(query.offset(offset).limit(limit))
        )

    def add(self, role: Role) -> None:
        """Insert."""
        self._connection.execute(insert(roles).values({name: getattr(role, name) for name in Role.__slots__}))

    def end(self, role_id: str, now: datetime) -> bool:
        """End it; False when it had ended."""
        return (
            self._connection.execute(update(roles).where(roles.c.id == role_id, roles.c.ended_at.is_(None)).values(ended_at=now)).rowcount
            == 1
        )
