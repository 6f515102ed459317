"""SCIM at /scim/v2, answered straight from WSGI beside the machine endpoints: no pages, cookies or language.

Owns reading the request and the size that a body may have; what is answered is idp/scim's. Everything else goes on to the next application.
"""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import structlog

from idp.audit import Reason
from idp.clock import Clock
from idp.errors import StoreUnavailable
from idp.scim.endpoint import ROOT, Scim
from idp.scim.errors import ScimError
from idp.scim.message import LARGEST_GROUP, ScimRequest, ScimResponse, scim_response
from idp.web.machine import SECURITY, STATUS
from idp.web.origin import OriginReader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "HTTP_AUTHORIZATION": "authorization",
    "HTTP_IF_MATCH": "if-match",
    "HTTP_IF_NONE_MATCH": "if-none-match",
    "CONTENT_TYPE": "content-type",
}

log = structlog.get_logger(__name__)


class ScimEndpoints:
    """A WSGI application: SCIM here, the rest by `others`. `observe(route, status, seconds)` counts."""

    def __init__(
        self, scim: Scim, origins: OriginReader, others: "WSGIApplication", *, clock: Clock, observe: Callable[[str, int, float], None]
    ) -> None:
        self._scim = scim
        self._origins = origins
        self._others = others
        self._clock = clock
        self._observe = observe

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """One request (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            return self._others(environ, start_response)
        began = perf_counter()
        response = self._guarded(environ, path.removeprefix(ROOT))
        length = () if response.status in {204, 304} else (("Content-Length", str(len(response.body))),)
        start_response(STATUS.get(response.status, str(response.status)), [*response.headers, *SECURITY, *length])
        self._observe(ROOT, response.status, perf_counter() - began)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]

    def _guarded(self, environ: "WSGIEnvironment", path: str) -> ScimResponse:
        try:
            return self._answer(environ, path)
        except StoreUnavailable as error:
            log.error("store_unavailable", path=ROOT, request_id=self._origins.read(environ).request_id, detail=error.detail)
            refusal = ScimError(503, "Try again in a moment", reason=Reason.STORE_UNAVAILABLE)
            return scim_response(503, refusal.body, (("Retry-After", "5"),))
        except Exception:
            # The edge of the program: nothing was committed; the caller gets a code to quote, the log gets the rest.
            request_id = self._origins.read(environ).request_id
            log.exception("internal_error", path=ROOT, request_id=request_id)
            return scim_response(500, ScimError(500, f"Support code {request_id}", reason=Reason.INTERNAL_ERROR).body)

    def _answer(self, environ: "WSGIEnvironment", path: str) -> ScimResponse:
        request = ScimRequest(
            method="GET" if environ["REQUEST_METHOD"] == "HEAD" else environ["REQUEST_METHOD"],
            path=path,
            query=(),
            headers={name: environ[key] for key, name in HEADERS.items() if key in environ},
            body=b"",
            origin=self._origins.read(environ),
            heard_at=self._clock.now(),
        )
        try:
            request = _whole(environ, request)
        except ScimError as error:
            self._scim.record_refusal(request, error)
            return scim_response(error.status, error.body, error.headers)
        return self._scim.answer(request)


def _whole(environ: "WSGIEnvironment", request: ScimRequest) -> ScimRequest:
    """The request with its query and its body. Raises ScimError."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        query = tuple(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError as error:
        raise ScimError(400, "The request cannot be read", scim_type="invalidSyntax") from error
    if length < 0 or length > LARGEST_GROUP or ("HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH")):
        raise ScimError(413, "The body is too large or of unknown length", reason=Reason.TOO_LARGE)
    body = environ["wsgi.input"].read(length) if length else b""
    return ScimRequest(
        method=request.method,
        path=request.path,
        query=query,
        headers=request.headers,
        body=body,
        origin=request.origin,
        heard_at=request.heard_at,
    )
