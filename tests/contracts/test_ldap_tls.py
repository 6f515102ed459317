"""TLS to a directory: only the right authority, name and dates are trusted, over LDAPS and StartTLS, each refusal with its own reason."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.base import SourceUnreachable
from connectors.ldap.address import ServerAddress, parse_server
from connectors.ldap.directory import LdapDirectory
from tests.support.certificates import PrivateAuthority, ServerCertificate
from tests.support.ldap_server import IMPATIENT
from tests.support.processes import free_port
from tests.support.relay import relayed
from tests.support.slapd import PASSWORD, SERVICE_PASSWORD, Slapd


@pytest.fixture(params=["ldaps", "start_tls"])
def server(request: pytest.FixtureRequest, slapd: Slapd) -> str:
    """The URL to write in the settings."""
    return slapd.ldaps if request.param == "ldaps" else slapd.ldap


@pytest.fixture
def open_directory(slapd: Slapd) -> Iterator[Callable[..., LdapDirectory]]:
    made: list[LdapDirectory] = []

    def make(**override: object) -> LdapDirectory:
        made.append(slapd.directory(**override))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


def trouble(directory: LdapDirectory) -> str:
    with pytest.raises(SourceUnreachable) as caught:
        directory.authenticate("d.claire", PASSWORD)
    assert PASSWORD not in str(caught.value)
    return caught.value.trouble


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        (PrivateAuthority.sign_expired, "tls_expired"),
        (PrivateAuthority.sign_for_another, "tls_name"),
        (lambda authority: authority.sign("only-name", addresses=()), "tls_name"),
    ],
    ids=["expired", "another host", "name but not address"],
)
def test_certificate_is_refused_with_its_own_reason(
    slapd: Slapd,
    server: str,
    open_directory: Callable[..., LdapDirectory],
    sign: Callable[[PrivateAuthority], ServerCertificate],
    expected: str,
) -> None:
    slapd.present(sign(slapd.authority))
    assert trouble(open_directory(servers=[server])) == expected


def test_certificate_of_another_authority_is_refused(
    slapd: Slapd, server: str, open_directory: Callable[..., LdapDirectory], tmp_path: Path
) -> None:
    other = PrivateAuthority(tmp_path / "other", "stranger")
    assert trouble(open_directory(servers=[server], ca_file=str(other.ca_file))) == "tls_untrusted"
    assert trouble(open_directory(servers=[server], ca_file=None)) == "tls_untrusted", "this machine's authorities do not know ours"
    assert trouble(open_directory(servers=[server], ca_file=str(tmp_path / "missing.pem"))) == "tls_untrusted"


def test_certificate_is_good_by_name_and_by_address(slapd: Slapd, server: str, open_directory: Callable[..., LdapDirectory]) -> None:
    for host in ("localhost", "127.0.0.1"):
        directory = open_directory(servers=[server.replace("127.0.0.1", host)])
        assert directory.authenticate("d.claire", PASSWORD).username == "d.claire"


def test_certificate_name_alone_is_enough_when_the_server_is_called_by_it(
    slapd: Slapd, open_directory: Callable[..., LdapDirectory]
) -> None:
    slapd.present(slapd.authority.sign("only-name", addresses=()))
    assert open_directory(servers=[slapd.ldaps.replace("127.0.0.1", "localhost")]).authenticate("d.claire", PASSWORD)


def test_nothing_is_said_before_tls(slapd: Slapd, open_directory: Callable[..., LdapDirectory]) -> None:
    with relayed(slapd.port) as relay:
        directory = open_directory(servers=[f"ldap://127.0.0.1:{relay.port}"])
        assert directory.authenticate("d.claire", PASSWORD)
        directory.close()
        sent = b"".join(map(bytes, relay.sent))
    assert b"1.3.6.1.4.1.1466.20037" in sent, "StartTLS comes first"
    for secret in (PASSWORD, SERVICE_PASSWORD, "d.claire", "vestibule"):
        assert secret.encode() not in sent


def test_password_is_not_sent_when_tls_fails(slapd: Slapd, open_directory: Callable[..., LdapDirectory]) -> None:
    slapd.present(slapd.authority.sign_for_another())
    with relayed(slapd.port) as relay:
        assert trouble(open_directory(servers=[f"ldap://127.0.0.1:{relay.port}"])) == "tls_name"
        sent = b"".join(map(bytes, relay.sent))
    assert b"1.3.6.1.4.1.1466.20037" in sent
    assert SERVICE_PASSWORD.encode() not in sent


def test_clear_is_possible_on_this_machine_only(slapd: Slapd, open_directory: Callable[..., LdapDirectory]) -> None:
    assert open_directory(servers=[slapd.ldap], start_tls=False).authenticate("d.claire", PASSWORD)
    with pytest.raises(ValueError, match="in clear"):
        open_directory(servers=["ldap://annuaire.example"], start_tls=False)


def test_ldaps_to_the_plain_port_and_plain_to_the_ldaps_port_are_told(slapd: Slapd, open_directory: Callable[..., LdapDirectory]) -> None:
    assert trouble(open_directory(servers=[f"ldaps://127.0.0.1:{slapd.port}"])) == "tls_failed"
    assert trouble(open_directory(servers=[f"ldap://127.0.0.1:{slapd.tls_port}"])) in {"closed", "timeout"}


def test_server_without_start_tls_is_refused(open_directory: Callable[..., LdapDirectory]) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert trouble(open_directory(servers=[f"ldap://127.0.0.1:{port}"], **IMPATIENT)) == "timeout"


def test_unknown_name_and_closed_port_are_told(open_directory: Callable[..., LdapDirectory]) -> None:
    assert trouble(open_directory(servers=["ldaps://annuaire.invalid"])) == "refused"
    assert trouble(open_directory(servers=[f"ldaps://127.0.0.1:{free_port()}"])) == "refused"


@pytest.mark.parametrize(
    ("url", "start_tls", "address"),
    [
        ("ldaps://ldap.example", True, ServerAddress("ldap.example", 636, "ldaps")),
        ("ldaps://ldap.example", False, ServerAddress("ldap.example", 636, "ldaps")),
        ("ldaps://ldap.example:6360/", True, ServerAddress("ldap.example", 6360, "ldaps")),
        ("ldap://ldap.example", True, ServerAddress("ldap.example", 389, "start_tls")),
        ("ldap://[2001:db8::5]", True, ServerAddress("2001:db8::5", 389, "start_tls")),
        ("ldap://[::1]:3890", False, ServerAddress("::1", 3890, "clear")),
        ("ldap://localhost", False, ServerAddress("localhost", 389, "clear")),
    ],
)
def test_address_is_read(url: str, start_tls: bool, address: ServerAddress) -> None:
    assert parse_server(url, start_tls=start_tls) == address


@pytest.mark.parametrize(
    "url",
    [
        "ldap.example",
        "http://ldap.example",
        "ldapi:///run/slapd",
        "ldaps://",
        "ldaps://ldap.example:0",
        "ldaps://ldap.example:70000",
        "ldaps://cn=x@ldap.example",
        "ldaps://ldap.example/dc=x",
        "ldaps://ldap.example?x",
        "ldap://localhost.example",
        "ldap://10.0.0.5",
    ],
)
def test_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse_server(url, start_tls=False)
