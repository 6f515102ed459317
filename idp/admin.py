"""The admin listener: /metrics and /healthz for whoever watches over the program, on an address of its own that people never reach.

Runs on threads of the worker's process with the standard library's server: one scrape every few seconds needs no more. An address that is taken
is an error in the log and does not stop the jobs.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger(__name__)


class AdminListener:
    """Listens while it is entered. `address` is host:port or [v6]:port; `role` is one word about what is done here."""

    def __init__(self, address: str, *, render: Callable[[], bytes], is_alive: Callable[[], bool], role: Callable[[], str]) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._render = render
        self._is_alive = is_alive
        self._role = role
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        try:
            self._server = _server(self._address, _handler(self._render, self._is_alive, self._role))
        except OSError as error:
            log.error("admin_listener_failed", address=self._address[0], port=self._address[1], detail=str(error))
            return self
        threading.Thread(target=self._server.serve_forever, name="admin", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = AF_INET6


def _server(address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    return (_ServerV6 if ":" in address[0] else _Server)(address, handler)


def _handler(render: Callable[[], bytes], is_alive: Callable[[], bool], role: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """GET /metrics and GET /healthz."""

        server_version = "vestibule"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            """Answer."""
            if self.path == "/metrics":
                self._answer(200, render(), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/healthz":
                alive = is_alive()
                text = f"ok, {role()}\n" if alive else "the jobs are not going round\n"
                self._answer(200 if alive else 503, text.encode(), "text/plain; charset=utf-8")
            else:
                self._answer(404, b"not found\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a line each."""

    return Handler
