"""Who is in which security groups of a domain, groups within groups and the primary group included.

Two ways: for one person, what the controller itself works out (tokenGroups); for everybody, all groups read once and turned round. Sources: [MS-ADTS]
3.1.1.4.5.19 (tokenGroups), 3.1.1.3.1.3.3 (ranges of values: a controller gives 1,500 members at once).
"""

from collections.abc import Iterator, Sequence

from connectors.active_directory.values import integer, sibling
from connectors.base import SourceMisbehaved
from connectors.ldap.filters import escape_bytes
from connectors.ldap.groups import Reader
from connectors.ldap.names import normal_name
from connectors.ldap.settings import EntryGroups
from connectors.ldap.wire import Entry, Wire

SECURITY_GROUPS = "(&(objectCategory=group)(groupType:1.2.840.113556.1.4.803:=2147483648))"
WITH_MEMBERS = "(&(objectCategory=group)(member=*))"
IDS_AT_ONCE = 50
MEMBERS_AT_ONCE = 1_000
DEEPEST = 100  # of groups within groups: as good as no limit
SEEN, SID = "tokengroups", "objectsid"


class Groups:
    """The groups of a domain."""

    def __init__(self, settings: EntryGroups, domain_dn: str) -> None:
        self._base = settings.base
        self._name = settings.name
        self._domain_dn = domain_dn

    def of(self, wire: Wire, person: Entry, username: str | None) -> frozenset[str]:
        """The names and distinguished names, in lower case, of the groups under the base that hold an entry."""
        if self._base is None:
            return frozenset()
        found = wire.search(person.dn, "(objectClass=*)", ("tokenGroups",), depth="base")
        ids = found.entries[0].values.get(SEEN, ()) if found and found.entries else ()
        if not ids:  # everybody has a primary group
            raise SourceMisbehaved(
                f"{wire.address}: the service account cannot read tokenGroups of {person.dn}: "
                "put it into the group Windows Authorization Access Group"
            )
        names: set[str] = set()
        for start in range(0, len(ids), IDS_AT_ONCE):
            wanted = "".join(f"(objectSid={escape_bytes(one)})" for one in ids[start : start + IDS_AT_ONCE])
            groups = wire.search(self._base, f"(&{SECURITY_GROUPS}(|{wanted}))", (self._name,))
            if groups is None:
                raise SourceMisbehaved(f"{wire.address}: the groups' base {self._base} is not there")
            for entry in groups.entries:
                names |= _names(entry, self._name)
        return frozenset(names)

    def refuse_blindness(self, wire: Wire) -> None:
        """Raises SourceMisbehaved when no group with a member is visible at all: then that somebody is in none says nothing of them."""
        if self._base is None:
            return
        found = wire.search(self._base, WITH_MEMBERS, ("1.1",), size_limit=1)
        if found is None or not found.entries:
            raise self._blind()

    def everybody(self, read: Reader) -> "Membership":
        """Who is in what, from one reading of all groups. Raises SourceMisbehaved when no group has a member."""
        if self._base is None:
            return Membership({}, {}, {})
        below = normal_name(self._base)
        names: dict[str, frozenset[str]] = {}
        by_dn: dict[str, list[str]] = {}
        by_sid: dict[bytes, str] = {}
        # A group may hold another through one that is elsewhere in the domain.
        groups = list(read(self._domain_dn, SECURITY_GROUPS, (self._name, "objectSid", f"member;range=0-{MEMBERS_AT_ONCE - 1}")))
        for entry in groups:
            key = normal_name(entry.dn)
            names[key] = _names(entry, self._name) if key == below or key.endswith(f",{below}") else frozenset()
            for sid in entry.values.get(SID, ()):
                by_sid[sid] = key
            for member in _members(entry, read):
                by_dn.setdefault(normal_name(member), []).append(key)
        if not by_dn or not any(names.values()):
            raise self._blind()
        return Membership(names, by_dn, by_sid)

    def _blind(self) -> SourceMisbehaved:
        return SourceMisbehaved(
            f"no group with members is visible under {self._base}: the service account may have lost sight of groups or of their members, "
            "or groups.base is wrong (where groups are not used, leave groups.base out)"
        )


class Membership:
    """Every group with its members, to be asked for many people."""

    def __init__(self, names: dict[str, frozenset[str]], by_dn: dict[str, list[str]], by_sid: dict[bytes, str]) -> None:
        self._names = names
        self._by_dn = by_dn
        self._by_sid = by_sid

    def of(self, person: Entry, username: str | None) -> frozenset[str]:
        """As Groups.of."""
        level = set(self._by_dn.get(normal_name(person.dn), ()))
        sid, primary = person.values.get(SID, ()), integer(person, "primaryGroupID")
        if sid and primary is not None and (key := self._by_sid.get(sibling(sid[0], primary))) is not None:
            level.add(key)
        seen = set(level)
        for _ in range(DEEPEST):
            level = {parent for key in level for parent in self._by_dn.get(key, ())} - seen
            if not level:
                break
            seen |= level
        return frozenset[str]().union(*(self._names[key] for key in seen))


def _names(entry: Entry, attribute: str) -> frozenset[str]:
    return frozenset(name.lower() for name in entry.texts(attribute)) | {normal_name(entry.dn)}


def _members(group: Entry, read: Reader) -> Iterator[str]:
    """All members, range by range."""
    entry: Entry | None = group
    while entry is not None:
        name = next((name for name in entry.values if name == "member" or name.startswith("member;range=")), None)
        if name is None:
            return
        yield from entry.texts(name)
        last = name.partition("-")[2]
        if not last.isdecimal():  # `member` alone, or a range that ends with *
            return
        first = int(last) + 1
        entry = _range(group, first, read)


def _range(group: Entry, first: int, read: Reader) -> Entry | None:
    attributes: Sequence[str] = (f"member;range={first}-{first + MEMBERS_AT_ONCE - 1}",)
    return next((entry for entry in read(group.dn, "(objectCategory=group)", attributes) if entry.dn == group.dn), None)
