"""Ways to a wrong "yes" around places and second factors that a review found, each closed.

A factor that outlives the proof it was added on, paper that becomes a second factor by itself, strangers who close a home's door, a header that lifts
a ban. Rules: policies/enrolment.py, policies/zones.py, policies/lockout.py; RFC 8176 for what `mfa` may mean.
"""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from idp.audit import Author, Origin, Reason
from idp.endings import Cause, end_account_access
from idp.messages.texts import notice
from idp.people.factors import missing, reset
from idp.signin.enrolment import EnrolmentRefused
from idp.store.base import Factor
from policies.lockout import Standing
from policies.zones import EGRESS_ALONE
from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.messaging import Messaging
from tests.support.rows import a_factor
from tests.support.second_factors import ORIGIN, Phone, asking, enrol_phone
from tests.support.smtp import SmtpServer
from tests.support.world import World

AUTHOR = Author("operator:test", ORIGIN)
MFA = json.dumps({"id_token": {"acr": {"essential": True, "values": ["urn:vestibule:acr:mfa"]}}})
CODES = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b")
PROXY, BANNED, ELSEWHERE = "127.0.0.1", "198.51.100.66", "8.8.8.8"


def factors_of(world: World, person: str = "claire") -> list[str]:
    with world.database.read() as tx:
        return [factor.kind for factor in tx.factors.open_of(world.account(person).id)]


def begin_enrolment(world: World, browser: Browser) -> Page:
    """A sign-in that stands on the page where a first factor is added, with an authenticator application."""
    page = browser.get(world.relying_party("autre").begin(claims=MFA))
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    chosen = next(form for form in page.forms.values() if (form.action or "").endswith("/enrol-kind"))
    return browser.post(chosen.action, {"csrf_token": chosen.fields["csrf_token"], "kind": "totp"})


def enrol(world: World, browser: Browser, page: Page) -> Page:
    form = next(form for form in page.forms.values() if (form.action or "").endswith("/enrol"))
    return browser.post(form.action, {**form.fields, "code": Phone.scanning(page.markup).code(world.clock)})


def made_factor(world: World, *, kind: Literal["totp", "sms", "email"] = "totp") -> Factor:
    now, account_id = world.clock.now(), world.account("claire").id
    return a_factor(world.clock.new_id(), account_id, now, kind=kind, last_step=0, enrolled_zone="tilleuls/lan", last_used_at=now)


# A factor stands on what it was added on


def test_no_factor_is_added_on_a_password_that_was_changed_meanwhile(world: World) -> None:
    thief = world.browser()
    page = begin_enrolment(world, thief)
    world.clock.advance(timedelta(seconds=30))
    mine = world.sign_in("claire").browser
    shown = mine.get("/account/password")
    new = "Girafe-Lavande-77-Tramway"
    form = next(name for name in shown.forms if "password" in name)
    mine.submit(form, current_password=PASSWORD, new_password=new, confirm_password=new)
    assert world.events("password.changed")
    answer = enrol(world, thief, page)
    assert factors_of(world) == []
    assert not CODES.search(answer.text)
    assert world.last_event("enrolment.refused")["reason"] == Reason.CREDENTIAL_CHANGED


def test_what_stands_goes_on(world: World) -> None:
    browser = world.browser()
    answer = enrol(world, browser, begin_enrolment(world, browser))
    assert factors_of(world) == ["totp"]
    assert CODES.search(answer.text)


def test_leave_that_a_place_gave_ends_with_the_first_factor(world: World) -> None:
    parts = world.application.signin.second_factors
    permit = parts.enrolment.permit(asking(world), "totp", ORIGIN)
    enrol_phone(world, parts)
    assert world.last_event("factor.enrolled")["details"]["opened_by"] == "place"
    with pytest.raises(EnrolmentRefused) as refused:
        parts.enrolment.add(permit, made_factor(world), ORIGIN)
    assert refused.value.reason == Reason.ENROLMENT_NEEDS_FACTOR
    assert factors_of(world) == ["totp"]


