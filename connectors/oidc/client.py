"""The OAuth 2.0 client of one provider: Authlib's protocol logic over our wire, and how we prove ourselves at the token endpoint.

Owns the authorization address, the token requests and the words for their refusal; it does not believe a token (provider.py does, through
connectors/id_token.py). RFC 6749, RFC 7636 (S256 always), RFC 7523 section 2.2.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

from authlib.common.encoding import to_native
from authlib.oauth2.client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from connectors.base import Clock, SourceMisbehaved, SourceUnreachable
from connectors.oidc.metadata import Metadata
from connectors.oidc.settings import OidcSettings
from connectors.oidc.wire import Wire

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60
ERROR_CODE = re.compile(r"[a-z][a-z_]{0,59}")
OUR_FAULT = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})


class Chance(Clock, Protocol):
    """Time, and 256 random bits at a time."""

    def new_token(self) -> str:
        """43 URL-safe characters that nobody can guess."""
        ...


class TokenRefused(Exception):
    """The token endpoint's error (RFC 6749 section 5.2): `error` is its code, or `invalid` when that is none."""

    def __init__(self, error: object, description: object = None) -> None:
        self.error = error_code(error)
        self.description = ascii(description)[:200] if description is not None else ""
        super().__init__(self.error)


class _Client(OAuth2Client):  # type: ignore[misc]  # Authlib has no types
    oauth_error_class = TokenRefused


class OAuthClient:
    """Safe to share between threads: what Authlib keeps of an exchange lives in an object of that exchange."""

    def __init__(self, settings: OidcSettings, wire: Wire, chance: Chance) -> None:
        self._settings = settings
        self._wire = wire
        self._chance = chance

    def authorization_url(self, metadata: Metadata, *, callback_url: str, state: str, verifier: str, asked: Mapping[str, str]) -> str:
        """Where to send the browser; `asked` are the parameters beyond those of RFC 6749 and PKCE."""
        scope = " ".join(self._settings.scopes)
        url, _ = self._client(metadata).create_authorization_url(
            metadata.authorization_endpoint, state=state, code_verifier=verifier, redirect_uri=callback_url, scope=scope, **asked
        )
        return to_native(url)  # type: ignore[no-any-return]  # Authlib has no types

    def redeem(self, metadata: Metadata, code: str, *, callback_url: str, verifier: str) -> Mapping[str, Any]:
        """The answer to a code: an access token is in it. Raises TokenRefused, SourceUnreachable or SourceMisbehaved."""
        return self._tokens(
            lambda client: client.fetch_token(
                metadata.token_endpoint, grant_type="authorization_code", code=code, redirect_uri=callback_url, code_verifier=verifier
            ),
            metadata,
        )

    def refresh(self, metadata: Metadata, refresh_token: str) -> Mapping[str, Any]:
        """The answer to a refresh token. Raises as `redeem`."""
        return self._tokens(lambda client: client.refresh_token(metadata.token_endpoint, refresh_token=refresh_token), metadata)

    def _tokens(self, ask: Callable[[Any], Any], metadata: Metadata) -> Mapping[str, Any]:
        client = self._client(metadata)
        try:
            answer = ask(client)
        except TokenRefused as error:
            if error.error in OUR_FAULT:
                detail = f"the token endpoint refuses us: {error.error} {error.description}".strip()
                raise SourceUnreachable(detail, trouble="service_account") from error
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise SourceMisbehaved("the token endpoint's answer cannot be read", problem="code_refused") from error
        if not isinstance(answer.get("access_token"), str) or str(answer.get("token_type", "")).lower() != "bearer":
            raise SourceMisbehaved("the token answer holds no bearer token", problem="code_refused")
        return answer  # type: ignore[no-any-return]  # Authlib has no types

    def _client(self, metadata: Metadata) -> Any:
        settings = self._settings
        method = settings.client_authentication or self._usual_method(metadata)
        client = _Client(
            self._wire,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            token_endpoint_auth_method=method,
            code_challenge_method="S256",
        )
        client.register_client_auth_method(("client_secret_basic", _encode_basic))
        client.register_client_auth_method(("private_key_jwt", self._encode_assertion))
        return client

    def _usual_method(self, metadata: Metadata) -> str:
        if self._settings.client_key is not None:
            return "private_key_jwt"
        # Discovery section 3: client_secret_basic where it does not say.
        offered = metadata.listed("token_endpoint_auth_methods_supported") or ("client_secret_basic",)
        return "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"

    def _encode_assertion(
        self, _client: Any, _method: str, uri: str, headers: dict[str, str], body: str
    ) -> tuple[str, dict[str, str], str]:
        key, algorithm = self.signing_key()
        now = int(self._chance.now().timestamp())
        claims = {
            "iss": self._settings.client_id,
            "sub": self._settings.client_id,
            # The issuer and not the endpoint (draft-ietf-oauth-rfc7523bis): another server must not be able to use it.
            "aud": self._settings.issuer,
            "jti": self._chance.new_token(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        header = {"alg": algorithm, "kid": self._settings.client_key_id or key.thumbprint()}
        assertion = jwt.encode(header, claims, key, algorithms=[algorithm])
        proof = {"client_id": self._settings.client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return uri, headers, f"{body}&{urlencode(proof)}"

    def signing_key(self) -> tuple[Key, str]:
        """Our key and its algorithm, read each time: it may be replaced while we run. Raises SourceUnreachable when it cannot be used."""
        path = self._settings.client_key
        try:
            content = path.read_bytes() if path is not None else b""
        except OSError as error:
            raise SourceUnreachable(f"cannot read the key {path}: {error.strerror}", trouble="service_account") from error
        kinds: tuple[tuple[type[RSAKey | ECKey | OKPKey], str], ...] = ((RSAKey, "RS256"), (ECKey, "ES256"), (OKPKey, "Ed25519"))
        for kind, algorithm in kinds:
            try:
                key = kind.import_key(content)
            except (JoseError, ValueError, TypeError):
                continue
            if key.is_private and (not isinstance(key, ECKey) or key.curve_name == "P-256"):
                return key, algorithm
        raise SourceUnreachable(f"{path} holds no private key that can sign (RSA, P-256 or Ed25519, in PEM)", trouble="service_account")


def error_code(value: object) -> str:
    """An OAuth error code, or `invalid` for anything that is none: a stranger may write it."""
    return value if isinstance(value, str) and ERROR_CODE.fullmatch(value) else "invalid"


def _encode_basic(client: Any, _method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
    """RFC 6749 section 2.3.1: both halves form-encoded first, which Authlib leaves out."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret or '')}"
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return uri, headers, body
