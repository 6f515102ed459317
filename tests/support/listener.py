"""A loopback HTTP listener that plays an application's back-channel logout endpoint: it keeps what it was sent and answers as told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Received:
    """One POST: path, headers (lower-case names), and form fields."""

    path: str
    headers: dict[str, str]
    fields: dict[str, list[str]]

    @property
    def logout_token(self) -> str:
        """The one logout token."""
        (token,) = self.fields["logout_token"]
        return token


class Listener:
    """What arrived, and what to answer next: `answers` is used first in order, then 200; `location` is sent with every answer when set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._received: list[Received] = []
        self._gate = threading.Event()
        self._gate.set()
        self.answers: list[int] = []
        self.location: str | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where applications are told."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> tuple[Received, ...]:
        """Everything that arrived, oldest first."""
        with self._lock:
            return tuple(self._received)

    def wait(self, count: int, seconds: float = 60.0) -> tuple[Received, ...]:
        """Wait for real deliveries (live servers only); AssertionError when fewer came in time."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._received) >= count, seconds):
                raise AssertionError(f"{len(self._received)} of {count} logout tokens came in {seconds} s")
            return tuple(self._received)

    def hold(self) -> None:
        """Be slow: keep what arrives from now on, and answer it only after `release`."""
        self._gate.clear()

    def release(self) -> None:
        """Answer what waits, and what comes."""
        self._gate.set()

    def clear(self) -> None:
        """Forget, and answer 200 at once again."""
        with self._lock:
            self._received.clear()
            self.answers.clear()
            self.location = None
        self.release()

    def take(self, received: Received) -> int:
        """Keep one POST and choose its answer's status."""
        with self._arrived:
            self._received.append(received)
            self._arrived.notify_all()
            status = self.answers.pop(0) if self.answers else 200
        self._gate.wait(60)
        return status


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port, until the end of the block."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = listener.take(Received(self.path, headers, parse_qs(body)))
            self.send_response(status)
            if listener.location is not None:
                self.send_header("Location", listener.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        listener.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
