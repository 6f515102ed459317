"""An operator sets the Windows session up: what the file's check says, what `vestibule connector check` finds, zones and metrics; right and wrong."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import Result

from connectors.base import TicketProblem
from connectors.kerberos.keytab import KeytabUnreadable, read_keytab
from idp.audit import Reason
from tests.support.kdc import REALM, Kdc, kdc_serving
from tests.support.operator import Operator
from tests.support.processes import free_port
from tests.support.slapd import PEOPLE, READABLE, SERVICE, Slapd

SPN = f"HTTP/connexion.example@{REALM}"
LDAP: dict[str, Any] = {
    "name": "annuaire",
    "type": "ldap",
    "servers": ["ldaps://127.0.0.1:1"],
    "bind_dn": SERVICE,
    "base": PEOPLE,
    "kerberos": {"realm": REALM, "attribute": "uid", "holds": "user"},
    "mapping": [{"group": "it", "establishment": "tilleuls", "profile": "it"}],
    "groups": {"base": PEOPLE},
}


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """A realm with our service, and another one."""
    with kdc_serving(tmp_path_factory.mktemp("kdc-settings"), service="HTTP/connexion.example") as made:
        made.administer("addprinc -randkey host/serveur", f"ktadd -k {made.folder}/other.keytab host/serveur")
        made.keytab.chmod(0o600)
        yield made


Configure = Callable[..., None]


@pytest.fixture
def configure(operator: Operator, kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Write the file with other settings of the realm, of its directory, and homes."""
    monkeypatch.setenv("LDAP_SECRET", "Secret-Tamaris-41")

    def write(
        *, of_directory: dict[str, Any] | None = None, establishments: list[Any] | None = None, has_realm: bool = True, **windows: Any
    ) -> None:
        realm = {"realm": REALM, "keytabs": [str(kdc.keytab)], "services": [SPN], "directory": "annuaire", **windows}
        operator.configure(
            directories=[{**LDAP, "bind_password": "env:LDAP_SECRET", **(of_directory or {})}],
            windows=[realm] if has_realm else [],
            **({"establishments": establishments} if establishments is not None else {}),
        )

    return write


def line(result: Result, title: str) -> str:
    """The one line about a step."""
    found = [line for line in result.output.splitlines() if title in line]
    assert len(found) == 1, result.output
    return found[0]


@pytest.mark.parametrize("name", ["windows", REALM])
def test_operator_sees_that_keys_and_clock_are_right(operator: Operator, configure: Configure, kdc: Kdc, name: str) -> None:
    configure(controllers=[f"127.0.0.1:{kdc.port}"])
    result = operator.run("connector", "check", name)
    assert result.exit_code == 0, result.output
    assert "FAILED" not in result.output
    assert SPN in line(result, "services")
    assert "version 2 aes128-cts-hmac-sha1-96, version 2 aes256-cts-hmac-sha1-96" in line(result, "keytab")
    assert "got from 127.0.0.1" in line(result, "a ticket of our own")


def test_operator_is_told_what_was_not_tried(operator: Operator, configure: Configure) -> None:
    configure()
    result = operator.run("connector", "check", "windows")
    assert result.exit_code == 0
    assert line(result, "a ticket of our own").startswith("warning")
    assert "controllers" in line(result, "a ticket of our own")


def test_operator_is_told_that_nobody_answers(operator: Operator, configure: Configure) -> None:
    configure(controllers=[f"127.0.0.1:{free_port()}"])
    result = operator.run("connector", "check", "windows")
    assert result.exit_code == 1
    assert "nobody answers at 127.0.0.1" in line(result, "a ticket of our own")


def test_operator_is_told_that_the_keytab_is_anothers(operator: Operator, configure: Configure, kdc: Kdc) -> None:
    configure(keytabs=[str(kdc.folder / "other.keytab")])
    result = operator.run("connector", "check", "windows")
    assert result.exit_code == 1
    assert f"it holds no key of it, but host/serveur@{REALM}" in line(result, f"keytab {kdc.folder}/other.keytab: {SPN}")


