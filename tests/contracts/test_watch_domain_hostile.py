"""A controller that lets us in, and then says nonsense or odd things while it is listened to: an error, or nothing, never a departure."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.active_directory.directory import ActiveDirectory
from connectors.active_directory.values import lasting_id
from connectors.active_directory.watch import NOTIFICATION
from connectors.base import SourceMisbehaved, SourceUnreachable
from connectors.ldap.ber import OCTETS, encode
from idp.clock import SystemClock
from idp.config.directories import ActiveDirectoryDirectorySettings
from tests.support.ears import listening
from tests.support.ldap_server import IMPATIENT, PATIENT
from tests.support.nonsense_server import ASKED, done, entry, message, saying
from tests.support.samba_cast import DNS_DOMAIN, NETBIOS, PEOPLE, SERVICE, SERVICE_PASSWORD, SUFFIX

Open = Callable[..., ActiveDirectory]
ONE_ENTRY = b"\x0a\x01\x00"  # the scope of a search (RFC 4511 section 4.5.1)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """The connector on a loopback port."""
    secret = tmp_path / "service.password"
    secret.write_text(SERVICE_PASSWORD)
    made: list[ActiveDirectory] = []

    def make(port: int, **override: Any) -> ActiveDirectory:
        written: dict[str, Any] = {
            "name": "domaine",
            "type": "active-directory",
            "domain": DNS_DOMAIN,
            "netbios_name": NETBIOS,
            "servers": [f"ldap://127.0.0.1:{port}"],
            "start_tls": False,
            "bind_dn": SERVICE,
            "bind_password": f"file:{secret}",
            "base": PEOPLE,
            "old_password_window": "0m",
            "watch": {"heartbeat": "1s"},
            **override,
        }
        settings = ActiveDirectoryDirectorySettings(**written)
        made.append(ActiveDirectory(settings.name, settings, SystemClock()))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


@pytest.mark.parametrize(
    "words",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x84\xff\xff\xff\xff", entry(PEOPLE) + done(0), done(0), done(10), done(52), b""],
    ids=range(7),
)
def test_server_that_says_nonsense_is_an_error_and_never_a_departure(opened: Open, words: bytes) -> None:
    with saying(words) as port:
        directory = opened(port, **IMPATIENT)
        with pytest.raises((SourceMisbehaved, SourceUnreachable)), listening(directory) as ears:
            ears.next()


GUID = b"0123456789abcdef"
PERSON: dict[str, list[bytes]] = {"objectGUID": [GUID], "objectClass": [b"top", b"person", b"user"], "uSNChanged": [b"20"]}
ODD: list[dict[str, list[bytes]]] = [
    {},
    {**PERSON, "objectGUID": []},
    {**PERSON, "objectGUID": [GUID, b"0123456789abcdeg"]},
    {**PERSON, "objectGUID": [b"short"]},
    {**PERSON, "objectClass": [b"top", b"person", b"user", b"computer"]},
    {**PERSON, "objectClass": [b"\xff\xfe"]},
    {**PERSON, "uSNChanged": [b"3"]},  # heard long ago
]
TAKEN: list[dict[str, list[bytes]]] = [
    {**PERSON, "uSNChanged": [b"a lot"], "whenChanged": [b"yesterday"], "accountExpires": [b"\xff"]},
    {**PERSON, "uSNChanged": [b"9" * 5_000], "accountExpires": [b"9" * 30, b"-1"]},
]


def test_odd_entries_silence_nobody_and_mean_nothing_by_themselves(opened: Open) -> None:
    root = {"dsServiceName": [b"CN=NTDS"], "highestCommittedUSN": [b"10"], "invocationId": [GUID]}
    told = b"".join(entry(f"CN=x,{PEOPLE}", values=values) for values in (*ODD, *TAKEN, {**PERSON, "objectGUID": [GUID[::-1]]}))
    elsewhere = message(ASKED, encode(0x73, encode(OCTETS, b"ldap://elsewhere.example/")))

    asked: list[bytes] = []
    beats: list[bytes] = []

    def answer(request: bytes, number: bytes) -> bytes:
        if NOTIFICATION[0].encode() in request:
            asked.append(number)
            return b""  # nothing changes yet
        if any(name.encode() in request for name in root):
            return entry("", values=root) + done(0)
        if encode(OCTETS, SUFFIX.encode()) + ONE_ENTRY in request:
            beats.append(number)
            if len(beats) == 2:  # the first one is the beginning
                return (elsewhere + told).replace(ASKED, asked[0]) + done(0)
        return done(0)

    with saying(answer) as port:
        directory = opened(port, **PATIENT)
        with listening(directory) as ears:
            assert ears.next().kind == "lost"
            heard = [ears.word() for _ in range(3)]
        directory.close()
    assert [one.kind for one in heard] == ["person"] * 3
    assert [one.subject for one in heard] == [lasting_id(GUID)] * 2 + [lasting_id(GUID[::-1])]
    assert heard[0].written_at is None
