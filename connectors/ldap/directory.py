"""LdapDirectory: OpenLDAP or 389 Directory Server as a connectors.base.Directory: sign in, look up, change a password, read everybody.

Owns the order of exchanges and what each answer means; filters and readings are people.py's, servers pool.py's, how many ask at once breaker.py's.
A person's password is only ever bound with on a fresh connection, as the entry that the service account found (RFC 4513 section 5.1.3).
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from connectors.base import (
    ChangeRefused,
    ChangeRequired,
    CheckStep,
    Clock,
    ConnectorError,
    CredentialsRefused,
    Identity,
    PersonNotUsable,
    SourceMisbehaved,
    State,
)
from connectors.breaker import Guard
from connectors.ldap.change import refuse_unless_changed
from connectors.ldap.examination import examine
from connectors.ldap.groups import Groups
from connectors.ldap.people import NOBODY, People, is_askable, password_bytes
from connectors.ldap.policy_control import PolicyError
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.state import POLICY_ATTRIBUTES, Policy, is_past_shadow_expire, read_policy, state_of
from connectors.ldap.wire import CONSTRAINT_VIOLATION, REFERRAL, SUCCESS, UNWILLING, Answer, Entry, Wire

POLICY_KEPT = timedelta(minutes=1)
NOTHING = b"-"  # bound with in place of what must not be sent, as nobody
MUST_CHANGE = {PolicyError.PASSWORD_EXPIRED, PolicyError.CHANGE_AFTER_RESET}


class LdapDirectory:
    """One directory. Safe to share between threads; connects at first use."""

    def __init__(self, name: str, settings: LdapSettings, clock: Clock) -> None:
        """Raises ValueError for settings that check-config refuses: a filter that is none, passwords in clear."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._people = People(name, settings)
        self._groups = Groups(settings.groups)
        self._pool = ServerPool(settings, clock)
        self._guard = Guard(
            name,
            clock,
            concurrency=settings.concurrency,
            failures=settings.breaker_failures,
            pause=settings.breaker_pause,
        )
        self._policies: dict[str, tuple[datetime, Policy]] = {}

    def authenticate(self, identifier: str, password: str) -> Identity:
        """Who this is (PasswordConnector.authenticate). One search and one bind, whoever was found and whatever the password."""
        with self._guard.passage():
            found = self._named(identifier)
            sent = password_bytes(password)
            if found is None or sent is None:
                self._policy(found[0] if found else None)  # what is asked for somebody is asked for nobody
                self._bind(self._people.decoy_dn, sent or NOTHING)
                raise CredentialsRefused(f"{self.name}: nobody, or a password that is none", subject=found[1] if found else None)
            entry, subject = found
            answer = self._bind(entry.dn, sent)
            state = self._judge(entry, subject, answer)
            identity = self._identity(entry, subject, state, amr=("pwd",))
            if state is State.MUST_CHANGE:
                raise ChangeRequired(f"{self.name}: the directory wants a new password", identity=identity)
            return identity

    def decoy(self, password: str) -> None:
        """The exchanges of a wrong password, for nobody."""
        with suppress(ConnectorError), self._guard.passage():
            self._named(NOBODY)
            self._policy(None)
            self._bind(self._people.decoy_dn, password_bytes(password) or NOTHING)

    def change_password(self, subject: str, current: str, *, new: str) -> Identity:
        """Replace the person's own password (PasswordConnector.change_password): bound as themselves, RFC 3062 Password Modify."""
        with self._guard.passage():
            entry = self._lasting(subject, is_scoped=True)
            if entry is None:
                raise PersonNotUsable(f"{self.name}: nobody in scope", state=State.OUT_OF_SCOPE, subject=subject, is_proven=False)
            old, wanted = password_bytes(current), password_bytes(new)
            if old is None:
                raise ChangeRefused(f"{self.name}: a present password that is none", problem="wrong_current")
            if wanted is None:
                raise ChangeRefused(f"{self.name}: a new password that cannot be sent", problem="too_weak" if new else "too_short")
            self._replace_password(entry, subject, old, new=wanted)
            changed = self._lasting(subject, is_scoped=True)
            if changed is None:
                raise SourceMisbehaved(f"{self.name}: {entry.dn} is gone since its password was changed")
            state = state_of(changed, self._policy(changed), self._clock.now())
            # 389 Directory Server writes that the change was made a moment after it answered that it was.
            return self._identity(changed, subject, State.USABLE if state is State.MUST_CHANGE else state, amr=("pwd",))

    def find(self, subject: str) -> Identity | None:
        """The person with a lasting id as the directory has them now, anywhere under the base (DirectoryConnector.find)."""
        with self._guard.passage():
            if (entry := self._lasting(subject, is_scoped=True)) is not None:
                return self._identity(entry, subject, state_of(entry, self._policy(entry), self._clock.now()))
            if (entry := self._lasting(subject, is_scoped=False)) is not None:
                return self._identity(entry, subject, State.OUT_OF_SCOPE)
            self._refuse_blindness()
            return None

    def look_up(self, identifier: str) -> Identity | None:
        """The person an identifier names, also out of scope (DirectoryConnector.look_up)."""
        with self._guard.passage():
            if (found := self._named(identifier)) is not None:
                entry, subject = found
                return self._identity(entry, subject, state_of(entry, self._policy(entry), self._clock.now()))
            if (found := self._named(identifier, is_scoped=False)) is not None:
                return self._identity(*found, State.OUT_OF_SCOPE)
            return None

    def count(self) -> int | None:
        """How many people are in scope: their names alone are read, page by page."""
        wire = self._open()
        try:
            return sum(1 for _ in self._read(wire, self._settings.base, self._people.scope, ("1.1",)))
        finally:
            wire.close()

    def people(self) -> Iterator[Identity]:
        """Everybody in scope (DirectoryConnector.people), on a connection of its own; groups are read once, before."""
        wire = self._open()
        try:
            membership = self._groups.everybody(lambda base, wanted, attributes: self._read(wire, base, wanted, attributes))
            for entry in self._read(wire, self._settings.base, self._people.scope, self._people.attributes):
                subject = self._subject(entry)
                username = self._people.username(entry)
                groups = membership.of(entry.dn, username) if membership else self._member_of(entry)
                now = self._clock.now()
                state = state_of(entry, self._policy(entry), now)
                yield self._people.identity(entry, subject, state=state, groups=groups, seen_at=now)
        finally:
            wire.close()

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step (DirectoryConnector.check)."""
        return examine(self._settings, self._pool, self._people, self._groups, clock=self._clock)

    def close(self) -> None:
        """Let go of connections."""
        self._pool.close()

    def _named(self, identifier: str, *, is_scoped: bool = True) -> tuple[Entry, str] | None:
        """The one entry that an identifier names, and its lasting id; None for nobody and for several."""
        wanted = self._people.named(identifier if is_askable(identifier) else NOBODY)
        entries = self._search(self._people.within(wanted) if is_scoped else wanted, self._people.attributes, size_limit=2)
        if len(entries) != 1 or self._people.is_tombstone(entries[0]):
            return None
        return entries[0], self._subject(entries[0])

    def _lasting(self, subject: str, *, is_scoped: bool) -> Entry | None:
        wanted = self._people.lasting(subject)
        entries = self._search(self._people.within(wanted) if is_scoped else wanted, self._people.attributes, size_limit=2)
        if len(entries) > 1:
            raise SourceMisbehaved(f"{self.name}: several entries have the lasting id {subject}")
        return entries[0] if entries and not self._people.is_tombstone(entries[0]) else None

    def _search(self, search_filter: str, attributes: Sequence[str], *, size_limit: int) -> tuple[Entry, ...]:
        base = self._settings.base
        found = self._pool.as_service(lambda wire: wire.search(base, search_filter, attributes, size_limit=size_limit))
        if found is None:
            raise SourceMisbehaved(f"{self.name}: the base {base} is not there, or is hidden from the service account")
        return found.entries

    def _refuse_blindness(self) -> None:
        """Nobody is gone because the service account was made blind: it must still see somebody, with the lasting id."""
        if not self._search(self._people.within(f"({self._settings.lasting_id}=*)"), ("1.1",), size_limit=1):
            raise SourceMisbehaved(f"{self.name}: the service account sees nobody at all any more")

    def _bind(self, dn: str, password: bytes) -> Answer:
        return self._pool.as_nobody(lambda wire: wire.bind(dn, password))

    def _subject(self, entry: Entry) -> str:
        subject = self._people.subject(entry)
        if subject is None:
            raise SourceMisbehaved(f"{self.name}: the service account cannot read {self._settings.lasting_id} of {entry.dn}")
        return subject

    def _judge(self, entry: Entry, subject: str, answer: Answer) -> State:
        """What a bind came to: USABLE or MUST_CHANGE. Raises CredentialsRefused, PersonNotUsable or SourceMisbehaved.

        A policy tells "expired" only to who has the password; "locked" and "disabled" are answered before the password is looked at.
        """
        said = state_of(entry, self._policy(entry), self._clock.now())
        if answer.code == REFERRAL:
            raise SourceMisbehaved(f"{self.name}: a bind was answered by a referral to another server")
        is_proven = answer.code == SUCCESS or answer.policy.error is PolicyError.PASSWORD_EXPIRED
        if not is_proven:
            if (state := self._barred(entry, said, answer)) is not None:
                raise PersonNotUsable(f"{self.name}: {entry.dn} is {state}", state=state, subject=subject, is_proven=False)
            raise CredentialsRefused(
                f"{self.name}: the bind was refused ({answer.code} {answer.message})".rstrip(" )") + ")", subject=subject
            )
        if said in {State.DISABLED, State.EXPIRED}:
            raise PersonNotUsable(f"{self.name}: {entry.dn} is {said}", state=said, subject=subject, is_proven=True)
        # The bind is the better witness: a policy that wants a change says so here, whatever attributes say of locks and dates.
        must_change = answer.policy.error in MUST_CHANGE or answer.policy.grace_left is not None
        return State.MUST_CHANGE if must_change else State.USABLE

    def _barred(self, entry: Entry, said: State, answer: Answer) -> State | None:
        """Why the directory would refuse even the right password; None when it was simply wrong."""
        if (
            said is State.EXPIRED
            and is_past_shadow_expire(entry, self._clock.now())
            and answer.policy.error is not PolicyError.ACCOUNT_LOCKED
        ):
            return None  # servers do not enforce shadowExpire: the password itself was wrong
        if said in {State.DISABLED, State.EXPIRED, State.LOCKED}:
            return said
        if answer.code == UNWILLING:
            return State.DISABLED  # 389 Directory Server: "Account inactivated"
        if answer.policy.error is PolicyError.ACCOUNT_LOCKED or answer.code == CONSTRAINT_VIOLATION:
            return State.LOCKED  # 389 Directory Server: "Exceed password retry limit"
        return None

    def _replace_password(self, entry: Entry, subject: str, current: bytes, *, new: bytes) -> None:
        wire = self._pool.open_anonymous()  # never twice: a change whose answer was lost may have been made
        try:
            answer = wire.bind(entry.dn, current)
            try:
                self._judge(entry, subject, answer)
            except CredentialsRefused as error:
                raise ChangeRefused(error.detail, problem="wrong_current") from error
            if answer.code == SUCCESS:
                is_389 = self._settings.lasting_id == "nsUniqueId"
                changed = wire.replace_password(entry.dn, new=new) if is_389 else wire.change_password(entry.dn, current, new=new)
                refuse_unless_changed(self.name, changed)
                return
        finally:
            wire.close()
        # The password was right, as the policy's "expired" has just told, but binds are over: only a service account that may write can help.
        wire = self._open_now()
        try:
            refuse_unless_changed(self.name, wire.change_password(entry.dn, None, new=new))
        finally:
            wire.close()

    def _identity(self, entry: Entry, subject: str, state: State, *, amr: tuple[str, ...] = ()) -> Identity:
        groups = self._member_of(entry)
        return self._people.identity(entry, subject, state=state, groups=groups, seen_at=self._clock.now(), amr=amr)

    def _member_of(self, entry: Entry) -> frozenset[str]:
        return self._pool.as_service(lambda wire: self._groups.of(wire, entry.dn, self._people.username(entry)))

    def _policy(self, entry: Entry | None) -> Policy:
        """The password policy of an entry (None: of nobody), kept for a moment; one that says nothing when none is known."""
        dn = (entry.text("pwdPolicySubentry") if entry else None) or self._settings.password_policy
        if dn is None:
            return Policy()
        now = self._clock.now()
        kept = self._policies.get(dn)
        if kept is not None and now < kept[0]:
            return kept[1]
        found = self._pool.as_service(lambda wire: wire.search(dn, "(objectClass=*)", POLICY_ATTRIBUTES, depth="base"))
        policy = read_policy(found.entries[0]) if found and found.entries else Policy()
        self._policies[dn] = (now + POLICY_KEPT, policy)
        return policy

    def _open(self) -> Wire:
        with self._guard.passage():
            return self._open_now()

    def _open_now(self) -> Wire:
        return self._pool.open_service()

    def _read(self, wire: Wire, base: str, search_filter: str, attributes: Sequence[str]) -> Iterator[Entry]:
        """Everything that matches, page by page; between pages nobody is kept waiting. Raises when the server holds anything back."""
        cookie = b""
        while True:
            with self._guard.passage():
                found = wire.search(base, search_filter, attributes, page=(self._settings.page_size, cookie))
            if found is None:
                raise SourceMisbehaved(f"{self.name}: {base} is not there, or is hidden from the service account")
            if found.is_cut:
                raise SourceMisbehaved(f"{self.name}: the size limit hides entries under {base}: raise it for the service account")
            yield from found.entries
            if not (cookie := found.cookie):
                return
