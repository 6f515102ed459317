"""Operators that the configuration names: each runs what their role opens, on whom it reaches, and every refusal leaves a line."""

import pytest

from tests.support.operator import ACTOR, Operator, write

USER = ACTOR.removeprefix("operator:")


@pytest.fixture
def operator(operator: Operator) -> Operator:
    """Claire works at Les Tilleuls, Karim at Les Glycines; Rose, at Les Tilleuls, is its contact and the person at this terminal."""
    for name, slug in (("claire", "tilleuls"), ("rose", "tilleuls"), ("karim", "glycines")):
        operator.do("account", "add", "--username", name, "--given-name", name.title(), "--establishment", slug, "--profile", "nurse")
    return operator


def let(operator: Operator, *roles: dict[str, str | None]) -> None:
    operator.configure(operators=[{"user": USER, **role} for role in roles])


def test_anybody_at_the_machine_runs_everything_when_no_operator_is_named(operator: Operator) -> None:
    operator.do("account", "suspend", "karim")
    operator.do("admin", "bootstrap", "rose")
    assert operator.events("desk.refused") == []


def test_a_contact_runs_what_their_role_opens_on_people_of_their_home(operator: Operator) -> None:
    let(operator, {"role": "it_contact", "establishment": "tilleuls", "account": "rose"})
    operator.do("account", "suspend", "claire")
    operator.do("account", "reinstate", "claire")
    operator.do("zone", "list", "--establishment", "tilleuls")
    assert operator.events("desk.refused") == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("account", "suspend", "karim"), "act_outside_establishment"),
        (("account", "suspend", "personne"), "act_target_unknown"),
        (("account", "suspend", "rose"), "act_on_oneself"),
        (("account", "end", "claire", "--yes"), "act_outside_establishment"),
        (("account", "set-password", "claire", "--generate"), "act_not_held"),
        (("account", "list"), "act_outside_establishment"),
        (("account", "attach", "claire", "glycines", "--profile", "nurse"), "act_outside_establishment"),
        (("factor", "reset", "claire", "--kind", "totp", "--reason", "perdu"), "act_not_held"),
        (("admin", "give", "rose", "group_administrator"), "act_not_held"),
        (("client", "list"), "act_not_held"),
        (("zone", "list"), "act_outside_establishment"),
        (("zone", "list", "--establishment", "glycines"), "act_outside_establishment"),
        (("establishment", "change", "glycines", "--name", "x"), "act_outside_establishment"),
        (("audit", "tail"), "act_outside_establishment"),
        (("keys", "rotate"), "act_not_held"),
    ],
)
def test_a_contact_is_refused_the_rest_and_it_is_recorded(operator: Operator, arguments: tuple[str, ...], reason: str) -> None:
    let(operator, {"role": "it_contact", "establishment": "tilleuls", "account": "rose"})
    people = operator.events("account.")
    said = operator.refused(*arguments)
    assert "recorded" in said or "themselves" in said or "their own account" in said
    assert "Karim" not in said
    event = operator.last_event("desk.refused")
    assert (event["reason"], event["actor"]) == (reason, ACTOR)
    assert operator.events("account.") == people


def test_somebody_out_of_reach_and_nobody_at_all_are_told_apart_in_the_trail_only(operator: Operator) -> None:
    let(operator, {"role": "it_contact", "establishment": "tilleuls"})
    assert operator.refused("account", "show", "karim") == operator.refused("account", "show", "personne")
    assert [line["reason"] for line in operator.events("desk.refused")] == ["act_outside_establishment", "act_target_unknown"]


def test_a_contact_does_nothing_to_somebody_who_may_do_more(operator: Operator) -> None:
    operator.do("admin", "give", "claire", "group_administrator")
    let(operator, {"role": "it_contact", "establishment": "tilleuls"})
    assert "more than you" in operator.refused("account", "suspend", "claire")
    assert operator.last_event("desk.refused")["reason"] == "act_upwards"
    operator.do("account", "show", "claire")


def test_whoever_is_not_named_runs_nothing_once_somebody_is(operator: Operator) -> None:
    operator.configure(operators=[{"user": "quelqu_un", "role": "group_administrator"}])
    operator.refused("account", "show", "claire")
    assert operator.last_event("desk.refused")["reason"] == "act_not_held"
    operator.do("migrate")
    assert operator.run("check-config").exit_code == 0


def test_a_role_at_a_home_that_is_not_there_is_held_nowhere(operator: Operator) -> None:
    let(operator, {"role": "it_contact", "establishment": "nulle-part"})
    operator.refused("account", "show", "claire")
    assert operator.last_event("desk.refused")["reason"] in {"act_not_held", "act_outside_establishment"}


def test_a_group_administrator_by_command_still_cannot_take_the_last_one_away(operator: Operator) -> None:
    let(operator, {"role": "group_administrator", "account": "rose"})
    operator.do("admin", "give", "claire", "group_administrator")
    assert "last" in operator.refused("admin", "take", "claire")
    assert "their own account" in operator.refused("admin", "give", "rose", "auditor")
    assert [line["username"] for line in operator.ask("admin", "list", "--json")] == ["claire"]


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ({"role": "it_contact"}, "name it"),
        ({"role": "group_administrator", "establishment": "tilleuls"}, "whole group"),
        ({"role": "emperor"}, "operators"),
        ({"role": "auditor", "user": "a b"}, "user"),
    ],
)
def test_a_wrong_entry_is_named_by_check_config_and_nothing_runs(operator: Operator, role: dict[str, str], said: str) -> None:
    write(operator.config_path, {**operator.stores, "operators": [{"user": USER, **role}]})
    assert said in operator.run("check-config").output
    assert operator.run("account", "list").exit_code == 2


def test_the_person_behind_sudo_is_believed_of_root_and_of_the_files_owner_only(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These tests run as the owner of the configuration, as a service's account does."""
    monkeypatch.setenv("SUDO_USER", "nferrand")
    operator.configure(operators=[{"user": "nferrand", "role": "it_contact", "establishment": "tilleuls"}])
    operator.do("account", "show", "claire")
    operator.refused("account", "show", "karim")
    assert operator.last_event("desk.refused")["actor"] == "operator:nferrand"


def test_an_act_refused_in_the_middle_of_a_command_leaves_its_line(operator: Operator) -> None:
    operator.do("admin", "give", "claire", "group_administrator")
    operator.refused("admin", "take", "claire")
    event = operator.last_event("desk.refused")
    assert (event["reason"], event["actor"], event["details"]["act"]) == ("last_administrator", ACTOR, "manage_administrators")
