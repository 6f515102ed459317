"""A source's word that a host with a clock ahead of everybody's kept: until that day it would count as fresh, and nobody would ask again.

Owns taking such instants back, for one thread of the worker: the word stands, but the source is asked before it is leaned on once more, and while it
does not answer the grace runs from now. What such an instant may keep from being written is idp/signin/linking.py's.
"""

from datetime import timedelta

import structlog

from idp.clock import Clock
from idp.signin.linking import CLOCKS_DIFFER
from idp.store.leases import Fenced

log = structlog.get_logger(__name__)


class ClocksAhead:
    """Of the whole deployment. `staleness_bound` is how long a word counts without asking."""

    def __init__(self, database: Fenced, clock: Clock, *, staleness_bound: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._bound = staleness_bound

    def run_once(self) -> int:
        """Take back what is later than any clock of ours may be; how many words. LeaseLost, StoreUnavailable."""
        now = self._clock.now()
        with self._database.read() as tx:
            if not tx.links.is_heard_after(now + CLOCKS_DIFFER):
                return 0
        with self._database.write() as tx:
            taken_back = tx.links.take_back(now + CLOCKS_DIFFER, at=now - self._bound - timedelta(seconds=1))
        log.warning("clock_was_ahead", words=taken_back)
        return taken_back
