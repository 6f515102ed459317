"""/authorize: an ordered table of small checks from raw parameters to a frozen AuthorizationRequest.

Until the client and its redirect URI are proven an error is shown on a page; after that it goes back by redirect with `iss` and `state`
(RFC 6749 section 4.1.2.1, RFC 9207). Each check does one thing and cites its rule. OpenID Connect Core section 3.1.2.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from idp.audit import Reason
from idp.errors import Refused
from idp.oauth.claims import SCOPES
from idp.oauth.clients import ClientRegistry, OAuthClient
from idp.oauth.message import AuthorizationResponse
from idp.oauth.tokens import LONGEST_TOKEN, Mint
from idp.signin.interaction import AuthorizationRequest
from idp.store.database import Transaction

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
LONGEST_PARAMETER = 4096
LONGEST_LOCALES = 60
MOST_NESTED = 8
MAY_REPEAT = frozenset({"resource"})


class AuthorizationRefused(Refused):
    """The request is refused: by redirect when `response` is set, on a page otherwise."""

    def __init__(self, error: str, reason: Reason, response: AuthorizationResponse | None, *, client_id: str | None) -> None:
        super().__init__(reason, error)
        self.error = error
        self.reason_code = reason
        self.response = response
        self.client_id = client_id


@dataclass(slots=True)
class Draft:
    """What is known so far; each check reads the parameters and adds to it."""

    pairs: list[tuple[str, str]]
    tx: Transaction
    registry: ClientRegistry
    mint: Mint
    issuer: str
    parameters: dict[str, str] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    client: OAuthClient | None = None
    redirect_uri: str = ""
    response_mode: str = "query"
    found: dict[str, Any] = field(default_factory=dict)

    def proven(self) -> OAuthClient:
        """The client, once proven."""
        if self.client is None:
            raise AssertionError("a check ran before the client was proven")
        return self.client

    def refuse(self, error: str, reason: Reason, description: str = "") -> NoReturn:
        """Refuse by redirect if both client and redirect URI are proven, on a page otherwise."""
        client_id = self.client.client_id if self.client else None
        if not self.redirect_uri:
            raise AuthorizationRefused(error, reason, None, client_id=client_id)
        parameters = [("error", error)]
        if description:
            parameters.append(("error_description", description))
        response = respond(self.redirect_uri, self.response_mode, parameters, state=self.parameters.get("state"), issuer=self.issuer)
        raise AuthorizationRefused(error, reason, response, client_id=client_id)


def respond(redirect_uri: str, mode: str, parameters: list[tuple[str, str]], *, state: str | None, issuer: str) -> AuthorizationResponse:
    """An authorization response: the parameters, `state` exactly as it came, and `iss`."""
    echoed = [("state", state)] if state is not None else []
    return AuthorizationResponse(redirect_uri, mode, (*parameters, *echoed, ("iss", issuer)))


def validate(draft: Draft) -> AuthorizationRequest:
    """Run every check in order; raises AuthorizationRefused at the first that fails."""
    for check in CHECKS:
        check(draft)
    return AuthorizationRequest(
        client_id=draft.proven().client_id, redirect_uri=draft.redirect_uri, response_mode=draft.response_mode, **draft.found
    )


def read_parameters(draft: Draft) -> None:
    """Empty values count as absent; repetitions are judged once errors can be redirected (RFC 6749 section 3.1)."""
    seen: dict[str, str] = {}
    repeated = set()
    for name, value in draft.pairs:
        if name in seen and name not in MAY_REPEAT:
            repeated.add(name)
        seen.setdefault(name, value)
        # Our own ID token is never too long for us: it lists every attachment of the person.
        longest = LONGEST_TOKEN if name == "id_token_hint" else LONGEST_PARAMETER
        if len(value) > longest or CONTROL.search(value):
            draft.refuse("invalid_request", Reason.INVALID_REQUEST)
    draft.parameters = {name: value for name, value in seen.items() if value}
    draft.repeated = frozenset(repeated)
    if repeated & {"client_id", "redirect_uri"}:
        draft.refuse("invalid_request", Reason.DUPLICATE_PARAMETER)


def find_client(draft: Draft) -> None:
    """The client must be known."""
    draft.client = draft.registry.get(draft.tx, draft.parameters.get("client_id", ""))
    if draft.client is None:
        draft.refuse("invalid_request", Reason.UNKNOWN_CLIENT)


def prove_redirect_uri(draft: Draft) -> None:
    """Exact match, always present (RFC 9700 section 4.1.3)."""
    uri = draft.parameters.get("redirect_uri", "")
    if not draft.proven().accepts_redirect(uri):
        draft.refuse("invalid_request", Reason.REDIRECT_URI_MISMATCH)
    draft.redirect_uri = uri


def choose_response_mode(draft: Draft) -> None:
    """query or form_post; anything else is answered by query."""
    mode = draft.parameters.get("response_mode", "query")
    if mode not in {"query", "form_post"}:
        draft.refuse("invalid_request", Reason.INVALID_REQUEST, "The response_mode is not supported")
    draft.response_mode = mode


def refuse_repetitions(draft: Draft) -> None:
    """A parameter appears at most once."""
    if draft.repeated:
        draft.parameters = {name: value for name, value in draft.parameters.items() if name != "state" or "state" not in draft.repeated}
        draft.refuse("invalid_request", Reason.DUPLICATE_PARAMETER, "A parameter appears more than once")


def refuse_unsupported_objects(draft: Draft) -> None:
    """request, request_uri and registration have their own errors until supported (Core section 6, 7.2.1)."""
    for name, reason in (
        ("request", Reason.REQUEST_NOT_SUPPORTED),
        ("request_uri", Reason.REQUEST_URI_NOT_SUPPORTED),
        ("registration", Reason.REGISTRATION_NOT_SUPPORTED),
    ):
        if name in draft.parameters:
            draft.refuse(str(reason), reason)


def check_response_type(draft: Draft) -> None:
    """Only the code flow."""
    response_type = draft.parameters.get("response_type")
    if response_type is None:
        draft.refuse("invalid_request", Reason.INVALID_REQUEST, "Missing response_type")
    if response_type != "code":
        draft.refuse("unsupported_response_type", Reason.UNSUPPORTED_RESPONSE_TYPE)
    if not draft.proven().check_grant_type("authorization_code"):
        draft.refuse("unauthorized_client", Reason.UNAUTHORIZED_CLIENT)


def check_scope(draft: Draft) -> None:
    """Scopes we know and the client is not registered for are refused; those nobody knows are ignored (Core section 3.1.2.1)."""
    client = draft.proven()
    asked = tuple(dict.fromkeys(draft.parameters.get("scope", "").split()))
    if not asked:
        draft.refuse("invalid_scope", Reason.INVALID_SCOPE, "Missing scope")
    if any(scope in SCOPES and scope not in client.scopes for scope in asked):
        draft.refuse("invalid_scope", Reason.INVALID_SCOPE, "A scope is not allowed to this client")
    kept = tuple(scope for scope in asked if scope in client.scopes)
    if not kept:
        draft.refuse("invalid_scope", Reason.INVALID_SCOPE, "No known scope was asked")
    # offline_access means nothing to a client that cannot refresh (Core section 11).
    draft.found["scope"] = tuple(scope for scope in kept if scope != "offline_access" or client.check_grant_type("refresh_token"))


def check_pkce(draft: Draft) -> None:
    """S256 only, and always unless the client is registered without (RFC 9700 section 2.1.1)."""
    challenge = draft.parameters.get("code_challenge")
    method = draft.parameters.get("code_challenge_method")
    settings = draft.proven().settings
    # A public client never goes without, whatever its registration came to say.
    if challenge is None and method is None and not settings.require_pkce and not settings.is_public:
        return
    if challenge is None:
        draft.refuse("invalid_request", Reason.PKCE_REQUIRED, "A code_challenge is required")
    if method != "S256":
        draft.refuse("invalid_request", Reason.PKCE_METHOD_REFUSED, "code_challenge_method must be S256")
    if not CHALLENGE.fullmatch(challenge):
        draft.refuse("invalid_request", Reason.PKCE_METHOD_REFUSED, "The code_challenge is malformed")
    draft.found["code_challenge"] = challenge


def check_prompt(draft: Draft) -> None:
    """none stands alone (Core section 3.1.2.1)."""
    prompt = frozenset(draft.parameters.get("prompt", "").split())
    if not prompt <= PROMPTS or ("none" in prompt and len(prompt) > 1):
        draft.refuse("invalid_request", Reason.INVALID_REQUEST, "The prompt is not valid")
    draft.found["prompt"] = prompt


def check_max_age(draft: Draft) -> None:
    """A whole number of seconds; the client's own default applies otherwise."""
    asked = draft.parameters.get("max_age")
    default = draft.proven().settings.default_max_age
    if asked is None:
        draft.found["max_age_seconds"] = int(default.total_seconds()) if default is not None else None
        return
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 9):
        draft.refuse("invalid_request", Reason.INVALID_REQUEST, "max_age must be a whole number of seconds")
    draft.found["max_age_seconds"] = int(asked)


