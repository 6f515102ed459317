"""One Security Event Token of the outbox (RFC 8417), as its stream is to read it: claims and subject, signed by the mint.

Subjects: a person is their `iss` and `sub` (RFC 9493 section 3.2.4), a Session a complex subject with its `sid`, a stream its id. `jti` is the
notice's id, so that an event that comes twice is recognised; there is neither `sub` nor `exp` (Shared Signals Framework 1.0 section 4.1).
"""

from typing import Any

from idp.oauth.tokens import Mint
from idp.signals import ABOUT_STREAM, ASSURANCE_LEVEL_CHANGE, SESSION_REVOKED
from idp.store.base import Notice

OF_SESSION = frozenset({SESSION_REVOKED, ASSURANCE_LEVEL_CHANGE})


def make_token(mint: Mint, issuer: str, notice: Notice) -> str:
    """The signed SET."""
    event = dict(notice.event or {})
    claims: dict[str, Any] = {
        "jti": notice.id,
        "aud": notice.client_id,
        "sub_id": subject_of(issuer, notice, event["type"]),
        "events": {event["type"]: event["body"]},
    }
    claims |= {name: event[name] for name in ("txn", "toe") if name in event}
    return mint.security_event(claims)


def subject_of(issuer: str, notice: Notice, uri: str) -> dict[str, Any]:
    """Whom, or what, an event is about."""
    if uri in ABOUT_STREAM:
        return {"format": "opaque", "id": notice.stream_id}
    person = {"format": "iss_sub", "iss": issuer, "sub": notice.account_id}
    if notice.session_id is None or uri not in OF_SESSION:
        return person
    return {"format": "complex", "user": person, "session": {"format": "opaque", "id": notice.session_id}}
