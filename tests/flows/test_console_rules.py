"""The console's pages of rules: shown as the file has them, asked about people in reach only, and the past judged by a draft. Nothing is changed."""

from datetime import timedelta

import pytest

from policies.rules import DEFAULT_RULES
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.world import World

EVERYBODY_TWICE = """
rules:
- name: twice
  effect: require
  require: [second_factor]
"""


@pytest.fixture
def contact(world: World) -> ConsoleAgent:
    return console_agent(world, "rose", "it_contact", "tilleuls")


def test_a_contact_reads_the_rules_in_force_and_finds_nothing_to_change_them(contact: ConsoleAgent) -> None:
    page = contact.get("/admin/rules")
    assert all(str(rule["name"]) in page.text for rule in DEFAULT_RULES)
    assert not [form for form in page.document.forms if form.method == "post"]


def test_a_contact_learns_what_would_come_of_a_sign_in_and_why(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/rules/what-if")
    inside = contact.submit("what-if-form", person="claire.dubois", client_id="carnet", address="127.0.0.1")
    assert "rien d’autre n’est demandé" in inside.text
    outside = contact.submit("what-if-form", address="198.51.100.7")
    assert "La connexion est refusée" in outside.text
    assert "zone_kind" in outside.text
    supposed = contact.submit("what-if-form", supposes_factors="yes", factor_totp="yes")
    assert "Un second moyen est demandé" in supposed.text
    drafted = contact.submit("what-if-form", address="127.0.0.1", draft=EVERYBODY_TWICE)
    assert "twice" in drafted.text
    assert "Un second moyen est demandé" in drafted.text
    assert world.events("signin") == [line for line in world.events("signin") if line["account_id"] != world.account("claire").id]


@pytest.mark.parametrize("person", ["karim.haddad", "personne.du.tout", "hugo.lefevre"])
def test_a_contact_learns_nothing_of_people_out_of_reach_not_even_that_they_are_there(contact: ConsoleAgent, person: str) -> None:
    contact.get("/admin/rules/what-if")
    page = contact.submit("what-if-form", person=person, address="127.0.0.1")
    assert page.status == 422
    assert "nobody of your establishments is known by exactly this" in page.text
    assert page.forms["what-if-form"].fields["person"] == person


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "pas une adresse"),
        ("at", "demain"),
        ("draft", "rules: ["),
        ("draft", "include: [vestibule.yaml]\nrules: []"),
        ("draft", "a: &a [1]\nrules: [*a, *a]"),
        ("draft", "[" * 200),
        ("draft", "rules:\n- name: x\n  effect: nonsense"),
        ("draft", "rules: 3"),
    ],
)
def test_a_contact_reads_what_is_wrong_with_a_question_or_a_draft(contact: ConsoleAgent, field: str, value: str) -> None:
    contact.get("/admin/rules/what-if")
    page = contact.submit("what-if-form", **{"person": "claire.dubois", "address": "127.0.0.1", field: value})
    assert page.status == 422, page.text
    assert f"{field}-problem" in page.document.ids
    assert page.forms["what-if-form"].fields[field] == value
    assert "/tmp" not in page.text


def test_a_draft_reads_no_file_of_the_server(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/rules/what-if")
    draft = f'"include": ["{world.config_path}"]'
    page = contact.submit("what-if-form", person="claire.dubois", address="127.0.0.1", draft=draft)
    assert page.status == 422
    assert "includes no other file" in page.text


def test_a_contact_judges_the_past_of_their_own_establishment_by_a_draft(world: World, contact: ConsoleAgent) -> None:
    world.sign_in("claire")
    world.sign_in("karim", "glycines")
    world.clock.advance(timedelta(minutes=1))
    contact.get("/admin/rules/replay")
    assert contact.page.forms["replay-form"].choices["establishment"] == ["tilleuls"]
    page = contact.submit("replay-form", days="7")
    assert "À personne" in page.text, page.text
    page = contact.submit("replay-form", draft=EVERYBODY_TWICE)
    assert "Claire Dubois" in page.text
    assert "sans second moyen" in page.text
    assert "Karim" not in page.text


@pytest.mark.parametrize("slug", ["", "glycines", "nulle-part"])
def test_a_contact_judges_no_past_but_that_of_their_own_establishment(world: World, contact: ConsoleAgent, slug: str) -> None:
    world.sign_in("karim", "glycines")
    world.clock.advance(timedelta(minutes=1))
    contact.get("/admin/rules/replay")
    page = contact.submit("replay-form", establishment=slug, draft=EVERYBODY_TWICE)
    assert page.status in {403, 422}
    assert "Karim" not in page.text


def test_an_administrator_judges_the_past_of_the_whole_group(world: World) -> None:
    world.sign_in("claire")
    world.sign_in("karim", "glycines")
    world.clock.advance(timedelta(minutes=1))
    admin = console_agent(world)
    admin.get("/admin/rules/replay")
    page = admin.submit("replay-form", establishment="", draft=EVERYBODY_TWICE)
    assert "Claire Dubois" in page.text
    assert "Karim Haddad" in page.text


@pytest.mark.parametrize("days", ["0", "91", "-1", "beaucoup", ""])
def test_a_contact_is_told_how_many_days_may_be_judged(contact: ConsoleAgent, days: str) -> None:
    contact.get("/admin/rules/replay")
    assert contact.submit("replay-form", days=days).status == 422


def test_an_auditor_is_not_shown_the_rules(world: World) -> None:
    assert console_agent(world, "claire", "auditor").get("/admin/rules").status == 403


def test_a_contact_asks_of_their_own_establishments_and_applications_only(contact: ConsoleAgent) -> None:
    form = contact.get("/admin/rules/what-if").forms["what-if-form"]
    assert form.choices["establishment"] == ["", "tilleuls"]
    assert "carnet" in form.choices["client_id"]
    assert "glycines" not in form.choices["client_id"]
    page = contact.submit("what-if-form", person="claire.dubois", address="127.0.0.1", establishment="glycines")
    assert page.status == 422
    assert "Glycines" not in page.text
