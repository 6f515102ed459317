"""Counting failed tries at passwords, in the ephemeral store; policies/lockout.py says what the counts mean.

Keys are keyed hashes of what was typed, so that an identifier nobody carries slows down like any other and the store never holds what people
type. A try is counted before its hash is computed and forgotten when it succeeds: tries in flight at once cannot outrun the limit. Outside and near
(a trusted zone, a known device) are counted apart, so that strangers close outside alone. The daily cap also counts by account, or one person could
be tried under each of their identifiers. Locks are in SQL and outlive the counters. A store that does not answer raises StoreUnavailable.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from idp.audit import Author, Event, EventType, Origin
from idp.clock import Clock
from idp.config import LockoutSettings
from idp.crypto import Keyring
from idp.store.base import Ephemeral, Lock
from idp.store.database import Database, Transaction
from policies.lockout import (
    LOCKED_UNTIL_ADMIN,
    LockoutFacts,
    LockoutMode,
    LockoutRules,
    Standing,
    budget_below,
    decide,
)

Side = Literal["outside", "near"]
SIDES: tuple[Side, ...] = ("outside", "near")
STANDINGS: Mapping[Side, Standing] = {"outside": Standing.OUTSIDE, "near": Standing.INSIDE}
NOWHERE = Origin("", "")  # of a try that nobody makes
FAILURES = "login.failures."
DAY_OF_ACCOUNT = "login.account_failures."
LAST = "login.last_failure."
SAME_PASSWORD = "login.same_password"  # noqa: S105 - a kind of entry
EPOCH = "login.epoch"
DAY = timedelta(hours=24)
UNTIL_UNBLOCKED = timedelta(days=400)
SAME_PASSWORD_FOR = timedelta(minutes=10)
LOCK_AT = 10


@dataclass(frozen=True, slots=True)
class TryKeys:
    """Where one try is counted: under what was typed, and under whom it names (the same when it names nobody)."""

    identifier: str
    person: str
    _: KW_ONLY
    account_id: str | None
    standing: Standing
    identifier_hash: str = ""  # as Events write it
    origin: Origin = NOWHERE

    @property
    def side(self) -> Side:
        """Whose counters it is in."""
        return "near" if self.standing.is_near else "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a try may be made. `is_silent`: refused for what is known of the person and not of what was typed, so that nobody may be told: the try
    is answered like any wrong one, after the same work."""

    is_allowed: bool
    wait: timedelta
    tries_left: int
    reason: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A side on which a person's next try is not admitted. `wait` is zero when waiting does not help."""

    side: Side
    _: KW_ONLY
    is_locked: bool
    wait: timedelta


