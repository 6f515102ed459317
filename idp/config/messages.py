"""SMS and mail to people: which gateway, and how much of them. The gateways' own settings are their connectors' (connectors/sms, connectors/mail).

The meaning of each setting is the docstring under it; message_checks.py says what no single field can. Prices are the operator's.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from connectors.mail.settings import SmtpSettings
from connectors.settings import Duration, LocalPath, Settings
from connectors.sms.settings import SmsHttpSettings

Money = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=6)]
Prefix = Annotated[str, Field(pattern=r"^\+[1-9]\d{0,14}$")]
MICROS = 1_000_000
# Mobile numbers of France: the mainland, then the overseas territories.
FRENCH_MOBILES = (
    "+336",
    "+337",
    "+262639",
    "+262692",
    "+262693",
    "+508",
    "+590690",
    "+590691",
    "+594694",
    "+596696",
    "+596697",
    "+681",
    "+687",
    "+689",
)


class SmsSettings(Settings):
    """Codes sent to telephones. Without `http` or `file`, SMS is not offered."""

    http: SmsHttpSettings | None = None
    """A service on the network. null: none."""
    file: LocalPath | None = None
    """For demonstrations: write each SMS to this file, one JSON line each, and send nothing. Refused on an issuer that is not on this machine."""
    sender: str = Field(default="Vestibule", pattern=r"^([A-Za-z0-9][A-Za-z0-9 ]{1,9}[A-Za-z0-9]|\+?\d{3,15})$")
    """Who an SMS comes from: a name of 3 to 11 letters and digits, or a number, as agreed with the service."""
    prefixes: tuple[Prefix, ...] = Field(default=FRENCH_MOBILES, min_length=1)
    """Beginnings of the numbers that may be enrolled: French mobile numbers. Others are refused: premium and foreign ones are how SMS are stolen."""
    price: Money = Decimal("0.06")
    """What one SMS costs, in euros."""
    monthly_cap: Money | None = Decimal(100)
    """What all SMS of a calendar month may cost, in euros; then none is sent until the next. null: no limit."""
    monthly_cap_establishment: Money | None = None
    """The same for the people of one establishment. null: no limit but the one above."""
    daily_per_person: int = Field(default=5, ge=1, le=10)
    """Codes that one person may be sent by SMS in 24 hours."""

    @property
    def is_set(self) -> bool:
        """Whether SMS can be sent."""
        return self.http is not None or self.file is not None

    @property
    def price_micros(self) -> int:
        """The price in millionths."""
        return micros(self.price)


class MailSettings(SmtpSettings):
    """Mail to people. Without `host`, none is sent."""

    daily_per_person: int = Field(default=10, ge=1, le=50)
    """Codes that one person may be sent by mail in 24 hours."""
    notice_life: Duration = Field(default=timedelta(days=2), ge=timedelta(minutes=10), le=timedelta(days=14))
    """How long a mail that tells of a change is tried before it is given up."""

    @property
    def is_set(self) -> bool:
        """Whether mail can be sent."""
        return self.host is not None


def micros(amount: Decimal) -> int:
    """An amount of money in millionths, as the store counts it."""
    return int(amount * MICROS)
