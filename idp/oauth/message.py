"""Plain values in and out of the engine, so that it runs behind any web layer, and the one refusal of its machine endpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error

from idp.audit import Origin, Reason

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
JSON_TYPE = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True)
class ProtocolRequest:
    """A request to a machine endpoint. Pairs are decoded and in order; header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    form: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ProtocolResponse:
    """What to answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """What to send back to an application through the browser. `mode` is query or form_post; parameters include `iss`."""

    redirect_uri: str
    mode: str
    parameters: tuple[tuple[str, str], ...]


class Refusal(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """A machine endpoint refuses: an OAuth error code for the client, a reason code for the audit trail."""

    def __init__(self, error: str, reason: Reason, description: str | None = None, *, status: int = 400) -> None:
        super().__init__(description=description, status_code=status, error=error)
        self.reason = reason


def json_response(payload: Mapping[str, Any], status: int = 200, headers: tuple[tuple[str, str], ...] = NO_STORE) -> ProtocolResponse:
    """A JSON answer, never cached unless the caller says so."""
    return ProtocolResponse(status, json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(), (JSON_TYPE, *headers))


def single(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Parameters by name; a repeated one is refused, an empty one counts as absent (RFC 6749 section 3.2)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Refusal("invalid_request", Reason.DUPLICATE_PARAMETER, "A parameter appears more than once")
        found[name] = value
    return {name: value for name, value in found.items() if value}


class StandingStale(Exception):
    """The directory's last word on an account is too old to give anything on: let go of the transaction, ask, begin again."""

    def __init__(self, account_id: str) -> None:
        super().__init__(account_id)
        self.account_id = account_id
