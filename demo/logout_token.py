"""A logout token, checked as Back-Channel Logout 1.0 section 2.6 asks. Whether its `jti` was seen before is the caller's to say."""

import time
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

EVENT = "http://schemas.openid.net/event/backchannel-logout"
ALGORITHMS = ["RS256", "ES256"]


class Refused(Exception):
    """The token is not a good logout token; the text says why."""


def read_logout_token(token: str, *, issuer: str, client_id: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The claims; raises Refused. `keys` is the issuer's JWKS."""
    rules = jwt.JWTClaimsRegistry(
        now=int(time.time()),
        leeway=30,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        iat={"essential": True},
        exp={"essential": True},
        jti={"essential": True},
    )
    try:
        decoded = jwt.decode(token, KeySet.import_key_set(dict(keys)), algorithms=ALGORITHMS)  # type: ignore[arg-type]  # JSON, not yet a TypedDict
        rules.validate(decoded.claims)
    except (JoseError, ValueError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    claims = decoded.claims
    if decoded.header.get("typ") not in {None, "logout+jwt", "JWT"}:
        raise Refused("this is another kind of token")
    if not isinstance(claims.get("events"), dict) or claims["events"].get(EVENT) != {}:
        raise Refused("it does not carry the logout event")
    if "nonce" in claims:
        raise Refused("a logout token has no nonce")
    if not claims.get("sid") and not claims.get("sub"):
        raise Refused("it names neither a session nor a person")
    return dict(claims)