@pytest.mark.parametrize("how", ["ended", "locked"])
def test_no_factor_is_added_in_a_session_that_is_over_or_locked(world: World, how: str) -> None:
    world.sign_in("claire")
    with world.database.read() as tx:
        (session,) = tx.sessions.open_of(world.account("claire").id)
    parts = world.application.signin.second_factors
    permit = parts.enrolment.permit(replace(asking(world), session_id=session.id), "totp", ORIGIN)
    with world.arranging() as tx:
        if how == "ended":
            end_account_access(tx, session.account_id, Cause(Reason.CREDENTIAL_CHANGED, "operator:test", ORIGIN), clock=world.clock)
        else:
            tx.sessions.lock(session.id, world.clock.now())
    with pytest.raises(EnrolmentRefused) as refused:
        parts.enrolment.add(permit, made_factor(world), ORIGIN)
    assert refused.value.reason == Reason.GRANT_NOT_ALIVE
    assert factors_of(world) == []


def test_no_factor_is_added_on_one_that_was_taken_away_meanwhile(world: World) -> None:
    """A thief who has shown a stolen telephone asks for a passkey; the operator takes the telephone away, and leaves the person's other factor."""
    parts = world.application.signin.second_factors
    phone = enrol_phone(world, parts)
    with world.arranging() as tx:
        tx.factors.add(made_factor(world, kind="sms"))
    browser = world.browser()
    page = browser.get(world.relying_party("autre").begin(claims=MFA))
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    page = browser.submit("factor-form", page=page, code=phone.code(world.clock))
    assert page.callback is not None
    with world.database.read() as tx:
        (session,) = tx.sessions.open_of(world.account("claire").id)
    now = world.clock.now()
    claimed = replace(asking(world), session_id=session.id, proved_at=max(proof.at for proof in session.proofs), signed_in_at=now)
    permit = parts.enrolment.permit(claimed, "totp", ORIGIN)
    assert parts.enrolment.may(claimed).trace[0].detail == "factor"
    with world.arranging() as tx:
        given = next(proof.factor_id for proof in session.proofs if proof.factor_id is not None)
        tx.factors.end(given, now)
    with pytest.raises(EnrolmentRefused) as refused:
        parts.enrolment.add(permit, made_factor(world), ORIGIN)
    assert refused.value.reason == Reason.ENROLMENT_NEEDS_FACTOR
    assert factors_of(world) == ["sms"]


# Paper recovers from the loss of a factor, and is none


def test_a_mailbox_brings_no_recovery_codes(make_world: MakeWorld, smtp: SmtpServer) -> None:
    room = Messaging(make_world(mail=smtp.settings(), factors={"offered": ["totp", "email"]}))
    world = room.world
    browser = world.sign_in("claire").browser
    browser.get("/account/factors/email")
    browser.submit("address-form", number="claire.dubois@tilleuls.example")
    room.deliver()
    found = re.search(r"\b(\d{6})\b", smtp.mails()[-1].get_content())
    assert found is not None
    page = browser.submit("code-form", code=found[1], label="")
    assert factors_of(world) == ["email"]
    assert not CODES.search(page.text)
    assert world.events("recovery_codes.renewed") == []
    # Nor by asking for them, nor by some that are left of another time.
    parts = world.application.signin.second_factors
    account_id = world.account("claire").id
    with world.arranging() as tx:
        tx.recovery_codes.replace(account_id, ("digest",), world.clock.now())
    with pytest.raises(Exception, match="no_such_factor"):
        parts.recovery.renew(account_id, ORIGIN)
    away = world.browser(address=OUTSIDE)
    page = away.sign_in("claire.dubois", PASSWORD, page=away.get(world.relying_party("autre").begin()))
    assert 'value="recovery"' not in page.markup
    room.close()


# Strangers at one address


def test_guests_behind_the_address_of_a_home_do_not_keep_its_workstations_waiting(make_world: MakeWorld) -> None:
    world = make_world(lockout={"address_failures": 20})
    signin = world.application.signin
    watch = signin._login._watch
    behind = Origin(request_id="x", address="203.0.113.9", zone_why=EGRESS_ALONE)
    guest = signin.throttle.keys("someone", None, behind, standing=Standing.OUTSIDE)
    nurse = signin.throttle.keys("claire.dubois", None, behind, standing=Standing.INSIDE)
    tries = 0
    while not watch.wait(guest):
        watch.note_failure(guest)
        tries += 1
    assert tries == 400
    assert watch.wait(nurse) == timedelta(0)
    for _ in range(400):
        watch.note_failure(nurse)
    assert watch.wait(nurse) > timedelta(0), "a flood from within is still one"


# A blocked network stays blocked


