"""Local accounts and attachments in the console: made, corrected, moved, each change shown before it is made."""

from datetime import date, datetime, timedelta

import pytest

from idp.store.base import Link
from tests.conftest import MakeWorld
from tests.support.agents import AgentAtWork, enter_console
from tests.support.browser import Page
from tests.support.smtp import SmtpServer
from tests.support.world import World

NEW = {
    "given_name": "Zoé",
    "family_name": "Étienne-Roux",
    "username": "zoe.etienne",
    "email": "zoe@tilleuls.example",
    "phone_number": "06 12 34 56 78",
    "establishment": "tilleuls",
    "profile": "aide",
    "last_day": "31/12/2030",
}


@pytest.fixture
def world(make_world: MakeWorld, smtp: SmtpServer) -> World:
    """One that sends mail."""
    return make_world(mail=smtp.settings())


@pytest.fixture
def rose(world: World) -> AgentAtWork:
    """The IT contact of Les Tilleuls."""
    return enter_console(world)


def told(world: World, person: str) -> list[str]:
    lines = world.events("message.queued", account_id=world.account(person).id)
    return [line["details"]["purpose"] for line in lines if line["details"]["purpose"] not in {"new_device", "factor_added"}]


def attachments(world: World, person: str) -> list[tuple[str, str, date | None, bool]]:
    """(profile, sector, last day, has ended) of each."""
    with world.database.read() as tx:
        found = tx.people.attachments(world.account(person).id)
    return [(one.profile, one.sector or "", one.last_day, one.ended_at is not None) for one in found]


def a_link(connector: str, subject: str, account_id: str, now: datetime) -> Link:
    return Link(
        connector=connector,
        subject=subject,
        account_id=account_id,
        word="usable",
        word_at=now,
        seen_digest="",
        held_by_run=None,
        held_until=None,
        password_changed_at=None,
        created_at=now,
    )


def of(world: World, person: str) -> str:
    return f"/admin/people/{world.account(person).id}"


def confirmed(agent: AgentAtWork, page: Page) -> Page:
    assert "Nothing has been done yet" in page.text, page
    return agent.browser.submit("changes", page=page, button="confirm")


# New people


def test_contact_makes_a_local_account_and_sees_first_what_it_will_be(world: World, rose: AgentAtWork) -> None:
    page = rose.browser.submit("new-form", page=rose.get("/admin/people/new"), **NEW)
    assert "+33612345678" in page.text
    assert not world.events("account.added")
    page = confirmed(rose, page)
    assert "They choose their own password" in page.text
    added = world.last_event("account.added")
    assert added["actor"] == f"account:{world.account('rose').id}"
    with world.database.read() as tx:
        account = tx.people.get(added["account_id"])
        assert account is not None
        assert (account.name, account.phone_number, account.email_verified) == ("Zoé Étienne-Roux", "+33612345678", False)
        assert tx.people.password(account.id) is None, "nobody chose a password for anybody"
        assert [one.profile for one in tx.people.attachments(account.id)] == ["aide"]
    assert "Zoé Étienne-Roux" in rose.browser.get("/admin/people", {"q": "etie"}).text
    assert [line["details"]["purpose"] for line in world.events("message.queued", account_id=account.id)] == ["account_added"]


def test_wrong_values_are_all_said_at_once_and_nothing_typed_is_lost(world: World, rose: AgentAtWork) -> None:
    wrong = {**NEW, "username": "Zoé la grande!", "email": "zoe@", "last_day": "demain", "family_name": ""}
    page = rose.browser.submit("new-form", page=rose.get("/admin/people/new"), **wrong)
    assert page.status == 422
    assert {name: page.forms["new-form"].fields[name] for name in wrong} == wrong
    assert not world.events("account.added")
    wrong["last_day"] = ""
    page = rose.browser.submit("new-form", page=page, last_day="")
    for words in ("A family name is needed", "This is not an e-mail address", "A user name has small letters"):
        assert words in page.text


def test_correcting_what_was_typed_loses_nothing(rose: AgentAtWork) -> None:
    page = rose.browser.submit("new-form", page=rose.get("/admin/people/new"), **NEW)
    page = rose.browser.submit("changes", page=page, button="edit")
    assert {name: page.forms["new-form"].fields[name] for name in NEW} == NEW


