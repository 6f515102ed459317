"""What a stream of the audit trail is given, and how it fails."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connectors.base import ConnectorError

INFORMATIONAL, NOTICE, WARNING, ALERT = 6, 5, 4, 1  # RFC 5424, table 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the trail, or one seal. `text` is one JSON object in ASCII without a line end; `kind` 1 to 32 printable ASCII characters."""

    at: datetime
    kind: str
    severity: int
    text: str


class StreamBroken(ConnectorError):
    """The other side did not take the records, or not all of them: they are sent again. `detail` holds nothing of what they say."""


class Sink(Protocol):
    """Takes records, in order. Used by one thread at a time."""

    def send(self, records: Sequence[Record]) -> None:
        """Hand over all of them; what was handed over when StreamBroken is raised may come twice."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
