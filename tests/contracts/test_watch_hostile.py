"""A server that lets us in, and then says nonsense while it is listened to: each time an error of the family, never a hang, never a departure."""

from pathlib import Path

import pytest

from connectors.base import SourceMisbehaved, SourceUnreachable
from connectors.ldap.ber import ENUMERATED, OCTETS, SEQUENCE, encode
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.sync_info import SYNC_INFO, SYNC_STATE
from idp.clock import SystemClock
from idp.config.directories import LdapDirectorySettings
from tests.support import nonsense_server
from tests.support.ears import listening
from tests.support.nonsense_server import ASKED, FINE, done, message, saying
from tests.support.slapd import PEOPLE, SERVICE, SERVICE_PASSWORD


def control(name: str, value: bytes) -> bytes:
    return encode(0xA0, encode(SEQUENCE, encode(OCTETS, name.encode()), encode(OCTETS, value)))


def entry(*controls: bytes) -> bytes:
    return nonsense_server.entry(f"uid=x,{PEOPLE}", *controls)


def note(value: bytes) -> bytes:
    return message(ASKED, encode(0x79, encode(0x80, SYNC_INFO.encode()), encode(0x81, value)))


def opened(port: int, folder: Path, *, receive_timeout: str = "20s") -> LdapDirectory:
    secret = folder / "service.password"
    secret.write_text(SERVICE_PASSWORD)
    settings = LdapDirectorySettings(
        name="annuaire",
        type="ldap",
        servers=[f"ldap://127.0.0.1:{port}"],
        start_tls=False,
        bind_dn=SERVICE,
        bind_password=f"file:{secret}",
        base=PEOPLE,
        receive_timeout=receive_timeout,
        watch={"heartbeat": "1s"},
    )
    return LdapDirectory(settings.name, settings, SystemClock())


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80\x00\x00",
        message(ASKED),
        encode(SEQUENCE, b"\x04\x01a"),
        entry(),
        entry(control(SYNC_STATE, b"\x00")),
        entry(control(SYNC_STATE, encode(SEQUENCE, encode(ENUMERATED, b"\x01"), encode(OCTETS, b"short")))),
        note(b""),
        note(b"\x85\x00"),
        note(encode(0xA3, encode(0x31, encode(OCTETS, b"short")))),
        message(ASKED, encode(0x64, b"\x01")),
        message(ASKED, encode(0x79, b"\x99\x01")),
        done(0),
        done(12),
        done(32),
        done(4),
        done(9999),
    ],
    ids=range(18),
)
def test_nonsense_is_refused(tmp_path: Path, words: bytes) -> None:
    with saying(words) as port:
        directory = opened(port, tmp_path)
        try:
            # From a place: without one, what is said of each person is not even looked at.
            place = b'{"people": "rid=000,csn=x", "groups": "", "fingerprint": "00000000000000000000000000000000"}'
            with pytest.raises(SourceMisbehaved) as refused, listening(directory, place) as ears:
                ears.next()
            assert SERVICE_PASSWORD not in refused.value.detail
        finally:
            directory.close()


@pytest.mark.parametrize(
    "words",
    [b"", b"\x30\x50\x02", done(52), message(b"\x00", encode(0x78, *FINE, encode(0x8A, b"1.3.6.1.4.1.1466.20036")))],
    ids=["silence", "half a message", "unavailable", "notice of disconnection"],
)
def test_server_that_falls_silent_or_goes_is_unreachable(tmp_path: Path, words: bytes) -> None:
    with saying(words) as port:
        directory = opened(port, tmp_path, receive_timeout="1s")  # made to hang on purpose
        try:
            with pytest.raises(SourceUnreachable), listening(directory) as ears:
                ears.next()
        finally:
            directory.close()
