"""Values as Active Directory writes them: instants and durations in tenths of microseconds, flags, ids and security ids.

Pure. Sources: [MS-DTYP] 2.3.3 (FILETIME) and 2.4.2 (SID), [MS-ADTS] 3.1.1.4 (constructed attributes).
"""

import uuid
from datetime import UTC, datetime, timedelta

from connectors.base import SourceMisbehaved
from connectors.ldap.wire import Entry

EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
NEVER = 0x7FFFFFFFFFFFFFFF
TICKS_A_MICROSECOND = 10


def integer(entry: Entry, attribute: str) -> int | None:
    """A whole number; None when it is not shown. Raises SourceMisbehaved when it is none."""
    value = entry.text(attribute)
    try:
        return None if value is None else int(value)
    except ValueError as error:
        raise SourceMisbehaved(f"{attribute} of {entry.dn} is not a number") from error


def instant(ticks: int | None) -> datetime | None:
    """An instant, aware, UTC; None for 0 and for never."""
    if not ticks or ticks >= NEVER:
        return None
    try:
        return EPOCH + timedelta(microseconds=ticks // TICKS_A_MICROSECOND)
    except OverflowError:
        return None


def as_ticks(at: datetime) -> int:
    """An instant as it is written; the opposite of `instant`."""
    return (at - EPOCH) // timedelta(microseconds=1) * TICKS_A_MICROSECOND


def duration(ticks: int | None) -> timedelta | None:
    """A duration, which is written below zero; None for 0 and for "for ever"."""
    if not ticks or ticks <= -NEVER:
        return None
    return timedelta(microseconds=-ticks // TICKS_A_MICROSECOND)


def lasting_id(raw: bytes) -> str:
    """objectGUID as it is usually written."""
    return str(uuid.UUID(bytes_le=raw))


def raw_lasting_id(subject: str) -> bytes:
    """The opposite; raises ValueError."""
    return uuid.UUID(subject).bytes_le


def security_id(raw: bytes) -> str:
    """objectSid as it is usually written: S-1-5-21-…"""
    parts = (int.from_bytes(raw[at : at + 4], "little") for at in range(8, len(raw), 4))
    return "-".join(map(str, ("S", raw[0], int.from_bytes(raw[2:8], "big"), *parts)))


def raw_security_id(text: str) -> bytes:
    """The opposite; raises ValueError."""
    letter, revision, authority, *parts = text.split("-")
    if letter != "S" or not 1 <= len(parts) <= 15:
        raise ValueError(f"{text!r} is not a security id")
    try:
        numbers = b"".join(int(part).to_bytes(4, "little") for part in parts)
        return bytes((int(revision), len(parts))) + int(authority).to_bytes(6, "big") + numbers
    except OverflowError as error:
        raise ValueError(f"{text!r} is not a security id") from error


def sibling(raw_sid: bytes, relative_id: int) -> bytes:
    """The security id of another object of the same domain."""
    return raw_sid[:-4] + relative_id.to_bytes(4, "little")
