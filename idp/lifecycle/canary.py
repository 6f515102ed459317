"""The canary: somebody who does not exist is disabled in a directory and enabled again, on a schedule, to know that the whole path is there.

A run opens a Session for them and gives our own listener a Grant, disables them through the connector, and waits until the listener has been told;
then it enables them and waits until their Account is active again. Each step is written down before the next, so that whoever takes the worker over
goes on with an open run, and the canary is not left disabled. Nobody else is changed. What ends them is the path's own work (lifecycle/watch.py).
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from connectors.base import Canary as CanaryHand
from connectors.base import CanaryDirectory, ConnectorError, Directory, Identity, State
from connectors.ldap.settings import CanarySettings
from idp.audit import Author, Event, EventType, Origin
from idp.clock import Clock
from idp.config import ClientSettings, Config
from idp.crypto import digest
from idp.lifecycle.canary_listener import CanaryListener
from idp.signin.directories import Directories
from idp.signin.linking import Linking
from idp.store.base import Account, CanaryRun, Cut, Grant, Session
from idp.store.database import Database, Transaction
from idp.store.leases import Fenced

if TYPE_CHECKING:
    from idp.telemetry import Metrics

ACTOR = "system"
CLIENT_ID = "vestibule-canary"
SOURCE = "canary"
LONGEST_TROUBLE = 300
PATIENCE = timedelta(seconds=5)  # between two tries to enable it, once it is late
INTERRUPTED = "interrupted before the directory was written to"
NOT_ENABLED = "it came through, but the directory does not let it be enabled again"
NOT_RESTORED = "it came through, but that it was enabled again was not heard"
log = structlog.get_logger(__name__)


class NotReady(Exception):
    """A run cannot begin: the text says what to set up."""


class CanaryKeeper:
    """Every directory's. One a worker; `run_once` is called several times a second, and never waits: the steps are a thread's of its own."""

    def __init__(
        self,
        config: Config,
        database: Database | Fenced,
        directories: Directories,
        *,
        linking: Linking,
        clock: Clock,
        metrics: "Metrics",
    ) -> None:
        """`database` is the store as the lease's holder sees it."""
        self._database = database
        self._linking = linking
        self._clock = clock
        self._settings: Mapping[str, CanarySettings] = {one.name: one.canary for one in config.directories if one.canary is not None}
        self._directories = {name: found for name in self._settings if (found := directories.get(name)) is not None}
        self._metrics = metrics
        self._listener = CanaryListener(clock)
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(self._settings)), thread_name_prefix="canary")
        self._stepping: dict[str, Future[int]] = {}
        self._due_at: dict[str, datetime] = {}
        self._again_at: dict[str, datetime] = {}

    def run_once(self) -> int:
        """Take the next step of each run, where there is one; how many steps were taken since the last call. Raises what a step raised."""
        done = 0
        for name, step in list(self._stepping.items()):
            if step.done():
                del self._stepping[name]
                done += step.result()
        for name in self._directories:
            if name not in self._stepping:
                self._stepping[name] = self._pool.submit(self.step, name)
        return done

    def close(self) -> None:
        """Wait for the steps that were begun."""
        self._pool.shutdown()
        self._listener.close()

    def step(self, name: str) -> int:
        """One step of a directory's run: 1 when something was done."""
        now = self._clock.now()
        with self._database.read() as tx:
            run = tx.canary.open_of(name)
        if run is not None:
            return self._go_on(run, now)
        if name not in self._due_at:
            with self._database.read() as tx:
                last, watched = tx.canary.began_at(name), tx.watches.get(name)
            if last is None and (watched is None or watched.reconciled_at is None):
                return 0  # nobody of a new directory is known before it has been read
            self._due_at[name] = last + self._settings[name].every if last is not None else now
        if now < self._due_at[name]:
            return 0
        self._due_at[name] = now + self._settings[name].every
        self._begin(name, now)
        return 1

    def _begin(self, name: str, now: datetime) -> None:
        directory = self._directories[name]
        run = CanaryRun(id=self._clock.new_id(), connector=name, began_at=now)
        try:
            hand = self._hand(directory)
            account, subject = self._somebody(name, directory, hand)
            uri = self._listener.start()
        except (NotReady, ConnectorError, OSError) as error:
            with self._database.write() as tx:
                tx.canary.add(run)
            self._fail(run, _words(error))
            with self._database.write() as tx:
                tx.canary.change(run.id, restored_at=now)
            return
        run = replace(run, account_id=account.id)
        with self._database.write() as tx:
            tx.canary.add(run)
            self._open(tx, run, account, uri, life=self._settings[name].within * 2)
        # Before it is written, not after: the directory may have told us by the time it answers.
        written_at = self._clock.now()
        with self._database.write() as tx:
            tx.canary.change(run.id, written_at=written_at)
        try:
            hand.disable(subject)
        except ConnectorError as error:
            self._fail(run, _words(error))

    def _go_on(self, run: CanaryRun, now: datetime) -> int:
        is_late = now - run.began_at > self._settings[run.connector].within
        if run.trouble or run.delivered_at is not None:
            return self._restore(run, now)
        if run.written_at is None:
            if is_late:
                self._fail(run, INTERRUPTED)
            return int(is_late)
        with self._database.read() as tx:
            cut = self._cut(tx, run)
            arrived = self._arrived(tx, cut) if cut is not None else None
        if cut is not None and run.decided_at is None:
            with self._database.write() as tx:
                tx.canary.change(run.id, heard_at=cut.heard_at, decided_at=cut.decided_at)
        if cut is not None and arrived is not None:
            with self._database.write() as tx:
                tx.canary.change(run.id, delivered_at=arrived)
            self._pass(run, cut, arrived)
            return 1
        if is_late:
            within = f"within {self._settings[run.connector].within.total_seconds():.0f} s"
            self._fail(run, f"ended here, but the application was not told {within}" if cut is not None else f"not heard {within}")
            return 1
        return 0

    def _restore(self, run: CanaryRun, now: datetime) -> int:
        """Enabled again, however long the directory is away, and heard to be: for that as long is waited as for the run itself, twice over."""
        if now < self._again_at.get(run.connector, now):
            return 0
        is_late = now - run.began_at > self._settings[run.connector].within * 3
        is_disabled, is_back = True, False
        try:
            is_disabled, is_back = self._enable(run)
        except NotReady as error:
            log.warning("canary_not_enabled", connector=run.connector, detail=_words(error))
            is_disabled = False
        except ConnectorError as error:
            log.warning("canary_not_enabled", connector=run.connector, detail=_words(error))
        if is_back or (is_late and not is_disabled):
            if not is_back and not run.trouble:
                self._fail(run, NOT_RESTORED)
            with self._database.write() as tx:
                tx.canary.change(run.id, restored_at=self._clock.now())
            return 1
        if is_late:
            if not run.trouble:
                self._fail(run, NOT_ENABLED)
            self._again_at[run.connector] = now + PATIENCE
        return 0

    def _enable(self, run: CanaryRun) -> tuple[bool, bool]:
        """Whether it is disabled still, and whether the path has heard that it is not.

        Its Account is active then, as it would be after a sign-in of theirs: nothing less reinstates (idp/signin/linking.py), and nobody signs in as
        a canary. Only whom this run has disabled is enabled: the settings may name somebody else by now. Raises NotReady when there is nobody.
        """
        directory = self._directories[run.connector]
        hand = self._hand(directory)
        identity = directory.look_up(hand.login)
        if identity is None:
            raise NotReady(f"the directory has nobody called {hand.login}")
        with self._database.read() as tx:
            link = tx.links.get(run.connector, identity.subject)
            account = tx.people.get(link.account_id) if link is not None else None
        if link is None or account is None or account.id != run.account_id:
            raise NotReady(f"{hand.login} is not whom the run began with")
        if identity.state is State.DISABLED:
            hand.enable(identity.subject)
            return True, False
        if link.word != identity.state:
            return False, False
        if _is_cut_by(run.connector, account):
            self._reinstate(identity)
        return False, True

    def _reinstate(self, identity: Identity) -> None:
        with self._database.write() as tx:
            self._linking.adopt(tx, identity, Author(ACTOR, Origin(self._clock.new_code(10), "local")), is_signing_in=True)

    def _hand(self, directory: Directory) -> CanaryHand:
        hand = directory.canary() if isinstance(directory, CanaryDirectory) else None
        if hand is None:
            raise NotReady("this kind of directory has no canary")
        return hand

    def _somebody(self, name: str, directory: Directory, hand: CanaryHand) -> tuple[Account, str]:
        """The canary as the directory and we have them. Raises NotReady for whoever may be a person."""
        identity = directory.look_up(hand.login)
        if identity is None:
            raise NotReady(f"the directory has nobody called {hand.login}")
        if identity.state is State.DISABLED:
            # Not by us: an open run enables whom it has disabled. Whoever else is disabled may be somebody who has left.
            raise NotReady("it is disabled in the directory: enable it there")
        with self._database.read() as tx:
            link = tx.links.get(name, identity.subject)
            account = tx.people.get(link.account_id) if link is not None else None
            is_ours = account is not None and _is_cut_by(name, account) and tx.canary.had(name, account.id)
        if is_ours and link is not None and link.word == identity.state:
            # A word that was heard after its run was over has suspended it: nobody else would ever take that back.
            self._reinstate(identity)
        with self._database.read() as tx:
            client = tx.clients.get(CLIENT_ID)
            if client is not None and client.source != SOURCE:
                raise NotReady(f"an application is called {CLIENT_ID}: that name is the canary's")
            link = tx.links.get(name, identity.subject)
            account = tx.people.get(link.account_id) if link is not None else None
            if account is None:
                raise NotReady(f"nobody here is linked to it: a mapping rule must place it, and `vestibule sync {name}` bring it in")
            if not account.is_active:
                raise NotReady(f"its account here is {account.status}")
            if tx.roles.open_of(account.id) or account.is_break_glass or tx.factors.open_of(account.id):
                raise NotReady("its account here has a role or a second factor: a canary is nobody")
            if not any(one.is_valid(self._clock.now()) for one in tx.people.attachments(account.id)):
                raise NotReady("no mapping rule places it now")
            if len([one for one in tx.links.of_account(account.id) if one.ended_at is None]) != 1:
                raise NotReady("its account here has other sign-ins: a canary is nobody")
        return account, identity.subject

    def _open(self, tx: Transaction, run: CanaryRun, account: Account, uri: str, *, life: timedelta) -> None:
        """A Session that no browser has, by the id of the run, and a Grant of our own listener, for the path to end."""
        now = run.began_at
        place = next(one for one in tx.people.attachments(account.id) if one.is_valid(now))
        client = ClientSettings(
            client_id=CLIENT_ID, name="Canary", backchannel_logout_uri=uri, redirect_uris=(), grant_types=(), scopes=("openid",)
        )
        tx.clients.put(client, secret_digest=None, source=SOURCE, now=now)
        tx.people.hold(account.id)
        session = Session(
            id=run.id,
            cookie_digest=digest(self._clock.new_token()),
            account_id=account.id,
            establishment_id=place.establishment_id,
            auth_time=now,
            amr=(),
            acr="0",
            connector=SOURCE,
            zone="outside",
            device_id=None,
            address="local",
            user_agent="",
            created_at=now,
            last_active_at=now,
            expires_at=now + life,
            ended_at=None,
            ended_cause=None,
        )
        tx.sessions.add(session)
        tx.grants.add(
            Grant(
                id=self._clock.new_id(),
                session_id=session.id,
                account_id=account.id,
                client_id=CLIENT_ID,
                establishment_id=place.establishment_id,
                scope="openid",
                resources=(),
                claims=None,
                claims_locales=None,
                auth_time=now,
                amr=(),
                acr="0",
                zone="outside",
                is_offline=False,
                has_tokens=True,
                created_at=now,
                expires_at=now + life,
                ended_at=None,
                ended_cause=None,
            )
        )

    def _cut(self, tx: Transaction, run: CanaryRun) -> Cut | None:
        """What the path made of it."""
        if run.written_at is None:
            return None
        return next((cut for cut in tx.cuts.since(run.connector, run.written_at) if cut.account_id == run.account_id), None)

    def _arrived(self, tx: Transaction, cut: Cut) -> datetime | None:
        """When our listener had it; when the deliverer had its answer, where the listener is another process's that is gone."""
        for notice in tx.cuts.notices(cut.id):
            if notice.client_id == CLIENT_ID and notice.delivered_at is not None:
                return self._listener.arrived(notice.id) or notice.delivered_at
        return None

    def _pass(self, run: CanaryRun, cut: Cut, delivered_at: datetime) -> None:
        stages = {"delivered": (cut.decided_at, delivered_at), "whole": (run.written_at, delivered_at)}
        if cut.heard_at is not None:
            stages |= {"heard": (run.written_at, cut.heard_at), "decided": (cut.heard_at, cut.decided_at)}
        for stage, (first, last) in stages.items():
            if first is not None:
                self._metrics.observe_canary_stage(run.connector, stage, last - first)
        self._metrics.observe_canary(run.connector, well=True)
        with self._database.write() as tx:
            before = [one for one in tx.canary.last(run.connector, 2) if one.id != run.id]
            if before and before[-1].trouble:
                tx.events.append(self._event(EventType.CANARY_RECOVERED, run, {}))

    def _fail(self, run: CanaryRun, trouble: str) -> None:
        said = trouble[:LONGEST_TROUBLE]
        self._metrics.observe_canary(run.connector, well=False)
        log.error("canary_failed", connector=run.connector, detail=said)
        with self._database.write() as tx:
            tx.canary.change(run.id, trouble=said)
            tx.events.append(self._event(EventType.CANARY_FAILED, run, {"trouble": said}))

    def _event(self, kind: EventType, run: CanaryRun, details: Mapping[str, str]) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            actor=ACTOR,
            origin=Origin(self._clock.new_code(10), "local"),
            connector=run.connector,
            details={"run": run.id, **details},
        )


def _is_cut_by(connector: str, account: Account) -> bool:
    return account.status == "suspended" and account.cut_by == connector


def _words(error: Exception) -> str:
    detail = error.detail if isinstance(error, ConnectorError) else str(error)
    return detail or type(error).__name__
