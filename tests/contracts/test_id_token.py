"""IdTokenValidator on tokens that a provider's key signed, and on each kind that must not be believed (OpenID Connect Core 3.1.3.7, RFC 8725)."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from connectors.base import SourceMisbehaved, SourceUnreachable
from connectors.id_token import IdTokenValidator, auth_time_of, half_hash
from tests.support.fixed_clock import FixedClock
from tests.support.forgery import forged

ISSUER, US, NONCE = "https://provider.example", "vestibule", "n-0S6_WzA2Mj"
FIRST, SECOND, STRANGER = (RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}) for kid in ("first", "second", "first"))
CURVE = ECKey.generate_key("P-256", {"kid": "curve"})
EDWARDS = OKPKey.generate_key("Ed25519", {"kid": "edwards"})


class Provider:
    """What a provider publishes and signs; `reads` counts how often its keys were fetched."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.published: list[Any] = [FIRST.as_dict(private=False), CURVE.as_dict(private=False), EDWARDS.as_dict(private=False)]
        self.reads = 0
        self.is_down = False
        self.validator = IdTokenValidator(self.keys, self.clock)

    def keys(self) -> dict[str, Any]:
        if self.is_down:
            raise SourceUnreachable("down", trouble="refused")
        self.reads += 1
        return {"keys": self.published}

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = self.clock.timestamp()
        claims = {"iss": ISSUER, "aud": US, "sub": "marie", "iat": now, "exp": now + 300, "nonce": NONCE, "auth_time": now - 10} | changed
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any], key: Key = FIRST, alg: str = "RS256", **header: Any) -> str:
        head = {"alg": alg, "kid": key.kid} | header
        head = {name: value for name, value in head.items() if value is not None}
        registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
        return jwt.encode(head, claims, key, registry=registry)

    def validate(self, token: str | None, **asked: Any) -> Any:
        return self.validator.validate(token, **({"issuer": ISSUER, "audience": US, "nonce": NONCE} | asked))

    def problem(self, token: str | None, **asked: Any) -> str | None:
        with pytest.raises(SourceMisbehaved) as refused:
            self.validate(token, **asked)
        assert token is None or not token or token not in refused.value.detail
        return refused.value.problem


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.mark.parametrize(("key", "alg"), [(FIRST, "RS256"), (FIRST, "PS384"), (CURVE, "ES256"), (EDWARDS, "Ed25519")])
def test_validator_believes_what_the_provider_signed(provider: Provider, key: Key, alg: str) -> None:
    token = provider.sign(provider.claims(), key, alg)
    assert provider.validate(token)["sub"] == "marie"
    assert provider.validator.verify(token)["nonce"] == NONCE


def test_validator_believes_headers_and_claims_that_it_does_not_know(provider: Provider) -> None:
    token = provider.sign(provider.claims(aud=[US, "another"], azp=US, zoneinfo="Europe/Paris"), typ="jwt", x5t="abc", extra="new")
    assert provider.validate(token)["zoneinfo"] == "Europe/Paris"


def test_validator_believes_a_token_without_kid_when_one_of_the_keys_fits(provider: Provider) -> None:
    provider.published.insert(0, SECOND.as_dict(private=False))
    token = jwt.encode({"alg": "RS256"}, provider.claims(), RSAKey.import_key(FIRST.as_dict(private=True) | {"kid": "x"}))
    assert provider.validate(token)["sub"] == "marie"


def _unsigned(provider: Provider) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{provider.sign(provider.claims()).split('.')[1]}."


def _as_secret(provider: Provider) -> str:
    """The public key taken for an HMAC secret (RFC 8725 section 2.1)."""
    secret = OctKey.import_key(json.dumps(FIRST.as_dict(private=False)))
    return jwt.encode({"alg": "HS256", "kid": "first"}, provider.claims(), secret, algorithms=["HS256"])


def _other_payload(provider: Provider) -> str:
    head, _, signature = provider.sign(provider.claims()).split(".")
    return f"{head}.{provider.sign(provider.claims(sub='paul')).split('.')[1]}.{signature}"


