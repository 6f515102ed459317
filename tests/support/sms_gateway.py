"""An SMS service over real HTTPS on loopback: keeps what it was asked to send, and answers as told: errors, lies, slowness, a dropped connection."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from tests.support.certificates import PrivateAuthority, ServerCertificate

SECRET = "une-clef-de-passerelle-9f3b2c"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its method, path with the query, headers (lower-case names) and body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    @property
    def query(self) -> dict[str, str]:
        """The query."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer. `fault`: drop the connection before or after reading the request, or say nothing until released."""

    status: int = 200
    body: str = '{"status": "queued"}'
    headers: dict[str, str] = field(default_factory=dict)
    fault: Literal["", "drop", "hang", "cut"] = ""


class SmsGateway:
    """What arrived, and what to answer next: `answers` is used first in order, then `usual`."""

    def __init__(self, folder: Path, authority: PrivateAuthority | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = authority or PrivateAuthority(folder)
        self.answers: list[Answer] = []
        self.usual = Answer()
        self.port = 0
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self.released = threading.Event()

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Everything that arrived, oldest first."""
        with self._lock:
            return tuple(self._asked)

    @property
    def texts(self) -> list[str]:
        """The texts that arrived as JSON."""
        return [asked.json["text"] for asked in self.asked]

    def code(self) -> str:
        """The code in the newest text that holds one: notices come among them, in no order."""
        return next(text[:6] for text in reversed(self.texts) if text[:6].isdigit())

    def http(self, **override: Any) -> dict[str, Any]:
        """The `sms.http` section for it."""
        (self.folder / "sms.secret").write_text(SECRET, encoding="utf-8")
        return {
            "url": f"https://localhost:{self.port}/v1/messages",
            "headers": {"Authorization": "Bearer {secret}"},
            "body": {"to": "{to}", "from": "{sender}", "text": "{text}", "reference": "{id}"},
            "secret": f"file:{self.folder / 'sms.secret'}",
            "ca_file": str(self.authority.ca_file),
            "timeout": "10s",
            **override,
        }

    def settings(self, **override: Any) -> dict[str, Any]:
        """The `sms` section for it."""
        return {"http": self.http(), "prefixes": ["+336", "+337"], **override}

    def forget(self) -> None:
        """Nothing has arrived; answer well again."""
        with self._lock:
            self._asked.clear()
        self.answers.clear()
        self.usual = Answer()

    def take(self, asked: Asked) -> Answer:
        """Keep one request and choose its answer."""
        with self._lock:
            self._asked.append(asked)
            return self.answers.pop(0) if self.answers else self.usual


@contextmanager
def sms_gateway_serving(
    folder: Path, *, certificate: ServerCertificate | None = None, authority: PrivateAuthority | None = None, port: int = 0
) -> Iterator[SmsGateway]:
    """A service for the length of the block."""
    gateway = SmsGateway(folder, authority)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = gateway.take(Asked(self.command, self.path, headers, body))
            if answer.fault == "hang":
                gateway.released.wait(20)
            if answer.fault in {"hang", "drop"}:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            sent = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent) + (10 if answer.fault == "cut" else 0)))
            self.end_headers()
            self.wfile.write(sent)
            self.close_connection = answer.fault == "cut"

        def do_GET(self) -> None:
            self.do_POST()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            return  # clients that do not trust it, or do not wait

    chosen = certificate or gateway.authority.sign("gateway", names=("localhost",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chosen.certificate, chosen.key)
    with Server(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        gateway.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            gateway.released.set()
            server.shutdown()
            thread.join()
