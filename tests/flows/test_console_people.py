"""The console's people: found in two keystrokes, seen with what holds them up, and helped, by whoever may and by nobody else."""

from datetime import timedelta

import pytest

from tests.conftest import MakeWorld
from tests.support.agents import AgentAtWork, enter_console, give_role
from tests.support.browser import Page
from tests.support.cast import LANS, OUTSIDE, PASSWORD
from tests.support.second_factors import enrol_phone
from tests.support.smtp import SmtpServer
from tests.support.world import World

MAILED = frozenset({"account_suspended", "account_reinstated", "device_lost", "sessions_ended", "pass_issued"})


@pytest.fixture
def world(make_world: MakeWorld, smtp: SmtpServer) -> World:
    """One that sends mail."""
    return make_world(mail=smtp.settings())


@pytest.fixture
def rose(world: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(world)


def found(page: Page) -> set[str]:
    return {
        name
        for name in ("Claire Dubois", "Amina Benali", "Karim Haddad", "Hugo Lefèvre", "Léa Moreau", "Rose Marchand")
        if name in page.text
    }


def form_token(agent: AgentAtWork) -> str:
    return next(form.fields["csrf_token"] for form in agent.get("/account").document.forms if "csrf_token" in form.fields)


def told(world: World, person: str) -> list[str]:
    account_id = world.account(person).id
    lines = world.events("message.queued", account_id=account_id)
    return [line["details"]["purpose"] for line in lines if line["details"]["purpose"] in MAILED]


# Finding


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("du", {"Claire Dubois"}),
        ("cl", {"Claire Dubois"}),
        ("c d", {"Claire Dubois"}),
        ("dubois claire", {"Claire Dubois"}),
        ("BÉN", {"Amina Benali"}),
        ("10042", {"Claire Dubois"}),
        ("claire.dubois@", {"Claire Dubois"}),
        ("kar", set()),
        ("lef", set()),
    ],
)
def test_contact_finds_their_own_people_by_what_anybody_types(rose: AgentAtWork, typed: str, expected: set[str]) -> None:
    page = rose.get("/admin/people")
    page = rose.browser.submit("people-search", page=page, q=typed)
    assert found(page) == expected


def test_group_administrator_finds_everybody_without_accents_too(world: World) -> None:
    agent = enter_console(world, "amina", "group_administrator", None)
    assert found(agent.browser.get("/admin/people", {"q": "lefev"})) == {"Hugo Lefèvre"}
    assert found(agent.browser.get("/admin/people", {"q": "kar"})) == {"Karim Haddad"}


def test_contact_reads_a_support_code(world: World, rose: AgentAtWork) -> None:
    browser = world.browser()
    refused = browser.sign_in("claire.dubois", "Faux-Mot-De-Passe-99", page=browser.get("/account"))
    code = refused.support_code
    assert code is not None
    page = rose.browser.get("/admin/people", {"q": f"{code[:5]}-{code[5:]}".lower()})
    assert "What this support code says" in page.text
    assert "Claire Dubois" in page.text
    # And nobody's, who typed a wrong name.
    nobody = browser.sign_in("claire.dubios", PASSWORD, page=refused)
    page = rose.browser.get("/admin/people", {"q": nobody.support_code or ""})
    assert "Nobody is called what they typed" in page.text


def test_contact_learns_nothing_from_a_support_code_of_another_establishment(world: World, rose: AgentAtWork) -> None:
    browser = world.browser(address="127.0.0.2")
    refused = browser.sign_in("karim.haddad", "Faux-Mot-De-Passe-99", page=browser.get("/account"))
    page = rose.browser.get("/admin/people", {"q": refused.support_code or ""})
    assert "What this support code says" not in page.text
    assert "Karim" not in page.text


# One person


def test_contact_sees_a_nurse_and_her_lock_and_unlocks_her_with_one_button(world: World, rose: AgentAtWork) -> None:
    browser = world.browser(address=OUTSIDE)
    page = browser.get("/account")
    for number in range(12):
        page = browser.sign_in("claire.dubois", f"Faux-Mot-De-Passe-{number}", page=page)
    nurse = f"/admin/people/{world.account('claire').id}"
    page = rose.get(nurse)
    assert "Unité Alzheimer" in page.text
    assert "Too many wrong passwords" in page.text
    page = rose.browser.press("unlock-1", page=page)
    assert "they may try again at once" in page.text
    assert "Too many wrong passwords" not in page.text
    assert world.last_event("account.unblocked")["account_id"] == world.account("claire").id


