"""`vestibule connector check`, the part about listening: whether the server says by itself what changes, tried for a moment; and what to do if not.

Speaks to an operator, in plain words; changes nothing.
"""

from collections.abc import Iterator

from connectors.base import CheckStep, Clock, ConnectorError, SourceMisbehaved
from connectors.ldap.group_watch import GroupMemory
from connectors.ldap.line import Line
from connectors.ldap.listening import open_line, why_not
from connectors.ldap.persistent import persistent_search
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.sync_info import SYNC_INFO, sync_request
from connectors.ldap.watch import CHANGE_NUMBER
from connectors.ldap.wire import Wire

TITLE = "Listening"
NOTHING = "(!(objectClass=*))"  # nobody is to be read
MOST_MESSAGES = 20


def check_listening(settings: LdapSettings, pool: ServerPool, clock: Clock) -> Iterator[CheckStep]:
    """One step, two where groups hide when they were changed. Raises nothing of the family."""
    if not settings.watch.enabled:
        say = "watch.enabled is false: whoever is disabled there is noticed when the directory's last word on them is too old"
        yield CheckStep(title=TITLE, outcome="warning", explanation=say)
        return
    try:
        line = open_line(settings, pool, clock)
        try:
            _hear_something(line, settings)
        finally:
            line.close()
        how = "persistent search" if settings.lasting_id == "nsUniqueId" else "RFC 4533"
        yield CheckStep(title=TITLE, outcome="ok", explanation=f"the server says by itself what changes ({how})")
        if (
            settings.lasting_id == "entryUUID"
            and settings.groups.base is not None
            and not pool.as_service(lambda wire: _tells_when(wire, settings))
        ):
            say = f"{CHANGE_NUMBER} of groups cannot be read: after each restart of ours everybody is read again. Let the service account read it."
            yield CheckStep(title=TITLE, outcome="warning", explanation=say)
    except ConnectorError as error:
        say = f"{error.detail}. Until then whoever is disabled there is noticed when the directory's last word on them is too old."
        yield CheckStep(title=TITLE, outcome="failed", explanation=say)


def _hear_something(line: Line, settings: LdapSettings) -> None:
    """Raises SourceUnreachable or SourceMisbehaved when the server does not tell what changes."""
    is_389 = settings.lasting_id == "nsUniqueId"
    line.ask(settings.base, NOTHING, ("1.1",), controls=[persistent_search() if is_389 else sync_request(None)])
    if is_389:
        line.touch()  # it says nothing before something changes
    line.start()
    for _ in range(MOST_MESSAGES):
        received = line.next()
        message = line.read(received) if received is not None else None
        if message is not None and message.kind == "done":
            raise why_not(line, message)
        if message is None or message.name == SYNC_INFO:
            return
    raise SourceMisbehaved(f"{line.wire.address} tells of entries that were not asked for")


def _tells_when(wire: Wire, settings: LdapSettings) -> bool:
    base = settings.groups.base or settings.base
    found = wire.search(base, GroupMemory(settings.groups).filter, (CHANGE_NUMBER,), page=(settings.page_size, b""))
    return found is None or all(entry.text(CHANGE_NUMBER) for entry in found.entries)
