"""The reset desk: every move of a Reset that an agent, an approver or a witness makes, each asked of who may, kept, told and put in the audit trail.

Owns the order of the moves (policies/resets.py owns the rules, reset_moves.py what all moves share), and what the person asks and stops. Giving the
halves is redemption.py's, carrying out carrying.py's. Each method is one act: a refusal is an Event of its own (reset.refused) and an exception, and
nothing was done.
Source: requirements R15, R16, R35, R36, R65 to R67.
"""

from datetime import datetime, timedelta

from idp.audit import Author, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.desk.approval_passes import ApprovalPasses
from idp.desk.authority import Agent, Authority
from idp.desk.carrying import Carrying, Prepared
from idp.desk.handover import Channel, Handover, ShownHalf, make_half, sent_digest, spoken_digest, stop_digest
from idp.desk.marks import NO_MARKS, Marks
from idp.desk.reach import Reach
from idp.desk.reset_facts import ACTS, LOCAL, ResetFactsOf, ResetRefused, touched_by
from idp.desk.reset_moves import Moves, one_line, refused_at
from idp.desk.reset_record import Details, Record
from idp.messages.messenger import Untold
from idp.store.base import Account, Establishment, Link, Reset
from idp.store.database import Database, Transaction
from policies.acts import Act
from policies.resets import (
    Kind,
    Mode,
    Move,
    Second,
    Why,
    lets_person_ask,
    may_ask_by,
    may_be_second,
    may_use_pass,
    serves_oneself,
)

STALE_CLAIM = timedelta(minutes=2)  # longer than any directory's patience
A_DAY = timedelta(days=1)
PROOFS = ("call_back", "in_person", "manager")
ANYBODY = "anonymous"


