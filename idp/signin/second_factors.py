"""Second factors, behind one door: the parts that guard, count, add and prove them, built together.

Owns the building only. Passkeys and codes that are sent have rooms of their own (passkeys.py, one_time_codes.py), which are handed `throttle` and
`enrolment` of here.
"""

from dataclasses import dataclass

from idp.audit import Origin
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.signin.devices import Tell
from idp.signin.enrolment import Enrolment
from idp.signin.factor import FactorProof
from idp.signin.factor_need import FactorNeed
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.own_factors import OwnFactors
from idp.signin.passes import Passes
from idp.signin.recovery import RecoveryCodes
from idp.signin.totp import Totp
from idp.signin.whereabouts import Locator
from idp.store.base import Ephemeral
from idp.store.database import Database
from policies.rules import RuleSet

TYPED_KINDS = frozenset({"totp", "recovery", "pass"})


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """The parts. Safe between threads; build one per process."""

    throttle: FactorThrottle
    enrolment: Enrolment
    totp: Totp
    recovery: RecoveryCodes
    passes: Passes
    own: OwnFactors

    def prove(self, kind: str, account_id: str, typed: str, *, origin: Origin, factor_id: str | None = None) -> FactorProof:
        """Judge what was typed for one of TYPED_KINDS (KeyError otherwise). Raises FactorRefused (the Event is written), StoreUnavailable."""
        if kind == "totp":
            return self.totp.prove(account_id, typed, origin, factor_id=factor_id)
        return {"recovery": self.recovery.prove, "pass": self.passes.prove}[kind](account_id, typed, origin)


def open_second_factors(
    config: Config,
    *,
    database: Database,
    ephemeral: Ephemeral,
    keyring: Keyring,
    clock: Clock,
    rules: RuleSet,
    locator: Locator,
    tell: Tell | None = None,
) -> SecondFactors:
    """The parts of a configuration; `tell` is how people hear of a change."""
    settings = config.factors
    throttle = FactorThrottle(database, ephemeral, keyring, clock=clock, settings=settings)
    enrolment = Enrolment(database, clock, settings=settings, wants_factor=FactorNeed(rules, clock), tell=tell)
    totp = Totp(
        database,
        ephemeral,
        keyring,
        clock=clock,
        throttle=throttle,
        enrolment=enrolment,
        issuer=settings.totp_issuer or config.pages.product_name,
    )
    passes = Passes(database, keyring, clock, settings=settings, throttle=throttle)
    return SecondFactors(
        throttle=throttle,
        enrolment=enrolment,
        totp=totp,
        recovery=RecoveryCodes(database, keyring, throttle, clock=clock, settings=settings, tell=tell),
        passes=passes,
        own=OwnFactors(database, ephemeral, clock, enrolment=enrolment, passes=passes, locator=locator),
    )
