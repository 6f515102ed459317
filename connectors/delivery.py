"""What every way of reaching a person speaks: the message, the protocol of a gateway, and the two ways in which it fails.

A gateway hands one message over and says what came of it; it decides nothing about when, to whom or how often (idp/messages does) and remembers
nothing. `detail` of its errors is for the log and is written so that it holds no number, address or code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from connectors.base import CheckStep, ConnectorError, SourceUnreachable, Trouble

# A run of four digits may be a code or part of a number; what has an @ is an address.
TELLING = re.compile(r"\S*@\S*|\+?\d(?:[\s.\-()]*\d){3,}")
MOST_WORDS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to hand over. `id` is ours and stays the same when it is tried again; `to` is an E.164 number or an e-mail address."""

    id: str
    to: str
    text: str
    subject: str = ""
    language: str = "fr"
    at: datetime

    def __repr__(self) -> str:
        return f"Outgoing({self.id})"  # a traceback or a log line must not show whom and what


class GatewayUnreachable(SourceUnreachable):
    """It did not answer in time, not over a trusted connection, or not to the end. Worth another try.

    `may_have_arrived`: the message was on its way when the answer failed, so that it may have been sent and will be paid for.
    """

    def __init__(self, detail: str = "", *, trouble: Trouble, may_have_arrived: bool = False) -> None:
        super().__init__(detail, trouble=trouble)
        self.may_have_arrived = may_have_arrived


class NotDelivered(ConnectorError):
    """It answered, and did not take the message. `is_final`: another try would end the same way. `retry_after` is what it asks for itself."""

    def __init__(self, detail: str = "", *, is_final: bool, retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.is_final = is_final
        self.retry_after = retry_after


class Gateway(Protocol):
    """A way of reaching people. Safe to share between threads."""

    def send(self, outgoing: Outgoing) -> str:
        """Hand a message over; a receipt that names nobody. Raises GatewayUnreachable or NotDelivered."""
        ...

    def rehearse(self, outgoing: Outgoing) -> Iterator[CheckStep]:
        """Send it step by step for an operator who looks on; the last failed step says what to do. Raises nothing of the family."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def without_telling(text: str) -> str:
    """A gateway's own words, fit to be kept: one short line without numbers, addresses or codes, which it likes to repeat."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(TELLING.sub("…", line).split())[:MOST_WORDS]
