"""The machine endpoints, answered straight from WSGI: /token, /introspect, /revoke, /userinfo, /jwks and discovery.

They have no pages, cookies or language, so Flask would only cost them time (docs/decisions). Everything else goes on to Flask.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import structlog

from idp.errors import StoreUnavailable
from idp.oauth.message import NO_STORE, ProtocolRequest, ProtocolResponse, json_response
from idp.oauth.provider import ENDPOINTS, PUBLISHED, Provider
from idp.web.origin import OriginReader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST_BODY = 65_536
FORM = "application/x-www-form-urlencoded"
STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
SECURITY = (("X-Content-Type-Options", "nosniff"),)

log = structlog.get_logger(__name__)


class MachineEndpoints:
    """A WSGI application: the machine endpoints here, the rest by `pages`. `observe(route, status, seconds)` counts."""

    def __init__(
        self, provider: Provider, origins: OriginReader, pages: "WSGIApplication", observe: Callable[[str, int, float], None]
    ) -> None:
        self._provider = provider
        self._origins = origins
        self._pages = pages
        self._observe = observe

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """One request (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        if path not in ENDPOINTS:
            return self._pages(environ, start_response)
        began = perf_counter()
        response = self._answer(environ, path)
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body
        headers = [*response.headers, *SECURITY, ("Content-Length", str(len(response.body)))]
        start_response(STATUS.get(response.status, str(response.status)), headers)
        self._observe(path, response.status, perf_counter() - began)
        return [body]

    def _answer(self, environ: "WSGIEnvironment", path: str) -> ProtocolResponse:
        if path in PUBLISHED and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._guarded(environ, path, lambda: self._provider.publish(path))
        return self._guarded(environ, path, lambda: self._judge(environ, path))

    def _judge(self, environ: "WSGIEnvironment", path: str) -> ProtocolResponse:
        origin = self._origins.read(environ)
        request = _read(environ, path, origin)
        if isinstance(request, ProtocolRequest):
            return self._provider.answer(request)
        self._provider.record_unreadable(path, request.status, origin)
        return request

    def _guarded(self, environ: "WSGIEnvironment", path: str, answer: Callable[[], ProtocolResponse]) -> ProtocolResponse:
        try:
            return answer()
        except StoreUnavailable as error:
            origin = self._origins.read(environ)
            log.error("store_unavailable", path=path, request_id=origin.request_id, detail=error.detail)
            return json_response({"error": "temporarily_unavailable"}, 503, (*NO_STORE, ("Retry-After", "5")))
        except Exception:
            # The edge of the program: nothing was committed; the caller gets a code to quote, the log gets the rest.
            origin = self._origins.read(environ)
            log.exception("internal_error", path=path, request_id=origin.request_id)
            return json_response({"error": "server_error", "error_description": f"Support code {origin.request_id}"}, 500)


def _read(environ: "WSGIEnvironment", path: str, origin: Any) -> ProtocolRequest | ProtocolResponse:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return json_response({"error": "invalid_request"}, 400)
    if length < 0 or length > LARGEST_BODY or ("HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH")):
        return json_response({"error": "invalid_request", "error_description": "The body is too large or of unknown length"}, 413)
    body = environ["wsgi.input"].read(length) if length else b""
    form: tuple[tuple[str, str], ...] = ()
    if body:
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != FORM:
            return json_response({"error": "invalid_request", "error_description": f"The body must be {FORM}"}, 415)
        try:
            form = _pairs(body.decode("utf-8"))
        except ValueError:
            return json_response({"error": "invalid_request", "error_description": "The body is not valid UTF-8 form data"}, 400)
    try:
        query = _pairs(environ.get("QUERY_STRING", ""))
    except ValueError:
        return json_response({"error": "invalid_request"}, 400)
    headers = {} if "HTTP_AUTHORIZATION" not in environ else {"authorization": environ["HTTP_AUTHORIZATION"]}
    return ProtocolRequest(environ["REQUEST_METHOD"], path, query, form, headers, origin)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)) if text else ()
