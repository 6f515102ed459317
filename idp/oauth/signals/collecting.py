"""What waits for a stream and is not pushed: polled for and acknowledged (RFC 8936), or given up when nobody comes for it.

Works in the caller's transaction. An event is handed out at every poll until it is acknowledged; what an application answers of one is its receipt.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.oauth.signals.message import bad
from idp.oauth.signals.token import make_token
from idp.oauth.tokens import Mint
from idp.signals import VERIFY
from idp.store.base import Notice, Stream
from idp.store.database import Transaction

MOST_AT_ONCE = 100
MOST_ANSWERS = 1_000


def poll(
    tx: Transaction, stream: Stream, values: Mapping[str, Any], *, mint: Mint, issuer: str, origin: Origin, clock: Clock
) -> dict[str, Any]:
    """Take acknowledgements and errors, hand out what waits. Answers at once, also when there is nothing (docs/decisions). Raises SignalRefused."""
    limit = _limit(values)
    acknowledged, refused = _acknowledged(values), _refused(values)
    for notice in tx.signals.waiting_among(stream.id, acknowledged):
        settle(tx, notice, origin, receipt="acknowledged", clock=clock)
    for notice in tx.signals.waiting_among(stream.id, tuple(refused)):
        settle(tx, notice, origin, receipt=f"refused: {refused[notice.id]}", clock=clock, reason=Reason.DELIVERY_FAILED)
    # What a pause holds back is not among them.
    waiting = tx.signals.waiting(stream.id, limit=limit + 1)
    sets = {notice.id: make_token(mint, issuer, notice) for notice in waiting[:limit]}
    return {"sets": sets, **({"moreAvailable": True} if len(waiting) > limit else {})}


def settle(tx: Transaction, notice: Notice, origin: Origin, *, receipt: str, clock: Clock, reason: Reason | None = None) -> None:
    """An event is done with: acknowledged, or (with a `reason`) given up."""
    now = clock.now()
    if reason is None:
        tx.outbox.delivered(notice.id, now, receipt)
    else:
        tx.outbox.abandon(notice.id, now, receipt)
    if reason is None and notice.stream_id is not None and (notice.event or {}).get("type") == VERIFY:
        tx.signals.verify(notice.stream_id, now)
    tx.events.append(
        Event(
            type=EventType.SIGNAL_DELIVERED if reason is None else EventType.SIGNAL_ABANDONED,
            at=now,
            actor=f"client:{notice.client_id}" if reason in {None, Reason.DELIVERY_FAILED} else "system",
            origin=origin,
            reason=reason,
            account_id=notice.account_id or None,
            client_id=notice.client_id,
            session_id=notice.session_id,
            details={"notice": notice.id, "receipt": receipt},
        )
    )


def give_up(tx: Transaction, before: datetime, origin: Origin, *, most: int, clock: Clock, limit: int = 200) -> int:
    """Give up what was written before an instant and nobody came for, and the oldest of a stream for which more than `most` wait; how many."""
    old = tx.signals.uncollected(before, limit=limit)
    for notice in old:
        settle(tx, notice, origin, receipt="not collected", clock=clock, reason=Reason.SIGNAL_NOT_COLLECTED)
    given_up = len(old)
    for stream_id, surplus in tx.signals.overfull(most).items():
        for notice in tx.signals.open_of(stream_id, limit=min(surplus, limit)):
            settle(tx, notice, origin, receipt="too many wait", clock=clock, reason=Reason.SIGNAL_NOT_COLLECTED)
            given_up += 1
    return given_up


def drop(tx: Transaction, stream: Stream, *, why: str, clock: Clock) -> None:
    """Give up whatever waits for a stream that its application deleted or disabled: it said that it wants nothing."""
    now = clock.now()
    while waiting := tx.signals.open_of(stream.id, limit=500):
        for notice in waiting:
            tx.outbox.abandon(notice.id, now, why)


def _limit(values: Mapping[str, Any]) -> int:
    """RFC 8936 section 2.2: 0 asks for nothing, and only acknowledges."""
    most = values.get("maxEvents", MOST_AT_ONCE)
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise bad("maxEvents must be a number of events")
    if not isinstance(values.get("returnImmediately", True), bool):
        raise bad("returnImmediately must be true or false")
    return min(most, MOST_AT_ONCE)


def _acknowledged(values: Mapping[str, Any]) -> tuple[str, ...]:
    found = values.get("ack", [])
    if not isinstance(found, list) or len(found) > MOST_ANSWERS or not all(isinstance(jti, str) and len(jti) <= 100 for jti in found):
        raise bad("ack must be a list of jti")
    return tuple(dict.fromkeys(found))


def _refused(values: Mapping[str, Any]) -> dict[str, str]:
    """The error code of each event that the application could not take; what else it says is not kept: it may say anything of anybody."""
    found = values.get("setErrs", {})
    if not isinstance(found, dict) or len(found) > MOST_ANSWERS:
        raise bad("setErrs must be an object")
    codes: dict[str, str] = {}
    for jti, said in found.items():
        code = said.get("err") if isinstance(said, dict) else None
        if not is_code(code) or len(jti) > 100:
            raise bad("setErrs must say `err` of each jti")
        codes[jti] = str(code)
    return codes


def is_code(value: Any) -> bool:
    """Whether a value is an error code as RFC 8935 section 2.4 has them, and so may be kept."""
    return isinstance(value, str) and 0 < len(value) <= 60 and value.isascii() and value.replace("_", "").isalnum()
