"""Browsers in which people have signed in, in SQL: known by a rotating secret of which only the digest is here.

What a Device may spare is decided above (idp/signin/devices.py); here one conditional UPDATE rotates a secret, so that of two answers at once exactly
one carries the next.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from idp.store.base import Device
from idp.store.rows import columns, reader
from idp.store.statement import Statement
from idp.store.tables import devices as t

_read = reader(Device)
_COLUMNS = columns(Device, t)
_IS_OPEN = t.c.ended_at.is_(None)
_GET = Statement(select(*_COLUMNS).where(t.c.id == bindparam("id")))
_OPEN = Statement(select(*_COLUMNS).where(t.c.account_id == bindparam("account_id"), _IS_OPEN).order_by(t.c.last_seen_at.desc()))
_INSERT = Statement(insert(t), columns=Device.__slots__)
_ROTATE = Statement(
    update(t)
    .where(t.c.id == bindparam("device"), t.c.secret_digest == bindparam("current"), _IS_OPEN)
    .values(
        secret_digest=bindparam("successor"),
        previous_digest=bindparam("current"),
        rotated_at=bindparam("now"),
        last_seen_at=bindparam("now"),
        user_agent=bindparam("agent"),
        address=bindparam("seen_from"),
    )
)
_END = Statement(update(t).where(t.c.id == bindparam("device"), _IS_OPEN).values(ended_at=bindparam("now")))
_END_ALL = Statement(update(t).where(t.c.account_id == bindparam("account"), _IS_OPEN).values(ended_at=bindparam("now")))


class Devices:
    """Known browsers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, device_id: str) -> Device | None:
        """By id, ended or not."""
        row = _GET.first(self._connection, {"id": device_id})
        return _read(row) if row else None

    def find(self, account_id: str, digests: Sequence[str]) -> Device | None:
        """The account's open one that has, or had just before, one of these secrets; the present secret of one wins over a former of another."""
        query = select(*_COLUMNS).where(
            t.c.account_id == account_id, _IS_OPEN, or_(t.c.secret_digest.in_(digests), t.c.previous_digest.in_(digests))
        )
        found = [_read(row) for row in self._connection.execute(query)]
        return min(found, key=lambda device: device.secret_digest not in digests, default=None)

    def open_of(self, account_id: str) -> tuple[Device, ...]:
        """An account's, the one seen last first."""
        return tuple(_read(row) for row in _OPEN.all(self._connection, {"account_id": account_id}))

    def add(self, device: Device) -> None:
        """Insert."""
        _INSERT.run(self._connection, {name: getattr(device, name) for name in Device.__slots__})

    def rotate(self, device_id: str, current: str, *, successor: str, now: datetime, user_agent: str, address: str) -> bool:
        """Replace the secret whose digest is `current` by the one of `successor`; False when somebody else has, meanwhile."""
        values = {"device": device_id, "current": current, "successor": successor, "now": now}
        return _ROTATE.run(self._connection, {**values, "agent": user_agent[:300], "seen_from": address}) == 1

    def remember(self, device_id: str, now: datetime, *, until: datetime) -> None:
        """The second factor given in it now is not asked again until then."""
        self._connection.execute(update(t).where(t.c.id == device_id, _IS_OPEN).values(remembered_at=now, remembered_until=until))

    def end(self, device_id: str, now: datetime) -> bool:
        """End it; False when it had ended."""
        return _END.run(self._connection, {"device": device_id, "now": now}) == 1

    def end_of(self, account_id: str, now: datetime) -> int:
        """End every one of an account; how many."""
        return _END_ALL.run(self._connection, {"account": account_id, "now": now})
