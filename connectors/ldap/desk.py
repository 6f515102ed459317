"""LdapDesk: the acts of the reset desk on OpenLDAP and 389 Directory Server.

Sources: slapo-ppolicy(5) and draft-behera-ldap-password-policy-10 section 5.3; 389 Directory Server's accountUnlockTime and passwordExpirationTime.
On OpenLDAP a new password takes pwdAccountLockedTime away whatever it holds, also where that says "disabled": an assertion (RFC 4528) forbids it.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence

from connectors.base import CheckStep, SourceMisbehaved
from connectors.ldap.change import refuse_unless_changed
from connectors.ldap.entry_desk import EntryDesk, Lookup
from connectors.ldap.policy_control import PolicyError
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.state import generalized_time
from connectors.ldap.wire import INSUFFICIENT_ACCESS, SUCCESS, Answer, Change, Entry, Wire

LOCK, RESET, PASSWORD = "pwdAccountLockedTime", "pwdReset", "userPassword"
LOCK_389, EXPIRES_389, TRIES_389 = "accountUnlockTime", "passwordExpirationTime", ("passwordRetryCount", "retryCountResetTime")
DISABLED = "000001010000Z"
MUST_CHANGE_389 = b"19700101000000Z"
NEVER_THERE = {
    LOCK: b"19700101000000Z",
    LOCK_389: b"19700102000000Z",
    EXPIRES_389: b"19700103000000Z",
    PASSWORD: b"vestibule asks whether it may",
}


class LdapDesk(EntryDesk):
    """One directory's."""

    def __init__(self, name: str, settings: LdapSettings, pool: ServerPool, *, lookup: Lookup) -> None:
        super().__init__(name, settings, pool, lookup=lookup, groups_base=settings.groups.base)
        self._is_389 = settings.lasting_id == "nsUniqueId"

    @property
    def _disabled_by(self) -> tuple[str, str] | None:
        # 389 Directory Server keeps nsAccountLock whatever the password.
        return None if self._is_389 else (LOCK, DISABLED)

    def _unlocking(self, entry: Entry) -> Sequence[Change]:
        lock = LOCK_389 if self._is_389 else LOCK
        # By its exact value: whatever is written there meanwhile, "disabled" for instance, stays. What is no instant is no lock of wrong passwords.
        read = [value for value in entry.values.get(lock.lower(), ()) if generalized_time(value.decode("ascii", "replace")) is not None]
        if not read:
            return ()
        counted = [Change("replace", name) for name in TRIES_389 if entry.text(name) is not None] if self._is_389 else []
        return (Change("delete", lock, tuple(read)), *counted)

    def _resetting(self, entry: Entry, new: bytes) -> Sequence[Change]:
        if self._is_389:
            return (Change("replace", PASSWORD, (new,)), *self._unlocking(entry))
        return (Change("replace", PASSWORD, (new,)), Change("replace", RESET, (b"TRUE",)))  # the lock it lifts itself

    def _reset(self, entry: Entry, new: bytes) -> Answer:
        """Hashed, since OpenLDAP keeps a modify's password as it comes (without ppolicy_hash_cleartext); plain where its policy wants to look at it.

        RFC 3062, by which people change theirs, has no assertion and takes pwdReset away.
        """
        if not self._is_389:
            answer = super()._reset(entry, _hashed(new))
            if answer.policy.error is not PolicyError.INSUFFICIENT_PASSWORD_QUALITY:
                return answer
        return super()._reset(entry, new)

    def _refuse_unless_changed(self, entry: Entry, answer: Answer, new: str) -> None:
        refuse_unless_changed(self._name, answer, typed=(new.encode(),))

    def _insist(self, entry: Entry) -> None:
        """389 Directory Server wants a change by itself after its Directory Manager alone, and writes this attribute anew with each password."""
        if not self._is_389:
            return
        answer = self._write(entry, (Change("replace", EXPIRES_389, (MUST_CHANGE_389,)),))
        self._refuse_unless_allowed(answer, "say that a password must be changed")
        if answer.code != SUCCESS:
            raise SourceMisbehaved(f"{self._name}: {EXPIRES_389} of {entry.dn} was answered by {answer.code} {answer.message}")

    def _is_privileged(self, entry: Entry) -> str | None:
        return None  # such directories have no such people of their own: `desk` says who is

    def _rights(self, wire: Wire, someone: Entry) -> Iterator[CheckStep]:
        reset = someone.text(RESET)
        absent = {**NEVER_THERE, RESET: b"TRUE" if (reset or "").upper() == "FALSE" else b"FALSE"}
        wanted = (LOCK_389, *TRIES_389, PASSWORD, EXPIRES_389) if self._is_389 else (LOCK, PASSWORD, RESET)
        lacking = [name for name in wanted if not self._may_write(wire, someone, name, absent.get(name, b"987654321"))]
        title = "Reset desk"
        if not lacking:
            yield CheckStep(title=title, outcome="ok", explanation=f"its account may write {', '.join(wanted)} (tried on {someone.dn})")
            return
        say = (
            f"its account may not write {', '.join(lacking)} of {someone.dn}: give it what docs/connect-a-directory.md says"
            f"{'' if self._is_389 else ' (pwdReset and pwdAccountLockedTime want `manage`)'}."
        )
        yield CheckStep(title=title, outcome="failed", explanation=say)

    def _may_write(self, wire: Wire, someone: Entry, attribute: str, absent: bytes) -> bool:
        """Asked by taking away a value that is not there: whoever may not is told so, and whoever may changes nothing."""
        return wire.alter(someone.dn, (Change("delete", attribute, (absent,)),)).code != INSUFFICIENT_ACCESS


def _hashed(password: bytes) -> bytes:
    """{SSHA}, the one salted scheme that every OpenLDAP verifies. What it protects is random and long; the salt need not be a secret."""
    salt = hashlib.sha256(password).digest()[:8]
    return b"{SSHA}" + base64.b64encode(hashlib.sha1(password + salt).digest() + salt)  # noqa: S324 - see above; people's own are never hashed here
