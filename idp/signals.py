"""What applications are told by Security Event Tokens: the event types, what each says, and the outbox rows that owe it to their streams.

Everyone above the store may owe something, in the transaction that makes it true; nothing is sent here (idp/oauth/signals). Events: CAEP 1.0,
RISC 1.0, and those of the OpenID Shared Signals Framework 1.0 about a stream itself.
A person is said by their `sub`; no name, no address, no reason in words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from idp.audit import Author, Origin, Reason
from idp.clock import Clock
from idp.store.base import Notice, Stream
from idp.store.database import Transaction
from idp.store.signals import VERIFICATION
from policies.assurance import ACR_ORDER

_CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC = "https://schemas.openid.net/secevent/risc/event-type/"
_SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
SESSION_REVOKED = f"{_CAEP}session-revoked"
CREDENTIAL_CHANGE = f"{_CAEP}credential-change"
ASSURANCE_LEVEL_CHANGE = f"{_CAEP}assurance-level-change"
ACCOUNT_DISABLED = f"{_RISC}account-disabled"
ACCOUNT_ENABLED = f"{_RISC}account-enabled"
ACCOUNT_PURGED = f"{_RISC}account-purged"
VERIFY = f"{_SSF}verification"
STREAM_UPDATED = f"{_SSF}stream-updated"
SUPPORTED = (SESSION_REVOKED, CREDENTIAL_CHANGE, ASSURANCE_LEVEL_CHANGE, ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED)
ABOUT_STREAM = frozenset({VERIFY, STREAM_UPDATED})
LEVELS = "urn:vestibule:acr"

Change = Literal["create", "revoke", "update", "delete"]
# The CAEP word of each kind of second factor; a passkey may be of the machine or carried along, which we are not told.
CREDENTIALS: Mapping[str, str] = {"password": "password", "totp": "app", "passkey": "fido2-roaming", "sms": "phone-sms", "email": "email"}
SENT_AS: Mapping[str, Literal["set_push", "set_poll"]] = {"push": "set_push", "poll": "set_poll"}


@dataclass(frozen=True, slots=True)
class Occasion:
    """What happened to a person that applications are told of: by whom, why, and the cut that it is part of.

    Whatever came of one thing has one `txn` (RFC 8417 section 2.2).
    """

    actor: str
    reason: str
    origin: Origin
    cut_id: str | None = None

    @classmethod
    def by(cls, author: Author, reason: Reason) -> "Occasion":
        """Of an Author."""
        return cls(author.actor, str(reason), author.origin)

    @property
    def txn(self) -> str:
        """The same for whatever the same request, or the same cut, made happen."""
        return self.cut_id or self.origin.request_id


def delivered(stream: Stream) -> tuple[str, ...]:
    """The event types that a stream is sent: those that it asked for, or every one when it asked for none."""
    return tuple(uri for uri in SUPPORTED if uri in stream.events_requested) if stream.events_requested else SUPPORTED


def session_revoked(tx: Transaction, client_id: str, account_id: str, *, session_id: str, occasion: Occasion, clock: Clock) -> int:
    """Owe one application the end of a Session; how many notices."""
    streams = tx.signals.told_of(account_id, client_id=client_id)
    return _owe(tx, streams, account_id, SESSION_REVOKED, body={}, session_id=session_id, occasion=occasion, clock=clock)


def account_changed(
    tx: Transaction,
    account_id: str,
    event: Literal["disabled", "enabled", "purged"],
    *,
    occasion: Occasion,
    clock: Clock,
) -> int:
    """Owe every application of a person that their Account was suspended, made active again, or ended for good; how many notices."""
    uri = {"disabled": ACCOUNT_DISABLED, "enabled": ACCOUNT_ENABLED, "purged": ACCOUNT_PURGED}[event]
    return _owe(tx, tx.signals.told_of(account_id), account_id, uri, body={}, occasion=occasion, clock=clock)


def credential_changed(tx: Transaction, account_id: str, kind: str, *, change: Change, occasion: Occasion, clock: Clock) -> int:
    """Owe every application of a person that a password or a second factor of theirs is another one; how many notices.

    `kind`: "password", or a Factor's.
    """
    body = {"credential_type": CREDENTIALS.get(kind, kind), "change_type": change}
    return _owe(tx, tx.signals.told_of(account_id), account_id, CREDENTIAL_CHANGE, body=body, occasion=occasion, clock=clock)


def assurance_changed(tx: Transaction, account_id: str, *, session_id: str, before: str, now: str, occasion: Occasion, clock: Clock) -> int:
    """Owe every application of a person how much is known now of who is at a Session; how many notices. `before` and `now` are values of acr."""
    if before == now:
        return 0
    body: dict[str, Any] = {"namespace": LEVELS, "current_level": now, "previous_level": before}
    if before in ACR_ORDER and now in ACR_ORDER:
        body["change_direction"] = "increase" if ACR_ORDER.index(now) > ACR_ORDER.index(before) else "decrease"
    streams = [
        stream
        for client_id in dict.fromkeys(grant.client_id for grant in tx.grants.of_session(session_id) if grant.has_tokens)
        for stream in tx.signals.told_of(account_id, client_id=client_id)
    ]
    return _owe(tx, streams, account_id, ASSURANCE_LEVEL_CHANGE, body=body, session_id=session_id, occasion=occasion, clock=clock)


def about_stream(tx: Transaction, stream: Stream, uri: str, *, body: Mapping[str, Any], clock: Clock) -> None:
    """Owe a stream what is said of itself: VERIFY or STREAM_UPDATED."""
    event = {"type": uri, "body": dict(body)}
    cause = VERIFICATION if uri == VERIFY else "stream_updated"
    tx.outbox.add(_notice(stream, "", event, cause=cause, session_id=None, cut_id=None, clock=clock))


def _owe(
    tx: Transaction,
    streams: Iterable[Stream],
    account_id: str,
    uri: str,
    *,
    body: Mapping[str, Any],
    occasion: Occasion,
    clock: Clock,
    session_id: str | None = None,
) -> int:
    at = int(clock.now().timestamp())
    said = dict(body)
    if uri.startswith(_CAEP):
        said |= {"event_timestamp": at, "initiating_entity": _entity(occasion.actor, account_id)}
    owed = 0
    for stream in streams:
        if uri not in delivered(stream):
            continue
        event = {"type": uri, "body": said, "txn": occasion.txn, "toe": at}
        tx.outbox.add(_notice(stream, account_id, event, cause=occasion.reason, session_id=session_id, cut_id=occasion.cut_id, clock=clock))
        owed += 1
    return owed


def _notice(
    stream: Stream, account_id: str, event: Mapping[str, Any], *, cause: str, session_id: str | None, cut_id: str | None, clock: Clock
) -> Notice:
    now = clock.now()
    return Notice(
        id=clock.new_id(),
        kind=SENT_AS[stream.delivery],
        client_id=stream.client_id,
        account_id=account_id,
        session_id=session_id,
        cause=cause,
        created_at=now,
        attempts=0,
        # A paused stream is told once it is enabled again.
        next_attempt_at=None if stream.status == "paused" and event["type"] not in ABOUT_STREAM else now,
        delivered_at=None,
        abandoned_at=None,
        receipt=None,
        cut_id=cut_id,
        stream_id=stream.id,
        event=event,
    )


def _entity(actor: str, account_id: str) -> str:
    """CAEP section 2: who made it happen. What our own rules end, an idle Session, was the policy; the rest is somebody's act somewhere."""
    if actor == f"account:{account_id}":
        return "user"
    return "policy" if actor == "system" else "admin"