def check_claims(draft: Draft) -> None:
    """The claims parameter is a JSON object of objects (Core section 5.5); claims we do not have are ignored."""
    text = draft.parameters.get("claims")
    acr: list[str] = []
    if text is not None:
        asked = _read_claims(text)
        if asked is None:
            draft.refuse("invalid_request", Reason.INVALID_REQUEST, "The claims parameter is not valid")
        draft.found["claims"], draft.found["claims_scope"] = _allowed_claims(draft, asked)
        draft.found["asks_auth_time"] = ((asked.get("id_token") or {}).get("auth_time") or {}).get("essential") is True
        for part in ("id_token", "userinfo"):
            demand = (asked.get(part) or {}).get("sub")
            wanted = demand.get("value") if isinstance(demand, dict) else None
            if isinstance(wanted, str) and draft.found.setdefault("hinted_account_id", wanted) != wanted:
                draft.refuse("invalid_request", Reason.INVALID_REQUEST, "The claims parameter names two people")
        demand = (asked.get("id_token") or {}).get("acr") or {}
        if demand.get("essential") is True:
            acr = [value for value in [demand.get("value"), *(demand.get("values") or [])] if isinstance(value, str)]
    draft.found["essential_acr"] = tuple(acr)


def _allowed_claims(draft: Draft, asked: dict[str, Any]) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The claims that the client's own scopes hold, and the scopes they belong to beyond those asked: a name is no way round a scope."""
    names = {name for wanted in asked.values() for name in wanted}
    scopes = [scope for scope, held in SCOPES.items() if scope in draft.proven().scopes and names & set(held)]
    allowed = {name for scope in scopes for name in SCOPES[scope]}
    kept = {part: found for part, wanted in asked.items() if (found := {name: wanted[name] for name in wanted if name in allowed})}
    return kept or None, tuple(scope for scope in scopes if scope not in draft.found["scope"])


