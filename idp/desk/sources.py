"""Directories, upstream providers and Windows realms as the console shows them: are they well, what ends soon, and what waits for a human.

Owns the view and the asking; the checks are the connectors', opened anew for each by the composition; a held reading is confirmed or dismissed by
idp/lifecycle/reconcile.py. Changes no configuration: that is the file's.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from connectors.base import CheckStep, PeopleSource
from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config, ScimSettings
from idp.desk.authority import ActRefused, Agent, Authority
from idp.errors import VestibuleError
from idp.lifecycle.reconcile import Reconciler
from idp.lifecycle.runs import Report, SyncRefused
from idp.scim.endpoint import ROOT as SCIM
from idp.scim.person import Keeper
from idp.scim.settle import RunNotHeld, Settler
from idp.signin.linking import Linking
from idp.store.base import Link, SyncRun
from idp.store.database import Database, Transaction
from policies.acts import Act

_ACT = Act.MANAGE_SOURCES
ENDS_SOON = timedelta(days=30)
SHOWN_HELD = 50
Kind = Literal["directory", "provider", "scim", "windows"]
READ = frozenset({"directory", "provider", "scim"})  # whose people a brake may hold
Try = Callable[[], Iterator[CheckStep]]
OpenPeople = Callable[[str], AbstractContextManager[PeopleSource | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One connector of the configuration. `where` names its servers or its issuer; `ends_at`: when our credential there ends, where that is known.

    `last` is the last whole reading of a directory, or of a provider that is listened to, `held` one that waits for a human.
    """

    name: str
    kind: Kind
    type: str
    label: str
    where: tuple[str, ...]
    ends_at: datetime | None = None
    last: SyncRun | None = None
    held: SyncRun | None = None

    def ends_soon(self, now: datetime) -> bool:
        """Whether somebody must renew a credential now."""
        return self.ends_at is not None and self.ends_at - now < ENDS_SOON


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Whom a reading would end: the first of them by name, and how many there are."""

    run: SyncRun
    people: tuple[tuple[Link, str], ...]
    count: int


class CheckRunning(VestibuleError):
    """Another check of this process is not over yet."""


class Sources:
    """Safe between threads; one per process. What is the composition's: `open_people` opens whom a reading reads, by name (None: nobody is read by
    that one); `tries` is what can be tried, `ends` when credentials end."""

    def __init__(
        self,
        config: Config,
        database: Database,
        *,
        linking: Linking,
        authority: Authority,
        open_people: OpenPeople,
        tries: Mapping[str, Try],
        ends: Callable[[], Mapping[str, datetime]],
        clock: Clock,
    ) -> None:
        self._config = config
        self._database = database
        self._linking = linking
        self._authority = authority
        self._open_people = open_people
        self._tries = dict(tries)
        self._ends = ends
        self._clock = clock
        self._busy = threading.Lock()

    def all(self) -> tuple[Source, ...]:
        """Every one, in the order of the configuration: directories, providers, sources that write to us, realms."""
        with self._database.read() as tx:
            return tuple(self._all(tx))

    def get(self, name: str) -> Source:
        """By name; ActRefused when the configuration has none of that name."""
        found = next((source for source in self.all() if source.name == name), None)
        if found is None:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT)
        return found

    def runs(self, name: str) -> Sequence[SyncRun]:
        """The last readings of a directory, the newest first."""
        with self._database.read() as tx:
            return tx.links.runs(name, limit=10)

    def held(self, name: str) -> Held | None:
        """The reading that waits for a human, with whom it holds; None when none does."""
        with self._database.read() as tx:
            run = next(iter(tx.links.runs(name, state="held")), None)
            if run is None:
                return None
            links = tx.links.held_by(run.id)
            named = [(link, account.name if (account := tx.people.get(link.account_id)) else link.account_id) for link in links]
        named.sort(key=lambda pair: pair[1].casefold())
        return Held(run=run, people=tuple(named[:SHOWN_HELD]), count=len(named))

    def check(self, agent: Agent, name: str) -> tuple[CheckStep, ...]:
        """Try it step by step; nothing is changed anywhere. Event connector.tried. Raises ActRefused, CheckRunning."""
        self.get(name)
        with self._database.read() as tx:
            self._authority.demand(tx, _ACT, agent)
        if name not in self._tries:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT)  # a source that writes to us: there is nobody to ask
        # A hung server holds a thread for as long as its patience: one at a time, so that sign-ins keep theirs.
        if not self._busy.acquire(blocking=False):
            raise CheckRunning("check_running", name)
        try:
            steps = tuple(self._tries[name]())
        finally:
            self._busy.release()
        outcomes = [step.outcome for step in steps]
        details: dict[str, str | int | bool | None] = {
            "connector": name,
            "steps": len(steps),
            "failed": outcomes.count("failed"),
            "warnings": outcomes.count("warning"),
        }
        with self._database.write() as tx:
            tx.events.append(
                Event(
                    type=EventType.CONNECTOR_TRIED,
                    at=self._clock.now(),
                    actor=agent.author.actor,
                    origin=agent.author.origin,
                    details=details,
                )
            )
        return steps

    def confirm(self, agent: Agent, name: str, run_id: str) -> Report:
        """End those whom a held reading names and whom the directory, asked again now, still does not let in. Raises ActRefused, SyncRefused."""
        if (source := self._written(agent, name)) is not None:
            held = self._settle(lambda settler: settler.confirm(source, run_id, agent.author))
            return Report("confirmed", run_id=run_id, counts=Counter(held=held))
        with self._reconciler(agent, name) as reconciler:
            return reconciler.confirm(run_id, _Unwatched())

    def dismiss(self, agent: Agent, name: str, run_id: str) -> Report:
        """Let go of those whom a held reading names. Raises ActRefused, SyncRefused."""
        if (source := self._written(agent, name)) is not None:
            released = self._settle(lambda settler: settler.dismiss(source, run_id, agent.author))
            return Report("dismissed", run_id=run_id, counts=Counter(released=released))
        with self._reconciler(agent, name) as reconciler:
            return reconciler.dismiss(run_id)

    def _written(self, agent: Agent, name: str) -> ScimSettings | None:
        """The source of that name that writes to us, of which there is nothing to ask again; None for any other."""
        found = next((one for one in self._config.scim if one.name == name), None)
        if found is not None:
            with self._database.read() as tx:
                self._authority.demand(tx, _ACT, agent)
        return found

    def _settle(self, act: Callable[[Settler], int]) -> int:
        keeper = Keeper(self._config, self._linking, self._clock)
        try:
            return act(Settler(self._database, keeper, self._config.scim, clock=self._clock))
        except RunNotHeld as refused:
            raise SyncRefused(refused.reason, refused.detail) from refused

    @contextmanager
    def _reconciler(self, agent: Agent, name: str) -> Iterator[Reconciler]:
        # A run has transactions of its own and may last: the role is asked for just before it begins.
        with self._database.read() as tx:
            self._authority.demand(tx, _ACT, agent)
        with self._open_people(name) as people:
            if people is None:
                raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT)
            yield Reconciler(self._database, people, self._linking, settings=self._config.sync, author=agent.author, clock=self._clock)

    def _all(self, tx: Transaction) -> Iterable[Source]:
        config, ends = self._config, self._ends()
        for directory in config.directories:
            yield Source(
                name=directory.name,
                kind="directory",
                type=directory.type,
                label=directory.name,
                where=tuple(directory.servers),
                last=next(iter(tx.links.runs(directory.name, limit=1)), None),
                held=next(iter(tx.links.runs(directory.name, state="held", limit=1)), None),
            )
        for provider in config.providers:
            where = provider.authority if provider.type == "entra" else provider.issuer
            yield Source(
                name=provider.name,
                kind="provider",
                type=provider.type,
                label=provider.label,
                where=(where,),
                ends_at=ends.get(provider.name),
                last=next(iter(tx.links.runs(provider.name, limit=1)), None),
                held=next(iter(tx.links.runs(provider.name, state="held", limit=1)), None),
            )
        for source in config.scim:
            yield Source(
                name=source.name,
                kind="scim",
                type="scim",
                label=source.name,
                where=(f"{config.issuer}{SCIM}",),
                held=next(iter(tx.links.runs(source.name, state="held", limit=1)), None),
            )
        for realm in config.windows:
            yield Source(name=realm.realm, kind="windows", type="windows", label=realm.realm, where=(realm.directory,))


class _Unwatched:
    """Nobody sees how far it is."""

    is_watched = False

    def begin(self, phase: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, people: int) -> None:
        """See Progress."""


__all__ = ["CheckRunning", "Held", "Source", "Sources", "SyncRefused"]
