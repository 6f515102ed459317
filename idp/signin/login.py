"""The password proof: throttle, then our own account or the directories, then the verdict; the same work and words on every failing path.

Owns the order of these steps, the Event with the true reason, and what the person may be told: "wrong", how long to wait, that a directory does not
answer; and, once the password is proven, why the directory refuses. A try that fails has cost one hash and one question to each directory. No SQL
transaction is open meanwhile. Calls local.py, directories.py, linking.py and throttle.py. Sources: CNIL 2017-012 and 2022-100, OWASP Authentication.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.base import Identity
from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, PasswordHasher
from idp.errors import Refused, StoreUnavailable
from idp.signin.directories import Directories, Recognition
from idp.signin.interaction import Proof
from idp.signin.linking import CONFLICT, Adopted, Linking, open_establishments
from idp.signin.local import ACR_PASSWORD, AMR_PASSWORD, CONNECTOR, Candidate, find_candidate, normalise_identifier, verify
from idp.signin.throttle import LoginThrottle, TryKeys
from idp.store.base import Account
from idp.store.database import Database
from policies.lifecycle import lets_stay


class LoginRefused(Refused):
    """A try at a password failed or was not admitted.

    The public learns `is_throttled`, the wait and the tries left, that a directory does not answer (`is_unreachable`), and `told`: why the directory
    refuses somebody who typed the right password. Never the reason itself.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        wait: timedelta = timedelta(0),
        tries_left: int | None = None,
        told: Reason | None = None,
        is_unreachable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_throttled = reason is Reason.THROTTLED
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
    """Where a try is made: the client asking (None for our own pages) and the establishment we think of."""

    client_id: str | None
    establishment_id: str | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: what was typed, whom it names here, where it is counted and where it is made."""

    identifier: str
    password: str
    candidate: Candidate
    keys: TryKeys
    place: LoginPlace
    began: datetime

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
        keyring: Keyring,
        clock: Clock,
        allows_demo: bool,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._directories = directories
        self._linking = linking
        self._throttle = throttle
        self._keyring = keyring
        self._clock = clock
        self._allows_demo = allows_demo

    def prove(self, typed: str, password: str, place: LoginPlace) -> Proof:
        """Who has typed this. Raises LoginRefused (the Event is written), StoreUnavailable when a try cannot be counted.

        The successful proof writes no Event of its own: the end of the sign-in, or its refusal, does.
        """
        began = self._clock.now()
        identifier = normalise_identifier(typed)
        with self._database.read() as tx:
            candidate = find_candidate(tx, identifier, place.establishment_id)
        keys = self._throttle.keys(identifier, candidate.account.id if candidate.account else None)
        attempt = Attempt(identifier=identifier, password=password, candidate=candidate, keys=keys, place=place, began=began)
        self._admit(attempt)
        if candidate.password is not None or not self._directories:
            return self._prove_here_first(attempt)
        answer = self._ask(attempt)
        if answer.identity is None:
            verify(self._hasher, candidate, password)  # a failing try costs one hash, whoever it names
        return self._judge(attempt, answer)

    def _prove_here_first(self, attempt: Attempt) -> Proof:
        account, present = attempt.candidate.account, attempt.candidate.password
        reason = self._verify_here(attempt)
        if reason is None and account is not None and present is not None:
            self._throttle.clear(attempt.keys)
            self._strengthen(account.id, present.hash, attempt.password)
            return Proof(
                account_id=account.id,
                auth_time=attempt.began,
                amr=AMR_PASSWORD,
                acr=ACR_PASSWORD,
                connector=CONNECTOR,
                must_change_password=present.must_change,
                credential_at=present.changed_at,
            )
        answer = self._ask(attempt)
        if answer.identity is None and not answer.is_proven and answer.trouble is None:
            raise self._refused(attempt, reason or Reason.NOTHING_SAID, CONNECTOR)
        return self._judge(attempt, answer)

    def _verify_here(self, attempt: Attempt) -> Reason | None:
        candidate = attempt.candidate
        reason = verify(self._hasher, candidate, attempt.password)
        if reason is None and candidate.account and candidate.account.is_demo and not self._allows_demo:
            return Reason.DEMO_ACCOUNT
        return reason

    def _ask(self, attempt: Attempt) -> Recognition:
        return self._directories.recognise(attempt.identifier, attempt.password, attempt.candidate.connector)

    def _judge(self, attempt: Attempt, answer: Recognition) -> Proof:
        """What the directories said, as a Proof or a refusal; either way what they said of the person is kept."""
        subject = answer.identity.subject if answer.identity else answer.subject
        person = self._throttle.keys(f"subject:{answer.connector}/{subject}", None) if subject else None
        if person is not None and not (admitted := self._throttle.admit(person)).is_allowed:
            # A directory knows one person by many spellings and addresses: tries are also counted by whom it recognised, and then a right password
            # and a wrong one are answered alike.
            self._record(Reason.THROTTLED, attempt, connector=answer.connector, details={"throttle": admitted.reason or ""})
            raise LoginRefused(Reason.THROTTLED, wait=admitted.wait)
        if answer.identity is None:
            if answer.trouble is not None and answer.subject is None and attempt.candidate.password is None:
                # Nobody could check this try, so it taught a stranger nothing: an outage must not lock people out.
                self._throttle.forgive(attempt.keys)
            self._keep_word(answer, attempt.place)
            raise self._refused(attempt, answer.refusal, answer.connector, trouble=answer.trouble, is_proven=answer.is_proven)
        adopted = self._adopt(answer.identity, attempt.place)
        if not adopted.account.is_active:
            # An operator suspended them here, or the directory said otherwise since: its earlier word does not lift that.
            raise self._refused(attempt, Reason.ACCOUNT_NOT_ACTIVE, answer.connector, is_proven=True, account=adopted.account)
        if person is not None:
            self._throttle.clear(person)
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
                return self._linking.adopt(tx, identity, author, is_signing_in=True, establishments=establishments)
        except StoreUnavailable as error:
            if error.reason != CONFLICT:
                raise
        # Two first sign-ins of one person at the same instant: the other has written the Link by now.
        with self._database.write() as tx:
            return self._linking.adopt(tx, identity, author, is_signing_in=True, establishments=establishments)

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

    def _admit(self, attempt: Attempt) -> None:
        answer = self._throttle.admit(attempt.keys)
        if not answer.is_allowed and not self._is_break_glass(attempt):
            self._record(Reason.THROTTLED, attempt, connector=CONNECTOR, details={"throttle": answer.reason} if answer.reason else {})
            raise LoginRefused(Reason.THROTTLED, wait=answer.wait)

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
    ) -> LoginRefused:
        """The refusal to raise; its Event is written."""
        self._record(reason, attempt, connector=connector, account=account, details={"trouble": trouble} if trouble else {})
        outlook = self._throttle.outlook(attempt.keys)
        told = reason if is_proven else None
        # While a directory is away everybody whose password is not proven reads the same: who is known elsewhere must not show.
        return LoginRefused(
            reason, tries_left=outlook.tries_left_before_wait, told=told, is_unreachable=trouble is not None and not is_proven
        )

    def _record(
        self, reason: Reason, attempt: Attempt, *, connector: str | None, details: Mapping[str, str], account: Account | None = None
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
