"""The console's audit trail and board of factors: read and taken away by whoever may, within their establishments, and every export recorded."""

import json
import re
from datetime import timedelta

import pytest

from tests.conftest import MakeWorld
from tests.support.agents import AgentAtWork, enter_console
from tests.support.browser import Page
from tests.support.cast import LANS, OUTSIDE, PASSWORD
from tests.support.world import World


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def rose(world: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(world)


def take(agent: AgentAtWork, form_id: str, *, button: str | None = None) -> Page:
    return agent.proved(agent.browser.submit(form_id, page=None, button=button))


def read_lines(text: str) -> list[dict[str, object]]:
    """The objects of JSON Lines; the test browser gives its text with every space as one."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        line, end = decoder.raw_decode(text, at)
        found.append(line)
        at = end + 1
    return found


def test_contact_reads_and_exports_only_lines_of_their_establishment(world: World, rose: AgentAtWork) -> None:
    page = rose.get("/admin/audit")
    assert page.status == 200
    assert "signin.succeeded" in page.text
    exported = take(rose, "audit-export", button="jsonl")
    lines = read_lines(exported.text)
    with world.arranging() as tx:
        place = tx.establishments.by_slug("tilleuls")
    assert place is not None
    assert lines
    assert {line["establishment_id"] for line in lines} == {place.id, None}
    assert {line["account_id"] for line in lines if line["establishment_id"] is None} == {world.account("rose").id}
    recorded = world.events("audit.exported")[-1]
    assert recorded["actor"] == f"account:{world.account('rose').id}"
    assert recorded["details"]["lines"] == len(lines)


def test_contact_is_told_when_what_they_typed_is_wrong_and_nothing_is_taken(world: World, rose: AgentAtWork) -> None:
    page = rose.get("/admin/audit?since=yesterday&reason=nonsense&person=zzzz")
    assert page.status == 422
    assert all(f'id="{name}-problem"' in page.markup for name in ("since", "reason", "person"))
    assert page.forms["audit-search"].fields["since"] == "yesterday"
    assert take(rose, "audit-export", button="csv").status == 422
    assert not world.events("audit.exported")


def test_helpdesk_agent_may_not_read_the_trail_and_is_refused(world: World) -> None:
    agent = enter_console(world, "rose", "helpdesk_agent", "tilleuls")
    assert agent.get("/admin/audit").status == 403
    assert world.events("desk.refused")[-1]["reason"] == "act_not_held"


def test_contact_sees_and_exports_who_has_no_factor(world: World, rose: AgentAtWork) -> None:
    page = rose.get("/admin/factors")
    assert page.status == 200
    assert "Claire Dubois" in page.text
    taken = take(rose, "factors-export")
    assert "Dubois,Claire" in taken.text
    assert world.events("audit.exported")[-1]["details"]["board"] == "without_factor"


def test_stranger_is_sent_to_sign_in_when_they_ask_for_the_trail(world: World) -> None:
    page = world.browser(address=OUTSIDE).get("/admin/audit")
    assert "no-lines" not in page.text
    assert "audit-export" not in page.forms


def refuse(world: World, person: str, *, address: str) -> None:
    """A wrong password: no establishment is known yet."""
    browser = world.browser(address=address)
    browser.sign_in(world.person(person).username, "Faux-Mot-De-Passe", page=browser.get("/account"))
    line = world.last_event("signin.refused")
    assert (line["account_id"], line["establishment_id"]) == (world.account(person).id, None)


def test_french_reader_is_told_events_and_reasons_in_french_with_the_codes_beside(world: World, rose: AgentAtWork) -> None:
    refuse(world, "claire", address=OUTSIDE)
    page = rose.get("/admin/audit", language="fr")
    assert "Une preuve ou un contrôle d’accès a échoué" in page.text
    assert "Le mot de passe n’est pas le bon." in page.text
    assert "<code>signin.refused</code>" in page.markup
    assert "<code>wrong_password</code>" in page.markup
    assert "A proof or an access check failed" not in page.markup
    assert '<option value="wrong_password">Le mot de passe n’est pas le bon.</option>' in page.markup


def test_contact_finds_by_support_code_what_is_older_than_the_usual_days(world: World, rose: AgentAtWork) -> None:
    refuse(world, "claire", address=OUTSIDE)
    code = world.last_event("signin.refused")["request_id"]
    refuse(world, "karim", address=OUTSIDE)
    other = world.last_event("signin.refused")["request_id"]
    world.clock.advance(timedelta(days=20))
    rose = AgentAtWork(world, "rose", world.browser(language="en", address=LANS["tilleuls"]), rose.phone)
    rose.proved(rose.browser.sign_in("rose.marchand", PASSWORD, page=rose.browser.get("/admin")))
    assert "wrong_password</code>" not in rose.get("/admin/audit").markup
    for typed in (code, f"{code[:5]}-{code[5:]}", f"{code[:5]}+{code[5:].lower()}"):
        assert "wrong_password</code>" in rose.get(f"/admin/audit?code={typed}").markup
    assert {line["request_id"] for line in read_lines(take(rose, "audit-export", button="jsonl").text)} == {code}
    assert "no-lines" in rose.get(f"/admin/audit?code={other}").markup
    wrong = rose.get("/admin/audit?code=nonsense")
    assert (wrong.status, "code-problem" in wrong.markup) == (422, True)


def test_contact_reads_of_their_people_before_an_establishment_is_known(world: World, rose: AgentAtWork) -> None:
    refuse(world, "claire", address=OUTSIDE)
    refuse(world, "karim", address=OUTSIDE)
    page = rose.get("/admin/audit?type=signin.refused")
    assert "Claire Dubois" in page.text
    assert "Karim Haddad" not in page.text
    lines = read_lines(take(rose, "audit-export", button="jsonl").text)
    assert [line["account_id"] for line in lines] == [world.account("claire").id]


def test_contact_reads_nothing_that_happened_in_another_home_to_somebody_of_both(world: World, rose: AgentAtWork) -> None:
    world.sign_in("amina", browser=world.browser(address=LANS["glycines"]), establishment="glycines")
    refuse(world, "amina", address=LANS["glycines"])
    here, there = (world.establishment(slug).id for slug in ("tilleuls", "glycines"))
    amina = world.account("amina").id
    assert any(line["establishment_id"] == there for line in world.events(account_id=amina))
    rose.get(f"/admin/audit?person={amina}")
    lines = read_lines(take(rose, "audit-export", button="jsonl").text)
    assert {line["establishment_id"] for line in lines} <= {here, None}
    assert [line for line in lines if str(line["zone"]).startswith("glycines/")] == []
    assert "signin.refused" not in {line["type"] for line in lines}


def test_contact_is_told_how_many_people_have_no_factor_and_when_their_grace_ends(world: World, rose: AgentAtWork) -> None:
    now = world.clock.now()
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"enrolment_grace_days": 10})
        tx.people.change(world.account("claire").id, now, grace_began_at=now)
    page = rose.get("/admin/factors")
    found = re.search(r'id="factor-count">(\d+) people<', page.markup)
    assert found is not None
    assert int(found[1]) == page.markup.count('class="person-link"')
    assert "Les Tilleuls · Nurse" in page.text
    assert "Needed from" in page.text
    assert "Karim Haddad" not in page.text
    assert (now + timedelta(days=10)).isoformat() in take(rose, "factors-export").text
