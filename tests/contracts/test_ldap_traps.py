"""The traps of ldap3 2.9.1, each shown to be there (so that we hear of it when it goes) and shut by us; and no password in any text."""

import io
import logging
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import ConnectorError, SourceMisbehaved, SourceUnreachable
from connectors.ldap.address import parse_server
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.filters import escape
from connectors.ldap.wire import Wire, ldap3
from tests.support.ldap_server import IMPATIENT
from tests.support.processes import free_port
from tests.support.slapd import LIMITS, PASSWORD, PEOPLE, ROOT_PASSWORD, SERVICE, SERVICE_PASSWORD, Slapd

BRIEF = timedelta(seconds=4)
TYPED = "Typed-Secret-Lagune-88"
NEW = "New-Secret-Lagune-99"
SHORT = "court-7x"


@pytest.fixture
def directory(slapd: Slapd) -> Iterator[LdapDirectory]:
    directory = slapd.directory()
    yield directory
    directory.close()


def clear_wire(port: int) -> Wire:
    address = parse_server(f"ldap://127.0.0.1:{port}", start_tls=False)
    return Wire(address, None, connect_timeout=BRIEF, receive_timeout=BRIEF)


def test_trap_tls_is_not_verified_by_default(slapd: Slapd, tmp_path: Path) -> None:
    """Ours is: tests/contracts/test_ldap_tls.py."""
    server = ldap3.Server("127.0.0.1", port=slapd.tls_port, use_ssl=True, get_info=ldap3.NONE)
    connection = ldap3.Connection(server, SERVICE, SERVICE_PASSWORD, client_strategy=ldap3.SAFE_SYNC, check_names=False)
    assert connection.bind()[0], "any certificate is taken"
    connection.unbind()


def test_trap_representations_hold_the_password(slapd: Slapd) -> None:
    connection = ldap3.Connection(ldap3.Server("127.0.0.1", port=slapd.port, get_info=ldap3.NONE), SERVICE, TYPED)
    assert TYPED in repr(connection)
    wire = clear_wire(slapd.port)
    wire.bind(SERVICE, SERVICE_PASSWORD.encode())
    assert not any(SERVICE_PASSWORD in text for text in _everything_kept(wire))
    wire.close()


def _everything_kept(wire: Wire) -> list[str]:
    """What a debugger, a crash report or a careless log line would show of a connection of ours."""
    connection: Any = vars(wire)["_connection"]
    return [
        repr(wire),
        repr(vars(wire)),
        repr(connection),
        repr(vars(connection)),
        repr(vars(connection.strategy)),
        repr(vars(connection.server)),
    ]


def test_nothing_that_was_typed_is_kept_by_a_connection(slapd: Slapd) -> None:
    """Neither the password of a bind that was never answered, nor the password that somebody typed where the login belongs."""
    wire = clear_wire(slapd.port)
    wire.bind(SERVICE, SERVICE_PASSWORD.encode())
    wire.search(PEOPLE, f"(uid={SHORT})", ("uid",))
    assert not any(SHORT in text for text in _everything_kept(wire))
    slapd.hang()
    with pytest.raises(SourceUnreachable):
        wire.bind(SERVICE, TYPED.encode())
    assert not any(TYPED in text for text in _everything_kept(wire))
    slapd.resume()
    wire.drop()


