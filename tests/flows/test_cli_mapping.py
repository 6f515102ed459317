"""An operator asks why the rules place somebody where they do, on a real slapd."""

from typing import Any

import pytest

from tests.support.operator import Operator
from tests.support.slapd import GROUPS, SERVICE_PASSWORD, Slapd

PROFILES = ["nurse", "aide", "it"]


@pytest.fixture
def connected(operator: Operator, slapd: Slapd) -> Operator:
    operator.configure(profiles=PROFILES, directories=[slapd.settings()])
    return operator


def test_operator_reads_every_rule_and_why_it_matched_or_not(connected: Operator) -> None:
    said = connected.do("mapping", "explain", "d.amina")
    assert "Amina Diallo, in the directory annuaire" in said
    for expected in (
        "group {establishment}-infirmiers -> {establishment} nurse",
        "yes      in glycines-infirmiers, tilleuls-infirmiers",
        "no       not in the group",
        "the directory says no departmentNumber",
        "tilleuls       nurse",
        "glycines       nurse",
        "never signed in, and was never imported",
    ):
        assert expected in said
    assert connected.events("account") == []


def test_operator_sees_that_the_store_is_behind_the_directory_until_a_sync(connected: Operator, slapd: Slapd) -> None:
    connected.do("sync", "annuaire")
    assert "as the rules say" in connected.do("mapping", "explain", "d.claire")
    slapd.join("glycines-infirmiers", slapd.dn("d.claire"))
    assert "not yet as the rules say" in connected.do("mapping", "explain", "70001")
    report = connected.ask("mapping", "explain", "d.claire@annuaire.example", "--json")
    assert report["gives"] == [
        {"establishment": "glycines", "profile": "nurse", "sector": None},
        {"establishment": "tilleuls", "profile": "nurse", "sector": None},
    ]
    assert report["stored"] == [{"establishment": "tilleuls", "profile": "nurse", "sector": None, "source": "annuaire"}]
    assert report["account"] == connected.ask("account", "show", "d.claire")["id"]
    connected.do("sync", "annuaire")
    assert "not yet" not in connected.do("mapping", "explain", "d.claire")


def test_operator_is_told_of_a_home_that_is_not_known_here(connected: Operator, slapd: Slapd) -> None:
    slapd.add_group("hortensias-infirmiers", slapd.dn("d.hugo"))
    assert "no establishment hortensias here" in connected.do("mapping", "explain", "d.hugo")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"attributes": {"departmentNumber": "RH*"}, "establishment": "tilleuls", "profile": "it"}, "departmentNumber is 'si-12' and not 'RH*'"),
        ({"attributes": {"departmentNumber": "SI-12"}, "establishment": "tilleuls", "profile": "it"}, "departmentNumber as asked"),
        ({"group": f"cn=nobody,{GROUPS}", "establishment": "tilleuls", "profile": "it"}, "not in the group"),
    ],
)  # fmt: skip
def test_operator_reads_why_an_attribute_matched_or_not(operator: Operator, slapd: Slapd, rule: dict[str, Any], says: str) -> None:
    operator.configure(profiles=PROFILES, directories=[slapd.settings(mapping=[rule])])
    assert says in operator.do("mapping", "explain", "d.paul")


def test_a_group_may_be_named_by_its_distinguished_name(operator: Operator, slapd: Slapd) -> None:
    rule = {"group": f"CN=Glycines-Nuit, {GROUPS.replace(',', ' , ')}", "establishment": "glycines", "profile": "aide", "sector": "nuit"}
    operator.configure(directories=[slapd.settings(mapping=[rule])])
    assert operator.ask("mapping", "explain", "d.hugo", "--json")["gives"] == [
        {"establishment": "glycines", "profile": "aide", "sector": "nuit"}
    ]


def test_somebody_whom_no_rule_places_is_said_to_sign_in_nowhere(operator: Operator, slapd: Slapd) -> None:
    operator.configure(directories=[slapd.settings(mapping=[])])
    said = operator.do("mapping", "explain", "d.claire")
    assert "the directory annuaire has none" in said
    assert "can sign in nowhere" in said


@pytest.mark.parametrize("person", ["nobody", "accueil@annuaire.example", "*", "d.claire)(uid=*", "", "\x1b[31m"])
def test_operator_is_told_when_nobody_or_several_people_are_meant(connected: Operator, person: str) -> None:
    said = connected.refused("mapping", "explain", person)
    assert "nobody is called" in said
    assert "\x1b" not in said


def test_somebody_out_of_scope_or_disabled_is_explained_all_the_same(connected: Operator, slapd: Slapd) -> None:
    assert "out_of_scope" in connected.do("mapping", "explain", "d.remi")
    slapd.disable("d.claire")
    assert "disabled" in connected.do("mapping", "explain", "d.claire")


def test_operator_reads_in_plain_words_why_a_directory_cannot_be_asked(operator: Operator, slapd: Slapd) -> None:
    def said(**settings: Any) -> str:
        operator.configure(directories=[slapd.settings(**settings)])
        return operator.refused("mapping", "explain", "d.claire")

    assert "refused our service account" in said(bind_dn=f"cn=nobody,{GROUPS}")
    assert "not signed by an authority we trust" in said(ca_file=None)
    slapd.stop()
    message = said()
    assert "annuaire cannot be asked: no server answers at its addresses" in message
    assert SERVICE_PASSWORD not in message
    slapd.start()


def test_a_directory_that_is_away_does_not_hide_the_next_one(operator: Operator, slapd: Slapd) -> None:
    away = slapd.settings(name="siege", servers=["ldaps://127.0.0.1:9"])
    operator.configure(profiles=PROFILES, directories=[away, slapd.settings()])
    result = operator.run("mapping", "explain", "d.claire")
    assert result.exit_code == 0
    assert "in the directory annuaire" in result.stdout
    assert "siege cannot be asked" in result.stderr
    assert "siege cannot be asked" in operator.refused("mapping", "explain", "d.claire", "--directory", "siege")
    assert "siege cannot be asked" in operator.refused("mapping", "explain", "nobody")
    assert "no directory 'autre'; there is: siege, annuaire" in operator.refused("mapping", "explain", "d.claire", "--directory", "autre")