def test_stale_proof_is_asked_again_before_an_unlock_and_leads_back_to_it(world: World, rose: AgentAtWork) -> None:
    nurse = f"/admin/people/{world.account('claire').id}"
    page = rose.get(nurse)
    world.clock.advance(timedelta(minutes=6))
    page = rose.browser.press("act-unlock", page=page)
    assert "factor-form" in page.forms
    assert not world.events("account.unblocked")
    page = rose.proved(page)
    assert page.url.endswith("/unlock")
    page = rose.browser.press("unlock-confirm", page=page)
    assert "done=was_open" in page.url
    assert len(world.events("account.unblocked")) == 1


def test_contact_does_not_see_a_doctor_of_another_establishment(world: World, rose: AgentAtWork) -> None:
    page = rose.get(f"/admin/people/{world.account('karim').id}")
    assert page.status == 403
    assert "Karim" not in page.text
    refused = world.last_event("desk.refused")
    assert (refused["reason"], refused["details"]["act"]) == ("act_outside_establishment", "find")


# Sessions


def test_contact_closes_one_session_of_a_nurse_and_then_all(world: World, rose: AgentAtWork) -> None:
    signed = [world.sign_in("claire") for _ in range(3)]
    nurse = f"/admin/people/{world.account('claire').id}"
    page = rose.get(nurse)
    form = next(form for form in page.document.forms if form.buttons and form.buttons[0][0] == "session_id")
    page = rose.browser.post(form.action, {**form.fields, "session_id": form.buttons[0][1]}, headers={"Origin": world.issuer})
    assert "The session is closed." in page.text
    assert world.last_event("session.ended")["reason"] == "ended_by_operator"
    page = rose.browser.press("act-end-sessions", page=page)
    assert "All their sessions are closed" in page.text
    with world.database.read() as tx:
        assert tx.sessions.open_of(world.account("claire").id) == ()
    assert all(one.party.introspect(one.tokens.access).json() == {"active": False} for one in signed)
    assert told(world, "claire") == ["sessions_ended", "sessions_ended"]
    assert world.last_event("desk.acted")["details"]["act"] == "end_sessions"


def test_whoever_was_away_proves_it_again_and_is_back_on_the_person_s_page(world: World, rose: AgentAtWork) -> None:
    world.sign_in("claire")
    nurse = f"/admin/people/{world.account('claire').id}"
    page = rose.get(nurse)
    for _ in range(2):
        world.clock.advance(timedelta(minutes=20))
        rose.browser.get("/account")  # the Session goes on, the proof grows old
    page = rose.browser.press("act-end-sessions", page=page)
    assert "factor-form" in page.forms
    page = rose.proved(page)
    assert page.url.endswith(nurse)
    with world.database.read() as tx:
        assert len(tx.sessions.open_of(world.account("claire").id)) == 1, "nothing was done yet"


def test_contact_sees_who_is_signed_in_at_their_establishment_only(world: World, rose: AgentAtWork) -> None:
    world.sign_in("claire")
    world.sign_in("karim", "glycines")
    page = rose.get("/admin/sessions")
    assert "Claire Dubois" in page.text
    assert "Karim" not in page.text


# Suspending


def test_contact_suspends_and_reinstates_saying_why(world: World, rose: AgentAtWork) -> None:
    signed = world.sign_in("claire")
    nurse = f"/admin/people/{world.account('claire').id}"
    page = rose.get(f"{nurse}/suspend")
    page = rose.browser.submit("suspend-form", page=page, why="  ")
    assert page.status == 422
    assert world.account("claire").status == "active"
    page = rose.browser.submit("suspend-form", page=page, why="Départ au pied levé")
    assert "Nothing has been done yet" in page.text
    assert world.account("claire").status == "active"
    page = rose.browser.submit("changes", page=page, button="confirm")
    assert "Suspended: everything that was open to them is closed." in page.text
    assert signed.party.introspect(signed.tokens.access).json() == {"active": False}
    acted = world.last_event("desk.acted")
    assert (acted["details"]["why"], acted["actor"]) == ("Départ au pied levé", f"account:{world.account('rose').id}")
    page = rose.get(f"{nurse}/suspend")
    page = rose.browser.submit("suspend-form", page=page, why="Erreur")
    page = rose.browser.submit("changes", page=page, button="confirm")
    assert world.account("claire").status == "active"
    assert told(world, "claire") == ["account_suspended", "account_reinstated"]


# One-time passes


