"""What is kept and told of each move of a Reset: the move, its Event, and a word to the person by every way they are known to be reached.

Owns the three, in the caller's transaction, and the message that carries the sent half. Judges nothing. Calls idp/messages and the store. Whoever
writes here takes `lock("sms")` first (Record.begin): what SMS may cost is counted there.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.desk.handover import Channel, stop_code
from idp.messages.address import is_served, mask_email, mask_phone
from idp.messages.messenger import Letter, Messenger, Untold
from idp.messages.texts import Language, Words, reset_code_mail, reset_code_sms, reset_told_sms, to_desk
from idp.store.base import Account, Message, Reset, ResetMove
from idp.store.database import Transaction

CODE_PURPOSE = "reset_code"
SMS_NOTICE_LIFE = timedelta(hours=6)
Details = Mapping[str, str | int | bool | None]
# A move is an Event of the same name.
EVENTS = {event.value.removeprefix("reset."): event for event in EventType if event.value.startswith("reset.")}


class Record:
    """Keeps and tells. Safe between threads."""

    def __init__(self, config: Config, messenger: Messenger, keyring: Keyring, *, clock: Clock) -> None:
        self._config = config
        self._messenger = messenger
        self._keyring = keyring
        self._clock = clock

    def begin(self, tx: Transaction) -> None:
        """Before anything else in a transaction that tells somebody something."""
        if self._config.sms.is_set:
            tx.lock("sms")

    def move(
        self,
        tx: Transaction,
        reset: Reset,
        name: str,
        *,
        account: Account,
        author: Author,
        reason: Reason | None = None,
        details: Details | None = None,
        is_told: bool = True,
    ) -> None:
        """Keep a move by its name (an EventType without `reset.`); with its Event, and a notice to the person unless `is_told` is False."""
        now = self._clock.now()
        kept = dict(details or {})
        self._keep(tx, reset, name, author, kept)
        tx.events.append(
            Event(
                type=EVENTS[name],
                at=now,
                actor=author.actor,
                origin=author.origin,
                reason=reason,
                account_id=account.id,
                establishment_id=reset.establishment_id,
                connector=None if reset.source == "local" else reset.source,
                details={"reset": reset.id, "kind": reset.kind, **kept},
            )
        )
        if is_told:
            self.tell(tx, reset, f"reset_{name}", account, author=author)

    def note(self, tx: Transaction, reset: Reset, name: str, *, author: Author, details: Details | None = None) -> None:
        """Keep something that was done with a Reset and moves it nowhere; no Event, and nobody is told."""
        self._keep(tx, reset, name, author, dict(details or {}))

    def tell(self, tx: Transaction, reset: Reset, purpose: str, account: Account, *, author: Author) -> None:
        """A mail and an SMS, as far as there are ways to send them: with the code that stops it."""
        stop = stop_code(self._keyring, reset.id)
        self._messenger.tell(tx, account, purpose, {"act": reset.kind, "stop": stop}, author=author)
        if self._may_text(tx, account, reset) and account.phone_number is not None:
            language = self._messenger.language_of(account)
            words = reset_told_sms(purpose, stop=stop, language=language)
            letter = self._sms(account.phone_number, purpose, words, account, reset, life=SMS_NOTICE_LIFE)
            self._queue(tx, letter, account.id, reset.establishment_id, author)

    def send_half(
        self, tx: Transaction, reset: Reset, code: str, *, channel: Channel, account: Account, life: timedelta, author: Author
    ) -> Message:
        """Queue the sent half; the caller has judged the channel."""
        language = self._messenger.language_of(account)
        if channel == "sms" and account.phone_number is not None:
            words = reset_code_sms(code, minutes=int(life.total_seconds() // 60), language=language)
            letter = self._sms(account.phone_number, CODE_PURPOSE, words, account, reset, life=life)
        elif channel == "email" and account.email is not None:
            stop = stop_code(self._keyring, reset.id)
            words = reset_code_mail(code, product=self._messenger.product, life=life, stop=stop, language=language)
            letter = Letter(
                channel="email",
                purpose=CODE_PURPOSE,
                to=account.email,
                hint=mask_email(account.email),
                words=words,
                language=language,
                life=life,
                establishment_id=reset.establishment_id,
            )
        else:
            raise ValueError(f"no half is sent by {channel}")
        return self._queue(tx, letter, account.id, reset.establishment_id, author)

    def can_send(self, tx: Transaction, account: Account, channel: Channel, establishment_id: str) -> bool:
        """Whether there is a way to send something there at all, whatever its age."""
        if account.is_demo or account.status == "ended":
            return False
        if channel == "email":
            return account.email is not None and self._messenger.is_set("email")
        return channel == "sms" and self._is_reachable(account) and self._messenger.may_afford(tx, establishment_id)

    def untold(self, tx: Transaction, account: Account, establishment_id: str) -> Untold:
        """Why nobody hears of what is done; "" when there is a way to tell them."""
        return "" if self.can_send(tx, account, "sms", establishment_id) else self._messenger.untold(account)

    def tell_desk(self, tx: Transaction, reset: Reset, purpose: str, to: Iterable[Account], *, minutes: int = 0, author: Author) -> int:
        """A mail to whoever may act, and to the establishment's contact when that is another address; how many. It names no person."""
        if not self._messenger.is_set("email"):
            return 0
        place = tx.establishments.get(reset.establishment_id)
        found: dict[str, Account | None] = {one.email: one for one in to if one.email is not None and not one.is_demo and one.is_active}
        if place is not None and place.contact_email:
            found.setdefault(place.contact_email, None)
        for address, account in found.items():
            language: Language = self._messenger.language_of(account) if account is not None else "fr"
            words = to_desk(purpose, product=self._messenger.product, place=place.name if place else "", minutes=minutes, language=language)
            letter = Letter(
                channel="email",
                purpose=purpose,
                to=address,
                hint=mask_email(address),
                words=words,
                language=language,
                life=self._config.mail.notice_life,
                establishment_id=reset.establishment_id,
            )
            self._queue(tx, letter, account.id if account is not None else None, reset.establishment_id, author)
        return len(found)

    def _is_reachable(self, account: Account) -> bool:
        number = account.phone_number
        return number is not None and self._messenger.is_set("sms") and is_served(number, self._config.sms.prefixes)

    def _may_text(self, tx: Transaction, account: Account, reset: Reset) -> bool:
        return self.can_send(tx, account, "sms", reset.establishment_id)

    def _sms(self, number: str, purpose: str, words: Words, account: Account, reset: Reset, *, life: timedelta) -> Letter:
        return Letter(
            channel="sms",
            purpose=purpose,
            to=number,
            hint=mask_phone(number),
            words=words,
            language=self._messenger.language_of(account),
            life=life,
            establishment_id=reset.establishment_id,
        )

    def _queue(self, tx: Transaction, letter: Letter, account_id: str | None, establishment_id: str, author: Author) -> Message:
        message = self._messenger.put(tx, account_id, letter)
        tx.events.append(
            Event(
                type=EventType.MESSAGE_QUEUED,
                at=message.created_at,
                actor=author.actor,
                origin=author.origin,
                account_id=account_id,
                establishment_id=establishment_id,
                details={"message": message.id, "channel": message.channel, "purpose": message.purpose, "to": message.hint},
            )
        )
        return message

    def _keep(self, tx: Transaction, reset: Reset, name: str, author: Author, details: dict[str, str | int | bool | None]) -> None:
        tx.resets.add_move(
            ResetMove(
                id=self._clock.new_id(), reset_id=reset.id, at=self._clock.now(), move=name[:20], actor=author.actor[:140], details=details
            )
        )
