"""Plain values in and out of the SCIM endpoints, so that they run behind any web layer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp.audit import Origin, Reason
from idp.scim.errors import ScimError, invalid

SCIM_JSON = "application/scim+json"
ACCEPTED_TYPES = frozenset({SCIM_JSON, "application/json", ""})
# A group that is written with all its members, some 40 bytes each.
LARGEST_GROUP = 2_097_152
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimRequest:
    """A request below /scim/v2: `path` is what follows it. Header names are in lower case. `heard_at`: when it reached us. `by`: what let it in."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    origin: Origin
    heard_at: datetime
    by: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters, each once. Raises ScimError."""
        found = dict(self.query)
        if len(found) != len(self.query):
            raise invalid("A parameter appears twice")
        return found

    def json(self, *, largest: int) -> Any:
        """The body, of `largest` bytes at most. Raises ScimError (413, invalidSyntax)."""
        if len(self.body) > largest:
            raise ScimError(413, f"The body has at most {largest} bytes", reason=Reason.TOO_LARGE)
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() not in ACCEPTED_TYPES:
            raise invalid(f"The body is of type {SCIM_JSON}", "invalidSyntax")
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise invalid("The body is not JSON", "invalidSyntax") from error


@dataclass(frozen=True, slots=True)
class ScimResponse:
    """What to answer."""

    status: int
    body: bytes
    headers: Headers


def scim_response(status: int, body: Mapping[str, Any] | None, headers: Headers = ()) -> ScimResponse:
    """A JSON answer, or none; never cached."""
    always: Headers = (("Cache-Control", "no-store"), *headers)
    if body is None:
        return ScimResponse(status, b"", always)
    encoded = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return ScimResponse(status, encoded, (("Content-Type", f"{SCIM_JSON}; charset=utf-8"), *always))
