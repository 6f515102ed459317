"""What the charts of the console show: sign-ins by hour of the day and zone, refusals by reason, and how long resets took.

Owns the shaping, in the reader's time zone; idp/store/figures.py counts, from the establishments where the agent reads the trail. Changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from zoneinfo import ZoneInfo

from idp.clock import Clock
from idp.desk.authority import Agent, Authority
from idp.store.database import Database
from idp.store.figures import ReasonCount
from policies.acts import Act

LATELY = timedelta(days=7)
RESTORED_WITHIN = timedelta(days=90)
MOST_REASONS = 12
# The upper ends of the columns of times to restore; the last one has none.
STEPS = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=24))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """How long resets took from being asked to being done. `counts`: by STEPS and then longer; None when none was done."""

    counts: tuple[int, ...]
    median: timedelta | None
    slowest: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """What is drawn. `hours`: for each of the 24 hours of the day, kind of zone to sign-ins; `others`: refusals whose reason is not in `reasons`."""

    hours: tuple[Mapping[str, int], ...]
    kinds: tuple[str, ...]
    reasons: tuple[ReasonCount, ...]
    others: int
    restored: Restored


class FiguresOf:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, authority: Authority) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority

    def charts(self, agent: Agent, zone: ZoneInfo) -> Charts:
        """For one agent, now; hours of the day are those of `zone`. Raises ActRefused."""
        now = self._clock.now()
        with self._database.read() as tx:
            self._authority.demand(tx, Act.READ_AUDIT, agent)
            places = self._authority.actor(tx, agent).places(Act.READ_AUDIT)
            signed_in = tx.figures.sign_ins(places, since=now - LATELY, until=now + timedelta(microseconds=1))
            reasons = tx.figures.refusals(places, since=now - LATELY, until=now + timedelta(microseconds=1))
            done = tx.resets.done_between(places, since=now - RESTORED_WITHIN, until=now + timedelta(microseconds=1))
        hours: tuple[Counter[str], ...] = tuple(Counter() for _ in range(24))
        for hour, kind, times in signed_in:
            hours[hour.astimezone(zone).hour][kind] += times
        return Charts(
            hours=hours,
            kinds=_kinds({kind for hour in hours for kind in hour}),
            reasons=reasons[:MOST_REASONS],
            others=sum(one.times for one in reasons[MOST_REASONS:]),
            restored=restored([finished - asked for _place, _kind, asked, finished in done]),
        )


def restored(lasted: Sequence[timedelta]) -> Restored:
    """The times to restore as they are shown."""
    if not lasted:
        return Restored(counts=(0,) * (len(STEPS) + 1), median=None, slowest=None)
    counts = Counter(next((index for index, step in enumerate(STEPS) if one < step), len(STEPS)) for one in lasted)
    middle = timedelta(seconds=median(one.total_seconds() for one in lasted))
    return Restored(counts=tuple(counts[index] for index in range(len(STEPS) + 1)), median=middle, slowest=max(lasted))


def _kinds(found: Collection[str]) -> tuple[str, ...]:
    """The kinds of zone in the order in which they are stacked; those that always are first."""
    usual = ("trusted", "shared_workstation", "vpn", "outside")
    return (*usual, *sorted(set(found) - set(usual)))
