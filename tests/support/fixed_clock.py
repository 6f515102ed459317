"""A clock that stands still until a test moves it. Randomness stays real: nothing in a test may lean on a guessable token."""

import secrets
import threading
from datetime import UTC, datetime, timedelta

from idp.clock import encode_crockford

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # a Monday, nine in the morning in Paris


class FixedClock:
    """Implements idp.clock.Clock. Safe to share between threads."""

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock shows aware instants")
        self._now = start
        self._lock = threading.Lock()
        self._made = 0

    def now(self) -> datetime:
        return self._now

    def timestamp(self) -> int:
        """The present instant in whole seconds since 1970, as JWT libraries want it."""
        return int(self._now.timestamp())

    def advance(self, by: timedelta) -> datetime:
        """Move forward; the new instant."""
        with self._lock:
            self._now += by
            return self._now

    def new_id(self) -> str:
        with self._lock:
            self._made += 1
            made = self._made
        milliseconds = int(self._now.timestamp() * 1000)
        # A counter in the high random bits: ids made while the clock stands still keep their order, as they do in real life.
        return encode_crockford((milliseconds << 80) | ((made & 0xFFFFFF) << 56) | secrets.randbits(56), 26)

    def new_token(self) -> str:
        return secrets.token_urlsafe(32)

    def new_code(self, length: int) -> str:
        return encode_crockford(secrets.randbits(5 * length), length)

    def random_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)
