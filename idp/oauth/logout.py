"""Telling applications that somebody signed out or was cut: OpenID Connect Back-Channel Logout 1.0, from the durable outbox.

Each notice is claimed before it is sent, so that two workers do not send it twice and a dead one's notice comes back; what the application answered
is the receipt. Applications are told side by side: a slow one never delays the others.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta

import httpx

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.oauth.clients import ClientRegistry
from idp.oauth.tokens import Mint
from idp.store.base import Notice
from idp.store.database import Database
from idp.store.leases import Fenced

FORM = "application/x-www-form-urlencoded"
PATIENCE = timedelta(seconds=1)


class Deliverer:
    """Sends what is due in the outbox. One instance per worker; `run_once` is called every few hundred milliseconds."""

    def __init__(self, config: Config, database: Database | Fenced, registry: ClientRegistry, mint: Mint, clock: Clock) -> None:
        self._config = config
        self._database = database
        self._registry = registry
        self._mint = mint
        self._clock = clock
        self._http = httpx.Client(timeout=config.logout.timeout.total_seconds(), follow_redirects=False, trust_env=False)
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="outbox")
        self._sending: dict[str, Future[int]] = {}

    def run_once(self) -> int:
        """Send every notice that is due, one at a time to each application, applications side by side; how many were tried.

        Returns when that is done or after PATIENCE: an application that has not answered by then keeps its own thread, and only its own later
        notices wait for it. What goes wrong in a thread is raised here, by the call that finds it finished.
        """
        with self._database.read() as tx:
            due = tx.outbox.due(self._clock.now(), except_clients=self._sending.keys())
        by_client: dict[str, list[Notice]] = {}
        for notice in due:
            by_client.setdefault(notice.client_id, []).append(notice)
        for client_id, notices in by_client.items():
            self._sending[client_id] = self._pool.submit(self._send_all, notices)
        done, _ = wait(self._sending.values(), PATIENCE.total_seconds())
        finished = [client_id for client_id, sending in self._sending.items() if sending in done]
        return sum(self._sending.pop(client_id).result() for client_id in finished)

    def close(self) -> None:
        """Wait for what is being sent, then let go."""
        self._pool.shutdown()
        self._http.close()

    def _send_all(self, notices: Sequence[Notice]) -> int:
        return sum(self._send(notice) for notice in notices)

    def _send(self, notice: Notice) -> bool:
        with self._database.write() as tx:
            client = self._registry.get(tx, notice.client_id)
            if not tx.outbox.claim(notice, self._clock.now() + self._config.logout.timeout * 4):
                return False
        uri = client.settings.backchannel_logout_uri if client else None
        if client is None or uri is None:
            self._settle(notice, EventType.LOGOUT_ABANDONED, "the application was withdrawn or has no logout address")
            return True
        session_id = notice.session_id if client.settings.backchannel_logout_session_required else None
        token = self._mint.logout_token(client, notice.account_id, session_id, jti=notice.id)
        try:
            status = self._post(uri, token)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._failed(notice, type(error).__name__)
            return True
        # 204 is what some frameworks turn an empty 200 into (section 2.8).
        if status in {200, 204}:
            self._settle(notice, EventType.LOGOUT_DELIVERED, f"HTTP {status}")
        else:
            self._failed(notice, f"HTTP {status}")
        return True

    def _post(self, uri: str, token: str) -> int:
        # The body of the answer says nothing we use, and may be endless: it is not read.
        headers = {"Content-Type": FORM, "Cache-Control": "no-store"}
        with self._http.stream("POST", uri, data={"logout_token": token}, headers=headers) as answer:
            return answer.status_code

    def _failed(self, notice: Notice, receipt: str) -> None:
        waits = self._config.logout.retries
        if notice.attempts >= len(waits):
            self._settle(notice, EventType.LOGOUT_ABANDONED, receipt)
        else:
            self._settle(notice, EventType.LOGOUT_RETRIED, receipt, wait=waits[notice.attempts])

    def _settle(self, notice: Notice, kind: EventType, receipt: str, wait: timedelta | None = None) -> None:
        now = self._clock.now()
        with self._database.write() as tx:
            if kind is EventType.LOGOUT_DELIVERED:
                tx.outbox.delivered(notice.id, now, receipt)
            elif wait is not None:
                tx.outbox.postpone(notice.id, now + wait, receipt)
            else:
                tx.outbox.abandon(notice.id, now, receipt)
            tx.events.append(
                Event(
                    type=kind,
                    at=now,
                    actor="system",
                    origin=Origin(request_id=self._clock.new_code(10), address="local"),
                    reason=None if kind is EventType.LOGOUT_DELIVERED else Reason.DELIVERY_FAILED,
                    account_id=notice.account_id,
                    client_id=notice.client_id,
                    session_id=notice.session_id,
                    details={"notice": notice.id, "attempt": notice.attempts + 1, "receipt": receipt},
                )
            )
