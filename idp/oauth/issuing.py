"""What everything that gives tokens shares: is the Grant alive and the client still entitled, whose is it, mint, keep, record, end.

Used by the grants of /token and by introspection, revocation and userinfo. Works in the request's transaction; knows nothing of Authlib's classes.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, digest
from idp.endings import Cause, end_grant
from idp.oauth.claims import SCOPES, Subject, Zone, needs_elsewhere, opening, requested
from idp.oauth.clients import OAuthClient
from idp.oauth.message import Refusal, StandingStale
from idp.oauth.server import EngineRequest
from idp.oauth.tokens import Live, Mint
from idp.signin.facts import access_of, standing_attachments
from idp.store.base import Account, Grant, RefreshToken
from idp.store.database import Transaction
from idp.store.grants import SourceBounds
from policies.access import decide

NO_LIMIT = timedelta(days=36_500)


class Issuing:
    """What the grants share: is the Grant alive, whose is it, write tokens, end it."""

    def __init__(self, config: Config, mint: Mint, keyring: Keyring, clock: Clock) -> None:
        self.mint = mint
        self.keyring = keyring
        self.clock = clock
        self.issuer = config.issuer
        self.access_life: timedelta = config.tokens.access_token_life
        self.retry_window: timedelta = config.tokens.refresh_retry_window
        self.limits = config.sessions.limits
        self.staleness_bound: timedelta = config.standing.staleness_bound
        self.grace: timedelta = config.standing.grace
        self.upstream_life: timedelta = config.standing.upstream_life
        directories = frozenset(directory.name for directory in (*config.directories, *config.scim))
        self.bounds = SourceBounds(askable=self.staleness_bound + self.grace, seen=self.upstream_life, directories=directories)

    def alive(self, tx: Transaction, grant_id: str, *, asked: str | None, jti: str | None = None) -> Live:
        """The Grant and its Account. `asked` is the account whose directory was asked just before this transaction.

        Refusal(invalid_grant) when Grant, Account, Session or attachment has ended, or the Session came by a provider that cannot be asked and saw
        the person too long ago; Refusal(temporarily_unavailable) when the directory has been
        silent for longer than the grace. Raises StandingStale when it must be asked first.
        """
        now = self.clock.now()
        # Before they were asked, the silence of those that can be asked says nothing.
        bounds = self.bounds if asked is not None else replace(self.bounds, askable=NO_LIMIT)
        found = tx.grants.alive(grant_id, now, limits=self.limits, bounds=bounds, jti=jti)
        if found is None:
            raise Refusal("invalid_grant", Reason.GRANT_NOT_ALIVE, "The grant has ended")
        grant, account, heard = found
        word_at, oldest_at = heard.word_at, heard.oldest_at
        if heard.upstream_at is not None and now - heard.upstream_at > self.upstream_life:
            raise Refusal("invalid_grant", Reason.UPSTREAM_LAPSED, "The person must sign in again")
        if oldest_at is None or now - oldest_at <= self.staleness_bound:
            return Live(grant, account, is_degraded=False)
        if asked != account.id:
            raise StandingStale(account.id)
        if word_at is None or now - word_at <= self.staleness_bound:
            return Live(grant, account, is_degraded=False)
        if now - word_at > self.staleness_bound + self.grace:
            raise Refusal("temporarily_unavailable", Reason.DIRECTORY_UNREACHABLE, "The directory cannot be asked", status=503)
        return Live(grant, account, is_degraded=True)

    def entitled(self, request: EngineRequest, grant_id: str) -> Live:
        """`alive`, and the client is still open to the person there: its registration or their attachments may have changed since."""
        live = self.alive(request.tx, grant_id, asked=request.asked)
        client: OAuthClient = request.client
        if client.settings.establishments or client.settings.profiles:
            access = access_of(request.tx, live.account, client.record, now=self.clock.now(), bounds=self.bounds)
            decision = decide(access, live.grant.establishment_id)
            if not decision.is_allowed:
                raise Refusal("invalid_grant", Reason(decision.reasons[0]), "The grant has ended")
        return live

    def subject(self, tx: Transaction, client: OAuthClient, grant: Grant, *, account: Account, scope: tuple[str, ...]) -> Subject:
        """The facts claims are made of; the establishments and the attachments are read only as far as a scope or a claim needs them."""
        names = {name for value in scope for name in SCOPES.get(value, ())}
        names |= {name for part in ("id_token", "userinfo") for name in requested(grant.claims, part)}
        is_elsewhere = needs_elsewhere(frozenset(names))
        is_situated = is_elsewhere or not names.isdisjoint(SCOPES["establishment"])
        establishment = tx.establishments.get(grant.establishment_id) if is_situated or "zoneinfo" in names else None
        places = {establishment.id: establishment} if establishment is not None else {}
        attachments = standing_attachments(tx, account.id, now=self.clock.now(), bounds=self.bounds) if is_situated else ()
        if is_elsewhere and any(one.establishment_id not in places for one in attachments):
            places = tx.establishments.of_account(account.id)
        now = self.clock.now()
        zone = Zone(grant.zone, grant.zone_kind, grant.zone_why)
        return Subject(client.settings, account, establishment, opening(client.settings, attachments, places, now=now), zone, now)

    def tokens(
        self,
        request: EngineRequest,
        live: Live,
        subject: Subject,
        *,
        scope: tuple[str, ...],
        audience: tuple[str, ...],
        nonce: str | None,
    ) -> dict[str, Any]:
        """An access token, and an ID token when `openid` was granted."""
        client: OAuthClient = request.client
        access_token, _ = self.mint.access_token(client, scope, audience, live=live)
        answer: dict[str, Any] = {"access_token": access_token, "token_type": "Bearer", "expires_in": self.mint.access_seconds}
        if "openid" in scope:
            answer["id_token"] = self.mint.id_token(client, live, subject, nonce=nonce, access_token=access_token)
        answer["scope"] = " ".join(scope)
        return answer

    def add_refresh(self, tx: Transaction, grant: Grant, token: str) -> None:
        """Keep a new refresh token's digest; it lives as long as its Grant."""
        now = self.clock.now()
        row = RefreshToken(
            digest=digest(token),
            grant_id=grant.id,
            issued_at=now,
            expires_at=grant.expires_at,
            used_at=None,
            successor_digest=None,
            sealed_answer=None,
        )
        tx.grants.add_refresh(row)

    def audience(self, request: EngineRequest, granted: tuple[str, ...]) -> tuple[str, ...]:
        """The access token's audience: the resource asked now, among those granted (RFC 8707 section 2.2); else all of them.

        Our own audience is added when the token may be used at userinfo, or when no resource was granted at all. A resource that was taken from
        the client's registration since is not granted any more.
        """
        asked = request.parameters.get("resource")
        kept = tuple(resource for resource in granted if resource in request.client.settings.resources)
        if asked is None:
            is_for_us = not granted or "openid" in (request.scope or "").split()
            kept = (*kept, self.mint.default_audience) if is_for_us else kept
        else:
            kept = tuple(resource for resource in kept if resource == asked)
        if not kept:
            raise Refusal("invalid_target", Reason.INVALID_TARGET, "The resource was not granted")
        return kept

    def record(self, request: EngineRequest, live: Live, kind: EventType, grant_type: str) -> None:
        """The Event of tokens issued."""
        grant = live.grant
        details: dict[str, str | int | bool | None] = {"grant_type": grant_type}
        if live.is_degraded:
            details["degraded"] = True
        request.tx.events.append(
            Event(
                type=kind,
                at=self.clock.now(),
                actor=f"client:{request.client.client_id}",
                origin=request.plain.origin,
                account_id=grant.account_id,
                client_id=grant.client_id,
                establishment_id=grant.establishment_id,
                session_id=grant.session_id,
                grant_id=grant.id,
                amr=grant.amr,
                acr=grant.acr,
                details=details,
            )
        )

    def end_replayed(self, request: EngineRequest, grant_id: str, reason: Reason) -> Refusal:
        """End the Grant of a one-time thing that came back; the refusal to raise."""
        grant = request.tx.grants.get(grant_id)
        if grant is not None:
            end_grant(request.tx, grant, Cause(reason, f"client:{request.client.client_id}", request.plain.origin), clock=self.clock)
        return Refusal("invalid_grant", reason, "The grant was used before and has ended")
