"""Raw WSGI requests, as hostile as a socket allows, and what every answer must nevertheless be.

httpx and werkzeug's client repair what they send; here the query string, the headers and the body go in as they are.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

MARKER = "<x7q>"
LONGEST_HEADERS = 16_384
TRACES = ("Traceback (most recent", 'File "/', "sqlalchemy", "werkzeug", "jinja2", "sqlite3", "authlib", "joserfc")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first of that name, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Wire:
    """Sends to a WSGI application and counts. `sites` are the only origins a redirect may lead to besides our own paths."""

    def __init__(self, application: WSGIApplication, issuer: str, sites: frozenset[str]) -> None:
        self._application = application
        self._issuer = issuer
        self._sites = sites | {issuer}
        self.sent = 0

    def send(
        self, method: str, path: str, *, query: bytes = b"", body: bytes = b"", headers: Sequence[tuple[str, bytes]] = (), **environ: str
    ) -> Answer:
        """One request; header values are bytes, as on the wire. `environ` replaces what is derived."""
        self.sent += 1
        parts = urlsplit(self._issuer)
        values: dict[str, object] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path.encode("utf-8", "surrogatepass").decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": parts.hostname or "",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": parts.netloc,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": parts.scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if body:
            values["CONTENT_LENGTH"] = str(len(body))
        for name, value in headers:
            key = name.upper().replace("-", "_")
            values[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value.decode("latin-1")
        values.update(environ)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, sent: list[tuple[str, str]], exc_info: object = None) -> None:
            started.append((status, sent))

        iterable = self._application(values, start)  # type: ignore[arg-type]  # the protocol's third parameter is never used
        try:
            content = b"".join(iterable)
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        status, sent = started[-1]
        return Answer(int(status[:3]), tuple(sent), content)

    def check(self, answer: Answer, request: Mapping[str, object]) -> None:
        """No server error, nothing of the inside, no markup of theirs, sound headers, no way to a stranger's site."""
        assert 200 <= answer.status < 500, (answer.status, request, answer.body[:400])
        text = answer.body.decode("utf-8", "strict" if "text" in answer.header("Content-Type") else "replace")
        assert MARKER not in text, ("reflected markup", request)
        for trace in TRACES:
            assert trace not in text, (trace, request)
        assert sum(len(name) + len(value) for name, value in answer.headers) < LONGEST_HEADERS, ("headers", request)
        for name, value in answer.headers:
            assert HEADER_NAME.fullmatch(name), (name, request)
            assert all(" " <= character <= "~" for character in value), (name, value, request)
            assert "<" not in value or name == "Content-Security-Policy", (name, value, request)
        assert answer.header("X-Content-Type-Options") == "nosniff", request
        location = answer.header("Location")
        if location:
            parts = urlsplit(location)
            origin = f"{parts.scheme}://{parts.netloc}"
            assert (not parts.scheme and not parts.netloc and location.startswith("/")) or origin in self._sites, (location, request)
        if "html" in answer.header("Content-Type"):
            policy = answer.header("Content-Security-Policy")
            assert "default-src 'none'" in policy or "default-src 'self'" in policy, (policy, request)
            assert "unsafe" not in policy

    def check_json(self, answer: Answer, request: Mapping[str, object]) -> None:
        """The same, of a machine endpoint: a JSON object always (or a signed userinfo, which no hostile request earns)."""
        self.check(answer, request)
        assert answer.header("Content-Type") == "application/json", request
        if answer.body:
            assert isinstance(json.loads(answer.body), dict), request
