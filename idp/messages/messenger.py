"""Writing messages to people into the queue, in the transaction of what they tell, so that both are there or neither; nothing is sent here.

Owns the seal (whom and what, until it is sent), the language, and what SMS may cost in a month. Calls the store; idp/messages/sender.py sends. Called
by idp.signin for codes, and by whoever changes somebody's means of signing in (`tell`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from idp.audit import Author, Event, EventType
from idp.clock import Clock
from idp.config import Config, micros
from idp.crypto import Keyring
from idp.messages.address import is_served, mask_email, mask_phone, parse_phone
from idp.messages.texts import Language, Words, notice, number_changed_sms
from idp.store.base import Account, Establishment, Message
from idp.store.database import Transaction

SEAL = "message"
SMS_LIFE = timedelta(hours=6)
Untold = Literal["", "no_mail", "no_address"]
CHANNELS: tuple[Literal["sms", "email"], ...] = ("sms", "email")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message before it is sealed."""

    channel: Literal["sms", "email"]
    purpose: str
    to: str
    hint: str
    words: Words
    language: Language
    life: timedelta
    establishment_id: str | None = None

    def __repr__(self) -> str:
        return f"Letter({self.channel}, {self.purpose})"  # a traceback or a log line must not show whom and what


@dataclass(frozen=True, slots=True)
class Opened:
    """What a seal held."""

    to: str
    words: Words
    language: str

    def __repr__(self) -> str:
        return "Opened(…)"