def test_pass_is_shown_once_and_is_for_enrolment_when_there_is_no_factor(world: World, rose: AgentAtWork) -> None:
    nurse = f"/admin/people/{world.account('claire').id}"
    page = rose.browser.submit("pass-form", page=rose.get(f"{nurse}/pass"), why="Premier téléphone")
    assert page.status == 422, "how it was made sure who asks is not said"
    assert page.forms["pass-form"].fields["why"] == "Premier téléphone"
    page = rose.browser.submit("pass-form", page=page, proof="in_person")
    assert "It is shown only now." in page.text
    issued = world.last_event("pass.issued")
    assert issued["details"]["purpose"] == "enrol"
    assert (world.last_event("desk.acted")["details"]["proof"], told(world, "claire")) == ("in_person", ["pass_issued"])
    assert "pass-code" not in rose.browser.get(nurse).document.ids


def test_pass_stands_for_the_telephone_of_who_has_left_it_at_home(world: World, rose: AgentAtWork) -> None:
    enrol_phone(world, world.application.signin.second_factors, "claire")
    page = rose.get(f"/admin/people/{world.account('claire').id}/pass")
    rose.browser.submit("pass-form", page=page, why="Oublié chez elle", proof="call_back")
    assert world.last_event("pass.issued")["details"]["purpose"] == "sign_in"


def test_pass_is_no_way_around_the_reset_of_somebody_privileged(world: World) -> None:
    agent = enter_console(world, "amina", "group_administrator", None)
    enter_console(world, "rose")
    page = agent.get(f"/admin/people/{world.account('rose').id}/pass")
    assert "pass-form" not in page.forms
    token = form_token(agent)
    page = agent.browser.post(
        f"/admin/people/{world.account('rose').id}/pass",
        {"csrf_token": token, "why": "Vite", "proof": "in_person"},
        headers={"Origin": world.issuer},
    )
    assert page.status == 409
    assert world.last_event("desk.refused")["reason"] == "act_needs_reset"
    assert not world.events("pass.issued")


# A lost telephone


def test_lost_telephone_is_blocked_in_one_act(world: World, rose: AgentAtWork) -> None:
    enrol_phone(world, world.application.signin.second_factors, "claire")
    signed = world.sign_in("claire")
    nurse = world.account("claire").id
    page = rose.get(f"/admin/people/{nurse}/lost")
    page = rose.browser.submit("lost-form", page=page, why="Volé dans le bus")
    assert "Nothing has been done yet" in page.text
    assert not world.events("factors.reset")
    page = rose.browser.submit("changes", page=page, button="confirm")
    assert "Blocked: sessions, browsers" in page.text
    with world.database.read() as tx:
        left = (tx.factors.open_of(nurse), tx.sessions.open_of(nurse), tx.devices.open_of(nurse))
    assert left == ((), (), ())
    assert signed.party.introspect(signed.tokens.access).json() == {"active": False}
    details = world.last_event("factors.reset")["details"]
    assert (details["kinds"], details["why"], details["lost"]) == ("totp", "Volé dans le bus", True)
    assert told(world, "claire") == ["device_lost"]
    # Whoever took it away does not hand out another: that is a request, with its proof and its two halves.
    page = rose.get(f"/admin/people/{nurse}/pass")
    assert "pass-form" not in page.forms
    token = form_token(rose)
    page = rose.browser.post(
        f"/admin/people/{nurse}/pass", {"csrf_token": token, "why": "Vite", "proof": "in_person"}, headers={"Origin": world.issuer}
    )
    assert page.status == 409
    assert world.last_event("desk.refused")["reason"] == "act_needs_reset"
    assert not world.events("pass.issued")


def test_director_blocks_a_lost_telephone_and_leaves_the_factors(world: World) -> None:
    director = enter_console(world, "rose", "director", "tilleuls")
    enrol_phone(world, world.application.signin.second_factors, "claire")
    world.sign_in("claire")
    nurse = world.account("claire").id
    page = director.get(f"/admin/people/{nurse}/lost")
    assert "factor" not in page.forms["lost-form"].fields
    page = director.browser.submit("lost-form", page=page, why="Volé")
    director.browser.submit("changes", page=page, button="confirm")
    with world.database.read() as tx:
        assert len(tx.factors.open_of(nurse)) == 1
        assert tx.sessions.open_of(nurse) == ()


