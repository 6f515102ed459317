"""Verifying the trail: every line's signature, every chain's joints, every seal and every record of a purge; what was touched is named.

One pass in the order of ids, in one snapshot: within a chain ids only grow. What is remembered is one head a writer. Owns what is concluded;
`vestibule audit verify` shows it. Finds no trace of lines that were written and taken away since the last seal (a minute at most), nor of a
database put back as a whole: for that a seal noted elsewhere is given (docs/audit-trail.md).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from idp.crypto import same
from idp.store.chain import Notary
from idp.store.database import Database, Transaction
from idp.store.seals import SEALS, UNSIGNED
from idp.store.trail import NAMES, Horizon
from idp.trail.finding import Fault, Finding, Verification
from idp.trail.sealer import counts_unsigned
from idp.trail.value import instant, seal_value

PAGE = 2000
BEFORE_ALL = -(2**63)
ID, AT, TYPE, MAC = NAMES.index("id"), NAMES.index("at"), NAMES.index("type"), NAMES.index("mac")
NAMED = 8  # line ids in one finding
LATE = timedelta(minutes=5)  # the sealer seals every minute


@dataclass(slots=True)
class _Head:
    """Where a chain has got to in the pass. `is_known` False after a line whose own signature does not hold."""

    sequence: int = 0
    mac: str = ""
    is_known: bool = True
    line_id: int = 0


@dataclass(slots=True)
class _Sealed:
    """The last that was sealed of a chain."""

    sequence: int
    mac: str
    seal: int
    is_seen: bool = False


def verify(
    database: Database,
    notary: Notary,
    *,
    now: datetime,
    tell: Callable[[int], object],
    begin: Callable[[int], object],
    noted: tuple[int, str] | None = None,
) -> Verification:
    """Verify the whole trail. `begin` is given how many lines there are, `tell` how many more were read; `noted` is a seal as written elsewhere.

    `now` says what should have been sealed by this time.
    """
    with database.read() as tx:
        tx.take_time()
        begin(tx.trail.count())
        return _Pass(tx, notary, noted).run(tell, now)


class _Pass:
    def __init__(self, tx: Transaction, notary: Notary, noted: tuple[int, str] | None) -> None:
        self._tx = tx
        self._notary = notary
        self._noted = noted
        self._found = Verification(may_be_changed=tx.trail.may_be_changed())
        self._ranges: dict[tuple[str, int], dict[str, Any]] = {}
        self._heads: dict[str, _Head] = {}
        self._sealed: dict[str, _Sealed] = {}
        self._unsigned_sealed = 0
        self._uncounted = 0
        self._unsigned_until = 0
        self._is_counting = True
        self._first: dict[str, Any] | None = None
        self._oldest: datetime | None = None
        self._oldest_signed: datetime | None = None
        self._unsigned_late: list[int] = []

    def run(self, tell: Callable[[int], object], now: datetime) -> Verification:
        """The ranges, the seals, the lines, then what should have been there."""
        self._read_ranges()
        self._read_seals()
        after = BEFORE_ALL
        while page := self._tx.trail.rows(after, PAGE):
            for row in page:
                self._read_line(row)
            after = page[-1][ID]
            tell(len(page))
        for writer, sealed in self._sealed.items():
            self._check_end(writer, sealed)
        self._check_unsigned()
        self._check_beginning(now)
        self._found.writers = len(self._heads)
        return self._found

    def _add(self, fault: Fault, words: str, **where: Any) -> None:
        self._found.findings.append(Finding(fault=fault, words=words, **where))

    def _read_ranges(self) -> None:
        for row in self._tx.seals.ranges():
            if _holds(self._notary.signed_range, row):
                self._ranges[row["writer"], row["first"]] = row
                self._found.purged += row["count"] if row["writer"] != SEALS else 0
            else:
                at = f"from {row['first']} to {row['last']}"
                self._add(
                    Fault.RANGE_CHANGED,
                    f"the record of a purge of {row['writer'] or 'lines without a writer'} {at} is not ours",
                    writer=row["writer"],
                )

    def _hop(self, writer: str, head: _Head) -> None:
        """Past what was purged right after the head."""
        while (record := self._ranges.get((writer, head.sequence + 1))) is not None:
            if head.is_known and not same(record["previous"], head.mac):
                self._add(
                    Fault.RANGE_CHANGED,
                    f"the purge of {writer} from {record['first']} does not follow line {head.sequence} of it",
                    writer=writer,
                )
            if (sealed := self._sealed.get(writer)) is not None and record["first"] <= sealed.sequence <= record["last"]:
                sealed.is_seen = sealed.sequence < record["last"] or same(sealed.mac, record["last_mac"])
            head.sequence, head.mac, head.is_known = record["last"], record["last_mac"], True

    def _read_seals(self) -> None:
        head, after = _Head(), 0
        noted = self._noted
        while page := self._tx.seals.page(after, PAGE):
            for seal in page:
                after = seal["number"]
                self._hop(SEALS, head)
                self._read_seal(seal, head)
                if noted is not None and seal["number"] == noted[0]:
                    if not same(seal["mac"], noted[1]):
                        self._add(
                            Fault.NOTED_SEAL, f"seal {noted[0]} is not the one that was noted: the database was put back, or made anew"
                        )
                    noted = None
        if noted is not None:
            is_purged = any(
                writer == SEALS and record["first"] <= noted[0] <= record["last"] for (writer, _), record in self._ranges.items()
            )
            if not is_purged:
                newest = self._found.newest_seal or "there is none"
                words = f"seal {noted[0]}, which was noted, is not there (the newest: {newest}): the database was put back, or seals were taken away"
                self._add(Fault.NOTED_SEAL, words)

    def _read_seal(self, seal: dict[str, Any], head: _Head) -> None:
        number, at = seal["number"], instant(seal["at"])
        self._found.seals += 1
        is_good = _holds(self._notary.signed_seal, seal)
        if not is_good:
            self._add(Fault.SEAL_CHANGED, f"seal {number} was changed", at=at)
        elif number != head.sequence + 1:
            self._add(Fault.SEALS_MISSING, f"seals {head.sequence + 1} to {number - 1} are not there", at=at)
        elif head.is_known and not same(seal["previous"], head.mac):
            self._add(Fault.SEAL_CHANGED, f"seal {number} does not follow the one before it", at=at)
        head.sequence, head.mac, head.is_known = number, seal["mac"], is_good
        if not is_good:
            self._is_counting = self._is_counting and self._first is not None
            return
        self._found.newest_seal, self._found.sealed_at = seal_value(seal), at
        self._unsigned_sealed += seal["unsigned"]
        self._unsigned_until = seal["horizon"]
        if number == 1:
            self._first = seal
        self._is_counting = self._first is not None and counts_unsigned(self._first, Horizon(seal["horizon"]), seal["at"])
        for writer, sequence, mac in json.loads(seal["heads"]):
            before = self._sealed.get(writer)
            if before is None or before.sequence <= sequence:
                self._sealed[writer] = _Sealed(sequence, mac, number)

    def _read_line(self, row: list[Any]) -> None:
        self._found.lines += 1
        line_id, writer, sequence, previous = row[:4]
        at = _at(row)
        self._oldest = _earlier(self._oldest, at)
        if writer is None:
            self._read_unsigned(row)
            return
        is_good = self._is_signed(row)
        if is_good:
            self._oldest_signed = _earlier(self._oldest_signed, at)
        if not is_good:
            self._add(Fault.CHANGED, f"line {line_id} ({row[TYPE]}) was changed", line_id=line_id, writer=str(writer), at=_at(row))
            if not isinstance(writer, str) or not isinstance(sequence, int):
                return
        head = self._heads.setdefault(writer, _Head())
        if sequence != head.sequence + 1:
            self._hop(writer, head)
        if sequence <= head.sequence:
            if is_good:
                words = f"line {line_id} ({row[TYPE]}) says that it is number {sequence} of {writer}, which came before"
                self._add(Fault.OUT_OF_PLACE, words, line_id=line_id, writer=writer, at=_at(row))
            return
        if sequence > head.sequence + 1:
            if not is_good:
                return  # its number may be what was changed
            self._miss(writer, head, until=sequence - 1, row=row)
        elif is_good and head.is_known and not same(previous or "", head.mac):
            words = f"line {line_id} ({row[TYPE]}) does not follow number {head.sequence} of {writer}, which line {head.line_id} is"
            self._add(Fault.OUT_OF_PLACE, words, line_id=line_id, writer=writer, at=_at(row))
        head.sequence, head.mac, head.is_known, head.line_id = sequence, str(row[MAC]), is_good, line_id
        sealed = self._sealed.get(writer)
        if sealed is None or sequence > sealed.sequence:
            if is_good:
                self._found.unsealed.add(instant(row[AT]))
        elif sequence == sealed.sequence:
            sealed.is_seen = True  # by its number; what it says is compared here
            if is_good and not same(head.mac, sealed.mac):
                words = f"line {line_id} ({row[TYPE]}) is not what seal {sealed.seal} signed as number {sequence} of {writer}"
                self._add(Fault.NOT_AS_SEALED, words, line_id=line_id, writer=writer, at=_at(row))

    def _miss(self, writer: str, head: _Head, *, until: int, row: list[Any] | None = None) -> None:
        count = until - head.sequence
        where = f"after line {head.line_id}" if head.line_id else "at its beginning"
        before = f" and before line {row[ID]}" if row is not None else ""
        words = f"{count} line(s) of {writer} are not there: number {head.sequence + 1} to {until}, {where}{before}"
        self._add(Fault.MISSING, words, writer=writer, at=_at(row) if row is not None else None, line_id=head.line_id or None)

    def _read_unsigned(self, row: list[Any]) -> None:
        if row[ID] <= self._unsigned_until:
            self._found.before += 1
        elif self._is_counting and (self._first is not None or not self._heads):
            self._uncounted += 1
        else:
            self._unsigned_late.append(row[ID])

    def _is_signed(self, row: list[Any]) -> bool:
        try:
            return self._notary.signed_values(row[ID + 1 : MAC], row[MAC])
        except (TypeError, ValueError, AttributeError):
            return False  # a value that is not even of its kind

    def _check_end(self, writer: str, sealed: _Sealed) -> None:
        """Whether a chain reaches as far as it was sealed."""
        head = self._heads.get(writer) or _Head()
        self._hop(writer, head)
        if head.sequence < sealed.sequence:
            self._miss(writer, head, until=sealed.sequence)
        elif not sealed.is_seen:
            self._add(
                Fault.NOT_AS_SEALED, f"number {sealed.sequence} of {writer} is not there as seal {sealed.seal} signed it", writer=writer
            )

    def _check_unsigned(self) -> None:
        """Lines from before are counted by the first seals: none can be added, and none go without a record."""
        purged = sum(record["count"] for (writer, _), record in self._ranges.items() if writer == UNSIGNED)
        too_many = self._found.before + purged - self._unsigned_sealed
        self._found.before += self._uncounted
        if too_many > 0:
            self._add(Fault.UNSIGNED, f"{too_many} line(s) without a writer were added among those from before the chains")
        elif too_many < 0:
            self._add(Fault.UNSIGNED_MISSING, f"{-too_many} line(s) from before the chains are not there")
        late = self._unsigned_late
        if late:
            named = ", ".join(map(str, late[:NAMED])) + (", ..." if len(late) > NAMED else "")
            self._add(Fault.UNSIGNED, f"{len(late)} line(s) without a writer were added since the chains began: {named}", line_id=late[0])

    def _check_beginning(self, now: datetime) -> None:
        """Whether there are seals at all: without them, ends of chains can be cut and lines without a writer added, and nothing would show it."""
        is_purged = any(writer == SEALS for writer, _ in self._ranges)
        # Of a trail from before the chains the first seal is due when the first signed line is there.
        due = self._oldest_signed or self._oldest
        if not self._found.seals and not is_purged and due is not None and now - due > LATE:
            words = "no seal is there, although lines are older than a few minutes: seals were taken away, or `vestibule work` never ran"
            self._add(Fault.NEVER_SEALED, words, at=due)
        if self._first is not None and self._oldest_signed is not None:
            waited = instant(self._first["at"]) - self._oldest_signed
            self._found.began_late = waited if waited > LATE else None


def _holds(verify_one: Callable[[dict[str, Any]], bool], row: dict[str, Any]) -> bool:
    """Whether a signature holds; a value that is not even of its kind is a changed one."""
    try:
        return verify_one(row)
    except (TypeError, ValueError, AttributeError):
        return False


def _at(row: list[Any]) -> datetime | None:
    try:
        return instant(row[AT])
    except (TypeError, OverflowError):
        return None


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)
