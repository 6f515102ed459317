"""Second factors: which kinds people may add, how tries at them are slowed down, how long one-time passes last.

Owns FactorSettings; what may be added where is policies/enrolment.py's, when one is asked policies/rules.py's. The meaning of each setting is the
docstring under it (docs/reference/configuration.md). Numbers: CNIL 2017-012 as kept in 2022-100.
"""

from datetime import timedelta
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from connectors.settings import Duration, Settings

LONGEST_PASS = timedelta(days=14)


class FactorSettings(Settings):
    """Second factors."""

    offered: tuple[Literal["totp", "passkey", "sms", "email"], ...] = ("totp", "passkey", "sms")
    """Kinds that people may add; sms where a gateway is set (`sms`), email where mail is (`mail`): an e-mail code never counts as a second factor."""
    passwordless: bool = True
    """Sign in with a passkey that asks for a finger or a PIN, without the password."""
    totp_issuer: str | None = Field(default=None, min_length=1, max_length=60, pattern=r"^[^:]+$")
    """Name shown in authenticator applications. null: pages.product_name."""
    recovery_codes: int = Field(default=10, ge=6, le=20)
    """How many recovery codes a person gets at once."""
    recent: Duration = Field(default=timedelta(minutes=10), ge=timedelta(minutes=1), le=timedelta(hours=1))
    """Adding, changing or removing a factor needs one that was proven at most this long ago."""
    free_tries: int = Field(default=5, ge=3, le=10)
    """The failure, of one person at one kind of factor, at which waiting begins."""
    waits: tuple[Duration, ...] = tuple(timedelta(minutes=m) for m in (1, 2, 4, 8, 15, 30))
    """The wait after each failure, from `free_tries` on; the last one repeats."""
    block_after: int = Field(default=15, ge=5, le=50)
    """Failures in a row after which the kind is blocked for the person until an operator acts."""
    daily_cap: int = Field(default=25, ge=10, le=100)
    """Failures of one person in 24 hours, over all kinds, after which the person waits a day; a success does not make them forgotten."""
    enrol_pass_life: Duration = Field(default=timedelta(days=3), le=LONGEST_PASS)
    """How long a pass to add a first factor may be used."""
    sign_in_pass_life: Duration = Field(default=timedelta(hours=12), le=LONGEST_PASS)
    """How long a pass to sign in without one's factor may be used."""
    workstation_pass_life: Duration = Field(default=timedelta(minutes=15), le=LONGEST_PASS)
    """How long a pass to enrol a workstation may be used."""

    @model_validator(mode="after")
    def _is_sound(self) -> "FactorSettings":
        if len(set(self.offered)) != len(self.offered):
            raise ValueError("offered: each kind is named once")
        if not self.waits or min(self.waits) <= timedelta(0) or any(later < earlier for earlier, later in pairwise(self.waits)):
            raise ValueError("waits: there is at least one, each is longer than nothing, and none is shorter than the one before")
        if self.block_after <= self.free_tries:
            raise ValueError("block_after: must be more than free_tries")
        return self
