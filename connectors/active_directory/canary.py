"""ActiveDirectoryCanary: the canary of a domain, disabled and enabled by the one bit of userAccountControl ([MS-ADTS] 2.2.16)."""

from collections.abc import Sequence

from connectors.active_directory.state import CONTROL
from connectors.active_directory.values import integer
from connectors.base import SourceMisbehaved
from connectors.ldap.canary import EntryCanary
from connectors.ldap.wire import Change, Entry

DISABLED = 0x2


class ActiveDirectoryCanary(EntryCanary):
    """One domain's."""

    def _disabling(self, entry: Entry) -> Sequence[Change]:
        return self._control(entry, add=DISABLED)

    def _enabling(self, entry: Entry) -> Sequence[Change]:
        return self._control(entry, take=DISABLED)

    def _control(self, entry: Entry, *, add: int = 0, take: int = 0) -> Sequence[Change]:
        read = integer(entry, CONTROL)
        if read is None:
            raise SourceMisbehaved(f"{self._name}: {CONTROL} of {entry.dn} cannot be read")
        return (Change("replace", CONTROL, (str((read | add) & ~take).encode(),)),)
