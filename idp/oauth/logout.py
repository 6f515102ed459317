"""What is said to an application when somebody signed out or was cut: OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.8.

Owns one try: the logout token and what its answer means. When it is tried, and how often, is delivery.py's.
"""

import httpx

from idp.audit import EventType, Reason
from idp.config import LogoutSettings
from idp.egress import AddressRefused
from idp.oauth.clients import ClientRegistry
from idp.oauth.delivery import Receipt, Told
from idp.oauth.tokens import Mint
from idp.store.base import Notice
from idp.store.database import Database
from idp.store.leases import Fenced

KIND = "backchannel_logout"
OURS = "canary"  # the source of a Client that no operator and no file registered (idp/lifecycle/canary.py)
FORM = "application/x-www-form-urlencoded"
ACCEPTED = frozenset({200, 204})  # 204 is what some frameworks turn an empty 200 into (section 2.8)


class LogoutSender:
    """Sends logout tokens (delivery.Sender)."""

    told = Told(EventType.LOGOUT_DELIVERED, EventType.LOGOUT_RETRIED, EventType.LOGOUT_ABANDONED)

    def __init__(
        self,
        settings: LogoutSettings,
        database: Database | Fenced,
        registry: ClientRegistry,
        mint: Mint,
        *,
        transport: httpx.BaseTransport,
        own: httpx.BaseTransport,
    ) -> None:
        """`transport` goes to applications, `own` to what listens in this very process (the canary's)."""
        self._database = database
        self._registry = registry
        self._mint = mint
        seconds = settings.timeout.total_seconds()
        self._http = httpx.Client(transport=transport, timeout=seconds, follow_redirects=False, trust_env=False)
        self._own = httpx.Client(transport=own, timeout=seconds, follow_redirects=False, trust_env=False)

    def send(self, notice: Notice) -> Receipt:
        """See delivery.Sender."""
        with self._database.read() as tx:
            client = self._registry.get(tx, notice.client_id)
        uri = client.settings.backchannel_logout_uri if client else None
        if client is None or uri is None:
            return Receipt("hopeless", "the application was withdrawn or has no logout address")
        session_id = notice.session_id if client.settings.backchannel_logout_session_required else None
        token = self._mint.logout_token(client, notice.account_id, session_id, jti=notice.id)
        try:
            status = self._post(self._own if client.record.source == OURS else self._http, uri, token)
        except AddressRefused as refused:
            return Receipt("failed", str(refused), Reason.ADDRESS_NOT_ALLOWED)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Receipt("failed", type(error).__name__)
        return Receipt("delivered" if status in ACCEPTED else "failed", f"HTTP {status}")

    def close(self) -> None:
        """See delivery.Sender."""
        self._http.close()
        self._own.close()

    def _post(self, http: httpx.Client, uri: str, token: str) -> int:
        # The body of the answer says nothing we use, and may be endless: it is not read.
        headers = {"Content-Type": FORM, "Cache-Control": "no-store"}
        with http.stream("POST", uri, data={"logout_token": token}, headers=headers) as answer:
            return answer.status_code
