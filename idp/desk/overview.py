"""The front page of the console: what waits for somebody, and what is wrong, as far as whoever looks may know of it.

Reads only, counts only, and in bounds: a page that everybody opens every morning must not read the whole trail. Calls the store and sources.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.audit import EventType
from idp.clock import Clock
from idp.desk.authority import Agent
from idp.desk.sources import Sources
from idp.store.database import Database, Transaction
from idp.store.events import EventFilter
from policies.acts import Act

LATELY = timedelta(hours=24)
LATE_NOTICE = timedelta(minutes=10)
MOST = 100
MOST_PLACES = 20
ALARMS: tuple[EventType, ...] = (
    EventType.SIGNIN_DISOWNED,
    EventType.SIGNIN_SPRAYING,
    EventType.BREAK_GLASS_USED,
    EventType.DESK_REFUSED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What whoever looks should know. None: not theirs to know.

    `open_resets`, `waiting_resets` (for somebody to act, since `oldest_reset_at`); `alarms`: lines of the last 24 hours by type, at most 100 of each
    counted; `held`: directories whose reading waits for a human; `ending`: providers at which our credential ends soon, with when;
    `failed_messages` of the last 24 hours and `late_notices`: whether applications are not told; `without_factor`: administrators who have none.
    """

    open_resets: int
    waiting_resets: int
    oldest_reset_at: datetime | None
    alarms: Mapping[str, int] | None
    held: tuple[str, ...] | None
    ending: tuple[tuple[str, datetime], ...] | None
    failed_messages: int | None
    late_notices: bool | None
    without_factor: int | None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.alarms or self.held or self.ending or self.failed_messages or self.late_notices or self.without_factor)


class Overviews:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, sources: Sources) -> None:
        self._database = database
        self._clock = clock
        self._sources = sources

    def of(self, agent: Agent) -> Overview:
        """For one agent, now."""
        actor, now = agent.actor, self._clock.now()
        runs_sources = actor.places(Act.MANAGE_SOURCES) is None
        sources = self._sources.all() if runs_sources else ()
        with self._database.read() as tx:
            waiting = tx.resets.waiting(actor.places(Act.SEE_CONSOLE))
            oldest_notice = tx.outbox.oldest_waiting() if runs_sources else None
            return Overview(
                open_resets=waiting.open,
                waiting_resets=waiting.unhandled,
                oldest_reset_at=waiting.oldest_at,
                alarms=dict(self._alarms(tx, actor.places(Act.READ_AUDIT), now)) if actor.places(Act.READ_AUDIT) != frozenset() else None,
                held=tuple(one.name for one in sources if one.held is not None) if runs_sources else None,
                ending=tuple((one.name, one.ends_at) for one in sources if one.ends_at is not None and one.ends_soon(now))
                if runs_sources
                else None,
                failed_messages=self._failed_messages(tx, now) if runs_sources else None,
                late_notices=(oldest_notice is not None and now - oldest_notice > LATE_NOTICE) if runs_sources else None,
                without_factor=self._without_factor(tx) if actor.places(Act.MANAGE_ADMINISTRATORS) is None else None,
            )

    def _alarms(self, tx: Transaction, places: frozenset[str] | None, now: datetime) -> Iterator[tuple[str, int]]:
        where: tuple[str | None, ...] = (None,) if places is None else tuple(sorted(places))[:MOST_PLACES]
        for kind in ALARMS:
            wanted = (EventFilter(since=now - LATELY, type_prefix=kind, establishment_id=place) for place in where)
            count = sum(len(tx.events.last(one, MOST)) for one in wanted)
            if count:
                yield kind, count

    def _failed_messages(self, tx: Transaction, now: datetime) -> int:
        return sum(
            1 for one in tx.messages.recent(MOST, is_failed=True) if one.abandoned_at is not None and now - one.abandoned_at <= LATELY
        )

    def _without_factor(self, tx: Transaction) -> int:
        found = tx.roles.page(named="", offset=0, limit=MOST * 10)
        return len({account.id for _, account, has_factor in found if not has_factor})
