"""A stream as its application sees and changes it: create, read, update, replace, delete, and its status (Shared Signals Framework 1.0 section 8.1).

Works in the request's transaction, on the streams of one application. What the application says is read here, once; the Authorization header that it
wants on what we push is sealed and never shown again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from idp.audit import Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.oauth.signals.message import SignalRefused, bad, needed, text_of, unknown_stream
from idp.signals import SENT_AS, SUPPORTED, delivered
from idp.store.base import Stream
from idp.store.database import Transaction
from policies.egress import may_reach

PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
METHODS: Mapping[str, Literal["push", "poll"]] = {PUSH: "push", POLL: "poll"}
AUTHORIZATION_SEAL = "stream authorization"
LONGEST_URL = 2_000
LONGEST_HEADER = 4_000
MOST_EVENTS = 50
STATUSES = ("enabled", "paused", "disabled")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a stream is to be delivered."""

    method: Literal["push", "poll"]
    endpoint_url: str | None = None
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Delivery({self.method}, {self.endpoint_url}, …)"


class Streams:
    """The streams of applications."""

    def __init__(self, config: Config, keyring: Keyring, clock: Clock, *, root: str) -> None:
        """`root`: where the endpoints are."""
        self._config = config
        self._keyring = keyring
        self._clock = clock
        self._root = root

    def describe(self, stream: Stream) -> dict[str, Any]:
        """The configuration of a stream, as its application reads it."""
        said = {
            "stream_id": stream.id,
            "iss": self._config.issuer,
            "aud": stream.client_id,
            "events_supported": list(SUPPORTED),
            "events_requested": list(stream.events_requested),
            "events_delivered": list(delivered(stream)),
            "delivery": {"method": PUSH if stream.delivery == "push" else POLL, "endpoint_url": self._address(stream)},
            "min_verification_interval": int(self._config.signals.verification_interval.total_seconds()),
            "description": stream.description,
        }
        left_out = {"events_requested"} if not stream.events_requested else set()
        left_out |= {"description"} if not stream.description else set()
        return {name: value for name, value in said.items() if name not in left_out}

    def of(self, tx: Transaction, client_id: str, stream_id: str) -> Stream:
        """A stream of an application. Raises SignalRefused."""
        found = tx.signals.get(stream_id)
        if found is None or found.client_id != client_id or found.ended_at is not None:
            raise unknown_stream()
        return found

    def create(self, tx: Transaction, client_id: str, values: Mapping[str, Any]) -> Stream:
        """Make one. Raises SignalRefused."""
        tx.lock(f"streams {client_id}")
        if len(tx.signals.of_client(client_id)) >= self._config.signals.streams_per_client:
            raise SignalRefused(409, "stream_limit", "There are as many streams as there may be", reason=Reason.STREAM_LIMIT)
        now = self._clock.now()
        delivery = self._delivery(values.get("delivery"))
        stream = Stream(
            id=self._clock.new_id(),
            client_id=client_id,
            status="enabled",
            reason="",
            delivery=delivery.method,
            endpoint_url=delivery.endpoint_url,
            authorization_seal=None,
            events_requested=_events(values),
            description=text_of(values, "description") or "",
            verified_at=None,
            created_at=now,
            changed_at=now,
        )
        stream = replace(stream, authorization_seal=self._seal(delivery, stream.id))
        tx.signals.add(stream)
        return stream

    def update(self, tx: Transaction, stream: Stream, values: Mapping[str, Any]) -> Stream:
        """Change what is named, and leave the rest (PATCH). Raises SignalRefused."""
        self._check_ours(stream, values)
        changed: dict[str, Any] = {}
        if "events_requested" in values:
            changed["events_requested"] = _events(values)
        if "description" in values:
            changed["description"] = text_of(values, "description") or ""
        if "delivery" in values:
            changed |= self._delivered(stream, values["delivery"])
        return self._change(tx, stream, changed)

    def substitute(self, tx: Transaction, stream: Stream, values: Mapping[str, Any]) -> Stream:
        """Change everything that is the application's to say: what is not named goes (PUT). Raises SignalRefused."""
        self._check_ours(stream, values)
        changed = {"events_requested": _events(values), "description": text_of(values, "description") or ""}
        return self._change(tx, stream, changed | self._delivered(stream, values.get("delivery")))

    def end(self, tx: Transaction, stream: Stream) -> None:
        """Delete it; whoever calls has given up what waits for it."""
        now = self._clock.now()
        tx.signals.change(stream.id, now, ended_at=now, authorization_seal=None)

    def set_status(self, tx: Transaction, stream: Stream, values: Mapping[str, Any]) -> Stream:
        """Enable, pause or disable it. Raises SignalRefused."""
        status = needed(values, "status")
        if status not in STATUSES:
            raise bad(f"status must be one of {', '.join(STATUSES)}")
        changed = replace(stream, status=cast(Literal["enabled", "paused", "disabled"], status), reason=text_of(values, "reason") or "")
        now = self._clock.now()
        tx.signals.change(stream.id, now, status=changed.status, reason=changed.reason)
        if changed.status == "enabled" and stream.status != "enabled":
            tx.signals.let_go(stream.id, now, kind=SENT_AS[stream.delivery])
        elif changed.status == "paused":
            tx.signals.hold_back(stream.id)
        return changed

    def _change(self, tx: Transaction, stream: Stream, changed: Mapping[str, Any]) -> Stream:
        now = self._clock.now()
        tx.signals.change(stream.id, now, **changed)
        fresh = replace(stream, changed_at=now, **changed)
        if fresh.delivery != stream.delivery and fresh.status == "enabled":
            tx.signals.let_go(stream.id, now, kind=SENT_AS[fresh.delivery])
        return fresh

    def _delivered(self, stream: Stream, value: Any) -> dict[str, Any]:
        delivery = self._delivery(value, own=self._poll_url(stream.id))
        is_elsewhere = (delivery.method, delivery.endpoint_url) != (stream.delivery, stream.endpoint_url)
        return {
            "delivery": delivery.method,
            "endpoint_url": delivery.endpoint_url,
            "authorization_seal": self._seal(delivery, stream.id),
            # What was verified was the other address.
            **({"verified_at": None} if is_elsewhere else {}),
        }

    def _delivery(self, value: Any, *, own: str | None = None) -> Delivery:
        if value is None:
            return Delivery("poll")
        if not isinstance(value, dict):
            raise bad("delivery must be an object")
        method = METHODS.get(needed(value, "method"))
        if method is None:
            raise bad(f"delivery.method must be {PUSH} or {POLL}")
        if method == "poll":
            # The address is ours to say; saying it back is no mistake.
            if value.get("endpoint_url") not in {None, own}:
                raise bad("delivery.endpoint_url is the transmitter's to say where events are polled")
            return Delivery("poll")
        authorization = value.get("authorization_header")
        if authorization is not None and not _is_header(authorization):
            raise bad("delivery.authorization_header must be the value of one header")
        return Delivery("push", self._push_url(needed(value, "endpoint_url", longest=LONGEST_URL)), authorization)

    def _push_url(self, url: str) -> str:
        """An address of the application's. A name is looked up when it is sent to (idp/egress.py). Raises SignalRefused."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise bad("delivery.endpoint_url is not a URL") from error
        host = parts.hostname or ""
        if not url.isascii() or " " in url or "\\" in url or parts.fragment or "#" in url or parts.username is not None or not host:
            raise bad("delivery.endpoint_url must be one URL without a fragment or credentials")
        if parts.scheme != "https" and not (parts.scheme == "http" and host in {"127.0.0.1", "::1"}):
            raise bad("delivery.endpoint_url must use https")
        try:
            address = ip_address(host)
        except ValueError:
            return url
        if not may_reach(address, self._config.reachable_networks):
            raise SignalRefused(400, "invalid_request", "delivery.endpoint_url may not be reached", reason=Reason.ADDRESS_NOT_ALLOWED)
        return url

    def _seal(self, delivery: Delivery, stream_id: str) -> bytes | None:
        if delivery.authorization is None:
            return None
        return self._keyring.seal(AUTHORIZATION_SEAL, delivery.authorization.encode(), stream_id)

    def _check_ours(self, stream: Stream, values: Mapping[str, Any]) -> None:
        """What is ours to say may be repeated, and must be as it is (section 8.1.1.3)."""
        present = self.describe(stream)
        for name in ("iss", "aud", "events_supported", "events_delivered", "min_verification_interval"):
            if name in values and values[name] != present[name]:
                raise bad(f"{name} is the transmitter's to say")

    def _address(self, stream: Stream) -> str | None:
        return stream.endpoint_url if stream.delivery == "push" else self._poll_url(stream.id)

    def _poll_url(self, stream_id: str) -> str:
        return f"{self._root}/poll/{stream_id}"


def _events(values: Mapping[str, Any]) -> tuple[str, ...]:
    found = values.get("events_requested")
    if found is None:
        return ()
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_EVENTS:
        raise bad(f"events_requested must be a list of 1 to {MOST_EVENTS} event types")
    if not all(isinstance(uri, str) and 0 < len(uri) <= LONGEST_URL and uri.isprintable() for uri in found):
        raise bad("events_requested must hold event types")
    return tuple(dict.fromkeys(found))


def _is_header(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_HEADER and value.isascii() and value.isprintable()
