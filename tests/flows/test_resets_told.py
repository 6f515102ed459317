"""What the console says of who was told: never that somebody was, whom nothing could reach."""

import pytest

from tests.conftest import MakeRoom
from tests.flows.test_resets import BY_DAY
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.sms_gateway import SmsGateway
from tests.support.smtp import SmtpServer
from tests.support.world import World

NO_MAIL = "Nobody can be told of it: no mail is sent from here."
NO_ADDRESS = "Nobody can be told of it: no address of theirs is known."


def asked(agent: ConsoleAgent, person: str) -> tuple[str, str]:
    """What is said before a request is opened, and after."""
    before = agent.get(f"/admin/people/{agent.world.account(person).id}/reset?kind=password").text
    return before, agent.submit("reset-ask", kind="password", why="oublié").text


def queued(world: World, person: str) -> list[str]:
    lines = world.events("message.queued", account_id=world.account(person).id)
    return [line["details"]["channel"] for line in lines if line["details"]["purpose"] == "reset_asked"]


@pytest.mark.parametrize(("person", "has_mail", "said"), [("claire", False, NO_MAIL), ("sam", True, NO_ADDRESS), ("claire", True, "")])
def test_agent_reads_that_nobody_could_be_told_when_nothing_reaches_the_person(
    make_room: MakeRoom, smtp: SmtpServer, person: str, has_mail: bool, said: str
) -> None:
    settings = {"mail": smtp.settings()} if has_mail else {}
    world = make_room(resets=BY_DAY, **settings).world
    agent = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    before, after = asked(agent, person)
    suspending = agent.get(f"/admin/people/{world.account(person).id}/suspend").text
    assert queued(world, person) == ([] if said else ["email"])
    if said:
        assert all(said in text for text in (before, after, suspending))
        assert "They are told" not in before + suspending
        assert "has been told" not in after
    else:
        assert "They are told at once" in before
        assert "the person has been told" in after
        assert "They are told by e-mail." in suspending
        assert "Nobody can be told" not in before + after + suspending


def test_agent_reads_that_the_person_was_told_when_an_sms_alone_reaches_them(make_room: MakeRoom, gateway: SmsGateway) -> None:
    world = make_room(resets=BY_DAY, sms=gateway.settings()).world
    agent = console_agent(world, "rose", "it_contact", "tilleuls", language="en")
    before, after = asked(agent, "claire")
    assert queued(world, "claire") == ["sms"]
    assert "Nobody can be told" not in before + after
    assert "the person has been told" in after
