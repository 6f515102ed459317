"""Who the members of a group are: from their names, or their logins, to lasting ids.

Asked of the very server that said that the group changed (another may not know yet), on a connection of its own, only when there is somebody to ask
for. A name that nobody has concerns nobody: membership goes by what an entry is called now, and whoever was renamed or deleted is heard of anyway.
"""

from collections.abc import Iterable

from connectors.base import SourceMisbehaved, SourceUnreachable
from connectors.ldap.address import ServerAddress
from connectors.ldap.filters import escape
from connectors.ldap.group_watch import GroupChange
from connectors.ldap.people import LdapPeople
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.wire import Wire

MOST_ASKED = 50  # each is a question; for more, whoever is concerned is found from our side
NAMESAKES = 5


class Whom:
    """For one thread."""

    def __init__(self, settings: LdapSettings, pool: ServerPool, address: ServerAddress, *, people: LdapPeople) -> None:
        self._settings = settings
        self._pool = pool
        self._address = address
        self._people = people
        self._wire: Wire | None = None

    def of(self, change: GroupChange) -> frozenset[str] | None:
        """The lasting ids of those whom a change concerns; None when there are too many to ask for, or it cannot be told.

        Raises SourceUnreachable.
        """
        if change.members is None or change.logins is None or len(change.members) + len(change.logins) > MOST_ASKED:
            return None
        if not change.members and not change.logins:
            return frozenset()
        try:
            return self._ask(change.members, change.logins)
        except SourceUnreachable as error:
            self.close()
            if error.trouble != "closed":
                raise
        except SourceMisbehaved:
            return None  # a name that is none, or a limit
        return self._ask(change.members, change.logins)  # it was closed for having been idle

    def close(self) -> None:
        """Let go of the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.drop()

    def _ask(self, members: Iterable[str], logins: Iterable[str]) -> frozenset[str]:
        if self._wire is None:
            self._wire = self._pool.open_at(self._address)
            self._pool.bind_service(self._wire)
        lasting_id = self._people.lasting_id
        found: set[str | None] = set()
        for name in members:
            entries = self._wire.search(name, "(objectClass=*)", (lasting_id,), depth="base")
            found.update(self._people.subject(entry) for entry in (entries.entries if entries else ()))
        username = self._settings.attributes.username
        for login in logins if username else ():
            entries = self._wire.search(self._settings.base, f"({username}={escape(login)})", (lasting_id,), size_limit=NAMESAKES)
            found.update(self._people.subject(entry) for entry in (entries.entries if entries else ()))
        return frozenset(subject for subject in found if subject is not None)
