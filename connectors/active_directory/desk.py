"""ActiveDirectoryDesk: the acts of the reset desk on a domain, and whom a domain counts as privileged.

Sources: [MS-ADTS] 3.1.1.3.1.5 (unicodePwd), 3.1.1.6.1 (AdminSDHolder and protected groups), 3.1.1.4.5.19 (tokenGroups), 3.1.1.4.5.8
(allowedAttributesEffective); [MS-DTYP] 2.4.2.4 (well-known security ids).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connectors.active_directory.change import refuse_unless_changed
from connectors.active_directory.groups import Groups
from connectors.active_directory.policies import Policies
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.state import CONTROL
from connectors.active_directory.values import integer, security_id
from connectors.base import CheckStep, Clock, SourceMisbehaved
from connectors.ldap.entry_desk import EntryDesk, Lookup
from connectors.ldap.pool import ServerPool
from connectors.ldap.wire import INSUFFICIENT_ACCESS, Answer, Change, Entry, Wire, quoted

LOCKOUT, SET_AT, PASSWORD = "lockoutTime", "pwdLastSet", "unicodePwd"
PRIVILEGE_ATTRIBUTES = ("adminCount", "isCriticalSystemObject", CONTROL, "objectSid", "tokenGroups")
# Groups of the domain, by the last number of their security id; of every machine (S-1-5-32); and accounts that a domain is born with.
DOMAIN_GROUPS = {
    498: "Enterprise Read-only Domain Controllers",
    512: "Domain Admins",
    516: "Domain Controllers",
    517: "Cert Publishers",
    518: "Schema Admins",
    519: "Enterprise Admins",
    520: "Group Policy Creator Owners",
    521: "Read-only Domain Controllers",
    526: "Key Admins",
    527: "Enterprise Key Admins",
}
BUILTIN_GROUPS = {
    544: "Administrators",
    548: "Account Operators",
    549: "Server Operators",
    550: "Print Operators",
    551: "Backup Operators",
    552: "Replicator",
    557: "Incoming Forest Trust Builders",
}
BORN = {500: "Administrator", 501: "Guest", 502: "krbtgt"}
BUILTIN, DOMAIN = "S-1-5-32-", "S-1-5-21-"
ORDINARY = 0x200
DELEGATES = 0x80000 | 0x1000000  # trusted for delegation, with or without Kerberos only
NO_PASSWORD_IS_THIS = b"\x00"  # unicodePwd is in quotes, in UTF-16: an odd number of bytes is refused to whoever may set it too


class ActiveDirectoryDesk(EntryDesk):
    """One domain's."""

    def __init__(
        self, name: str, settings: ActiveDirectorySettings, pool: ServerPool, *, lookup: Lookup, policies: Policies, clock: Clock
    ) -> None:
        # Wherever they are: DnsAdmins, for one, is not where a home's groups are.
        groups = Groups(settings.groups.model_copy(update={"base": settings.domain_dn}), settings.domain_dn)
        lookup = replace(lookup, groups=lambda entry: pool.as_service(lambda wire: groups.of(wire, entry, None)))
        super().__init__(name, settings, pool, lookup=lookup, groups_base=settings.domain_dn)
        self._policies = policies
        self._clock = clock

    @property
    def _disabled_by(self) -> tuple[str, str] | None:
        return None  # whether somebody is disabled is in userAccountControl, which is not written here

    def _unlocking(self, entry: Entry) -> Sequence[Change]:
        return (Change("replace", LOCKOUT, (b"0",)),) if integer(entry, LOCKOUT) else ()

    def _resetting(self, entry: Entry, new: bytes) -> Sequence[Change]:
        return (
            Change("replace", PASSWORD, (quoted(new.decode()),)),
            Change("replace", SET_AT, (b"0",)),
            Change("replace", LOCKOUT, (b"0",)),
        )

    def _refuse_unless_changed(self, entry: Entry, answer: Answer, new: str) -> None:
        refuse_unless_changed(
            self._name, entry, answer, typed=(quoted(new).decode("utf-16-le"), new), policy=self._policies.of(entry), now=self._clock.now()
        )

    def _insist(self, entry: Entry) -> None:
        """pwdLastSet has said it."""

    def _is_privileged(self, entry: Entry) -> str | None:
        found = self._pool.as_service(lambda wire: wire.search(entry.dn, "(objectClass=*)", PRIVILEGE_ATTRIBUTES, depth="base"))
        if not found or not found.entries:
            raise SourceMisbehaved(f"{self._name}: {entry.dn} is not there any more, or is hidden from the service account")
        seen = found.entries[0]
        control, groups, own = integer(seen, CONTROL), seen.values.get("tokengroups", ()), seen.values.get("objectsid", ())
        if control is None or not groups or not own:  # everybody has a primary group
            raise SourceMisbehaved(
                f"{self._name}: whether {entry.dn} is privileged cannot be told: let the service account read {CONTROL}, objectSid and tokenGroups "
                "(the group Windows Authorization Access Group)"
            )
        if integer(seen, "adminCount") == 1:
            return "adminCount is 1: it is, or was, in a protected group"
        if (seen.text("isCriticalSystemObject") or "").upper() == "TRUE" or _last(security_id(own[0])) in BORN:
            return "the domain itself needs it"
        if not control & ORDINARY or control & DELEGATES:
            return "it is not an ordinary person's account"
        # adminCount is written once an hour: who joined such a group a moment ago has none yet.
        names = [name for name in map(_protected_group, map(security_id, groups)) if name is not None]
        return f"it is in {', '.join(sorted(names))}" if names else None

    def _rights(self, wire: Wire, someone: Entry) -> Iterator[CheckStep]:
        title = "Reset desk"
        found = wire.search(someone.dn, "(objectClass=*)", ("allowedAttributesEffective",), depth="base")
        allowed = {name.casefold() for name in (found.entries[0].texts("allowedAttributesEffective") if found and found.entries else ())}
        lacking = [name for name in (LOCKOUT, SET_AT) if name.casefold() not in allowed]
        # Asked with what is no password: whoever may not is told so, and for whoever may nothing changes.
        if wire.alter(someone.dn, (Change("replace", PASSWORD, (NO_PASSWORD_IS_THIS,)),)).code == INSUFFICIENT_ACCESS:
            lacking.insert(0, "the right Reset Password")
        if not lacking:
            say = f"its account may reset passwords and write {LOCKOUT} and {SET_AT} (tried on {someone.dn})"
            yield CheckStep(title=title, outcome="ok", explanation=say)
            return
        say = f"its account lacks {', '.join(lacking)} on {someone.dn}: delegate what docs/connect-active-directory.md says."
        yield CheckStep(title=title, outcome="failed", explanation=say)


def _last(sid: str) -> int:
    return int(sid.rpartition("-")[2])


def _protected_group(sid: str) -> str | None:
    if sid.startswith(BUILTIN):
        return BUILTIN_GROUPS.get(_last(sid))
    return DOMAIN_GROUPS.get(_last(sid)) if sid.startswith(DOMAIN) else None
