"""What every group holds, kept in memory while a directory is listened to, so that a group's change says whom it concerns.

A directory that pushes a group says all of its members, not who came or left: that is the difference to what was known. Owns that difference, and
groups within groups; connectors.ldap.watch listens and asks who the names are.
"""

import hashlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from connectors.ldap.filters import Inverse, invert
from connectors.ldap.names import normal_name
from connectors.ldap.settings import LdapGroups
from connectors.ldap.wire import Entry

# Only names with none of these are the same as their normal form but for capitals.
UNUSUAL = re.compile(r"[\\+\"<>;#]|  |[ ][,=]|[,=][ ]|^ | $")
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GroupContent:
    """A group: its own name, the names it is known by (Identity.groups), and its members by their names or by their logins."""

    key: str
    names: frozenset[str]
    members: frozenset[str]
    logins: frozenset[str]


@dataclass(frozen=True, slots=True)
class GroupChange:
    """Whom a change of a group concerns, groups within it included: `members` and `logins`; None when that cannot be told.

    `names`: of the group before and after, and of every group that it is in.
    """

    names: frozenset[str]
    members: frozenset[str] | None
    logins: frozenset[str] | None


class GroupMemory:
    """The groups of one directory, by lasting id. For one thread."""

    def __init__(self, settings: LdapGroups) -> None:
        self._settings = settings
        self._inverse: Inverse | None = invert(settings.filter)
        self._groups: dict[str, GroupContent] = {}
        self._by_key: dict[str, str] = {}
        self._print = 0

    @property
    def filter(self) -> str:
        """Finds every group with a member; every entry, where the settings' filter does not say what a member is."""
        return self._inverse.filter if self._inverse else "(objectClass=*)"

    @property
    def attributes(self) -> tuple[str, ...]:
        """What `put` reads of an entry."""
        held = (*self._inverse.dn_attributes, *self._inverse.username_attributes) if self._inverse else ()
        return (self._settings.name, *held)

    @property
    def fingerprint(self) -> str:
        """The same as long as there are the same groups with the same names, whoever is in them."""
        return f"{self._print:032x}"

    def knows(self, subject: str) -> bool:
        """Whether it is a group."""
        return subject in self._groups

    def load(self, subject: str, entry: Entry) -> None:
        """A group as it is, at the beginning."""
        self._replace(subject, self._groups.get(subject), self._content(entry))

    def names_around(self, subject: str) -> frozenset[str]:
        """The names of a group and of every group that it is in; none when it is not known."""
        group = self._groups.get(subject)
        return NOBODY if group is None else group.names | self._holders(group.key)

    def put(self, subject: str, entry: Entry) -> GroupChange | None:
        """A group as it is now; whom that concerns, None when nobody."""
        after = self._content(entry)
        before = self._groups.get(subject)
        self._replace(subject, before, after)
        if before is None:
            return self._change(GroupContent(after.key, NOBODY, NOBODY, NOBODY), after)
        if before == after and self._inverse is not None:
            return None
        return self._change(before, after)

    def remove(self, subject: str) -> GroupChange | None:
        """A group that is no more; None when it was not known."""
        before = self._groups.get(subject)
        if before is None:
            return None
        change = self._change(before, GroupContent(before.key, NOBODY, NOBODY, NOBODY))
        self._replace(subject, before, None)
        return change

    def _change(self, before: GroupContent, after: GroupContent) -> GroupChange:
        names = before.names | after.names | self._holders(before.key) | self._holders(after.key)
        if self._inverse is None:
            return GroupChange(names, None, None)
        is_renamed = before.names != after.names or before.key != after.key
        members = before.members | after.members if is_renamed else before.members ^ after.members
        logins = before.logins | after.logins if is_renamed else before.logins ^ after.logins
        inner = [self._groups[self._by_key[key]] for key in self._within(members)]
        everybody = members.union(*(group.members for group in inner))
        return GroupChange(
            names, frozenset(key for key in everybody if key not in self._by_key), logins.union(*(group.logins for group in inner))
        )

    def _content(self, entry: Entry) -> GroupContent:
        key = name_key(entry.dn)
        names = frozenset(name.lower() for name in entry.texts(self._settings.name)) | {normal_name(entry.dn)}
        if self._inverse is None:
            return GroupContent(key, names, NOBODY, NOBODY)
        members = frozenset(name_key(name) for attribute in self._inverse.dn_attributes for name in entry.texts(attribute))
        logins = frozenset(name.lower() for attribute in self._inverse.username_attributes for name in entry.texts(attribute))
        return GroupContent(key, names, members, logins)

    def _replace(self, subject: str, before: GroupContent | None, after: GroupContent | None) -> None:
        self._print ^= _digest(subject, before) ^ _digest(subject, after)
        if before is not None and self._by_key.get(before.key) == subject:
            del self._by_key[before.key]
        if after is None:
            self._groups.pop(subject, None)
        else:
            self._groups[subject] = after
            self._by_key[after.key] = subject

    def _within(self, members: Iterable[str]) -> set[str]:
        """The groups among members, and those in them, as deep as the settings go."""
        level = {key for key in members if key in self._by_key}
        seen = set(level)
        for _ in range(self._settings.depth - 1):
            level = {key for outer in level for key in self._groups[self._by_key[outer]].members if key in self._by_key} - seen
            if not level:
                break
            seen |= level
        return seen

    def _holders(self, key: str) -> frozenset[str]:
        """The names of every group that a group is in."""
        level, seen = {key}, {key}
        names: set[str] = set()
        for _ in range(self._settings.depth - 1):
            holders = [group for group in self._groups.values() if not level.isdisjoint(group.members)] if level else []
            names.update(*(group.names for group in holders))
            level = {group.key for group in holders} - seen
            seen |= level
        return frozenset(names)


def name_key(dn: str) -> str:
    """A distinguished name as it is compared (normal_name), made quickly where it is written plainly, and one string for all who name it."""
    return sys.intern(normal_name(dn) if UNUSUAL.search(dn) else dn.lower())


def _digest(subject: str, group: GroupContent | None) -> int:
    if group is None:
        return 0
    said = "\n".join((subject, *sorted(group.names))).encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:16], "big")
