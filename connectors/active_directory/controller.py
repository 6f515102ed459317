"""What is read of the domain controller that is listened to, beside the listening: how far it has come, what changed since, what a group holds.

On a connection of its own to that very controller, since update sequence numbers are each controller's own ([MS-ADTS] 3.1.1.1.9). Decides nothing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from connectors.active_directory.group_links import GroupLinks
from connectors.active_directory.groups import MEMBERS_AT_ONCE, SECURITY_GROUPS
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.values import NEVER, as_ticks, integer
from connectors.base import SourceMisbehaved, SourceUnreachable
from connectors.ldap.ber import INTEGER, SEQUENCE, encode
from connectors.ldap.names import normal_name
from connectors.ldap.pool import ServerPool
from connectors.ldap.wire import Entry, Wire

SHOW_DELETED = ("1.2.840.113556.1.4.417", b"")
WITH_IDS = ("1.2.840.113556.1.4.529", encode(SEQUENCE, encode(INTEGER, b"\x01")))  # extended names, ids written as usual
EXTENDED = re.compile(r"<GUID=([0-9A-Fa-f-]{36})>;(?:<[^>]*>;)*")
CHANGED, DELETED, WHEN, CLASSES, ENDS = "uSNChanged", "isDeleted", "whenChanged", "objectClass", "accountExpires"
HEARD_ATTRIBUTES = ("objectGUID", CLASSES, CHANGED, DELETED, WHEN, ENDS)
LAST_OF_RANGE = re.compile(r"^member;range=[0-9]{1,9}-([0-9]{1,9})$")
CONTAINERS = frozenset({"organizationalunit", "container"})
EVERYTHING = "(objectClass=*)"
PEOPLE, IS_DELETED = "(objectCategory=person)", f"({DELETED}=TRUE)"
SERVICE_NAME = "dsServiceName"  # which controller it is
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a controller has come: which database of which controller, and its highest update sequence number."""

    database: str
    number: int


