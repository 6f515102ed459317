"""Redeeming a Reset: both halves, in the person's own browser, then what they still have, then a means of sign-in that they choose themselves.

Owns the judgement of the halves, the short time that a browser has afterwards (sealed, in the ephemeral store), and the rule that what was not reset
is still proven: a password is chosen after the second factor, a factor enrolled after a sign-in with the password (idp/signin/dispatch.py, step_up
"enrol"). The password itself is changed by idp/signin/password_change.py, in the directory by the person's own change of the interim one, so that
the domain's rules hold. Nothing here is told apart to who guesses: one refusal for an unknown, a wrong and a late half.
"""

import json
from dataclasses import replace
from datetime import timedelta

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, digest, same
from idp.desk.handover import INTERIM_SEAL, sent_digest, spoken_digest
from idp.desk.marks import Marks
from idp.desk.redeemed import Opened
from idp.desk.reset_facts import LOCAL, ResetFactsOf
from idp.desk.reset_record import Record
from idp.errors import Refused
from idp.signin.enrolment import has_strong
from idp.signin.passes import NewPass
from idp.signin.password_change import NewPassword
from idp.signin.signin import SignIn
from idp.signin.spray_watch import household
from idp.store.base import Account, Ephemeral, Reset
from idp.store.database import Database, Transaction
from idp.store.resets import MOST_TRIES
from policies.resets import Why

KIND = "reset.redemption"
SEAL = "redemption of a reset"
TRIES = "reset.tries"
LIFE = timedelta(minutes=15)
TRIES_WINDOW = timedelta(minutes=15)
MOST_FROM_ADDRESS = 20
# Compared with where there is nothing to compare with: as long as a keyed hash, and none.
NO_DIGEST = "-" * 43
SYSTEM = "system"
LASTING = frozenset({Why.NO_FACTOR, Why.PRIVILEGED, Why.BOTH})


class RedemptionRefused(Refused):
    """Nothing was opened; the Event is written. The page has one answer for all that a stranger could learn from.

    `is_shown`: what may be told apart, since only who has the halves gets there: the desk's own browser. `wait`: for the throttle.
    """

    def __init__(self, reason: Reason, *, is_shown: bool = False, wait: timedelta = timedelta(0)) -> None:
        super().__init__(reason)
        self.code = reason
        self.is_shown = is_shown
        self.wait = wait


