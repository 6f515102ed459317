"""Graph's subscriptions: Microsoft tells an address of ours that a person or a group changed, so that it is asked for at once.

Owns making and renewing them; what comes is received elsewhere, is no more than a reason to ask, and may stop without a word: delta.py asks every so
often all the same. A subscription lasts at most 41,760 minutes; ours end within a day when nobody renews them. Source: "Set up change notifications".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.base import Clock, ConnectorError
from connectors.entra.application import ApplicationGraph
from connectors.entra.settings import EntraSettings

RESOURCES = ("users", "groups")
LIFE = timedelta(hours=24)
LOOKED_AT_EVERY = timedelta(hours=1)
TRIED_AGAIN_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Notifications:
    """Where Microsoft tells us something: `url`, reachable from the Internet; `client_state` is the secret that it repeats, at most 128 characters.

    `were_heard` says whether something came since it was asked last. `warn` is told what an operator should read in the log.
    """

    url: str
    client_state: str = field(repr=False)
    were_heard: Callable[[], bool]
    warn: Callable[[str], None]


class Subscriptions:
    """Of every tenant of a registration. For one thread."""

    def __init__(self, settings: EntraSettings, graph: ApplicationGraph, notifications: Notifications, *, clock: Clock) -> None:
        self._tenants = settings.tenants
        self._graph = graph
        self._notifications = notifications
        self._clock = clock
        self._due_at = clock.now()

    def were_heard(self) -> bool:
        """Whether Microsoft has said something since this was asked last."""
        return self._notifications.were_heard()

    def keep(self) -> None:
        """Make and renew them, when it is time. What fails is told to `warn` and tried again: asking every so often goes on without."""
        now = self._clock.now()
        if now < self._due_at:
            return
        self._due_at = now + LOOKED_AT_EVERY
        for tenant in self._tenants:
            try:
                self._keep(tenant, now)
            except ConnectorError as error:
                self._due_at = now + TRIED_AGAIN_AFTER
                self._notifications.warn(error.detail)

    def _keep(self, tenant: str, now: datetime) -> None:
        url = f"{self._graph.address}/subscriptions"
        ours = [one for one in self._graph.pages(tenant, url) if one.get("notificationUrl") == self._notifications.url]
        for resource in RESOURCES:
            present = [one for one in ours if one.get("resource") == resource and self._is_readable(one)]
            if not any(self._lasts(tenant, one, now) for one in present):
                self._make(tenant, resource, now)

    def _is_readable(self, one: Mapping[str, Any]) -> bool:
        """One that was made with another master key repeats a secret that is not believed any more."""
        return one.get("clientState") in (None, self._notifications.client_state)

    def _lasts(self, tenant: str, one: Mapping[str, Any], now: datetime) -> bool:
        """Whether it goes on; renewed in its second half."""
        ends_at = _instant(one.get("expirationDateTime"))
        if ends_at is None or ends_at <= now or not isinstance(one.get("id"), str):
            return False
        if ends_at - now > LIFE / 2:
            return True
        url = f"{self._graph.address}/subscriptions/{one['id']}"
        return self._graph.send(tenant, "PATCH", url, body={"expirationDateTime": _written(now + LIFE)}).status < 300

    def _make(self, tenant: str, resource: str, now: datetime) -> None:
        url = f"{self._graph.address}/subscriptions"
        body = {
            "changeType": "updated,deleted",
            "notificationUrl": self._notifications.url,
            "resource": resource,
            "expirationDateTime": _written(now + LIFE),
            "clientState": self._notifications.client_state,
        }
        answer = self._graph.send(tenant, "POST", url, body=body)
        if answer.status >= 300:
            raise self._graph.refusal(url, answer)


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _instant(value: object) -> datetime | None:
    """As Graph writes it, with up to seven decimals."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value[:19])
    except ValueError:
        return None
    return found.replace(tzinfo=UTC)
