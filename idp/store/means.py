"""With what a person could prove more than a password, and what they administer, in one statement: asked at every authorization.

Only looks; the nouns themselves are written by their own repositories (factors.py, and so on).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, Connection, bindparam, literal_column, select, union_all

from idp.store.statement import Statement
from idp.store.tables import factors, passes, recovery_codes, roles

_NOTHING: ColumnElement[str] = literal_column("''")
_OF_ACCOUNT = Statement(
    union_all(
        select(literal_column("'factor'"), factors.c.id, factors.c.kind, factors.c.label, factors.c.hint).where(
            factors.c.account_id == bindparam("account_id"), factors.c.ended_at.is_(None)
        ),
        select(literal_column("'role'"), roles.c.id, roles.c.role, _NOTHING, _NOTHING).where(
            roles.c.account_id == bindparam("account_id"), roles.c.ended_at.is_(None)
        ),
        select(literal_column("'recovery'"), _NOTHING, _NOTHING, _NOTHING, _NOTHING).where(
            recovery_codes.c.account_id == bindparam("account_id"), recovery_codes.c.used_at.is_(None), recovery_codes.c.ended_at.is_(None)
        ),
        select(literal_column("'pass'"), _NOTHING, passes.c.purpose, _NOTHING, _NOTHING).where(
            passes.c.account_id == bindparam("account_id"),
            passes.c.used_at.is_(None),
            passes.c.ended_at.is_(None),
            passes.c.expires_at > bindparam("now"),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class EnrolledFactor:
    """A Factor as far as it may be shown: `hint` is what people may see of a number or an address."""

    id: str
    kind: str
    label: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What one account has. `passes` are the purposes of those that are still open."""

    factors: tuple[EnrolledFactor, ...] = ()
    recovery_codes_left: int = 0
    passes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


class MeansOfProof:
    """What accounts can prove with."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, account_id: str, now: datetime) -> Means:
        """What an account has at `now`."""
        rows = _OF_ACCOUNT.all(self._connection, {"account_id": account_id, "now": now})
        return Means(
            factors=tuple(sorted((EnrolledFactor(*row[1:]) for row in rows if row[0] == "factor"), key=lambda factor: factor.id)),
            recovery_codes_left=sum(row[0] == "recovery" for row in rows),
            passes=frozenset(row[2] for row in rows if row[0] == "pass"),
            roles=frozenset(row[2] for row in rows if row[0] == "role"),
        )

    def equipped(self, account_ids: Iterable[str], kinds: Iterable[str]) -> frozenset[str]:
        """Those of the accounts that have a factor of one of these kinds."""
        asked, wanted, found = iter(account_ids), tuple(kinds), set[str]()
        while some := tuple(islice(asked, 500)):
            query = select(factors.c.account_id).where(
                factors.c.account_id.in_(some), factors.c.kind.in_(wanted), factors.c.ended_at.is_(None)
            )
            found.update(self._connection.execute(query).scalars())
        return frozenset(found)
