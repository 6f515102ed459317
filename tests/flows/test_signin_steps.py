"""The Steps of a sign-in as a person meets them: choosing, changing, closing, consenting, being denied, and what prompt asks."""

from datetime import timedelta

import pytest

from idp.store.base import Password
from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued, refusal
from tests.support.browser import Browser, Page
from tests.support.cast import AT_GLYCINES, PASSWORD
from tests.support.world import World

NEW = "Une-Autre-Girafe-Violette-84"


def sign_in(
    world: World, person: str, *, client: str = "carnet", browser: Browser | None = None, **parameters: str
) -> tuple[Browser, Page]:
    """As far as the page that follows the password, at the person's own place of work."""
    browser = browser or world.browser(address=world.lan_of(person, client, parameters.get("establishment")))
    browser, page = at_sign_in(world, browser=browser, client=client, **parameters)
    return browser, browser.sign_in(world.person(person).username, PASSWORD, page=page)


def password_of(world: World, person: str) -> Password:
    with world.database.read() as tx:
        found = tx.people.password(world.account(person).id)
    assert found is not None
    return found


def session_places(world: World, person: str) -> list[str]:
    with world.database.read() as tx:
        sessions = tx.sessions.open_of(world.account(person).id)
        return [place.slug for session in sessions if (place := tx.establishments.get(session.establishment_id))]


# Where


def test_nurse_chooses_when_attached_to_two_establishments_and_is_suggested_the_last(world: World) -> None:
    browser, page = sign_in(world, "amina")
    assert "establishment-form" in page.forms
    assert page.forms["establishment-form"].buttons[0][1] in {"tilleuls", "glycines"}
    world.move(browser, AT_GLYCINES)
    page = browser.submit("establishment-form", page=page, button="glycines")
    assert page.callback is not None
    assert session_places(world, "amina") == ["glycines"]
    _, again = sign_in(world, "amina")
    assert again.forms["establishment-form"].buttons[0][1] == "glycines"


def test_nurse_is_not_asked_where_when_the_request_names_one_of_hers(world: World) -> None:
    _, page = sign_in(world, "amina", establishment="tilleuls")
    assert page.callback is not None
    assert session_places(world, "amina") == ["tilleuls"]


def test_nurse_is_asked_again_when_the_form_names_a_place_that_is_not_hers(world: World) -> None:
    browser, page = sign_in(world, "amina")
    action = page.forms["establishment-form"].action
    page = browser.post(action, {**page.forms["establishment-form"].fields, "establishment": "nulle-part"})
    assert "establishment-form" in page.forms
    assert session_places(world, "amina") == []


# May they


@pytest.mark.parametrize(
    ("person", "client", "reason"),
    [
        ("hugo", "carnet", "no_attachment"),
        ("ines", "carnet", "attachment_ended"),
        ("tom", "carnet", "attachment_not_started"),
        ("claire", "glycines", "client_not_open_to_establishment"),
        ("claire", "medecins", "client_not_open_to_profile"),
    ],
)
def test_person_is_refused_plainly_when_no_attachment_opens_the_application(world: World, person: str, client: str, reason: str) -> None:
    before = issued(world)
    browser, page = sign_in(world, person, client=client)
    assert page.status == 403
    event = refusal(world, page, before)
    assert event["reason"] == reason
    assert event["account_id"] == world.account(person).id
    assert browser.get(page.url).status == 403  # loaded again: told again, recorded once
    assert len(world.events("signin.refused")) == 1
    assert "denied-back" in page.document.ids or any("back" in form.action for form in page.forms.values())
    back = next(form for form in page.document.forms if form.action.endswith("/back"))
    page = browser.post(back.action, back.fields)
    assert page.callback is not None
    assert page.callback["error"] == "access_denied"
    assert page.callback.get("code") is None
    assert world.last_event("authorization.refused")["reason"] == reason
    assert issued(world) == before


def test_night_nurse_signs_in_when_her_last_day_was_yesterday_and_it_is_morning(world: World) -> None:
    _, page = sign_in(world, "nora")
    assert page.callback is not None


