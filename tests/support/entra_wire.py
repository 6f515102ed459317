"""How the stand-in for Entra is spoken to: answers, what goes wrong on the way, and the HTTPS server around it."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from tests.support.certificates import ServerCertificate

SESSION_COOKIE = "ESTSAUTH"
HUNG_SECONDS = 3


@dataclass
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> "Reply":
        return cls(status, json.dumps(value).encode(), headers={name.replace("_", "-"): text for name, text in headers.items()})

    @classmethod
    def page(cls, markup: str, status: int = 200) -> "Reply":
        return cls(status, markup.encode(), "text/html; charset=utf-8")

    @classmethod
    def to(cls, url: str) -> "Reply":
        return cls(302, headers={"Location": url})


@dataclass
class Fault:
    """What goes wrong with requests whose path holds `part`, `times` times. Status 0: the connection is dropped; -1: nothing comes for a while."""

    part: str
    status: int
    times: int
    headers: dict[str, str]
    body: bytes


class Service(Protocol):
    """What is served."""

    port: int

    def answer(self, method: str, path: str, query: dict[str, str], form: dict[str, str], headers: dict[str, str]) -> Reply | None: ...

    def date(self) -> str: ...


@contextmanager
def https_serving(service: Service, certificate: ServerCertificate, port: int = 0) -> Iterator[None]:
    """Serve on a free port (or that one) for the length of the block."""

    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        wbufsize = 65_536  # head and body in one piece: else each answer waits 40 ms for an acknowledgement
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def do_PATCH(self) -> None:
            self._do()

        def _do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length).decode()
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            form = {} if is_json else dict(parse_qsl(text, keep_blank_values=True))
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
            session = cookies[SESSION_COOKIE].value if SESSION_COOKIE in cookies else ""
            headers = {"authorization": self.headers.get("Authorization", ""), "session": session, "body": text if is_json else ""}
            reply = service.answer(self.command, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), form, headers)
            if reply is None or reply.status < 0:
                if reply is not None:
                    over.wait(HUNG_SECONDS)
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return service.date()

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            return  # clients that do not trust it, or do not wait

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with Server(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        service.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            server.shutdown()
            thread.join()
