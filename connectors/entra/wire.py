"""HTTPS to Entra and to Graph: one client of our own, for msal too, so that no variable of the environment changes what is verified.

Owns what an answer may be (JSON, which statuses) and Retry-After; one exchange is connectors/https.py's. Knows nothing of what is asked. Passes
through connectors/breaker.py.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from connectors.base import Clock, SourceMisbehaved, SourceUnreachable
from connectors.breaker import Guard
from connectors.entra.settings import EntraSettings
from connectors.https import exchange, open_client

MOST_BYTES = 4_000_000  # a page of 999 groups
# Over the Internet half a second is usual; and a code cannot be brought twice: better to wait than to send the person there again.
SLOT_WAIT, SLOW = timedelta(seconds=3), timedelta(seconds=2)
LONGEST_REST = timedelta(minutes=5)
USUAL_REST = timedelta(seconds=5)
UNREAD_ID_TOKEN = "unread_id_token"  # noqa: S105 - a member's name


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whose `body` is a JSON object (empty when it is none); what is below 200 or at least 500, and 429, never comes this far."""

    status: int
    body: Mapping[str, Any]
    said_at: datetime | None = None  # by their clock

    def __repr__(self) -> str:
        return f"Answer({self.status}, …)"  # bodies hold tokens


class Wire:
    """Connections to one of the two services, `Entra` or `Graph`. Safe to share between threads."""

    def __init__(self, service: Literal["Entra", "Graph"], settings: EntraSettings, clock: Clock) -> None:
        self.service = service
        self._clock = clock
        self._timeout = settings.timeout
        self._guard = Guard(
            service,
            clock,
            concurrency=settings.concurrency,
            failures=settings.failures,
            pause=settings.pause,
            slot_wait=SLOT_WAIT,
            lookup_wait=SLOT_WAIT,
            slow=SLOW,
        )
        self._settings = settings
        self._http: httpx.Client | None = None
        self._opening = threading.Lock()

    @contextmanager
    def passage(self, *, of: Literal["sign_in", "question"]) -> Iterator[None]:
        """What is asked inside counts as one try of the service. Raises SourceUnreachable when it is being left alone, or busy."""
        with self._guard.passage() if of == "sign_in" else self._guard.lookup_passage():
            yield

    @contextmanager
    def departure(self, *, asks: bool) -> Iterator[None]:
        """A sign-in's passage when something will be asked; else only whether the service is being left alone: it must not count as an answer."""
        if asks:
            with self.passage(of="sign_in"):
                yield
            return
        if self._guard.is_paused:
            raise SourceUnreachable(f"{self.service} is left alone after failing", trouble="paused")
        yield

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask. Raises SourceUnreachable (no answer, 429, 5xx) or SourceMisbehaved (no JSON, a redirect, too much)."""
        return self._answer("GET", url, headers, {})

    def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form. Raises as `get`."""
        return self._answer("POST", url, headers, {"data": dict(form)})

    def send(
        self, method: Literal["POST", "PATCH"], url: str, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a JSON object. Raises as `get`."""
        return self._answer(method, url, headers, {"json": dict(body)})

    def look(self, url: str) -> tuple[int, str, str]:
        """What a browser would be shown, for `connector check`: status, Location and text. Raises as `get`."""
        status, headers, raw = self._exchange("GET", url, {"Accept": "text/html"}, {})
        return status, headers.get("Location", ""), raw.decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _client(self) -> httpx.Client:
        with self._opening:
            if self._http is None:
                self._http = open_client(self._timeout, self._settings.ca_file, proxy=self._settings.proxy)
            return self._http

    def _answer(self, method: str, url: str, headers: Mapping[str, str] | None, content: dict[str, Any]) -> Answer:
        status, answered, raw = self._exchange(method, url, headers, content)
        where = f"{self.service} ({urlsplit(url).hostname})"
        if status == 429 or status >= 500:
            self._rest(answered.get("Retry-After"), is_throttled=status == 429)
            raise SourceUnreachable(f"{where} answered {status}", trouble="unavailable")
        if status < 200 or 300 <= status < 400:
            raise SourceMisbehaved(f"{where} answered {status} to {method} {urlsplit(url).path}")
        return Answer(status, _object(raw, where, is_needed=status < 300), _date(answered.get("Date")))

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: dict[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        client = self._client()
        try:
            request = client.build_request(method, url, headers=dict(headers or {}), **content)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise SourceMisbehaved(f"{self.service} named an address that is none") from error
        where = f"{self.service} ({request.url.host})"
        return exchange(client, request, where=where, clock=self._clock, most_bytes=MOST_BYTES, longest=self._timeout * 3)

    def _rest(self, retry_after: str | None, *, is_throttled: bool) -> None:
        """Seconds only (RFC 9110 section 10.2.3), as Microsoft writes it; a stranger's clock is not believed, nor a rest without end."""
        said = (retry_after or "").strip()
        if said.isascii() and said.isdecimal() and len(said) < 8:
            self._guard.leave_alone(min(timedelta(seconds=int(said)), LONGEST_REST))
        elif is_throttled:
            self._guard.leave_alone(USUAL_REST)


class ForMsal:
    """The HTTP client that msal is given (its http_client): ours, and it keeps the ID token from msal.

    msal reads an ID token that it does not verify, raises with its content in the text and would be taken for a check (facts: only nonce and state).
    It is handed over under another name, for connectors/id_token.py alone.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get(self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object) -> "MsalAnswer":
        """As msal asks for metadata."""
        return MsalAnswer(self._wire.get(str(httpx.URL(url, params=dict(params))) if params else url, headers=headers))

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> "MsalAnswer":
        """As msal sends a token request."""
        target = str(httpx.URL(url, params=dict(params))) if params else url
        form = {name: value.decode("ascii") if isinstance(value, bytes) else str(value) for name, value in (data or {}).items()}
        return MsalAnswer(self._wire.post(target, form, headers=headers))

    def close(self) -> None:
        """The wire is closed by its owner."""


class MsalAnswer:
    """An answer in the shape that msal reads."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        renamed = {UNREAD_ID_TOKEN if name == "id_token" else name: value for name, value in answer.body.items()}
        self.text = json.dumps(renamed)
        self.headers: dict[str, str] = {}

    def raise_for_status(self) -> None:
        """What msal must not read was raised by the wire."""
        if self.status_code >= 400:
            raise SourceUnreachable(f"Entra answered {self.status_code}", trouble="unavailable")


def origin_of(url: str) -> tuple[str, str]:
    """Scheme and place of an address, to compare."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def _date(value: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _object(raw: bytes, where: str, *, is_needed: bool) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        if is_needed:
            raise SourceMisbehaved(f"{where}: an answer that is no JSON") from error
        return {}
    if not isinstance(found, dict):
        if is_needed:
            raise SourceMisbehaved(f"{where}: an answer that is no JSON object")
        return {}
    return found
