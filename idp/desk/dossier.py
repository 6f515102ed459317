"""Resets as the console shows them: the queue of an agent's establishments, and one of them with all that was done and what this agent may do next.

Owns the gathering; who may do what is asked of the same policies as when it is done, so that a page offers nothing that would be refused. Changes
nothing. Calls the store, policies/resets.py and idp/desk/authority.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from idp.audit import Reason
from idp.clock import Clock
from idp.config import ResetSettings
from idp.desk.authority import ActRefused, Agent, Authority
from idp.desk.handover import Channel
from idp.desk.reset_facts import ACTS, ResetFactsOf, touched_by, waited
from idp.desk.resets import Resets
from idp.store.alphabet import in_order
from idp.store.base import Account, Establishment, Reset
from idp.store.database import Database, Transaction
from idp.store.resets import Waiting
from policies.acts import Act
from policies.resets import FROM, Move, Why, may_ask_by, may_use_pass

Sent = Literal["none", "waiting", "sent", "abandoned"]
LOOKED_BACK = timedelta(days=30)
UNHANDLED = frozenset({"asked", "proven", "approved"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One of the queue. `is_late`: it waits longer than it should for somebody to act."""

    reset: Reset
    account: Account
    place: Establishment
    waited: timedelta
    is_late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One move, and who made it; `actor` is a name, "" for somebody on the page before sign-in."""

    name: str
    at: datetime
    actor: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """One Reset. `may`: the moves that this agent may make now; `whys`: why two people are needed.

    `channels`: why the other half does not go by each. `sent`: how far the message with the other half is. `may_call_back`: the number we know is old
    enough to be called.
    """

    row: Row
    moves: Sequence[Done]
    may: frozenset[Move | Literal["pass"]]
    whys: tuple[Why, ...]
    channels: Mapping[Channel, Reason | None]
    sent: Sent
    may_call_back: bool
    names: Mapping[str, str]


class Dossiers:
    """Safe between threads."""

    def __init__(
        self, database: Database, clock: Clock, *, authority: Authority, facts: ResetFactsOf, resets: Resets, settings: ResetSettings
    ) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority
        self._facts = facts
        self._resets = resets
        self._settings = settings

    def queue(self, agent: Agent, *, is_open: bool, limit: int, offset: int) -> list[Row]:
        """Those of the agent's establishments: open ones the oldest first, ended ones the newest first."""
        with self._database.read() as tx:
            found = tx.resets.queue(agent.actor.places(Act.SEE_CONSOLE), is_open=is_open, limit=limit, offset=offset)
            rows = [self._row(tx, one) for one in found]
        return [one for one in rows if one is not None]

    def waiting(self, agent: Agent) -> tuple[Waiting, float | None]:
        """How many wait, and how long, in seconds, those done in the last month usually took (the median); None when none was."""
        now = self._clock.now()
        with self._database.read() as tx:
            places = agent.actor.places(Act.SEE_CONSOLE)
            done = tx.resets.done_between(places, since=now - LOOKED_BACK, until=now)
            lasted = sorted((end - begin).total_seconds() for _, _, begin, end in done)
            return tx.resets.waiting(places), lasted[len(lasted) // 2] if lasted else None

    def one(self, agent: Agent, reset_id: str) -> Dossier:
        """One of the agent's establishments; ActRefused when there is none such."""
        with self._database.read() as tx:
            reset = tx.resets.get(reset_id)
            row = self._row(tx, reset) if reset is not None else None
            if row is None or not agent.actor.holds(Act.SEE_CONSOLE, row.place.id):
                raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.SEE_CONSOLE)
            whys = self._facts.whys(tx, row.account, row.place, row.reset.kind) if row.reset.is_open else ()
            moves = tx.resets.moves(reset_id)
            actors = {one.actor for one in moves} | {one for one in (row.reset.second_by, row.reset.asked_by) if one}
            names = {actor: self._name(tx, actor) for actor in actors}
            message_id = next((one.details.get("message") for one in reversed(moves) if one.move == "issued"), None)
            sent = self._sent(tx, message_id)
            phone = self._facts.detail(row.account, "sms")
            return Dossier(
                row=row,
                moves=[Done(name=one.move, at=one.at, actor=names[one.actor], details=one.details) for one in moves],
                may=self._may(tx, agent, row, whys),
                whys=whys,
                channels=self._resets.channels(row.reset) if row.reset.is_open else {},
                sent=sent,
                may_call_back=may_ask_by(phone, self._clock.now(), self._facts.rules).is_allowed,
                names=names,
            )

    def places(self, agent: Agent, account: Account) -> list[Establishment]:
        """Where a person works and this agent resets passwords, by name."""
        with self._database.read() as tx:
            working = self._authority.person(tx, account).establishments
            held = [one for one in sorted(working) if agent.actor.holds(Act.RESET_PASSWORD, one)]
            found = [place for one in held if (place := tx.establishments.get(one)) is not None]
        return sorted(found, key=lambda place: in_order(place.name))

    def _row(self, tx: Transaction, reset: Reset) -> Row | None:
        account, place = tx.people.get(reset.account_id), tx.establishments.get(reset.establishment_id)
        if account is None or place is None:
            return None
        lasted = waited(reset, self._clock)
        is_late = reset.is_open and reset.state in UNHANDLED and lasted >= self._settings.escalate_after
        return Row(reset=reset, account=account, place=place, waited=lasted, is_late=is_late)

    def _may(self, tx: Transaction, agent: Agent, row: Row, whys: tuple[Why, ...]) -> frozenset[Move | Literal["pass"]]:
        reset, account, place = row.reset, row.account, row.place
        if not reset.is_open or reset.expires_at <= self._clock.now():
            return frozenset()
        acts = all(self._authority.ask(tx, act, agent, account=account, establishment=place) is None for act in ACTS[reset.kind])
        approves = self._authority.ask(tx, Act.APPROVE, agent, account=account, establishment=place) is None
        is_apart = agent.account is not None and agent.account.id not in touched_by(reset)
        found: set[Move | Literal["pass"]] = set()
        if acts:
            found |= {Move.PROVE, Move.CANCEL} | ({Move.SPEAK_AGAIN} if reset.proof_kind is not None else set())
            if (reset.state == "approved" or not whys) and reset.second_by != agent.author.actor:
                found.add(Move.CARRY_OUT)
        if approves and is_apart and whys:
            found.add(Move.APPROVE)
        is_on_the_spot = agent.account is not None and place.id in self._authority.person(tx, agent.account).establishments
        if (acts or approves) and is_apart and is_on_the_spot and reset.sent_channel == "witness" and reset.sent_digest is None:
            found.add(Move.WITNESS)
        if any(one.move == Move.SPEAK_AGAIN for one in tx.resets.moves(reset.id)):
            found.discard(Move.SPEAK_AGAIN)
        found = {move for move in found if reset.state in FROM[Move(move)]}
        facts = self._facts.of(tx, account, place, reset.kind)
        if acts and whys and reset.state == "proven" and may_use_pass(facts, self._facts.rules).is_allowed:
            found.add("pass")
        return frozenset(found)

    def _sent(self, tx: Transaction, message_id: str | None) -> Sent:
        message = tx.messages.get(message_id) if message_id else None
        if message is None:
            return "none"
        if message.sent_at is not None:
            return "sent"
        return "abandoned" if message.abandoned_at is not None else "waiting"

    def _name(self, tx: Transaction, actor: str) -> str:
        kind, _, rest = actor.partition(":")
        if kind == "account":
            account = tx.people.get(rest)
            return account.name if account is not None else rest
        return rest
