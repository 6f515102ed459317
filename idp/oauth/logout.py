"""Signing out: RP-initiated requests (RP-Initiated Logout 1.0), and telling applications (Back-Channel Logout 1.0).

LogoutRequests judges what an application asks. Deliverer sends the outbox: each notice is claimed before it is sent, so that two workers do not send
it twice and a dead one's notice comes back; what the application answered is the receipt. A slow application never delays the others.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta

import httpx

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.errors import Refused
from idp.oauth.clients import ClientRegistry, OAuthClient
from idp.oauth.tokens import Mint
from idp.store.base import Notice, Session
from idp.store.database import Database

FORM = "application/x-www-form-urlencoded"
PATIENCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A judged request. `is_proven` says that the application proved, by an ID token of this very Session, that it may ask without a question."""

    client_id: str | None
    client_name: str | None
    return_to: str | None
    state: str | None
    ui_locales: tuple[str, ...]
    is_proven: bool


class LogoutRequests:
    """What /logout may do."""

    def __init__(self, config: Config, database: Database, registry: ClientRegistry, mint: Mint, clock: Clock) -> None:
        self._config = config
        self._database = database
        self._registry = registry
        self._mint = mint
        self._clock = clock

    def judge(self, parameters: dict[str, str], session: Session | None, origin: Origin) -> LogoutRequest:
        """The request, judged (section 2 and 3); Refused(invalid_logout_hint | post_logout_uri_mismatch | unknown_client), recorded.

        The post-logout URI is only used when an ID token or the client_id names the client that registered it.
        """
        try:
            return self._judge(parameters, session)
        except Refused as refused:
            event = Event(
                type=EventType.LOGOUT_REFUSED,
                at=self._clock.now(),
                actor=f"account:{session.account_id}" if session else "anonymous",
                origin=origin,
                reason=Reason(refused.reason),
                session_id=session.id if session else None,
                details={"claimed_client": parameters.get("client_id", "")[:100]},
            )
            with self._database.write() as tx:
                tx.events.append(event)
            raise

    def _judge(self, parameters: dict[str, str], session: Session | None) -> LogoutRequest:
        hint = parameters.get("id_token_hint")
        client_id = parameters.get("client_id")
        is_proven = False
        if hint is not None:
            claims = self._mint.read_id_token_hint(hint)
            if claims is None or (client_id is not None and claims.get("aud") != client_id):
                raise Refused(Reason.INVALID_LOGOUT_HINT)
            client_id = str(claims["aud"])
            is_proven = session is None or claims.get("sid") == session.id or claims.get("sub") == session.account_id
        client: OAuthClient | None = None
        if client_id is not None:
            with self._database.read() as tx:
                client = self._registry.get(tx, client_id)
            if client is None:
                raise Refused(Reason.UNKNOWN_CLIENT)
        return_to = parameters.get("post_logout_redirect_uri")
        if return_to is not None and (client is None or return_to not in client.settings.post_logout_redirect_uris):
            raise Refused(Reason.POST_LOGOUT_URI_MISMATCH)
        return LogoutRequest(
            client_id=client.client_id if client else None,
            client_name=client.settings.name if client else None,
            return_to=return_to,
            state=parameters.get("state"),
            ui_locales=tuple(parameters.get("ui_locales", "").split()),
            is_proven=is_proven,
        )


class Deliverer:
    """Sends what is due in the outbox. One instance per worker; `run_once` is called every few hundred milliseconds."""

    def __init__(self, config: Config, database: Database, registry: ClientRegistry, mint: Mint, clock: Clock) -> None:
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