def test_operator_is_told_that_capitals_count(operator: Operator, configure: Configure) -> None:
    configure(services=[SPN.replace("connexion", "Connexion")])
    assert "capitals count" in line(operator.run("connector", "check", "windows"), "keytab")


def test_operator_is_told_that_the_key_is_not_the_accounts_any_more(operator: Operator, configure: Configure, kdc: Kdc) -> None:
    former = kdc.folder / "former.keytab"
    kdc.administer("addprinc -randkey HTTP/remplace", f"ktadd -k {former} HTTP/remplace", "cpw -randkey HTTP/remplace")
    configure(keytabs=[str(former)], services=[f"HTTP/remplace@{REALM}"], controllers=[f"127.0.0.1:{kdc.port}"])
    result = operator.run("connector", "check", "windows")
    assert result.exit_code == 1
    assert "is not the account's any more: export it again" in line(result, "a ticket of our own")


def test_operator_is_told_of_a_keytab_that_everybody_reads_and_of_weak_keys(
    operator: Operator, configure: Configure, tmp_path: Path
) -> None:
    weak = tmp_path / "weak.keytab"
    weak.write_bytes(b"\x05\x02" + keytab_entry(SPN, version=3, kind=23))
    weak.chmod(0o644)
    configure(keytabs=[str(weak)])
    result = operator.run("connector", "check", "windows")
    assert result.exit_code == 1
    assert "version 3 arcfour-hmac: only AES keys are accepted" in line(result, f"weak.keytab: {SPN}")
    assert "everybody on this machine can read it" in result.output


def test_operator_is_told_that_the_newest_keytab_comes_first(operator: Operator, configure: Configure, kdc: Kdc, tmp_path: Path) -> None:
    newer = tmp_path / "newer.keytab"
    newer.write_bytes(b"\x05\x02" + keytab_entry(SPN, version=9, kind=18))
    newer.chmod(0o600)
    configure(keytabs=[str(kdc.keytab), str(newer)])
    assert "list the newest first" in operator.run("connector", "check", "windows").output


def test_operator_is_told_that_a_file_is_no_keytab(operator: Operator, configure: Configure, tmp_path: Path) -> None:
    for name, written in (("text", b"bonjour"), ("cut", b"\x05\x02" + keytab_entry(SPN, version=3, kind=18)[:20])):
        (tmp_path / name).write_bytes(written)
        (tmp_path / name).chmod(0o600)
        configure(keytabs=[str(tmp_path / name)])
        result = operator.run("connector", "check", "windows")
        assert result.exit_code == 1
        assert "is not a keytab" in result.output


def test_a_keytab_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(KeytabUnreadable):
        read_keytab(tmp_path / "nothing")


def test_keytabs_are_read_as_the_library_does(kdc: Kdc, tmp_path: Path) -> None:
    found = read_keytab(kdc.keytab)
    assert {(entry.principal, entry.version, entry.kind) for entry in found} == {(SPN, 2, 17), (SPN, 2, 18)}
    hole = tmp_path / "hole"
    hole.write_bytes(b"\x05\x02" + struct.pack(">i", -8) + bytes(8) + keytab_entry(SPN, version=300, kind=18))
    assert [(entry.principal, entry.version) for entry in read_keytab(hole)] == [(SPN, 300)]


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ({"directory": "autre"}, "windows[0].directory", "is none of `directories`"),
        ({"realm": "AUTRE.TEST"}, "windows[0].realm", f"has the people of {REALM}"),
        ({"realm": "minuscules.test"}, "windows[0].realm", "pattern"),
        ({"keytabs": ["nulle-part.keytab"]}, "windows[0].keytabs[0]", "cannot read"),
        ({"generic_accounts": ["poste-*-soins"]}, "windows[0].generic_accounts[0]", "stands at the end"),
        ({"generic_accounts": ["*"]}, "windows[0].generic_accounts[0]", "stands at the end"),
        ({"generic_accounts": ["EHPAD\\poste-1"]}, "windows[0].generic_accounts[0]", "without a domain"),
        ({"generic_accounts": ["poste-1@ehpad.test"]}, "windows[0].generic_accounts[0]", "without a domain"),
        ({"generic_accounts": ["poste-1", "poste-2 "]}, "windows[0].generic_accounts[1]", "without a domain"),
        ({"services": ["host/connexion.example"]}, "windows[0].services[0]", "HTTP/<host> only"),
    ],
)
def test_operator_is_refused_settings_that_lead_nowhere(
    operator: Operator, configure: Configure, override: dict[str, Any], path: str, says: str
) -> None:
    configure(**override)
    result = operator.run("check-config")
    assert result.exit_code == 1
    assert says in line(result, path)


