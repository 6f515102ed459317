"""Microsoft Graph's notices at /graph/notifications/<provider>, answered straight from WSGI: no pages, cookies or language.

Owns the request: the token that Microsoft wants repeated when it makes a subscription, the size of a body, the answer at once. What a notice is worth
is idp/lifecycle/graph_notices.py's. Source: "Receive change notifications through webhooks". Everything else goes on to the next application.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

import structlog

from idp.audit import EventType, Origin, Reason
from idp.errors import StoreUnavailable
from idp.lifecycle.graph_notices import ROOT, GraphNotices
from idp.web.machine import SECURITY, STATUS
from idp.web.origin import OriginReader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST_BODY = 262_144
LONGEST_TOKEN = 2_048
MOST_NOTICES = 1_000
log = structlog.get_logger(__name__)


class Record(Protocol):
    """What writes one Event."""

    def __call__(self, kind: EventType, reason: Reason | None, *, origin: Origin, details: Mapping[str, str | int | bool | None]) -> None:
        """In a transaction of its own."""
        ...


class GraphEndpoints:
    """A WSGI application: the notices here, the rest by `others`. `record` writes a refusal's Event; `observe(route, status, seconds)` counts."""

    def __init__(
        self,
        notices: GraphNotices,
        origins: OriginReader,
        others: "WSGIApplication",
        *,
        record: Record,
        observe: Callable[[str, int, float], None],
    ) -> None:
        self._notices = notices
        self._origins = origins
        self._others = others
        self._record = record
        self._observe = observe

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """One request (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        if not path.startswith(f"{ROOT}/"):
            return self._others(environ, start_response)
        began = perf_counter()
        status, body = self._guarded(environ, path)
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), ("Content-Length", str(len(body)))]
        start_response(STATUS[status], [*headers, *SECURITY])
        self._observe(ROOT, status, perf_counter() - began)
        return [body]

    def _guarded(self, environ: "WSGIEnvironment", path: str) -> tuple[int, bytes]:
        try:
            return self._answer(environ, path)
        except StoreUnavailable as error:
            # Microsoft tells it again later; the worker asks meanwhile.
            log.error("store_unavailable", path=ROOT, request_id=self._origins.read(environ).request_id, detail=error.detail)
            return 503, b""
        except Exception:
            # The edge of the program: nothing was committed, the log gets the rest.
            log.exception("internal_error", path=ROOT, request_id=self._origins.read(environ).request_id)
            return 500, b""

    def _answer(self, environ: "WSGIEnvironment", path: str) -> tuple[int, bytes]:
        provider = path.removeprefix(f"{ROOT}/")
        if provider not in self._notices.providers:
            return 404, b""
        if environ["REQUEST_METHOD"] != "POST":
            return self._refuse(environ, 405, Reason.INVALID_REQUEST)
        tokens = parse_qs(environ.get("QUERY_STRING", "")).get("validationToken", [])
        if tokens:
            # Whoever asks gets back what they sent, as text: it gives nothing away and starts nothing.
            is_text = len(tokens[0]) <= LONGEST_TOKEN and tokens[0].isprintable()
            return (200, tokens[0].encode()) if is_text else self._refuse(environ, 400, Reason.INVALID_REQUEST)
        states = _states(environ)
        if isinstance(states, int):
            return self._refuse(environ, states, Reason.TOO_LARGE if states == 413 else Reason.INVALID_REQUEST)
        if not self._notices.receive(provider, states):
            return self._refuse(environ, 403, Reason.NOTICE_NOT_OURS)
        return 202, b""

    def _refuse(self, environ: "WSGIEnvironment", status: int, reason: Reason) -> tuple[int, bytes]:
        self._record(EventType.REQUEST_REFUSED, reason, origin=self._origins.read(environ), details={"path": ROOT, "status": status})
        return status, b""


def _states(environ: "WSGIEnvironment") -> tuple[str, ...] | int:
    """The secrets that a body's notices repeat; the status of a refusal when it cannot be read."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 400
    if not 0 < length <= LARGEST_BODY:
        return 413
    try:
        said = json.loads(environ["wsgi.input"].read(length))
    except (ValueError, RecursionError):
        return 400
    notices = said.get("value") if isinstance(said, dict) else None
    if not isinstance(notices, list) or not notices or len(notices) > MOST_NOTICES:
        return 400
    found = (one.get("clientState") for one in notices if isinstance(one, dict))
    # Half a character, which JSON can hold, is compared with nothing.
    return tuple(state for state in found if isinstance(state, str) and state.isascii())