class Messenger:
    """Queues SMS and mail. Safe between threads and processes."""

    def __init__(self, config: Config, *, keyring: Keyring, clock: Clock) -> None:
        self._config = config
        self._keyring = keyring
        self._clock = clock

    @property
    def host(self) -> str:
        """The issuer's host, without a port."""
        return urlsplit(self._config.issuer).hostname or ""

    @property
    def product(self) -> str:
        """What people know us by."""
        return self._config.pages.product_name

    def is_set(self, channel: str) -> bool:
        """Whether a channel is configured."""
        return self._config.sms.is_set if channel == "sms" else self._config.mail.is_set

    def language_of(self, account: Account) -> Language:
        """The language that an account is written to in."""
        said = (account.locale or self._config.pages.default_language).partition("-")[0].lower()
        return "en" if said == "en" else "fr"

    def tell(self, tx: Transaction, account: Account, purpose: str, params: Mapping[str, str], *, author: Author) -> bool:
        """Tell somebody by mail of what is done in this transaction; False when there is no mail server, no address, or nobody to tell any more.

        `purpose` is one of texts.NOTICES; `params` are what its sentence names: `kind` (a factor's), `hint`, `browser`. `at` is now unless given.
        What a browser or a person says of itself is cut to a line without links.
        """
        if self.untold(account) or account.email is None:
            return False
        place = tx.establishments.get(account.last_establishment_id) if account.last_establishment_id else None
        language = self.language_of(account)
        values = {"hint": "", "at": self._local(place, language), **params}
        contact = ", ".join(filter(None, (place.contact_name, place.contact_phone))) if place else ""
        words = notice(purpose, values, product=self.product, contact=contact, language=language)
        letter = Letter(
            channel="email",
            purpose=purpose,
            to=account.email,
            hint=mask_email(account.email),
            words=words,
            language=language,
            life=self._config.mail.notice_life,
            establishment_id=place.id if place else None,
        )
        self._put_told(tx, account, letter, author)
        return True

    def tell_old_number(self, tx: Transaction, account: Account, *, author: Author, to: str | None = None) -> bool:
        """By SMS, to the number that the account has until now, that it is another one; False when none can be sent there.

        `to`: the number that comes, when it may be the same one written otherwise, as directories do; then nobody is told. Lock `sms` first; who
        cannot, because they hold accounts already (a directory's word), may pass the month's cap by what others write at the same instant.
        """
        number, sms = _number(account.phone_number), self._config.sms
        if not sms.is_set or number is None or account.status == "ended" or account.is_demo or not is_served(number, sms.prefixes):
            return False
        if number == _number(to):
            return False
        if not self.may_afford(tx, account.last_establishment_id):
            return False
        language = self.language_of(account)
        letter = Letter(
            channel="sms",
            purpose="contact_changed",
            to=number,
            hint=mask_phone(number),
            words=number_changed_sms(product=self.product, language=language),
            language=language,
            life=SMS_LIFE,
            establishment_id=account.last_establishment_id,
        )
        self._put_told(tx, account, letter, author)
        return True

    def _put_told(self, tx: Transaction, account: Account, letter: Letter, author: Author) -> None:
        message = self.put(tx, account.id, letter)
        tx.events.append(
            Event(
                type=EventType.MESSAGE_QUEUED,
                at=message.created_at,
                actor=author.actor,
                origin=author.origin,
                account_id=account.id,
                establishment_id=message.establishment_id,
                details={"message": message.id, "channel": message.channel, "purpose": letter.purpose, "to": message.hint},
            )
        )

    def put(self, tx: Transaction, account_id: str | None, letter: Letter, *, message_id: str | None = None) -> Message:
        """Seal a message and write it; it is due at once."""
        now = self._clock.now()
        message_id = message_id or self._clock.new_id()
        content = {"to": letter.to, "subject": letter.words.subject, "text": letter.words.text, "language": letter.language}
        message = Message(
            id=message_id,
            channel=letter.channel,
            purpose=letter.purpose,
            account_id=account_id,
            establishment_id=letter.establishment_id,
            hint=letter.hint,
            sealed=self._keyring.seal(SEAL, json.dumps(content).encode(), message_id),
            created_at=now,
            expires_at=now + letter.life,
            attempts=0,
            next_attempt_at=now,
            sent_at=None,
            abandoned_at=None,
            receipt=None,
            cost_micros=self._config.sms.price_micros if letter.channel == "sms" else 0,
        )
        tx.messages.add(message)
        return message

    def open(self, message: Message) -> Opened:
        """What a message says and to whom. VestibuleError("seal_broken") when it cannot be read."""
        content = json.loads(self._keyring.unseal(SEAL, message.sealed or b"", message.id))
        return Opened(content["to"], Words(content["subject"], content["text"]), content["language"])

    def untold(self, account: Account) -> Untold:
        """Why `tell` reaches somebody by no mail; "" when it does."""
        if not self._config.mail.is_set:
            return "no_mail"
        return "no_address" if account.email is None or account.status == "ended" or account.is_demo else ""

    def may_afford(self, tx: Transaction, establishment_id: str | None) -> bool:
        """Whether one more SMS is within what this month's may cost, of all and of the establishment. Lock `sms` first: others write theirs."""
        sms = self._config.sms
        since = self.month_began()
        if sms.monthly_cap is not None and tx.messages.cost_since("sms", since) + sms.price_micros > micros(sms.monthly_cap):
            return False
        if sms.monthly_cap_establishment is None or establishment_id is None:
            return True
        spent = tx.messages.cost_since("sms", since, establishment_id=establishment_id)
        return spent + sms.price_micros <= micros(sms.monthly_cap_establishment)

    def month_began(self) -> datetime:
        """The first instant of this calendar month, by the group's clock."""
        local = self._clock.now().astimezone(ZoneInfo(self._config.pages.time_zone))
        return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)

    def _local(self, place: Establishment | None, language: Language) -> str:
        local = self._clock.now().astimezone(ZoneInfo(place.time_zone if place else self._config.pages.time_zone))
        return f"{local:%d/%m/%Y} à {local.hour} h {local:%M}" if language == "fr" else f"{local:%d %B %Y, %H:%M}"


def _number(text: str | None) -> str | None:
    """In E.164, however a directory writes it; None when it is no number."""
    try:
        return parse_phone(text) if text else None
    except ValueError:
        return None
