"""The OpenID Connect connector against a provider over real HTTPS that forges, errs, dawdles or cannot be trusted; and what its `check` says."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from connectors.base import Arrival, Ask, Lapsed, SourceMisbehaved, SourceUnreachable
from connectors.id_token import half_hash
from connectors.oidc.claims import identity_of
from connectors.oidc.provider import OidcProvider
from connectors.oidc.settings import OidcSettings
from idp.clock import SystemClock
from tests.support.certificates import PrivateAuthority
from tests.support.fixed_clock import FixedClock
from tests.support.forging_provider import ForgingProvider, forging_provider_serving, https_serving

CALLBACK = "https://vestibule.example/upstream/amont/callback"
STRANGER = RSAKey.generate_key(2048, {"kid": "first"})
PATIENT = "10s"
IMPATIENT = "400ms"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> PrivateAuthority:
    return PrivateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running_provider(authority: PrivateAuthority) -> Iterator[ForgingProvider]:
    with forging_provider_serving(FixedClock(), authority.sign("provider")) as provider:
        yield provider


class Door:
    """What our sign-in does: send a browser away, and take what it brings back."""

    def __init__(self, provider: ForgingProvider, authority: PrivateAuthority, folder: Path) -> None:
        self.provider = provider
        self.authority = authority
        self.secret = folder / "secret"
        self.secret.write_text("the-secret-of-ours", encoding="utf-8")
        self.opened = ExitStack()
        self.connector = self.open()

    def open(self, **more: Any) -> OidcProvider:
        usual = {
            "issuer": self.provider.issuer,
            "client_id": "vestibule",
            "client_secret": f"file:{self.secret}",
            "ca_file": str(self.authority.ca_file),
            "timeout": PATIENT,
        }
        settings = {name: value for name, value in (usual | more).items() if value is not None}
        return self.keep(OidcProvider("amont", OidcSettings.model_validate(settings), self.provider.clock))

    def keep(self, connector: OidcProvider) -> OidcProvider:
        self.opened.callback(connector.close)
        return connector

    def arrive(self, **parameters: str) -> Arrival:
        departure = self.connector.begin(CALLBACK, state="the-state", ask=Ask())
        self.provider.nonce = departure.kept["nonce"]
        usual = {"state": "the-state", "code": "the-code", "iss": self.provider.issuer}
        return self.connector.complete(usual | parameters, callback_url=CALLBACK, kept=departure.kept)

    def problem(self) -> str | None:
        with pytest.raises(SourceMisbehaved) as refused:
            self.arrive()
        for secret in ("the-code", "an-access-token", "the-secret-of-ours", self.provider.id_token()[:60]):
            assert secret not in refused.value.detail
        return refused.value.problem

    def trouble(self) -> str:
        with pytest.raises(SourceUnreachable) as refused:
            self.arrive()
        return refused.value.trouble


@pytest.fixture
def provider(running_provider: ForgingProvider, clock: FixedClock) -> Iterator[ForgingProvider]:
    running_provider.clock = clock
    running_provider.reset()
    yield running_provider
    running_provider.released.set()


@pytest.fixture
def door(provider: ForgingProvider, authority: PrivateAuthority, tmp_path: Path) -> Iterator[Door]:
    door = Door(provider, authority, tmp_path)
    with door.opened:
        yield door


def test_honest_provider_is_believed(door: Door) -> None:
    door.provider.claims = {"at_hash": half_hash("an-access-token", "RS256")}
    assert door.arrive().identity.given_name == "Marie"
    _, fields, headers = next(entry for entry in door.provider.received if entry[0] == "/token")
    assert (fields["code"], fields["redirect_uri"], fields["grant_type"]) == ("the-code", CALLBACK, "authorization_code")
    assert 43 <= len(fields["code_verifier"]) <= 128
    assert headers["authorization"].startswith("Basic ")
    assert "client_secret" not in fields


def _as_hmac(provider: ForgingProvider) -> None:
    secret = OctKey.import_key("the-secret-of-ours-that-the-provider-knows-too")
    now = provider.clock.timestamp()
    claims = {"iss": provider.issuer, "aud": "vestibule", "sub": "marie", "iat": now, "exp": now + 300, "nonce": provider.nonce}
    provider.token = {"id_token": jwt.encode({"alg": "HS256"}, claims, secret, algorithms=["HS256"])}


def _set(**changed: Any) -> Callable[[ForgingProvider], None]:
    def change(provider: ForgingProvider) -> None:
        for name, value in changed.items():
            setattr(provider, name, value)

    return change


def _claims(**changed: Any) -> Callable[[ForgingProvider], None]:
    return _set(claims=changed)


def _times(**offsets: int) -> Callable[[ForgingProvider], None]:
    return lambda provider: setattr(provider, "claims", {name: provider.clock.timestamp() + seconds for name, seconds in offsets.items()})


def _json(status: int, said: Any) -> tuple[int, bytes, dict[str, str]]:
    return status, json.dumps(said).encode(), {"Content-Type": "application/json"}


FORGED: list[tuple[str, Callable[[ForgingProvider], None]]] = [
    ("token_missing", _set(token={"id_token": None})),
    ("token_malformed", _set(token={"id_token": "not.a.token"})),
    ("algorithm", _set(token={"id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYXJpZSJ9."})),
    ("algorithm", _as_hmac),
    ("signature", _set(signing=STRANGER)),
    ("key_unknown", _set(signing=STRANGER, header={"kid": "another"})),
    ("issuer", _claims(iss="https://elsewhere.example")),
    ("audience", _claims(aud="another-client")),
    ("audience", _claims(aud=["vestibule", "another-client"])),
    ("expired", _times(exp=-61, iat=-300)),
    ("not_yet_valid", _times(iat=61)),
    ("not_yet_valid", _times(nbf=61)),
    ("nonce", _claims(nonce="of-another-sign-in")),
    ("nonce", _claims(nonce=None)),
    ("subject", _claims(sub=None)),
    ("subject", _set(said={"sub": "paul"})),
    ("subject", _set(said={"sub": None})),
    ("signature", _claims(at_hash="bm90LXRoaXMtb25l")),
    ("token_malformed", _set(raw={"/userinfo": _json(200, [1])})),
    ("token_malformed", _set(raw={"/userinfo": _json(401, {"error": "invalid_token"})})),
    ("token_malformed", _set(raw={"/userinfo": _json(404, {})})),
    ("code_refused", _set(raw={"/token": _json(400, {"error": "invalid_grant", "error_description": "l'été \x1b[31m"})})),
    ("code_refused", _set(raw={"/token": _json(200, [])})),
    ("code_refused", _set(raw={"/token": _json(200, {"id_token": "x"})})),
    ("code_refused", _set(token={"token_type": "mac"})),
    ("code_refused", _set(token={"access_token": 7})),
    ("code_refused", _set(token={"expires_in": "soon"})),
    ("code_refused", _set(raw={"/token": _json(400, {"error": {"a": 1}})})),
    ("code_refused", _set(raw={"/token": (200, b"{" * 5000, {"Content-Type": "application/json"})})),
]


@pytest.mark.parametrize(("problem", "forge"), FORGED, ids=[f"{problem}-{number}" for number, (problem, _) in enumerate(FORGED)])
def test_forged_answer_is_refused_with_its_own_problem(door: Door, problem: str, forge: Callable[[ForgingProvider], None]) -> None:
    departure = door.connector.begin(CALLBACK, state="the-state", ask=Ask())
    door.provider.nonce = departure.kept["nonce"]
    forge(door.provider)
    parameters = {"state": "the-state", "code": "the-code", "iss": door.provider.issuer}
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.complete(parameters, callback_url=CALLBACK, kept=departure.kept)
    assert refused.value.problem == problem
    assert refused.value.detail.isprintable()
    for secret in ("the-code", "an-access-token", "the-secret-of-ours", departure.kept["verifier"]):
        assert secret not in refused.value.detail


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://elsewhere.example"},
        {"issuer": None},
        {"issuer": ["https://localhost"]},
        {"token_endpoint": None},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"token_endpoint": "http://127.0.0.1:9/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://elsewhere.example/#x"},
        {"jwks_uri": 7},
        {"userinfo_endpoint": "ftp://elsewhere.example"},
    ],
)
def test_nobody_is_sent_to_a_provider_whose_metadata_is_not_right(door: Door, metadata: dict[str, Any]) -> None:
    door.provider.metadata = metadata
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.begin(CALLBACK, state="the-state", ask=Ask())
    assert (refused.value.problem == "issuer") == ("issuer" in metadata)


def test_issuer_is_compared_letter_for_letter(door: Door) -> None:
    door.connector = door.open(issuer=f"{door.provider.issuer}/")
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.begin(CALLBACK, state="the-state", ask=Ask())
    assert refused.value.problem == "issuer"


def test_provider_that_does_not_name_itself_is_believed_without(door: Door) -> None:
    door.provider.metadata = {"authorization_response_iss_parameter_supported": None}
    departure = door.connector.begin(CALLBACK, state="the-state", ask=Ask())
    door.provider.nonce = departure.kept["nonce"]
    assert door.connector.complete({"state": "the-state", "code": "the-code"}, callback_url=CALLBACK, kept=departure.kept)
    with pytest.raises(SourceMisbehaved) as refused:
        door.arrive(iss="https://elsewhere.example")
    assert refused.value.problem == "callback_issuer"


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys", "/userinfo"])
def test_answer_that_is_too_long_is_not_read(door: Door, path: str) -> None:
    long = json.dumps({"sub": "marie", "keys": [], "padding": "x" * 1_100_000}).encode()
    door.provider.raw = {path: (200, long, {"Content-Type": "application/json"})}
    with pytest.raises(SourceMisbehaved, match="more than"):
        door.arrive()


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys", "/userinfo"])
def test_answer_that_does_not_come_is_not_waited_for(door: Door, path: str) -> None:
    door.connector = door.open(timeout=IMPATIENT)
    door.provider.slow = {path}
    assert door.trouble() == "timeout"


def test_answer_that_comes_drop_by_drop_is_not_waited_for(door: Door) -> None:
    door.connector = door.open(timeout=IMPATIENT)
    door.connector = door.keep(OidcProvider("amont", door.connector._settings, SystemClock()))  # in real time
    door.provider.raw = {"/.well-known/openid-configuration": (200, b"{", {"Content-Length": "100000"})}
    assert door.trouble() in {"timeout", "closed"}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys", "/userinfo"])
def test_redirect_is_not_followed(door: Door, path: str) -> None:
    door.provider.raw = {path: (302, b"", {"Location": f"{door.provider.issuer}/elsewhere"})}
    with pytest.raises(SourceMisbehaved, match="302"):
        door.arrive()
    assert "/elsewhere" not in [asked for asked, _, _ in door.provider.received]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_provider_that_cannot_answer_now_is_unreachable(door: Door, status: int) -> None:
    door.provider.raw = {"/token": _json(status, {"error": "invalid_grant"})}
    assert door.trouble() == "unavailable"


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
def test_refused_credential_is_our_trouble(door: Door, error: str) -> None:
    door.provider.raw = {"/token": _json(401, {"error": error})}
    assert door.trouble() == "service_account"


def test_packed_answer_is_not_unpacked(door: Door) -> None:
    import gzip

    bomb = gzip.compress(b'{"sub": "' + b"x" * 5_000_000 + b'"}')
    door.provider.raw = {"/userinfo": (200, bomb, {"Content-Type": "application/json", "Content-Encoding": "gzip"})}
    assert door.problem() == "token_malformed"


def test_claims_of_the_token_are_not_overruled_by_userinfo(door: Door) -> None:
    door.connector = door.open(acr_values=["two"], mfa_acr=["two"])
    door.provider.claims = {"acr": "one"}
    door.provider.said = {"acr": "two", "iss": "https://elsewhere.example"}
    assert door.problem() == "assurance"


@pytest.mark.parametrize(
    ("refused", "outcome"),
    [
        ({"error": "invalid_grant"}, Lapsed),
        ({"error": "interaction_required"}, Lapsed),
        ({"error": "invalid_request"}, SourceMisbehaved),
        ({"error": "invalid_client"}, SourceUnreachable),
    ],
)
def test_only_a_refresh_that_is_over_lapses(door: Door, refused: dict[str, str], outcome: type[Exception]) -> None:
    door.provider.raw = {"/token": _json(400, refused)}
    with pytest.raises(outcome):
        door.connector.renew("marie", "the-refresh-token")


def test_refresh_is_validated_as_a_sign_in_is(door: Door) -> None:
    assert door.connector.renew("marie", "the-refresh-token").identity.given_name == "Marie"
    door.provider.claims = {"aud": "another-client"}
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.renew("marie", "the-refresh-token")
    assert refused.value.problem == "audience"
    door.provider.claims = {}
    door.provider.said = {"sub": "paul"}
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.renew("marie", "the-refresh-token")
    assert refused.value.problem == "subject"
    door.provider.said = {}
    door.provider.raw = {"/userinfo": _json(401, {})}
    with pytest.raises(Lapsed):
        door.connector.renew("marie", "the-refresh-token")
    door.connector = door.open(userinfo="none")
    door.provider.token = {"id_token": None}
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.renew("marie", "the-refresh-token")
    assert refused.value.problem == "token_missing"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "sub", "email", "x"]), inner, max_size=4),
    max_leaves=15,
)
NAMES = ["preferred_username", "email", "email_verified", "given_name", "family_name", "phone_number", "groups", "roles", "a", "n"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_the_claims_are_somebody_readable_comes_of_them(claims: dict[str, Any]) -> None:
    names = {"attributes": ["a.b", "a.a.x", "email"], "number": "n", "phone": "phone_number"}
    written = {"issuer": "https://provider.example", "client_id": "x", "client_key": "key.pem", "claims": names}
    settings = OidcSettings.model_validate(written)
    identity = identity_of({**claims, "sub": "marie"}, settings, connector="amont", seen_at=FixedClock().now())
    assert identity.subject == "marie"
    texts = [identity.username, identity.email, identity.given_name, identity.family_name, identity.number, identity.phone_number]
    texts += [*identity.groups, *(value for values in (identity.attributes or {}).values() for value in values)]
    assert all(text.isprintable() and len(text) <= 500 for text in texts if text is not None)
    assert identity.email is None or claims["email_verified"] is True


def test_metadata_of_yesterday_serves_while_the_provider_does_not_answer(door: Door) -> None:
    assert door.arrive()
    door.provider.raw = {"/.well-known/openid-configuration": (503, b"", {})}
    door.provider.clock.advance(timedelta(hours=2))
    assert door.arrive()
    door.provider.clock.advance(timedelta(hours=23))
    assert door.trouble() == "unavailable"
    door.provider.raw = {}
    assert door.arrive()


def test_metadata_that_changed_its_issuer_is_not_outlived(door: Door) -> None:
    assert door.arrive()
    door.provider.metadata = {"issuer": "https://elsewhere.example"}
    door.provider.clock.advance(timedelta(hours=1))
    assert door.problem() == "issuer"


@pytest.mark.parametrize(
    ("kind", "trouble"),
    [("expired", "tls_expired"), ("another", "tls_name"), ("stranger", "tls_untrusted"), ("no_ca_file", "tls_untrusted")],
)
def test_provider_of_a_certificate_that_cannot_be_trusted_is_not_spoken_to(
    authority: PrivateAuthority, tmp_path: Path, clock: FixedClock, kind: str, trouble: str
) -> None:
    signer = PrivateAuthority(tmp_path / "other", "other") if kind == "stranger" else authority
    certificate = {"expired": signer.sign_expired, "another": signer.sign_for_another}.get(kind, lambda: signer.sign("some"))()
    with https_serving(ForgingProvider(clock), certificate) as provider:
        door = Door(provider, authority, tmp_path)
        if kind == "no_ca_file":
            door.connector = door.open(ca_file=None)
        assert door.trouble() == trouble
        assert not provider.received
        (failed,) = [step for step in door.connector.check() if step.outcome == "failed"]
        assert failed.title == "Metadata"
        assert "certificate" in failed.explanation
        door.opened.close()


CHECKED: list[tuple[str, str, Callable[[ForgingProvider], None]]] = [
    ("Metadata", "letter for letter", _set(metadata={"issuer": "https://elsewhere.example"})),
    ("Metadata", "something else answers", _set(raw={"/.well-known/openid-configuration": (404, b"", {})})),
    ("Metadata", "something else answers", _set(raw={"/.well-known/openid-configuration": (200, b"<html>", {})})),
    ("Metadata", "cannot answer now", _set(raw={"/.well-known/openid-configuration": (503, b"", {})})),
    ("Metadata", "in time", _set(slow={"/.well-known/openid-configuration"})),
    ("Metadata", "token_endpoint", _set(metadata={"token_endpoint": "http://127.0.0.1:9/"})),
    ("Keys", "no key that can verify", _set(raw={"/keys": _json(200, {"keys": []})})),
    ("Keys", "no ID token can be verified", _set(raw={"/keys": _json(404, {})})),
    ("Signatures", "HS256 only", _set(metadata={"id_token_signing_alg_values_supported": ["HS256"]})),
    ("Code flow", "response_type=code", _set(metadata={"response_types_supported": ["id_token"]})),
    ("PKCE", "S256", _set(metadata={"code_challenge_methods_supported": None})),
    ("Scopes", "email", _set(metadata={"scopes_supported": ["openid", "profile"]})),
    ("Levels", "two", _set(metadata={"acr_values_supported": ["one"]})),
    ("Userinfo", "userinfo: none", _set(metadata={"userinfo_endpoint": None})),
    ("Refresh", "standing.upstream_life", _set(metadata={"grant_types_supported": ["authorization_code"]})),
    ("Issuer in answers", "RFC 9207", _set(metadata={"authorization_response_iss_parameter_supported": None})),
    ("Our credential", "refuses us", _set(raw={"/token": _json(401, {"error": "invalid_client"})})),
    ("Our credential", "invalid_request", _set(raw={"/token": _json(400, {"error": "invalid_request"})})),
    ("Our credential", "made-up code", lambda provider: None),
    ("Our credential", "Something else answers", _set(raw={"/token": (302, b"", {"Location": "/"})})),
]


@pytest.mark.parametrize(("title", "says", "breaks"), CHECKED, ids=[f"{title}-{number}" for number, (title, _, _) in enumerate(CHECKED)])
def test_check_says_what_is_wrong(door: Door, title: str, says: str, breaks: Callable[[ForgingProvider], None]) -> None:
    door.connector = door.open(mfa_acr=["two"], timeout=IMPATIENT if says == "in time" else PATIENT)
    breaks(door.provider)
    wrong = [step for step in door.connector.check() if step.outcome != "ok" and step.title == title]
    assert wrong, list(door.connector.check())
    assert says in wrong[0].explanation
    assert "the-secret-of-ours" not in str(wrong)


def test_check_is_content_with_a_good_provider(door: Door) -> None:
    door.provider.raw = {"/token": _json(400, {"error": "invalid_grant"})}
    steps = list(door.connector.check())
    assert {step.outcome for step in steps} == {"ok"}, steps
    assert [step.title for step in steps] == ["Metadata", "Keys", "Our credential"]
