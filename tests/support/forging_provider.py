"""An OpenID Provider over real HTTPS that says what a test tells it to say: forged, odd, late or endless answers. It signs with a key of its own.

What is not told is right: metadata, key set, an ID token for the nonce it was given, userinfo of the same person.
"""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import Key, RSAKey
from joserfc.jws import JWSRegistry

from tests.support.certificates import ServerCertificate
from tests.support.fixed_clock import FixedClock

Answer = tuple[int, bytes, dict[str, str]]


class ForgingProvider:
    """`claims` and `header` change the ID token (None takes one out), `token`, `metadata` and `said` the other answers; `raw` answers for a path."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.key: Key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.port = 0
        self.released = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Be right in everything again."""
        self.nonce: str | None = None
        self.subject = "marie"
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signing: Key = self.key
        self.alg = "RS256"
        self.token: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.said: dict[str, Any] = {}
        self.raw: dict[str, Answer] = {}
        self.slow: set[str] = set()
        self.received: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.released.clear()

    @property
    def issuer(self) -> str:
        """Where it is."""
        return f"https://localhost:{self.port}"

    def id_token(self) -> str:
        """The ID token as it would be given now."""
        now = self.clock.timestamp()
        claims = {"iss": self.issuer, "aud": "vestibule", "sub": self.subject, "iat": now, "exp": now + 300, "nonce": self.nonce}
        head = {"alg": self.alg, "kid": "first"}
        registry = JWSRegistry(algorithms=[self.alg], strict_check_header=False)
        return jwt.encode(_without_none(head | self.header), _without_none(claims | self.claims), self.signing, registry=registry)

    def answer(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """What a path answers."""
        self.received.append((path, dict(fields), dict(headers)))
        if path in self.slow:
            self.released.wait(10)
        if path in self.raw:
            return self.raw[path]
        made = {
            "/.well-known/openid-configuration": self._metadata,
            "/keys": lambda: {"keys": [self.key.as_dict(private=False)]},
            "/token": self._token,
            "/userinfo": lambda: _without_none({"sub": self.subject, "given_name": "Marie"} | self.said),
        }.get(path)
        return (404, b"", {}) if made is None else (200, json.dumps(made()).encode(), {"Content-Type": "application/json"})

    def _metadata(self) -> dict[str, Any]:
        usual = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return _without_none(usual | self.metadata)

    def _token(self) -> dict[str, Any]:
        usual = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": self.id_token()}
        return _without_none(usual | self.token)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def forging_provider_serving(clock: FixedClock, certificate: ServerCertificate) -> Iterator[ForgingProvider]:
    """The listener for the length of the block."""
    with https_serving(ForgingProvider(clock), certificate) as provider:
        yield provider


@contextmanager
def https_serving(provider: ForgingProvider, certificate: ServerCertificate) -> Iterator[ForgingProvider]:
    """Serve one over HTTPS with a certificate on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            self._answer(dict(parse_qsl(body, keep_blank_values=True)))

        def _answer(self, fields: Mapping[str, str]) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body, more = provider.answer(urlsplit(self.path).path, fields, headers)
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                self.close_connection = True  # who asked has gone

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            return  # a client that does not trust the certificate hangs up

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        provider.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.released.set()
            server.shutdown()
            thread.join()