class Controller:
    """For one thread. Methods raise SourceUnreachable or SourceMisbehaved."""

    def __init__(self, settings: ActiveDirectorySettings, pool: ServerPool, line: Wire) -> None:
        """The one that a connection, on which nothing goes on yet, leads to. Connects at first use."""
        self._settings = settings
        self._pool = pool
        self._address = line.address
        self._service = _one(line, "", (SERVICE_NAME,)).text(SERVICE_NAME)
        self._wire: Wire | None = None

    def close(self) -> None:
        """Let go of the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.drop()

    def reached(self) -> Reached:
        """How far it has come now."""
        service = self._service
        number = integer(self._try(lambda wire: _one(wire, "", ("highestCommittedUSN",))), "highestCommittedUSN")
        if number is None or service is None:
            raise SourceMisbehaved(f"{self._address} does not say how far it has come (highestCommittedUSN)")
        raw = self._try(lambda wire: _one(wire, service, ("invocationId",))).values.get("invocationid", ())
        if not raw:
            raise SourceMisbehaved(f"{self._address}: the service account cannot read invocationId of {service}")
        return Reached(f"{self._address} {raw[0].hex()}", number)

    def changed_after(self, number: int) -> Iterator[Entry]:
        """Every entry of the domain that was written after that number, deleted ones too where they may be seen; each once, as it is now."""
        yield from self._pages(f"({CHANGED}>={number + 1})", HEARD_ATTRIBUTES, SHOW_DELETED)

    def sees_deleted(self) -> bool:
        """Whether entries that were deleted may be seen: some are; the container itself may be seen without them."""
        name = f"CN=Deleted Objects,{self._settings.domain_dn}"
        found = self._try(lambda wire: wire.search(name, IS_DELETED, ("1.1",), size_limit=2, controls=(SHOW_DELETED,)))
        return found is not None and len(found.entries) > 1

    def present(self) -> Iterator[Entry]:
        """Whoever is in the domain and looks like a person, with nothing but the lasting id."""
        yield from self._pages(PEOPLE, ("objectGUID",), None)

    def ending(self, since: datetime) -> Iterator[Entry]:
        """People whose account ends by itself, then or later, with `accountExpires`."""
        yield from self._pages(f"(&{PEOPLE}({ENDS}>={as_ticks(since)})({ENDS}<={NEVER - 1}))", ("objectGUID", ENDS), None)

    def containers(self) -> Iterator[Entry]:
        """The units and containers that people and groups are in."""
        yield from self._pages(f"(|{''.join(f'(objectClass={name})' for name in sorted(CONTAINERS))})", ("objectGUID",), None)

    def groups(self) -> Iterator[tuple[str, GroupLinks]]:
        """Every security group of the domain, with its objectGUID."""
        for entry in self._pages(SECURITY_GROUPS, self._group_attributes, WITH_IDS):
            subject = _id_in(entry.dn)
            yield subject, self._links(subject, entry)

    def group(self, subject: str) -> GroupLinks | None:
        """A security group as it is now; None when there is none."""
        base = f"<GUID={subject}>"
        found = self._try(lambda wire: wire.search(base, SECURITY_GROUPS, self._group_attributes, depth="base", controls=(WITH_IDS,)))
        return self._links(subject, found.entries[0]) if found and found.entries else None

    @property
    def _group_attributes(self) -> tuple[str, ...]:
        return (self._settings.groups.name, _range_from(0))

    def _links(self, subject: str, entry: Entry) -> GroupLinks:
        names = frozenset(name.lower() for name in entry.texts(self._settings.groups.name)) | {normal_name(EXTENDED.sub("", entry.dn))}
        members: set[str] = set()
        read: Entry | None = entry
        first = 0
        while read is not None:
            name = next((name for name in read.values if name == "member" or name.startswith("member;range=")), None)
            if name is None:
                break
            members.update(_id_in(value.decode(errors="replace")) for value in read.values[name])
            last = LAST_OF_RANGE.search(name)
            if last is None:  # all of them, or a range that ends with *
                break
            if int(last[1]) < first:
                raise SourceMisbehaved(f"{self._address}: the members of {entry.dn} are given in ranges that lead nowhere")
            first = int(last[1]) + 1
            read = self._more(subject, first)
        return GroupLinks(names, frozenset(members))

    def _more(self, subject: str, first: int) -> Entry | None:
        wanted = (_range_from(first),)
        found = self._try(lambda wire: wire.search(f"<GUID={subject}>", EVERYTHING, wanted, depth="base", controls=(WITH_IDS,)))
        return found.entries[0] if found and found.entries else None

    def _pages(self, search_filter: str, attributes: tuple[str, ...], control: tuple[str, bytes] | None) -> Iterator[Entry]:
        base, size, cookie = self._settings.domain_dn, self._settings.page_size, b""
        controls = () if control is None else (control,)
        wire = self._open()
        while True:
            # Not tried again: a cookie is of one connection. Whoever listens begins again.
            found = wire.search(base, search_filter, attributes, page=(size, cookie), controls=controls)
            if found is None or found.is_cut:
                raise SourceMisbehaved(f"{self._address}: {base} cannot be read as a whole")
            yield from found.entries
            if not (cookie := found.cookie):
                return

    def _open(self) -> Wire:
        """One that is bound, and answers: an idle one may have been closed meanwhile."""
        self._try(lambda wire: wire.search("", EVERYTHING, ("1.1",), depth="base"))
        assert self._wire is not None  # noqa: S101  # it has just answered
        return self._wire

    def _try(self, act: Callable[[Wire], T]) -> T:
        """Once more on a fresh connection when the idle one was closed."""
        is_fresh = self._wire is None
        try:
            return act(self._connected())
        except SourceUnreachable as error:
            self.close()
            if is_fresh or error.trouble != "closed":
                raise
        return act(self._connected())

    def _connected(self) -> Wire:
        if self._wire is None:
            wire = self._pool.open_at(self._address)
            try:
                self._pool.bind_service(wire)
                self._refuse_another(wire)
            except BaseException:
                wire.drop()
                raise
            self._wire = wire
        return self._wire

    def _refuse_another(self, wire: Wire) -> None:
        """Raises SourceMisbehaved when the same address leads to another controller now: numbers of the one say nothing of the other."""
        if _one(wire, "", (SERVICE_NAME,)).text(SERVICE_NAME) != self._service:
            raise SourceMisbehaved(f"{self._address} is several controllers: write each of them in `servers`, by its own name")


def _one(wire: Wire, base: str, attributes: tuple[str, ...]) -> Entry:
    found = wire.search(base, EVERYTHING, attributes, depth="base")
    if not found or not found.entries:
        raise SourceMisbehaved(f"{wire.address}: the service account cannot read {base or 'what the controller says of itself'}")
    return found.entries[0]


def _range_from(first: int) -> str:
    return f"member;range={first}-{first + MEMBERS_AT_ONCE - 1}"


def _id_in(extended: str) -> str:
    match = EXTENDED.match(extended)
    if match is None:
        raise SourceMisbehaved("a controller gives names without ids though it was asked for them (extended DN)")
    return match[1].lower()
