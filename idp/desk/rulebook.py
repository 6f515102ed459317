"""The rules as the console asks them: what they would say of a sign-in of somebody in reach, and what a draft would have changed of the past.

Owns who may ask about whom, and reading what was typed; judging is policies/rules.py's, supposing idp/signin/what_if.py's, the past
idp/signin/replay.py's. Writes nothing. The rules themselves are the configuration file's.
"""

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml

from idp.audit import Reason
from idp.clock import Clock
from idp.config import Config, PolicySettings, load_draft
from idp.desk.authority import ActRefused, Agent, Authority
from idp.desk.wrong_input import Problem, WrongInput
from idp.errors import ConfigurationError
from idp.people import accounts
from idp.people.accounts import AccountRefused
from idp.signin import replay as past
from idp.signin.gate import KINDS_OF_SECOND_FACTOR
from idp.signin.replay import Replay
from idp.signin.what_if import Supposed, WhatIf, terms_of, what_if
from idp.store.base import Account, Establishment
from idp.store.database import Database
from policies.acts import Act
from policies.assurance import Method
from policies.rules import run_cases

LONGEST_PAST = timedelta(days=90)
LONGEST_DRAFT = 40_000
DEEPEST_DRAFT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A sign-in to suppose. `at` is UTC-aware; None: now. `factors` None: those enrolled."""

    person: Account
    client_id: str | None
    address: str
    at: datetime | None = None
    establishment: str | None = None
    method: str = "password"
    factors: frozenset[str] | None = None
    is_device_known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a draft would have changed. `equipped`: the ids of those concerned who have a second factor; `names` of the accounts shown."""

    replay: Replay
    equipped: frozenset[str]
    names: dict[str, str]


class Rulebook:
    """Safe between threads; one per process."""

    def __init__(self, config: Config, database: Database, *, authority: Authority, clock: Clock) -> None:
        self._config = config
        self._database = database
        self._authority = authority
        self._clock = clock

    def failing_cases(self) -> tuple[str, ...]:
        """The configuration's own cases that come out otherwise than they must."""
        policy = self._config.policy
        return tuple(failure.text for failure in run_cases(policy.rule_set, policy.cases).failures)

    def draft(self, text: str) -> PolicySettings | None:
        """The rules of a pasted YAML text; None when nothing was pasted. Raises WrongInput with every mistake."""
        if not text.strip():
            return None
        if len(text) > LONGEST_DRAFT:
            raise WrongInput([Problem("draft", f"longer than {LONGEST_DRAFT} characters")])
        _refuse_tricks(text)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "draft.yaml"
            file.write_text(text, encoding="utf-8")
            try:
                return load_draft(file)
            except ConfigurationError as error:
                said = error.detail.replace(str(file), "the draft")
                raise WrongInput(Problem("draft", line) for line in said.splitlines()) from error

    def person(self, agent: Agent, text: str) -> Account:
        """Whom an agent means by an identifier or an id. WrongInput says the same of nobody, of several, and of somebody out of reach."""
        nobody = WrongInput([Problem("person", "nobody of your establishments is known by exactly this")])
        try:
            with self._database.read() as tx:
                found = accounts.named(tx, text)
                self._authority.demand(tx, Act.FIND, agent, account=found)
        except AccountRefused as error:
            raise nobody from error
        except ActRefused as refused:
            self._authority.record(refused, agent.author)
            raise nobody from refused
        return found

    def ask(self, agent: Agent, question: Question, draft: PolicySettings | None = None) -> tuple[Supposed, WhatIf]:
        """Suppose it. Raises WrongInput; ActRefused when the person is out of reach."""
        try:
            address = str(ip_address(question.address.strip()))
        except ValueError as error:
            raise WrongInput([Problem("address", "an address such as 10.1.2.3 or 2001:db8::7")]) from error
        try:
            method = Method(question.method)
        except ValueError as error:
            raise WrongInput([Problem("method", "not a way to sign in")]) from error
        supposed = Supposed(
            account_id=question.person.id,
            client_id=question.client_id,
            address=address,
            at=question.at or self._clock.now(),
            establishment=question.establishment,
            method=method,
            factors=question.factors,
            is_device_known=question.is_device_known,
        )
        with self._database.read() as tx:
            self._authority.demand(tx, Act.FIND, agent, account=question.person)
            if question.client_id is not None and tx.clients.get(question.client_id) is None:
                raise WrongInput([Problem("client_id", "no such application")])
            return supposed, what_if(tx, supposed, terms_of(self._config, draft.rule_set if draft else None))

    def replay(self, agent: Agent, establishment: Establishment | None, *, days: int, draft: PolicySettings | None = None) -> Past:
        """The last `days` (at most 90) of an establishment, or of the whole group, judged by a draft or by the rules in force.

        Raises ActRefused: the whole group is for those who edit places everywhere.
        """
        with self._database.read() as tx:
            self._authority.demand(tx, Act.EDIT_PLACE, agent, establishment=establishment)
            if establishment is None and agent.actor.places(Act.EDIT_PLACE) is not None:
                raise ActRefused(Reason.ACT_OUTSIDE_ESTABLISHMENT, Act.EDIT_PLACE)
        until = self._clock.now()
        found = past.replay(
            self._database,
            (draft or self._config.policy).rule_set,
            since=until - min(timedelta(days=days), LONGEST_PAST),
            until=until,
            progress=_Unwatched(),
            establishment_id=establishment.id if establishment else None,
        )
        ids = {change.account_id for change in found.people if change.account_id}
        with self._database.read() as tx:
            equipped = tx.means.equipped(ids, KINDS_OF_SECOND_FACTOR)
            names = {key: account.name for key in sorted(ids)[:200] if (account := tx.people.get(key))}
        return Past(replay=found, equipped=equipped, names=names)


def _refuse_tricks(text: str) -> None:
    """WrongInput for what a text from a browser may not hold: other files, aliases (which grow without end when they are followed), and depth."""
    depth = 0
    try:
        for one in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(one, yaml.AliasEvent):
                raise WrongInput([Problem("draft", "no aliases (*)")])
            if isinstance(one, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(one, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST_DRAFT:
                raise WrongInput([Problem("draft", "nested too deeply")])
            if depth == 1 and isinstance(one, yaml.ScalarEvent) and one.value == "include":
                raise WrongInput([Problem("draft", "a draft includes no other file")])
    except yaml.YAMLError as error:
        raise WrongInput([Problem("draft", f"not valid YAML: {' '.join(str(error).split())}")]) from error


class _Unwatched:
    """Nobody sees how far it is."""

    def begin(self, lines: int) -> None:
        """See Progress."""

    def advance(self, lines: int) -> None:
        """See Progress."""
