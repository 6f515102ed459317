"""RFC 4533, content synchronisation: the request we send, and what slapd's syncprov says about entries and about how far it is.

Pure; connectors.ldap.watch sends and acts. Cookies are OpenLDAP's (`rid=000,csn=…`), read only for the change sequence numbers in them.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from connectors.ldap.ber import BOOLEAN, ENUMERATED, OCTETS, SEQUENCE, SET, elements, encode, only

SYNC_REQUEST, SYNC_STATE, SYNC_DONE, SYNC_INFO = (f"1.3.6.1.4.1.4203.1.9.1.{number}" for number in (1, 2, 3, 4))
REFRESH_REQUIRED = 4096  # e-syncRefreshRequired
REFRESH_AND_PERSIST = 3
STATES: tuple[Literal["present", "add", "modify", "delete"], ...] = ("present", "add", "modify", "delete")
NEW_COOKIE, REFRESH_DELETE, REFRESH_PRESENT, ID_SET = 0x80, 0xA1, 0xA2, 0xA3
# A change sequence number: when, how many in that microsecond, which server, which operation.
CSN = re.compile(r"(\d{14})\.(\d{6})Z#([0-9a-fA-F]{6})#([0-9a-fA-F]{3})#([0-9a-fA-F]{6})")


@dataclass(frozen=True, slots=True)
class EntryState:
    """What is said of one entry: `present` was not changed; `uuid` as entryUUID writes it."""

    state: Literal["present", "add", "modify", "delete"]
    uuid: str
    cookie: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """An intermediate message. cookie: a new one, and nothing else. delete, present: the end of a phase, the whole refresh's when `is_done`. ids:
    entries that are gone (`are_gone`) or unchanged."""

    kind: Literal["cookie", "delete", "present", "ids"]
    cookie: bytes | None = None
    is_done: bool = False
    are_gone: bool = False
    uuids: tuple[str, ...] = ()


def sync_request(cookie: bytes | None) -> tuple[str, bytes]:
    """The control that asks for what changed since `cookie` (None: for everything) and then for what changes."""
    parts = [encode(ENUMERATED, bytes([REFRESH_AND_PERSIST]))]
    if cookie:
        parts.append(encode(OCTETS, cookie))
    return SYNC_REQUEST, encode(SEQUENCE, *parts)


def read_state(value: bytes) -> EntryState:
    """The Sync State control of an entry. Raises ValueError when it is none."""
    (_, state), (_, identifier), *rest = elements(only(value)[1])
    number = int.from_bytes(state, "big")
    if number >= len(STATES):
        raise ValueError("an entry's state of no known kind")
    return EntryState(STATES[number], _uuid(identifier), rest[0][1] if rest else None)


def read_info(value: bytes) -> Info:
    """The value of a Sync Info message. Raises ValueError when it is none."""
    tag, content = only(value)
    if tag == NEW_COOKIE:
        return Info(kind="cookie", cookie=content)
    parts = list(elements(content))
    cookie = next((part for kind, part in parts if kind == OCTETS), None)
    flag = next((any(part) for kind, part in parts if kind == BOOLEAN), None)
    if tag == ID_SET:
        uuids = tuple(_uuid(one) for kind, part in parts if kind == SET for _, one in elements(part))
        return Info(kind="ids", cookie=cookie, are_gone=bool(flag), uuids=uuids)
    if tag not in {REFRESH_DELETE, REFRESH_PRESENT}:
        raise ValueError("a Sync Info message of no known kind")
    kind: Literal["delete", "present"] = "delete" if tag == REFRESH_DELETE else "present"
    return Info(kind=kind, cookie=cookie, is_done=flag is not False)  # refreshDone is TRUE by default


def last_of_each_server(cookie: bytes) -> Mapping[str, str]:
    """The newest change sequence number of each server that a cookie has come up to, by the server's number."""
    found: dict[str, str] = {}
    text = cookie.decode("ascii", errors="replace")
    for part in text.split(","):
        if part.startswith("csn="):
            for match in CSN.finditer(part):
                found[match[4]] = max(match[0], found.get(match[4], ""))
    return found


def is_after(csn: str | None, last: Mapping[str, str]) -> bool:
    """Whether a change is newer than a cookie; one that cannot be read is."""
    match = CSN.fullmatch(csn or "")
    return match is None or match[0] > last.get(match[4], "")


def written_at(text: str | bytes | None) -> datetime | None:
    """The newest instant in a cookie or a change sequence number, by the directory's own clock; None when there is none."""
    if text is None:
        return None
    if isinstance(text, bytes):
        text = text.decode("ascii", errors="replace")
    newest = max((match[1] + match[2] for match in CSN.finditer(text)), default=None)
    try:
        return datetime.strptime(newest, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC) if newest else None
    except ValueError:  # the thirtieth of February
        return None


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=bytes(value)))
