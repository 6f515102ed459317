"""The Shared Signals endpoints at /ssf, answered straight from WSGI beside the machine endpoints: no pages, cookies or language.

Owns reading the request and the size that a body may have; what is answered is idp/oauth/signals'. Everything else goes on to the next application.
"""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import structlog

from idp.audit import Reason
from idp.errors import StoreUnavailable
from idp.oauth.message import NO_STORE, ProtocolResponse, json_response
from idp.oauth.signals.endpoint import ROOT, WELL_KNOWN, Signals
from idp.oauth.signals.message import SignalRefused, SignalRequest, bad
from idp.web.machine import LARGEST_BODY, SECURITY, STATUS
from idp.web.origin import OriginReader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)


class SignalEndpoints:
    """A WSGI application: Shared Signals here, the rest by `others`. `observe(route, status, seconds)` counts."""

    def __init__(
        self, signals: Signals, origins: OriginReader, others: "WSGIApplication", observe: Callable[[str, int, float], None]
    ) -> None:
        self._signals = signals
        self._origins = origins
        self._others = others
        self._observe = observe

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """One request (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        if path != WELL_KNOWN and path != ROOT and not path.startswith(f"{ROOT}/"):
            return self._others(environ, start_response)
        began = perf_counter()
        response = self._guarded(environ, path)
        length = () if response.status == 204 else (("Content-Length", str(len(response.body))),)
        start_response(STATUS.get(response.status, str(response.status)), [*response.headers, *SECURITY, *length])
        self._observe(WELL_KNOWN if path == WELL_KNOWN else ROOT, response.status, perf_counter() - began)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]

    def _guarded(self, environ: "WSGIEnvironment", path: str) -> ProtocolResponse:
        try:
            if path == WELL_KNOWN and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
                return self._signals.publish()
            return self._answer(environ, path)
        except StoreUnavailable as error:
            log.error("store_unavailable", path=ROOT, request_id=self._origins.read(environ).request_id, detail=error.detail)
            return json_response({"err": "temporarily_unavailable"}, 503, (*NO_STORE, ("Retry-After", "5")))
        except Exception:
            # The edge of the program: nothing was committed; the caller gets a code to quote, the log gets the rest.
            request_id = self._origins.read(environ).request_id
            log.exception("internal_error", path=ROOT, request_id=request_id)
            return json_response({"err": "server_error", "description": f"Support code {request_id}"}, 500)

    def _answer(self, environ: "WSGIEnvironment", path: str) -> ProtocolResponse:
        origin = self._origins.read(environ)
        method, below, authorization = environ["REQUEST_METHOD"], path.removeprefix(ROOT), environ.get("HTTP_AUTHORIZATION", "")
        try:
            query, body = _read(environ)
        except SignalRefused as refused:
            self._signals.record_refusal(SignalRequest(method, below, {}, "", b"", origin), refused)
            return refused.response
        return self._signals.answer(SignalRequest(method, below, query, authorization, body, origin))


def _read(environ: "WSGIEnvironment") -> tuple[dict[str, str], bytes]:
    """The query and the body of a request. Raises SignalRefused."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError as error:
        raise bad("The request cannot be read") from error
    if length < 0 or length > LARGEST_BODY or ("HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH")):
        raise SignalRefused(413, "invalid_request", "The body is too large or of unknown length", reason=Reason.TOO_LARGE)
    return query, environ["wsgi.input"].read(length) if length else b""
