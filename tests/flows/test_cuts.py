"""Certificates of cuts: what the command and the console say of a departure, to whom, and that a document can be told from a forgery."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from idp import app as composition
from idp.audit import Author, Origin, Reason, Word
from idp.composition.cut import open_deliverer
from idp.endings import Cause, cut_account, end_attachment
from idp.lifecycle.certificate import Certificate, certify
from idp.oauth.delivery import Deliverer
from idp.store.base import Cut
from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.agents import AgentAtWork, enter_console
from tests.support.listener import Listener
from tests.support.operator import Operator
from tests.support.world import World

OPERATOR = Author("operator:test", Origin("0123456789", "local"))
Deliver = Callable[[], int]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def deliver(world: World) -> Iterator[Deliver]:
    """Send what is due, as the worker does."""
    deliverer: Deliverer = open_deliverer(composition.build(world.config, world.clock))
    yield deliverer.run_once
    deliverer.close()


@pytest.fixture
def rose(world: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(world)


@pytest.fixture
def operator(world: World) -> Operator:
    """Whoever holds the machine of this world."""
    return Operator(world.config_path, clock=world.clock)


def cut_off(world: World, person: str = "claire", *, heard_of: bool = True) -> Cut:
    """A directory says that somebody left: written, heard 40 ms after, decided 10 ms after that."""
    written = world.clock.now()
    world.clock.advance(timedelta(milliseconds=40))
    heard = world.clock.now()
    world.clock.advance(timedelta(milliseconds=10))
    account = world.account(person)
    word = Word(connector="annuaire", subject="a-lasting-id", written_at=written, heard_at=heard) if heard_of else None
    cause = Cause(Reason.DIRECTORY_DISABLED, "system", Origin(world.clock.new_code(10), "local"), word)
    with world.arranging() as tx:
        cut_account(tx, account.id, cause, status="suspended", cut_by="annuaire", clock=world.clock)
    return last_cut(world, person)


def last_cut(world: World, person: str = "claire") -> Cut:
    with world.database.read() as tx:
        return tx.cuts.of_account(world.account(person).id)[0]


def certificate(world: World, cut: Cut) -> Certificate:
    with world.database.read() as tx:
        return certify(tx, cut, now=world.clock.now())


# The simplest end to end


def test_contact_suspends_somebody_and_the_certificate_says_who_why_and_what_the_application_answered(
    world: World, rose: AgentAtWork, operator: Operator, deliver: Deliver, listener: Listener
) -> None:
    world.sign_in("claire")
    account = world.account("claire")
    page = rose.browser.submit("suspend-form", page=rose.get(f"/admin/people/{account.id}/suspend"), why="a quitté la maison")
    rose.browser.submit("changes", page=page, button="confirm")
    assert world.account("claire").status == "suspended"
    cut = last_cut(world)
    assert (cut.kind, cut.cause, cut.actor) == ("suspended", "account_cut", f"account:{world.account('rose').id}")
    before = json.loads(operator.run("cut", "show", "claire.dubois", "--json").stdout)
    assert (before["state"], before["missing"]) == ("waiting", ["not_answered_yet"])
    assert deliver() == 1
    (told,) = listener.received
    shown = operator.ask("cut", "show", account.id, "--json")
    assert (shown["state"], shown["missing"], shown["not_told"]) == ("complete", [], [])
    (application,) = shown["applications"]
    assert (application["state"], application["answer"], application["channel"]) == ("acknowledged", "HTTP 200", "backchannel_logout")
    assert told.path == "/carnet"
    page = rose.get(f"/admin/cuts/{cut.id}")
    assert page.status == 200
    assert account.name in page.text
    assert "HTTP 200" in page.text
    assert cut.id in page.text
    listed = rose.get("/admin/cuts")
    assert account.name in listed.text
    assert "1 of 1 application has acknowledged" in listed.text
    assert world.account("rose").name in page.text, "who did it is said by name"
    assert f"/admin/cuts/{cut.id}" in listed.markup


# What a certificate says


def test_reader_sees_each_stage_when_a_directory_said_when(world: World, operator: Operator, deliver: Deliver) -> None:
    world.sign_in("claire")
    cut = cut_off(world)
    world.clock.advance(timedelta(milliseconds=25))
    deliver()
    said = certificate(world, cut)
    assert said.to_hear == timedelta(milliseconds=40)
    assert said.to_decide == timedelta(milliseconds=10)
    assert said.to_tell == timedelta(milliseconds=25)
    assert (said.state, said.gaps) == ("complete", ())
    shown = operator.do("cut", "show", "claire.dubois")
    for words in ("annuaire", "(+40 ms)", "(+10 ms)", "(+25 ms)", "back-channel logout, acknowledged (HTTP 200)", "complete"):
        assert words in shown


def test_reader_is_told_what_is_missing_when_an_application_gives_no_answer(
    world: World, operator: Operator, deliver: Deliver, listener: Listener
) -> None:
    world.sign_in("claire")
    cut = cut_off(world)
    listener.answers = [500] * 20
    deliver()
    assert certificate(world, cut).state == "waiting"
    for _ in range(len(world.config.logout.retries)):
        world.clock.advance(timedelta(days=1))
        deliver()
    said = certificate(world, cut)
    assert (said.state, said.gaps) == ("incomplete", ("given_up",))
    assert said.receipts[0].words == "HTTP 500"
    result = operator.run("cut", "show", "claire.dubois")
    assert result.exit_code == 3
    assert "given up" in result.stdout


def test_reader_is_told_of_an_application_that_cannot_be_told(world: World) -> None:
    with world.arranging() as tx:
        client = tx.clients.get("carnet")
        assert client is not None
        settings = client.settings.model_copy(update={"backchannel_logout_uri": None})
        tx.clients.put(settings, secret_digest=client.secret_digest, source="operator", now=world.clock.now())
    world.sign_in("claire")
    said = certificate(world, cut_off(world))
    assert [one.client_id for one in said.untold] == ["carnet"]
    assert (said.state, said.gaps, said.receipts) == ("incomplete", ("not_told",), ())


def test_reader_is_told_when_the_directory_does_not_say_when_it_was_written(world: World) -> None:
    account = world.account("claire")
    word = Word(connector="annuaire", subject="x", heard_at=world.clock.now())
    with world.arranging() as tx:
        cause = Cause(Reason.DIRECTORY_GONE, "system", OPERATOR.origin, word)
        cut_account(tx, account.id, cause, status="ended", cut_by="annuaire", clock=world.clock)
    said = certificate(world, last_cut(world))
    assert said.gaps == ("written_unknown",)
    assert said.state == "complete", "nobody was to be told"
    assert said.to_hear is None


# To whom


def test_contact_of_another_home_sees_neither_the_cut_nor_its_certificate(world: World) -> None:
    cut = cut_off(world)
    other = enter_console(world, "karim", "it_contact", "glycines")
    assert world.account("claire").name not in other.get("/admin/cuts").text
    page = other.get(f"/admin/cuts/{cut.id}")
    assert page.status == 403
    assert world.account("claire").name not in page.text
    refused = world.last_event("desk.refused")
    assert (refused["reason"], refused["account_id"]) == ("act_outside_establishment", world.account("claire").id)


def test_contact_sees_the_loss_of_a_post_at_their_own_home_only(world: World, rose: AgentAtWork) -> None:
    """Amina works in both homes, and loses the other post."""
    world.sign_in("amina", establishment="glycines")
    amina, glycines = world.account("amina"), world.establishment("glycines")
    with world.arranging() as tx:
        lost = next(one for one in tx.people.attachments(amina.id) if one.establishment_id == glycines.id)
        end_attachment(tx, lost, Cause(Reason.ACCOUNT_CUT, "system", OPERATOR.origin), clock=world.clock)
    cut = last_cut(world, "amina")
    assert (cut.kind, cut.establishment_id) == ("attachment", glycines.id)
    assert rose.get(f"/admin/cuts/{cut.id}").status == 403
    assert amina.name not in rose.get("/admin/cuts").text
    other = enter_console(world, "karim", "it_contact", "glycines")
    page = other.get(f"/admin/cuts/{cut.id}")
    assert page.status == 200
    assert glycines.name in page.text


def test_helpdesk_agent_may_not_read_certificates_and_is_refused(world: World) -> None:
    cut = cut_off(world)
    agent = enter_console(world, "rose", "helpdesk_agent", "tilleuls")
    for path in ("/admin/cuts", f"/admin/cuts/{cut.id}"):
        assert agent.get(path).status == 403
        assert world.last_event("desk.refused")["reason"] == "act_not_held"


def test_contact_is_refused_when_there_is_no_such_cut(world: World, rose: AgentAtWork) -> None:
    page = rose.get("/admin/cuts/01J0000000000000000000ZZZZ")
    assert page.status == 403
    assert world.last_event("desk.refused")["reason"] == "act_target_unknown"


# The document


def take(rose: AgentAtWork, cut: Cut) -> dict[str, Any]:
    page = rose.get(f"/admin/cuts/{cut.id}")
    taken = rose.proved(rose.browser.submit("cut-document", page=page))
    found: dict[str, Any] = json.loads(taken.text)
    return found


def test_document_is_ours_when_it_was_taken_from_the_console_and_the_taking_is_recorded(
    world: World, rose: AgentAtWork, operator: Operator
) -> None:
    cut = cut_off(world)
    document = take(rose, cut)
    assert (document["cut"], document["issuer"], document["person"]) == (cut.id, world.issuer, world.account("claire").name)
    line = world.last_event("audit.exported")
    assert (line["details"]["cut"], line["account_id"]) == (cut.id, cut.account_id)
    said = operator.run("cut", "verify", "-", stdin=json.dumps(document))
    assert said.exit_code == 0, said.output
    assert cut.id in said.stdout


@pytest.mark.parametrize(
    "forge",
    [
        lambda document: {**document, "state": "complete", "decided_at": "2020-01-01T00:00:00.000000+00:00"},
        lambda document: {**document, "applications": []},
        lambda document: {name: value for name, value in document.items() if name != "signature"},
        lambda document: {**document, "signature": document["signature"][:-1] + "é"},
        lambda document: {**document, "added": "\ud800"},
        lambda document: [document],
    ],
)
def test_document_is_not_ours_when_it_was_changed(world: World, operator: Operator, forge: Callable[[dict[str, Any]], Any]) -> None:
    world.sign_in("claire")
    cut_off(world)
    document = json.loads(operator.run("cut", "show", "claire.dubois", "--json").stdout)
    assert operator.run("cut", "verify", "-", stdin=json.dumps(document)).exit_code == 0
    forged = forge(document)
    result = operator.run("cut", "verify", "-", stdin=json.dumps(forged))
    assert result.exit_code == 1
    assert "not a certificate" in result.stderr


def test_operator_chooses_a_cut_of_the_person_and_of_nobody_else(world: World, operator: Operator) -> None:
    first = cut_off(world)
    with world.arranging() as tx:
        tx.people.change(first.account_id, world.clock.now(), status="active", cut_by=None)
    second = cut_off(world)
    other = cut_off(world, "karim")
    assert operator.ask("cut", "show", "claire.dubois", "--json")["cut"] == second.id
    assert operator.ask("cut", "show", "claire.dubois", "--cut", first.id.lower(), "--json")["cut"] == first.id
    assert "no cut" in operator.refused("cut", "show", "claire.dubois", "--cut", other.id)


def test_operator_is_told_when_there_is_no_certificate_to_read(operator: Operator) -> None:
    assert "nothing was ever cut" in operator.refused("cut", "show", "claire.dubois")
    assert "no-such" in operator.refused("cut", "verify", "/no-such-file")
    assert operator.run("cut", "verify", "-", stdin="{").exit_code == 1


def test_operator_lists_cuts_with_whether_everybody_has_answered(world: World, operator: Operator, deliver: Deliver) -> None:
    world.sign_in("claire")
    cut = cut_off(world)
    (line,) = operator.ask("cut", "list", "--json")
    assert (line["id"], line["told"], line["acknowledged"], line["state"]) == (cut.id, 1, 0, "waiting")
    deliver()
    shown = operator.do("cut", "list", "--person", "claire.dubois")
    assert "1 of 1" in shown
    assert "complete" in shown


# How long it is kept


def test_certificate_is_kept_with_its_receipts_when_other_notices_are_swept(world: World, deliver: Deliver) -> None:
    signed_in = world.sign_in("karim", "glycines")
    signed_in.browser.get(signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity))
    world.sign_in("claire")
    cut = cut_off(world)
    deliver()
    world.clock.advance(timedelta(days=400))
    with world.arranging() as tx:
        tx.sweep.delete_notices(world.clock.now() - timedelta(days=30))
        assert [one.cut_id for one in tx.outbox.recent()] == [cut.id]
        assert tx.sweep.delete_cuts(world.clock.now() - world.config.retention.cuts) == 0
    assert certificate(world, cut).receipts[0].words == "HTTP 200"
    world.clock.advance(timedelta(days=800))
    with world.arranging() as tx:
        assert tx.sweep.delete_cuts(world.clock.now() - world.config.retention.cuts) == 1
        assert tx.cuts.get(cut.id) is None
        assert tx.outbox.recent() == ()


def test_worker_sweeps_a_certificate_after_three_years_and_no_sooner(world: World, deliver: Deliver) -> None:
    world.sign_in("claire")
    cut = cut_off(world)
    deliver()
    worker = Worker(world.application)
    for days, is_kept in ((1095, True), (2, False)):
        world.clock.advance(timedelta(days=days))
        worker.stand()
        worker.sweep()
        with world.database.read() as tx:
            assert (tx.cuts.get(cut.id) is not None) is is_kept
            assert bool(tx.cuts.notices(cut.id)) is is_kept
    worker.tenure.release()
    for part in (worker.deliverer, worker.sender, worker.streamer):
        part.close()


def test_certificate_is_kept_when_an_application_is_still_owed_an_answer(world: World) -> None:
    world.sign_in("claire")
    cut = cut_off(world)
    world.clock.advance(timedelta(days=4000))
    with world.arranging() as tx:
        assert tx.sweep.delete_cuts(world.clock.now()) == 0
        assert tx.cuts.get(cut.id) is not None
