"""The gate before a directory: a password is tried there only while the directory stays below its own lock, and a wrong one only once.

Implements connectors.base.Gate for one try. A directory counts wrong passwords whoever sends them, and locks: strangers on the internet could lock a
nurse at her desk. So outside may spend a part of what the directory leaves, near the rest, and one is left alone (policies/lockout.py). Tries under
way hold slots in the ephemeral store, and the directory's own count is read after a slot is taken and the others' are counted: threads and
processes cannot outrun it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from connectors.base import ChangeRefused, CredentialsRefused, Exposure, PersonNotUsable, SourceMisbehaved, SourceUnreachable
from idp.clock import Clock
from idp.config import LockoutSettings
from idp.signin.spray_watch import household
from idp.signin.throttle import DAY, SAME_PASSWORD_FOR, SIDES, UNTIL_UNBLOCKED, LoginThrottle, TryKeys, subject_name
from idp.store.base import Ephemeral
from policies.lockout import NEVER_LOCKS, TRIES_UNDER_WAY, BindFacts, BindVerdict, Standing, may_bind

SLOT = "login.directory_try"
WRONG = "login.directory_wrong"
OWN_FAILURES = "login.directory_failures"
SLOTS = 4  # tries at one person at once, on each side
SLOT_LIFE = timedelta(minutes=1)  # longer than any bind: what a process that died leaves goes by itself
LOOKS = 25  # while tries of others are under way: each takes an exchange with the directory, as they do
A_MOMENT = timedelta(minutes=1)

Kind = Literal["repeated", "throttled", "directory"]


@dataclass(frozen=True, slots=True)
class Held:
    """Why a password was not tried at a directory. `wait` is zero when waiting is not known to help."""

    kind: Kind
    reason: str
    wait: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whose try it is. `own_subjects`: the person's (connector, lasting id), whom alone a known device speaks for."""

    keys: TryKeys
    identifier: str
    password: str
    own_subjects: frozenset[tuple[str, str]] = frozenset()

    def __repr__(self) -> str:
        return "Bearer(…)"  # a traceback or a log line must not show a password