class LoginThrottle:
    """Admits tries, and forgets failures after a success. Safe between threads and processes."""

    def __init__(
        self,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        *,
        clock: Clock,
        settings: LockoutSettings,
        has_directories: bool,
    ) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._has_lock = settings.mode != "timed"
        self._window = UNTIL_UNBLOCKED if self._has_lock else DAY
        # Outside, a name of a directory has no more tries than the directory leaves, and nobody may be able to tell such a name from others.
        spared = budget_below(settings.directory_threshold, reserve=settings.inside_reserve).outside
        few = min(settings.free_tries, max(1, spared)) if has_directories else settings.free_tries
        self._rules: dict[Side, LockoutRules] = {"near": _rules(settings, settings.free_tries), "outside": _rules(settings, few)}

    def keys(self, identifier: str, account_id: str | None, origin: Origin, *, standing: Standing) -> TryKeys:
        """The keys of a try with a normalised identifier that names `account_id`, or nobody."""
        typed = self._identifier_key(identifier)
        return TryKeys(
            identifier=typed,
            person=self._keyring.keyed_hash("throttle", f"account:{account_id}") if account_id else typed,
            identifier_hash=self._keyring.keyed_hash("identifier", identifier),
            account_id=account_id,
            standing=standing,
            origin=origin,
        )

    def admit(self, keys: TryKeys) -> Admission:
        """Whether a try may be made now. When allowed it is already counted as a failure; call `clear` if it succeeds."""
        is_locked, is_person_locked = self._locks(keys)
        if is_locked or (is_person_locked and keys.standing.is_near):
            return Admission(is_allowed=False, wait=timedelta(0), tries_left=0, reason=LOCKED_UNTIL_ADMIN)
        seen, seen_of_person = self._peek(FAILURES, keys.identifier), self._peek(DAY_OF_ACCOUNT, keys.person)
        last = self._last(keys)
        answer = self._decide(keys, seen, seen_of_person, last=last)
        if not answer.is_allowed:
            self.note_failure(keys)
            return answer
        now = self._clock.now()
        # The instant is written before the count, and the count read before the instant: whoever sees the count sees the instant too.
        self._ephemeral.put(LAST + keys.side, keys.identifier, now.isoformat().encode(), self._window)
        before = {**seen, keys.side: self._ephemeral.count(FAILURES + keys.side, keys.identifier, self._window) - 1}
        before_of_person = {**seen_of_person, keys.side: self._ephemeral.count(DAY_OF_ACCOUNT + keys.side, keys.person, DAY) - 1}
        if before != seen:  # others were admitted meanwhile: judge this try as coming after theirs
            last = now
        answer = self._decide(keys, before, before_of_person, last=last)
        if is_person_locked and answer.is_allowed:
            # Under another of the person's names. Outside nobody may be told whose it is: it is counted as any other.
            return replace(answer, is_allowed=False, wait=timedelta(0), reason=LOCKED_UNTIL_ADMIN, is_silent=True)
        return answer

    def forgive(self, keys: TryKeys) -> None:
        """Take an admitted try back: it could not be checked at all, or was one that had failed before."""
        self._ephemeral.uncount(FAILURES + keys.side, keys.identifier)
        self._ephemeral.uncount(DAY_OF_ACCOUNT + keys.side, keys.person)

    def outlook(self, keys: TryKeys) -> Admission:
        """What the next try would be told, without making it."""
        return self._decide(keys, self._peek(FAILURES, keys.identifier), self._peek(DAY_OF_ACCOUNT, keys.person), last=self._last(keys))

    def clear(self, keys: TryKeys) -> None:
        """Forget the failures of this side: the person proved themselves there. What strangers did on the other side is not theirs."""
        self._forget(keys.identifier, keys.person, keys.side)

    def is_repeated(self, keys: TryKeys, password: str) -> bool:
        """Whether this wrong password came before, under this identifier and from this address: a person who types it again has learned nothing.

        Remembered from now on. Of several at once one is told False. The address is part of it, so that nobody learns what others have typed.
        """
        typed = f"{keys.side}\n{keys.origin.address}\n{keys.identifier}\n{password}"
        return not self._ephemeral.add(SAME_PASSWORD, self.hash_password(typed), b"", SAME_PASSWORD_FOR)

    def hash_password(self, text: str) -> str:
        """The keyed hash under which a password that was wrong is remembered for some minutes."""
        return self._keyring.keyed_hash("same password", text)

    def note_failure(self, keys: TryKeys) -> None:
        """After a failed try: where the mode locks and it was one too many, write the lock, and an Event, once."""
        if not self._has_lock or self.outlook(keys).reason != LOCKED_UNTIL_ADMIN:
            return
        now = self._clock.now()
        lock = Lock(key=keys.identifier, side=keys.side, account_id=keys.account_id, at=now, by="system")
        with self._database.write() as tx:
            if tx.locks.add(lock):
                tx.events.append(
                    Event(
                        type=EventType.ACCOUNT_LOCKED,
                        at=now,
                        actor="anonymous",
                        origin=keys.origin,
                        account_id=keys.account_id,
                        identifier_hash=None if keys.account_id else keys.identifier_hash,
                        details={"side": keys.side},
                    )
                )

    def closed(self, tx: Transaction, account_id: str) -> tuple[Closed, ...]:
        """Where the person's next try would not be admitted now, under any of their names: at most one answer for each side, of the longest wait."""
        keys, person = self._keys_of(tx, account_id), self._keyring.keyed_hash("throttle", f"account:{account_id}")
        locks = [*tx.locks.of_account(account_id), *(lock for key in keys for lock in tx.locks.of(key))] if self._has_lock else []
        found: list[Closed] = []
        for side, standing in STANDINGS.items():
            tries = (TryKeys(key, person, account_id=account_id, standing=standing) for key in keys)
            refused = [answer for answer in map(self.outlook, tries) if not answer.is_allowed]
            is_locked = any(lock.side in {"near", side} for lock in locks) or any(one.reason == LOCKED_UNTIL_ADMIN for one in refused)
            if is_locked or refused:
                found.append(Closed(side, is_locked=is_locked, wait=max((one.wait for one in refused), default=timedelta(0))))
        return tuple(found)

    def unblock(self, tx: Transaction, account_id: str, author: Author) -> int:
        """Open whatever is closed to an account and forget every failure, also those at its directories. Event account.unblocked; how many locks."""
        keys = self._keys_of(tx, account_id)
        person = self._keyring.keyed_hash("throttle", f"account:{account_id}")
        lifted = tx.locks.lift(account_id, keys)
        tx.events.append(
            Event(
                type=EventType.ACCOUNT_UNBLOCKED,
                at=self._clock.now(),
                actor=author.actor,
                origin=author.origin,
                account_id=account_id,
                details={"locks": lifted},
            )
        )
        for key in keys:
            for side in SIDES:
                self._forget(key, person, side)
                self._ephemeral.forget(DAY_OF_ACCOUNT + side, key)
            self._begin_anew(key)
        return lifted

    def epoch(self, keys: TryKeys) -> str:
        """What is remembered of a person of a directory is worth something as long as this stays the same."""
        return (self._ephemeral.get(EPOCH, keys.identifier) or b"").decode()

    def begin_anew(self, connector: str, subject: str) -> None:
        """Forget what is remembered of a person's wrong passwords at a directory: it has another one now."""
        self._begin_anew(self._identifier_key(subject_name(connector, subject)))

    def _begin_anew(self, key: str) -> None:
        self._ephemeral.put(EPOCH, key, self._clock.new_token().encode(), UNTIL_UNBLOCKED)

    def _keys_of(self, tx: Transaction, account_id: str) -> list[str]:
        """What the tries at an account are counted under: all that one may type for it, itself, and its people of directories."""
        links = [(link.connector, link.subject) for link in tx.links.of_account(account_id)]
        typed = [value for _, value, _ in tx.people.identifiers(account_id)]
        names = [*typed, f"account:{account_id}", *(subject_name(*link) for link in links)]
        return [self._identifier_key(name) for name in names]

    def _identifier_key(self, identifier: str) -> str:
        return self._keyring.keyed_hash("throttle", f"identifier:{identifier}")

    def _forget(self, identifier: str, person: str, side: Side) -> None:
        self._ephemeral.forget(FAILURES + side, identifier)
        self._ephemeral.forget(LAST + side, identifier)
        self._ephemeral.forget(DAY_OF_ACCOUNT + side, person)

    def _locks(self, keys: TryKeys) -> tuple[bool, bool]:
        """Whether what was typed is locked for this side, and whether the person is, under whatever name; the same is asked about nobody."""
        if not self._has_lock:
            return False, False
        closing = {"near", keys.side}
        with self._database.read() as tx:
            of_name, of_person = tx.locks.of(keys.identifier), tx.locks.of_account(keys.account_id or "")
        return any(lock.side in closing for lock in of_name), any(lock.side in closing for lock in of_person)

    def _peek(self, kind: str, key: str) -> dict[Side, int]:
        return {side: self._ephemeral.peek(kind + side, key) for side in SIDES}

    def _decide(self, keys: TryKeys, typed: dict[Side, int], of_person: dict[Side, int], *, last: datetime | None) -> Admission:
        rules, side, other = self._rules[keys.side], keys.side, _other(keys.side)
        # With a lock the count of the identifier outlives the day, so that only the other one says how many fell within it.
        in_a_day = typed if self._window == DAY else dict.fromkeys(SIDES, 0)
        now = self._clock.now()
        by_typed = decide(
            LockoutFacts(typed[side], in_a_day[side], last, now, keys.standing, elsewhere=typed[other], elsewhere_24h=in_a_day[other]),
            rules,
        )
        by_person = decide(LockoutFacts(0, of_person[side], None, now, keys.standing, elsewhere_24h=of_person[other]), rules)
        if not by_typed.is_allowed or by_person.is_allowed:
            # Outside nobody is told what only the person's other identifiers have used up.
            left = min(one.tries_left_before_wait for one in ((by_typed, by_person) if keys.standing.is_near else (by_typed,)))
            return Admission(is_allowed=by_typed.is_allowed, wait=by_typed.wait, tries_left=left, reason=by_typed.reason)
        return Admission(is_allowed=False, wait=by_person.wait, tries_left=0, reason=by_person.reason, is_silent=not keys.standing.is_near)

    def _last(self, keys: TryKeys) -> datetime | None:
        stored = self._ephemeral.get(LAST + keys.side, keys.identifier)
        return datetime.fromisoformat(stored.decode()) if stored else None


def subject_name(connector: str, subject: str) -> str:
    """What a person of a directory is counted under: one who has many spellings and addresses has one lasting id."""
    return f"subject:{connector}/{subject}"


def _other(side: Side) -> Side:
    return "near" if side == "outside" else "outside"


def _rules(settings: LockoutSettings, free_tries: int) -> LockoutRules:
    return LockoutRules(
        mode=LockoutMode(settings.mode),
        first_wait_at=free_tries,
        waits=settings.waits,
        max_failures_24h=settings.daily_cap,
        lock_at=LOCK_AT if settings.mode == "admin" else settings.daily_cap,
    )
