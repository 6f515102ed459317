"""The password settings of a domain, and the fine-grained ones of some of its people, kept for a moment.

Owns the reading with the service account; what the attributes mean is state.py's. msDS-ResultantPSO names the settings that win for a person; the
domain's own entry has everybody else's ([MS-ADTS] 3.1.1.4.5.36).
"""

from datetime import datetime, timedelta

from connectors.active_directory.state import (
    DOMAIN_POLICY,
    FAILURE_ATTRIBUTES,
    FINE_GRAINED,
    MARK_ATTRIBUTES,
    OWN_POLICY,
    Policy,
    exposure_of,
    read_policy,
)
from connectors.base import Clock, Exposure, SourceMisbehaved
from connectors.ldap.pool import ServerPool
from connectors.ldap.wire import Entry

POLICY_KEPT = timedelta(minutes=1)
EXPOSURE_ATTRIBUTES = (*MARK_ATTRIBUTES, *FAILURE_ATTRIBUTES)


class Policies:
    """Safe to share between threads."""

    def __init__(self, pool: ServerPool, clock: Clock, *, domain_dn: str, decoy_dn: str) -> None:
        self._pool = pool
        self._clock = clock
        self._domain_dn = domain_dn
        self._decoy = Entry(decoy_dn, {})
        self._kept: dict[str, tuple[datetime, Policy]] = {}

    def of(self, entry: Entry | None) -> Policy:
        """The settings that apply to an entry (None: to nobody); one that says nothing where they cannot be read."""
        dn = (entry.text(OWN_POLICY) if entry else None) or self._domain_dn
        now = self._clock.now()
        kept = self._kept.get(dn)
        if kept is not None and now < kept[0]:
            return kept[1]
        names = DOMAIN_POLICY if dn == self._domain_dn else FINE_GRAINED
        found = self._pool.as_service(lambda wire: wire.search(dn, "(objectClass=*)", names.all, depth="base"))
        policy = read_policy(found.entries[0], names) if found and found.entries else Policy()
        self._kept[dn] = (now + POLICY_KEPT, policy)
        return policy

    def exposure(self, entry: Entry | None) -> Exposure:
        """How near the domain is to locking an entry, as it was read (None: nobody's)."""
        return exposure_of(entry or self._decoy, self.of(entry), self._clock.now())

    def look(self, entry: Entry | None) -> Exposure:
        """The same, read again. Raises SourceMisbehaved when the entry has gone meanwhile."""
        dn = (entry or self._decoy).dn
        found = self._pool.as_service(lambda wire: wire.search(dn, "(objectClass=*)", EXPOSURE_ATTRIBUTES, depth="base"))
        entries = found.entries if found else ()
        if entry is not None and not entries:
            raise SourceMisbehaved(f"{dn} is not there any more, or is hidden from the service account")
        return self.exposure(entries[0] if entries else None)