FORGED: list[tuple[str, Callable[[Provider], str | None]]] = [
    ("token_missing", lambda p: None),
    ("token_missing", lambda p: ""),
    ("token_malformed", lambda p: "not a token"),
    ("token_malformed", lambda p: "a.b.c"),
    ("token_malformed", lambda p: "é.é.é"),
    ("token_malformed", lambda p: p.sign(p.claims(padding="x" * 120_000))),
    ("token_malformed", lambda p: p.sign(p.claims(), typ="at+jwt")),
    ("token_malformed", lambda p: p.sign(p.claims(), typ="logout+jwt")),
    ("token_malformed", lambda p: p.sign(p.claims(exp=None))),
    ("token_malformed", lambda p: p.sign(p.claims(iat=None))),
    ("token_malformed", lambda p: p.sign(p.claims(exp="tomorrow"))),
    ("token_malformed", lambda p: p.sign(p.claims(exp=float("nan")))),
    ("token_malformed", lambda p: p.sign(p.claims(exp=float("inf")))),
    ("token_malformed", lambda p: p.sign(p.claims(exp=True))),
    ("algorithm", _unsigned),
    ("algorithm", _as_secret),
    ("signature", _other_payload),
    ("signature", lambda p: p.sign(p.claims(), STRANGER)),
    ("signature", lambda p: p.sign(p.claims(), STRANGER)[:-40]),
    ("key_unknown", lambda p: p.sign(p.claims(), SECOND)),
    ("key_unknown", lambda p: p.sign(p.claims(), CURVE, "ES256", kid="first")),
    ("issuer", lambda p: p.sign(p.claims(iss="https://provider.example/"))),
    ("issuer", lambda p: p.sign(p.claims(iss=None))),
    ("audience", lambda p: p.sign(p.claims(aud="another"))),
    ("audience", lambda p: p.sign(p.claims(aud=None))),
    ("audience", lambda p: p.sign(p.claims(aud=[US, "another"]))),
    ("audience", lambda p: p.sign(p.claims(azp="another"))),
    ("audience", lambda p: p.sign(p.claims(aud={US: 1}))),
    ("expired", lambda p: p.sign(p.claims(exp=p.clock.timestamp() - 60))),
    ("not_yet_valid", lambda p: p.sign(p.claims(iat=p.clock.timestamp() + 61))),
    ("not_yet_valid", lambda p: p.sign(p.claims(nbf=p.clock.timestamp() + 61))),
    ("nonce", lambda p: p.sign(p.claims(nonce="another"))),
    ("nonce", lambda p: p.sign(p.claims(nonce=None))),
    ("subject", lambda p: p.sign(p.claims(sub=None))),
    ("subject", lambda p: p.sign(p.claims(sub=""))),
    ("subject", lambda p: p.sign(p.claims(sub=7))),
    ("subject", lambda p: p.sign(p.claims(sub="marie\x1b[31m\n"))),
    ("subject", lambda p: p.sign(p.claims(sub="x" * 256))),
]


@pytest.mark.parametrize(("problem", "make"), FORGED, ids=[f"{problem}-{number}" for number, (problem, _) in enumerate(FORGED)])
def test_validator_refuses_with_its_own_problem(provider: Provider, problem: str, make: Callable[[Provider], str | None]) -> None:
    assert provider.problem(make(provider)) == problem


def test_validator_allows_a_minute_between_clocks(provider: Provider) -> None:
    now = provider.clock.timestamp()
    assert provider.validate(provider.sign(provider.claims(exp=now - 59)))
    assert provider.validate(provider.sign(provider.claims(iat=now + 60, nbf=now + 60)))


def test_validator_refuses_a_token_that_is_not_signed_as_agreed(provider: Provider) -> None:
    provider.validator = IdTokenValidator(provider.keys, provider.clock, algorithms=["ES256"])
    assert provider.problem(provider.sign(provider.claims())) == "algorithm"
    for agreed in (["none"], ["HS256"], []):
        with pytest.raises(ValueError, match="signed with one of"):
            IdTokenValidator(provider.keys, provider.clock, algorithms=agreed)


def test_validator_asks_for_the_issuer_of_a_tenant(provider: Provider) -> None:
    def of_tenant(claims: Any) -> str:
        if claims.get("tid") != "ours":
            raise SourceMisbehaved("foreign", problem="tenant")
        return f"{ISSUER}/{claims['tid']}"

    assert provider.validate(provider.sign(provider.claims(iss=f"{ISSUER}/ours", tid="ours")), issuer=of_tenant)
    assert provider.problem(provider.sign(provider.claims(iss=f"{ISSUER}/theirs", tid="ours")), issuer=of_tenant) == "issuer"
    assert provider.problem(provider.sign(provider.claims(iss=f"{ISSUER}/theirs", tid="theirs")), issuer=of_tenant) == "tenant"


def test_validator_refuses_another_person_than_was_asked_for(provider: Provider) -> None:
    assert provider.problem(provider.sign(provider.claims()), subject="paul") == "subject"
    assert provider.validate(provider.sign(provider.claims(nonce=None)), subject="marie", nonce=None)


def test_validator_refuses_a_person_who_was_there_too_long_ago(provider: Provider) -> None:
    since = provider.clock.now()
    old = provider.sign(provider.claims(auth_time=provider.clock.timestamp() - 61))
    assert provider.problem(old, authenticated_since=since) == "too_old"
    assert provider.validate(old, authenticated_since=since - timedelta(seconds=1))
    unsaid = provider.sign(provider.claims(auth_time=None))
    assert provider.validate(unsaid, authenticated_since=since)
    assert provider.problem(unsaid, authenticated_since=since, needs_auth_time=True) == "too_old"
    assert provider.problem(provider.sign(provider.claims(auth_time="noon"))) == "token_malformed"


