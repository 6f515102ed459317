"""The real past judged by a draft of the rules: whom it would newly ask, refuse, let in or spare, how often, at which establishment.

Reads the trail a page at a time, so that nobody waits for it and memory grows with the people concerned, not with the sign-ins; replay_judge.py says
what changes for each. Decides nothing and writes nothing. Called by operators' commands; calls the store.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from idp.signin.replay_judge import Judge, Outcome
from idp.store.database import Database
from idp.store.events import DecidedLine
from policies.rules import RuleSet

PAGE = 5_000
# A sign-in that goes on to an application writes two lines in one transaction: the second is not a second sign-in.
REMEMBERED_REQUESTS = 1_000


class Progress(Protocol):
    """Told how far the reading is."""

    def begin(self, lines: int) -> None:
        """So many lines of the trail lie in the time asked for."""
        ...

    def advance(self, lines: int) -> None:
        """So many more are behind."""
        ...


class Change(NamedTuple):
    """Whom a draft concerns, and how: `slug` is "" where no establishment was known, `account_id` where nobody was."""

    slug: str
    what: str
    account_id: str


@dataclass(slots=True)
class Concerned:
    """How often, when last, by which rules, and which profiles the person had then."""

    count: int = 0
    last_at: datetime | None = None
    rules: set[str] = field(default_factory=set)
    profiles: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Tally:
    """How often something changes, and for whom."""

    times: int = 0
    account_ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Replay:
    """What a draft would have done in [since, until). `judged` counts by establishment's slug; `observed` by the reason of such a rule that fired.

    `without_facts`: of before rules were recorded. `unasked`: refused before any rule was asked (a wrong password). `unreadable`: facts in a form
    that this release does not know. `distinct`: how many facts the draft was really asked about.
    """

    since: datetime
    until: datetime
    judged: Counter[str] = field(default_factory=Counter)
    people: dict[Change, Concerned] = field(default_factory=dict)
    observed: Counter[str] = field(default_factory=Counter)
    without_facts: int = 0
    unasked: int = 0
    unreadable: int = 0
    distinct: int = 0

    @property
    def total(self) -> int:
        """How many were judged."""
        return self.judged.total()

    def tallies(self) -> dict[tuple[str, str], Tally]:
        """By establishment's slug and change; empty where there is none."""
        found: dict[tuple[str, str], Tally] = defaultdict(Tally)
        for change, one in self.people.items():
            tally = found[change.slug, change.what]
            tally.times += one.count
            tally.account_ids.update({change.account_id} - {""})
        return found


def replay(
    database: Database, rules: RuleSet, *, since: datetime, until: datetime, progress: Progress, establishment_id: str | None = None
) -> Replay:
    """Judge every sign-in and authorization of [since, until), of one establishment or of all."""
    found = Replay(since, until)
    with database.read() as tx:
        span = tx.events.span(since, until)
        slugs = {one.id: one.slug for one in tx.establishments.all()}
    if span is None:
        return found
    judge = Judge(rules)
    seen: OrderedDict[str, None] = OrderedDict()
    first, last = span
    progress.begin(last - first + 1)
    for line in _lines(database, first, last, progress):
        slug = slugs.get(line.establishment_id or "", "")
        if not since <= line.at < until or (establishment_id is not None and line.establishment_id != establishment_id):
            continue
        if line.decision is None:
            if line.type == "signin.refused":
                found.unasked += 1
            elif line.request_id not in seen:
                found.without_facts += 1
        elif line.request_id not in seen:
            _add(found, line, judge.outcome(line.decision), slug)
        seen[line.request_id] = None
        if len(seen) > REMEMBERED_REQUESTS:
            seen.popitem(last=False)
    found.distinct = judge.count
    return found


def _lines(database: Database, first: int, last: int, progress: Progress) -> Iterator[DecidedLine]:
    while first <= last:
        # One transaction a page: a long one would keep SQLite's log from being folded in, and PostgreSQL from cleaning up.
        with database.read() as tx:
            page = tx.events.decided(first, last, PAGE)
        yield from page
        following = page[-1].id + 1 if len(page) == PAGE else last + 1
        progress.advance(following - first)
        first = following


def _add(found: Replay, line: DecidedLine, outcome: Outcome | None, slug: str) -> None:
    if outcome is None:
        found.unreadable += 1
        return
    found.judged[slug] += 1
    if outcome.observed:
        found.observed.update(outcome.observed)
    if outcome.what is None:
        return
    one = found.people.setdefault(Change(slug, outcome.what, line.account_id or ""), Concerned())
    one.count += 1
    one.last_at = line.at
    one.rules.update(outcome.rules)
    one.profiles.update(outcome.profiles)
