"""What every group of a domain holds, by objectGUID, kept in memory while the domain is listened to, so that a group's change says whom it concerns.

By lasting ids, not by names: a controller renames a member in its groups without a word about them. Owns the difference and groups within groups;
controller.py reads, watch.py listens.
"""

import hashlib
from dataclasses import dataclass

MOST_NAMED = 50  # for more, whoever is concerned is found from our side
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GroupLinks:
    """A security group: what it is called (Identity.groups), and the objectGUID of each direct member."""

    names: frozenset[str]
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class LinksChange:
    """Whom a change concerns, groups within the group included; None: too many to be asked for one by one. `names`: of it and of all that hold it."""

    names: frozenset[str]
    subjects: frozenset[str] | None


class LinkMemory:
    """The security groups of one domain, by objectGUID. For one thread."""

    def __init__(self) -> None:
        self._groups: dict[str, GroupLinks] = {}
        self._print = 0

    @property
    def fingerprint(self) -> str:
        """The same as long as there are the same groups with the same names, whoever is in them."""
        return f"{self._print:032x}"

    def knows(self, subject: str) -> bool:
        """Whether it is a group."""
        return subject in self._groups

    def names_around(self, subject: str) -> frozenset[str]:
        """The names of a group and of every group that it is in; none when it is not known."""
        group = self._groups.get(subject)
        return NOBODY if group is None else group.names | self._holders(subject)

    def load(self, subject: str, after: GroupLinks | None) -> None:
        """A group as it is; None: it is no more, or no security group."""
        before = self._groups.pop(subject, None)
        self._print ^= _digest(subject, before) ^ _digest(subject, after)
        if after is not None:
            self._groups[subject] = after

    def put(self, subject: str, after: GroupLinks | None) -> LinksChange | None:
        """The same, and whom that concerns; None when nobody."""
        before = self._groups.get(subject)
        if before == after:
            return None
        held = NOBODY if before is None else before.members
        holds = NOBODY if after is None else after.members
        is_as_before = before is not None and after is not None and before.names == after.names
        names = self.names_around(subject)
        concerned = self._people(held ^ holds if is_as_before else held | holds)
        self.load(subject, after)
        return LinksChange(names | self.names_around(subject), concerned if len(concerned) <= MOST_NAMED else None)

    def _people(self, members: frozenset[str]) -> frozenset[str]:
        """Members, and those of the groups among them, however deep; the groups themselves are nobody."""
        level, seen = set(members), set(members)
        while level := {one for key in level if key in self._groups for one in self._groups[key].members} - seen:
            seen |= level
        return frozenset(seen - self._groups.keys())

    def _holders(self, subject: str) -> frozenset[str]:
        """The names of every group that a group is in."""
        level, seen = {subject}, {subject}
        names: set[str] = set()
        while level:
            holders = {key for key, group in self._groups.items() if not level.isdisjoint(group.members)}
            names.update(*(self._groups[key].names for key in holders))
            level = holders - seen
            seen |= level
        return frozenset(names)


def _digest(subject: str, group: GroupLinks | None) -> int:
    if group is None:
        return 0
    said = "\n".join((subject, *sorted(group.names))).encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:16], "big")