def test_identifier_of_a_colleague_is_named_and_that_of_a_stranger_is_not(world: World, rose: AgentAtWork) -> None:
    page = rose.browser.submit("new-form", page=rose.get("/admin/people/new"), **{**NEW, "username": "claire.dubois"})
    assert page.status == 422
    assert "Claire Dubois is found by this already." in page.text
    page = rose.browser.submit("new-form", page=page, username="karim.haddad")
    assert "Somebody else is found by this" in page.text
    assert "Karim" not in page.text
    assert not world.events("account.added")


def test_contact_takes_in_somebody_who_works_nowhere(world: World, rose: AgentAtWork) -> None:
    page = rose.browser.submit("new-form", page=rose.get("/admin/people/new"), **{**NEW, "username": "hugo.lefevre"})
    assert "Hugo Lefèvre is found by this already." in page.text
    page = rose.get(next(href for href, _ in page.document.links if href.partition("?")[0].endswith("/attach")))
    assert page.forms["attach-form"].fields["establishment"] == "tilleuls"
    page = confirmed(rose, rose.browser.submit("attach-form", page=page, profile="aide"))
    assert "Attached." in page.text
    assert attachments(world, "hugo") == [("aide", "", None, False)]


def test_contact_makes_no_account_at_another_establishment(world: World, rose: AgentAtWork) -> None:
    page = rose.get("/admin/people/new")
    assert page.forms["new-form"].choices["establishment"] == ["", "tilleuls"]
    page = rose.browser.submit("new-form", page=page, **{**NEW, "establishment": "glycines"})
    assert page.status == 422
    assert not world.events("account.added")


# Corrections


def test_contact_corrects_a_local_account_and_the_old_address_is_told(world: World, rose: AgentAtWork) -> None:
    page = rose.get(f"{of(world, 'claire')}/edit")
    page = rose.browser.submit("edit-form", page=page, family_name="Dubois-Martin", email="claire.martin@tilleuls.example")
    assert "serves for no reset in the next days" in page.text
    page = confirmed(rose, page)
    account = world.account("claire")
    assert (account.family_name, account.email, account.email_verified) == ("Dubois-Martin", "claire.martin@tilleuls.example", False)
    assert account.email_changed_at == world.clock.now()
    assert (account.locale, account.phone_changed_at) == ("fr-FR", None), "what was not touched is as it was"
    changed = world.last_event("account.changed")
    assert (changed["details"]["fields"], changed["actor"]) == ("family_name email", f"account:{world.account('rose').id}")
    assert "contact_changed" in " ".join(told(world, "claire"))
    queued = next(line for line in world.events("message.queued") if line["details"]["purpose"] == "contact_changed")
    assert queued["details"]["to"].startswith("c"), "to the address that was"
    assert "Claire Dubois-Martin" in rose.browser.get("/admin/people", {"q": "marti"}).text
    assert world.last_event("account.changed")["account_id"] == account.id


def test_person_whose_name_is_corrected_is_told(world: World, rose: AgentAtWork) -> None:
    page = rose.browser.submit("edit-form", page=rose.get(f"{of(world, 'claire')}/edit"), given_name="Clara")
    confirmed(rose, page)
    assert told(world, "claire") == ["account_corrected"]


def test_address_of_somebody_else_is_not_taken(world: World, rose: AgentAtWork) -> None:
    page = rose.get(f"{of(world, 'claire')}/edit")
    page = rose.browser.submit("edit-form", page=page, email="karim.haddad@glycines.example")
    if "changes" in page.forms:
        page = confirmed(rose, page)
    assert page.status == 422
    assert world.account("claire").email == "claire.dubois@tilleuls.example"


def test_corrections_that_moved_meanwhile_are_shown_again(world: World, rose: AgentAtWork) -> None:
    page = rose.get(f"{of(world, 'claire')}/edit")
    page = rose.browser.submit("edit-form", page=page, family_name="Martin")
    with world.arranging() as tx:
        tx.people.change(world.account("claire").id, world.clock.now(), family_name="Durand")
    page = rose.browser.submit("changes", page=page, button="confirm")
    assert page.status == 409
    assert world.account("claire").family_name == "Durand"


