"""When accounts of a domain end by themselves (`accountExpires`), kept in memory while it is listened to: nobody tells of an instant that passes.

Pure. listening.py says whose, and asks who is due.
"""

import heapq
from collections.abc import Iterator
from datetime import datetime

MOST_OUTDATED = 1_000


class AccountEnds:
    """By objectGUID. For one thread."""

    def __init__(self) -> None:
        self._ends: dict[str, datetime] = {}
        self._in_order: list[tuple[datetime, str]] = []  # also of those who were given another end since

    def put(self, subject: str, at: datetime | None) -> None:
        """When it ends; None: never."""
        if at == self._ends.get(subject):
            return
        if at is None:
            del self._ends[subject]
        else:
            self._ends[subject] = at
            heapq.heappush(self._in_order, (at, subject))
            if len(self._in_order) > 2 * len(self._ends) + MOST_OUTDATED:
                self._in_order = sorted((end, whose) for whose, end in self._ends.items())

    def due(self, now: datetime) -> Iterator[tuple[str, datetime]]:
        """Whose account has ended, and when; each once."""
        while self._in_order and self._in_order[0][0] <= now:
            at, subject = heapq.heappop(self._in_order)
            if self._ends.get(subject) == at:
                del self._ends[subject]
                yield subject, at