def test_operator_is_refused_a_directory_that_does_not_know_principals(operator: Operator, configure: Configure) -> None:
    configure(of_directory={"kerberos": None})
    assert "set its kerberos.realm" in line(operator.run("check-config"), "windows[0].directory")


def test_operator_is_told_of_zones_without_a_realm_and_of_a_realm_without_zones(operator: Operator, configure: Configure) -> None:
    desks = {"name": "bureaux", "kind": "trusted", "networks": ["10.20.9.0/24"], "windows": True}
    home = {"slug": "tilleuls", "name": "Les Tilleuls", "zones": [desks]}
    configure(establishments=[{**home, "zones": []}])
    assert "no zone of this file has `windows: true`" in operator.run("check-config").output
    configure(establishments=[home])
    assert "windows: true" not in operator.run("check-config").output
    configure(establishments=[home], has_realm=False)
    assert "no realm is named here" in operator.run("check-config").output


@pytest.mark.parametrize("kind", ["shared_workstation", "blocked"])
def test_operator_is_refused_windows_sessions_where_they_say_nothing(operator: Operator, configure: Configure, kind: str) -> None:
    zone = {"name": "salon", "kind": kind, "networks": ["10.20.6.0/24"], "windows": True}
    configure(establishments=[{"slug": "tilleuls", "name": "Les Tilleuls", "zones": [zone]}])
    result = operator.run("check-config")
    assert result.exit_code == 1
    assert f"windows has no use on a {kind} zone" in result.output


def test_operator_adds_a_zone_of_windows_computers(operator: Operator) -> None:
    command = ("zone", "add", "tilleuls", "bureaux", "--kind", "trusted", "--network", "10.20.9.0/24")
    operator.do(*command)
    assert "changed" in operator.do(*command, "--windows")
    (listed,) = [zone for zone in operator.ask("zone", "list", "--json") if zone["zone"] == "tilleuls/bureaux"]
    assert listed["windows"] is True
    assert "windows" in operator.refused(
        "zone", "add", "tilleuls", "salon", "--kind", "shared-workstation", "--network", "10.20.6.0/24", "--windows"
    )


def test_operator_is_told_whether_people_can_be_known_by_their_tickets(
    operator: Operator, slapd: Slapd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def check(server: Slapd, **kerberos: str) -> str:
        operator.configure(directories=[server.settings(kerberos={"realm": REALM, **kerberos})])
        return line(operator.run("connector", "check", "annuaire"), "Kerberos principals")

    assert "nobody has one" in check(slapd)
    assert "createTimestamp cannot be read" in check(slapd, attribute="uid", holds="user")
    showing = Slapd(tmp_path_factory.mktemp("slapd-shows"), readable=f"{READABLE},createTimestamp")
    try:
        showing.reset()
        assert "of the first 7 people have one" in check(showing, attribute="uid", holds="user")
    finally:
        showing.stop()


def test_every_problem_of_a_ticket_has_its_reason_code() -> None:
    assert {f"windows_{problem}" for problem in get_args(TicketProblem)} <= set(Reason)


def keytab_entry(principal: str, *, version: int, kind: int) -> bytes:
    """One entry as MIT Kerberos writes it, with a key of zeros."""
    name, _, realm = principal.rpartition("@")
    parts = name.split("/")
    written = struct.pack(">H", len(parts))
    for text in (realm, *parts):
        written += struct.pack(">H", len(text)) + text.encode()
    written += struct.pack(">IIBHH", 1, 0, version & 0xFF, kind, 32) + bytes(32) + struct.pack(">I", version)
    return struct.pack(">i", len(written)) + written
