"""What every move of a Reset shares: one transaction, its account held before it, who may, from which state, and the Event of a refusal.

Owns these pieces, the opening of a Reset and the making of its halves; the moves are idp/desk/resets.py's. Calls policies/resets.py and the store.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.desk.authority import Agent, Authority
from idp.desk.factor_state import were_taken
from idp.desk.handover import Channel, Handover, make_half, sent_digest, spoken_digest, stop_code, stop_digest
from idp.desk.marks import Marks, join
from idp.desk.reset_facts import ACTS, ResetFactsOf, ResetRefused
from idp.desk.reset_record import Record
from idp.store.base import Account, Establishment, Reset
from idp.store.database import Database, Transaction
from policies.decision import Decision
from policies.resets import FROM, Kind, Move, may_carry_half

LONGEST_NOTE = 300


class Moves:
    """Safe between threads."""

    def __init__(
        self,
        config: Config,
        database: Database,
        keyring: Keyring,
        *,
        clock: Clock,
        authority: Authority,
        facts: ResetFactsOf,
        record: Record,
    ) -> None:
        self._config = config
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._authority = authority
        self._facts = facts
        self._record = record

    @contextmanager
    def moving(self, move: Move, author: Author, reset_id: str) -> Iterator[tuple[Transaction, Reset, Account, Establishment]]:
        """One transaction about one Reset, its account held before it."""
        with self.refusing(move, author, reset_id), self._database.write() as tx:
            self._record.begin(tx)
            yield tx, *self.held(tx, reset_id)

    @contextmanager
    def refusing(self, move: str, author: Author, reset_id: str | None = None) -> Iterator[None]:
        """Keep the Event of a ResetRefused, in a transaction of its own, and let it go on."""
        try:
            yield
        except ResetRefused as refused:
            event = Event(
                type=EventType.RESET_REFUSED,
                at=self._clock.now(),
                actor=author.actor,
                origin=author.origin,
                reason=refused.code,
                account_id=refused.account_id,
                establishment_id=refused.establishment_id,
                details={"move": str(move), "reset": reset_id},
            )
            with self._database.write() as tx:
                tx.events.append(event)
            raise

    def held(self, tx: Transaction, reset_id: str) -> tuple[Reset, Account, Establishment]:
        """A Reset and whom it concerns, held; raises ResetRefused when there is none of that id."""
        known = tx.resets.get(reset_id)
        account = tx.people.held(known.account_id) if known is not None else None
        reset = tx.resets.held(reset_id) if account is not None else None
        place = tx.establishments.get(reset.establishment_id) if reset is not None else None
        if reset is None or account is None or place is None:
            raise ResetRefused(Reason.RESET_UNKNOWN, reset_id)
        return reset, account, place

    def demand(self, tx: Transaction, agent: Agent, kind: str, account: Account, place: Establishment) -> None:
        """Raises ActRefused unless the agent may reset all that this kind is of."""
        for act in ACTS[kind]:
            self._authority.demand(tx, act, agent, account=account, establishment=place)

    def demand_state(self, reset: Reset, move: Move) -> None:
        """Raises ResetRefused unless a Reset is where this move may be made."""
        if not reset.is_open or reset.expires_at <= self._clock.now() or reset.state not in FROM[move]:
            is_early = move is Move.CARRY_OUT and reset.state == "asked"
            raise refused_at(reset, Reason.RESET_NEEDS_PROOF if is_early else Reason.RESET_NOT_NOW, reset.state)

    def change(self, tx: Transaction, reset: Reset, move: Move, **values: object) -> None:
        """Set columns, and the state that the move leads to; raises ResetRefused when somebody was faster."""
        if move in {Move.PROVE, Move.APPROVE, Move.CARRY_OUT}:
            values["state"] = str(move)
        if not tx.resets.change(reset.id, expected=(reset.state,), **values):
            raise refused_at(reset, Reason.RESET_NOT_NOW, "somebody was faster")

    def touch(self, tx: Transaction, reset: Reset, agent: Agent, browser: Marks) -> Reset:
        """Whoever makes a move never redeems it: not in this browser, nor in another where they are signed in."""
        own = frozenset({agent.account.id}) if agent.account is not None else frozenset()
        marks = Marks(browser.browser, browser.account_ids | own, browser.device_digests)
        tx.resets.change(reset.id, barred=join(reset.barred, marks))
        return tx.resets.get(reset.id) or reset

    def hands(self, tx: Transaction, reset: Reset, *moves: Move) -> frozenset[str]:
        """Whoever made one of these moves, or approved: nobody who saw one half, or judged alone, sees the other."""
        seen = {one.actor for one in tx.resets.moves(reset.id) if one.move in moves}
        return frozenset(seen | ({reset.second_by} if reset.second_by is not None else set()))

    def allow(self, reset: Reset, decision: Decision) -> None:
        """Raises ResetRefused with a denial's reason."""
        if not decision.is_allowed:
            raise refused_at(reset, Reason(decision.reasons[0]))

    def channel_problem(self, tx: Transaction, account: Account, channel: Channel, place_id: str) -> Reason | None:
        """Why the other half does not go that way now; None when it may."""
        if channel == "witness":
            return None
        if not self._record.can_send(tx, account, channel, place_id):
            return Reason.RESET_CHANNEL_MISSING
        decision = may_carry_half(self._facts.detail(account, channel), self._clock.now(), self._facts.rules)
        return None if decision.is_allowed else Reason(decision.reasons[0])

    def opened(
        self, tx: Transaction, account: Account, place: Establishment, *, kind: Kind, asked_by: str, why: str, is_own: bool = False
    ) -> Reset:
        """A new one, written: the account is held. Raises ResetRefused when another is open, or there is nothing to reset."""
        refused = {"account_id": account.id, "establishment_id": place.id}
        if place.id not in self._authority.person(tx, account).establishments:
            raise ResetRefused(Reason.RESET_OTHER_PLACE, **refused)
        if tx.resets.open_of(account.id):
            raise ResetRefused(Reason.RESET_OPEN_ALREADY, **refused)
        # What the desk took itself, and nobody brought back, is asked for again: without a factor only two halves bring the next one.
        if kind != "password" and not self._facts.has_factor(tx, account) and not were_taken(tx, account.id):
            raise ResetRefused(Reason.RESET_NOTHING_TO_RESET, "no second factor", **refused)
        source = self._facts.source(tx, account, kind)
        now, reset_id = self._clock.now(), self._clock.new_id()
        reset = Reset(
            id=reset_id,
            account_id=account.id,
            establishment_id=place.id,
            kind=kind,
            source=source,
            mode=self._config.resets.mode_of(place.slug, source),
            state="asked",
            is_own=is_own,
            asked_by=asked_by[:140],
            why=why,
            asked_at=now,
            expires_at=now + self._config.resets.request_life,
            needs_second=bool(self._facts.whys(tx, account, place, kind)),
            stop_digest=stop_digest(self._keyring, stop_code(self._keyring, reset_id)),
        )
        tx.resets.add(reset)
        return reset

    def hand_out(
        self,
        tx: Transaction,
        reset: Reset,
        account: Account,
        *,
        channel: Channel,
        author: Author,
        sealed: bytes | None = None,
        spoken: str | None = None,
    ) -> tuple[Handover, str | None]:
        """Make both halves, queue the sent one, and set the Reset to issued; with the message's id. `spoken`: one that was shown already."""
        settings, now = self._config.resets, self._clock.now()
        spoken, sent = spoken or make_half(self._clock), make_half(self._clock)
        life = settings.email_life if channel == "email" else settings.sms_life
        spoken_until, sent_until = now + settings.spoken_life, now + life
        message = None
        if channel != "witness":
            message = self._record.send_half(tx, reset, sent, channel=channel, account=account, life=life, author=author)
        hint = message.hint if message is not None else ""
        self.change(
            tx,
            reset,
            Move.CARRY_OUT,
            carried_by=author.actor[:140],
            carried_at=now,
            spoken_digest=spoken_digest(self._keyring, spoken),
            spoken_until=spoken_until,
            sent_digest=sent_digest(self._keyring, reset.id, sent) if message is not None else None,
            sent_channel=channel,
            sent_hint=hint,
            sent_until=sent_until,
            expires_at=max(spoken_until, sent_until),
            sealed=sealed,
        )
        return Handover(spoken, channel, hint, spoken_until, sent_until), message.id if message is not None else None


def one_line(text: str) -> str:
    """What an agent wrote down, as one line."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(visible.split())[:LONGEST_NOTE]


def refused_at(reset: Reset, reason: Reason, detail: str = "") -> ResetRefused:
    """The refusal of a move of this Reset."""
    return ResetRefused(reason, detail, account_id=reset.account_id, establishment_id=reset.establishment_id)
