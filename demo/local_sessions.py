"""The care application's own sessions, kept where a back-channel logout can find them by `sid` or `sub`. In memory: one demo process."""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class LocalSession:
    """One signed-in browser of the application. `claims` are the ID token's; `expires_at` is the access token's end, in seconds since 1970."""

    key: str
    claims: Mapping[str, Any]
    id_token: str
    refresh_token: str | None
    expires_at: float
    renewals: int = 0


class LocalSessions:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, LocalSession] = {}
        self._cut: dict[str, None] = {}  # ended from afar, oldest first: their browsers are told why
        self._spent: dict[str, float] = {}

    def open(self, claims: Mapping[str, Any], token: Mapping[str, Any], *, now: float) -> str:
        """Begin a session; the cookie value."""
        key = secrets.token_urlsafe(32)
        expires_at = now + float(token["expires_in"])
        with self._lock:
            self._open[key] = LocalSession(key, claims, token["id_token"], token.get("refresh_token"), expires_at)
        return key

    def find(self, key: str | None) -> tuple[LocalSession | None, str | None]:
        """The open session, or None and `cut` when the identity provider ended it."""
        with self._lock:
            if key in self._open:
                return self._open[key], None
            return None, "cut" if key in self._cut else None

    def renew(self, key: str, token: Mapping[str, Any], *, now: float) -> None:
        """Keep refreshed tokens, unless the session has ended meanwhile."""
        with self._lock:
            if (local := self._open.get(key)) is not None:
                self._open[key] = replace(
                    local,
                    id_token=token.get("id_token", local.id_token),
                    refresh_token=token.get("refresh_token", local.refresh_token),
                    expires_at=now + float(token["expires_in"]),
                    renewals=local.renewals + 1,
                )

    def end(self, key: str | None) -> LocalSession | None:
        """The person signs out here."""
        with self._lock:
            return self._open.pop(key, None) if key else None

    def end_all(self, *, sid: str | None, sub: str | None) -> int:
        """The identity provider ended a session: by `sid` when it is named, else every session of the person."""
        with self._lock:
            found = [
                key
                for key, local in self._open.items()
                if (local.claims.get("sid") == sid if sid is not None else local.claims.get("sub") == sub)
            ]
            for key in found:
                del self._open[key]
                self._cut[key] = None
            while len(self._cut) > REMEMBERED:
                del self._cut[next(iter(self._cut))]
            return len(found)

    def spend(self, jti: str, *, until: float, now: float) -> bool:
        """Whether a logout token is seen for the first time."""
        with self._lock:
            self._spent = {known: end for known, end in self._spent.items() if end > now}
            if jti in self._spent:
                return False
            self._spent[jti] = until
            return True
