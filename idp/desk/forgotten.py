""" "Forgotten password": a person asks for a reset by name, establishment and profile, and is told the same whatever comes of it (R16, R62, R71).

Owns who is meant, and where anybody may ask at all; the request itself is idp/desk/resets.py's. The page answers first and `ask` is called after:
neither what is said nor how long it takes depends on who was named. Every try is an Event.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.desk.authority import ActRefused
from idp.desk.reset_facts import ResetFactsOf, ResetRefused
from idp.desk.resets import Resets
from idp.errors import StoreUnavailable
from idp.signin.local import find_candidate, normalise_identifier
from idp.signin.spray_watch import household
from idp.store.base import Account, Ephemeral, Establishment
from idp.store.database import Database, Transaction
from policies.resets import Kind, Mode, lets_person_ask

TRIES, STOPS = "forgotten.tries", "reset.stops"
WINDOW = timedelta(hours=1)
MOST_FROM_ADDRESS = 12
USUAL_SINCE = timedelta(days=30)
LOCAL = "local"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed. `spoken`: the number that the page has shown to whoever asks, which is the first half where nobody else gives it."""

    name: str
    establishment: str
    profile: str
    kind: Kind
    spoken: str

    def __repr__(self) -> str:
        return "Asked(…)"  # people type passwords in the wrong field


class Forgotten:
    """Safe between threads; one per process."""

    def __init__(
        self,
        config: Config,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        *,
        clock: Clock,
        facts: ResetFactsOf,
        resets: Resets,
    ) -> None:
        self._config = config
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._facts = facts
        self._resets = resets

    def is_open(self, place: Establishment | None) -> bool:
        """Whether the sign-in page offers it: at an establishment, or somewhere as long as none is known."""
        settings = self._config.resets
        if place is None:
            return any(lets_person_ask(one.mode) for one in settings.modes)
        return any(lets_person_ask(settings.mode_of(place.slug, source)) for source in self._sources())

    def is_open_anywhere(self) -> bool:
        """Whether a request is taken at all: whatever establishment the browser was last used at."""
        return self.is_open(None)

    def shows_number(self, typed: str) -> bool:
        """Whether the answer shows the first half: where anybody may serve themselves at the establishment typed, with a password of any source.

        Nothing else counts, neither who is named nor who asks: one answer for everybody there. Where no such establishment is: as anywhere.
        """
        settings = self._config.resets
        with self._database.read() as tx:
            place = self._place(tx, typed)
        if place is None:
            return any(one.mode == "self" for one in settings.modes)
        return any(settings.mode_of(place.slug, source) == "self" for source in self._sources())

    def usual_minutes(self, place: Establishment | None) -> int | None:
        """How long a reset took there lately, in minutes, rounded up to five; None where that is not known."""
        if place is None:
            return None
        with self._database.read() as tx:
            seconds = tx.resets.usual_seconds(place.id, since=self._clock.now() - USUAL_SINCE)
        return None if seconds is None else max(5, -(-int(seconds) // 300) * 5)

    def admit(self, origin: Origin) -> timedelta:
        """Count a request of an address: how long to wait, nothing when it may be made."""
        return self._count(TRIES, origin)

    def admit_stop(self, origin: Origin) -> timedelta:
        """The same for a code that stops a reset: 50 bits, and no reason to type more than a few."""
        return self._count(STOPS, origin)

    def _count(self, kind: str, origin: Origin) -> timedelta:
        key = self._keyring.keyed_hash("throttle", f"address:{household(origin.address)}")
        return WINDOW if self._ephemeral.count(kind, key, WINDOW) > MOST_FROM_ADDRESS else timedelta(0)

    def ask(self, asked: Asked, origin: Origin) -> None:
        """Make the request, if it is one. Says nothing: what became of it is in the audit trail, and in the person's mail."""
        try:
            reason, account, place = self._ask(asked, origin)
            if reason is not None:
                self._record(reason, asked, origin, account=account, place=place)
        except ActRefused as refused:
            self._record(refused.code, asked, origin)
        except ResetRefused as refused:
            log.info("forgotten_refused", reason=str(refused.code), request_id=origin.request_id)  # its Event is kept already
        except StoreUnavailable as error:
            log.error("forgotten_lost", request_id=origin.request_id, detail=error.detail)

    def _sources(self) -> tuple[str, ...]:
        return (LOCAL, *(directory.name for directory in self._config.directories))

    def _ask(self, asked: Asked, origin: Origin) -> tuple[Reason | None, Account | None, Establishment | None]:
        now = self._clock.now()
        with self._database.read() as tx:
            place = self._place(tx, asked.establishment)
            found = self._named(tx, asked.name, place) if place is not None else ()
            fitting = [
                account
                for account in found
                if place is not None
                and any(
                    one.establishment_id == place.id and one.profile == asked.profile and one.is_valid(now)
                    for one in tx.people.attachments(account.id)
                )
            ]
            if place is None or len(fitting) != 1:
                return (Reason.AMBIGUOUS_IDENTIFIER if len(fitting) > 1 else Reason.UNKNOWN_IDENTIFIER), None, place
            account = fitting[0]
            if not account.is_active or account.is_break_glass:
                return Reason.ACCOUNT_NOT_ACTIVE, account, place
            mode: Mode = self._config.resets.mode_of(place.slug, self._facts.source(tx, account, asked.kind))
        if not lets_person_ask(mode):
            return Reason.RESET_MODE, account, place
        reset = self._resets.ask_as_person(account, kind=asked.kind, establishment=place, mode=mode, origin=origin)
        if reset is not None and mode == "self":
            self._resets.hand_to_self(reset.id, spoken=asked.spoken, origin=origin)
        return None, account, place

    def _place(self, tx: Transaction, typed: str) -> Establishment | None:
        """The open establishment of that name or slug, however its capitals and accents are typed."""
        wanted = normalise_identifier(typed)
        found = [one for one in tx.establishments.all() if one.ended_at is None and wanted in {normalise_identifier(one.name), one.slug}]
        return found[0] if len(found) == 1 else None

    def _named(self, tx: Transaction, typed: str, place: Establishment) -> tuple[Account, ...]:
        """Who is found by an identifier, else by both names, whole, in either order."""
        wanted = normalise_identifier(typed)
        by_identifier = find_candidate(tx, wanted, place.id).account
        if by_identifier is not None:
            return (by_identifier,)
        return tx.search.named(wanted)

    def _record(
        self, reason: Reason, asked: Asked, origin: Origin, *, account: Account | None = None, place: Establishment | None = None
    ) -> None:
        typed = normalise_identifier(asked.name)
        event = Event(
            type=EventType.RESET_REFUSED,
            at=self._clock.now(),
            actor="anonymous",
            origin=origin,
            reason=reason,
            account_id=account.id if account else None,
            # People type passwords in the wrong field: what matched nobody is never kept as it is.
            identifier_hash=None if account else self._keyring.keyed_hash("identifier", typed),
            establishment_id=place.id if place else None,
            details={"move": "asked", "kind": asked.kind},
        )
        with self._database.write() as tx:
            tx.events.append(event)
