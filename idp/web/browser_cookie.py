"""The signed cookie in which a browser's own secret is kept: Flask's, its age counted by our clock and with patience for another host's.

itsdangerous refuses a signature that is a second ahead: behind a balancer the host that reads a cookie need only be a little behind the one that
wrote it. What is signed is still believed for its lifetime only; an ill-set host far ahead is refused as before.
"""

from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from idp.clock import Clock

PATIENCE = timedelta(minutes=5)  # how far ahead another host's clock may be


class BrowserCookie(SecureCookieSessionInterface):
    """Flask's session_interface, with a Clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """As Flask makes it, with our signer."""
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = PatientSigner
            serializer.signer_kwargs["clock"] = self._clock
        return serializer


class PatientSigner(TimestampSigner):
    """Times of our clock. A signature is good from PATIENCE before it was made until it is `max_age` seconds old."""

    def __init__(self, *keys: Any, clock: Clock, **settings: Any) -> None:
        super().__init__(*keys, **settings)
        self._clock = clock

    def get_timestamp(self) -> int:
        """Seconds since the epoch."""
        return int(self._clock.now().timestamp())

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:  # noqa: FBT001, FBT002  # theirs
        """The value, with its moment where that is asked. Raises BadSignature; SignatureExpired when too old or too far ahead."""
        value, made_at = super().unsign(signed_value, return_timestamp=True)
        if max_age is not None and not -PATIENCE <= self._age(made_at) <= timedelta(seconds=max_age):
            raise SignatureExpired("too old, or too far ahead", payload=value, date_signed=made_at)
        return (value, made_at) if return_timestamp else value

    def _age(self, made_at: datetime) -> timedelta:
        return self._clock.now() - made_at
