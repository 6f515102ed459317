"""One-time passes: what somebody entitled hands over, to add a first factor, to sign in without one's factor, to enrol a workstation.

Owns their making, checking and use; used once, by one conditional UPDATE, before their end, for their purpose and person. Who may issue one is the
caller's to know (idp/people/factors.py, idp/signin/workstations.py). A new pass ends the unused ones of the same person and purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import FactorSettings
from idp.crypto import Keyring
from idp.signin.factor import FactorProof
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.typed_code import make_code, read_code
from idp.store.base import Pass
from idp.store.database import Database, Transaction
from policies.assurance import Method

PURPOSE = "one-time pass"
THROTTLED_AS = "pass"
GROUPS, GROUP_LENGTH = 3, 5  # 75 random bits
Purpose = Literal["enrol", "sign_in", "workstation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPass:
    """A pass to be. `account_id` is whom it serves; a workstation's has an establishment and a zone instead. `life` None: as configured."""

    purpose: Purpose
    account_id: str | None = None
    establishment_id: str | None = None
    zone_id: str | None = None
    is_shared: bool = False
    label: str = ""
    life: timedelta | None = None


class Passes:
    """Issues and redeems. Safe between threads; needs no throttle to issue, and only then may `throttle` be None."""

    def __init__(
        self, database: Database, keyring: Keyring, clock: Clock, *, settings: FactorSettings, throttle: FactorThrottle | None = None
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._throttle = throttle
        self._lives: dict[Purpose, timedelta] = {
            "enrol": settings.enrol_pass_life,
            "sign_in": settings.sign_in_pass_life,
            "workstation": settings.workstation_pass_life,
        }

    def issue(self, tx: Transaction, new: NewPass, author: Author) -> tuple[str, Pass]:
        """The code, to be shown once, and what is kept. Event pass.issued."""
        now = self._clock.now()
        code = make_code(self._clock, groups=GROUPS, length=GROUP_LENGTH)
        if new.account_id is not None:
            tx.people.hold(new.account_id)
            tx.passes.end_unused(new.account_id, now, purpose=new.purpose)
        kept = Pass(
            digest=self._digest(read_code(code)),
            purpose=new.purpose,
            account_id=new.account_id,
            establishment_id=new.establishment_id,
            zone_id=new.zone_id,
            is_shared=new.is_shared,
            label=new.label[:80],
            issued_by=author.actor[:140],
            created_at=now,
            expires_at=now + (new.life or self._lives[new.purpose]),
            used_at=None,
            ended_at=None,
        )
        tx.passes.add(kept)
        details = {"purpose": new.purpose, "expires_at": kept.expires_at.isoformat(), **({"label": kept.label} if kept.label else {})}
        self._record(tx, EventType.PASS_ISSUED, kept, author, details)
        return code, kept

    def check(self, account_id: str, typed: str, origin: Origin) -> str:
        """The digest of an enrolment pass of this person that could be used now; it is used with what it allows (Asking.pass_digest).

        Raises FactorRefused (the Event is written), StoreUnavailable.
        """
        throttle = self._counting()
        attempt = throttle.admit(account_id, THROTTLED_AS, origin)
        digest = self._digest(read_code(typed))
        now = self._clock.now()
        with self._database.read() as tx:
            given = tx.passes.get(digest)
        is_open = given is not None and given.used_at is None and given.ended_at is None and now < given.expires_at
        if given is None or not is_open or given.purpose != "enrol" or given.account_id != account_id:
            raise throttle.refused(attempt, Reason.PASS_NOT_VALID)
        throttle.clear(attempt)
        return digest

    def prove(self, account_id: str, typed: str, origin: Origin) -> FactorProof:
        """A pass to sign in stands for the person's factor, once. Raises FactorRefused (the Event is written), StoreUnavailable."""
        throttle = self._counting()
        attempt = throttle.admit(account_id, THROTTLED_AS, origin)
        digest, now = self._digest(read_code(typed)), self._clock.now()
        with self._database.write() as tx:
            given = tx.passes.get(digest)
            is_used = given is not None and given.account_id == account_id and tx.passes.redeem(digest, "sign_in", now)
            if given is not None and is_used:
                author = Author(f"account:{account_id}", origin)
                self._record(tx, EventType.PASS_USED, given, author, {"purpose": given.purpose, "issued_by": given.issued_by})
        if not is_used:
            raise throttle.refused(attempt, Reason.PASS_NOT_VALID)
        throttle.clear(attempt)
        return FactorProof(account_id=account_id, method=Method.PASS, factor_id=None, at=now)

    def redeem_workstation(self, tx: Transaction, typed: str, author: Author) -> Pass | None:
        """Use a workstation's pass in the transaction that enrols it; None when there is no such pass, or no longer. Event pass.used.

        Not throttled by person, for none is known: 75 random bits are not guessed over a network.
        """
        digest = self._digest(read_code(typed))
        given = tx.passes.get(digest)
        if given is None or not tx.passes.redeem(digest, "workstation", self._clock.now()):
            return None
        self._record(tx, EventType.PASS_USED, given, author, {"purpose": given.purpose, "issued_by": given.issued_by})
        return given

    def _digest(self, code: str) -> str:
        return self._keyring.keyed_hash(PURPOSE, code)

    def _counting(self) -> FactorThrottle:
        if self._throttle is None:
            raise RuntimeError("these passes are only for issuing")
        return self._throttle

    def _record(
        self, tx: Transaction, kind: EventType, given: Pass, author: Author, details: Mapping[str, str | int | bool | None]
    ) -> None:
        tx.events.append(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=author.actor,
                origin=author.origin,
                account_id=given.account_id,
                establishment_id=given.establishment_id,
                details=details,
            )
        )
