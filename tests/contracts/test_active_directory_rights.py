"""What docs/connect-active-directory.md says that service accounts need, tried on a real Samba: its commands, and nothing beyond them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.ldap.wire import ldap3
from tests.support.samba import Samba
from tests.support.samba_cast import PEOPLE, SERVICE, SERVICE_PASSWORD, SERVICES, SUFFIX

GUIDE = Path(__file__).parents[2] / "docs" / "connect-active-directory.md"
NEW = '"Hamac-Cerfeuil-83-Tournesol"'.encode("utf-16-le")
REPLACE = ldap3.MODIFY_REPLACE
INSUFFICIENT_ACCESS = 50


def commands(of: str) -> Iterator[list[str]]:
    """The arguments of the guide's samba-tool commands about one account's SID."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"`samba-tool user show {of} --attributes=objectSid`")[2]
    for line in text.partition("\n\n")[2].partition("\n\n")[0].splitlines():
        found = re.fullmatch(r' {4}samba-tool dsacl set --objectdn="([^"]+)" --sddl="([^"]+)"', line)
        assert found is not None, line
        yield ["dsacl", "set", f"--objectdn={found[1].replace('DC=ad,DC=example,DC=fr', SUFFIX)}", f"--sddl={found[2]}"]


@contextmanager
def bound(samba: Samba, name: str) -> Iterator[Any]:
    connection = samba._connection(name, SERVICE_PASSWORD)
    assert connection.bind()[0]
    yield connection
    connection.unbind()


def outcomes(samba: Samba, name: str) -> dict[str, int]:
    """What each act on a nurse is answered."""
    dn = samba.dn("a.claire")
    acts: dict[str, Callable[[Any], Any]] = {
        "reset": lambda one: one.modify(dn, {"unicodePwd": [(REPLACE, [NEW])]}),
        "unlock": lambda one: one.modify(dn, {"lockoutTime": [(REPLACE, ["0"])]}),
        "must change": lambda one: one.modify(dn, {"pwdLastSet": [(REPLACE, ["0"])]}),
        "disable": lambda one: one.modify(dn, {"userAccountControl": [(REPLACE, ["514"])]}),
        "title": lambda one: one.modify(dn, {"title": [(REPLACE, ["chef"])]}),
        "address": lambda one: one.modify(dn, {"mail": [(REPLACE, ["x@y.example"])]}),
        "delete": lambda one: one.delete(dn),
        "member": lambda one: one.modify(samba.dn("glycines-aides"), {"member": [(ldap3.MODIFY_ADD, [dn])]}),
        "reset elsewhere": lambda one: one.modify(SERVICE, {"unicodePwd": [(REPLACE, [NEW])]}),
    }
    with bound(samba, name) as connection:
        return {what: int(act(connection)[1]["result"]) for what, act in acts.items()}


def test_account_that_reads_changes_nothing(samba: Samba) -> None:
    assert set(outcomes(samba, SERVICE).values()) == {INSUFFICIENT_ACCESS}


def test_account_that_resets_does_what_the_guide_delegates_and_nothing_more(samba: Samba) -> None:
    samba.add_person("aide-informatique", under=SERVICES, password=SERVICE_PASSWORD)
    given = list(commands("vestibule-resets"))
    assert len(given) == 3
    for arguments in given:
        assert PEOPLE in arguments[2]
        samba.tool(*(argument.replace("SID", samba.sid("aide-informatique")) for argument in arguments))
    found = outcomes(samba, f"CN=aide-informatique,{SERVICES}")
    assert {what for what, code in found.items() if code == 0} == {"reset", "unlock", "must change"}
    assert {code for code in found.values() if code} == {INSUFFICIENT_ACCESS}


def test_fine_grained_policies_are_read_as_the_guide_says(samba: Samba) -> None:
    (arguments,) = commands("vestibule")
    samba.tool(*(argument.replace("SID", samba.sid("vestibule")) for argument in arguments))
    directory = samba.directory()
    steps = {step.title: step for step in directory.check()}
    directory.close()
    assert steps["Lockout"].outcome == "ok"


@pytest.mark.parametrize("right", ["Reset Password", "Change Password", "lockoutTime", "pwdLastSet", "RP;;user", "RP;;group"])
def test_guide_says_it_for_windows_too(right: str) -> None:
    assert any(right in line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("    dsacls "))
