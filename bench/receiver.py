"""An application's back-channel logout endpoint: it notes when each person's logout token arrives, and answers 200 at once.

A thread of the generator's process, on its core; the signature is not verified (the application of tests/support/relying_party.py does).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Receiver:
    """What has arrived: seconds since 1970 by `sub`, the first of each person."""

    def __init__(self) -> None:
        self._arrived: dict[str, float] = {}
        self._changed = threading.Condition()
        self.port = 0

    @property
    def url(self) -> str:
        """Where logout tokens go."""
        return f"http://127.0.0.1:{self.port}/backchannel-logout"

    def note(self, body: bytes) -> None:
        """A request's body."""
        at = time.time()
        subject = claims(parse_qs(body.decode("ascii"))["logout_token"][0])["sub"]
        with self._changed:
            self._arrived.setdefault(subject, at)
            self._changed.notify_all()

    def wait(self, subject: str, seconds: float) -> float | None:
        """When this person's arrived; None: not within `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: subject in self._arrived, seconds)
            return self._arrived.get(subject)

    def count(self) -> int:
        """How many people's have arrived."""
        with self._changed:
            return len(self._arrived)


def claims(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver, for the length of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.note(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
