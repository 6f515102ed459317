"""HTTPS to the provider: one exchange is connectors/https.py's; here is what an answer may be, and in which shape Authlib reads it.

Knows nothing of what is asked. `Wire.post` is also what Authlib's client is given as its session.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx

from connectors.base import Clock, SourceMisbehaved, SourceUnreachable
from connectors.https import exchange, open_client
from connectors.oidc.settings import OidcSettings, is_safe

MOST_BYTES = 1_000_000  # a key set with certificate chains, a person of many groups


class Authentication(Protocol):
    """What Authlib calls client authentication."""

    def prepare(self, method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
        """The request with our proof in it."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer below 500. The names are those that Authlib reads of a response."""

    status_code: int
    content_type: str
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status_code}, …)"

    def json(self) -> Any:
        """What the body says. Raises ValueError when it is not JSON."""
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    def raise_for_status(self) -> None:
        """Raise SourceMisbehaved unless it is a 2xx."""
        if not 200 <= self.status_code < 300:
            raise SourceMisbehaved(f"it answered {self.status_code}, and no JSON")


class Wire:
    """Connections to one provider. Safe to share between threads."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._opening = threading.Lock()
        self._http: httpx.Client | None = None

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask. Raises SourceUnreachable (no answer, 429, 5xx) or SourceMisbehaved (a redirect, too much, an address that may not be used)."""
        return self._answer("GET", url, {"Accept": "application/json", **(headers or {})}, None)

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Authentication) -> Answer:
        """Send a form, with our proof. Raises as `get`."""
        url, proven, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return self._answer("POST", url, proven, body.encode())

    def peek(self, url: str) -> tuple[int, str]:
        """The status of an answer and where it would send a browser ("" when nowhere). Raises SourceUnreachable or SourceMisbehaved."""
        status, headers, _ = self._exchange("GET", url, {"Accept": "text/html"}, None)
        return status, headers.get("Location", "") if 300 <= status < 400 else ""

    def read_object(self, url: str) -> dict[str, Any]:
        """A JSON object from an address. Raises as `get`, and SourceMisbehaved when it is none."""
        answer = self.get(url)
        if answer.status_code != 200:
            raise SourceMisbehaved(f"{url} answered {answer.status_code}")
        try:
            found = answer.json()
        except ValueError as error:
            raise SourceMisbehaved(f"{url} answered no JSON") from error
        if not isinstance(found, dict):
            raise SourceMisbehaved(f"{url} answered no JSON object")
        return found

    def close(self) -> None:
        """Let go of connections."""
        with self._opening:
            if self._http is not None:
                self._http.close()
                self._http = None

    def _client(self) -> httpx.Client:
        with self._opening:
            if self._http is None:
                self._http = open_client(self._settings.timeout, self._settings.ca_file)
            return self._http

    def _answer(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        status, answered, body = self._exchange(method, url, headers, content)
        if status < 200 or 300 <= status < 400:
            raise SourceMisbehaved(f"{urlsplit(url).hostname} answered {status} to {method} {urlsplit(url).path}")
        return Answer(status, answered.get("Content-Type", "").partition(";")[0].strip().lower(), body)

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
        if not is_safe(url.partition("?")[0]):
            raise SourceMisbehaved("its metadata names an address that is not https")
        client = self._client()
        try:
            request = client.build_request(method, url, headers=dict(headers), content=content)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise SourceMisbehaved("its metadata names an address that is none") from error
        where, longest = request.url.host, self._settings.timeout * 3
        status, answered, raw = exchange(client, request, where=where, clock=self._clock, most_bytes=MOST_BYTES, longest=longest)
        if status == 429 or status >= 500:
            raise SourceUnreachable(f"{where} answered {status}", trouble="unavailable")
        return status, answered, raw
