"""Carrying a Reset out: the old means of sign-in end, in the directory first, then here, with every Session and Grant.

Owns the order, and what happens when a part does not answer: then nothing is carried out, and it is said. No SQL transaction is open while a
directory is asked. Who may, and when, is idp/desk/resets.py's. A password here becomes one that nobody knows; in a directory one that is sealed
until the person has chosen theirs.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog

from connectors.base import ChangeRefused, NotDelegated, PersonNotUsable, PersonProtected, SourceMisbehaved, SourceUnreachable
from idp.audit import Author, Reason
from idp.clock import Clock
from idp.crypto import Keyring, PasswordHasher
from idp.desk.handover import INTERIM_SEAL, make_interim
from idp.desk.reach import Reached
from idp.desk.reset_facts import LOCAL, ResetRefused
from idp.endings import Cause, end_account_access
from idp.people import factors, passwords
from idp.signals import Occasion, credential_changed
from idp.signin.directories import password_set_at
from idp.store.base import Account, Reset
from idp.store.database import Database, Transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is ready to be written: the hash of a password that nobody knows, and a directory's interim one, sealed; since when it holds that."""

    unusable: str | None = None
    sealed: bytes | None = None
    reached: Reached | None = None
    set_at: datetime | None = None

    def __repr__(self) -> str:
        return "Prepared(…)"


class Carrying:
    """Safe between threads."""

    def __init__(self, database: Database, keyring: Keyring, hasher: PasswordHasher, *, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._hasher = hasher
        self._clock = clock

    def prepare(self, reset: Reset, reached: tuple[Reached, ...], author: Author) -> Prepared:
        """The part that takes time: the directory's password is another one when this returns. Raises ResetRefused; then it is as it was, or
        nobody knows: a directory whose answer was lost may have changed it, and what the old one had opened ends.
        """
        if reset.kind == "factor":
            return Prepared()
        unusable = self._hasher.hash(self._clock.new_token())
        if reset.source == LOCAL:
            return Prepared(unusable)
        found = next((one for one in reached if one.link.connector == reset.source), None)
        if found is None:
            raise self._refused(reset, Reason.RESET_NOTHING_TO_RESET, reset.source)
        interim = make_interim(self._clock)
        sealed = self._keyring.seal(INTERIM_SEAL, interim.encode(), reset.id)
        try:
            found.directory.reset_password(found.link.subject, interim)
        except PersonProtected as error:
            raise self._refused(reset, Reason.ACT_ON_PROTECTED, error.detail) from error
        except (PersonNotUsable, ChangeRefused) as error:
            raise self._refused(reset, Reason.RESET_DIRECTORY_REFUSED, str(error)) from error
        except NotDelegated as error:
            raise self._refused(reset, Reason.DIRECTORY_NOT_DELEGATED, error.detail) from error
        except SourceUnreachable as error:
            self.abandon(reset, Prepared(reached=found), author)
            raise self._refused(reset, Reason.DIRECTORY_UNREACHABLE, error.detail) from error
        except SourceMisbehaved as error:
            self.abandon(reset, Prepared(reached=found), author)
            raise self._refused(reset, Reason.DIRECTORY_MISBEHAVED, error.detail) from error
        return Prepared(unusable, sealed, found, password_set_at(found.directory, found.link.subject))

    def write(self, tx: Transaction, reset: Reset, account: Account, prepared: Prepared, *, author: Author) -> dict[str, int]:
        """End the old means, and every Session and Grant with them; how much ended."""
        now = self._clock.now()
        ended = end_account_access(tx, account.id, Cause(Reason.CREDENTIAL_CHANGED, author.actor, author.origin), clock=self._clock)
        tx.passes.end_unused(account.id, now)  # what was handed over earlier opens nothing any more
        if reset.kind != "factor":
            if prepared.reached is not None:
                link = prepared.reached.link
                tx.links.change_password(link.connector, link.subject, now)
                if prepared.set_at is not None:
                    tx.links.change(link.connector, link.subject, password_set_at=prepared.set_at)
                occasion = Occasion.by(author, Reason.CREDENTIAL_CHANGED)
                credential_changed(tx, account.id, "password", change="update", occasion=occasion, clock=self._clock)
            if prepared.unusable is not None and (reset.source == LOCAL or tx.people.password(account.id) is not None):
                passwords.write(tx, account, prepared.unusable, author, must_change=True, clock=self._clock)
        if reset.kind != "password" and tx.factors.open_of(account.id):
            factors.reset(tx, account, author, reason=f"reset {reset.id}: {reset.why}", clock=self._clock)
        return ended.counts

    def abandon(self, reset: Reset, prepared: Prepared, author: Author) -> None:
        """Its directory has another password already, or may have, and the Reset goes no further: what the old one had opened ends all the same."""
        if prepared.reached is None:
            return
        link = prepared.reached.link
        log.error("reset_half_done", reset=reset.id, connector=link.connector)
        with self._database.write() as tx:
            tx.people.hold(reset.account_id)
            tx.links.change_password(link.connector, link.subject, self._clock.now())
            end_account_access(tx, reset.account_id, Cause(Reason.CREDENTIAL_CHANGED, author.actor, author.origin), clock=self._clock)

    def _refused(self, reset: Reset, reason: Reason, detail: str) -> ResetRefused:
        log.warning("reset_not_carried_out", reset=reset.id, source=reset.source, reason=str(reason), detail=detail)
        return ResetRefused(reason, detail, account_id=reset.account_id, establishment_id=reset.establishment_id)
