"""Codes sent by SMS or e-mail: asking for one, and typing it; what a telephone or an address must prove before it is a factor is in code_offer.py.

Owns who may be sent a code now (once a minute, so many a day, within what the month may cost: counted in SQL, where no restart forgets) and what a
right one proves. An e-mail code is Method.EMAIL, which no rule takes for a second factor. Nothing is sent on the request's time: the message waits in
the queue. Calls open_codes.py, factor_throttle.py and idp.messages. Sources: CNIL 2022-100, NIST SP 800-63B section 3.1.3.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.messages.address import mask_email, mask_phone
from idp.messages.messenger import Letter, Messenger
from idp.messages.texts import Language, code_mail, code_sms
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.factor_throttle import FactorThrottle, FactorTry
from idp.signin.open_codes import DIGITS, LIFE, OpenCode, OpenCodes
from idp.signin.typed_code import read_digits
from idp.store.base import Account, Ephemeral, Factor
from idp.store.database import Database, Transaction
from policies.assurance import Method

Kind = Literal["sms", "email"]
KINDS: tuple[Kind, ...] = ("sms", "email")
SEAL = "factor address"
PURPOSES = ("code", "enrolment_code")
DAY = timedelta(hours=24)
METHODS: dict[str, Method] = {"sms": Method.SMS, "email": Method.EMAIL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A code that is on its way or has arrived: `hint` says where (`06 ** ** ** 42`); another may be asked from `resend_at`."""

    kind: Kind
    hint: str
    expires_at: datetime
    resend_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a code goes: to a factor, or to what may become one (`purpose` says which)."""

    factor_id: str
    kind: Kind
    address: str
    purpose: str = "code"

    @property
    def hint(self) -> str:
        """What may be shown of it."""
        return mask_phone(self.address) if self.kind == "sms" else mask_email(self.address)

    def asked(self, account_id: str) -> str:
        """What may be sent to once in a while: a factor; of what may become one, the person, who could else change the number each time."""
        return self.factor_id if self.purpose == "code" else f"{account_id} {self.kind}"

    def __repr__(self) -> str:
        return f"Destination({self.kind}, {self.hint})"


class OneTimeCodes:
    """Asks for codes and proves them. Safe between threads and processes."""

    def __init__(
        self,
        config: Config,
        database: Database,
        ephemeral: Ephemeral,
        *,
        keyring: Keyring,
        clock: Clock,
        messenger: Messenger,
        throttle: FactorThrottle,
    ) -> None:
        self._config = config
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._messenger = messenger
        self._throttle = throttle
        self.codes = OpenCodes(ephemeral, keyring, clock)

    def is_set(self, kind: str) -> bool:
        """Whether codes of a kind can be sent at all: a gateway, or a mail server, is configured."""
        return kind in KINDS and self._messenger.is_set(kind)

    def sent(self, account_id: str, factor: Factor) -> Sent | None:
        """The code that the person can type now, for the page; None when one must be asked first. Sends nothing."""
        code = self.codes.get(account_id, factor.id)
        return self._told(code, cast(Kind, factor.kind), factor.hint) if code else None

    def send(
        self,
        account_id: str,
        factor: Factor,
        origin: Origin,
        *,
        language: Language | None = None,
        establishment_id: str | None = None,
    ) -> Sent:
        """Make a code and queue the message that carries it; the one before serves no more. Raises FactorRefused (Event written), StoreUnavailable.

        `language` is the page's, else the account's; the establishment's cap counts when `establishment_id` is given. Reasons: code_too_soon (with
        the wait), codes_of_the_day, messages_cost_cap, messages_not_set, no_such_factor, throttled; the page then offers another factor.
        """
        if factor.kind not in KINDS or factor.account_id != account_id or factor.ended_at is not None:
            raise self.refuse(account_id, Reason.NO_SUCH_FACTOR, origin, kind=factor.kind)
        kind: Kind = factor.kind
        with self._database.read() as tx:
            account = tx.people.get(account_id)
        address = self._address(factor, account)
        if account is None or address is None:
            raise self.refuse(account_id, Reason.NO_SUCH_FACTOR, origin, kind=kind)
        where = Destination(factor_id=factor.id, kind=kind, address=address)
        return self.send_to(account, where, origin, language=language, establishment_id=establishment_id)

    def send_to(
        self, account: Account, where: Destination, origin: Origin, *, language: Language | None = None, establishment_id: str | None = None
    ) -> Sent:
        """As `send`, to a destination whose owner the caller vouches for."""
        if not self.is_set(where.kind):
            raise self.refuse(account.id, Reason.MESSAGES_NOT_SET, origin, kind=where.kind)
        if where.kind in self._throttle.blocked(account.id):
            # Whoever may not type a code is not sent one either: it would only cost.
            raise self.refuse(account.id, Reason.THROTTLED, origin, kind=where.kind)
        wait = self.codes.ask(where.asked(account.id))
        if wait is not None:
            raise self.refuse(account.id, Reason.CODE_TOO_SOON, origin, kind=where.kind, wait=wait)
        code, message_id = self.codes.new(), self._clock.new_id()
        letter = self._letter(code, where, language or self._messenger.language_of(account), establishment_id)
        try:
            with self._database.write() as tx:
                reason = self._queue(tx, account, letter, message_id=message_id, origin=origin)
        except Exception:
            self.codes.take_back(where.asked(account.id))
            raise
        if reason is not None:
            self.codes.take_back(where.asked(account.id))
            raise self.refuse(account.id, reason, origin, kind=where.kind)
        return self._told(self.codes.open(account.id, where.factor_id, code=code, message_id=message_id), where.kind, where.hint)

    def prove(self, account_id: str, factor: Factor, typed: str, *, origin: Origin) -> FactorProof:
        """Judge what was typed against the code that is open for a factor. Raises FactorRefused (the Event is written), StoreUnavailable.

        Reasons: wrong_code, code_not_open (none, too old, tried five times: ask for another), code_already_used, no_such_factor, throttled,
        factor_blocked.
        """
        if factor.kind not in KINDS or factor.account_id != account_id:
            raise self.refuse(account_id, Reason.NO_SUCH_FACTOR, origin, kind=factor.kind)
        attempt = self._throttle.admit(account_id, factor.kind, origin)
        code = self.judge(attempt, factor.id, typed)
        now = self._clock.now()
        reason: Reason | None = None
        with self._database.write() as tx:
            if not tx.factors.touch(factor.id, now):
                reason = Reason.NO_SUCH_FACTOR
            elif not self.codes.spend(tx, code):
                reason = Reason.CODE_ALREADY_USED
        if reason is not None:
            raise self._throttle.refused(attempt, reason, factor_id=factor.id)
        self.codes.close(code)
        self._throttle.clear(attempt)
        return FactorProof(account_id=account_id, method=METHODS[factor.kind], factor_id=factor.id, at=now)

    def judge(self, attempt: FactorTry, factor_id: str, typed: str) -> OpenCode:
        """The open code that an admitted try has typed; not spent yet. Raises FactorRefused (the Event is written)."""
        judged = self.codes.judge(attempt.account_id, factor_id, read_digits(typed, DIGITS))
        if judged.code is None:
            # Nothing was compared, so nothing was learnt: it is no failure of the person's.
            self._throttle.forgive(attempt)
            raise self._throttle.refused(attempt, Reason.CODE_NOT_OPEN, factor_id=factor_id)
        if not judged.is_right:
            refused = self._throttle.refused(attempt, Reason.WRONG_CODE, factor_id=factor_id)
            left = judged.tries_left if refused.tries_left is None else min(judged.tries_left, refused.tries_left)
            raise FactorRefused(Reason.WRONG_CODE, wait=refused.wait, tries_left=left)
        return judged.code

    def seal(self, factor_id: str, address: str) -> bytes:
        """A number or an address as its factor keeps it."""
        return self._keyring.seal(SEAL, address.encode(), factor_id)

    def refuse(self, account_id: str, reason: Reason, origin: Origin, *, kind: str, wait: timedelta = timedelta(0)) -> FactorRefused:
        """Write why no code was sent; the exception to raise."""
        event = Event(
            type=EventType.CODE_REFUSED,
            at=self._clock.now(),
            actor=f"account:{account_id}",
            origin=origin,
            reason=reason,
            account_id=account_id,
            details={"kind": kind},
        )
        with self._database.write() as tx:
            tx.events.append(event)
        return FactorRefused(reason, wait=wait)

    def _queue(self, tx: Transaction, account: Account, letter: Letter, *, message_id: str, origin: Origin) -> Reason | None:
        """Count and write, so that no two at once pass the same limit; why not, when it may not."""
        if letter.channel == "sms":
            tx.lock("sms")
        present = tx.people.held(account.id)
        if present is None or not present.is_active:
            return Reason.ACCOUNT_NOT_ACTIVE
        daily = self._config.sms.daily_per_person if letter.channel == "sms" else self._config.mail.daily_per_person
        now = self._clock.now()
        if tx.messages.count_since(account.id, letter.channel, now - DAY, purposes=PURPOSES) >= daily:
            return Reason.CODES_OF_THE_DAY
        if letter.channel == "sms" and not self._messenger.may_afford(tx, letter.establishment_id):
            return Reason.MESSAGES_COST_CAP
        self._messenger.put(tx, account.id, letter, message_id=message_id)
        tx.events.append(
            Event(
                type=EventType.CODE_ASKED,
                at=now,
                actor=f"account:{account.id}",
                origin=origin,
                account_id=account.id,
                establishment_id=letter.establishment_id,
                details={"message": message_id, "channel": letter.channel, "purpose": letter.purpose, "to": letter.hint},
            )
        )
        return None

    def _letter(self, code: str, where: Destination, language: Language, establishment_id: str | None) -> Letter:
        minutes = LIFE // timedelta(minutes=1)
        product = self._messenger.product
        if where.kind == "sms":
            words = code_sms(code, product=product, host=self._messenger.host, minutes=minutes, language=language)
        else:
            words = code_mail(code, product=product, minutes=minutes, language=language)
        return Letter(
            channel=where.kind,
            purpose=where.purpose,
            to=where.address,
            hint=where.hint,
            words=words,
            language=language,
            life=LIFE,
            establishment_id=establishment_id,
        )

    def _address(self, factor: Factor, account: Account | None) -> str | None:
        if factor.sealed is not None:
            return self._keyring.unseal(SEAL, factor.sealed, factor.id).decode()
        return account.email if account and factor.kind == "email" else None

    def _told(self, code: OpenCode, kind: Kind, hint: str) -> Sent:
        return Sent(kind=kind, hint=hint, expires_at=code.expires_at, resend_at=code.resend_at)
