"""A receiver of Security Event Tokens, written against the specifications and not against our code: RFC 8417, 8935, 8936, and Shared Signals 1.0.

It manages its own streams with an access token of client_credentials, listens for what is pushed, polls, and checks every token as a receiver must.
"""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.certificates import ServerCertificate
from tests.support.relying_party import RelyingParty
from tests.support.world import World

PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"


@dataclass(frozen=True, slots=True)
class Heard:
    """One verified event: its type, what it says, whom it is about, and the whole token."""

    type: str
    body: dict[str, Any]
    subject: dict[str, Any]
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pushed:
    """One POST as it came: path, headers (lower-case names) and body."""

    path: str
    headers: dict[str, str]
    body: str


class Ear:
    """What was pushed, and what to answer next: `answers` are used first in order (status, err), then 202."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pushed: list[Pushed] = []
        self.answers: list[tuple[int, str | None]] = []
        self.location: str | None = None
        self.port = 0
        self._may_answer = threading.Event()
        self._may_answer.set()

    def hold(self) -> None:
        """Take connections and answer nobody, until `let_go`."""
        self._may_answer.clear()

    def let_go(self) -> None:
        """Answer, those who wait too."""
        self._may_answer.set()

    @property
    def url(self) -> str:
        """Where events are pushed."""
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def pushed(self) -> tuple[Pushed, ...]:
        """Everything that came, oldest first."""
        with self._lock:
            return tuple(self._pushed)

    def take(self, pushed: Pushed) -> tuple[int, str | None]:
        """Keep one and choose its answer."""
        self._may_answer.wait(60)
        with self._lock:
            self._pushed.append(pushed)
            return self.answers.pop(0) if self.answers else (202, None)


@contextmanager
def hearing(certificate: ServerCertificate | None = None) -> Iterator[Ear]:
    """A listener on a free loopback port, until the end of the block; by HTTPS when it has a certificate."""
    ear = Ear()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            status, err = ear.take(Pushed(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            answer = json.dumps({"err": err, "description": "as the test says"}).encode() if err else b""
            self.send_response(status)
            if ear.location is not None:
                self.send_header("Location", ear.location)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        ear.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield ear
        finally:
            server.shutdown()
            thread.join()


class Receiver:
    """An application that receives events. `scope` is what its access token carries."""

    def __init__(self, world: World, key: str = "carnet", *, scope: str = "ssf.manage") -> None:
        self.party: RelyingParty = world.relying_party(key)
        self.client_id = world.registered[key].client_id
        self.issuer = world.issuer
        self.client = world.transport()
        self.metadata = self.client.get("/.well-known/ssf-configuration").json()
        if self.metadata["issuer"] != self.issuer:
            raise AssertionError("the transmitter is another one (section 7.2.4)")
        answer = self.party.client_credentials(scope=scope, resource=f"{self.issuer}/ssf")
        self.token = answer.json()["access_token"]
        self.seen: set[str] = set()

    def send(self, method: str, url: str, body: Any = None, *, token: str | None = None, **query: str) -> httpx.Response:
        """One request of the stream management API."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return (
            self.client.request(method, url, json=body, headers=headers, params=query)
            if body is not None
            else self.client.request(method, url, headers=headers, params=query)
        )

    def create(self, **values: Any) -> dict[str, Any]:
        """A new stream's configuration, checked as section 8.1.1.1.1 says."""
        answer = self.send("POST", self.metadata["configuration_endpoint"], values)
        if answer.status_code != 201:
            raise AssertionError(f"{answer.status_code} {answer.text}")
        made: dict[str, Any] = answer.json()
        if made["iss"] != self.issuer or made["aud"] != self.client_id:
            raise AssertionError("not from our transmitter, or not for us")
        return made

    def create_push(self, ear: Ear, **values: Any) -> dict[str, Any]:
        """A stream that is pushed to an ear."""
        delivery = {"method": PUSH, "endpoint_url": ear.url, "authorization_header": "Bearer said-by-the-receiver"}
        return self.create(delivery=delivery, **values)

    def poll(self, stream: dict[str, Any], **values: Any) -> dict[str, Any]:
        """One poll of RFC 8936: the verified events by jti; acknowledges nothing by itself."""
        answer = self.send("POST", stream["delivery"]["endpoint_url"], {"returnImmediately": True, **values})
        if answer.status_code != 200:
            raise AssertionError(f"{answer.status_code} {answer.text}")
        said = answer.json()
        return {jti: self.read(token) for jti, token in said["sets"].items()}

    def heard(self, ear: Ear) -> list[Heard]:
        """Everything that was pushed, checked as RFC 8935 section 2 and RFC 8417 section 2.2 say."""
        found = []
        for pushed in ear.pushed:
            if pushed.headers["content-type"] != "application/secevent+jwt" or pushed.headers["accept"] != "application/json":
                raise AssertionError("not as RFC 8935 section 2.1 says")
            if pushed.headers.get("authorization") != "Bearer said-by-the-receiver":
                raise AssertionError("without the header that the stream wants")
            found.append(self.read(pushed.body))
        return found

    def read(self, token: str) -> Heard:
        """One verified token."""
        keys = KeySet.import_key_set(self.client.get(self.metadata["jwks_uri"]).json())
        parsed = jwt.decode(token, keys, algorithms=["RS256"])
        claims = parsed.claims
        if parsed.header["typ"] != "secevent+jwt":
            raise AssertionError("another kind of token")
        if claims["iss"] != self.issuer or claims["aud"] != self.client_id or {"sub", "exp"} & claims.keys():
            raise AssertionError(f"not a Security Event Token for us: {claims}")
        if not isinstance(claims["jti"], str) or not isinstance(claims["iat"], int):
            raise AssertionError("jti and iat are required")
        ((uri, body),) = claims["events"].items()
        return Heard(uri, body, claims["sub_id"], claims)
