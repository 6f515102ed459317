"""`vestibule connector check` for an OpenID Provider: each setting tried in the order in which a sign-in needs it, and what to do when it fails.

Speaks to an operator, in plain words; changes nothing there. What needs a person (a level that is not given) cannot be tried; what its metadata
says of it is compared.
"""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from connectors.base import CheckStep, Clock, ConnectorError, SourceMisbehaved, SourceUnreachable, Trouble
from connectors.id_token import ALGORITHMS, IdTokenValidator
from connectors.oidc.client import Chance, OAuthClient, TokenRefused, error_code
from connectors.oidc.metadata import Metadata, MetadataSource
from connectors.oidc.settings import OidcSettings
from connectors.oidc.wire import Wire

WHAT_TO_DO: dict[Trouble, str] = {
    "refused": "Nobody answers there: check the spelling, this machine's DNS, the firewall between, and whether a `proxy` is needed.",
    "timeout": "It did not answer in time: check the firewall between (it may drop packets), and whether a `proxy` is needed.",
    "closed": "It closed the connection: something between may be filtering, or it wants a client certificate, which is not supported.",
    "tls_untrusted": "The certificate is not signed by an authority that we know: put that authority's PEM file in `ca_file`.",
    "tls_name": "The certificate is for another name: write the `issuer` with the name that is in the certificate.",
    "tls_expired": "The certificate is outside its dates: its operator must renew it (check this machine's clock too).",
    "tls_failed": "TLS cannot be agreed: it may not speak TLS 1.2, or something between answers in its place.",
    "service_account": "It refuses us: check `client_id`, and `client_secret` or `client_key`; a secret may have been replaced there, or be over.",
    "unavailable": "It answered that it cannot answer now: ask its operator, and try again.",
}
NEVER_A_CODE = "vestibule-connector-check"
NOBODY_THERE = frozenset({"login_required", "interaction_required", "consent_required", "account_selection_required"})


def examine(
    settings: OidcSettings, wire: Wire, source: MetadataSource, client: OAuthClient, *, chance: Chance, callback_url: str | None
) -> Iterator[CheckStep]:
    """Metadata, keys, what it offers, our credential, our redirect address. Raises nothing of the family."""
    if settings.preset is not None:
        where = settings.environment or "production"
        yield CheckStep(title="Preset", outcome="ok", explanation=f"{settings.preset}, {where}: issuer {settings.issuer}")
    try:
        metadata = source.read()
    except SourceUnreachable as error:
        yield _failed("Metadata", error)
        return
    except SourceMisbehaved as error:
        yield CheckStep(title="Metadata", outcome="failed", explanation=f"{settings.document_url}: {error.detail}. {_of_metadata(error)}")
        return
    yield CheckStep(title="Metadata", outcome="ok", explanation=f"{settings.document_url} is of issuer {settings.issuer}")
    yield _keys(wire, metadata, chance)
    yield from _offers(settings, metadata)
    yield _credential(client, metadata, callback_url or f"{settings.issuer}/{NEVER_A_CODE}")
    if callback_url is not None:
        yield _redirect(wire, client, metadata, chance, callback_url=callback_url)


def _of_metadata(error: SourceMisbehaved) -> str:
    if error.problem == "issuer":
        return "Write `issuer` letter for letter as it writes it (a slash at the end counts), if that is the provider you mean."
    return "Check `issuer` (and `metadata_url`): something else answers there."


def _keys(wire: Wire, metadata: Metadata, clock: Clock) -> CheckStep:
    validator = IdTokenValidator(lambda: wire.read_object(metadata.jwks_uri), clock)
    try:
        usable = validator.count_keys()
    except SourceUnreachable as error:
        return _failed("Keys", error)
    except ConnectorError as error:
        return CheckStep(title="Keys", outcome="failed", explanation=f"{error.detail}. Ask its operator: no ID token can be verified.")
    if not usable:
        say = f"{metadata.jwks_uri} has no key that can verify a signature: no ID token can be believed. Ask its operator."
        return CheckStep(title="Keys", outcome="failed", explanation=say)
    return CheckStep(title="Keys", outcome="ok", explanation=f"{usable} for verifying signatures")


