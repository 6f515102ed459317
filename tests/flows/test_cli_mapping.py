"""An operator asks why the rules place somebody where they do, on a real slapd."""

from typing import Any

import pytest

from tests.support.operator import Operator
from tests.support.samba import Samba
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
        "no departmentNumber is said",
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
    assert "annuaire has none" in said
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


ENTRA = {
    "name": "office",
    "type": "entra",
    "label": "Office 365",
    "tenants": ["7d3a2c1e-0000-4000-8000-000000000001"],
    "client_id": "7d3a2c1e-0000-4000-8000-0000000000aa",
    "client_secret": "env:ENTRA_SECRET",
    "attributes": ["department", "officeLocation"],
}


@pytest.fixture
def with_provider(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("ENTRA_SECRET", "s" * 43)
    operator.do("establishment", "change", "tilleuls", "--finess", "690012345")
    rules = [
        {"role": "{establishment}.ide", "establishment": "{establishment}", "profile": "nurse", "sector": "{attribute:department}"},
        {"attributes": {"officeLocation": "{finess} *"}, "establishment": "{finess}", "profile": "aide"},
        {"group": "tous", "role": "informatique", "establishment": "glycines", "profile": "it"},
    ]
    operator.configure(profiles=PROFILES, providers=[{**ENTRA, "mapping": rules}])
    return operator


def test_operator_tries_the_rules_of_a_provider_without_asking_it(with_provider: Operator) -> None:
    said = with_provider.do("mapping", "try", "--connector", "office", "--role", "Tilleuls.IDE", "--role", "hortensias.ide")
    for expected in (
        "role {establishment}.ide -> {establishment} nurse {attribute:department}",
        "has the role tilleuls.ide; no establishment hortensias here; no sector: no department is said",
        "no officeLocation is said",
        "not in the group",
    ):
        assert expected in said
    report = with_provider.ask(
        *("mapping", "try", "--connector", "office", "--group", "Tous", "--role", "Informatique", "--json"),
        *("--attribute", "officeLocation=690012345 Les Tilleuls", "--attribute", "department=Nuit"),
    )
    assert report["gives"] == [
        {"establishment": "tilleuls", "profile": "aide", "sector": None},
        {"establishment": "glycines", "profile": "it", "sector": None},
    ]
    assert [line["because"] for line in report["rules"]] == ["role_not_held", "attributes_held", "group_held"]
    assert with_provider.events("account") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--connector", "autre"), "no connector 'autre'; there is: office"),
        (("--connector", "office", "--attribute", "department"), "is not NAME=VALUE"),
        (("--connector", "office", "--attribute", "=x"), "is not NAME=VALUE"),
    ],
)
def test_operator_is_told_when_what_is_tried_makes_no_sense(with_provider: Operator, words: tuple[str, ...], says: str) -> None:
    assert says in with_provider.refused("mapping", "try", *words)


def test_operator_tries_a_rule_of_a_directory_before_anybody_has_it(connected: Operator) -> None:
    said = connected.do("mapping", "try", "--connector", "annuaire", "--group", "tilleuls-infirmiers")
    assert "in tilleuls-infirmiers" in said
    assert "in the group" in connected.do("mapping", "try", "--connector", "annuaire")


@pytest.mark.slow
def test_operator_reads_why_somebody_of_an_active_directory_is_placed_there(operator: Operator, samba: Samba) -> None:
    rules = [
        {"group": "{establishment}-infirmiers", "establishment": "{establishment}", "profile": "nurse"},
        {"attributes": {"department": "SI*"}, "establishment": "tilleuls", "profile": "it", "sector": "{attribute:department}"},
    ]
    operator.configure(profiles=PROFILES, directories=[samba.settings(mapping=rules)])
    nested = operator.ask("mapping", "explain", "EHPAD\\a.amina", "--json")  # one of the groups is her primary group
    assert [one["establishment"] for one in nested["gives"]] == ["glycines", "tilleuls"]
    by_attribute = operator.ask("mapping", "explain", "a.paul@residences.example", "--json")
    assert by_attribute["gives"] == [{"establishment": "tilleuls", "profile": "it", "sector": "SI-12"}]
    assert "not in the group" in operator.do("mapping", "explain", "80005")