def test_session_stops_answering_when_the_attachment_ends(world: World) -> None:
    signed = world.sign_in("claire")
    with world.arranging() as tx:
        for attachment in tx.people.attachments(world.account("claire").id):
            tx.people.detach(attachment.id, world.clock.now())
    before = issued(world)
    page = signed.browser.get(signed.party.begin())
    assert page.status == 403
    assert refusal(world, page, before)["reason"] == "attachment_ended"
    page = signed.browser.get(signed.party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "access_denied"


# With what


def test_newcomer_chooses_a_password_when_somebody_else_made_the_present_one(world: World) -> None:
    before = issued(world)
    browser, page = sign_in(world, "lea")
    assert "password-form" in page.forms
    assert "current_password" not in page.forms["password-form"].fields
    assert issued(world) == before
    page = browser.submit("password-form", page=page, new_password=NEW, confirm_password=NEW)
    assert page.callback is not None
    assert password_of(world, "lea").must_change is False
    event = world.last_event("password.changed")
    assert event["details"]["forced"] is True
    _, page = at_sign_in(world)
    other = world.browser(address=AT_GLYCINES)
    _, page = at_sign_in(world, browser=other)
    assert other.sign_in("lea.moreau", PASSWORD, page=page).status == 403
    assert other.sign_in("lea.moreau", NEW).callback is not None


@pytest.mark.parametrize(
    ("new", "repeated", "problem", "reason"),
    [
        ("court", "court", "too_short", "password_too_weak"),
        ("Azerty123456!", "Azerty123456!", "blocked", "password_too_weak"),
        ("Moreau-Lavande-62!", "Moreau-Lavande-62!", "contains_personal_word", "password_too_weak"),
        (NEW, NEW + "x", "mismatch", "password_too_weak"),
        (PASSWORD, PASSWORD, "reused", "password_reused"),
        ("é" * 600, "é" * 600, "too_long", "password_too_weak"),
    ],
)
def test_newcomer_is_refused_when_the_new_password_is_poor(world: World, new: str, repeated: str, problem: str, reason: str) -> None:
    browser, page = sign_in(world, "lea")
    before, kept = issued(world), password_of(world, "lea")
    page = browser.submit("password-form", page=page, new_password=new, confirm_password=repeated)
    assert page.status == 422
    event = refusal(world, page, before, type_prefix="password.change_refused")
    assert event["reason"] == reason
    assert problem in event["details"]["problems"]
    assert password_of(world, "lea") == kept
    assert "password-form" in page.forms


def test_newcomer_cannot_go_round_the_change_by_another_application(world: World) -> None:
    browser, _ = sign_in(world, "lea")
    page = browser.get(world.relying_party("autre").begin())
    assert "signin-form" in page.forms
    page = browser.sign_in("lea.moreau", PASSWORD, page=page)
    assert "password-form" in page.forms


# How many


def test_person_closes_the_earliest_session_when_there_are_as_many_as_allowed(make_world: MakeWorld) -> None:
    world = make_world(sessions={"concurrent": 2})
    first = world.sign_in("claire")
    world.clock.advance(timedelta(minutes=1))
    second = world.sign_in("claire")
    browser, page = sign_in(world, "claire")
    form = page.forms["close-session-form"]
    assert len(form.choices["session_id"]) == 2
    page = browser.submit("close-session-form", page=page)
    assert page.callback is not None
    assert world.last_event("session.ended")["reason"] == "session_limit"
    assert "signin-form" in first.browser.get(first.party.begin()).forms
    assert second.browser.get(second.party.begin()).callback is not None


def test_person_cannot_close_the_session_of_somebody_else(make_world: MakeWorld) -> None:
    world = make_world(sessions={"concurrent": 1})
    world.sign_in("karim")
    world.sign_in("claire")
    with world.database.read() as tx:
        (theirs,) = tx.sessions.open_of(world.account("karim").id)
    browser, page = sign_in(world, "claire")
    form = page.forms["close-session-form"]
    page = browser.post(form.action, {**form.fields, "session_id": theirs.id})
    assert "close-session-form" in page.forms
    with world.database.read() as tx:
        assert tx.sessions.get(theirs.id).ended_at is None  # type: ignore[union-attr]


def test_idle_sessions_do_not_count_against_the_limit(make_world: MakeWorld) -> None:
    world = make_world(sessions={"concurrent": 1})
    world.sign_in("claire")
    world.clock.advance(timedelta(minutes=31))
    _, page = sign_in(world, "claire")
    assert page.callback is not None


# What the client gets


def test_person_consents_once_when_the_client_asks_for_it(world: World) -> None:
    browser, page = sign_in(world, "claire", client="curieux")
    assert "consent-form" in page.forms
    page = browser.submit("consent-form", page=page)
    assert page.callback is not None
    assert world.last_event("consent.given")["client_id"] == "curieux"
    assert browser.get(world.relying_party("curieux").begin()).callback is not None


def test_client_gets_nothing_when_the_person_declines(world: World) -> None:
    browser, page = sign_in(world, "claire", client="curieux")
    before = issued(world)
    cancel = next(form for form in page.document.forms if form.action.endswith("/cancel"))
    page = browser.post(cancel.action, cancel.fields)
    assert page.callback is not None
    assert page.callback["error"] == "access_denied"
    assert world.last_event("consent.refused")["reason"] == "cancelled_by_person"
    assert issued(world) == before


def test_person_goes_back_to_the_application_when_cancelling(world: World) -> None:
    browser, page = at_sign_in(world)
    before = issued(world)
    cancel = next(form for form in page.document.forms if form.action.endswith("/cancel"))
    page = browser.post(cancel.action, cancel.fields)
    assert page.callback is not None
    assert page.callback["error"] == "access_denied"
    assert page.callback["iss"] == world.issuer
    assert world.last_event("signin.cancelled")["reason"] == "cancelled_by_person"
    assert issued(world) == before


# prompt and friends


def test_person_selects_the_account_that_is_signed_in(world: World) -> None:
    signed = world.sign_in("claire")
    page = signed.browser.get(signed.party.begin(prompt="select_account"))
    assert "Claire Dubois" in page.text
    go_on = next(form for form in page.document.forms if form.action.endswith("/go-on"))
    assert signed.browser.post(go_on.action, go_on.fields).callback is not None


def test_colleague_signs_in_as_other_when_asked_to_select(world: World) -> None:
    signed = world.sign_in("claire")
    page = signed.browser.get(signed.party.begin(prompt="select_account"))
    other = next(form for form in page.document.forms if form.action.endswith("/other"))
    page = signed.browser.post(other.action, other.fields)
    page = signed.browser.sign_in("rose.marchand", PASSWORD, page=page)
    assert page.callback is not None
    assert world.last_event("signin.succeeded")["account_id"] == world.account("rose").id
    assert world.events("session.ended")[-1]["reason"] == "replaced"


def test_colleague_is_herself_when_she_types_on_a_page_left_open_while_another_signed_in(world: World) -> None:
    browser, stale = at_sign_in(world)
    world.sign_in("claire", browser=browser)
    page = browser.sign_in("rose.marchand", PASSWORD, page=stale)
    assert page.callback is not None
    assert world.last_event("authorization.granted")["account_id"] == world.account("rose").id


def test_somebody_else_never_answers_for_the_hinted_person(world: World) -> None:
    signed = world.sign_in("claire")
    hint = signed.tokens.answer["id_token"]
    browser, page = at_sign_in(world, id_token_hint=hint)
    before = issued(world)
    page = browser.sign_in("rose.marchand", PASSWORD, page=page)
    assert page.status == 403
    assert refusal(world, page, before)["reason"] == "login_required"
    back = next(form for form in page.document.forms if form.action.endswith("/back"))
    page = browser.post(back.action, back.fields)
    assert page.callback is not None
    assert page.callback["error"] == "login_required"


def test_person_is_asked_again_when_max_age_is_past_and_the_session_is_renewed(world: World) -> None:
    signed = world.sign_in("claire")
    cookie = signed.browser.cookie("__Host-vestibule-session")
    world.clock.advance(timedelta(minutes=10))
    page = signed.browser.get(signed.party.begin(max_age="60"))
    assert page.forms["signin-form"].fields["identifier"] == "claire.dubois"
    page = signed.browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.callback is not None
    assert signed.browser.cookie("__Host-vestibule-session") != cookie
    assert len(world.events("session.opened")) == 1


def test_client_learns_it_at_once_when_an_essential_acr_cannot_be_met(world: World) -> None:
    signed = world.sign_in("claire")
    before = issued(world)
    claims = '{"id_token":{"acr":{"essential":true,"values":["https://example.org/strong"]}}}'
    page = signed.browser.get(signed.party.begin(claims=claims))
    assert page.callback is not None
    assert page.callback["error"] == "unmet_authentication_requirements"
    assert world.last_event("authorization.refused")["reason"] == "unmet_authentication_requirements"
    assert issued(world) == before


def test_identifier_is_written_beforehand_when_the_client_hints_it(world: World) -> None:
    _, page = at_sign_in(world, login_hint="claire.dubois")
    assert page.forms["signin-form"].fields["identifier"] == "claire.dubois"
