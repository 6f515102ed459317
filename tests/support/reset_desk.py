"""A reset as far as the desk takes it: asked, proven, approved where that is needed, carried out; and both halves as the person has them.

The desk's rooms are called as its pages call them; what the person does afterwards goes through the pages.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta

from idp.audit import Author, Origin
from idp.desk.authority import Agent, holdings_of
from idp.desk.handover import Channel
from idp.desk.marks import NO_MARKS, Marks
from idp.store.base import Account, Reset, Role
from policies.acts import GROUP_ADMINISTRATOR, IT_CONTACT, Actor
from policies.resets import Kind
from tests.support.cast import KNOWN_FOR
from tests.support.messaging import Messaging
from tests.support.smtp import SmtpServer
from tests.support.world import World

AT_DESK = Origin(request_id="DESK000001", address="127.0.0.1")
HALF = re.compile(r"^\s*([0-9A-Z]{4}-[0-9A-Z]{4})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Halves:
    """What the person was told, and what they were sent."""

    reset_id: str
    spoken: str
    sent: str


@dataclass(slots=True)
class ResetDesk:
    """The desk of a World whose mail goes to a real server."""

    room: Messaging
    smtp: SmtpServer
    agents: dict[tuple[str, str], Agent] = field(default_factory=dict)

    @property
    def world(self) -> World:
        """Where it is."""
        return self.room.world

    def agent(self, person: str = "rose", role: str = IT_CONTACT, slug: str | None = "tilleuls") -> Agent:
        """Somebody of the cast with a role, as a page of the console has them."""
        if (person, role) not in self.agents:
            account = self.world.account(person)
            with self.world.arranging() as tx:
                place = tx.establishments.by_slug(slug) if slug else None
                tx.roles.add(
                    Role(
                        id=self.world.clock.new_id(),
                        account_id=account.id,
                        role=role,
                        establishment_id=place.id if place else None,
                        given_by="operator:test",
                        created_at=self.world.clock.now(),
                        ended_at=None,
                    )
                )
                actor = Actor(account_id=account.id, holdings=holdings_of(tx, account.id))
            self.agents[person, role] = Agent(author=Author(f"account:{account.id}", AT_DESK), actor=actor, account=account)
        return self.agents[person, role]

    def issue(
        self,
        person: str = "claire",
        kind: Kind = "password",
        *,
        slug: str = "tilleuls",
        browser: Marks = NO_MARKS,
        channel: Channel = "email",
    ) -> Halves:
        """A whole reset of a member of the cast up to its two halves, one of them in their mailbox."""
        return self.issue_to(self.world.person(person).username, kind, slug=slug, browser=browser, channel=channel)

    def issue_to(
        self, username: str, kind: Kind = "password", *, slug: str = "tilleuls", browser: Marks = NO_MARKS, channel: Channel = "email"
    ) -> Halves:
        """The same of whoever is found by that name."""
        resets, agent = self.world.application.desk.resets, self.agent(slug=slug)
        place, account = self.world.establishment(slug), self.known_for_long(username)
        reset = resets.ask(agent, account, kind=kind, establishment=place, why="test", browser=browser)
        reset = resets.prove(agent, reset.id, how="in_person", browser=browser)
        if reset.needs_second:
            resets.approve(self.agent("karim", GROUP_ADMINISTRATOR, None), reset.id)
        self.room.deliver()
        self.smtp.forget()
        handover = resets.carry_out(agent, reset.id, channel=channel, browser=browser)
        return Halves(reset.id, handover.spoken, self.received() if channel == "email" else "")

    def received(self) -> str:
        """The half in the newest mail that holds one; a mail that a busy machine did not take in time is tried again."""
        for _ in range(5):
            self.room.deliver()
            found = [code for mail in self.smtp.mails() for code in HALF.findall(mail.get_content())]
            if found:
                return str(found[-1])
            self.world.clock.advance(timedelta(seconds=30))
        tried = [(one.purpose, one.attempts, one.receipt) for one in self.room.messages()]
        raise AssertionError(f"no half among {[mail['Subject'] for mail in self.smtp.mails()]}: {tried}")

    def known_for_long(self, username: str) -> Account:
        """Whoever is found by that name, as if they had come weeks ago: the desk sends no half to somebody who came a moment ago."""
        with self.world.arranging() as tx:
            (account,) = tx.people.matching(username, None)
            now = self.world.clock.now()
            tx.people.change(account.id, now, created_at=min(account.created_at, now - KNOWN_FOR))
            (account,) = tx.people.matching(username, None)
        return account

    def reset(self, reset_id: str) -> Reset:
        """As it is kept now."""
        with self.world.database.read() as tx:
            found = tx.resets.get(reset_id)
        assert found is not None
        return found
