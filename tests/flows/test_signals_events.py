"""What applications are told beside cuts: a password or a second factor that is another one, a Session that is more certain. CAEP 1.0 section 3."""

from datetime import timedelta

import pytest

from idp.people import factors, passwords
from policies.assurance import ACR_MFA, ACR_PASSWORD
from tests.conftest import MakeWorld
from tests.flows.test_signals import AUTHOR, allow
from tests.flows.test_signals_streams import sweeping
from tests.flows.test_step_up import essential, give_code
from tests.support.second_factors import Phone, enrol_phone
from tests.support.set_receiver import CAEP, Receiver
from tests.support.world import World


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """One of the applications may manage streams."""
    world = make_world()
    allow(world, "carnet", "ssf.manage")
    return world


@pytest.fixture
def receiver(world: World) -> Receiver:
    """The application."""
    return Receiver(world)


def phone_of(world: World) -> Phone:
    """Claire adds her telephone at work."""
    return enrol_phone(world, world.application.signin.second_factors)


def test_application_is_told_that_a_password_was_set_and_not_which(world: World, receiver: Receiver) -> None:
    stream = receiver.create(events_requested=[f"{CAEP}credential-change"])
    world.sign_in()
    account = world.account("claire")
    with world.arranging() as tx:
        passwords.write(tx, account, "$argon2id$not-really", AUTHOR, must_change=True, clock=world.clock)
    (heard,) = receiver.poll(stream).values()
    assert heard.subject == {"format": "iss_sub", "iss": world.issuer, "sub": account.id}
    assert heard.body == {
        "event_timestamp": int(world.clock.now().timestamp()),
        "initiating_entity": "admin",
        "credential_type": "password",
        "change_type": "update",
    }
    assert "argon2" not in str(heard.claims)


def test_application_is_told_of_a_factor_that_comes_and_goes(world: World, receiver: Receiver) -> None:
    stream = receiver.create(events_requested=[f"{CAEP}credential-change"])
    world.sign_in()
    phone_of(world)
    with world.arranging() as tx:
        factors.reset(tx, world.account("claire"), AUTHOR, reason="téléphone perdu", clock=world.clock)
    said = [
        (heard.body["credential_type"], heard.body["change_type"], heard.body["initiating_entity"])
        for heard in receiver.poll(stream).values()
    ]
    assert sorted(said) == [("app", "create", "user"), ("app", "revoke", "admin")]


def test_application_is_told_that_a_session_became_more_certain(world: World, receiver: Receiver) -> None:
    phone = phone_of(world)
    stream = receiver.create(events_requested=[f"{CAEP}assurance-level-change"])
    signed = world.sign_in()
    assert receiver.poll(stream) == {}
    page = signed.browser.get(signed.party.begin(claims=essential(ACR_MFA)))
    page = give_code(world, signed.browser, page, phone)
    assert page.callback is not None
    (heard,) = receiver.poll(stream).values()
    assert heard.subject["session"] == {"format": "opaque", "id": signed.tokens.claims["sid"]}
    assert heard.body == {
        "event_timestamp": int(world.clock.now().timestamp()),
        "initiating_entity": "user",
        "namespace": "urn:vestibule:acr",
        "current_level": ACR_MFA,
        "previous_level": ACR_PASSWORD,
        "change_direction": "increase",
    }


def test_session_that_nobody_used_any_more_was_ended_by_the_policy(world: World, receiver: Receiver) -> None:
    stream = receiver.create(events_requested=[f"{CAEP}session-revoked"])
    world.sign_in()
    world.clock.advance(timedelta(days=2))
    with sweeping(world) as worker:
        assert worker.end_overdue_sessions() == 1
    receiver = Receiver(world)  # its token is too old
    (heard,) = receiver.poll(stream).values()
    assert heard.body["initiating_entity"] == "policy"
