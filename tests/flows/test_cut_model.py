"""The program against a model of it: people sign in, exchange, refresh, are disabled, enabled, lose a post, come back, in any order.

The model is the rule of the cut in a few lines: what was open ends with the account, or with the post that it was opened at, and never comes back.
The source is SCIM, which is believed within its own request; that directories are heard is tests/contracts/test_watch_*. A sample runs with the
rest; SOAK_MINUTES (make soak) makes it long.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from idp.composition.cut import open_deliverer
from idp.crypto import PasswordHasher
from tests.conftest import MakeWorld
from tests.support.browser import Browser
from tests.support.cast import LANS, PASSWORD
from tests.support.relying_party import RelyingParty, Tokens
from tests.support.scim_source import RULES, ScimSource, scim_settings
from tests.support.world import World

MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
EXAMPLES, STEPS = (int(30 * MINUTES), 40) if MINUTES else (8, 14)
HOMES = ("tilleuls", "glycines")
BYSTANDERS = 8  # that everybody leaves is never believed
BRAKE = {"brake_people": 1_000_000, "brake_percent": 100}

people, homes = st.sampled_from(("une", "deux")), st.sampled_from(HOMES)


@dataclass(eq=False, slots=True)
class Opened:
    """A Session of a person at a home, in a browser."""

    person: "Modelled"
    home: str
    browser: Browser
    is_open: bool = True
    is_told_to: bool = False  # the application has had tokens of it


@dataclass(eq=False, slots=True)
class Code:
    """A code that was not exchanged yet."""

    session: Opened
    party: RelyingParty
    value: str


@dataclass(eq=False, slots=True)
class Held:
    """What an application holds."""

    session: Opened
    party: RelyingParty
    tokens: Tokens


@dataclass(eq=False, slots=True)
class Modelled:
    """What the model knows of a person."""

    username: str
    subject: str
    is_active: bool = True
    has_password: bool = False
    homes: set[str] = field(default_factory=set)
    sessions: list[Opened] = field(default_factory=list)

    def end(self, home: str | None = None) -> None:
        """What was open ends: everything, or what was opened at a home."""
        for session in self.sessions:
            if home is None or session.home == home:
                session.is_open = False


class Departures(RuleBasedStateMachine):
    """Rules are what people, applications and the source do; each says what the model expects to be answered."""

    world: World  # of the test that runs the machine
    numbers: Iterator[int]

    codes = Bundle("codes")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.source = ScimSource(self.world)
        self.gone: list[Modelled] = []
        self.people = {name: self._person(name) for name in ("une", "deux")}

    def _person(self, name: str) -> Modelled:
        username = f"{name}.{next(self.numbers)}"
        return Modelled(username, self.source.add_user(username)["id"])

    def _account_id(self, person: Modelled) -> str | None:
        """Somebody who never had a post is nobody here yet."""
        with self.world.database.read() as tx:
            link = tx.links.get("rh", person.subject)
        return link.account_id if link else None

    # What the source writes

    @rule(name=people)
    def disable(self, name: str) -> None:
        person = self.people[name]
        assert self.source.disable(person.subject).status_code == 200
        person.is_active = False
        person.end()

    @rule(name=people)
    def enable(self, name: str) -> None:
        person = self.people[name]
        answer = self.source.patch(f"/Users/{person.subject}", {"op": "replace", "path": "active", "value": True})
        assert answer.status_code == 200
        person.is_active = True
        self._give_password(person)

    @rule(name=people, home=homes)
    def join(self, name: str, home: str) -> None:
        person = self.people[name]
        self._members("add", home, person)
        person.homes.add(home)
        self._give_password(person)

    @rule(name=people, home=homes)
    def leave(self, name: str, home: str) -> None:
        person = self.people[name]
        self._members("remove", home, person)
        person.homes.discard(home)
        person.end(home)

    @rule(name=people)
    def delete(self, name: str) -> None:
        """Gone for good; whoever comes next by that name is somebody else."""
        person = self.people[name]
        assert self.source.send("DELETE", f"/Users/{person.subject}").status_code == 204
        person.is_active = False
        person.end()
        self.gone.append(person)
        self.people[name] = self._person(name)

    def _members(self, op: str, home: str, person: Modelled) -> None:
        (group,) = self.source.get("/Groups", filter=f'displayName eq "{home}-ide"').json()["Resources"]
        operation = {"op": op, "path": "members", "value": [{"value": person.subject}]}
        assert self.source.patch(f"/Groups/{group['id']}", operation).status_code in {200, 204}

    def _give_password(self, person: Modelled) -> None:
        """The source brings none: a password of ours, once they are somebody here."""
        account_id, world = self._account_id(person), self.world
        if account_id is None or person.has_password:
            return
        encoded = PasswordHasher(world.clock, concurrency=1).hash(PASSWORD)
        with world.database.write() as tx:
            tx.people.set_password(account_id, encoded, must_change=False, now=world.clock.now())
        person.has_password = True

    # What people and applications do

    @rule(target=codes, name=people, home=homes)
    def sign_in(self, name: str, home: str) -> Code | None:
        person, party = self.people[name], self.world.relying_party("carnet")
        browser = self.world.browser(address=LANS[home])
        page = browser.get(party.begin(establishment=home))
        page = browser.sign_in(person.username, PASSWORD, page=page)
        may = person.is_active and home in person.homes
        assert (page.callback is not None and "code" in page.callback.parameters) is may, page
        if not may or page.callback is None:
            return None
        session = Opened(person, home, browser)
        person.sessions.append(session)
        return Code(session, party, page.callback["code"])

    @rule(target=held, code=consumes(codes))
    def exchange(self, code: Code | None) -> Held | None:
        if code is None:
            return None
        answer = code.party.redeem(code.value)
        assert answer.status_code == (200 if code.session.is_open else 400), answer.text
        if answer.status_code != 200:
            assert answer.json()["error"] == "invalid_grant"
            return None
        code.session.is_told_to = True
        return Held(code.session, code.party, code.party.read_tokens(answer))

    @rule(one=held)
    def refresh(self, one: Held | None) -> None:
        if one is None:
            return
        answer = one.party.refresh(one.tokens.refresh)
        assert answer.status_code == (200 if one.session.is_open else 400), answer.text
        if answer.status_code == 200:
            one.tokens = one.party.read_tokens(answer)

    @rule(one=held)
    def ask(self, one: Held | None) -> None:
        """userinfo, introspection of both tokens, and the Session in its browser."""
        if one is None:
            return
        is_open = one.session.is_open
        assert one.party.userinfo(one.tokens.access).status_code == (200 if is_open else 401)
        for token in (one.tokens.access, one.tokens.refresh):
            assert one.party.introspect(token).json()["active"] is is_open
        page = one.session.browser.get(self.world.relying_party("carnet").begin(prompt="none", establishment=one.session.home))
        assert page.callback is not None
        assert ("code" in page.callback.parameters) is is_open, page.callback

    @invariant()
    def nothing_is_open_that_ended(self) -> None:
        """The store agrees with the model, whatever was asked for."""
        for person in (*self.people.values(), *self.gone):
            account_id, still = self._account_id(person), sum(session.is_open for session in person.sessions)
            if account_id is None:
                assert not person.sessions
                continue
            with self.world.database.read() as tx:
                account = tx.people.get(account_id)
                assert account is not None
                assert (account.status == "active") is person.is_active
                assert len(tx.sessions.open_of(account_id)) == still

    def teardown(self) -> None:
        """Every application that was told of a Session is told of its end; nothing is owed."""
        deliverer = open_deliverer(self.world.application)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("idp.oauth.delivery.PATIENCE", timedelta(seconds=60))  # every application has answered before it is looked at
            try:
                while deliverer.run_once():
                    pass
            finally:
                deliverer.close()
        with self.world.database.read() as tx:
            assert tx.outbox.due(self.world.clock.now(), 10, kind="backchannel_logout") == ()
        for person in (*self.people.values(), *self.gone):
            account_id = self._account_id(person)
            with self.world.database.read() as tx:
                cuts = tx.cuts.of_account(account_id, limit=1000) if account_id else ()
                notices = [notice for cut in cuts for notice in tx.cuts.notices(cut.id)]
            assert all(notice.delivered_at for notice in notices)
            assert len(notices) == sum(session.is_told_to and not session.is_open for session in person.sessions)


@contextmanager
def modelled(world: World) -> Iterator[type[Departures]]:
    """The machine on a world whose homes have a few people who never leave."""
    source = ScimSource(world)
    bystanders = [source.add_user(f"reste.{number}")["id"] for number in range(BYSTANDERS)]
    for home in HOMES:
        source.add_group(f"{home}-ide", *bystanders)
    yield type("DeparturesHere", (Departures,), {"world": world, "numbers": itertools.count()})


@pytest.mark.timeout(300 + 240 * MINUTES)
def test_program_agrees_with_the_model_whatever_comes_in_whatever_order(make_world: MakeWorld, tmp_path: Path) -> None:
    # The model knows of no limit on Sessions: a sixth sign-in of somebody is one more.
    world = make_world(scim=[scim_settings(tmp_path, mapping=list(RULES))], sync=BRAKE, sessions={"concurrent": None})
    with modelled(world) as machine:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                derandomize=not MINUTES,
            ),
        )
