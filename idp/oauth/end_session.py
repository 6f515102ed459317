"""What an application asks at /logout (RP-Initiated Logout 1.0): judged here, carried out by the web layer and idp.endings."""

from dataclasses import dataclass

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.errors import Refused
from idp.oauth.clients import ClientRegistry, OAuthClient
from idp.oauth.tokens import Mint
from idp.store.base import Session
from idp.store.database import Database


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
                account_id=session.account_id if session else None,
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
