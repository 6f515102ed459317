"""The one-time codes that are open: one to each factor, six digits, ten minutes, five tries, one use.

The ephemeral store holds a keyed hash, bound to the factor and to the message that carries the code, so that no code opens another factor. The last
word on a use is SQL's (`spend`, in the transaction of what it permits): an ephemeral store that fell back to an earlier state brings no code to life
again.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.clock import Clock
from idp.crypto import Keyring, same
from idp.store.base import Ephemeral
from idp.store.database import Transaction

LIFE = timedelta(minutes=10)
RESEND_AFTER = timedelta(seconds=60)
MOST_TRIES = 5
DIGITS = 6
HASH = "one-time code"
OPEN, TRIES, ASKED = "code.open", "code.tries", "code.asked"
SPENT = "one_time_code"
# A spent code is remembered for longer than any copy of the ephemeral store could believe it open.
MARGIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCode:
    """A code that was sent and can be typed. `message_id` is the message that carries it."""

    factor_id: str
    account_id: str
    message_id: str
    hashed: str
    sent_at: datetime
    expires_at: datetime

    @property
    def resend_at(self) -> datetime:
        """From when another may be asked."""
        return self.sent_at + RESEND_AFTER


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a try came to. `code` is None when there was none to try; `tries_left` of this code, after this try."""

    code: OpenCode | None
    is_right: bool
    tries_left: int


class OpenCodes:
    """Codes that can be typed. Every method raises StoreUnavailable when the ephemeral store does not answer."""

    def __init__(self, ephemeral: Ephemeral, keyring: Keyring, clock: Clock) -> None:
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock

    def new(self) -> str:
        """Six random digits."""
        return f"{int.from_bytes(self._clock.random_bytes(8)) % 10**DIGITS:0{DIGITS}}"

    def ask(self, key: str) -> timedelta | None:
        """None when a code may be sent to whatever goes by this key now, for exactly one of several callers; else how long to wait."""
        now = self._clock.now()
        if self._ephemeral.add(ASKED, key, now.isoformat().encode(), RESEND_AFTER):
            return None
        asked = self._ephemeral.get(ASKED, key)
        return max(datetime.fromisoformat(asked.decode()) + RESEND_AFTER - now, timedelta(seconds=1)) if asked else timedelta(seconds=1)

    def take_back(self, key: str) -> None:
        """Nothing was sent after all."""
        self._ephemeral.forget(ASKED, key)

    def open(self, account_id: str, factor_id: str, *, code: str, message_id: str) -> OpenCode:
        """Let a code be typed; the one before it can not be any more."""
        now = self._clock.now()
        opened = OpenCode(
            factor_id=factor_id,
            account_id=account_id,
            message_id=message_id,
            hashed=self._hash(account_id, factor_id, message_id=message_id, code=code),
            sent_at=now,
            expires_at=now + LIFE,
        )
        kept = {
            "account": account_id,
            "message": message_id,
            "hash": opened.hashed,
            "sent": now.isoformat(),
            "until": opened.expires_at.isoformat(),
        }
        self._ephemeral.put(OPEN, factor_id, json.dumps(kept).encode(), LIFE)
        return opened

    def get(self, account_id: str, factor_id: str) -> OpenCode | None:
        """The code that an account can type for a factor; None when there is none."""
        stored = self._ephemeral.get(OPEN, factor_id)
        if stored is None:
            return None
        kept = json.loads(stored)
        expires_at = datetime.fromisoformat(kept["until"])
        if kept["account"] != account_id or expires_at <= self._clock.now():
            return None
        return OpenCode(
            factor_id=factor_id,
            account_id=account_id,
            message_id=kept["message"],
            hashed=kept["hash"],
            sent_at=datetime.fromisoformat(kept["sent"]),
            expires_at=expires_at,
        )

    def judge(self, account_id: str, factor_id: str, typed: str | None) -> Judgement:
        """Count a try and compare; None is what cannot be a code. The try is counted first: tries in flight at once cannot outrun the limit."""
        code = self.get(account_id, factor_id)
        if code is None:
            return Judgement(None, is_right=False, tries_left=0)
        tried = self._ephemeral.count(TRIES, code.message_id, LIFE)
        if tried > MOST_TRIES:
            self.close(code)
            return Judgement(None, is_right=False, tries_left=0)
        hashed = self._hash(account_id, factor_id, message_id=code.message_id, code=typed or "")
        is_right = same(hashed, code.hashed)
        if not is_right and tried == MOST_TRIES:
            self.close(code)
        return Judgement(code, is_right=is_right, tries_left=MOST_TRIES - tried)

    def spend(self, tx: Transaction, code: OpenCode) -> bool:
        """Use a code that was judged right: True for exactly one caller ever."""
        return tx.grants.spend(SPENT, code.message_id, expires_at=code.expires_at + MARGIN)

    def close(self, code: OpenCode) -> None:
        """Let it be typed no more."""
        self._ephemeral.forget(OPEN, code.factor_id)

    def _hash(self, account_id: str, factor_id: str, *, message_id: str, code: str) -> str:
        return self._keyring.keyed_hash(HASH, f"{account_id} {factor_id} {message_id} {code}")