class Resets:
    """Safe between threads; one per process."""

    def __init__(
        self,
        config: Config,
        database: Database,
        keyring: Keyring,
        *,
        clock: Clock,
        authority: Authority,
        reach: Reach,
        facts: ResetFactsOf,
        record: Record,
        carrying: Carrying,
    ) -> None:
        self._config = config
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._authority = authority
        self._reach = reach
        self._facts = facts
        self._record = record
        self._carrying = carrying
        self._passes = ApprovalPasses(keyring, clock)
        self._moves = Moves(config, database, keyring, clock=clock, authority=authority, facts=facts, record=record)

    def ask(
        self, agent: Agent, account: Account, *, kind: Kind, establishment: Establishment, why: str, browser: Marks = NO_MARKS
    ) -> Reset:
        """Ask for a reset of what a person signs in with. Raises ResetRefused, ActRefused (OutOfReach where a directory protects them)."""
        with self._moves.refusing("asked", agent.author):
            with self._database.read() as tx:
                self._moves.demand(tx, agent, kind, account, establishment)
                links = tx.links.of_account(account.id)
            self._reach.demand(account.id, links, ACTS[kind][0])
            with self._database.write() as tx:
                self._record.begin(tx)
                current = tx.people.held(account.id)
                self._moves.demand(tx, agent, kind, current or account, establishment)
                if current is None or not current.is_active:
                    raise ResetRefused(Reason.ACCOUNT_NOT_ACTIVE, account_id=account.id, establishment_id=establishment.id)
                said = one_line(why)
                if not said:
                    raise ResetRefused(Reason.RESET_NOTE_NEEDED, "why", account_id=account.id, establishment_id=establishment.id)
                self._supersede(tx, agent, current)
                reset = self._moves.opened(tx, current, establishment, kind=kind, asked_by=agent.author.actor, why=said)
                reset = self._moves.touch(tx, reset, agent, browser)
                details: Details = {"why": said, "mode": reset.mode, "needs_second": reset.needs_second}
                self._record.move(tx, reset, "asked", account=current, author=agent.author, details=details)
                return reset

    def prove(self, agent: Agent, reset_id: str, *, how: str, note: str = "", browser: Marks = NO_MARKS) -> Reset:
        """Record how the person was recognised: call_back (to the number we know), in_person, manager (`note` names who vouched)."""
        with self._moves.moving(Move.PROVE, agent.author, reset_id) as (tx, reset, account, place):
            self._moves.demand(tx, agent, reset.kind, account, place)
            self._moves.demand_state(reset, Move.PROVE)
            said = one_line(note)
            if how not in PROOFS or (how == "manager" and not said):
                raise refused_at(reset, Reason.RESET_NOTE_NEEDED, how)
            if how == "call_back":
                self._moves.allow(reset, may_ask_by(self._facts.detail(account, "sms"), self._clock.now(), self._facts.rules))
            whys = self._facts.whys(tx, account, place, reset.kind)
            values = {"proof_kind": how, "proof_note": said, "proof_by": agent.author.actor[:140], "proof_at": self._clock.now()}
            self._moves.change(tx, reset, Move.PROVE, needs_second=bool(whys), **values)
            reset = self._moves.touch(tx, reset, agent, browser)
            self._record.move(tx, reset, "proven", account=account, author=agent.author, details={"how": how, "note": said})
            if whys:
                self._record.tell_desk(tx, reset, "reset_to_approve", self._facts.approvers(tx, reset, place), author=agent.author)
            return reset

    def approve(self, agent: Agent, reset_id: str, *, browser: Marks = NO_MARKS) -> Reset:
        """Be the second person: of two approvals at once one counts."""
        with self._moves.moving(Move.APPROVE, agent.author, reset_id) as (tx, reset, account, place):
            self._authority.demand(tx, Act.APPROVE, agent, account=account, establishment=place)
            self._moves.demand_state(reset, Move.APPROVE)
            is_passkey = self._facts.has_fresh_passkey(agent)
            second = Second(account_id=agent.actor.account_id, has_fresh_passkey=is_passkey)
            self._moves.allow(reset, may_be_second(second, person_id=account.id, touched_by=touched_by(reset), rules=self._facts.rules))
            how = "passkey" if is_passkey else "factor"
            self._moves.change(tx, reset, Move.APPROVE, second_by=agent.author.actor[:140], second_how=how, second_at=self._clock.now())
            reset = self._moves.touch(tx, reset, agent, browser)
            self._record.move(tx, reset, "approved", account=account, author=agent.author, details={"how": how})
            return reset

    def approve_by_pass(self, agent: Agent, reset_id: str, typed: str, *, browser: Marks = NO_MARKS) -> Reset:
        """A sealed pass that is kept at the site stands for the second person, once, at night."""
        with self._moves.moving(Move.APPROVE, agent.author, reset_id) as (tx, reset, account, place):
            self._moves.demand(tx, agent, reset.kind, account, place)
            self._moves.demand_state(reset, Move.APPROVE)
            self._moves.allow(reset, may_use_pass(self._facts.of(tx, account, place, reset.kind), self._facts.rules))
            given = self._passes.redeem(tx, typed, place.id, agent.author)
            if given is None:
                raise refused_at(reset, Reason.PASS_NOT_VALID)
            self._moves.change(tx, reset, Move.APPROVE, second_by=given.issued_by, second_how="sealed_pass", second_at=self._clock.now())
            reset = self._moves.touch(tx, reset, agent, browser)
            details = {"how": "sealed_pass", "label": given.label, "issued_by": given.issued_by}
            self._record.move(tx, reset, "approved", account=account, author=agent.author, details=details)
            return reset

    def carry_out(self, agent: Agent, reset_id: str, *, channel: Channel, browser: Marks) -> Handover:
        """End the old means of sign-in, and hand out the two halves. What a directory does not take leaves everything as it was."""
        with self._moves.refusing(Move.CARRY_OUT, agent.author, reset_id):
            reset, links = self._claim(agent, reset_id, channel)
            try:
                reached = self._reach.demand(reset.account_id, links, ACTS[reset.kind][0])
                prepared = self._carrying.prepare(reset, reached, agent.author)
            except BaseException:
                with self._database.write() as tx:
                    tx.resets.release(reset.id)
                raise
            return self._issue(agent, reset, prepared, channel=channel, browser=browser)

    def speak_again(self, agent: Agent, reset_id: str, *, browser: Marks) -> tuple[str, datetime]:
        """The spoken half anew, once, while the other half still holds: the former is worth nothing. Until when it holds."""
        with self._moves.moving(Move.SPEAK_AGAIN, agent.author, reset_id) as (tx, reset, account, place):
            self._moves.demand(tx, agent, reset.kind, account, place)
            self._moves.demand_state(reset, Move.SPEAK_AGAIN)
            now = self._clock.now()
            if reset.proof_kind is None:
                raise refused_at(reset, Reason.RESET_NEEDS_PROOF)  # the person serves themselves: nobody at the desk knows who calls
            if tx.resets.last_move(reset.id, Move.SPEAK_AGAIN) is not None:
                raise refused_at(reset, Reason.RESET_NOT_NOW, "once only")
            if agent.author.actor in self._moves.hands(tx, reset, Move.WITNESS):
                raise refused_at(reset, Reason.RESET_SECOND_IS_ASKER)
            code = make_half(self._clock)
            until = min(now + self._config.resets.spoken_life, reset.expires_at)
            self._moves.change(tx, reset, Move.SPEAK_AGAIN, spoken_digest=spoken_digest(self._keyring, code), spoken_until=until)
            reset = self._moves.touch(tx, reset, agent, browser)
            self._record.move(tx, reset, Move.SPEAK_AGAIN, account=account, author=agent.author, is_told=False)
            return code, until

    def witness(self, agent: Agent, reset_id: str, *, browser: Marks) -> ShownHalf:
        """Show the other half, once, to a second person on the spot: of the establishment, who may reset or approve there, and has not touched it."""
        with self._moves.moving(Move.WITNESS, agent.author, reset_id) as (tx, reset, account, place):
            if any(self._authority.ask(tx, act, agent, account=account, establishment=place) is not None for act in ACTS[reset.kind]):
                self._authority.demand(tx, Act.APPROVE, agent, account=account, establishment=place)
            self._moves.demand_state(reset, Move.WITNESS)
            if reset.sent_channel != "witness" or reset.sent_digest is not None:
                raise refused_at(reset, Reason.RESET_NOT_NOW, "no half waits for a witness")
            if agent.account is None or place.id not in self._authority.person(tx, agent.account).establishments:
                raise refused_at(reset, Reason.RESET_WITNESS_ELSEWHERE)
            hands = self._moves.hands(tx, reset, Move.CARRY_OUT, Move.SPEAK_AGAIN)
            if agent.account.id in touched_by(reset) or agent.author.actor in hands:
                raise refused_at(reset, Reason.RESET_SECOND_IS_ASKER)
            now = self._clock.now()
            code = make_half(self._clock)
            until = min(now + self._config.resets.sms_life, reset.expires_at)
            self._moves.change(tx, reset, Move.WITNESS, sent_digest=sent_digest(self._keyring, reset.id, code), sent_until=until)
            reset = self._moves.touch(tx, reset, agent, browser)
            self._record.move(tx, reset, Move.WITNESS, account=account, author=agent.author, is_told=False)
            return ShownHalf(code, until)

    def cancel(self, agent: Agent, reset_id: str, *, why: str) -> Reset:
        """Give it up. What was carried out stays carried out: the halves are worth nothing any more."""
        with self._moves.moving(Move.CANCEL, agent.author, reset_id) as (tx, reset, account, place):
            self._moves.demand(tx, agent, reset.kind, account, place)
            self._moves.demand_state(reset, Move.CANCEL)
            said = one_line(why)
            if not said:
                raise refused_at(reset, Reason.RESET_NOTE_NEEDED, "why")
            if not tx.resets.close(reset.id, "cancelled", self._clock.now(), agent.author.actor):
                raise refused_at(reset, Reason.RESET_NOT_NOW, reset.state)
            self._record.move(tx, reset, "cancelled", account=account, author=agent.author, details={"why": said, "was": reset.state})
            return tx.resets.get(reset.id) or reset

    # The person's side, before anybody has recognised them: the page (idp/web/reset.py) says the same whatever comes of it

    def mode(self, account: Account, establishment: Establishment, kind: Kind) -> Mode:
        """Who may begin a reset of this person's. Raises ResetRefused where the password is a provider's."""
        with self._database.read() as tx:
            return self._config.resets.mode_of(establishment.slug, self._facts.source(tx, account, kind))

    def ask_as_person(self, account: Account, *, kind: Kind, establishment: Establishment, mode: Mode, origin: Origin) -> Reset | None:
        """Somebody who says they are this person asks on the page, which offered `mode`. None when nothing came of it; the Event says why."""
        author = Author(ANYBODY, origin)
        try:
            with self._moves.refusing("asked", author), self._database.write() as tx:
                self._record.begin(tx)
                current = tx.people.held(account.id) or account
                refused = {"account_id": account.id, "establishment_id": establishment.id}
                if not current.is_active or current.is_break_glass:
                    raise ResetRefused(Reason.ACCOUNT_NOT_ACTIVE, **refused)
                if tx.resets.count_since(account.id, self._clock.now() - A_DAY) >= self._config.resets.own_requests_a_day:
                    raise ResetRefused(Reason.RESET_TOO_MANY, **refused)
                reset = self._moves.opened(tx, current, establishment, kind=kind, asked_by=ANYBODY, why="", is_own=True)
                if reset.mode != mode or not lets_person_ask(reset.mode):
                    raise ResetRefused(Reason.RESET_MODE, reset.mode, **refused)
                details = {"mode": reset.mode, "own": True, "needs_second": reset.needs_second}
                self._record.move(tx, reset, "asked", account=current, author=author, details=details)
                if not self._serves_oneself(tx, reset, current):
                    self._record.tell_desk(tx, reset, "reset_own", self._facts.agents(tx, establishment), author=author)
                return reset
        except ResetRefused:
            return None

    def hand_to_self(self, reset_id: str, *, spoken: str, origin: Origin) -> Handover | None:
        """In mode self: `spoken` is the first half, which the page has shown to whoever asks; the other goes by mail.

        None when an agent must see to it. Nothing has ended yet: the password goes on until both halves and the second factor were given.
        """
        author = Author(ANYBODY, origin)
        with self._moves.moving(Move.CARRY_OUT, author, reset_id) as (tx, reset, account, _):
            is_fresh = reset.is_own and reset.is_open and reset.state == "asked" and account.is_active
            if not is_fresh or not self._serves_oneself(tx, reset, account):
                return None
            handover, message = self._moves.hand_out(tx, reset, account, channel="email", author=author, spoken=spoken)
            details = {"channel": "email", "to": handover.sent_hint, "message": message, "own": True}
            self._record.move(tx, reset, "issued", account=account, author=author, details=details, is_told=False)
            return handover

    def stop(self, typed: str, origin: Origin) -> bool:
        """The person stops what they have not asked for, with the code of a notice; False when it stops nothing (any more)."""
        author = Author(ANYBODY, origin)
        digest = stop_digest(self._keyring, typed)
        with self._database.read() as tx:
            known = tx.resets.by_stop(digest) if digest is not None else None
        try:
            if known is None:
                with self._moves.refusing(Move.STOP, author):
                    raise ResetRefused(Reason.RESET_UNKNOWN)
            with self._moves.moving(Move.STOP, author, known.id) as (tx, reset, account, place):
                if not tx.resets.close(reset.id, "stopped", self._clock.now(), ANYBODY):
                    raise refused_at(reset, Reason.RESET_NOT_NOW, reset.state)
                tx.passes.end_unused(account.id, self._clock.now())  # the one by which whoever had both halves would add a factor
                reason = Reason.RESET_STOPPED_BY_PERSON
                self._record.move(tx, reset, "stopped", account=account, author=author, reason=reason, details={"was": reset.state})
                self._record.tell_desk(tx, reset, "reset_stopped", self._facts.agents(tx, place, in_group=True), author=author)
        except ResetRefused:
            return False
        return True

    # What the pages show

    def whys(self, reset: Reset) -> tuple[Why, ...]:
        """Why two people are needed for an open one now."""
        with self._database.read() as tx:
            account, place = tx.people.get(reset.account_id), tx.establishments.get(reset.establishment_id)
            return self._facts.whys(tx, account, place, reset.kind) if account is not None and place is not None else ()

    def untold(self, account: Account, establishment_id: str) -> Untold:
        """Why nobody would hear of a move now; "" when the person would."""
        with self._database.read() as tx:
            return self._record.untold(tx, account, establishment_id)

    def channels(self, reset: Reset) -> dict[Channel, Reason | None]:
        """By what the other half may go now; why not, otherwise."""
        found: dict[Channel, Reason | None] = {}
        with self._database.read() as tx:
            account = tx.people.get(reset.account_id)
            for channel in ("email", "sms"):
                found[channel] = (
                    self._moves.channel_problem(tx, account, channel, reset.establishment_id) if account else Reason.RESET_UNKNOWN
                )
        return {**found, "witness": None}

    def _claim(self, agent: Agent, reset_id: str, channel: Channel) -> tuple[Reset, tuple[Link, ...]]:
        with self._database.write() as tx:
            reset, account, place = self._moves.held(tx, reset_id)
            self._demand_ready(tx, agent, reset, account, place, channel)
            now = self._clock.now()
            if not tx.resets.claim(reset.id, now, state=reset.state, stale_before=now - STALE_CLAIM):
                raise refused_at(reset, Reason.RESET_NOT_NOW, "somebody is carrying it out")
            return reset, tx.links.of_account(account.id)

    def _demand_ready(self, tx: Transaction, agent: Agent, reset: Reset, account: Account, place: Establishment, channel: Channel) -> None:
        self._moves.demand(tx, agent, reset.kind, account, place)
        self._moves.demand_state(reset, Move.CARRY_OUT)
        if not account.is_active:
            raise refused_at(reset, Reason.ACCOUNT_NOT_ACTIVE)
        if reset.state != "approved" and self._facts.whys(tx, account, place, reset.kind):
            raise refused_at(reset, Reason.RESET_NEEDS_SECOND)
        if reset.second_by is not None and reset.second_by == agent.author.actor:
            raise refused_at(reset, Reason.RESET_SECOND_IS_ASKER)
        if (problem := self._moves.channel_problem(tx, account, channel, place.id)) is not None:
            raise refused_at(reset, problem, channel)

    def _issue(self, agent: Agent, reset: Reset, prepared: Prepared, *, channel: Channel, browser: Marks) -> Handover:
        try:
            with self._database.write() as tx:
                self._record.begin(tx)
                reset, account, place = self._moves.held(tx, reset.id)
                self._demand_ready(tx, agent, reset, account, place, channel)
                ended = self._carrying.write(tx, reset, account, prepared, author=agent.author)
                handover, sent = self._moves.hand_out(tx, reset, account, channel=channel, author=agent.author, sealed=prepared.sealed)
                reset = self._moves.touch(tx, tx.resets.get(reset.id) or reset, agent, browser)
                details = {"channel": channel, "to": handover.sent_hint, "message": sent, **ended}
                self._record.move(tx, reset, "issued", account=account, author=agent.author, details=details)
                return handover
        except BaseException:
            self._carrying.abandon(reset, prepared, agent.author)
            with self._database.write() as tx:
                tx.resets.release(reset.id)
            raise

    def _supersede(self, tx: Transaction, agent: Agent, account: Account) -> None:
        """What a stranger may have asked for on the page, and nobody has looked at yet, does not stand in an agent's way."""
        for own in tx.resets.open_of(account.id):
            if own.is_own and own.state == "asked" and tx.resets.close(own.id, "cancelled", self._clock.now(), agent.author.actor):
                details: Details = {"why": "superseded", "was": own.state}
                self._record.move(tx, own, "cancelled", account=account, author=agent.author, details=details)

    def _serves_oneself(self, tx: Transaction, reset: Reset, account: Account) -> bool:
        """A directory's password is changed there first by an agent's hand: its people are helped by one, or change it in Windows."""
        email, now = self._facts.detail(account, "email"), self._clock.now()
        has_factor = self._facts.has_factor(tx, account)
        can_send = self._record.can_send(tx, account, "email", reset.establishment_id)
        place = tx.establishments.get(reset.establishment_id)
        if place is None:
            return False
        whys = self._facts.whys(tx, account, place, reset.kind)
        is_theirs = serves_oneself(reset.mode, reset.kind, has_factor=has_factor, whys=whys, email=email, now=now, rules=self._facts.rules)
        return is_theirs and can_send and reset.source == LOCAL
