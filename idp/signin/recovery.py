"""Recovery codes: ten on paper, for the day the telephone is lost; each serves once in the place of a factor.

Owns their making and burning. Kept as keyed hashes bound to the person; burned by one conditional UPDATE. Who may renew them is enrolment.py's.
"""

from dataclasses import dataclass
from datetime import datetime

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import FactorSettings
from idp.crypto import Keyring
from idp.errors import Refused
from idp.signin.devices import Tell
from idp.signin.enrolment import has_strong
from idp.signin.factor import FactorProof
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.typed_code import make_code, read_code
from idp.store.database import Database, Transaction
from policies.assurance import Method

PURPOSE = "recovery code"
KIND = "recovery"
GROUPS, GROUP_LENGTH = 3, 4  # 60 random bits
FEW = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesLeft:
    """`made_at` is None when the person never had any. `is_few`: it is time for new ones. `may_renew`: there is a factor to recover from."""

    count: int
    made_at: datetime | None
    may_renew: bool

    @property
    def is_few(self) -> bool:
        """Whether the person should be warned."""
        return self.made_at is not None and self.count <= FEW


def codes_left(tx: Transaction, account_id: str) -> CodesLeft:
    """How many may still be used, and whether new ones may be made."""
    return CodesLeft(
        count=tx.recovery_codes.left(account_id),
        made_at=tx.recovery_codes.made_at(account_id),
        may_renew=has_strong(tx.factors.open_of(account_id)),
    )


class RecoveryCodes:
    """Makes and burns. Safe between threads and processes."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        throttle: FactorThrottle,
        *,
        clock: Clock,
        settings: FactorSettings,
        tell: Tell | None = None,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._throttle = throttle
        self._clock = clock
        self._count = settings.recovery_codes
        self._tell = tell

    def renew(self, account_id: str, origin: Origin, *, session_id: str | None = None) -> tuple[str, ...]:
        """New codes, to be shown once; the old ones end. Raises Refused(no_such_factor) for somebody without a factor to recover from.

        A mailbox is none: with it a password would become two factors by paper alone.
        """
        codes = tuple(make_code(self._clock, groups=GROUPS, length=GROUP_LENGTH) for _ in range(self._count))
        now = self._clock.now()
        with self._database.write() as tx:
            account = tx.people.held(account_id)
            if account is None or not account.is_active or not has_strong(tx.factors.open_of(account_id)):
                raise Refused(Reason.NO_SUCH_FACTOR, "codes recover from a lost factor")
            is_first = tx.recovery_codes.made_at(account_id) is None
            tx.recovery_codes.replace(account_id, tuple(self._digest(account_id, read_code(code)) for code in codes), now)
            tx.events.append(self._event(EventType.RECOVERY_CODES_RENEWED, account_id, origin, count=len(codes), session_id=session_id))
            if self._tell is not None and not is_first:  # the first ones come with a factor, which is told
                self._tell(tx, account, "recovery_codes_renewed", {}, author=Author(f"account:{account_id}", origin))
        return codes

    def left(self, account_id: str) -> CodesLeft:
        """How many may still be used."""
        with self._database.read() as tx:
            return codes_left(tx, account_id)

    def prove(self, account_id: str, typed: str, origin: Origin) -> FactorProof:
        """Burn a code. Raises FactorRefused (the Event is written), StoreUnavailable. Event recovery_codes.used with how many are left."""
        attempt = self._throttle.admit(account_id, KIND, origin)
        now = self._clock.now()
        with self._database.write() as tx:
            is_burned = tx.recovery_codes.burn(account_id, self._digest(account_id, read_code(typed)), now)
            if is_burned:
                left = tx.recovery_codes.left(account_id)
                tx.events.append(self._event(EventType.RECOVERY_CODE_USED, account_id, origin, count=left))
                if self._tell is not None and (account := tx.people.get(account_id)) is not None:
                    self._tell(tx, account, "recovery_code_used", {}, author=Author(f"account:{account_id}", origin))
        if not is_burned:
            raise self._throttle.refused(attempt, Reason.WRONG_CODE)
        self._throttle.clear(attempt)
        return FactorProof(account_id=account_id, method=Method.RECOVERY, factor_id=None, at=now)

    def _digest(self, account_id: str, code: str) -> str:
        return self._keyring.keyed_hash(PURPOSE, f"{account_id} {code}")

    def _event(self, kind: EventType, account_id: str, origin: Origin, *, count: int, session_id: str | None = None) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            actor=f"account:{account_id}",
            origin=origin,
            account_id=account_id,
            session_id=session_id,
            details={"codes": count},
        )