def test_names_of_somebody_whom_a_directory_brought_are_changed_there(world: World, rose: AgentAtWork) -> None:
    claire = world.account("claire")
    with world.arranging() as tx:
        assert tx.links.add(a_link("annuaire", "d34d", claire.id, world.clock.now()))
    page = rose.get(of(world, "claire"))
    assert "Names and addresses are those of annuaire" in page.text
    assert "act-edit" not in page.document.ids
    assert "edit-form" not in rose.get(f"{of(world, 'claire')}/edit").forms
    token = next(form.fields["csrf_token"] for form in rose.get("/account").document.forms if "csrf_token" in form.fields)
    typed = {"csrf_token": token, "given_name": "Clara", "family_name": "Dubois", "confirm": "yes"}
    page = rose.browser.post(f"{of(world, 'claire')}/edit", typed, headers={"Origin": world.issuer})
    assert page.status == 409
    assert "A directory or a provider decides this" in page.text
    assert world.last_event("desk.refused")["reason"] == "act_of_source"
    assert world.account("claire") == claire


def test_suspension_by_a_directory_is_lifted_there(world: World, rose: AgentAtWork) -> None:
    claire = world.account("claire")
    with world.arranging() as tx:
        tx.people.change(claire.id, world.clock.now(), status="suspended", cut_by="annuaire")
    page = rose.browser.submit("suspend-form", page=rose.get(f"{of(world, 'claire')}/suspend"), why="Elle est revenue")
    page = confirmed(rose, page)
    assert page.status == 409
    assert world.last_event("desk.refused")["reason"] == "act_of_source"
    assert world.account("claire").status == "suspended"


# Attachments


def test_contact_prolongs_an_attachment_and_the_session_goes_on(world: World, rose: AgentAtWork) -> None:
    signed = world.sign_in("claire")
    page = rose.get(of(world, "claire"))
    page = rose.get(next(href for href, _ in page.document.links if "/attachments/" in href))
    page = rose.browser.submit("attach-form", page=page, last_day="31/12/2030", sector="Nuit")
    page = confirmed(rose, page)
    assert attachments(world, "claire") == [
        ("nurse", "Unité Alzheimer", None, True),
        ("nurse", "Nuit", date(2030, 12, 31), False),
    ]
    assert signed.party.introspect(signed.tokens.access).json()["active"]


def test_contact_ends_an_attachment_and_sees_the_person_no_more(world: World, rose: AgentAtWork) -> None:
    signed = world.sign_in("claire")
    page = rose.get(of(world, "claire"))
    page = rose.get(next(href for href, _ in page.document.links if "/attachments/" in href))
    page = confirmed(rose, rose.browser.press("attachment-end", page=page))
    assert page.status == 200
    assert "they work nowhere of yours" in page.text
    assert signed.party.introspect(signed.tokens.access).json() == {"active": False}
    assert world.last_event("attachment.ended")["actor"] == f"account:{world.account('rose').id}"
    assert rose.get(of(world, "claire")).status == 403


def test_attachment_that_a_directory_gave_is_shown_as_such_and_stays(world: World, rose: AgentAtWork) -> None:
    with world.database.read() as tx:
        (given,) = tx.people.attachments(world.account("claire").id)
    with world.arranging() as tx:
        tx.people.change_attachment(given.id, source="annuaire")
    page = rose.get(of(world, "claire"))
    assert "From annuaire" in page.text
    assert not [href for href, _ in page.document.links if "/attachments/" in href]
    path = f"{of(world, 'claire')}/attachments/{given.id}"
    page = rose.get(path)
    assert "end-form" not in page.forms
    token = next(form.fields["csrf_token"] for form in rose.get("/account").document.forms if "csrf_token" in form.fields)
    page = rose.browser.post(path, {"csrf_token": token, "end": "yes"}, headers={"Origin": world.issuer})
    page = confirmed(rose, page)
    assert page.status == 409
    assert world.last_event("desk.refused")["reason"] == "act_of_source"
    assert attachments(world, "claire")[0][3] is False


def test_people_who_also_work_elsewhere_are_not_corrected_from_here(world: World, rose: AgentAtWork) -> None:
    """What it does would reach them at the other establishment."""
    page = rose.get(of(world, "amina"))
    assert "They also work in other establishments." in page.text
    assert "Les Glycines" not in page.text
    assert rose.get(f"{of(world, 'amina')}/edit").status == 403
    assert world.last_event("desk.refused")["reason"] == "act_outside_establishment"


def test_step_up_is_asked_before_each_of_these_forms(world: World, rose: AgentAtWork) -> None:
    world.clock.advance(timedelta(minutes=6))
    for path in ("/admin/people/new", f"{of(world, 'claire')}/edit", f"{of(world, 'claire')}/attach"):
        assert "factor-form" in rose.browser.get(path).forms