class Redemption:
    """Safe between threads and processes; one per process."""

    def __init__(
        self,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        *,
        clock: Clock,
        facts: ResetFactsOf,
        record: Record,
        signin: SignIn,
    ) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._facts = facts
        self._record = record
        self._signin = signin

    # The halves

    def redeem(self, spoken: str, sent: str, *, browser: str, marks: Marks, origin: Origin) -> Opened:
        """Give both halves; once, ever. `browser` is the browser's secret, which what is opened is tied to. Raises RedemptionRefused."""
        self._admit(origin)
        # Looked up and compared whatever was typed: neither half is told from the other by the time that it takes.
        known_as = spoken_digest(self._keyring, spoken) or NO_DIGEST
        with self._database.read() as tx:
            reset = tx.resets.by_spoken(known_as)
        typed = sent_digest(self._keyring, reset.id if reset else "", sent)
        is_right = same(typed, (reset.sent_digest if reset else None) or NO_DIGEST)
        if reset is None:
            raise self._refused(Reason.RESET_UNKNOWN, origin)
        with self._database.write() as tx:
            self._record.begin(tx)
            account, current = tx.people.held(reset.account_id), tx.resets.held(reset.id)
            answer = self._try(tx, current, account, is_right=is_right, marks=marks, origin=origin)
        if isinstance(answer, Reason):
            raise self._refused(answer, origin, reset=reset, is_shown=answer is Reason.RESET_BY_OWN_AGENT)
        self._ephemeral.uncount(TRIES, self._address(origin))
        self._keep(browser, answer)
        return answer

    def _try(
        self, tx: Transaction, reset: Reset | None, account: Account | None, *, is_right: bool, marks: Marks, origin: Origin
    ) -> Opened | Reason:
        """What becomes of the halves, written in the caller's transaction; a Reason when nothing is opened."""
        now = self._clock.now()
        if reset is None or account is None or reset.state != "issued" or not reset.is_open:
            return Reason.RESET_NOT_NOW
        anybody = Author("anonymous", origin)
        if marks.are_barred(tx, reset):
            # Whoever helped has no use for them here. With both in the desk's hands they are in the wrong ones.
            self._record.move(
                tx, reset, "misused", account=account, author=anybody, reason=Reason.RESET_BY_OWN_AGENT, details={"both": is_right}
            )
            if is_right and tx.resets.close(reset.id, "burnt", now, SYSTEM):
                self._record.move(tx, reset, "burnt", account=account, author=anybody, reason=Reason.RESET_BY_OWN_AGENT, is_told=False)
            return Reason.RESET_BY_OWN_AGENT
        if not is_right:
            if tx.resets.count_try(reset.id) >= MOST_TRIES and tx.resets.close(reset.id, "burnt", now, SYSTEM):
                self._record.move(tx, reset, "burnt", account=account, author=anybody, details={"tries": MOST_TRIES})
            return Reason.RESET_WRONG_HALF
        if not account.is_active or account.is_break_glass:
            return Reason.ACCOUNT_NOT_ACTIVE
        if reset.second_by is None and self._needs_second(tx, reset, account):
            return Reason.RESET_NEEDS_SECOND
        if not tx.resets.redeem(reset.id, now):
            return Reason.RESET_TOO_LATE
        tx.resets.change(reset.id, expected=("redeemed",), expires_at=max(reset.expires_at, now + LIFE))
        author = Author(f"account:{account.id}", origin)
        self._record.move(tx, reset, "redeemed", account=account, author=author, details={"channel": reset.sent_channel})
        # What failed before is forgotten: whoever comes by two halves and what is left is the person.
        self._signin.throttle.unblock(tx, account.id, author)
        pass_digest = None
        if reset.kind != "password":
            self._signin.second_factors.throttle.clear_all(account.id)
            # Nobody sees its code: it is made to be spent in this browser.
            new = NewPass(purpose="enrol", account_id=account.id, label="reset", life=LIFE)
            pass_digest = self._signin.second_factors.passes.issue(tx, new, author)[1].digest
        password = tx.people.password(account.id)
        return Opened(
            reset_id=reset.id,
            account_id=account.id,
            kind=reset.kind,
            source=reset.source,
            until=now + LIFE,
            # Who was helped by nobody gives a second factor whatever happens: without one there is nobody who knows them.
            needs_factor=reset.kind == "password" and (reset.carried_by == anybody.actor or has_strong(tx.factors.open_of(account.id))),
            credential_at=password.changed_at if password is not None else None,
            pass_digest=pass_digest,
        )

    def _needs_second(self, tx: Transaction, reset: Reset, account: Account) -> bool:
        """As it is now: a factor may have gone, or a role come, since it was carried out. Night is of the desk's hours, not of the person's."""
        place = tx.establishments.get(reset.establishment_id)
        return place is None or not LASTING.isdisjoint(self._facts.whys(tx, account, place, reset.kind))

    # What a browser has opened

    def current(self, browser: str | None) -> Opened | None:
        """What this browser may go on with, if the Reset still stands; None otherwise."""
        stored = self._ephemeral.get(KIND, digest(browser)) if browser else None
        if stored is None or browser is None:
            return None
        opened = Opened.read(json.loads(self._keyring.unseal(SEAL, stored, digest(browser))))
        if self._clock.now() >= opened.until:
            return None
        with self._database.read() as tx:
            reset, account = tx.resets.get(opened.reset_id), tx.people.get(opened.account_id)
        stands = reset is not None and reset.is_open and reset.state == "redeemed" and account is not None and account.is_active
        return opened if stands else None

    def note_factor(self, browser: str, opened: Opened) -> Opened:
        """The person has given a second factor that is left to them; judged by the rooms of the factors."""
        given = replace(opened, has_given_factor=True)
        self._keep(browser, given)
        return given

    def choose_password(self, opened: Opened, typed: str, repeated: str, *, browser: str, origin: Origin) -> Opened | None:
        """Their own password, here or in their directory; what is left to do, None when that was all.

        Raises PasswordRefused with what is wrong with it, RedemptionRefused when they may not choose one; the Event is written.
        """
        with self._database.read() as tx:
            reset = tx.resets.get(opened.reset_id)
        if reset is None or reset.state != "redeemed" or not reset.is_open:
            raise self._refused(Reason.RESET_NOT_NOW, origin, reset=reset)
        if not opened.may_choose:
            raise self._refused(Reason.RESET_NEEDS_FACTOR if opened.needs_factor else Reason.RESET_NOT_NOW, origin, reset=reset)
        if reset.source == LOCAL:
            new = NewPassword(typed=typed, repeated=repeated, current=None, proven_at=opened.credential_at)
        else:
            # As the person themselves: the domain's rules hold, which an administrator's reset would pass over.
            interim = self._keyring.unseal(INTERIM_SEAL, reset.sealed or b"", reset.id).decode()
            new = NewPassword(typed=typed, repeated=repeated, current=interim)
        self._signin.password_change.change(opened.account_id, new, connector=reset.source, keep=None, origin=origin)
        if opened.kind == "both":
            chosen = replace(opened, has_chosen=True)
            self._keep(browser, chosen)
            return chosen
        self._finish(browser, opened, origin)
        return None

    def enrol_pass(self, browser: str | None, account_id: str) -> str | None:
        """The digest of the pass that lets this person add their factor in this browser, now; None when there is none."""
        opened = self.current(browser)
        if opened is None or opened.account_id != account_id or not opened.may_enrol:
            return None
        return opened.pass_digest

    def note_enrolled(self, browser: str | None, account_id: str, origin: Origin) -> None:
        """They have added a factor in this browser; nothing to do when no reset was of one."""
        opened = self.current(browser)
        if browser is not None and opened is not None and opened.account_id == account_id and opened.may_enrol:
            self._finish(browser, opened, origin)

    def _finish(self, browser: str, opened: Opened, origin: Origin) -> None:
        now = self._clock.now()
        with self._database.write() as tx:
            self._record.begin(tx)
            account, reset = tx.people.held(opened.account_id), tx.resets.held(opened.reset_id)
            if account is not None and reset is not None and tx.resets.finish(reset.id, now):
                took = int((now - reset.asked_at).total_seconds())
                author = Author(f"account:{account.id}", origin)
                self._record.move(tx, reset, "done", account=account, author=author, details={"seconds": took})
        self._ephemeral.forget(KIND, digest(browser))

    def _keep(self, browser: str, opened: Opened) -> None:
        sealed = self._keyring.seal(SEAL, json.dumps(opened.written()).encode(), digest(browser))
        left = max(opened.until - self._clock.now(), timedelta(seconds=1))
        self._ephemeral.put(KIND, digest(browser), sealed, left)

    # Counting

    def _admit(self, origin: Origin) -> None:
        """By address alone: what is typed names nobody yet. The tries at one Reset are counted in SQL."""
        if self._ephemeral.count(TRIES, self._address(origin), TRIES_WINDOW) > MOST_FROM_ADDRESS:
            raise self._refused(Reason.THROTTLED, origin, wait=TRIES_WINDOW)

    def _address(self, origin: Origin) -> str:
        return self._keyring.keyed_hash("throttle", f"address:{household(origin.address)}")

    def _refused(
        self, reason: Reason, origin: Origin, *, reset: Reset | None = None, is_shown: bool = False, wait: timedelta = timedelta(0)
    ) -> RedemptionRefused:
        event = Event(
            type=EventType.RESET_REFUSED,
            at=self._clock.now(),
            actor="anonymous",
            origin=origin,
            reason=reason,
            account_id=reset.account_id if reset else None,
            establishment_id=reset.establishment_id if reset else None,
            details={"move": "redeemed", **({"reset": reset.id} if reset else {})},
        )
        with self._database.write() as tx:
            tx.events.append(event)
        return RedemptionRefused(reason, is_shown=is_shown, wait=wait)
