"""Plain values in and out of the Shared Signals endpoints, and their one refusal.

Bodies are JSON objects; errors are said as in RFC 8935 section 2.3.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from idp.audit import Origin, Reason
from idp.oauth.message import NO_STORE, ProtocolResponse, json_response

LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """A request below /ssf. `path` is what comes after it; `authorization` the header, "" when there is none."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str
    body: bytes
    origin: Origin


class SignalRefused(Exception):
    """A request is refused: a status and a code for the application, a reason for the audit trail. `details` repeat nothing secret."""

    def __init__(
        self,
        status: int,
        error: str,
        description: str,
        *,
        reason: Reason = Reason.INVALID_REQUEST,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description
        self.reason = reason
        self.headers = headers

    @property
    def response(self) -> ProtocolResponse:
        """As the application is told."""
        return json_response({"err": self.error, "description": self.description}, self.status, (*NO_STORE, *self.headers))


def unknown_stream() -> SignalRefused:
    """No such stream of this application: one of another's looks the same."""
    return SignalRefused(404, "not_found", "There is no such stream", reason=Reason.STREAM_UNKNOWN)


def bad(description: str) -> SignalRefused:
    """The request cannot be taken as it is."""
    return SignalRefused(400, "invalid_request", description)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises SignalRefused."""
    try:
        found = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise bad("The body is not JSON") from error
    if not isinstance(found, dict):
        raise bad("The body must be a JSON object")
    return found


def text_of(values: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    """A text of printable characters, or None when there is none. Raises SignalRefused."""
    found = values.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or len(found) > longest or not found.isprintable():
        raise bad(f"{name} must be a printable text of at most {longest} characters")
    return found


def needed(values: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str:
    """A text that must be there. Raises SignalRefused."""
    found = text_of(values, name, longest=longest)
    if not found:
        raise bad(f"{name} is missing")
    return found
