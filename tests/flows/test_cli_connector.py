"""`vestibule connector`: list the directories, and try one step by step against a real OpenLDAP, right and wrong in every setting."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.support.certificates import DAY
from tests.support.ldap_server import IMPATIENT
from tests.support.operator import Operator
from tests.support.processes import free_port
from tests.support.slapd import GROUPS, PASSWORD_SERVICE, PEOPLE, POLICY, SERVICE_PASSWORD, SUFFIX, Slapd
from tests.support.slapd_cast import person_ldif

Check = Callable[..., Result]


@pytest.fixture
def check(operator: Operator, slapd: Slapd) -> Check:
    """Run the check with other settings."""

    def run(**override: Any) -> Result:
        operator.configure(directories=[slapd.settings(**override)])
        return operator.run("connector", "check", "annuaire")

    return run


def line(result: Result, title: str) -> str:
    """The one line about a step."""
    found = [line for line in result.output.splitlines() if f" {title}" in line]
    assert len(found) == 1, result.output
    return found[0]


def test_operator_lists_the_directories(operator: Operator, slapd: Slapd) -> None:
    operator.configure(directories=[slapd.settings()])
    assert "annuaire" in operator.do("connector", "list")
    (listed,) = operator.ask("connector", "list", "--json")
    assert (listed["name"], listed["type"], listed["base"]) == ("annuaire", "ldap", PEOPLE)
    operator.configure(directories=[])
    assert operator.ask("connector", "list", "--json") == []


def test_operator_sees_each_step_when_all_is_well(check: Check, slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.noa"), {"mail": "d.noa@annuaire.example"})
    slapd.must_change("d.paul")
    slapd.modify(slapd.dn("d.paul"), {"userPassword": "Une-Autre-Fauvette-31"})
    for url in (slapd.ldaps, slapd.ldap):
        result = check(servers=[url])
        assert result.exit_code == 0, result.output
        assert "FAILED" not in result.output
        assert "warning " not in result.output.split("steps:")[0]
        assert "localhost, 127.0.0.1" in line(result, f"{url}: certificate")
        assert "signed by Test authority" in line(result, f"{url}: certificate")
        assert "59 days left" in line(result, f"{url}: certificate")
        assert "accepted" in line(result, f"{url}: service account")
        assert "7 people" in line(result, "People")
        assert "4 of the first 7" in line(result, "Groups")
        assert "entryUUID" in line(result, "Lasting id")
        assert SERVICE_PASSWORD not in result.output


def test_operator_asks_for_json(operator: Operator, slapd: Slapd) -> None:
    operator.configure(directories=[slapd.settings()])
    steps = operator.ask("connector", "check", "annuaire", "--json")
    assert {step["outcome"] for step in steps} <= {"ok", "warning"}
    assert "Base" in {step["title"] for step in steps}


def test_operator_names_a_directory_that_is_not_there(operator: Operator, slapd: Slapd) -> None:
    operator.configure(directories=[slapd.settings()])
    assert "there are: annuaire" in operator.refused("connector", "check", "ailleurs")


@pytest.mark.parametrize(
    ("override", "title", "says"),
    [
        ({"servers": ["ldaps://annuaire.invalid"]}, "ldaps://annuaire.invalid:636: name", "DNS"),
        ({"bind_dn": f"cn=nobody,ou=services,{SUFFIX}"}, "service account", "bind_dn"),
        ({"base": f"ou=wrong,{SUFFIX}"}, "Base", "check `base`"),
        ({"scope": "(objectClass=device)"}, "People", "check `scope`"),
        ({"lasting_id": "nsUniqueId"}, "Lasting id", "lasting_id: entryUUID"),
        ({"groups": {"base": f"ou=wrong,{SUFFIX}"}}, "Groups", "check `groups.base`"),
        ({"password_policy": f"cn=wrong,ou=policies,{SUFFIX}"}, "Password policy", "check `password_policy`"),
        ({"ca_file": None}, "TLS", "ca_file"),
    ],
)
def test_operator_is_told_what_to_do_about_a_wrong_setting(check: Check, override: dict[str, Any], title: str, says: str) -> None:
    result = check(**override)
    assert result.exit_code == 1, result.output
    failed = [line for line in result.output.splitlines() if line.startswith("FAILED")]
    assert any(title in line and says in line for line in failed), result.output


@pytest.mark.parametrize(
    ("override", "title", "says"),
    [
        ({}, "Identifiers", "accueil@annuaire.example"),
        ({"identifiers": ["uid", "pager"]}, "Identifiers", "nobody has pager"),
        ({"groups": {"base": None}, "mapping": []}, "Groups", "only look at attributes"),
        ({"groups": {"base": GROUPS, "filter": "(seeAlso={dn})"}}, "Groups", "check `groups.filter`"),
        ({"password_policy": None}, "Password policy", "ppolicy_default"),
        ({}, "Password policy", "pwdChangedTime"),
    ],
)
def test_operator_is_warned_of_what_will_hurt_later(check: Check, override: dict[str, Any], title: str, says: str) -> None:
    result = check(**override)
    assert result.exit_code == 0, result.output
    warned = [line for line in result.output.splitlines() if line.startswith("warning")]
    assert any(title in line and says in line for line in warned), result.output


def test_operator_is_told_of_each_certificate_that_is_wrong(check: Check, slapd: Slapd) -> None:
    for certificate, says in (
        (slapd.authority.sign_expired(), "renew it"),
        (slapd.authority.sign_for_another(), "another name"),
    ):
        slapd.present(certificate)
        result = check()
        assert result.exit_code == 1
        assert says in line(result, f"{slapd.ldaps}: TLS")


def test_operator_is_warned_of_a_certificate_that_ends_soon(check: Check, slapd: Slapd) -> None:
    slapd.present(slapd.authority.sign("soon", valid=(-DAY, 10 * DAY)))
    assert "9 days left: renew it" in line(check(), f"{slapd.ldaps}: certificate")


def test_operator_is_told_of_a_server_that_is_down_or_hung(check: Check, slapd: Slapd) -> None:
    port = free_port()
    result = check(servers=[f"ldaps://127.0.0.1:{port}", slapd.ldaps])
    assert "Nobody listens" in line(result, f"ldaps://127.0.0.1:{port}: connection")
    assert "accepted" in line(result, f"{slapd.ldaps}: service account"), "the other servers are tried too"
    assert result.exit_code == 1
    slapd.hang()
    result = check(**IMPATIENT)
    slapd.resume()
    assert result.exit_code == 1
    assert any(text.startswith("FAILED") and "in time" in text for text in result.output.splitlines())


def test_operator_is_told_when_the_size_limit_hides_people(operator: Operator, tmp_path: Path) -> None:
    with_limit = Slapd(tmp_path / "limited", limits='limits dn.exact="{service}" size.soft=20 size.hard=20 size.prtotal=20')
    try:
        with_limit.load("".join(person_ldif(f"many{number:04}", "Une", "Personne") for number in range(60)))
        operator.configure(directories=[with_limit.settings(page_size=10)])
        result = operator.run("connector", "check", "annuaire")
        assert result.exit_code == 1
        assert "size=unlimited" in line(result, "Size limit")
    finally:
        with_limit.stop()


def test_operator_may_use_an_account_that_writes_passwords(check: Check) -> None:
    assert check(bind_dn=PASSWORD_SERVICE, password_policy=POLICY).exit_code == 0


def test_operator_lists_the_providers_after_the_directories(operator: Operator, slapd: Slapd) -> None:
    provider = {
        "name": "voisin",
        "type": "oidc",
        "label": "Le Voisin",
        "issuer": "https://voisin.example",
        "client_id": "vestibule",
        "client_secret": f"file:{operator.config_path.parent / 'voisin.secret'}",
        "domains": ["voisin.example"],
        "establishments": ["tilleuls"],
        "creates_accounts": False,
    }
    (operator.config_path.parent / "voisin.secret").write_text("un-secret", encoding="utf-8")
    operator.configure(directories=[slapd.settings()], providers=[provider])
    told = operator.do("connector", "list")
    assert told.index("annuaire") < told.index("voisin")
    assert "offered at tilleuls; voisin.example" in told
    _, listed = operator.ask("connector", "list", "--json")
    assert (listed["name"], listed["type"], listed["address"], listed["gives_mfa"]) == ("voisin", "oidc", "https://voisin.example", False)
