"""The stand-in's token endpoint: who we are (secret or assertion), codes with PKCE, refresh tokens, the application's own token, and errors.

As there: an old refresh token goes on after a new one was given; iat and nbf are five minutes old; no amr in version 2.0.
"""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from joserfc import jws
from joserfc.jwk import RSAKey

from tests.support.entra_people import CLIENT_ID, Person
from tests.support.entra_tokens import FORGERIES, Bench, Claims
from tests.support.entra_wire import Reply

if TYPE_CHECKING:
    from tests.support.entra import Entra

WORDS = {
    50011: "The redirect URI specified in the request does not match the redirect URIs configured for the application.",
    50020: "User account from identity provider does not exist in tenant and cannot access the application.",
    50034: "The user account does not exist in the directory.",
    50057: "The user account is disabled.",
    50058: "A silent sign-in request was sent but no user is signed in.",
    50059: "No tenant-identifying information found in either the request or implied by any provided credentials.",
    50126: "Invalid username or password.",
    50148: "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.",
    54005: "OAuth2 Authorization code was already redeemed.",
    65004: "User declined to consent to access the app.",
    70008: "The provided authorization code or refresh token has expired due to inactivity.",
    90002: "Tenant not found.",
    700016: "Application was not found in the directory.",
    700027: "The certificate with identifier used to sign the client assertion is not registered on application.",
    7000112: "Application is disabled.",
    7000215: "Invalid client secret provided. Ensure the secret being sent is the client secret value, not the client secret ID.",
    7000218: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    7000222: "The provided client secret keys are expired.",
    9002313: "Invalid request. Request is malformed or invalid.",
}
OF_CLIENT = frozenset({7000215, 7000222, 7000218, 700027})


@dataclass
class Issued:
    """What a code or a refresh token stands for."""

    person: Person
    asked: dict[str, str]
    auth_time: int
    contexts: frozenset[str]
    issued_at: int
    is_used: bool = False


