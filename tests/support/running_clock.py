"""A clock that shows the real time, and jumps when told: for what goes on by itself, beside servers that have the real time."""

from datetime import UTC, datetime, timedelta

from tests.support.fixed_clock import FixedClock


class RunningClock(FixedClock):
    """Implements idp.clock.Clock. Safe to share between threads."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
        self._jump = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._jump

    def timestamp(self) -> int:
        """The present instant in whole seconds since 1970."""
        return int(self.now().timestamp())

    def advance(self, by: timedelta) -> datetime:
        """Jump forward; the new instant."""
        self._jump += by
        return self.now()
