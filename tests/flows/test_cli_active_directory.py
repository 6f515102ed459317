"""`vestibule connector check` and `check-config` of an Active Directory domain (a real Samba), right and wrong in every setting, in plain words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.support.certificates import DAY, PrivateAuthority
from tests.support.operator import Operator
from tests.support.processes import free_port
from tests.support.samba import Samba
from tests.support.samba_cast import ELSEWHERE, GROUPS, HOST, NIGHTS, PEOPLE, SERVICE_PASSWORD

Check = Callable[..., Result]
pytestmark = pytest.mark.slow


@pytest.fixture
def check(operator: Operator, samba: Samba) -> Check:
    """Run the check with other settings."""

    def run(**override: Any) -> Result:
        operator.configure(directories=[samba.settings(**override)])
        return operator.run("connector", "check", "domaine")

    return run


def line(result: Result, title: str) -> str:
    """The one line about a step."""
    found = [line for line in result.output.splitlines() if f" {title}" in line]
    assert len(found) == 1, result.output
    return found[0]


def failed(result: Result, title: str) -> str:
    assert result.exit_code == 1, result.output
    found = line(result, title)
    assert found.startswith("FAILED"), result.output
    assert SERVICE_PASSWORD not in result.output
    return found


def test_operator_sees_each_step_when_all_is_well(check: Check, samba: Samba) -> None:
    samba.modify(samba.dn("a.noa"), {"mail": "a.noa@residences.example"})
    samba.set_policy(lockoutThreshold="5")
    for url in (samba.ldaps, samba.ldap):
        result = check(servers=[url])
        assert result.exit_code == 0, result.output
        assert "FAILED" not in result.output
        assert "accepted" in line(result, f"{url}:{636 if url.startswith('ldaps') else 389}: service account")
        assert "7 people" in line(result, "People")
        assert "4 of the first 7" in line(result, "Groups")
        assert "objectGUID" in line(result, "Lasting id")
        assert "ehpad.test, EHPAD" in line(result, "Domain")
        assert "can be read" in line(result, "State of accounts")
        assert "locks after 5 wrong passwords, forgotten after 30 minutes" in result.output
        assert "tells the newest password" in line(result, "Former passwords")


def test_operator_lists_the_domain(operator: Operator, samba: Samba) -> None:
    operator.configure(directories=[samba.settings()])
    (listed,) = operator.ask("connector", "list", "--json")
    assert (listed["name"], listed["type"], listed["base"]) == ("domaine", "active-directory", PEOPLE)


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        ({"names": (HOST,), "valid": (-20 * DAY, -DAY)}, "outside its dates"),
        ({"names": ("annuaire.example",), "addresses": ()}, "for another name"),
    ],
)
def test_operator_is_told_what_is_wrong_with_the_certificate(check: Check, samba: Samba, certificate: dict[str, Any], says: str) -> None:
    samba.present(samba.authority.sign("other", **{"addresses": (samba.address,), **certificate}))
    assert says in failed(check(), f"{samba.ldaps}:636: TLS")


def test_operator_is_told_that_the_authority_is_another(check: Check, samba: Samba, tmp_path: Path) -> None:
    other = PrivateAuthority(tmp_path / "other", "stranger")
    assert "not signed by an authority that we know" in failed(check(ca_file=str(other.ca_file)), f"{samba.ldaps}:636: TLS")


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ("disable", "it is disabled"),
        ("expire_account", "it has expired"),
        ("must_change", "its password must be changed first"),
        ("lock", "it is locked"),
    ],
)
def test_operator_is_told_why_the_service_account_is_refused(check: Check, samba: Samba, act: str, says: str) -> None:
    getattr(samba, act)("vestibule")
    found = failed(check(), f"{samba.ldaps}:636: service account")
    assert says in found
    assert "check `bind_dn`" in found


def test_operator_is_told_that_the_service_accounts_password_is_wrong(check: Check, samba: Samba) -> None:
    (samba.folder / "wrong.password").write_text("Pas-Le-Bon-12")
    found = failed(check(bind_password=f"file:{samba.folder / 'wrong.password'}"), f"{samba.ldaps}:636: service account")
    assert "wrong name or wrong password" in found


def test_operator_is_told_of_a_wrong_base_and_of_an_empty_one(check: Check) -> None:
    assert "check `base`" in failed(check(base="OU=Partout,DC=ehpad,DC=test"), "Base")
    assert "matches nobody" in failed(check(base=GROUPS), "People")


def test_operator_is_told_of_a_wrong_domain_and_short_name(check: Check) -> None:
    assert "not of DC=autre,DC=test" in failed(check(domain="autre.test"), "Domain")
    assert "netbios_name: EHPAD" in failed(check(netbios_name="AUTRE"), "Domain")


def test_operator_is_told_that_no_group_is_visible(check: Check, samba: Samba) -> None:
    samba.tool("dsacl", "set", f"--objectdn={GROUPS}", f"--sddl=(D;;LC;;;{samba.sid('vestibule')})")
    assert "are security groups" in line(check(), "Groups")
    assert "check `groups.base`" in failed(check(groups={"base": "OU=Nulle-Part,DC=ehpad,DC=test"}), "Groups")
    assert "are security groups" in line(check(groups={"base": ELSEWHERE}), "Groups")


def test_operator_is_told_that_the_service_account_is_blind(check: Check, samba: Samba) -> None:
    samba.tool("dsacl", "set", f"--objectdn={PEOPLE}", f"--sddl=(D;;LC;;;{samba.sid('vestibule')})")
    assert "matches nobody" in failed(check(), "People")


def test_operator_is_told_that_no_controller_answers_kerberos(check: Check) -> None:
    found = failed(check(kerberos_servers=[f"127.0.0.1:{free_port()}"]), "Former passwords")
    assert "port 88" in found
    assert "kerberos_servers" in found


def test_operator_who_asks_nothing_of_kerberos_is_warned(check: Check) -> None:
    result = check(old_password_window="0m")
    assert result.exit_code == 0
    assert line(result, "Former passwords").startswith("warning")
    assert "OldPasswordAllowedPeriod" in line(result, "Former passwords")


def test_operator_is_told_that_nobody_listens(check: Check, samba: Samba) -> None:
    samba.stop()
    assert "Nobody listens there" in failed(check(), f"{samba.ldaps}:636: connection")


# sync


def test_operator_imports_the_domain_and_a_rename_is_a_change_of_the_same_account(operator: Operator, samba: Samba) -> None:
    operator.configure(profiles=["nurse", "aide", "it"], directories=[samba.settings()])
    assert "5 added" in operator.do("sync", "domaine")  # a.lea and a.noa are placed nowhere
    with operator.looking() as tx:
        before = {link.subject: link.account_id for link in tx.links.all("domaine")}
        slugs = {one.id: one.slug for one in tx.establishments.all()}
        amina = tx.people.attachments(before[samba.subject("a.amina")])
    assert {(slugs[one.establishment_id], one.profile) for one in amina} == {("tilleuls", "nurse"), ("glycines", "nurse")}
    assert "0 added, 0 changed, 5 unchanged, 0 ended" in operator.do("sync", "domaine")
    moved = samba.rename(samba.dn("a.claire"), "CN=Claire Durand", under=NIGHTS)
    samba.modify(moved, {"sAMAccountName": "a.durand"})
    samba.disable("a.hugo")
    assert "0 added, 1 changed, 3 unchanged, 1 ended" in operator.do("sync", "domaine")
    with operator.looking() as tx:
        assert {link.subject: link.account_id for link in tx.links.all("domaine")} == before
        renamed = tx.people.get(before[samba.subject("a.durand")])
        gone = tx.people.get(before[samba.subject("a.hugo")])
    assert renamed is not None
    assert gone is not None
    assert (renamed.username, renamed.status, gone.status) == ("a.durand", "active", "suspended")


# check-config


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"domain": "ehpad"}, "domain"),
        ({"netbios_name": "EHPAD\\"}, "netbios_name"),
        ({"scope": "(objectClass=user"}, "scope"),
        ({"kerberos_servers": ["dc1:0"]}, "must be a host, or host:port"),
        ({"page_size": 2_000}, "page_size"),
        ({"servers": ["ldap://dc1.ehpad.test"], "start_tls": False}, "in clear"),
        ({"groups": {"base": GROUPS, "filter": "(member={dn})"}}, "groups"),
    ],
)
def test_operator_is_told_of_a_wrong_setting_before_the_start(operator: Operator, samba: Samba, setting: dict[str, Any], says: str) -> None:
    operator.configure(directories=[samba.settings(**setting)])
    result = operator.run("check-config")
    assert result.exit_code == 1, result.output
    assert says in result.output


def test_operator_without_gssapi_is_told_what_to_install(operator: Operator, samba: Samba, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.config.connector_checks.find_spec", lambda name: None)
    operator.configure(directories=[samba.settings()])
    result = operator.run("check-config")
    assert result.exit_code == 1
    assert "vestibule[windows]" in result.output
    assert "or write 0m" in result.output
    operator.configure(directories=[samba.settings(old_password_window="0m")])
    result = operator.run("check-config")
    assert result.exit_code == 0, result.output
    assert "OldPasswordAllowedPeriod" in result.output
