"""An operator asks what the rules say of a sign-in, why, whether they keep their promises, and whom a draft would have asked."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import SystemClock
from idp.config import load
from idp.store.base import Workstation
from idp.store.database import Database
from tests.support.cast import AT_GLYCINES, AT_TILLEULS, OUTSIDE
from tests.support.operator import Operator
from tests.support.pens import pens_of
from tests.support.rows import a_factor
from tests.support.world import World

NIGHT = {
    "name": "passkey-at-night",
    "effect": "require",
    "require": ["phishing_resistant"],
    "when": {"time": {"from": "21:00", "to": "06:30"}},
}
INSIDE = {"name": "inside", "effect": "allow", "when": {"zone_kind": ["trusted"]}}
ELSEWHERE = {
    "name": "elsewhere",
    "effect": "require",
    "require": ["second_factor"],
    "when": {"not": {"zone_kind": ["trusted"]}},
}


def draft(folder: Path, *rules: dict[str, Any], **more: Any) -> str:
    path = folder / "draft.yaml"
    path.write_text(yaml.safe_dump({"rules": list(rules), **more}), encoding="utf-8")
    return str(path)


@pytest.fixture
def home(operator: Operator) -> Operator:
    """Les Tilleuls has a LAN and a public address; Claire is a nurse there, Amina is at both homes."""
    operator.do("zone", "add", "tilleuls", "lan", "--kind", "trusted", "--network", "10.20.0.0/16")
    operator.do("zone", "add", "tilleuls", "box", "--kind", "trusted", "--network", "203.0.113.9/32", "--egress")
    operator.do("zone", "add", "glycines", "lan", "--kind", "trusted", "--network", "10.30.0.0/16")
    operator.do("zone", "add", "glycines", "wifi", "--kind", "blocked", "--network", "10.30.99.0/24")
    operator.do("account", "add", "--username", "claire", "--given-name", "Claire", "--establishment", "tilleuls", "--profile", "nurse")
    operator.do("account", "add", "--username", "amina", "--given-name", "Amina", "--establishment", "tilleuls", "--profile", "nurse")
    operator.do("account", "attach", "amina", "glycines", "--profile", "manager")
    operator.do("client", "add", "carnet", "--name", "Carnet", "--redirect-uri", "https://a.example/cb")
    return operator


def explain(operator: Operator, *arguments: str, person: str = "claire", address: str = "10.20.1.2") -> str:
    return operator.do("policy", "explain", "--person", person, "--client", "carnet", "--from", address, *arguments)


def asked(operator: Operator, *arguments: str, person: str = "claire", address: str = "10.20.1.2") -> Any:
    return json.loads(explain(operator, *arguments, "--json", person=person, address=address))


def test_operator_reads_the_rules_in_force_and_may_paste_them_into_the_configuration(operator: Operator) -> None:
    shown = operator.do("policy", "show")
    assert "the default rules" in shown
    rules = yaml.safe_load(shown)["rules"]
    assert [rule["name"] for rule in rules][:2] == ["blocked-network", "inside"]
    operator.configure(policy={"rules": rules})
    assert "policy.rules of" in operator.do("policy", "show")
    assert operator.ask("policy", "show", "--json") == {"are_default": False, "rules": rules, "tests": []}


def test_operator_is_told_first_in_one_sentence_and_then_every_rule_with_every_criterion(home: Operator) -> None:
    said = explain(home)
    assert said.splitlines()[0] == "Claire gets in with a password, and nothing more is asked."
    for expected in (
        "10.20.1.2: tilleuls/lan (trusted): the address is in one of the zone's networks",
        "may use it    yes: attached there",
        "rules         allow (inside)",
        "as it stands  acr urn:vestibule:acr:password, amr pwd",
        "inside (allow): fires *",
        "zone_kind: trusted, shared_workstation; it was trusted: matched",
        "second-factor-outside (require second_factor): does not fire",
        "administrator: yes; it was no: not matched",
        "zone_kind outside instead of trusted: require second_factor (second_factor_outside)",
    ):
        assert expected in said
    assert home.events("signin") == []


@pytest.mark.parametrize(
    ("arguments", "address", "step", "says"),
    [
        ((), "198.51.100.7", "deny", "no_zone"),
        (("--factors", "totp"), "198.51.100.7", "factor", "a code of an authenticator application"),
        (("--factors", "email"), "198.51.100.7", "deny", "a rule wants a second factor"),
        (("--factors", "none"), "10.20.1.2", "finish", "tilleuls/lan"),
        ((), "10.30.1.2", "deny", "zone_of_another_establishment"),
        ((), "203.0.113.9", "deny", "egress_alone"),
        (("--acr", "phr", "--factors", "passkey"), "10.20.1.2", "factor", "the person may decline"),
        (("--essential-acr", "urn:vestibule:acr:mfa"), "10.20.1.2", "enrol", "has nothing to prove it with"),
        (("--method", "passkey_verified", "--factors", "passkey"), "198.51.100.7", "finish", "a finger or a PIN"),
    ],
)
def test_operator_learns_what_the_person_would_be_asked(
    home: Operator, arguments: tuple[str, ...], address: str, step: str, says: str
) -> None:
    found = asked(home, *arguments, address=address)
    assert found["step"] == step, found["sentence"]
    assert says in json.dumps(found, ensure_ascii=False)


def test_operator_supposes_an_hour_in_the_establishments_own_time_and_a_draft(home: Operator, tmp_path: Path) -> None:
    rules = draft(tmp_path, INSIDE, NIGHT)
    night = asked(home, "--rules", rules, "--at", "2026-11-21T22:30", "--factors", "passkey")
    assert (night["step"], night["at"]) == ("factor", "2026-11-21T21:30:00+00:00")
    assert night["explanation"]["facts"]["local_time"] == "2026-11-21T22:30:00+01:00"
    noon = explain(home, "--rules", rules, "--at", "12:00")
    assert "time 06:29 or 21:00 instead of 12:00: require phishing_resistant (passkey_at_night)" in noon


def test_operator_supposes_a_workstation_that_counts_in_its_own_zone_only(home: Operator) -> None:
    with home.looking() as tx:
        box = next(zone for zone, _ in tx.zones.open_with_slugs() if zone.name == "box")
    now = SystemClock().now()
    config = load(home.config_path)
    database = Database.of(config.database, pool_size=2, pens=pens_of(config))
    with database.write() as tx:
        tx.workstations.add(
            Workstation(
                id=SystemClock().new_id(),
                establishment_id=box.establishment_id,
                zone_id=box.id,
                name="Poste 2",
                is_shared=False,
                secret_digest="s" * 43,
                previous_digest=None,
                rotated_at=now,
                last_seen_at=now,
                enrolled_by="operator:test",
                created_at=now,
                ended_at=None,
            )
        )
    database.close()
    assert asked(home, "--workstation", "Poste 2", address="203.0.113.9")["zone_why"] == "egress_with_workstation"
    assert asked(home, "--workstation", "Poste 2", address="198.51.100.7")["zone"] == "outside"
    assert "no workstation is called" in home.refused(
        "policy", "explain", "--person", "claire", "--from", "10.20.1.2", "--workstation", "Poste 9"
    )


def test_operator_must_say_which_establishment_when_the_person_would_choose(home: Operator) -> None:
    arguments = ("policy", "explain", "--person", "amina", "--client", "carnet", "--from", "10.30.1.2")
    assert "chooses an establishment first (tilleuls, glycines)" in home.refused(*arguments)
    assert asked(home, "--establishment", "glycines", person="amina", address="10.30.1.2")["step"] == "finish"
    assert asked(home, "--establishment", "glycines", person="amina", address="10.30.99.2")["explanation"]["reasons"] == ["blocked_network"]


def test_operator_sees_that_no_rule_is_asked_of_somebody_who_may_not_use_the_application(home: Operator) -> None:
    home.do("account", "suspend", "claire")
    said = explain(home)
    assert said.splitlines()[0] == "Claire is refused: the account is suspended or ended."
    assert "not asked: they are asked of people who may use the application" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--person", "claire", "--from", "10.20.1"), "is not an address"),
        (("--person", "nobody", "--from", "10.20.1.2"), "no account has the id"),
        (("--person", "claire", "--from", "10.20.1.2", "--client", "nope"), "no application nope"),
        (("--person", "claire", "--from", "10.20.1.2", "--establishment", "nope"), "no establishment nope"),
        (("--person", "claire", "--from", "10.20.1.2", "--factors", "fax"), "fax: not among"),
        (("--person", "claire", "--from", "10.20.1.2", "--at", "soon"), "is not an instant"),
    ],
)
def test_operator_is_told_what_was_mistyped(home: Operator, arguments: tuple[str, ...], says: str) -> None:
    assert says in home.refused("policy", "explain", *arguments)


def test_operator_runs_the_cases_beside_the_rules_and_those_of_a_draft(operator: Operator, tmp_path: Path) -> None:
    kept = {"name": "nurses are not asked inside", "given": {"zone_kind": "trusted", "administrator": False}, "expect": "allow"}
    operator.configure(policy={"rules": [INSIDE, ELSEWHERE], "tests": [kept]})
    assert "ok      nurses are not asked inside" in operator.do("policy", "test")
    always = {"name": "always", "effect": "require", "require": ["second_factor"]}
    result = operator.run("policy", "test", "--rules", draft(tmp_path, always))
    assert result.exit_code == 1
    assert "FAILED  nurses are not asked inside: allow was expected and the rules say require (always)" in result.stdout
    own = draft(tmp_path, always, tests=[{**kept, "expect": "require"}])
    assert operator.ask("policy", "test", "--rules", own, "--json") == {"cases": 1, "failures": []}


def test_operator_sees_a_case_of_the_configuration_fail_though_nothing_else_starts_on_it(operator: Operator) -> None:
    operator.configure(policy={"tests": [{"name": "all may", "given": {"zone_kind": "outside"}, "expect": "allow"}]})
    result = operator.run("policy", "test")
    assert result.exit_code == 1
    assert "FAILED  all may: allow was expected and the rules say" in result.stdout
    assert "policy.tests[0]" in operator.refused("serve")


def test_operator_reads_every_mistake_of_a_draft_with_its_place(operator: Operator, tmp_path: Path) -> None:
    wrong = draft(tmp_path, {"name": "Night", "effect": "ask", "when": {"zon": ["x"], "time": {"from": 2100}}})
    said = operator.refused("policy", "replay", "--rules", wrong)
    for path in ("rules[0].name", "rules[0].effect", "rules[0].when.zon", "rules[0].when.time.from"):
        assert f"error: {path}: " in said
    (tmp_path / "other.yaml").write_text("issuer: https://x.example\n")
    assert "rules" in operator.refused("policy", "replay", "--rules", str(tmp_path / "other.yaml"))


def test_support_code_leads_to_the_whole_story_of_a_sign_in(world: World) -> None:
    world.sign_in("claire")
    line = world.last_event("signin.succeeded")
    told = Operator(world.config_path, clock=world.clock).do("audit", "show", line["request_id"])
    for expected in (
        "where: tilleuls/lan (trusted): the address is in one of the zone's networks",
        "proven by a password; the rules allowed it (inside)",
        "rule inside: allow",
        "client carnet; profile nurse; establishment tilleuls",
        "method password",
    ):
        assert expected in told


def test_support_code_of_a_refusal_says_which_rule_denied(world: World) -> None:
    browser = world.browser(address=OUTSIDE)
    browser.sign_in("claire.dubois", world.password, page=browser.get(world.relying_party().begin()))
    line = world.last_event("signin.refused")
    told = Operator(world.config_path, clock=world.clock).do("audit", "show", line["request_id"])
    assert "where: outside: the address is in no zone" in told
    assert "the rules required a second factor (second_factor_outside)" in told


def test_supposed_sign_in_has_the_facts_of_the_real_one(world: World) -> None:
    world.sign_in("claire")
    real = world.last_event("signin.succeeded")["decision"]
    found = Operator(world.config_path, clock=world.clock).ask(
        "policy",
        "explain",
        "--person",
        "claire.dubois",
        "--client",
        "carnet",
        "--from",
        AT_TILLEULS,
        "--at",
        world.clock.now().isoformat(),
        "--json",
    )
    supposed = found["explanation"]
    moving = {"local_time"}
    assert {key: value for key, value in real["facts"].items() if key not in moving} == {
        key: value for key, value in supposed["facts"].items() if key not in moving
    }
    assert (real["verdict"], real["reasons"]) == (supposed["verdict"], supposed["reasons"])


def replay(world: World, *rules: dict[str, Any], **options: str) -> Any:
    more = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Operator(world.config_path, clock=world.clock).ask(
        "policy", "replay", "--rules", draft(world.folder, *rules), "--since", "2020-01-01", "--until", "2100-01-01", "--json", *more
    )


def give_totp(world: World, person: str) -> None:
    with world.arranging() as tx:
        tx.factors.add(a_factor(world.clock.new_id(), world.account(person).id, world.clock.now()))


def test_operator_learns_whom_a_draft_would_newly_ask_and_who_of_them_has_no_factor(world: World) -> None:
    world.sign_in("claire")
    world.sign_in("claire")
    world.sign_in("rose")
    world.sign_in("karim", browser=world.browser(address=AT_GLYCINES))
    give_totp(world, "rose")
    always = {"name": "always", "effect": "require", "require": ["second_factor"], "when": {"establishment": ["tilleuls"]}}
    found = replay(world, INSIDE, ELSEWHERE, always)
    assert (found["judged"], found["without_facts"], found["unreadable"]) == (4, 0, 0)
    tilleuls, glycines = sorted(found["establishments"], key=lambda one: one["establishment"], reverse=True)
    assert (tilleuls["judged"], tilleuls["asked"], tilleuls["asked_without_factor"]) == (3, {"times": 3, "people": 2}, 1)
    assert (glycines["judged"], glycines["asked"]["people"]) == (1, 0)
    claire = next(one for one in found["people"] if one["name"] == "Claire Dubois")
    assert (claire["change"], claire["times"], claire["has_factor"], claire["rules"], claire["profiles"]) == (
        "asked", 2, False, ["always"], ["nurse"],
    )  # fmt: skip
    path = draft(world.folder, INSIDE, ELSEWHERE, always)
    command = ("policy", "replay", "--rules", path, "--since", "2020-01-01", "--until", "2100-01-01")
    shown = Operator(world.config_path, clock=world.clock).do(*command)
    assert "Newly asked, and without a second factor: 1" in shown
    assert "Claire Dubois" in shown
    rows = list(csv.DictReader(io.StringIO(Operator(world.config_path, clock=world.clock).do(*command, "--csv"))))
    assert {row["name"]: (row["change"], row["has_factor"]) for row in rows} == {
        "Claire Dubois": ("asked", "False"),
        "Rose Marchand": ("asked", "True"),
    }
    assert "give one of" in Operator(world.config_path, clock=world.clock).refused(*command, "--csv", "--json")


def test_operator_learns_whom_a_draft_would_refuse_spare_or_let_in(world: World) -> None:
    world.sign_in("claire")
    browser = world.browser(address=OUTSIDE)
    browser.sign_in("rose.marchand", world.password, page=browser.get(world.relying_party().begin()))
    everybody = {"name": "everybody", "effect": "allow"}
    nurses = {"name": "no-nurses", "effect": "deny", "when": {"profile": ["nurse"]}}
    changes = {(one["name"], one["change"]) for one in replay(world, everybody, nurses)["people"]}
    assert changes == {("Claire Dubois", "refused"), ("Rose Marchand", "spared")}
    same = replay(world, INSIDE, ELSEWHERE)
    assert same["people"] == []
    assert replay(world, everybody, nurses, establishment="glycines")["judged"] == 0
    observed = replay(world, INSIDE, ELSEWHERE, {**nurses, "observe": True})
    assert (observed["people"], observed["observed"]) == ([], {"no_nurses": 1})


def test_replay_counts_what_it_cannot_judge(world: World) -> None:
    world.sign_in("claire")
    browser = world.browser()
    browser.sign_in("claire.dubois", "wrong", page=browser.get(world.relying_party().begin()))
    at = world.clock.now()
    line = Event(type=EventType.SIGNIN_SUCCEEDED, at=at, actor="anonymous", origin=Origin("A" * 10, "10.0.0.1"))
    with world.arranging() as tx:
        tx.events.append(line)
        tx.events.append(replace(line, origin=Origin("B" * 10, "10.0.0.1"), decision={"facts": {"zone": 7}, "verdict": "allow"}))
        tx.events.append(replace(line, at=at - timedelta(days=20_000), origin=Origin("C" * 10, "10.0.0.1")))
    found = replay(world, INSIDE, ELSEWHERE)
    assert (found["judged"], found["without_facts"], found["unreadable"], found["refused_before_any_rule"]) == (1, 1, 1, 1)
    told = Operator(world.config_path, clock=world.clock).do("policy", "replay", "--since", "2020-01-01", "--until", "2100-01-01")
    assert "1 were not judged: the trail keeps no facts of them" in told
    assert "nothing changes for anybody" in told
    assert world.last_event("signin.refused")["reason"] == Reason.WRONG_PASSWORD