@pytest.fixture(scope="module")
def unsearchable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A server that answers every search by an odd result code."""
    server = Slapd(tmp_path_factory.mktemp("unsearchable"), limits=f"{LIMITS}\nrestrict search")
    server.start()
    yield server
    server.stop()


def test_a_password_typed_as_identifier_is_in_no_text(unsearchable: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    directory = unsearchable.directory()
    for ask in (lambda: directory.authenticate(SHORT, PASSWORD), lambda: directory.look_up(SHORT)):
        with pytest.raises(SourceMisbehaved, match="result code 53") as caught:
            ask()
        text = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
        assert PEOPLE in text
        assert not any(typed in text for typed in (SHORT, escape(SHORT), SHORT[:5]))
    directory.close()


@pytest.mark.parametrize("code", [1, 2, 3, 11, 13, 21, 51, 52, 53, 80])
def test_what_a_server_says_of_a_search_is_not_repeated(code: int) -> None:
    """It may quote the filter."""
    said = f"cannot look for (uid={SHORT})".encode()
    done = b"\x65" + bytes([len(said) + 7]) + b"\x0a\x01" + bytes([code]) + b"\x04\x00\x04" + bytes([len(said)]) + said

    def respond(message: bytes) -> bytes:
        number = message[message.index(b"\x02") :][:6]
        number = number[: 2 + number[1]]
        return b"\x30" + bytes([len(number) + len(done)]) + number + done

    with answering(respond, []) as port:
        wire = clear_wire(port)
        with pytest.raises((SourceMisbehaved, SourceUnreachable)) as caught:
            wire.search(PEOPLE, f"(uid={SHORT})", ("uid",))
        wire.drop()
    assert type(caught.value) is (SourceUnreachable if code in {1, 13, 51, 52, 80} else SourceMisbehaved)
    assert SHORT not in "".join(traceback.format_exception(caught.value))


def test_trap_referrals_carry_the_password_to_strangers(slapd: Slapd) -> None:
    """A server that answers every bind with a referral: ldap3 left alone follows it, we do not."""
    visits: list[bytes] = []
    with stranger(visits) as stranger_port, referring(stranger_port) as port:
        wire = clear_wire(port)
        with pytest.raises(SourceMisbehaved):  # its decoder cannot even read one
            wire.bind("uid=x,dc=test", TYPED.encode())
        wire.drop()
        assert visits == []
        code = (
            "import sys, ldap3; s = ldap3.Server('127.0.0.1', port=int(sys.argv[1]), get_info=ldap3.NONE, connect_timeout=10);"
            "ldap3.Connection(s, 'uid=x,dc=test', 'x', receive_timeout=10, fast_decoder=False).bind()"
        )
        subprocess.run([sys.executable, "-c", code, str(port)], capture_output=True, timeout=30, check=False)
        assert visits, "by default it visits whoever the referral names"


def test_a_referral_is_no_proof(slapd: Slapd, monkeypatch: pytest.MonkeyPatch, directory: LdapDirectory) -> None:
    slapd.add_entry(f"ou=away,{PEOPLE}", ["referral", "extensibleObject"], {"ou": "away", "ref": "ldap://127.0.0.1:1/dc=stranger"})
    assert directory.authenticate("d.claire", PASSWORD), "search references are passed over"
    assert len(list(directory.people())) == 7


BIND_REFERRAL = b"\x30\x2d\x02\x01\x01\x61\x28\x0a\x01\x0a\x04\x00\x04\x00\xa3\x1f\x04\x1d"


@contextmanager
def answering(respond: Callable[[bytes], bytes], visits: list[bytes]) -> Iterator[int]:
    """A server that reads one message of each connection and says what `respond` makes of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            with client:
                client.settimeout(5)
                with suppress(OSError):
                    message = client.recv(65536)
                    visits.append(message)
                    client.sendall(respond(message))
                    client.recv(65536)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        thread.join()
        listener.close()


def stranger(visits: list[bytes]) -> Any:
    return answering(lambda _: b"", visits)


def referring(port: int) -> Any:
    url = f"ldap://127.0.0.1:{port}/".encode().ljust(29, b"x")[:29]

    def respond(message: bytes) -> bytes:
        number = message[4:5] if message[1] < 0x80 else b"\x01"
        return BIND_REFERRAL[:4] + number + BIND_REFERRAL[5:] + url

    return answering(respond, [])


def test_trap_receive_timeout_must_be_whole_seconds(slapd: Slapd) -> None:
    server = ldap3.Server("127.0.0.1", port=slapd.port, get_info=ldap3.NONE)
    connection = ldap3.Connection(server, receive_timeout=0.5)
    with pytest.raises(Exception, match="integer"):
        connection.open()
    connection.socket.close()
    directory = slapd.directory(receive_timeout="4500ms", connect_timeout="4700ms")
    assert directory.authenticate("d.claire", PASSWORD)
    directory.close()


def test_trap_an_empty_password_is_an_anonymous_bind(slapd: Slapd) -> None:
    connection = ldap3.Connection(ldap3.Server("127.0.0.1", port=slapd.port, get_info=ldap3.NONE), SERVICE, "")
    with pytest.raises(ldap3.core.exceptions.LDAPPasswordIsMandatoryError):
        connection.bind()
    connection.unbind()
    wire = clear_wire(slapd.port)
    for dn, password in ((SERVICE, b""), ("", b"x"), ("", b"")):
        with pytest.raises(ValueError):
            wire.bind(dn, password)
    wire.close()


