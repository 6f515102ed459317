"""OidcProvider: any OpenID Provider as an upstream (RedirectConnector): code flow with PKCE, every answer validated, refresh.

Owns what is asked and what an answer must be: issuer (RFC 9207), ID token (connectors/id_token.py), level of assurance, userinfo of the same person.
Decides nothing of ours and keeps nothing between two calls but metadata and keys; what belongs to one sign-in is in Departure.kept.
OpenID Connect Core 1.0 sections 3.1, 5.3 and 12.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.base import Arrival, Ask, CheckStep, Departure, Identity, Lapsed, Renewal, SourceMisbehaved, UpstreamRefused
from connectors.breaker import Guard
from connectors.id_token import IdTokenValidator, auth_time_of
from connectors.oidc.claims import identity_of
from connectors.oidc.client import Chance, OAuthClient, TokenRefused, error_code
from connectors.oidc.examination import examine
from connectors.oidc.metadata import Metadata, MetadataSource
from connectors.oidc.settings import OidcSettings
from connectors.oidc.wire import Wire

# Claims about the token itself: what userinfo says of them is not the ID token's word.
OF_THE_TOKEN = frozenset({"iss", "aud", "exp", "iat", "nbf", "nonce", "acr", "amr", "azp", "auth_time", "at_hash", "c_hash", "sid", "jti"})
ANY_AGE = timedelta(days=365)  # older than any session that a provider keeps
UNMET = "unmet_authentication_requirements"  # OpenID Connect Core Error Code unmet_authentication_requirements 1.0
# What a provider answers to a refresh when it wants the person before it says more: gone, suspended, signed out, a password changed, too long ago.
SEE_THEM_AGAIN = frozenset(
    {"invalid_grant", "invalid_token", "access_denied", "login_required", "interaction_required", "consent_required"}
)


class OidcProvider:
    """One upstream provider. Safe to share between threads; opening it asks nothing of anybody."""

    def __init__(self, name: str, settings: OidcSettings, clock: Chance) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._wire = Wire(settings, clock)
        self._metadata = MetadataSource(settings, self._wire, clock)
        self._client = OAuthClient(settings, self._wire, clock)
        self._validator = IdTokenValidator(self._fetch_keys, clock)
        self._guard = Guard(name, clock, concurrency=settings.concurrency, failures=settings.failures, pause=settings.pause)

    def begin(self, callback_url: str, *, state: str, ask: Ask) -> Departure:
        """See RedirectConnector. SourceMisbehaved too, when its metadata is not what it should be."""
        with self._guard.passage():
            metadata = self._metadata.current()
        nonce, verifier = self._clock.new_token(), self._clock.new_token()
        levels = self._settings.mfa_acr if ask.wants_mfa and self._settings.mfa_acr else self._settings.acr_values
        max_age = timedelta(0) if ask.forces_prompt else ask.max_age
        wanted = {
            "nonce": nonce,
            **self._demand(levels),
            "prompt": "login" if ask.forces_prompt else "",
            # Always: whoever is asked with max_age must say auth_time (Core section 3.1.2.1), and we can see what was done.
            "max_age": str(int((ANY_AGE if max_age is None else max_age).total_seconds())),
            "login_hint": ask.login_hint or "",
            "ui_locales": ask.ui_locales or "",
        }
        asked = {key: value for key, value in wanted.items() if value}
        url = self._client.authorization_url(metadata, callback_url=callback_url, state=state, verifier=verifier, asked=asked)
        kept = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "levels": list(levels),
            "since": (self._clock.now() - max_age).timestamp() if max_age is not None else None,
        }
        return Departure(url, kept)

    def _demand(self, levels: tuple[str, ...]) -> Mapping[str, str]:
        """Levels as they are asked for: both ways at once are not defined (Core section 3.1.2.1)."""
        if levels and self._settings.acr_request == "claims":
            return {"claims": json.dumps({"id_token": {"acr": {"essential": True, "values": list(levels)}}})}
        return {"acr_values": " ".join(levels)}

    def complete(self, parameters: Mapping[str, str], *, callback_url: str, kept: Mapping[str, Any]) -> Arrival:
        """See RedirectConnector."""
        if parameters.get("state") != kept["state"]:
            raise SourceMisbehaved("the answer's state is not this sign-in's", problem="state")
        with self._guard.passage():
            metadata = self._metadata.current()
            self._check_sender(parameters, metadata)
            if parameters.get("error") == UNMET:
                raise SourceMisbehaved("it could not prove the level that was asked for", problem="assurance")
            if "error" in parameters:
                raise UpstreamRefused(ascii(parameters.get("error_description", ""))[:200], error=error_code(parameters["error"]))
            code = parameters.get("code")
            if not code:
                raise SourceMisbehaved("the answer holds no code", problem="code_refused")
            try:
                tokens = self._client.redeem(metadata, code, callback_url=callback_url, verifier=kept["verifier"])
            except TokenRefused as error:
                raise SourceMisbehaved(f"the code was refused: {error.error} {error.description}", problem="code_refused") from error
            claims = self._validator.validate(
                _text(tokens, "id_token"),
                issuer=self._settings.issuer,
                audience=self._settings.client_id,
                nonce=kept["nonce"],
                authenticated_since=datetime.fromtimestamp(kept["since"], UTC) if kept["since"] is not None else None,
                needs_auth_time=kept["since"] is not None and self._settings.auth_time_required,
                access_token=tokens["access_token"],
            )
            acr = _text(claims, "acr")
            if kept["levels"] and acr not in kept["levels"]:
                detail = f"acr is {ascii(acr)[:100]}, asked was {' '.join(kept['levels'])}"
                raise SourceMisbehaved(detail, problem="assurance")
            try:
                more = self._userinfo(metadata, tokens["access_token"], subject=claims["sub"])
            except TokenRefused as error:
                raise SourceMisbehaved(error.description, problem="token_malformed") from error
            identity = self._identity(claims, more)
        return Arrival(
            identity=identity,
            auth_time=auth_time_of(claims),
            acr=acr,
            is_multi_factor=acr in self._settings.mfa_acr,
            refresh_token=_text(tokens, "refresh_token") if self._settings.keeps_refresh_token else None,
        )

    def renew(self, subject: str, refresh_token: str) -> Renewal:
        """See RedirectConnector. A provider has no one word for "this person is gone": a refused refresh is Lapsed, whatever its reason."""
        with self._guard.lookup_passage():
            metadata = self._metadata.current()
            try:
                tokens = self._client.refresh(metadata, refresh_token)
                more = self._userinfo(metadata, tokens["access_token"], subject=subject)
            except TokenRefused as error:
                if error.error not in SEE_THEM_AGAIN:
                    raise SourceMisbehaved(f"the refresh was refused: {error.error} {error.description}") from error
                raise Lapsed(f"the refresh was refused: {error.error} {error.description}") from error
            claims: Mapping[str, Any] = {}
            if (id_token := _text(tokens, "id_token")) is not None:
                # Core section 12.2: the same issuer, person and audience; a nonce need not be there.
                claims = self._validator.validate(
                    id_token,
                    issuer=self._settings.issuer,
                    audience=self._settings.client_id,
                    nonce=None,
                    subject=subject,
                    access_token=tokens["access_token"],
                )
            if not claims and not more:
                raise SourceMisbehaved("the refreshed answer says nothing of the person", problem="token_missing")
            identity = self._identity({"sub": subject, **claims}, more)
        following = _text(tokens, "refresh_token")
        return Renewal(identity, following if following != refresh_token else None)

    def check(self, callback_url: str | None = None) -> Iterator[CheckStep]:
        """See RedirectConnector."""
        return examine(self._settings, self._wire, self._metadata, self._client, chance=self._clock, callback_url=callback_url)

    def close(self) -> None:
        """See RedirectConnector."""
        self._wire.close()

    def _fetch_keys(self) -> Mapping[str, Any]:
        return self._wire.read_object(self._metadata.current().jwks_uri)

    def _check_sender(self, parameters: Mapping[str, str], metadata: Metadata) -> None:
        """RFC 9207: an answer of another provider, with a code that would be sent to this one, is a mix-up."""
        sender = parameters.get("iss")
        if sender is None and metadata.names_itself:
            raise SourceMisbehaved("the answer does not name its issuer, and this provider always does", problem="callback_issuer")
        if sender is not None and sender != self._settings.issuer:
            raise SourceMisbehaved(f"the answer is of issuer {ascii(sender)[:200]}", problem="callback_issuer")

    def _userinfo(self, metadata: Metadata, access_token: str, *, subject: str) -> Mapping[str, Any]:
        """What userinfo says of the person; nothing where it is not asked. Raises SourceMisbehaved when it is of somebody else (section 5.3.2)."""
        allowed, endpoint = self._settings.userinfo, metadata.userinfo_endpoint
        if allowed == "none" or endpoint is None:
            return {}
        accepted = {"plain": "application/json", "signed": "application/jwt", "either": "application/json, application/jwt"}[allowed]
        answer = self._wire.get(endpoint, {"Authorization": f"Bearer {access_token}", "Accept": accepted})
        if answer.status_code != 200:
            if answer.status_code in (401, 403):
                raise TokenRefused("invalid_token", "userinfo does not take the token that was just given")
            raise SourceMisbehaved(f"userinfo answered {answer.status_code}", problem="token_malformed")
        is_signed = answer.content_type == "application/jwt"
        if (is_signed and allowed == "plain") or (not is_signed and allowed == "signed"):
            raise SourceMisbehaved(f"userinfo answered {answer.content_type!r}; `userinfo: {allowed}` is agreed", problem="token_malformed")
        said = self._signed_userinfo(answer.body) if is_signed else _object(answer.body)
        if said.get("sub") != subject:
            raise SourceMisbehaved("userinfo is about another person than the ID token", problem="subject")
        return said

    def _signed_userinfo(self, body: bytes) -> Mapping[str, Any]:
        said = self._validator.verify(body.decode("ascii", "replace").strip())
        if "iss" in said and said["iss"] != self._settings.issuer:
            raise SourceMisbehaved("userinfo is signed as another issuer", problem="issuer")
        audience = said.get("aud", self._settings.client_id)
        if self._settings.client_id not in (audience if isinstance(audience, list) else [audience]):
            raise SourceMisbehaved("userinfo is for another client", problem="audience")
        return said

    def _identity(self, claims: Mapping[str, Any], more: Mapping[str, Any]) -> Identity:
        merged = {**claims, **{name: value for name, value in more.items() if name not in OF_THE_TOKEN}}
        return identity_of(merged, self._settings, connector=self.name, seen_at=self._clock.now())


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceMisbehaved("userinfo answered no JSON", problem="token_malformed") from error
    if not isinstance(said, dict):
        raise SourceMisbehaved("userinfo answered no object", problem="token_malformed")
    return said
