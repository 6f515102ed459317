"""What must come to nothing at the pages about people: forged forms, other people's things under an allowed address, races, and secrets that stay."""

import json
import re
import threading

import pytest

from idp.desk.authority import ActRefused
from tests.support.agents import AgentAtWork, enter_console
from tests.support.browser import Page
from tests.support.second_factors import ORIGIN, enrol_phone
from tests.support.world import World


@pytest.fixture
def rose(world: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(world)


def of(world: World, person: str) -> str:
    return f"/admin/people/{world.account(person).id}"


def post(agent: AgentAtWork, path: str, **fields: str) -> Page:
    """As a form of the console would, with a token that is good."""
    token = next(form.fields["csrf_token"] for form in agent.get("/account").document.forms if "csrf_token" in form.fields)
    return agent.browser.post(path, {"csrf_token": token, **fields}, headers={"Origin": agent.world.issuer})


@pytest.mark.parametrize("path", ["unlock", "sessions/end", "suspend", "pass", "lost", "edit", "attach"])
def test_form_without_its_token_does_nothing(world: World, rose: AgentAtWork, path: str) -> None:
    world.sign_in("claire")
    before = len(world.events("desk.acted")) + len(world.events("session.ended"))
    page = rose.browser.post(f"{of(world, 'claire')}/{path}", {"why": "Vite", "confirm": "yes"}, headers={"Origin": world.issuer})
    assert page.status == 400
    assert len(world.events("desk.acted")) + len(world.events("session.ended")) == before
    assert world.last_event("request.refused")["reason"] == "bad_form_token"


def test_confirmation_of_what_was_never_shown_only_shows_it(world: World, rose: AgentAtWork) -> None:
    page = post(rose, f"{of(world, 'claire')}/suspend", why="Vite", confirm="yes")
    assert page.status == 409
    assert world.account("claire").status == "active"
    assert not world.events("account.suspended")


def test_session_of_a_stranger_under_the_address_of_a_colleague_stays_open(world: World, rose: AgentAtWork) -> None:
    world.sign_in("karim", "glycines")
    with world.database.read() as tx:
        (session,) = tx.sessions.open_of(world.account("karim").id)
    page = post(rose, f"{of(world, 'claire')}/sessions/end", session_id=session.id)
    assert page.status == 409
    assert world.last_event("desk.refused")["reason"] == "act_done_already"
    with world.database.read() as tx:
        assert len(tx.sessions.open_of(world.account("karim").id)) == 1


def test_attachment_of_a_stranger_under_the_address_of_a_colleague_stays(world: World, rose: AgentAtWork) -> None:
    with world.database.read() as tx:
        (karims,) = tx.people.attachments(world.account("karim").id)
        aminas = next(
            one for one in tx.people.attachments(world.account("amina").id) if one.establishment_id == world.establishment("glycines").id
        )
    for person, attachment in (("claire", karims), ("amina", aminas)):
        page = post(rose, f"{of(world, person)}/attachments/{attachment.id}", end="yes", confirm="yes")
        assert page.status == 403
        assert world.last_event("desk.refused")["reason"] in {"act_target_unknown", "act_outside_establishment"}
        assert world.last_event("desk.refused")["account_id"] == world.account(person).id
    with world.database.read() as tx:
        assert all(one.ended_at is None for who in ("karim", "amina") for one in tx.people.attachments(world.account(who).id))


def test_factor_of_a_stranger_is_not_taken_with_a_colleague_s_telephone(world: World, rose: AgentAtWork) -> None:
    enrol_phone(world, world.application.signin.second_factors, "claire")
    enrol_phone(world, world.application.signin.second_factors, "amina")
    with world.database.read() as tx:
        (aminas,) = tx.factors.open_of(world.account("amina").id)
    page = post(rose, f"{of(world, 'claire')}/lost", factor=aminas.id, why="Perdu")
    rose.browser.submit("changes", page=page, button="confirm")
    with world.database.read() as tx:
        assert len(tx.factors.open_of(world.account("amina").id)) == 1
        assert len(tx.factors.open_of(world.account("claire").id)) == 1, "none of hers was marked"


def test_role_that_was_taken_away_between_the_two_pages_opens_nothing(world: World, rose: AgentAtWork) -> None:
    page = rose.browser.submit("suspend-form", page=rose.get(f"{of(world, 'claire')}/suspend"), why="Vite")
    with world.arranging() as tx:
        (role,) = tx.roles.open_of(world.account("rose").id)
        tx.roles.end(role.id, world.clock.now())
    page = rose.browser.submit("changes", page=page, button="confirm")
    assert page.status == 403
    assert world.account("claire").status == "active"
    assert world.last_event("desk.refused")["reason"] == "act_not_held"


def test_two_agents_at_once_suspend_once(world: World, rose: AgentAtWork) -> None:
    access, desk = world.application.desk.access, world.application.desk
    with world.database.read() as tx:
        (session,) = tx.sessions.open_of(world.account("rose").id)
        agent = desk.authority.agent_of(tx, session, ORIGIN)
    assert agent is not None
    claire, ready = world.account("claire"), threading.Barrier(2)
    outcomes: list[str] = []

    def suspend() -> None:
        ready.wait()
        try:
            access.suspend(agent, claire, why="Vite")
            outcomes.append("done")
        except ActRefused as refused:
            outcomes.append(str(refused.code))

    threads = [threading.Thread(target=suspend) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["act_done_already", "done"]
    assert len(world.events("account.suspended")) == 1


def test_pass_is_kept_nowhere_that_it_could_be_read(world: World, rose: AgentAtWork) -> None:
    page = rose.browser.submit("pass-form", page=rose.get(f"{of(world, 'claire')}/pass"), why="Premier téléphone", proof="in_person")
    found = re.search(r'id="pass-code"[^>]*>([0-9A-Z-]+)<', page.markup)
    assert found is not None
    code = found[1]
    trail = json.dumps(world.events())
    assert code not in trail
    assert code.replace("-", "") not in trail
    assert code not in rose.browser.get(of(world, "claire")).markup
    assert "no-store" in page.headers["Cache-Control"]


@pytest.mark.parametrize(
    "typed", ["<script>alert(1)</script>", '"><img src=x>', "' OR 1=1 --", "%", "_" * 120, "\u202e\u0000x", "a" * 5000]
)
def test_whatever_is_typed_into_the_search_comes_back_as_text(rose: AgentAtWork, typed: str) -> None:
    page = rose.browser.get("/admin/people", {"q": typed})
    assert page.status in {200, 400}
    assert "<script>alert" not in page.markup
    assert "<img src=x" not in page.markup