def test_nobody_acts_on_themselves_from_their_own_page(world: World, rose: AgentAtWork) -> None:
    own = f"/admin/people/{world.account('rose').id}"
    page = rose.get(own)
    assert "This is you" in page.text
    assert "act-lost" not in page.document.ids
    assert rose.get(f"{own}/lost").status == 403
    assert world.last_event("desk.refused")["reason"] == "act_on_oneself"


def test_contact_does_nothing_to_a_group_administrator(world: World, rose: AgentAtWork) -> None:
    enter_console(world, "amina", "group_administrator", None)
    page = rose.get(f"/admin/people/{world.account('amina').id}")
    assert "This person may do more than you" in page.text
    for act in ("unlock", "suspend", "pass", "lost", "edit"):
        assert rose.get(f"/admin/people/{world.account('amina').id}/{act}").status == 403
        assert world.last_event("desk.refused")["reason"] in {"act_upwards", "act_outside_establishment"}


# Of people who also work elsewhere


def refused_at(world: World, slug: str, username: str) -> str:
    """The support code of a wrong password typed on the network of an establishment."""
    browser = world.browser(address=LANS[slug])
    code = browser.sign_in(username, "Faux-Mot-De-Passe-99", page=browser.get("/account")).support_code
    assert code
    return code


def test_contact_reads_of_a_colleague_only_what_happened_at_their_own_establishment(world: World, rose: AgentAtWork) -> None:
    username = world.person("amina").username
    there = refused_at(world, "glycines", username)
    assert "What this support code says" not in rose.browser.get("/admin/people", {"q": there}).text
    page = rose.get(f"/admin/people/{world.account('amina').id}")
    assert there not in page.text
    here = refused_at(world, "tilleuls", username)
    assert "What this support code says" in rose.browser.get("/admin/people", {"q": here}).text
    assert here in rose.get(f"/admin/people/{world.account('amina').id}").text


def test_contact_is_not_told_of_a_colleague_s_role_at_another_establishment(world: World, rose: AgentAtWork) -> None:
    give_role(world, "amina", "director", "glycines")
    page = rose.get(f"/admin/people/{world.account('amina').id}")
    assert page.status == 200
    assert "Les Glycines" not in page.text
    give_role(world, "amina", "director", "tilleuls")
    assert "Director" in rose.get(f"/admin/people/{world.account('amina').id}").text


# What was asked is not lost to a proof that had grown old


@pytest.mark.parametrize("query", ["q=dub%26ois&page=1", "q=//evil.example", "q=https%3A%2F%2Fevil.example%0D%0AX%3A1", "//evil.example"])
def test_contact_who_proves_it_again_is_back_on_the_search_they_asked_for(world: World, rose: AgentAtWork, query: str) -> None:
    world.clock.advance(world.config.console.fresh * 0.6)
    rose.browser.get("/account")
    world.clock.advance(world.config.console.fresh * 0.6)
    page = rose.browser.get(f"/admin/people?{query}")
    assert "factor-form" in page.forms
    page = rose.proved(page)
    assert page.url == f"{world.issuer}/admin/people?{query}"


# What was read is what is done


def test_confirmation_whose_hidden_field_was_changed_after_it_was_read_is_shown_again(world: World, rose: AgentAtWork) -> None:
    path = f"/admin/people/{world.account('claire').id}/suspend"
    rose.get(path)
    page = rose.proved(rose.browser.get(path))
    (form_id,) = [name for name in page.forms if "suspend" in name]
    page = rose.browser.submit(form_id, page=page, why="Contract ended")
    sent = {**page.forms["changes"].fields, "confirm": "yes"}
    changed = rose.browser.post(path, {**sent, "planted": "yes"})
    assert (changed.status, "changes" in changed.forms) == (409, True)
    assert world.account("claire").is_active
    assert not world.events("account.suspended")
    assert rose.browser.post(path, sent).status == 200
    assert not world.account("claire").is_active


def test_confirmation_that_another_agent_read_is_shown_first(world: World, rose: AgentAtWork) -> None:
    amina = enter_console(world, "amina", "group_administrator", None)
    path = f"/admin/people/{world.account('claire').id}/suspend"
    marks = []
    for agent in (rose, amina):
        page = agent.proved(agent.browser.get(path))
        (form_id,) = [name for name in page.forms if "suspend" in name]
        marks.append(agent.browser.submit(form_id, page=page, why="Contract ended").forms["changes"].fields)
    page = amina.browser.post(path, {**marks[1], "seen": marks[0]["seen"], "confirm": "yes"})
    assert page.status == 409
    assert world.account("claire").is_active
