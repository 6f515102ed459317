"""Time and randomness, the only place that reads either (house rule: everything else is handed a Clock).

Owns: the present instant, row ids, unguessable tokens, human-typable codes. Does not own: what they are used for.
Tests hand in a clock that moves by itself only when told to.
"""

import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in CROCKFORD for second in CROCKFORD)


class Clock(Protocol):
    """What the rest of the program may know of time and chance."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...

    def new_id(self) -> str:
        """A 26-character ULID: unique, sortable by creation; not a secret."""
        ...

    def new_token(self) -> str:
        """256 random bits as 43 URL-safe characters; a secret."""
        ...

    def new_code(self, length: int) -> str:
        """`length` random characters of Crockford's base32 (5 bits each), safe to read aloud."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes from the operating system's generator."""
        ...


def encode_crockford(value: int, length: int) -> str:
    """`value` as exactly `length` base32 characters, most significant first."""
    # Two at a time: every request makes one or two of these.
    pairs = "".join([_PAIRS[(value >> shift) & 1023] for shift in range(10 * ((length - 1) // 2), -1, -10)])
    return pairs[length % 2 :]


class SystemClock:
    """The real clock and the operating system's random generator."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def new_id(self) -> str:
        """See Clock."""
        milliseconds = time.time_ns() // 1_000_000
        return encode_crockford((milliseconds << 80) | secrets.randbits(80), 26)

    def new_token(self) -> str:
        """See Clock."""
        return secrets.token_urlsafe(32)

    def new_code(self, length: int) -> str:
        """See Clock."""
        return encode_crockford(secrets.randbits(5 * length), length)

    def random_bytes(self, count: int) -> bytes:
        """See Clock."""
        return secrets.token_bytes(count)