def test_auth_time_is_an_aware_instant_or_nothing(provider: Provider) -> None:
    assert auth_time_of(provider.claims()) == provider.clock.now() - timedelta(seconds=10)
    assert auth_time_of(provider.claims(auth_time=None)) is None
    with pytest.raises(SourceMisbehaved):
        auth_time_of(provider.claims(auth_time=1e14))


@pytest.mark.parametrize(("key", "alg"), [(FIRST, "RS256"), (FIRST, "RS512"), (EDWARDS, "Ed25519")])
def test_validator_refuses_an_access_token_of_another_answer(provider: Provider, key: Key, alg: str) -> None:
    token = provider.sign(provider.claims(at_hash=half_hash("its own", alg)), key, alg)
    assert provider.validate(token, access_token="its own")
    assert provider.problem(token, access_token="another") == "signature"


def test_half_hash_is_that_of_the_specification() -> None:
    # OpenID Connect Core, appendix A.3.
    assert half_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"


def test_validator_follows_a_change_of_keys_and_reads_at_most_once_a_minute(provider: Provider) -> None:
    assert provider.validate(provider.sign(provider.claims()))
    provider.published = [SECOND.as_dict(private=False)]
    assert provider.problem(provider.sign(provider.claims(), SECOND)) == "key_unknown"  # the keys were read this very minute
    assert provider.reads == 1
    provider.clock.advance(timedelta(minutes=1))
    assert provider.validate(provider.sign(provider.claims(), SECOND))
    assert provider.reads == 2
    for _ in range(20):
        assert provider.problem(provider.sign(provider.claims(), kid="made up")) == "key_unknown"
    assert provider.reads == 2
    assert provider.problem(provider.sign(provider.claims(), FIRST)) == "key_unknown"  # withdrawn


def test_validator_reads_once_for_all_who_wait(provider: Provider) -> None:
    assert provider.validate(provider.sign(provider.claims()))
    provider.published = [SECOND.as_dict(private=False)]
    provider.clock.advance(timedelta(minutes=1))
    token = provider.sign(provider.claims(), SECOND)
    with ThreadPoolExecutor(8) as threads:
        assert {claims["sub"] for claims in threads.map(provider.validate, [token] * 32)} == {"marie"}
    assert provider.reads == 2


def test_validator_does_not_read_again_for_a_forged_signature(provider: Provider) -> None:
    assert provider.validate(provider.sign(provider.claims()))
    provider.clock.advance(timedelta(minutes=5))
    assert provider.problem(provider.sign(provider.claims(), STRANGER)) == "signature"
    assert provider.reads == 1


def test_validator_forgets_a_withdrawn_key_within_the_hour(provider: Provider) -> None:
    assert provider.validate(provider.sign(provider.claims()))
    provider.published = [SECOND.as_dict(private=False)]
    provider.clock.advance(timedelta(hours=1))
    assert provider.problem(provider.sign(provider.claims())) == "key_unknown"


def test_validator_says_unreachable_when_the_keys_cannot_be_read(provider: Provider) -> None:
    provider.is_down = True
    with pytest.raises(SourceUnreachable):
        provider.validate(provider.sign(provider.claims()))
    provider.is_down = False
    assert provider.validate(provider.sign(provider.claims()))


@pytest.mark.parametrize("published", [None, {}, "keys", 7])
def test_validator_refuses_a_set_that_is_none(provider: Provider, published: Any) -> None:
    provider.published = published
    assert provider.problem(provider.sign(provider.claims())) == "key_unknown"


def test_validator_passes_over_keys_that_are_not_for_verifying(provider: Provider) -> None:
    good = FIRST.as_dict(private=False)
    rubbish: list[Any] = [
        None,
        7,
        {"kty": "PQ", "kid": "first"},
        {"kty": "RSA", "kid": "first"},
        {"kty": "oct", "kid": "first", "k": "c2VjcmV0LW9mLXRoZS1wcm92aWRlcg"},
        STRANGER.as_dict(private=False) | {"use": "enc"},
        STRANGER.as_dict(private=False) | {"alg": "RS512"},
    ]
    provider.published = [*rubbish, good]
    assert provider.validate(provider.sign(provider.claims()))
    provider.validator = IdTokenValidator(provider.keys, provider.clock)
    provider.published = rubbish
    assert provider.problem(provider.sign(provider.claims())) == "key_unknown"


MADE = Provider()
GOOD = MADE.sign(MADE.claims())


@settings(max_examples=300, deadline=None)
@given(forged((GOOD,), ("first", "curve"), (b"a secret of ours that is long enough",)))
def test_validator_believes_no_forgery_and_raises_nothing_else(token: str) -> None:
    with pytest.raises(SourceMisbehaved) as refused:
        MADE.validate(token)
    assert refused.value.problem in {"token_malformed", "algorithm", "signature", "key_unknown", "token_missing"}
