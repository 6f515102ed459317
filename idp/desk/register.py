"""Who works where: making local accounts, correcting them, attaching people to establishments, with their days, and detaching them.

Each act asks the authority in the transaction that does it; the person is told. What a directory or a provider says of a person is changed there and
nowhere else. No password is made here: the person gets their first one by a request, in two halves.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import AttachmentSettings
from idp.desk.authority import ActRefused, Agent, Authority
from idp.desk.card import owner_of
from idp.desk.wrong_input import Problem, WrongInput
from idp.messages.messenger import Messenger
from idp.people import accounts, attachments
from idp.people.accounts import AccountRefused, NewAccount
from idp.people.attachments import NewAttachment
from idp.people.values import ValueRefused, email, person_name, phone_number
from idp.signin.naming import REACHED
from idp.store.base import Account, Attachment, Establishment
from idp.store.database import Database, Transaction
from policies.acts import Act

BY_HAND = "operator"


class IdentifierTaken(WrongInput):
    """Somebody is found by it already. `holder`: who, when the agent may see them or take them in; None when they may not be told."""

    def __init__(self, holder: Account | None) -> None:
        super().__init__((Problem("identifier", "taken"),))
        self.holder = holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What an account should say; every value as it is kept, None for no value."""

    given_name: str
    family_name: str
    email: str | None
    phone_number: str | None
    locale: str | None

    def parsed(self) -> "Corrected":
        """The same in the form it is kept in; raises WrongInput with every problem."""
        found: dict[str, str | None] = {}
        problems: list[Problem] = []
        parsers = {
            "given_name": lambda text: person_name(text, "given_name"),
            "family_name": lambda text: person_name(text, "family_name"),
            "email": email,
            "phone_number": phone_number,
        }
        for name, parse in parsers.items():
            value = getattr(self, name)
            try:
                found[name] = parse(value) if value else (value if value is None else "")
            except ValueRefused as refused:
                problems.append(Problem(name, refused.detail))
        if (self.locale or "fr").partition("-")[0] not in {"fr", "en"}:
            problems.append(Problem("locale", "fr or en"))
        if not (found.get("given_name") and found.get("family_name")):
            problems.append(Problem("family_name" if found.get("given_name") else "given_name", "needed"))
        if problems:
            raise WrongInput(problems)
        return Corrected(
            given_name=found["given_name"] or "",
            family_name=found["family_name"] or "",
            email=found["email"] or None,
            phone_number=found["phone_number"] or None,
            locale=self.locale,
        )