def _read_claims(text: str) -> dict[str, Any] | None:
    try:
        asked = json.loads(text)
        # Written back to be sure that it can be kept: Python reads infinities and half characters, which nothing else does.
        json.dumps(asked, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or _is_deeper(asked, MOST_NESTED):
        return None
    kept: dict[str, Any] = {}
    for part in ("id_token", "userinfo"):
        wanted = asked.get(part)
        if wanted is None:
            continue
        if not isinstance(wanted, dict) or not all(demand is None or isinstance(demand, dict) for demand in wanted.values()):
            return None
        if any(isinstance(demand, dict) and not isinstance(demand.get("values", []), list) for demand in wanted.values()):
            return None
        kept[part] = wanted
    return kept


def _is_deeper(value: object, levels: int) -> bool:
    """Whether JSON is nested deeper: what is copied and stored later must not exhaust the stack."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_deeper(part, levels - 1) for part in inner) if levels else isinstance(value, dict | list)


def check_id_token_hint(draft: Draft) -> None:
    """An ID token of ours, given to this client; it may have expired (Core section 3.1.2.1)."""
    hint = draft.parameters.get("id_token_hint")
    if hint is None:
        return
    claims = draft.mint.read_id_token_hint(hint)
    if claims is None or claims.get("aud") != draft.proven().client_id:
        draft.refuse("invalid_request", Reason.INVALID_REQUEST, "The id_token_hint is not valid")
    if draft.found.setdefault("hinted_account_id", claims["sub"]) != claims["sub"]:
        draft.refuse("invalid_request", Reason.INVALID_REQUEST, "The id_token_hint and the claims parameter differ")


def check_resources(draft: Draft) -> None:
    """RFC 8707: each resource from the client's allow list."""
    asked = tuple(dict.fromkeys(value for name, value in draft.pairs if name == "resource" and value))
    if not set(asked) <= set(draft.proven().settings.resources):
        draft.refuse("invalid_target", Reason.INVALID_TARGET, "A resource is not allowed to this client")
    draft.found["resources"] = asked


def read_hints(draft: Draft) -> None:
    """What only helps: state and nonce as they came, languages, who may be there, which establishment."""
    parameters = draft.parameters
    for name in ("state", "nonce", "login_hint"):
        draft.found[name] = parameters.get(name)
    # Kept with the Grant, in a column that holds this much.
    locales = parameters.get("claims_locales", "")
    draft.found["claims_locales"] = locales if 0 < len(locales) <= LONGEST_LOCALES else None
    draft.found["ui_locales"] = tuple(parameters.get("ui_locales", "").split())
    draft.found["acr_values"] = tuple(parameters.get("acr_values", "").split())
    draft.found["establishment_hint"] = parameters.get("establishment") or draft.proven().settings.default_establishment
    draft.found["idp_hint"] = parameters.get("kc_idp_hint")
    draft.found["domain_hint"] = parameters.get("domain_hint")


CHECKS: tuple[Callable[[Draft], None], ...] = (
    read_parameters,
    find_client,
    prove_redirect_uri,
    choose_response_mode,
    refuse_repetitions,
    refuse_unsupported_objects,
    check_response_type,
    check_scope,
    check_pkce,
    check_prompt,
    check_max_age,
    check_claims,
    check_id_token_hint,
    check_resources,
    read_hints,
)