def test_trap_values_are_changed_by_schemas_so_they_are_taken_raw(slapd: Slapd) -> None:
    slapd.disable("d.claire")
    wire = clear_wire(slapd.port)
    wire.bind(SERVICE, SERVICE_PASSWORD.encode())
    found = wire.search(PEOPLE, "(uid=d.claire)", ("pwdAccountLockedTime",))
    assert found is not None
    assert found.entries[0].values["pwdaccountlockedtime"] == (b"000001010000Z",)
    wire.close()


def test_trap_a_failed_opening_forgets_its_socket(slapd: Slapd) -> None:
    """pytest turns an unclosed socket into an error: nothing more to assert."""
    for _ in range(20):
        with pytest.raises(SourceUnreachable):
            clear_wire(free_port())
    directory = slapd.directory(ca_file=None)
    for _ in range(2):
        with pytest.raises(SourceUnreachable):
            directory.authenticate("d.claire", PASSWORD)


def test_trap_a_hung_server_costs_its_timeouts_and_no_more(slapd: Slapd) -> None:
    """SAFE_RESTARTABLE would try for a minute; see also tests/faults/test_ldap_down.py."""
    wire = clear_wire(slapd.port)
    slapd.hang()
    with pytest.raises(SourceUnreachable) as caught:
        wire.search(PEOPLE, "(uid=d.claire)", ("uid",))
    assert caught.value.trouble == "timeout"
    slapd.resume()
    with pytest.raises(SourceUnreachable):
        wire.search(PEOPLE, "(uid=d.claire)", ("uid",))
    wire.drop()


def test_trap_importing_ldap3_warns_and_ours_is_quiet() -> None:
    def run(statement: str) -> int:
        return subprocess.run([sys.executable, "-W", "error", "-c", statement], capture_output=True, check=False).returncode

    assert run("import ldap3") != 0
    assert run("import connectors.ldap.directory") == 0


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00",  # the answer to another message
        b"\x30\x05\x02\x01\x01\x05\x00",  # no operation that LDAP has
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x7b\x04\x00\x04\x00",  # a result code that LDAP does not have
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x03\x02\x01",
    ],
)
def test_rubbish_is_no_answer(rubbish: bytes) -> None:
    with answering(lambda _: rubbish, []) as port:
        wire = clear_wire(port)
        with pytest.raises((SourceMisbehaved, SourceUnreachable)):
            wire.bind("uid=x,dc=test", TYPED.encode())
        wire.drop()


def test_no_password_is_in_any_log_line_error_or_representation(slapd: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that can go wrong, with every logger open; what is shown of it, tracebacks included, holds no password."""
    caplog.set_level(logging.DEBUG)
    shown = io.StringIO()

    def try_all(directory: LdapDirectory) -> None:
        subject = slapd_subject
        for act in (
            lambda: directory.authenticate("d.claire", PASSWORD),
            lambda: directory.authenticate("d.claire", TYPED),
            lambda: directory.authenticate("nobody", TYPED),
            lambda: directory.authenticate("d.claire*", TYPED),
            lambda: directory.change_password(subject, TYPED, new=NEW),
            lambda: directory.change_password(subject, PASSWORD, new=SHORT),
            lambda: directory.find(subject),
            lambda: shown.write(repr(list(directory.check()))),
        ):
            try:
                shown.write(repr(act()))
            except ConnectorError as error:
                shown.write("".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))
                cause = error.__cause__
                while cause is not None:
                    shown.write(repr(cause) + repr(vars(cause)))
                    cause = cause.__cause__
        shown.write(repr(directory) + repr(vars(directory)) + repr(vars(directory)["_settings"]))

    slapd_subject = slapd.subject("d.claire")
    good = slapd.directory()
    try_all(good)
    slapd.must_change("d.claire")
    try_all(good)
    slapd.disable("d.claire")
    try_all(good)
    slapd.hang()
    try_all(slapd.directory(**IMPATIENT))
    slapd.resume()
    slapd.stop()
    try_all(slapd.directory(servers=[slapd.ldaps, slapd.ldap]))
    slapd.start()
    for other in (
        slapd.directory(ca_file=None),
        slapd.directory(servers=[f"ldaps://127.0.0.1:{slapd.port}"]),
        slapd.directory(bind_password=f"file:{slapd.folder / 'root.password'}"),
        slapd.directory(base="ou=wrong,dc=test"),
    ):
        try_all(other)
        other.close()
    good.close()
    text = shown.getvalue() + caplog.text
    for secret in (PASSWORD, TYPED, NEW, SERVICE_PASSWORD, ROOT_PASSWORD, SHORT):
        assert secret not in text
