"""The password proof: throttle, then our own account or the directories, then the verdict; the same work and words on every failing path.

Owns the order of these steps, the Event with the true reason, and what the person may be told: "wrong", how long to wait, that a directory does not
answer; and, once the password is proven, why the directory refuses. A try that fails has cost one hash and one question to each directory. No SQL
transaction is open meanwhile. Outside, whoever is refused for what is known of the person reads "wrong": what is typed alone makes them wait.
Calls local.py, directories.py, linking.py, throttle.py, bind_gate.py, spray_watch.py. Sources: CNIL 2017-012 and 2022-100, OWASP Authentication.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.base import Identity
from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, PasswordHasher
from idp.errors import Refused, StoreUnavailable
from idp.signin.bind_gate import Bearer, BindGate, BindGates
from idp.signin.devices import recognise
from idp.signin.directories import Directories, Recognition
from idp.signin.ground import Visitor
from idp.signin.interaction import Proof
from idp.signin.linking import CONFLICT, Adopted, Linking, NotKept, open_establishments
from idp.signin.local import ACR_PASSWORD, AMR_PASSWORD, CONNECTOR, Candidate, find_candidate, normalise_identifier, verify
from idp.signin.spray_watch import SprayWatch
from idp.signin.succession import succeed
from idp.signin.throttle import LoginThrottle, TryKeys
from idp.signin.whereabouts import is_in_zone
from idp.store.base import Account
from idp.store.database import Database
from policies.lifecycle import lets_stay
from policies.lockout import Standing

ADDRESS_WAITS = "address_waits"
NOBODY = Candidate(None, None, Reason.THROTTLED)


class LoginRefused(Refused):
    """A try at a password failed or was not admitted.

    The public learns `is_throttled`, the wait and the tries left, that a directory does not answer (`is_unreachable`), and `told`: why the directory
    refuses somebody who typed the right password. `is_outside`: where strangers may have used up the tries. Never the reason itself.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        wait: timedelta = timedelta(0),
        tries_left: int | None = None,
        told: Reason | None = None,
        is_unreachable: bool = False,
        is_silent: bool = False,
        is_outside: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_outside = is_outside
        self.is_throttled = reason is Reason.THROTTLED and not is_silent
        self.is_unreachable = is_unreachable
        self.wait = wait
        self.tries_left = tries_left
        self.told = told

    @property
    def wait_minutes(self) -> int:
        """Whole minutes to wait, rounded up; 0 when waiting does not help and the contact must."""
        return math.ceil(self.wait / timedelta(minutes=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPlace:
    """Where a try is made: the client asking (None for our own pages), the establishment we think of, and who comes with which browser."""

    client_id: str | None
    establishment_id: str | None
    visitor: Visitor

    @property
    def origin(self) -> Origin:
        """Where the request came from."""
        return self.visitor.origin

    @property
    def is_inside(self) -> bool:
        """Whether it is made in a trusted zone, whoever's it is, or on a workstation enrolled there: not by just anybody on the internet."""
        return self.visitor.workstation is not None or is_in_zone(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: what was typed, whom it names here, where it is counted and where it is made."""

    identifier: str
    password: str
    candidate: Candidate
    keys: TryKeys
    gate: BindGate
    place: LoginPlace
    began: datetime
    silent: str | None = None  # why it is refused already, when nobody may be told: the same work is done all the same

    def __repr__(self) -> str:
        return "Attempt(…)"  # a traceback or a log line must not show a password


class Login:
    """Checks passwords of local accounts and of people of directories."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        *,
        directories: Directories,
        linking: Linking,
        throttle: LoginThrottle,
        gates: BindGates,
        watch: SprayWatch,
        keyring: Keyring,
        clock: Clock,
        allows_demo: bool,
        max_age: timedelta | None = None,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._directories = directories
        self._linking = linking
        self._throttle = throttle
        self._gates = gates
        self._watch = watch
        self._keyring = keyring
        self._clock = clock
        self._allows_demo = allows_demo
        self._max_age = max_age

    def prove(self, typed: str, password: str, place: LoginPlace) -> Proof:
        """Who has typed this. Raises LoginRefused (the Event is written), StoreUnavailable when a try cannot be counted.

        The successful proof writes no Event of its own: the end of the sign-in, or its refusal, does.
        """
        attempt = self._admit(self._begin(normalise_identifier(typed), password, place))
        if attempt.candidate.password is not None or not self._directories:
            return self._prove_here_first(attempt)
        answer = self._ask(attempt)
        if answer.identity is None:
            self._verify_here(attempt)  # a failing try costs one hash, whoever it names
        return self._judge(attempt, answer)

    def _begin(self, identifier: str, password: str, place: LoginPlace) -> Attempt:
        with self._database.read() as tx:
            candidate = find_candidate(tx, identifier, place.establishment_id)
            account = candidate.account
            standing, own_subjects = Standing.INSIDE, frozenset[tuple[str, str]]()
            if not place.is_inside:
                standing = Standing.OUTSIDE
                # Looked for whoever is named, so that a browser that brings secrets costs the same with any name.
                known = recognise(tx, account.id if account else "", place.visitor.device_secrets, now=self._clock.now())
                if account is not None and known.device is not None:
                    standing = Standing.KNOWN_DEVICE
                    own_subjects = frozenset((link.connector, link.subject) for link in tx.links.of_account(account.id))
        keys = self._throttle.keys(identifier, account.id if account else None, place.origin, standing=standing)
        bearer = Bearer(keys=keys, identifier=identifier, password=password, own_subjects=own_subjects)
        return Attempt(
            identifier=identifier,
            password=password,
            candidate=candidate,
            keys=keys,
            gate=self._gates.open(bearer),
            place=place,
            began=self._clock.now(),
        )

    def _prove_here_first(self, attempt: Attempt) -> Proof:
        account, present = attempt.candidate.account, attempt.candidate.password
        reason = self._verify_here(attempt)
        if reason is None and account is not None and present is not None:
            self._throttle.clear(attempt.keys)
            self._watch.note_success(attempt.keys)
            self._strengthen(account.id, present.hash, attempt.password)
            # The break-glass password is renewed by sealing it again, and never in the middle of the night it is needed.
            is_old = self._max_age is not None and not account.is_break_glass and attempt.began - present.changed_at >= self._max_age
            return Proof(
                account_id=account.id,
                auth_time=attempt.began,
                amr=AMR_PASSWORD,
                acr=ACR_PASSWORD,
                connector=CONNECTOR,
                must_change_password=present.must_change or is_old,
                password_is_old=is_old and not present.must_change,
                credential_at=present.changed_at,
            )
        answer = self._ask(attempt)
        if answer.identity is None and not answer.is_proven and answer.trouble is None:
            raise self._refused(attempt, reason or Reason.NOTHING_SAID, CONNECTOR, why=attempt.silent)
        return self._judge(attempt, answer)

    def _verify_here(self, attempt: Attempt) -> Reason | None:
        candidate = attempt.candidate
        if attempt.silent is not None:
            verify(self._hasher, NOBODY, attempt.password)
            return Reason.THROTTLED
        reason = verify(self._hasher, candidate, attempt.password)
        if reason is None and candidate.account and candidate.account.is_demo and not self._allows_demo:
            return Reason.DEMO_ACCOUNT
        return reason

    def _ask(self, attempt: Attempt) -> Recognition:
        return self._directories.recognise(attempt.identifier, attempt.password, attempt.candidate.connector, gate=attempt.gate)

    def _judge(self, attempt: Attempt, answer: Recognition) -> Proof:
        """What the directories said, as a Proof or a refusal; either way what they said of the person is kept."""
        if answer.identity is None:
            if answer.trouble is not None and answer.subject is None and attempt.candidate.password is None:
                # Nobody could check this try, so it taught a stranger nothing: an outage must not lock people out.
                self._throttle.forgive(attempt.keys)
            if answer.is_withheld:
                raise self._withheld(attempt, answer)
            self._keep_word(answer, attempt.place)
            raise self._refused(attempt, answer.refusal, answer.connector, trouble=answer.trouble, is_proven=answer.is_proven)
        try:
            adopted = self._adopt(answer.identity, attempt.place)
        except NotKept as unknown:
            raise self._refused(attempt, Reason(unknown.reason), answer.connector, is_proven=True) from unknown
        if not adopted.account.is_active:
            # An operator suspended them here, or the directory said otherwise since: its earlier word does not lift that.
            raise self._refused(attempt, Reason.ACCOUNT_NOT_ACTIVE, answer.connector, is_proven=True, account=adopted.account)
        self._throttle.clear(attempt.gate.keys(answer.identity.connector, answer.identity.subject))
        self._watch.note_success(attempt.keys)
        named = attempt.candidate.account
        if named is None or named.id == adopted.account.id:
            self._throttle.clear(attempt.keys)
        else:
            # Somebody who carries another's login as their own address must not make failures at that login forgotten.
            self._throttle.forgive(attempt.keys)
        return Proof(
            account_id=adopted.account.id,
            auth_time=attempt.began,
            amr=answer.identity.amr or AMR_PASSWORD,
            acr=ACR_PASSWORD,
            connector=answer.identity.connector,
            must_change_password=answer.must_change,
            credential_at=adopted.password_changed_at,
        )

    def _adopt(self, identity: Identity, place: LoginPlace) -> Adopted:
        author = Author(f"connector:{identity.connector}", place.origin)
        with self._database.read() as tx:  # hundreds of homes: not while others wait to write
            establishments = open_establishments(tx)
        try:
            with self._database.write() as tx:
                adopted = self._linking.adopt(tx, identity, author, is_signing_in=True, establishments=establishments)
        except StoreUnavailable as error:
            if error.reason != CONFLICT:
                raise
            # Two first sign-ins of one person at the same instant: the other has written the Link by now.
            with self._database.write() as tx:
                adopted = self._linking.adopt(tx, identity, author, is_signing_in=True, establishments=establishments)
        return succeed(adopted, identity, author, database=self._database, directories=self._directories, linking=self._linking)

    def _keep_word(self, answer: Recognition, place: LoginPlace) -> None:
        """A directory that refuses a person as disabled, expired or out of scope has said so of them, whoever typed what.

        A lock is no such word: whoever locks themselves out would else keep what the directory said of their groups for ever young.
        """
        if answer.state is None or answer.connector is None or answer.subject is None or lets_stay(answer.state):
            return
        with self._database.write() as tx:
            link = tx.links.get(answer.connector, answer.subject)
            if link is not None:
                self._linking.apply_word(tx, link, str(answer.state), Author(f"connector:{answer.connector}", place.origin))

    def _admit(self, attempt: Attempt) -> Attempt:
        """Count the try. Raises LoginRefused when its address or what was typed must wait; both are known to whoever types."""
        wait = self._watch.wait(attempt.keys)
        if wait and not self._is_break_glass(attempt):
            raise self._throttled(attempt, ADDRESS_WAITS, wait=wait)
        answer = self._throttle.admit(attempt.keys)
        if answer.is_allowed or self._is_break_glass(attempt):
            return attempt
        if not answer.is_silent:
            raise self._throttled(attempt, answer.reason, wait=answer.wait)
        attempt.gate.shut(answer.reason)
        return replace(attempt, silent=answer.reason)

    def _throttled(self, attempt: Attempt, why: str, *, wait: timedelta, connector: str | None = CONNECTOR) -> LoginRefused:
        self._record(Reason.THROTTLED, attempt, connector=connector, details={"throttle": why})
        return LoginRefused(Reason.THROTTLED, wait=wait)

    def _withheld(self, attempt: Attempt, answer: Recognition) -> LoginRefused:
        """The refusal of a try whose password was not tried at the directory."""
        held = attempt.gate.held.get(answer.connector or "")
        if held is not None and held.kind == "repeated":
            return self._refused(attempt, Reason.WRONG_PASSWORD, answer.connector, trouble=answer.trouble)
        why, wait = (held.reason, held.wait) if held is not None else ("", timedelta(0))
        if attempt.keys.standing.is_near and answer.trouble is None:
            self._throttle.forgive(attempt.keys)  # whatever was typed was not tried
            return self._throttled(attempt, why, wait=wait, connector=answer.connector)
        return self._refused(attempt, Reason.THROTTLED, answer.connector, trouble=answer.trouble, why=why)

    def _is_break_glass(self, attempt: Attempt) -> bool:
        """The last door: its password is 150 random bits, which no guessing finds, so a stranger's wrong tries must not close it."""
        account = attempt.candidate.account
        return account is not None and account.is_break_glass and self._verify_here(attempt) is None

    def _strengthen(self, account_id: str, encoded: str, password: str) -> None:
        """Hash again with today's parameters when they have grown since (OWASP Password Storage: upgrading the work factor)."""
        if self._hasher.needs_rehash(encoded):
            stronger = self._hasher.hash(password)
            with self._database.write() as tx:
                tx.people.rehash_password(account_id, encoded, stronger)

    def _refused(
        self,
        attempt: Attempt,
        reason: Reason,
        connector: str | None,
        *,
        trouble: str | None = None,
        is_proven: bool = False,
        account: Account | None = None,
        why: str | None = None,
    ) -> LoginRefused:
        """The refusal to raise; its Event is written. `why` is the throttle's word for it."""
        is_repeated = not is_proven and trouble is None and self._throttle.is_repeated(attempt.keys, attempt.password)
        if is_repeated:
            self._throttle.forgive(attempt.keys)
        else:
            self._throttle.note_failure(attempt.keys)
        if not is_proven and trouble is None:
            self._record_spraying(attempt)
        told = {"trouble": trouble, "throttle": why, "repeated": is_repeated or None}
        details = {name: value for name, value in told.items() if value is not None}
        self._record(reason, attempt, connector=connector, account=account, details=details)
        tries_left = self._throttle.outlook(attempt.keys).tries_left  # of what was typed, whoever that is
        # While a directory is away everybody whose password is not proven reads the same: who is known elsewhere must not show.
        return LoginRefused(
            reason,
            tries_left=tries_left,
            told=reason if is_proven else None,
            is_unreachable=trouble is not None and not is_proven,
            is_silent=reason is Reason.THROTTLED,
            is_outside=not attempt.keys.standing.is_near,
        )

    def _record_spraying(self, attempt: Attempt) -> None:
        if spotted := self._watch.note_failure(attempt.keys):
            with self._database.write() as tx:
                for event in spotted:
                    tx.events.append(event)

    def _record(
        self,
        reason: Reason,
        attempt: Attempt,
        *,
        connector: str | None,
        details: Mapping[str, str | int | bool | None],
        account: Account | None = None,
    ) -> None:
        account = account or attempt.candidate.account
        event = Event(
            type=EventType.SIGNIN_REFUSED,
            at=self._clock.now(),
            actor="anonymous",
            origin=attempt.place.origin,
            reason=reason,
            account_id=account.id if account else None,
            # People type passwords in the wrong field: what matched nobody is never kept as it is.
            identifier_hash=None if account else self._keyring.keyed_hash("identifier", attempt.identifier),
            client_id=attempt.place.client_id,
            establishment_id=attempt.place.establishment_id,
            connector=connector,
            details=details,
        )
        with self._database.write() as tx:
            tx.events.append(event)
