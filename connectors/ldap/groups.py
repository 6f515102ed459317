"""Who is in which groups, groups within groups included, never more than `depth` levels and never in circles.

Two ways: for one person, one search a level; for everybody, all groups read once and turned round. memberOf is not needed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from connectors.base import SourceMisbehaved
from connectors.ldap.filters import Inverse, escape, invert, presence
from connectors.ldap.names import normal_name
from connectors.ldap.settings import LdapGroups
from connectors.ldap.wire import Entry, Wire

NAMES_AT_ONCE = 50
NO_USERNAME = "\\00"  # no login is this: what a group, or a person without one, is asked by
Reader = Callable[[str, str, Sequence[str]], Iterator[Entry]]  # base, filter and attributes to entries, page by page


@dataclass(frozen=True, slots=True)
class _Group:
    dn: str  # as the server wrote it
    key: str  # as it is compared
    names: frozenset[str]


class Groups:
    """The groups of a directory, as its settings say to find them."""

    def __init__(self, settings: LdapGroups) -> None:
        """Raises ValueError when the filter is not one."""
        self._settings = settings
        self._inverse = invert(settings.filter)
        self._presence = presence(settings.filter)
        self._nests = "{dn}" in settings.filter

    def of(self, wire: Wire, person: Entry, username: str | None) -> frozenset[str]:
        """The names and distinguished names, in lower case, of the groups that hold an entry."""
        base = self._settings.base
        if base is None:
            return frozenset()
        seen: dict[str, _Group] = {}
        filters = [self._holding(person.dn, username)]
        for _ in range(self._settings.depth):
            fresh: list[_Group] = []
            for batch in _batches(filters):
                search_filter = batch[0] if len(batch) == 1 else f"(|{''.join(batch)})"
                found = wire.search(base, search_filter, (self._settings.name,))
                if found is None:
                    raise SourceMisbehaved(f"{wire.address}: the groups' base {base} is not there")
                if found.is_cut:
                    raise SourceMisbehaved(f"{wire.address}: the size limit hides groups: raise it for the service account")
                for entry in found.entries:
                    group = self._group(entry)
                    if group.key not in seen:
                        seen[group.key] = group
                        fresh.append(group)
            if not fresh or not self._nests:
                break
            filters = [self._holding(group.dn, None) for group in fresh]
        return _all_names(seen.values())

    def refuse_blindness(self, wire: Wire) -> None:
        """Raises SourceMisbehaved when no group with a member is visible at all: then that somebody is in none says nothing of them."""
        base = self._settings.base
        if base is None or self._presence is None:
            return
        found = wire.search(base, self._presence, ("1.1",), size_limit=1)
        if found is None or not found.entries:
            raise self._blind()

    def everybody(self, read: Reader) -> "Membership | None":
        """Who is in what, from one reading of all groups; None when the filter cannot be turned round and each person must be asked for.

        Raises SourceMisbehaved when no group has a member.
        """
        if self._settings.base is None:
            return Membership({}, {}, {}, 0)
        if self._inverse is None:
            return None
        return self._turn_round(self._inverse, self._settings.base, read)

    def _turn_round(self, inverse: Inverse, base: str, read: Reader) -> "Membership":
        names: dict[str, frozenset[str]] = {}
        by_dn: dict[str, list[str]] = {}
        by_username: dict[str, list[str]] = {}
        attributes = (self._settings.name, *inverse.dn_attributes, *inverse.username_attributes)
        for entry in read(base, inverse.filter, attributes):
            group = self._group(entry)
            names[group.key] = group.names
            for attribute in inverse.dn_attributes:
                for member in entry.texts(attribute):
                    by_dn.setdefault(normal_name(member), []).append(group.key)
            for attribute in inverse.username_attributes:
                for member in entry.texts(attribute):
                    by_username.setdefault(member.lower(), []).append(group.key)
        if not by_dn and not by_username:
            raise self._blind()
        return Membership(names, by_dn, by_username, self._settings.depth)

    def _blind(self) -> SourceMisbehaved:
        return SourceMisbehaved(
            f"no group with members is visible under {self._settings.base}: the service account may have lost sight of groups or of their members, "
            "or groups.base or groups.filter is wrong (where groups are not used, leave groups.base out)"
        )

    def _holding(self, dn: str, username: str | None) -> str:
        return self._settings.filter.replace("{dn}", escape(dn)).replace("{username}", escape(username) if username else NO_USERNAME)

    def _group(self, entry: Entry) -> _Group:
        key = normal_name(entry.dn)
        return _Group(entry.dn, key, frozenset(name.lower() for name in entry.texts(self._settings.name)) | {key})


class Membership:
    """Every group with its members, to be asked for many people."""

    def __init__(
        self, names: dict[str, frozenset[str]], by_dn: dict[str, list[str]], by_username: dict[str, list[str]], depth: int
    ) -> None:
        self._names = names
        self._by_dn = by_dn
        self._by_username = by_username
        self._depth = depth

    def of(self, person: Entry, username: str | None) -> frozenset[str]:
        """As Groups.of."""
        level = {*self._by_dn.get(normal_name(person.dn), ()), *self._by_username.get((username or "").lower(), ())}
        seen = set(level)
        for _ in range(self._depth - 1):
            level = {parent for key in level for parent in self._by_dn.get(key, ())} - seen
            if not level:
                break
            seen |= level
        return frozenset[str]().union(*(self._names[key] for key in seen))


def _all_names(groups: Iterable[_Group]) -> frozenset[str]:
    return frozenset[str]().union(*(group.names for group in groups))


def _batches(filters: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(filters), NAMES_AT_ONCE):
        yield filters[start : start + NAMES_AT_ONCE]
