"""The last day of an Attachment that an operator wrote here is over: nobody writes anything, so what stood on it is looked for, and ended.

Owns the looking, for one thread of the worker. Who may do what at that instant is policies.access's, which needs nobody to look; this tells the
applications, and closes what is open. An account that ends by itself in a directory is the watch's (watch.py).
"""

from datetime import datetime, timedelta

from idp.audit import Author
from idp.clock import Clock
from idp.endings import Ended, end_past_attachment
from idp.store.leases import Fenced

EVERY = timedelta(seconds=1)
# Looked at again: a sign-in that began before the end may be written after it.
LOOKS_BACK = timedelta(days=1)
BATCH = 100


class LastDays:
    """Of the whole deployment."""

    def __init__(self, database: Fenced, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._looked_at: datetime | None = None  # never: whatever was over while nobody looked

    def run_once(self, author: Author) -> int:
        """End what is due, one person a transaction; on how many Attachments something stood. LeaseLost, StoreUnavailable."""
        now, done = self._clock.now(), 0
        since = None if self._looked_at is None else self._looked_at - LOOKS_BACK
        while True:
            with self._database.read() as tx:
                due = tx.people.past_their_last_day(since, now, limit=BATCH)
            ended = 0
            for attachment in due:
                with self._database.write() as tx:
                    ended += end_past_attachment(tx, attachment, author, clock=self._clock) != Ended()
            done += ended
            if len(due) < BATCH or not ended:
                break
        self._looked_at = now
        return done