class BindGates:
    """Makes the gate of each try. Safe between threads and processes."""

    def __init__(self, throttle: LoginThrottle, ephemeral: Ephemeral, clock: Clock, *, settings: LockoutSettings) -> None:
        self._throttle = throttle
        self._ephemeral = ephemeral
        self._clock = clock
        self._settings = settings

    def open(self, bearer: Bearer) -> "BindGate":
        """The gate of one try."""
        return BindGate(self._throttle, self._ephemeral, self._clock, settings=self._settings, bearer=bearer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Whom a try is made at: under which keys it is counted, and what is remembered of them is worth something in which `epoch`."""

    source: str
    keys: TryKeys
    is_nobody: bool
    epoch: str


class BindGate:
    """One try's gate at every directory that is asked. `held` says afterwards where and why the password was not tried."""

    def __init__(self, throttle: LoginThrottle, ephemeral: Ephemeral, clock: Clock, *, settings: LockoutSettings, bearer: Bearer) -> None:
        self._throttle = throttle
        self._ephemeral = ephemeral
        self._clock = clock
        self._settings = settings
        self._bearer = bearer
        self._shut: str | None = None
        self.held: dict[str, Held] = {}

    @contextmanager
    def passage(self, source: str, subject: str | None, *, seen: Exposure, look: Callable[[], Exposure]) -> Iterator[bool]:
        """See connectors.base.Gate."""
        keys = self.keys(source, subject)
        admission = self._throttle.admit(keys)
        if self._shut is not None or not admission.is_allowed:
            if admission.is_allowed:
                self._throttle.forgive(keys)
            self.held[source] = Held("throttled", self._shut or admission.reason, admission.wait)
            look()  # the same exchanges as of a try that is made
            yield False
            return
        target = _Target(source=source, keys=keys, is_nobody=subject is None, epoch=self._throttle.epoch(keys))
        slots: list[str] = []
        is_tried = False
        try:
            exposure, held = self._enter(target, seen, look, slots)
            if held is not None:
                self.held[source] = held
                yield False
                return
            is_tried = True
            with self._watched(target, exposure):
                yield True
        except (SourceUnreachable, SourceMisbehaved):
            is_tried = False
            raise
        finally:
            for slot in slots:
                self._ephemeral.forget(SLOT, slot)
            if not is_tried:
                self._throttle.forgive(keys)

    def shut(self, reason: str) -> None:
        """Let nothing be tried any more: the same is asked of the directories, and no password reaches them."""
        self._shut = reason

    def keys(self, source: str, subject: str | None) -> TryKeys:
        """Under whom a try at a directory is counted: whoever it recognises, or what was typed when that is nobody."""
        typed = self._bearer.keys
        standing = typed.standing
        if standing is Standing.KNOWN_DEVICE and (source, subject) not in self._bearer.own_subjects:
            standing = Standing.OUTSIDE
        name = subject_name(source, subject) if subject else f"nobody:{source}/{self._bearer.identifier}"
        return self._throttle.keys(name, None, typed.origin, standing=standing)

    def _enter(self, target: _Target, seen: Exposure, look: Callable[[], Exposure], slots: list[str]) -> tuple[Exposure, Held | None]:
        """What the directory says now, and why the password is not tried; `slots` receives what must be given back."""
        verdict = self._verdict(target, seen, under_way=0)
        if not verdict.is_allowed:
            exposure = look()  # the same exchanges as of a try that is made
            return exposure, self._repeated(target, exposure) or self._near_lock(verdict, seen)
        slot = None
        for _ in range(LOOKS if target.keys.standing.is_near else 1):
            if slot is None and (slot := self._take_slot(target)) is not None:
                slots.append(slot)
            # In this order: a try that gave its slot back before they were counted is in what the directory says afterwards.
            under_way = self._under_way(target, slot)
            exposure = look()
            if (repeated := self._repeated(target, exposure)) is not None:
                return exposure, repeated
            verdict = self._verdict(target, exposure, under_way=under_way)
            if slot is not None and verdict.is_allowed:
                return exposure, None
            if not verdict.is_allowed and verdict.reason != TRIES_UNDER_WAY:
                break
        return exposure, self._near_lock(verdict, exposure)

    def _verdict(self, target: _Target, exposure: Exposure, *, under_way: int) -> BindVerdict:
        threshold = exposure.threshold if exposure.threshold is not None else self._settings.directory_threshold
        failures = None if target.is_nobody else exposure.failures
        if failures is None and threshold != NEVER_LOCKS:
            failures = sum(self._ephemeral.peek(OWN_FAILURES, key) for key in self._own_keys(target, exposure))
        facts = BindFacts(
            standing=target.keys.standing,
            threshold=threshold,
            failures=failures or 0,
            under_way=under_way,
            was_locked=exposure.was_locked,
        )
        return may_bind(facts, reserve=self._settings.inside_reserve)

    def _near_lock(self, verdict: BindVerdict, exposure: Exposure) -> Held:
        if verdict.is_allowed or verdict.reason == TRIES_UNDER_WAY:
            return Held("directory", TRIES_UNDER_WAY, A_MOMENT)
        wait = exposure.next_fade_at - self._clock.now() if exposure.next_fade_at else timedelta(0)
        return Held("directory", verdict.reason, max(wait, timedelta(0)))

    # Tries under way

    def _take_slot(self, target: _Target) -> str | None:
        own = (_slot(target, target.keys.side, number) for number in range(SLOTS))
        return next((slot for slot in own if self._ephemeral.add(SLOT, slot, b"", SLOT_LIFE)), None)

    def _under_way(self, target: _Target, own: str | None) -> int:
        slots = (_slot(target, side, number) for side in SIDES for number in range(SLOTS))
        return sum(1 for slot in slots if slot != own and self._ephemeral.get(SLOT, slot) is not None)

    # What came of a try

    @contextmanager
    def _watched(self, target: _Target, exposure: Exposure) -> Iterator[None]:
        try:
            yield
        except CredentialsRefused:
            self._note_wrong(target, exposure)
            raise
        except ChangeRefused as refused:
            (self._note_wrong if refused.problem == "wrong_current" else self._note_right)(target, exposure)
            raise
        except PersonNotUsable as refused:
            if refused.is_proven:
                self._note_right(target, exposure)
            raise
        else:
            self._note_right(target, exposure)

    def _note_wrong(self, target: _Target, exposure: Exposure) -> None:
        self._ephemeral.put(WRONG, self._wrong_key(target, exposure), b"", SAME_PASSWORD_FOR)
        life = UNTIL_UNBLOCKED if exposure.fades_after is None else 2 * exposure.fades_after
        # What is remembered of names that nobody has must not fill the store.
        self._ephemeral.count(OWN_FAILURES, self._own_keys(target, exposure)[0], min(life, DAY) if target.is_nobody else life)
        self._throttle.note_failure(target.keys)

    def _note_right(self, target: _Target, exposure: Exposure) -> None:
        for key in self._own_keys(target, exposure):
            self._ephemeral.forget(OWN_FAILURES, key)

    def _repeated(self, target: _Target, exposure: Exposure) -> Held | None:
        """The directory has refused this very password a moment ago, and nothing has changed there since. One that never locks is asked again."""
        if exposure.threshold == NEVER_LOCKS:
            return None
        is_known = self._ephemeral.get(WRONG, self._wrong_key(target, exposure)) is not None
        return Held("repeated", "same_password") if is_known else None

    def _wrong_key(self, target: _Target, exposure: Exposure) -> str:
        # As in LoginThrottle.is_repeated: nobody outside may learn, by how long an answer takes, what others have typed.
        where = "near" if target.keys.standing.is_near else household(target.keys.origin.address)
        return self._throttle.hash_password("\n".join((target.keys.identifier, where, target.epoch, exposure.mark, self._bearer.password)))

    def _own_keys(self, target: _Target, exposure: Exposure) -> tuple[str, ...]:
        """Where our own wrong tries at a person are counted, for a directory that does not show its count: in periods as long as it remembers them,
        this one and the one before."""
        name = f"{target.keys.identifier}.{target.epoch}"
        if exposure.fades_after is None:
            return (name,)
        period = int(self._clock.now().timestamp() // exposure.fades_after.total_seconds())
        return (f"{name}.{period}", f"{name}.{period - 1}")


def _slot(target: _Target, side: str, number: int) -> str:
    return f"{target.keys.identifier}.{side}.{number}"
