"""Alerts: new lines of the audit trail, told by mail to the establishment's contact and the DPO; counted, never a flood.

How far it has read is kept in SQL as the streams keep theirs (trail/stream.py), and moves in the transaction that queues the mails: nothing is told
twice. After a mail its group waits `alerts.digest` at that establishment; what happens there meanwhile is counted in SQL, and nobody else waits.
Run by the worker that holds the lease. Calls the store and the messenger.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.config.alerts import AlertKind, AlertSettings
from idp.messages.address import mask_email
from idp.messages.alert_texts import alert
from idp.messages.messenger import Letter, Messenger
from idp.store.base import AlertSum, Establishment, StreamCursor
from idp.store.database import Database, Transaction
from idp.store.events import EventFilter
from idp.store.leases import Fenced
from idp.store.trail import Horizon

ACTOR = "system"
BATCH = 1000
BATCHES = 50  # in one pass
NAMED = 5
REMEMBERED = 20  # people of a sum: some of them may be nobody's to name
NOWHERE = ""  # the place of what happened at no establishment
# What is frequent does not make an alarm wait. No stream can be called so.
GROUPS: Mapping[str, frozenset[AlertKind]] = {
    "_alerts": frozenset({"spraying", "outside_hours", "break_glass", "own_agent", "disowned", "reset_alarm", "many_leave", "canary"}),
    "_alerts.counted": frozenset({"new_device", "disabled_account"}),
}
BY_TYPE: Mapping[str, AlertKind] = {
    EventType.DEVICE_SEEN: "new_device",
    EventType.SIGNIN_SPRAYING: "spraying",
    EventType.CONSOLE_OPENED: "outside_hours",
    EventType.BREAK_GLASS_USED: "break_glass",
    EventType.RESET_MISUSED: "own_agent",
    EventType.SIGNIN_DISOWNED: "disowned",
    EventType.RESET_BURNT: "reset_alarm",
    EventType.RESET_STOPPED: "reset_alarm",
    EventType.SYNC_HELD: "many_leave",
    EventType.CANARY_FAILED: "canary",
}
NOT_ACTIVE = frozenset({Reason.ACCOUNT_NOT_ACTIVE, Reason.DIRECTORY_DISABLED})


Sums = dict[tuple[AlertKind, str], AlertSum]


class Alerts:
    """Tells what is new. One a worker; `run_once` is called every minute."""

    def __init__(
        self, config: Config, database: Database | Fenced, messenger: Messenger, *, clock: Clock, count: Callable[[str], None]
    ) -> None:
        self._config = config
        self._settings: AlertSettings = config.alerts
        self._database = database
        self._messenger = messenger
        self._clock = clock
        self._count = count

    def run_once(self) -> int:
        """How many mails were queued."""
        return sum(self._pass(name, kinds & frozenset(self._settings.kinds)) for name, kinds in GROUPS.items())

    def _pass(self, name: str, kinds: frozenset[AlertKind]) -> int:
        now = self._clock.now()
        sent: list[AlertKind] = []
        with self._database.write() as tx:
            cursor, frontier = tx.seals.cursor(name), tx.trail.frontier()
            if cursor is None:
                # With what is written from now on.
                tx.seals.save_cursor(StreamCursor(name=name, line=frontier.newest, settled=frontier.newest))
                return 0
            horizon = Horizon(cursor.settled, cursor.seen, cursor.begun).moved(frontier)
            before: Sums = {(kind, total.place): total for total in tx.alert_sums.all() for kind in kinds if kind == total.kind}
            sums = dict(before)
            line = self._gather(tx, sums, after=cursor.line, settled=horizon.settled, kinds=kinds)
            waiting = {
                total.place for total in before.values() if total.told_at is not None and now - total.told_at < self._settings.digest
            }
            for (kind, place_id), total in sums.items():
                if total.count and place_id not in waiting:
                    told = self._tell(tx, kind, place_id, total)
                    sent += [kind] * told
                    sums[kind, place_id] = AlertSum(kind, place_id, told_at=now if told else total.told_at)
            for key, total in sums.items():
                if total != before.get(key):
                    tx.alert_sums.save(total)
            moved = replace(cursor, line=line, settled=horizon.settled, seen=horizon.seen, begun=horizon.begun)
            if moved != cursor:
                tx.seals.save_cursor(moved)
        for kind in sent:
            self._count(kind)
        return len(sent)

    def _gather(self, tx: Transaction, sums: Sums, *, after: int, settled: int, kinds: frozenset[AlertKind]) -> int:
        """Add the lines after an id to the sums; the id of the last line read."""
        line = after
        for _ in range(BATCHES):
            rows = list(tx.events.read(EventFilter(after_id=line), limit=BATCH))
            for row in rows:
                if row["id"] > settled:
                    return line
                line = row["id"]
                kind = BY_TYPE.get(row["type"])
                if row["type"] == EventType.SIGNIN_REFUSED and row["reason"] in NOT_ACTIVE:
                    kind = "disabled_account"
                if kind is None or kind not in kinds:
                    continue
                place = self._place(tx, row)
                at = datetime.fromisoformat(row["at"])
                if kind == "outside_hours" and self._is_working(at, place):
                    continue
                key = (kind, place.id if place else NOWHERE)
                sums[key] = _counted(sums.get(key) or AlertSum(*key), at, row["account_id"])
            if len(rows) < BATCH:
                break
        return line

    def _place(self, tx: Transaction, row: Mapping[str, Any]) -> Establishment | None:
        """Where it happened: as the line says, else whose network it was, else where the person was last."""
        if row["establishment_id"] is not None:
            return tx.establishments.get(row["establishment_id"])
        place = tx.establishments.by_slug(row["zone"].partition("/")[0]) if "/" in (row["zone"] or "") else None
        if place is not None or row["account_id"] is None:
            return place
        account = tx.people.get(row["account_id"])
        last = account.last_establishment_id if account else None
        return tx.establishments.get(last) if last else None

    def _is_working(self, at: datetime, place: Establishment | None) -> bool:
        hours = self._settings.working_hours
        local = at.astimezone(self._zone(place)).time()
        if hours.begins <= hours.ends:
            return hours.begins == hours.ends or hours.begins <= local < hours.ends
        return local >= hours.begins or local < hours.ends

    def _tell(self, tx: Transaction, kind: AlertKind, place_id: str, total: AlertSum) -> int:
        if not self._messenger.is_set("email"):
            return 0
        place = tx.establishments.get(place_id) if place_id else None
        told = 0
        contact = place.contact_email if place is not None and self._settings.contact else ""
        if place is not None and contact:
            names = () if kind == "new_device" else self._names(tx, place, total)
            told += self._queue(tx, kind, place, total, to=contact, names=names)
        dpo = self._settings.dpo
        if dpo and dpo != contact:
            told += self._queue(tx, kind, place, total, to=dpo, names=())
        return told

    def _names(self, tx: Transaction, place: Establishment, total: AlertSum) -> tuple[str, ...]:
        """Of the people who are attached there; of others their own establishment alone may know."""
        names = []
        for account_id in total.accounts:
            account = tx.people.get(account_id)
            if account is not None and place.id in tx.establishments.of_account(account_id):
                names.append(account.name)
        return tuple(names[:NAMED])

    def _queue(
        self, tx: Transaction, kind: AlertKind, place: Establishment | None, total: AlertSum, *, to: str, names: tuple[str, ...]
    ) -> int:
        at = (total.at or self._clock.now()).astimezone(self._zone(place))
        language = self._config.pages.default_language
        words = alert(
            kind,
            product=self._messenger.product,
            place=place.name if place else "",
            count=total.count,
            at=f"{at:%d/%m/%Y %H:%M}",
            names=names,
            language=language,
        )
        letter = Letter(
            channel="email",
            purpose=f"alert_{kind}",
            to=to,
            hint=mask_email(to),
            words=words,
            language=language,
            life=max(self._config.mail.notice_life, timedelta(hours=1)),
            establishment_id=place.id if place else None,
        )
        message = self._messenger.put(tx, None, letter)
        tx.events.append(
            Event(
                type=EventType.ALERT_SENT,
                at=message.created_at,
                actor=ACTOR,
                origin=Origin(self._clock.new_code(10), "local"),
                establishment_id=message.establishment_id,
                details={"message": message.id, "kind": kind, "count": total.count, "to": message.hint},
            )
        )
        return 1

    def _zone(self, place: Establishment | None) -> ZoneInfo:
        return ZoneInfo(place.time_zone if place else self._config.pages.time_zone)


def _counted(total: AlertSum, at: datetime, account_id: str | None) -> AlertSum:
    accounts = total.accounts
    if account_id is not None and account_id not in accounts and len(accounts) < REMEMBERED:
        accounts = (*accounts, account_id)
    return replace(total, count=total.count + 1, at=at, accounts=accounts)