class TokenEndpoint:
    """Of every tenant."""

    def __init__(self, entra: "Entra") -> None:
        self._entra = entra

    def answer(self, tenant: str, form: dict[str, str]) -> Reply:
        """What a token request gets."""
        if refused := self._refuse_client(tenant, form):
            return refused
        grant = form.get("grant_type")
        if grant == "client_credentials":
            if tenant not in self._entra.tenants:
                return self._refuse("invalid_request", 50059)
            token = self._entra.graph.give_token(None, tenant, form.get("scope", ""))
            return Reply.of({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})
        if grant == "authorization_code":
            issued = self._entra.codes.get(form.get("code", ""))
            if issued is None:
                return self._refuse("invalid_request", 9002313)
            if issued.is_used:
                return self._refuse("invalid_grant", 54005)
            issued.is_used = True
            if self._entra.seconds - issued.issued_at > 600:
                return self._refuse("invalid_grant", 70008)
            if form.get("redirect_uri") != issued.asked["redirect_uri"]:
                return self._refuse("invalid_grant", 50011)
            challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            if issued.asked.get("code_challenge_method") != "S256" or challenge != issued.asked.get("code_challenge"):
                return self._refuse("invalid_grant", 50148)
            return self._give(issued, nonce=issued.asked.get("nonce"), scope=form.get("scope", ""))
        issued = self._entra.refresh_tokens.get(form.get("refresh_token", ""))
        if grant != "refresh_token" or issued is None:
            return self._refuse("invalid_grant", 9002313)
        person = issued.person
        number = 50057 if not person.enabled else 50034 if person.deleted else person.refresh_error
        if number is not None:
            is_person = number in {50057, 50034, 50020, 70008, 700082, 50173}
            return self._refuse("invalid_grant" if is_person else "interaction_required", number, suberror="bad_token")
        return self._give(issued, nonce=None, scope=form.get("scope", ""))

    def _refuse_client(self, tenant: str, form: dict[str, str]) -> Reply | None:
        registration = self._entra.registration
        if form.get("client_id") != registration.client_id:
            return self._refuse("unauthorized_client", 700016)
        if not registration.enabled:
            return self._refuse("unauthorized_client", 7000112)
        if assertion := form.get("client_assertion"):
            return None if self._accepts(assertion, tenant) else self._refuse("invalid_client", 700027)
        if not (secret := form.get("client_secret")):
            return self._refuse("invalid_client", 7000218)
        ends = registration.secrets.get(secret)
        if ends is None:
            return self._refuse("invalid_client", 7000215)
        return self._refuse("invalid_client", 7000222) if ends <= self._entra.now() else None

    def _accepts(self, assertion: str, tenant: str) -> bool:
        """A client assertion (RFC 7523) by a registered certificate. Its times are msal's, which reads the machine's clock."""
        header = json.loads(base64.urlsafe_b64decode(assertion.split(".")[0] + "=="))
        pem = self._entra.registration.certificates.get(header.get("x5t#S256", "").rstrip("="))  # msal pads it
        if pem is None:
            return False
        claims = json.loads(jws.deserialize_compact(assertion, RSAKey.import_key(pem), registry=_assertions()).payload)
        now = time.time()
        is_in_time = claims["iat"] - 60 <= now < claims["exp"] <= claims["iat"] + 3600
        endpoint = f"{self._entra.url}/{tenant}/oauth2/v2.0/token"
        return (
            is_in_time
            and claims["aud"] == endpoint
            and claims["iss"] == claims["sub"] == self._entra.registration.client_id
            and bool(claims["jti"])
        )

    def _give(self, issued: Issued, *, nonce: str | None, scope: str) -> Reply:
        access = self._entra.graph.give_token(issued.person, issued.person.tenant, scope)
        refresh = f"1.{secrets.token_urlsafe(32)}"
        self._entra.refresh_tokens[refresh] = issued
        body = {
            "token_type": "Bearer",
            "scope": "openid profile email "
            + " ".join(name for name in scope.split() if name not in {"openid", "profile", "offline_access"}),
            "expires_in": 4121,
            "ext_expires_in": 4121,
            "access_token": access,
            "client_info": b64(json.dumps({"uid": issued.person.oid, "utid": issued.person.tenant}).encode()),
        }
        if "offline_access" in scope.split():
            body["refresh_token"] = refresh
        token = self._id_token(issued, nonce)
        return Reply.of({**body, **({} if token is None else {"id_token": token})}, Cache_Control="no-store")

    def _id_token(self, issued: Issued, nonce: str | None) -> str | None:
        now, person = self._entra.seconds, issued.person
        claims: Claims = {
            "ver": "2.0",
            "iss": f"{self._entra.url}/{person.tenant}/v2.0",
            "sub": b64(hashlib.sha256(f"{person.oid}{CLIENT_ID}".encode()).digest()),  # of this person for this application only
            "aud": self._entra.registration.client_id,
            "exp": now + 3600,
            "iat": now - 300,
            "nbf": now - 300,
            "name": f"{person.given_name} {person.surname}",
            "preferred_username": person.upn,
            "oid": person.oid,
            "tid": person.tenant,
            "uti": secrets.token_urlsafe(12),
            "rh": f"0.{secrets.token_urlsafe(12)}.",
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if person.is_guest:
            claims["idp"] = f"https://sts.windows.net/{person.home}/"
        if person.roles:
            claims["roles"] = person.roles
        groups = [group.id for group in (*person.groups, *person.nested) if group.kind.endswith(".group")]
        if self._entra.registration.tells_groups and len(groups) > self._entra.overage_at:
            where = f"https://graph.microsoft.com/v1.0/users/{person.oid}/getMemberObjects"
            claims |= {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": where}}}
        elif self._entra.registration.tells_groups and groups:
            claims["groups"] = groups
        if issued.contexts:
            claims["acrs"] = sorted(issued.contexts)
        if self._entra.registration.tells_auth_time:
            claims["auth_time"] = issued.auth_time
        claims |= self._entra.extra_claims
        bench = Bench(claims, self._entra.keys[0], self._entra.foreign_key, self._entra.key("key-of-a-forger"), now, self._entra.url)
        return self._entra.keys[0].sign(claims) if self._entra.forgery is None else FORGERIES[self._entra.forgery][0](bench)

    def _refuse(self, error: str, code: int, suberror: str = "") -> Reply:
        return error_of(self._entra.now(), error, code, suberror)


def error_of(now: datetime, error: str, code: int, suberror: str = "") -> Reply:
    """An error answer as Entra writes it."""
    body = {
        "error": error,
        "error_description": describe(now, code),
        "error_codes": [code],
        "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
        "trace_id": secrets.token_hex(8),
        "correlation_id": secrets.token_hex(8),
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
    return Reply.of({**body, **({"suberror": suberror} if suberror else {})}, 401 if code in OF_CLIENT else 400)


def describe(now: datetime, code: int) -> str:
    """error_description, with the number in front."""
    words = WORDS.get(code, "Something is wrong.")
    return f"AADSTS{code}: {words} Trace ID: {secrets.token_hex(8)} Correlation ID: {secrets.token_hex(8)} Timestamp: {now:%Y-%m-%d}"


def _assertions() -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=["PS256"], strict_check_header=False)
    registry.max_header_length = 16_384  # x5c holds the certificate
    return registry


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