def _offers(settings: OidcSettings, metadata: Metadata) -> Iterator[CheckStep]:
    algorithms = metadata.listed("id_token_signing_alg_values_supported")
    if algorithms is not None and not set(algorithms) & set(ALGORITHMS):
        say = f"It signs ID tokens with {', '.join(algorithms)} only; we believe {', '.join(ALGORITHMS)}."
        yield CheckStep(title="Signatures", outcome="failed", explanation=say)
    if "code" not in (metadata.listed("response_types_supported") or ("code",)):
        yield CheckStep(
            title="Code flow", outcome="failed", explanation="It does not offer `response_type=code`, the only one that we ask."
        )
    challenges = metadata.listed("code_challenge_methods_supported")
    if challenges is None or "S256" not in challenges:
        say = "It does not say that it checks PKCE (S256). We send it; ask its operator whether it is checked."
        yield CheckStep(title="PKCE", outcome="warning", explanation=say)
    yield from _listed(settings.scopes, metadata.listed("scopes_supported"), title="Scopes", name="scopes")
    levels = tuple(dict.fromkeys((*settings.acr_values, *settings.mfa_acr)))
    yield from _listed(levels, metadata.listed("acr_values_supported"), title="Levels", name="acr_values")
    if settings.userinfo != "none" and metadata.userinfo_endpoint is None:
        say = "It has no userinfo endpoint: names and groups must be in its ID tokens. Write `userinfo: none` if they are."
        yield CheckStep(title="Userinfo", outcome="warning", explanation=say)
    grants = metadata.listed("grant_types_supported")
    if settings.keeps_refresh_token and grants is not None and "refresh_token" not in grants:
        say = "It gives no refresh tokens: people who are signed in are asked to come again after standing.upstream_life."
        yield CheckStep(title="Refresh", outcome="warning", explanation=say)
    if not metadata.names_itself:
        say = "It does not name itself in its answers (RFC 9207). With several providers that do not, give each its own client at each."
        yield CheckStep(title="Issuer in answers", outcome="warning", explanation=say)


def _listed(wanted: tuple[str, ...], offered: tuple[str, ...] | None, *, title: str, name: str) -> Iterator[CheckStep]:
    missing = [one for one in wanted if offered is not None and one not in offered]
    if missing:
        say = f"`{name}` has {', '.join(missing)}, which its metadata does not list. It may answer with an error: check the spelling."
        yield CheckStep(title=title, outcome="warning", explanation=say)


def _redirect(wire: Wire, client: OAuthClient, metadata: Metadata, chance: Chance, *, callback_url: str) -> CheckStep:
    """A request that wants nobody asked: the error is sent to an address that is registered, and else shown on a page (RFC 6749 4.1.2.1)."""
    title, asked = "Redirect address", {"prompt": "none", "nonce": chance.new_token()}
    state, verifier = chance.new_token(), chance.new_token()
    url = client.authorization_url(metadata, callback_url=callback_url, state=state, verifier=verifier, asked=asked)
    try:
        status, location = wire.peek(url)
    except SourceUnreachable as error:
        return _failed(title, error)
    except ConnectorError as error:
        return CheckStep(title=title, outcome="failed", explanation=error.detail)
    if location.partition("?")[0].partition("#")[0] == callback_url:
        answered = dict(parse_qsl(urlsplit(location).query)).get("error", "")
        if answered in NOBODY_THERE:
            return CheckStep(title=title, outcome="ok", explanation=f"{callback_url} is registered")
        say = f"{callback_url} is registered, but it answers {error_code(answered)}: look at `scopes` and at what our client may do there."
        return CheckStep(title=title, outcome="failed", explanation=say)
    if 400 <= status < 500:
        say = f"It does not send people to {callback_url} (HTTP {status}): register that address there, letter for letter, for this `client_id`."
        return CheckStep(title=title, outcome="failed", explanation=say)
    say = f"It does not say whether {callback_url} is registered: try a sign-in."
    return CheckStep(title=title, outcome="warning", explanation=say)


def _credential(client: OAuthClient, metadata: Metadata, callback_url: str) -> CheckStep:
    """A code that nobody gave: a server that takes our proof says that the code is wrong, another one that we are."""
    title = "Our credential"
    try:
        client.redeem(metadata, NEVER_A_CODE, callback_url=callback_url, verifier=NEVER_A_CODE * 2)
    except TokenRefused as error:
        if error.error == "invalid_grant":
            return CheckStep(title=title, outcome="ok", explanation="accepted (a made-up code was refused, as it should be)")
        say = f"It answered {error.error} {error.description} to a made-up code: our credential may be right or wrong. Try a sign-in."
        return CheckStep(title=title, outcome="warning", explanation=say)
    except SourceUnreachable as error:
        return _failed(title, error)
    except ConnectorError as error:
        return CheckStep(title=title, outcome="failed", explanation=f"{error.detail}. Something else answers at its token endpoint.")
    return CheckStep(title=title, outcome="failed", explanation="It gave tokens for a made-up code. Do not use this provider.")


def _failed(title: str, error: SourceUnreachable) -> CheckStep:
    return CheckStep(title=title, outcome="failed", explanation=f"{error.detail}. {WHAT_TO_DO.get(error.trouble, '')}".strip())
