"""The endpoints of the transmitter: /ssf and what is below it, and its metadata (Shared Signals Framework 1.0 sections 7 and 8).

Who asks is a client with an access token that it got for itself (client_credentials) with the scope ssf.manage, or ssf.read for what only reads; it
sees its own streams alone. One transaction a request; a refusal changes nothing and is an Event.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config
from idp.config.signals import SCOPE_MANAGE, SCOPE_READ
from idp.crypto import Keyring
from idp.oauth.message import JSON_TYPE, NO_STORE, ProtocolResponse, json_response
from idp.oauth.signals.collecting import drop, poll
from idp.oauth.signals.message import SignalRefused, SignalRequest, bad, needed, read_object, text_of
from idp.oauth.signals.stream import POLL, PUSH, Streams
from idp.oauth.tokens import Mint
from idp.signals import VERIFY, about_stream
from idp.store.base import Stream
from idp.store.database import Database, Transaction

ROOT = "/ssf"
WELL_KNOWN = "/.well-known/ssf-configuration"
LONGEST_TOKEN = 16_384
LONGEST_STATE = 1_000
ReadMachine = Callable[[str, str], tuple[str, frozenset[str]] | None]
"""The client that an access token of client_credentials, made for us or for a resource, is about, and its scopes; None: no such token."""
Answer = tuple[int, Mapping[str, Any] | list[dict[str, Any]] | None]


class Signals:
    """Answers what applications ask of the transmitter."""

    def __init__(
        self, config: Config, database: Database, keyring: Keyring, clock: Clock, *, mint: Mint, read_machine: ReadMachine
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._mint = mint
        self._read_machine = read_machine
        self._root = f"{config.issuer}{ROOT}"
        self._streams = Streams(config, keyring, clock, root=self._root)
        self._metadata = json.dumps(metadata(config)).encode()

    def publish(self) -> ProtocolResponse:
        """GET of the metadata: the same for all."""
        headers = (JSON_TYPE, ("Cache-Control", "public, max-age=300"), ("Access-Control-Allow-Origin", "*"))
        return ProtocolResponse(200, self._metadata, headers)

    def answer(self, request: SignalRequest) -> ProtocolResponse:
        """One request below /ssf."""
        caller = None
        try:
            route, stream_id = self._route(request)
            caller = self._caller(request, reads=request.method == "GET" or route == "poll")
            with self._database.read() if request.method == "GET" else self._database.write() as tx:
                status, said = self._act(tx, request, route, caller=caller, stream_id=stream_id)
        except SignalRefused as refused:
            self.record_refusal(request, refused, client_id=caller)
            return refused.response
        if said is None:
            return ProtocolResponse(status, b"", NO_STORE)
        if isinstance(said, list):
            return ProtocolResponse(status, json.dumps(said).encode(), (JSON_TYPE, *NO_STORE))
        return json_response(said, status)

    def record_refusal(self, request: SignalRequest, refused: SignalRefused, *, client_id: str | None = None) -> None:
        """The Event of a request that changed nothing."""
        event = Event(
            type=EventType.STREAM_REFUSED,
            at=self._clock.now(),
            actor=f"client:{client_id}" if client_id else "anonymous",
            origin=request.origin,
            reason=refused.reason,
            client_id=client_id,
            details={"path": request.path[:60], "status": refused.status, "why": refused.description},
        )
        with self._database.write() as tx:
            tx.events.append(event)

    def _route(self, request: SignalRequest) -> tuple[str, str]:
        """What is asked for, and the stream that a path names."""
        route, stream_id = request.path.strip("/"), ""
        if route.startswith("poll/"):
            route, _, stream_id = route.partition("/")
        if route not in ROUTES:
            raise SignalRefused(404, "not_found", "There is nothing here")
        if request.method not in ROUTES[route]:
            raise SignalRefused(405, "invalid_request", "Not by this method", headers=(("Allow", ", ".join(ROUTES[route])),))
        return route, stream_id

    def _caller(self, request: SignalRequest, *, reads: bool) -> str:
        """The client that asks. Raises SignalRefused (401, 403), StoreUnavailable."""
        scheme, _, token = request.authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable():
            raise _unproven("Bearer")
        machine = self._read_machine(token, self._root)
        if machine is None:
            raise _unproven('Bearer error="invalid_token"')
        client_id, scopes = machine
        wanted = {SCOPE_MANAGE, SCOPE_READ} if reads else {SCOPE_MANAGE}
        if not wanted & scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{SCOPE_READ if reads else SCOPE_MANAGE}"'
            raise SignalRefused(
                403,
                "access_denied",
                "The token does not carry the scope that is needed",
                reason=Reason.INSUFFICIENT_SCOPE,
                headers=(("WWW-Authenticate", challenge),),
            )
        return client_id

    def _act(self, tx: Transaction, request: SignalRequest, route: str, *, caller: str, stream_id: str) -> Answer:
        if request.method == "GET" and route == "streams" and "stream_id" not in request.query:
            return 200, [self._streams.describe(stream) for stream in tx.signals.of_client(caller)]
        if request.method in {"GET", "DELETE"}:
            stream = self._streams.of(tx, caller, needed(request.query, "stream_id"))
            return self._look(stream, route) if request.method == "GET" else self._end(tx, request, stream)
        values = read_object(request.body) if request.body or route != "poll" else {}
        if route == "streams" and request.method == "POST":
            stream = self._streams.create(tx, caller, values)
            self._record(tx, request, EventType.STREAM_CREATED, stream, what=stream.delivery)
            return 201, self._streams.describe(stream)
        stream = self._streams.of(tx, caller, stream_id or needed(values, "stream_id"))
        if route == "poll":
            said = poll(tx, stream, values, mint=self._mint, issuer=self._config.issuer, origin=request.origin, clock=self._clock)
            return 200, said
        return self._change(tx, request, route, stream=stream, values=values)

    def _look(self, stream: Stream, route: str) -> Answer:
        return 200, self._streams.describe(stream) if route == "streams" else _status(stream)

    def _end(self, tx: Transaction, request: SignalRequest, stream: Stream) -> Answer:
        drop(tx, stream, why="the stream was deleted", clock=self._clock)
        self._streams.end(tx, stream)
        self._record(tx, request, EventType.STREAM_ENDED, stream, what="deleted")
        return 204, None

    def _change(self, tx: Transaction, request: SignalRequest, route: str, *, stream: Stream, values: dict[str, Any]) -> Answer:
        if route == "verify":
            self._verify(tx, stream, values)
            return 204, None
        if route in {"subjects/add", "subjects/remove"}:
            is_told = route == "subjects/add"
            tx.signals.set_subject(stream.id, self._subject(tx, stream, values), self._clock.now(), is_told=is_told)
            self._record(tx, request, EventType.STREAM_CHANGED, stream, what=route)
            return (200, None) if is_told else (204, None)
        if route == "status":
            changed = self._streams.set_status(tx, stream, values)
            if changed.status == "disabled":
                drop(tx, stream, why="the stream was disabled", clock=self._clock)
            self._record(tx, request, EventType.STREAM_CHANGED, changed, what=changed.status)
            return 200, _status(changed)
        act = self._streams.update if request.method == "PATCH" else self._streams.substitute
        changed = act(tx, stream, values)
        self._record(tx, request, EventType.STREAM_CHANGED, changed, what="configuration")
        return 200, self._streams.describe(changed)

    def _verify(self, tx: Transaction, stream: Stream, values: Mapping[str, Any]) -> None:
        tx.lock(f"streams {stream.client_id}")
        state = text_of(values, "state", longest=LONGEST_STATE)
        last = tx.signals.last_verification(stream.id)
        every = self._config.signals.verification_interval
        if last is not None and self._clock.now() - last < every:
            seconds = str(max(1, int(every.total_seconds())))
            raise SignalRefused(
                429, "too_many_requests", "Wait a moment", reason=Reason.VERIFIED_TOO_OFTEN, headers=(("Retry-After", seconds),)
            )
        about_stream(tx, stream, VERIFY, body={} if state is None else {"state": state}, clock=self._clock)

    def _subject(self, tx: Transaction, stream: Stream, values: Mapping[str, Any]) -> str:
        """The Account that a subject names: one that signed in to the application, by our own `iss` and `sub`; others look as if they were not."""
        subject = values.get("subject")
        if not isinstance(subject, dict):
            raise bad("subject must be an object")
        if subject.get("format") != "iss_sub":
            raise bad("subject.format must be iss_sub")
        account_id = needed(subject, "sub", longest=36)
        if subject.get("iss") != self._config.issuer or not tx.signals.knows(stream, account_id):
            raise SignalRefused(404, "not_found", "There is no such subject", reason=Reason.SUBJECT_UNKNOWN)
        return account_id

    def _record(self, tx: Transaction, request: SignalRequest, kind: EventType, stream: Stream, *, what: str) -> None:
        tx.events.append(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=f"client:{stream.client_id}",
                origin=request.origin,
                client_id=stream.client_id,
                details={"stream": stream.id, "what": what},
            )
        )


ROUTES: Mapping[str, tuple[str, ...]] = {
    "streams": ("GET", "POST", "PATCH", "PUT", "DELETE"),
    "status": ("GET", "POST"),
    "subjects/add": ("POST",),
    "subjects/remove": ("POST",),
    "verify": ("POST",),
    "poll": ("POST",),
}


def metadata(config: Config) -> dict[str, Any]:
    """The transmitter's metadata (section 7.1)."""
    root = f"{config.issuer}{ROOT}"
    return {
        "spec_version": "1_0",
        "issuer": config.issuer,
        "jwks_uri": f"{config.issuer}/jwks",
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": f"{root}/streams",
        "status_endpoint": f"{root}/status",
        "add_subject_endpoint": f"{root}/subjects/add",
        "remove_subject_endpoint": f"{root}/subjects/remove",
        "verification_endpoint": f"{root}/verify",
        "critical_subject_members": [],
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    }


def _status(stream: Stream) -> dict[str, str]:
    return {"stream_id": stream.id, "status": stream.status, **({"reason": stream.reason} if stream.reason else {})}


def _unproven(challenge: str) -> SignalRefused:
    headers = (("WWW-Authenticate", challenge),)
    return SignalRefused(401, "authentication_failed", "An access token is needed", reason=Reason.INVALID_TOKEN, headers=headers)