class Register:
    """Safe between threads; one per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        authority: Authority,
        profiles: tuple[str, ...],
        settings: AttachmentSettings,
        messenger: Messenger,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority
        self.profiles = profiles
        self._settings = settings
        self._messenger = messenger
        self._tell = messenger.tell

    def places(self, tx: Transaction, agent: Agent, act: Act) -> tuple[Establishment, ...]:
        """The open establishments where the agent holds an act, by name."""
        return tuple(place for place in tx.establishments.all() if agent.actor.holds(act, place.id))

    def check(self, agent: Agent, new: NewAccount, place: NewAttachment) -> tuple[NewAccount, tuple[Account, ...]]:
        """The account as it would be kept, and people who are called the same, as far as the agent sees them; nothing is written.

        Raises WrongInput, IdentifierTaken, ActRefused.
        """
        with self._database.read() as tx:
            parsed = self._parsed(tx, agent, new, place)
            typed = f"{parsed.given_name} {parsed.family_name}"
            places, now = agent.actor.places(Act.FIND), self._clock.now()
            return parsed, tx.search.people(typed, places=places, now=now, skip=0, count=5)

    def create(self, agent: Agent, new: NewAccount, place: NewAttachment) -> Account:
        """Make a local account, attached from the first; it has no password yet. Raises WrongInput, IdentifierTaken, ActRefused."""
        with self._database.write() as tx:
            parsed = self._parsed(tx, agent, new, place)
            try:
                account = accounts.add(tx, parsed, agent.author, clock=self._clock)
                attachments.attach(tx, account, self._fit(place), agent.author, settings=self._settings, clock=self._clock)
            except (ValueRefused, AccountRefused) as refused:
                raise _wrong(refused) from refused
            self._tell(tx, account, "account_added", {}, author=agent.author)
        return account

    def correct(self, agent: Agent, account: Account, corrected: Corrected) -> tuple[str, ...]:
        """Write what an account should say, of one that is kept here; the names of what changed. Raises WrongInput, IdentifierTaken, ActRefused."""
        corrected = corrected.parsed()
        with self._database.write() as tx:
            if self._messenger.is_set("sms"):
                tx.lock("sms")  # before any account is held, as whoever counts what they cost does
            current = self._own(tx, agent, account)
            plain = ("given_name", "family_name", "locale", "email", "phone_number")
            changed = {name: value for name in plain if (value := getattr(corrected, name)) != getattr(current, name)}
            if corrected.email and "email" in changed and accounts.taken(tx, NewAccount(email=corrected.email)):
                raise self._taken(tx, agent, corrected.email, None)
            if changed:
                self._write(tx, agent, current, changed)
                self._record(tx, EventType.ACCOUNT_CHANGED, agent, account, {"fields": " ".join(changed)})
        return tuple(changed)

    def _write(self, tx: Transaction, agent: Agent, current: Account, changed: Mapping[str, str | None]) -> None:
        now = self._clock.now()
        values: dict[str, Any] = dict(changed)
        for name, since in REACHED.items():
            if name in changed:
                values |= {f"{name}_verified": False, since: now}
                # The old address is told of each: whoever reads it may know that it is wrong.
                self._tell(tx, current, "contact_changed", {}, author=agent.author)
        if "phone_number" in changed:
            self._messenger.tell_old_number(tx, current, author=agent.author)
        if "email" in changed:
            tx.people.remove_identifiers(current.id, "email")
            if changed["email"]:
                tx.people.add_identifier(current.id, "email", value=changed["email"], scope="")
        tx.people.change(current.id, now, **values)
        if not REACHED.keys() & changed.keys():
            self._tell(tx, current, "account_corrected", {}, author=agent.author)

    def attach(self, agent: Agent, account: Account, place: NewAttachment) -> Attachment:
        """Attach somebody to an establishment. Raises WrongInput, ActRefused."""
        with self._database.write() as tx:
            tx.people.hold(account.id)
            self._authority.demand(tx, Act.ATTACH, agent, account=account, establishment=place.establishment)
            return self._attach(tx, agent, account, place)

    def redate(
        self, agent: Agent, account: Account, attachment_id: str, *, profile: str, sector: str, days: tuple[date | None, date | None]
    ) -> Attachment:
        """Give an attachment another profile, sector or other days; what stands on it goes on where the new one still carries it.

        Raises WrongInput, ActRefused.
        """
        with self._database.write() as tx:
            tx.people.hold(account.id)
            former, establishment = self._attachment(tx, account, attachment_id)
            self._authority.demand(tx, Act.ATTACH, agent, account=account, establishment=establishment)
            self._demand_own(former, account, Act.ATTACH)
            new = NewAttachment(establishment=establishment, profile=profile, sector=sector or None, first_day=days[0], last_day=days[1])
            made = self._attach(tx, agent, account, new)
            attachments.detach(tx, former, agent.author, clock=self._clock)
            return made

    def detach(self, agent: Agent, account: Account, attachment_id: str) -> Attachment:
        """End an attachment now, and what stands on it. Raises ActRefused."""
        with self._database.write() as tx:
            tx.people.hold(account.id)
            former, establishment = self._attachment(tx, account, attachment_id)
            self._authority.demand(tx, Act.DETACH, agent, account=account, establishment=establishment)
            self._demand_own(former, account, Act.DETACH)
            attachments.detach(tx, former, agent.author, clock=self._clock)
            self._tell(tx, account, "attachment_ended", {"hint": establishment.name}, author=agent.author)
            return former

    def attachment(self, account: Account, attachment_id: str) -> tuple[Attachment, Establishment]:
        """One that has not ended. Raises ActRefused(ACT_TARGET_UNKNOWN)."""
        with self._database.read() as tx:
            return self._attachment(tx, account, attachment_id)

    def _attach(self, tx: Transaction, agent: Agent, account: Account, place: NewAttachment) -> Attachment:
        try:
            made = attachments.attach(tx, account, self._fit(place), agent.author, settings=self._settings, clock=self._clock)
        except ValueRefused as refused:
            raise _wrong(refused) from refused
        self._tell(tx, account, "attachment_added", {"hint": place.establishment.name}, author=agent.author)
        return made

    def _attachment(self, tx: Transaction, account: Account, attachment_id: str) -> tuple[Attachment, Establishment]:
        found = next((one for one in tx.people.attachments(account.id) if one.id == attachment_id and one.ended_at is None), None)
        place = tx.establishments.get(found.establishment_id) if found is not None else None
        if found is None or place is None:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.DETACH, account_id=account.id)
        return found, place

    def _demand_own(self, former: Attachment, account: Account, act: Act) -> None:
        if former.source != BY_HAND:
            detail = f"{former.source} gave the attachment"
            raise ActRefused(Reason.ACT_OF_SOURCE, act, detail=detail, account_id=account.id, establishment_id=former.establishment_id)

    def _own(self, tx: Transaction, agent: Agent, account: Account) -> Account:
        """The account, held, which the agent may correct and no source owns."""
        current = tx.people.held(account.id) or account
        self._authority.demand(tx, Act.EDIT_ACCOUNT, agent, account=current)
        owner = owner_of(tx.links.of_account(account.id))
        if owner is not None or current.status == "ended":
            reason = Reason.ACT_OF_SOURCE if owner is not None else Reason.ACCOUNT_NOT_ACTIVE
            raise ActRefused(reason, Act.EDIT_ACCOUNT, detail=owner or "", account_id=account.id)
        return current

    def _fit(self, place: NewAttachment) -> NewAttachment:
        return attachments.check(place, profiles=self.profiles)

    def _parsed(self, tx: Transaction, agent: Agent, new: NewAccount, place: NewAttachment) -> NewAccount:
        for act in (Act.EDIT_ACCOUNT, Act.ATTACH):
            self._authority.demand(tx, act, agent, establishment=place.establishment)
        problems: list[Problem] = []
        parsed = new
        if not (new.given_name.strip() and new.family_name.strip()):
            problems.append(Problem("given_name" if not new.given_name.strip() else "family_name", "needed"))
        # Each value by itself, so that one reading finds every error.
        blank = NewAccount(username="a", establishment=place.establishment)
        for name in ("username", "email", "staff_number", "given_name", "family_name", "phone_number", "locale"):
            values: dict[str, Any] = {name: value} if (value := getattr(new, name)) else {}
            try:
                dataclasses.replace(blank, **values).parsed()
            except ValueRefused as refused:
                problems.append(_problem(refused))
        try:
            self._fit(place).window(self._settings)
        except ValueRefused as refused:
            problems.append(_problem(refused))
        if not problems:
            try:
                parsed = new.parsed()
            except ValueRefused as refused:
                problems.append(_problem(refused))
        if problems:
            raise WrongInput(problems)
        for value, _ in accounts.taken(tx, parsed):
            raise self._taken(tx, agent, value, place.establishment)
        return parsed

    def _taken(self, tx: Transaction, agent: Agent, value: str, place: Establishment | None) -> IdentifierTaken:
        """Who carries it, where that may be told: to whoever sees them, or may take them in because they work nowhere."""
        for other in tx.people.matching(value, None):
            is_seen = self._authority.ask(tx, Act.FIND, agent, account=other) is None
            if is_seen or self._authority.ask(tx, Act.ATTACH, agent, account=other, establishment=place) is None:
                return IdentifierTaken(other)
        return IdentifierTaken(None)

    def _record(
        self, tx: Transaction, kind: EventType, agent: Agent, account: Account, details: Mapping[str, str | int | bool | None]
    ) -> None:
        author = agent.author
        tx.events.append(
            Event(type=kind, at=self._clock.now(), actor=author.actor, origin=author.origin, account_id=account.id, details=details)
        )


def _problem(refused: ValueRefused) -> Problem:
    return Problem("phone_number" if refused.reason == "phone" else refused.reason, refused.detail)


def _wrong(refused: ValueRefused | AccountRefused) -> WrongInput:
    if isinstance(refused, AccountRefused):
        return IdentifierTaken(None)
    return WrongInput((_problem(refused),))
