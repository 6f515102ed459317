"""Two accounts of one person become one, and two again: from the command line, and what applications and browsers see of it."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from idp.audit import Author, Origin
from idp.people import merging
from idp.people.accounts import AccountRefused
from idp.store.base import Link
from tests.conftest import MakeWorld
from tests.support.cast import PASSWORD
from tests.support.operator import ACTOR, Operator
from tests.support.second_factors import enrol_phone, open_parts
from tests.support.world import World

WHY = "--reason"
AUTHOR = Author(ACTOR, Origin("ESSAI", "local"))
PROVIDER = {
    "name": "psc",
    "type": "oidc",
    "label": "Pro Santé Connect",
    "issuer": "https://psc.example",
    "client_id": "vestibule",
    "client_secret": "env:PSC_SECRET",
}


@pytest.fixture
def home(make_world: MakeWorld) -> Iterator[World]:
    return make_world()


@pytest.fixture
def operator(home: World) -> Operator:
    return Operator(home.config_path, clock=home.clock)


def younger(home: World, person: str) -> str:
    """The account of somebody, made later than the rest of the cast."""
    account = home.account(person)
    with home.arranging() as tx:
        tx.people.change(account.id, home.clock.now(), created_at=home.clock.now())
    return account.id


def link_by_hand(home: World, account_id: str, connector: str, subject: str, *, kind: str = "upstream") -> None:
    now = home.clock.now()
    with home.arranging() as tx:
        tx.links.add(
            Link(
                connector=connector,
                subject=subject,
                account_id=account_id,
                word="usable",
                word_at=now,
                seen_digest="x",
                held_by_run=None,
                held_until=None,
                password_changed_at=None,
                created_at=now,
                kind=kind,
                how="proven",
            )
        )


def merge(operator: Operator, keep: str, retire: str) -> str:
    return operator.do("account", "merge", keep, retire, "--yes", WHY, "même personne, vu sa carte")


def test_the_older_account_lives_with_what_the_other_had(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    enrol_phone(home, open_parts(home), "rose")
    link_by_hand(home, retired, "psc", "899700218896")
    signed_in, other = home.sign_in("claire"), home.sign_in("rose")
    said = merge(operator, kept, retired)
    assert "retired into Claire Dubois" in said
    shown, gone = operator.ask("account", "show", kept), operator.ask("account", "show", retired)
    assert [one["subject"] for one in shown["links"]] == ["899700218896"]
    assert {one["value"] for one in shown["identifiers"]} >= {"claire.dubois", "rose.marchand", "10077"}
    assert {one["profile"] for one in shown["attachments"] if one["ended_at"] is None} == {"nurse", "administrative"}
    assert (gone["status"], gone["merged_into"], gone["identifiers"]) == ("ended", kept, [])
    (recorded,) = shown["merges"]
    assert (recorded["retired"], recorded["why"]) == (retired, "même personne, vu sa carte")
    line = operator.last_event("account.merged")
    assert (line["account_id"], line["actor"], line["details"]["retired"]) == (kept, ACTOR, retired)
    assert line["details"]["moved_factors"] == 1
    for browser in (signed_in.browser, other.browser):
        assert "signin-form" in browser.get("/account").forms


def test_a_retired_sub_works_nowhere(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    before = home.sign_in("rose", scope="openid profile offline_access")
    tokens, party = before.tokens, before.party
    merge(operator, kept, retired)
    assert party.refresh(tokens.refresh).status_code == 400
    assert home.machine.get("/userinfo", headers={"Authorization": f"Bearer {tokens.access}"}).status_code == 401
    assert party.introspect(tokens.access).json() == {"active": False}
    # As a hint it names nobody who can answer: neither the kept person's Session, nor their password.
    here = home.sign_in("claire")
    page = here.browser.get(party.begin(prompt="none", id_token_hint=tokens.identity))
    assert page.callback is not None
    assert page.callback.parameters["error"] == "login_required"
    page = home.browser().get(party.begin(id_token_hint=tokens.identity))
    assert page.callback is None
    with home.database.read() as tx:
        assert tx.sessions.open_of(retired) == tx.grants.open_of_account(retired) == ()
    # The name that was the retired one's leads to the person now, by the person's own password and no other.
    browser = home.browser()
    page = browser.sign_in("rose.marchand", PASSWORD, page=browser.get(party.begin()))
    assert page.callback is not None
    assert party.exchange(page.callback).claims["sub"] == kept


def test_a_merge_undone_gives_back_what_still_stands(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    enrol_phone(home, open_parts(home), "rose")
    link_by_hand(home, retired, "psc", "899700218896")
    before = {name: operator.ask("account", "show", one) for name, one in (("kept", kept), ("retired", retired))}
    merge(operator, kept, retired)
    signed_in = home.sign_in("claire", establishment="tilleuls")
    operator.do("account", "unmerge", retired, WHY, "deux homonymes")
    after = {name: operator.ask("account", "show", one) for name, one in (("kept", kept), ("retired", retired))}
    for name in ("kept", "retired"):
        for what in ("status", "links", "attachments", "merged_into"):
            assert after[name][what] == before[name][what], (name, what)
        assert sorted(str(one) for one in after[name]["identifiers"]) == sorted(str(one) for one in before[name]["identifiers"])
    assert "signin-form" in signed_in.browser.get("/account").forms
    assert home.sign_in("rose").tokens.claims["sub"] == retired
    line = operator.last_event("account.unmerged")
    assert (line["account_id"], line["details"]["why"]) == (kept, "deux homonymes")


def test_what_was_taken_away_since_does_not_come_back(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    link_by_hand(home, retired, "psc", "899700218896")
    merge(operator, kept, retired)
    operator.do("account", "unlink", kept, "--connector", "psc", WHY, "carte perdue")
    operator.do("account", "unmerge", retired, WHY, "erreur")
    assert operator.ask("account", "show", retired)["links"] == []


def test_twice_changes_nothing(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    merge(operator, kept, retired)
    events = len(operator.events())
    assert "already" in merge(operator, kept, retired)
    assert len(operator.events()) == events
    operator.do("account", "unmerge", retired, WHY, "erreur")
    events = len(operator.events())
    assert "nothing to undo" in operator.do("account", "unmerge", retired, WHY, "erreur")
    assert len(operator.events()) == events


@pytest.mark.parametrize(
    ("keep", "retire", "says"),
    [
        ("rose", "claire", "is the older"),
        ("claire", "claire", "with itself"),
        ("claire", "paul", "decide about that first"),
        ("paul", "rose", "decide about that first"),
    ],
)
def test_merge_is_refused(home: World, operator: Operator, keep: str, retire: str, says: str) -> None:
    younger(home, "rose")
    said = operator.refused("account", "merge", home.account(keep).id, home.account(retire).id, "--yes", WHY, "essai")
    assert says in said
    assert operator.events("account.merged") == []


def test_a_merge_gives_nobody_a_role(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    operator.do("admin", "bootstrap", retired)
    assert "take that role first" in operator.refused("account", "merge", kept, retired, "--yes", WHY, "essai")


def test_the_break_glass_account_is_nobodys(home: World, operator: Operator) -> None:
    account = home.account("rose")
    with home.arranging() as tx:
        tx.people.change(account.id, home.clock.now(), is_break_glass=True, created_at=home.clock.now())
    assert "no person's account" in operator.refused("account", "merge", home.account("claire").id, account.id, "--yes", WHY, "essai")


def test_two_people_of_one_provider_are_not_merged(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    link_by_hand(home, kept, "psc", "1")
    link_by_hand(home, retired, "psc", "2")
    assert "both are linked to psc" in operator.refused("account", "merge", kept, retired, "--yes", WHY, "essai")


def test_a_suspension_since_the_merge_is_said_of_both(home: World, operator: Operator) -> None:
    kept, retired = home.account("claire").id, younger(home, "rose")
    merge(operator, kept, retired)
    operator.do("account", "suspend", kept)
    operator.do("account", "unmerge", retired, WHY, "erreur")
    assert operator.ask("account", "show", retired)["status"] == "suspended"


def test_a_merge_into_an_account_that_was_merged_itself_is_undone_in_order(home: World, operator: Operator) -> None:
    oldest, middle = home.account("claire").id, younger(home, "rose")
    home.clock.advance(timedelta(seconds=1))
    newest = younger(home, "karim")
    merge(operator, middle, newest)
    merge(operator, oldest, middle)
    assert "undo the merge of" in operator.refused("account", "unmerge", newest, WHY, "erreur")
    operator.do("account", "unmerge", middle, WHY, "erreur")
    operator.do("account", "unmerge", newest, WHY, "erreur")
    assert operator.ask("account", "show", newest)["status"] == "active"


def test_of_two_merges_at_once_one_is_made(home: World) -> None:
    kept, retired = home.account("claire"), home.account("rose")
    younger(home, "rose")
    made: list[object] = []
    start = threading.Barrier(2)

    def run() -> None:
        start.wait()
        try:
            with home.database.write() as tx:
                made.append(merging.merge(tx, kept, retired, AUTHOR, why="course", clock=home.clock))
        except AccountRefused as refused:
            made.append(refused)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, merging.Outcome) for one in made) == 1
    assert len(home.events("account.merged")) == 1


def test_an_operator_links_a_person_of_a_provider_and_says_why(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_SECRET", "un-secret-de-client-qui-est-long")
    home = make_world(providers=[PROVIDER])
    operator, claire = Operator(home.config_path, clock=home.clock), home.account("claire").id
    operator.do("account", "link", claire, "--connector", "psc", "--subject", "f:1:899700218896", WHY, "vu sa carte CPS")
    line = operator.last_event("account.linked")
    assert (line["actor"], line["details"]) == (ACTOR, {"how": "operator", "why": "vu sa carte CPS"})
    rose = home.account("rose").id
    said = operator.refused("account", "link", rose, "--connector", "psc", "--subject", "f:1:899700218896", WHY, "essai")
    assert "linked to another account" in said
    assert operator.last_event("account.link_refused")["reason"] == "linked_to_another"
    said = operator.refused("account", "link", claire, "--connector", "psc", "--subject", "autre", WHY, "essai")
    assert "another person of psc already" in said
    assert "no directory and no provider" in operator.refused("account", "link", rose, "--connector", "ici", "--subject", "a", WHY, "b")
    paul = home.account("paul").id
    assert "not an active" in operator.refused("account", "link", paul, "--connector", "psc", "--subject", "p", WHY, "essai")
