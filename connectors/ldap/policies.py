"""The password policies of a directory, kept for a moment, and how near an entry is to being locked by one.

Owns the reading with the service account; what the attributes mean is state.py's. A policy that cannot be read says nothing, and then whoever asks
must assume something. OpenLDAP: the policy that pwdPolicySubentry names, else the settings' default; 389 Directory Server: the same, else cn=config.
"""

from datetime import datetime, timedelta

from connectors.base import Clock, Exposure, SourceMisbehaved
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.state import (
    MARK_ATTRIBUTES,
    POLICY_ATTRIBUTES,
    STATE_ATTRIBUTES,
    Policy,
    exposure_of,
    read_policy,
    shows_failures,
)
from connectors.ldap.wire import Entry, Found

POLICY_KEPT = timedelta(minutes=1)
EVERYBODYS_POLICY_OF_389 = "cn=config"
EXPOSURE_ATTRIBUTES = tuple(dict.fromkeys((*STATE_ATTRIBUTES, *MARK_ATTRIBUTES)))


class Policies:
    """Safe to share between threads."""

    def __init__(self, settings: LdapSettings, pool: ServerPool, clock: Clock, *, decoy_dn: str) -> None:
        self._pool = pool
        self._clock = clock
        self._decoy = Entry(decoy_dn, {})
        is_389 = settings.lasting_id == "nsUniqueId"
        self._everybodys = settings.password_policy or (EVERYBODYS_POLICY_OF_389 if is_389 else None)
        self._kept: dict[str, tuple[datetime, Policy]] = {}
        self._shows_failures = False

    def of(self, entry: Entry | None) -> Policy:
        """The password policy of an entry (None: of nobody), kept for a moment; one that says nothing when none is known."""
        dn = (entry.text("pwdPolicySubentry") if entry else None) or self._everybodys
        if dn is None:
            return Policy()
        now = self._clock.now()
        kept = self._kept.get(dn)
        if kept is not None and now < kept[0]:
            return kept[1]
        found = self._read(dn)
        policy = read_policy(found.entries[0]) if found and found.entries else Policy()
        self._kept[dn] = (now + POLICY_KEPT, policy)
        return policy

    def exposure(self, entry: Entry | None) -> Exposure:
        """How near the directory is to locking an entry, as it was read (None: nobody's)."""
        if entry is not None and shows_failures(entry):
            self._shows_failures = True
        policy = self.of(entry)
        return exposure_of(entry or self._decoy, policy, self._clock.now(), is_shown=self._shows_failures)

    def look(self, entry: Entry | None) -> Exposure:
        """The same, read again. Raises SourceMisbehaved when the entry has gone meanwhile."""
        dn = (entry or self._decoy).dn
        found = self._pool.as_service(lambda wire: wire.search(dn, "(objectClass=*)", EXPOSURE_ATTRIBUTES, depth="base"))
        entries = found.entries if found else ()
        if entry is not None and not entries:
            raise SourceMisbehaved(f"{dn} is not there any more, or is hidden from the service account")
        return self.exposure(entries[0] if entries else None)

    def _read(self, dn: str) -> Found | None:
        try:
            return self._pool.as_service(lambda wire: wire.search(dn, "(objectClass=*)", POLICY_ATTRIBUTES, depth="base"))
        except SourceMisbehaved:
            if dn != EVERYBODYS_POLICY_OF_389:
                raise
            return None  # service accounts may seldom read a server's configuration: what it says is then not known
