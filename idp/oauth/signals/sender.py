"""Pushing Security Event Tokens: RFC 8935, one POST an event, by the Deliverer of the outbox.

Owns one try and what its answer means. Taken is 202 (or 200, 204, which some frameworks make of it); 400 says by its `err` what is wrong, which is
kept for operators and tried again, for a key or a setting there may be mended. Redirects are never followed, and private addresses not reached.
"""

import json
from datetime import timedelta
from typing import Any

import httpx

from idp.audit import EventType, Reason
from idp.clock import Clock
from idp.crypto import Keyring
from idp.egress import AddressRefused
from idp.oauth.delivery import Receipt, Told
from idp.oauth.signals.collecting import is_code
from idp.oauth.signals.stream import AUTHORIZATION_SEAL
from idp.oauth.signals.token import make_token
from idp.oauth.tokens import Mint
from idp.signals import ABOUT_STREAM, ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED, VERIFY
from idp.store.base import Notice, Stream
from idp.store.database import Database
from idp.store.leases import Fenced

KIND = "set_push"
TAKEN = frozenset({200, 202, 204})
LARGEST_ANSWER = 4_096
STANDINGS = frozenset({ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED})


class SetSender:
    """Pushes events (delivery.Sender)."""

    told = Told(EventType.SIGNAL_DELIVERED, EventType.SIGNAL_RETRIED, EventType.SIGNAL_ABANDONED)

    def __init__(
        self,
        database: Database | Fenced,
        mint: Mint,
        keyring: Keyring,
        clock: Clock,
        *,
        issuer: str,
        timeout: timedelta,
        transport: httpx.BaseTransport,
    ) -> None:
        self._database = database
        self._mint = mint
        self._keyring = keyring
        self._clock = clock
        self._issuer = issuer
        self._http = httpx.Client(transport=transport, timeout=timeout.total_seconds(), follow_redirects=False, trust_env=False)

    def send(self, notice: Notice) -> Receipt:
        """See delivery.Sender."""
        with self._database.read() as tx:
            stream = tx.signals.get(notice.stream_id or "")
            client = tx.clients.get(notice.client_id)
        if stream is None or stream.ended_at is not None or client is None or client.ended_at is not None:
            return Receipt("hopeless", "the stream or its application is gone")
        if stream.delivery != "push" or stream.endpoint_url is None:
            # Changed while this was under way: it waits for the poll.
            return Receipt("failed", "the stream is polled now")
        if stream.status == "disabled":
            return Receipt("hopeless", "the stream is disabled")
        if notice.attempts > 0 and self._is_overtaken(notice):
            return Receipt("hopeless", "the application took a later one")
        is_of_stream = (notice.event or {}).get("type") in ABOUT_STREAM
        if stream.status == "paused" and not is_of_stream:
            return Receipt("failed", "the stream is paused")
        try:
            receipt = self._post(stream.endpoint_url, self._headers(stream), make_token(self._mint, self._issuer, notice))
        except AddressRefused as refused:
            return Receipt("failed", str(refused), Reason.ADDRESS_NOT_ALLOWED)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Receipt("failed", type(error).__name__)
        if receipt.outcome == "delivered" and (notice.event or {}).get("type") == VERIFY:
            with self._database.write() as tx:
                tx.signals.verify(stream.id, self._clock.now())
        return receipt

    def _is_overtaken(self, notice: Notice) -> bool:
        """Whether a try that comes late would undo what the application knows already: an account enabled after it was disabled again."""
        if (notice.event or {}).get("type") not in STANDINGS:
            return False
        with self._database.read() as tx:
            return any((later.event or {}).get("type") in STANDINGS for later in tx.signals.taken_since(notice))

    def close(self) -> None:
        """See delivery.Sender."""
        self._http.close()

    def _headers(self, stream: Stream) -> dict[str, str]:
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json", "Cache-Control": "no-store"}
        if stream.authorization_seal is not None:
            headers["Authorization"] = self._keyring.unseal(AUTHORIZATION_SEAL, stream.authorization_seal, stream.id).decode()
        return headers

    def _post(self, url: str, headers: dict[str, str], token: str) -> Receipt:
        with self._http.stream("POST", url, content=token.encode(), headers=headers) as answer:
            if answer.status_code in TAKEN:
                return Receipt("delivered", f"HTTP {answer.status_code}")
            code = _code(answer) if answer.status_code == 400 else None
            return Receipt("failed", f"HTTP {answer.status_code}{f' {code}' if code else ''}")


def _code(answer: httpx.Response) -> str | None:
    """The `err` of a refusal, when it is one of a short alphabet; whatever else is there may be endless, and is not read."""
    body = b""
    for part in answer.iter_bytes(LARGEST_ANSWER):
        body += part
        if len(body) >= LARGEST_ANSWER:
            return None
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = found.get("err") if isinstance(found, dict) else None
    return str(code) if is_code(code) else None
