"""Codes by SMS and e-mail, behind one door: what queues messages, what makes and judges codes, what adds telephones; built together.

Owns the building only. second_factors.py has the parts that these are handed.
"""

from dataclasses import dataclass

from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.messages.messenger import Messenger
from idp.signin.code_offer import CodeOffers
from idp.signin.enrolment import Enrolment
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.one_time_codes import OneTimeCodes
from idp.store.base import Ephemeral
from idp.store.database import Database


@dataclass(frozen=True, slots=True)
class SentCodes:
    """The parts. Safe between threads; build one per process."""

    messenger: Messenger
    codes: OneTimeCodes
    offers: CodeOffers


def open_sent_codes(
    config: Config,
    *,
    database: Database,
    ephemeral: Ephemeral,
    keyring: Keyring,
    clock: Clock,
    throttle: FactorThrottle,
    enrolment: Enrolment,
) -> SentCodes:
    """The parts of a configuration."""
    messenger = Messenger(config, keyring=keyring, clock=clock)
    codes = OneTimeCodes(config, database, ephemeral, keyring=keyring, clock=clock, messenger=messenger, throttle=throttle)
    offers = CodeOffers(config, database, ephemeral, codes, keyring=keyring, clock=clock, throttle=throttle, enrolment=enrolment)
    return SentCodes(messenger, codes, offers)
