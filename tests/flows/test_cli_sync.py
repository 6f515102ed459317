"""An operator reads a whole directory, on a real slapd: who joins, who changes, who leaves, and what stops a landslide."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp.config import load
from idp.lifecycle import reading
from idp.store.base import Account, Attachment, Link, SyncRun
from idp.store.database import Database
from tests.support.operator import ACTOR, Operator
from tests.support.pens import pens_of
from tests.support.slapd import GROUPS, MAPPING, PEOPLE, Slapd

PROFILES = ["nurse", "aide", "it"]
CAST = {"d.claire", "d.hugo", "d.amina", "d.zoe", "d.paul"}  # d.lea and d.noa are placed nowhere, d.remi is out of scope


def connect(operator: Operator, slapd: Slapd, *, sync: dict[str, Any] | None = None, **directory: Any) -> None:
    operator.configure(profiles=PROFILES, directories=[slapd.settings(**directory)], sync=sync or {})


@pytest.fixture
def connected(operator: Operator, slapd: Slapd) -> Operator:
    """An operator whose directory was read once."""
    connect(operator, slapd)
    operator.do("sync", "annuaire")
    return operator


def look(operator: Operator) -> dict[str, tuple[Account, Link, list[Attachment]]]:
    """Everybody linked, by username."""
    with operator.looking() as tx:
        found = {}
        for link in tx.links.all("annuaire"):
            account = tx.people.get(link.account_id)
            assert account is not None
            found[account.username or account.id] = (account, link, [one for one in tx.people.attachments(account.id) if not one.ended_at])
        return found


def places(operator: Operator, username: str) -> set[tuple[str, str]]:
    with operator.looking() as tx:
        slugs = {one.id: one.slug for one in tx.establishments.all()}
    return {(slugs[one.establishment_id], one.profile) for one in look(operator)[username][2]}


def runs(operator: Operator) -> list[SyncRun]:
    """The runs, newest first."""
    with operator.looking() as tx:
        return list(tx.links.runs("annuaire"))


def suspended(operator: Operator) -> set[str]:
    return {username for username, (account, _, _) in look(operator).items() if account.status == "suspended"}


def held(operator: Operator) -> set[str]:
    return {username for username, (_, link, _) in look(operator).items() if link.held_by_run}


def stop(operator: Operator, *arguments: str, code: int) -> Any:
    result = operator.run("sync", "annuaire", *arguments)
    assert result.exit_code == code, result.output
    return result


# Joiners and movers


def test_operator_imports_a_directory_with_its_groups_and_the_second_run_changes_nothing(operator: Operator, slapd: Slapd) -> None:
    connect(operator, slapd)
    said = operator.do("sync", "annuaire")
    assert "annuaire: 5 added, 0 changed, 0 unchanged, 0 ended" in said
    assert "2 listed people are placed nowhere" in said
    assert set(look(operator)) == CAST
    assert places(operator, "d.claire") == {("tilleuls", "nurse")}
    assert places(operator, "d.hugo") == {("glycines", "aide")}  # through a group in a group
    assert places(operator, "d.amina") == {("tilleuls", "nurse"), ("glycines", "nurse")}
    assert places(operator, "d.paul") == {("tilleuls", "it")}
    assert look(operator)["d.zoe"][0].family_name == "Éluard"
    assert operator.ask("account", "show", "70001")["username"] == "d.claire"
    line = operator.last_event("sync.done")
    assert (line["actor"], line["connector"], line["details"]["added"]) == (ACTOR, "annuaire", 5)
    before = look(operator)
    assert "0 added, 0 changed, 5 unchanged, 0 ended" in operator.do("sync", "annuaire")
    after = look(operator)
    assert {name: row[0] for name, row in before.items()} == {name: row[0] for name, row in after.items()}
    assert all(after[name][1].word_at > before[name][1].word_at for name in CAST)
    assert [run.state for run in runs(operator)] == ["done", "done"]


def test_a_rename_a_move_and_a_new_group_are_changes_of_the_same_account(connected: Operator, slapd: Slapd) -> None:
    before = look(connected)["d.claire"][0].id
    moved = slapd.rename(slapd.dn("d.claire"), "uid=d.claire", under=f"ou=nights,{PEOPLE}")
    slapd.modify(moved, {"uid": ["d.claire"], "sn": "Dumont-Roy", "mail": "claire.roy@annuaire.example"})
    slapd.join("glycines-infirmiers", moved)
    slapd.join("tilleuls-infirmiers", moved)
    report = connected.ask("sync", "annuaire", "--json")
    assert (report["state"], report["added"], report["changed"], report["ended"]) == ("done", 0, 1, 0)
    account, _, _ = look(connected)["d.claire"]
    assert (account.id, account.family_name, account.email) == (before, "Dumont-Roy", "claire.roy@annuaire.example")
    assert places(connected, "d.claire") == {("tilleuls", "nurse"), ("glycines", "nurse")}


def test_somebody_locked_by_wrong_passwords_is_kept(connected: Operator, slapd: Slapd) -> None:
    slapd.lock("d.claire")
    connected.do("sync", "annuaire")
    account, link, attachments = look(connected)["d.claire"]
    assert (account.status, link.word, len(attachments)) == ("active", "locked", 1)


def test_a_stranger_whom_the_directory_does_not_let_in_is_not_imported(operator: Operator, slapd: Slapd) -> None:
    slapd.disable("d.hugo")
    connect(operator, slapd)
    assert "1 listed people are not let in by the directory" in operator.do("sync", "annuaire")
    assert set(look(operator)) == CAST - {"d.hugo"}


def test_a_directory_with_more_changes_than_are_kept_is_read_again(
    connected: Operator, slapd: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "KEPT_CHANGES", 2)
    for uid in ("d.claire", "d.hugo", "d.amina", "d.zoe"):
        slapd.modify(slapd.dn(uid), {"mobile": "06 11 22 33 44"})
    slapd.add_person("d.neuf", departmentNumber="SI-9")
    slapd.disable("d.paul")
    report = connected.ask("sync", "annuaire", "--json")
    assert (report["added"], report["changed"], report["unchanged"], report["ended"]) == (1, 4, 0, 1)
    assert look(connected)["d.zoe"][0].phone_number
    assert suspended(connected) == {"d.paul"}


# Leavers

LEAVING: dict[str, Callable[[Slapd], None]] = {
    "directory_gone": lambda slapd: slapd.delete(slapd.dn("d.claire")),
    "directory_disabled": lambda slapd: slapd.disable("d.claire"),
    "directory_expired": lambda slapd: slapd.modify(slapd.dn("d.claire"), {"shadowExpire": "1000"}),
    "directory_out_of_scope": lambda slapd: slapd.modify(slapd.dn("d.claire"), {"employeeType": "prestataire"}),
}


@pytest.mark.parametrize("reason", LEAVING)
def test_somebody_who_left_is_suspended_with_the_directorys_reason(connected: Operator, slapd: Slapd, reason: str) -> None:
    LEAVING[reason](slapd)
    report = connected.ask("sync", "annuaire", "--json")
    assert (report["state"], report["ended"], report["people"][0]["reason"]) == ("done", 1, reason)
    account, link, _ = look(connected)["d.claire"]
    assert (account.status, account.cut_by, link.word) == ("suspended", "annuaire", reason.removeprefix("directory_"))
    line = connected.last_event("account.suspended")
    assert (line["reason"], line["account_id"], line["connector"]) == (reason, account.id, "annuaire")
    again = connected.ask("sync", "annuaire", "--json")
    assert (again["state"], again["ended"], again["changed"]) == ("done", 0, 0)
    assert len(connected.events("account.suspended")) == 1


def test_somebody_who_lost_every_group_keeps_the_account_and_no_attachment(connected: Operator, slapd: Slapd) -> None:
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
    said = connected.do("sync", "annuaire")
    assert "1 ended" in said
    assert "no mapping rule places them any more" in said
    account, _, attachments = look(connected)["d.claire"]
    assert (account.status, attachments) == ("active", [])


def test_a_sync_alone_revives_nobody(connected: Operator, slapd: Slapd) -> None:
    slapd.disable("d.claire")
    connected.do("sync", "annuaire")
    slapd.enable("d.claire")
    connected.do("sync", "annuaire")
    account, link, _ = look(connected)["d.claire"]
    assert (account.status, link.word) == ("suspended", "usable")
    assert connected.events("account.reinstated") == []


def test_what_an_operator_cut_and_gave_stays_when_the_directory_says_otherwise(connected: Operator, slapd: Slapd) -> None:
    connected.do("account", "suspend", "d.claire")
    connected.do("account", "attach", "d.zoe", "glycines", "--profile", "aide")
    slapd.modify(slapd.dn("d.zoe"), {"mobile": "0611223344"})
    slapd.disable("d.claire")
    connected.do("sync", "annuaire")
    slapd.enable("d.claire")
    connected.do("sync", "annuaire")
    assert (look(connected)["d.claire"][0].status, look(connected)["d.claire"][0].cut_by) == ("suspended", "operator")
    assert places(connected, "d.zoe") == {("glycines", "aide"), ("tilleuls", "nurse")}


def test_somebody_reinstated_by_an_operator_against_the_directory_is_cut_again(connected: Operator, slapd: Slapd) -> None:
    slapd.disable("d.claire")
    connected.do("sync", "annuaire")
    connected.do("account", "reinstate", "d.claire")
    assert connected.ask("sync", "annuaire", "--json")["ended"] == 1
    assert suspended(connected) == {"d.claire"}


def test_somebody_suspended_and_then_deleted_is_known_as_gone(connected: Operator, slapd: Slapd) -> None:
    slapd.disable("d.claire")
    connected.do("sync", "annuaire")
    slapd.delete(slapd.dn("d.claire"))
    assert connected.ask("sync", "annuaire", "--json")["ended"] == 0
    assert look(connected)["d.claire"][1].word == "gone"


# The brake


def test_a_landslide_changes_nothing_and_holds_those_it_would_end(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, sync={"brake_people": 2, "brake_hold": "2h"})
    for uid in ("d.claire", "d.hugo", "d.zoe"):
        slapd.delete(slapd.dn(uid))
    slapd.add_person("d.neuf")
    slapd.modify(slapd.dn("d.amina"), {"sn": "Autre"})
    before = look(connected)
    result = stop(connected, code=3)
    assert "stopped by the brake: nothing was changed" in result.stderr
    run = runs(connected)[0]
    assert f"vestibule sync annuaire --confirm {run.id}" in result.stdout
    assert (run.state, run.counts) == ("held", {"held": 3})
    after = look(connected)
    assert {name: row[0] for name, row in before.items()} == {name: row[0] for name, row in after.items()}
    assert held(connected) == {"d.claire", "d.hugo", "d.zoe"}
    until = after["d.claire"][1].held_until
    assert until is not None
    assert timedelta(minutes=119) < until - datetime.now(UTC) < timedelta(hours=2)
    line = connected.last_event("sync.held")
    assert (line["reason"], line["details"]["held"], line["details"]["run"]) == ("sync_brake", 3, run.id)
    assert connected.ask("sync", "annuaire", "--waiting", "--json")["run"] == run.id
    assert "d.claire" not in connected.do("sync", "annuaire", "--waiting")  # names, not logins
    assert "Claire Dumont" in connected.do("sync", "annuaire", "--waiting")


def test_a_later_pass_is_recorded_takes_over_and_makes_no_hold_longer(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, sync={"brake_people": 2})
    gone = [slapd.dn(uid) for uid in ("d.claire", "d.hugo", "d.zoe")]
    for dn in gone:
        slapd.delete(dn)
    stop(connected, code=3)
    first = runs(connected)[0]
    until = look(connected)["d.claire"][1].held_until
    slapd.delete(slapd.dn("d.paul"))
    stop(connected, code=3)
    second, earlier, _ = runs(connected)
    assert (second.state, earlier.id, earlier.state) == ("held", first.id, "dismissed")
    assert len(connected.events("sync.held")) == 2
    found = look(connected)
    assert held(connected) == {"d.claire", "d.hugo", "d.zoe", "d.paul"}
    assert {row[1].held_by_run for row in found.values()} == {None, second.id}
    assert found["d.claire"][1].held_until == until
    later = found["d.paul"][1].held_until
    assert until is not None
    assert later is not None
    assert later > until


def test_confirming_ends_exactly_those_held_who_are_still_gone(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, sync={"brake_people": 2})
    for uid in ("d.claire", "d.hugo", "d.zoe"):
        slapd.disable(uid)
    stop(connected, code=3)
    run = runs(connected)[0].id
    slapd.enable("d.hugo")
    slapd.delete(slapd.dn("d.claire"))
    slapd.disable("d.paul")
    said = connected.do("sync", "annuaire", "--confirm", run)
    assert "2 people ended as confirmed, 1 kept" in said
    assert suspended(connected) == {"d.claire", "d.zoe"}
    assert look(connected)["d.claire"][1].word == "gone"
    assert held(connected) == set()
    line = connected.last_event("sync.confirmed")
    assert (line["actor"], line["details"]) == (ACTOR, {"run": run, "ended": 2, "kept": 1})
    assert "waits for nobody: it is confirmed" in connected.refused("sync", "annuaire", "--confirm", run)
    certificate = connected.ask("cut", "show", look(connected)["d.zoe"][0].id, "--json")
    assert certificate["held_at"] < certificate["heard_at"] <= certificate["decided_at"]
    assert connected.ask("sync", "annuaire", "--json")["ended"] == 1  # d.paul, by a run of his own
    alone = connected.ask("cut", "show", look(connected)["d.paul"][0].id, "--json")
    assert alone["held_at"] is None
    assert suspended(connected) == {"d.claire", "d.zoe", "d.paul"}


def test_dismissing_lets_go_and_ends_nobody(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, sync={"brake_people": 2})
    for uid in ("d.claire", "d.hugo", "d.zoe"):
        slapd.disable(uid)
    stop(connected, code=3)
    run = runs(connected)[0].id
    assert "3 people are held by it no more" in connected.do("sync", "annuaire", "--dismiss", run)
    assert (held(connected), suspended(connected)) == (set(), set())
    assert runs(connected)[0].state == "dismissed"
    assert connected.last_event("sync.dismissed")["details"] == {"run": run, "released": 3, "why": "dismissed by an operator"}
    assert "dismissed by an operator" in connected.refused("sync", "annuaire", "--dismiss", run)
    assert "has no run" in connected.refused("sync", "annuaire", "--dismiss", "nothing")


def test_a_pass_that_finds_no_landslide_any_more_lets_go_of_those_held(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, sync={"brake_people": 2})
    for uid in ("d.claire", "d.hugo", "d.zoe"):
        slapd.disable(uid)
    stop(connected, code=3)
    slapd.enable("d.claire")
    slapd.enable("d.hugo")
    assert connected.ask("sync", "annuaire", "--json")["ended"] == 1
    assert (held(connected), suspended(connected)) == (set(), {"d.zoe"})
    assert [run.state for run in runs(connected)] == ["done", "dismissed", "done"]


def test_a_rule_mistyped_in_the_configuration_is_a_landslide_too(connected: Operator, slapd: Slapd) -> None:
    wrong = [{**rule, "group": "{establishment}-infirmieres"} if rule["profile"] == "nurse" else dict(rule) for rule in MAPPING]
    connect(connected, slapd, sync={"brake_people": 2}, mapping=wrong)
    result = stop(connected, code=3)
    assert "no mapping rule places them any more" in result.stdout
    assert held(connected) == {"d.claire", "d.amina", "d.zoe"}
    assert places(connected, "d.claire") == {("tilleuls", "nurse")}


def test_a_scope_that_lets_nobody_in_any_more_stops_however_small_the_home(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, scope="(&(objectClass=inetOrgPerson)(employeeType=salarie))")
    stop(connected, code=1)  # a service account that sees nobody at all is not believed
    assert suspended(connected) == set()
    assert held(connected) == set()


def test_a_scope_that_lets_few_in_stops_and_holds_the_others(connected: Operator, slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.paul"), {"employeeType": "salarie"})
    connect(connected, slapd, scope="(&(objectClass=inetOrgPerson)(employeeType=salarie))", sync={"brake_people": 2})
    stop(connected, code=3)
    assert suspended(connected) == set()
    assert held(connected) == CAST - {"d.paul"}


def test_an_operator_sees_beforehand_what_a_run_would_do(connected: Operator, slapd: Slapd) -> None:
    slapd.disable("d.claire")
    slapd.add_person("d.neuf", departmentNumber="SI-9")
    report = connected.ask("sync", "annuaire", "--dry-run", "--json")
    assert (report["added"], report["changed"], report["unchanged"], report["ended"]) == (1, 0, 4, 1)
    assert report["people"][0]["name"] == "Claire Dumont"
    assert "would end: Claire Dumont" in connected.do("sync", "annuaire", "--dry-run")
    connect(connected, slapd, sync={"brake_people": 1})
    slapd.disable("d.hugo")
    stop(connected, "--dry-run", code=3)
    assert (suspended(connected), held(connected), len(runs(connected))) == (set(), set(), 1)
    assert "d.neuf" not in look(connected)
    assert connected.events("sync.held") == []


# What goes wrong


@pytest.mark.parametrize(
    ("directory", "says"),
    [
        ({"bind_dn": f"cn=nobody,{PEOPLE}"}, "refused our service account"),
        ({"base": f"ou=nowhere,{PEOPLE}"}, "must not be believed"),
        ({"groups": {"base": f"ou=nowhere,{GROUPS}"}}, "must not be believed"),
    ],
)
def test_a_run_that_fails_says_why_and_ends_nobody(connected: Operator, slapd: Slapd, directory: dict[str, Any], says: str) -> None:
    connect(connected, slapd, **directory)
    result = stop(connected, code=1)
    assert says in result.stderr
    assert suspended(connected) == set()
    assert runs(connected)[0].state == "failed"
    assert connected.last_event("sync.failed")["reason"].startswith("directory_")


def test_a_directory_that_is_stopped_is_never_read_as_everybody_left(connected: Operator, slapd: Slapd) -> None:
    slapd.stop()
    assert "no server answers" in stop(connected, code=1).stderr
    assert connected.last_event("sync.failed")["details"]["trouble"] == "refused"
    assert suspended(connected) == set()
    slapd.start()
    connected.do("sync", "annuaire")


def test_a_directory_that_goes_away_keeps_a_confirmed_run_waiting(connected: Operator, slapd: Slapd) -> None:
    connect(connected, slapd, sync={"brake_people": 2})
    for uid in ("d.claire", "d.hugo", "d.zoe"):
        slapd.disable(uid)
    stop(connected, code=3)
    run = runs(connected)[0].id
    slapd.stop()
    assert "no server answers" in stop(connected, "--confirm", run, code=1).stderr
    assert (runs(connected)[0].state, suspended(connected)) == ("held", set())
    slapd.start()
    connected.do("sync", "annuaire", "--confirm", run)
    assert suspended(connected) == {"d.claire", "d.hugo", "d.zoe"}


def test_two_runs_at_once_are_refused_and_one_that_was_killed_is_closed(connected: Operator, slapd: Slapd) -> None:
    config = load(connected.config_path)
    database = Database.of(config.database, pool_size=2, pens=pens_of(config))
    now = datetime.now(UTC)
    left = SyncRun(id="LEFT", connector="annuaire", state="running", started_at=now, ended_at=None, counts={}, detail="")
    with database.write() as tx:
        tx.links.add_run(left)
        lease = tx.leases.take("sync:annuaire", "another", now=now, ttl=timedelta(minutes=2))
    assert lease is not None
    assert "is being read by another run" in connected.refused("sync", "annuaire")
    assert "is being read by another run" in connected.refused("sync", "annuaire", "--confirm", "LEFT")
    with database.write() as tx:
        tx.leases.release(lease)
    connected.do("sync", "annuaire")
    with database.read() as tx:
        closed = tx.links.run("LEFT")
    assert closed is not None
    assert (closed.state, closed.detail) == ("failed", "interrupted")
    database.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sync", "nothing"), "no directory 'nothing'; there is: annuaire"),
        (("sync", "annuaire", "--dry-run", "--confirm", "X"), "give one of"),
        (("sync", "annuaire", "--confirm", "X"), "annuaire has no run X"),
    ],
)
def test_operator_is_told_when_the_command_makes_no_sense(connected: Operator, arguments: tuple[str, ...], says: str) -> None:
    assert says in connected.refused(*arguments)


def test_operator_without_a_directory_is_told(operator: Operator) -> None:
    assert "names no directory" in operator.refused("sync", "annuaire")
