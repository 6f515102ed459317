"""What EntryDirectory asks of each kind of directory: its password policies, and who is in which groups. Shapes alone; implemented by policies.py and
groups.py here and in connectors.active_directory.
"""

from typing import Protocol

from connectors.base import Exposure
from connectors.ldap.groups import Reader
from connectors.ldap.wire import Entry, Wire


class AccountPolicies(Protocol):
    """What a directory's password policies say of an entry (None: of nobody, which costs as much)."""

    def of(self, entry: Entry | None) -> object:
        """The policy of an entry."""
        ...

    def exposure(self, entry: Entry | None) -> Exposure:
        """How near the directory is to locking an entry, as it was read."""
        ...

    def look(self, entry: Entry | None) -> Exposure:
        """The same, read again. Raises SourceMisbehaved when the entry has gone meanwhile."""
        ...


class Membership(Protocol):
    """Every group with its members, to be asked for many people."""

    def of(self, person: Entry, username: str | None) -> frozenset[str]:
        """The names and distinguished names, in lower case, of the groups that hold an entry."""
        ...


class GroupReader(Protocol):
    """Who is in which groups."""

    def of(self, wire: Wire, person: Entry, username: str | None) -> frozenset[str]:
        """The names and distinguished names, in lower case, of the groups that hold an entry."""
        ...

    def refuse_blindness(self, wire: Wire) -> None:
        """Raises SourceMisbehaved when no group with a member is visible at all."""
        ...

    def everybody(self, read: Reader) -> Membership | None:
        """Who is in what, from one reading of all groups; None when each person must be asked for."""
        ...
