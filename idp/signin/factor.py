"""What every second proof has in common: the value that it leaves, and how it refuses.

Owns the shapes only. Each kind has its own room (totp.py, passkeys.py, one_time_codes.py, recovery.py, passes.py); factor_throttle.py counts their
tries; dispatch.py decides when one is wanted. Names of methods are policies/assurance.py's.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.audit import Reason
from idp.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorProof:
    """A second proof that was given: by which method (policies.assurance.Method), with which enrolled Factor, and when."""

    account_id: str
    method: str
    factor_id: str | None
    at: datetime


class FactorRefused(Refused):
    """A try at a second factor failed or was not admitted; the Event is written. The public learns the reason: the person is known by now.

    `wait` is how long before another try is admitted, zero when none helps or none is needed; `tries_left` before that happens.
    """

    def __init__(self, reason: Reason, *, wait: timedelta = timedelta(0), tries_left: int | None = None) -> None:
        super().__init__(reason)
        self.wait = wait
        self.tries_left = tries_left

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing was wrong with the proof: the person's directory does not answer."""
        return self.reason == Reason.DIRECTORY_UNREACHABLE

    @property
    def wait_minutes(self) -> int:
        """Whole minutes to wait, rounded up."""
        return math.ceil(self.wait / timedelta(minutes=1))
