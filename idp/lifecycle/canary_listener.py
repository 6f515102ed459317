"""The canary's own application: a loopback listener that is told of logouts as any application is, and notes when.

Owns what arrived and when; it believes nothing that it is sent: an arrival counts only for a notice that the canary waits for (canary.py).
"""

import base64
import binascii
import json
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from idp.clock import Clock

PATH = "/canary"
LARGEST = 16_384
KEPT = 100


class CanaryListener:
    """Listens from `start` to `close`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived: dict[str, datetime] = {}
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> str:
        """Listen on a free port, unless it does already; where logouts are to be sent. Raises OSError."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", 0), _handler(self))
            threading.Thread(target=self._server.serve_forever, name="canary", daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def arrived(self, notice_id: str) -> datetime | None:
        """When a notice came; None while it has not."""
        with self._lock:
            return self._arrived.get(notice_id)

    def close(self) -> None:
        """Stop."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def note(self, notice_id: str) -> None:
        """A logout token with this jti has come."""
        now = self._clock.now()
        with self._lock:
            self._arrived.setdefault(notice_id, now)
            while len(self._arrived) > KEPT:
                del self._arrived[next(iter(self._arrived))]


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def _handler(listener: CanaryListener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """POST /canary (Back-Channel Logout 1.0 section 2.5)."""

        server_version = "vestibule"
        sys_version = ""
        timeout = 10

        def do_POST(self) -> None:
            """Note the jti; 400 for what is no logout token."""
            length = self.headers.get("Content-Length", "")
            notice_id = None
            if self.path == PATH and length.isascii() and length.isdecimal() and int(length) <= LARGEST:
                notice_id = _jti(self.rfile.read(int(length)))
            if notice_id is not None:
                listener.note(notice_id)
            self.send_response(400 if notice_id is None else 200)
            self.send_header("Content-Length", "0")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """The run itself says what came."""

    return Handler


def _jti(body: bytes) -> str | None:
    try:
        (token,) = parse_qs(body.decode("ascii"), strict_parsing=True)["logout_token"]
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    except (ValueError, KeyError, IndexError, TypeError, binascii.Error):
        return None
    return found if isinstance(found, str) else None