def banning_world(make_world: MakeWorld) -> World:
    world = make_world(server={"trusted_proxies": [PROXY]})
    with world.arranging() as tx:
        (lan,) = tx.zones.of(world.establishment("tilleuls").id)
        banned = replace(lan, id=world.clock.new_id(), name="bloque", kind="blocked", networks=(f"{BANNED}/32",))
        tx.zones.add(banned)
        tx.revisions.advance("zones")
    return world


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": BANNED},
        {"X-Forwarded-For": BANNED, "Forwarded": f"for={ELSEWHERE}"},
        {"X-Forwarded-For": BANNED, "Forwarded": "rubbish"},
        {"X-Forwarded-For": ELSEWHERE, "Forwarded": f"for={BANNED}"},
    ],
)
def test_a_second_header_does_not_lead_out_of_a_blocked_network(make_world: MakeWorld, headers: dict[str, str]) -> None:
    world = banning_world(make_world)
    browser = world.browser(address=PROXY)
    browser.headers.update(headers)
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(world.relying_party("autre").begin()))
    assert page.callback is None
    refused = world.last_event("signin.refused")
    assert (refused["zone_kind"], refused["zone_why"]) == ("blocked", "blocked_network")


def test_headers_that_disagree_and_name_no_blocked_network_are_outside(make_world: MakeWorld) -> None:
    world = banning_world(make_world)
    browser = world.browser(address=PROXY)
    browser.headers.update({"X-Forwarded-For": "203.0.113.77", "Forwarded": f"for={ELSEWHERE}"})
    browser.sign_in("claire.dubois", PASSWORD, page=browser.get(world.relying_party("autre").begin()))
    told = world.events("signin")[-1] if world.events("signin") else world.events()[-1]
    assert (told["zone_kind"], told["zone_why"]) in {("outside", "address_doubtful")}


# What an operator sees


def test_who_has_only_a_mailbox_has_no_second_factor_yet(world: World) -> None:
    with world.arranging() as tx:
        tx.factors.add(made_factor(world, kind="email"))
    with world.database.read() as tx:
        assert "claire.dubois" in {one.account.username for one in missing(tx, now=world.clock.now())}


def test_a_reset_says_that_browsers_were_forgotten(world: World) -> None:
    enrol_phone(world, world.application.signin.second_factors)
    browser = world.browser(address=OUTSIDE)
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(world.relying_party("autre").begin()))
    assert "factor-form" in page.forms
    world.sign_in("claire")
    with world.database.read() as tx:
        known = len(tx.devices.open_of(world.account("claire").id))
    assert known == 1
    with world.arranging() as tx:
        done = reset(tx, world.account("claire"), AUTHOR, reason="telephone lost", clock=world.clock)
    assert done.devices == 1
    assert world.last_event("device.ended")["details"] == {"devices": 1}


# A lock closes a person, however they are called


def test_a_locked_person_is_not_tried_under_another_of_their_names(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "admin"})
    throttle = world.application.signin.throttle
    account_id = world.account("claire").id
    here = Origin(request_id="x", address="127.0.0.1")
    for standing in (Standing.OUTSIDE, Standing.INSIDE):
        typed = throttle.keys("claire.dubois", account_id, here, standing=standing)
        for _ in range(10):
            throttle.admit(typed)
        throttle.note_failure(typed)
    inside = throttle.admit(throttle.keys("claire.dubois@tilleuls.example", account_id, here, standing=Standing.INSIDE))
    outside = throttle.admit(throttle.keys("claire.dubois@tilleuls.example", account_id, here, standing=Standing.OUTSIDE))
    assert (inside.is_allowed, inside.reason, inside.is_silent) == (False, "locked_until_admin", False)
    assert (outside.is_allowed, outside.is_silent) == (False, True)
    with world.arranging() as tx:
        throttle.unblock(tx, account_id, AUTHOR)
    assert throttle.admit(throttle.keys("claire.dubois@tilleuls.example", account_id, here, standing=Standing.INSIDE)).is_allowed


# Mails hold no link, whoever wrote what they repeat


@pytest.mark.parametrize("said", ["Mozilla evil.example/x", "www.evil.example", "Mozilla/5.0 (call evil.example now)"])
def test_a_browser_that_calls_itself_an_address_is_no_link(said: str) -> None:
    words = notice("new_device", {"browser": said, "at": "-"}, product="Vestibule", contact="", language="fr")
    assert not re.search(r"[a-z]\.[a-z]{2,}", words.text)
