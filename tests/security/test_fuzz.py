"""Every endpoint and page under hostile requests: the same ones each time, thousands of them (in a soak three times that).

What must hold of any answer is in tests/support/wire.py. Requests are valid ones with one to three things made wrong, so that they come past the
first check; the forged tokens of test_no_forged_token_is_believed must besides be refused by everybody.
"""

import base64
import json
import os
import string
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, unquote_to_bytes, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from tests.conftest import MakeWorld
from tests.support.forgery import forged, read_claims, to_json
from tests.support.hostile import DEEP, FORM, METHODS, TYPES, Pairs, authorizations, encoded, hostile_cookies, mutated, odd_headers
from tests.support.relying_party import ASSERTION_TYPE, basic
from tests.support.wire import MARKER, Wire
from tests.support.world import SignedIn, World

pytestmark = pytest.mark.slow


PART = 1 if "SOAK_MINUTES" in os.environ else 3


def share(examples: int) -> int:
    """How many of the examples this run takes: all of them in a soak, a part beside the other tests."""
    return examples // PART


def profile(examples: int) -> settings:
    """The same requests every time; the first that fails is shown as it is, nothing is remembered between runs."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True, slots=True)
class Target:
    """A world whose main application has somebody signed in, and the wire into it."""

    world: World
    wire: Wire
    signed_in: SignedIn

    @property
    def cookies(self) -> bytes:
        """The browser's cookies."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.signed_in.browser.jar.values()).encode()


@pytest.fixture
def target(make_world: MakeWorld) -> Target:
    """Where the requests go."""
    world = make_world()
    origins = (urlsplit(uri) for client in world.registered.values() for uri in client.settings.redirect_uris)
    sites = frozenset(f"{parts.scheme}://{parts.netloc}" for parts in origins)
    return Target(world, Wire(world.wsgi, world.issuer, sites), world.sign_in("claire", "carnet", scope="openid profile offline_access"))


AUTHORIZE_OTHERS = [
    "claims",
    "request",
    "request_uri",
    "registration",
    "prompt",
    "max_age",
    "ui_locales",
    "claims_locales",
    "login_hint",
    "id_token_hint",
    "display",
    "response_mode",
    "resource",
    "establishment",
    "acr_values",
    "state",
    "nonce",
]


def test_authorize_survives(target: Target) -> None:
    url = target.signed_in.party.begin(scope="openid profile", response_mode="query", claims='{"userinfo":{"name":null}}')
    valid = dict(pair.split("=", 1) for pair in urlsplit(url).query.split("&"))
    plain = {name: unquote_to_bytes(value) for name, value in valid.items()}

    @profile(share(900))
    @given(encoded(mutated(plain, tuple(AUTHORIZE_OTHERS))), hostile_cookies(target.cookies), odd_headers(), st.booleans())
    def probe(sent: bytes, cookies: bytes, headers: Pairs, is_post: bool) -> None:
        # A new minute each time: the guard against loops is not what is looked at.
        target.world.clock.advance(timedelta(seconds=0.5))
        headers = [*headers, ("Cookie", cookies)]
        request = {"sent": sent, "cookies": cookies, "headers": headers}
        if is_post:
            answer = target.wire.send("POST", "/authorize", body=sent, headers=[*headers, ("Content-Type", FORM)])
            target.wire.check(answer, request)
            location = answer.header("Location")
            if not location.startswith("/authorize?"):
                return
            sent = location.partition("?")[2].encode()
        answer = target.wire.send("GET", "/authorize", query=sent, headers=headers)
        target.wire.check(answer, request)

    probe()
    assert target.wire.sent >= share(900)


def test_authorize_survives_hostile_claims(target: Target) -> None:
    browser, party = target.signed_in.browser, target.signed_in.party
    for claims in DEEP:
        for prompt in ("none", "login"):
            target.world.clock.advance(timedelta(seconds=10))
            url = party.begin(scope="openid profile", claims=claims.decode(), prompt=prompt)
            answer = target.wire.send("GET", "/authorize", query=urlsplit(url).query.encode(), headers=[("Cookie", target.cookies)])
            target.wire.check(answer, {"claims": claims})
            if answer.header("Location").startswith("/signin/"):
                assert browser.get(answer.header("Location")).status == 200
            elif "code=" in answer.header("Location"):
                assert party.redeem(dict(parse_qsl(urlsplit(answer.header("Location")).query))["code"]).status_code == 200


MACHINE = ("/token", "/introspect", "/revoke", "/userinfo", "/jwks", "/.well-known/openid-configuration")


def test_machine_endpoints_survive(target: Target) -> None:
    party = target.signed_in.party
    registered = party.registered
    tokens = target.signed_in.tokens
    valid: dict[str, bytes] = {
        "grant_type": b"authorization_code",
        "code": b"A" * 43,
        "redirect_uri": registered.redirect_uri.encode(),
        "code_verifier": b"v" * 64,
        "token": tokens.access.encode(),
        "token_type_hint": b"access_token",
        "access_token": tokens.access.encode(),
        "scope": b"openid",
    }
    others = ("refresh_token", "client_id", "client_secret", "client_assertion", "client_assertion_type", "resource", "audience", "claims")
    good = (basic(party.client_id, registered.secret or "").encode(),) * 3 + (f"Bearer {tokens.access}".encode(),)
    grants = st.sampled_from([b"authorization_code", b"refresh_token", b"client_credentials", b"password", b"implicit", b'"'])

    @profile(share(1000))
    @given(
        st.sampled_from(MACHINE[:4] * 3 + MACHINE),
        METHODS,
        mutated(valid, others),
        grants,
        TYPES,
        authorizations(good),
        odd_headers(),
        st.data(),
    )
    def probe(
        path: str, method: str, pairs: Pairs, grant: bytes, content_type: bytes, authorization: bytes, odd: Pairs, data: st.DataObject
    ) -> None:
        pairs = [(name, grant if name == "grant_type" and value == b"authorization_code" else value) for name, value in pairs]
        body = data.draw(encoded(st.just(pairs)))
        headers: Pairs = [*odd, ("Authorization", authorization), ("Content-Type", content_type)]
        in_query = data.draw(st.booleans()) and data.draw(st.booleans())
        answer = target.wire.send(method, path, query=body if in_query else b"", body=b"" if in_query else body, headers=headers)
        request = {"path": path, "method": method, "body": body, "headers": headers}
        target.wire.check_json(answer, request)

    probe()
    assert target.wire.sent >= share(1000)


PAGES = [
    "/",
    "/signin/{}",
    "/signin/{}/login",
    "/signin/{}/consent",
    "/signin/{}/establishment",
    "/signin/{}/close-session",
    "/signin/{}/password",
    "/signin/{}/cancel",
    "/signin/{}/go-on",
    "/signin/{}/other",
    "/signin/{}/back",
    "/signin/{}/{}",
    "/account",
    "/account/password",
    "/account/establishment",
    "/account/cancel",
    "/account/sessions/end",
    "/account/sessions/end-others",
    "/help",
    "/help/{}",
    "/logo/{}",
    "/static/{}",
    "/static/",
    "/logout",
    "/logout/confirm",
    "/healthz",
    "/readyz",
    "/robots.txt",
    "/favicon.ico",
    "/{}",
    "//{}",
    "/authorize/{}",
    "/token/{}",
    "/.well-known/{}",
]


def test_pages_survive(target: Target) -> None:
    browser = target.signed_in.browser
    waiting = urlsplit(browser.get(target.signed_in.party.begin(prompt="login")).url).path.rpartition("/")[2]
    fields = {"csrf_token": b"x", "identifier": b"claire", "password": b"x", "answer": b"yes", "establishment": b"tilleuls"}
    others = (
        "session_id",
        "new_password",
        "confirm_password",
        "current_password",
        "id_token_hint",
        "post_logout_redirect_uri",
        "state",
        "lang",
    )
    segments = st.one_of(
        st.just(waiting),
        st.sampled_from(["a", "..", "%2e%2e", MARKER, "'", "\x00", "é", "A" * 3000, "\udcff", "login"]),
        st.text(max_size=8),
    )

    @profile(share(1200))
    @given(
        st.sampled_from(PAGES),
        segments,
        METHODS,
        encoded(mutated(fields, others)),
        TYPES,
        hostile_cookies(target.cookies),
        odd_headers(),
        st.booleans(),
    )
    def probe(route: str, segment: str, method: str, sent: bytes, content_type: bytes, cookies: bytes, odd: Pairs, in_query: bool) -> None:
        path = route.replace("{}", segment)
        headers: Pairs = [*odd, ("Cookie", cookies), ("Content-Type", content_type)]
        answer = target.wire.send(method, path, query=sent if in_query else b"", body=b"" if in_query else sent, headers=headers)
        target.wire.check(answer, {"path": path, "method": method, "sent": sent, "headers": headers})

    probe()
    assert target.wire.sent >= share(1200)


@pytest.mark.parametrize(("act", "examples"), [("login", 60), ("cancel", 10), ("other", 50)])
def test_sign_in_forms_with_a_good_token_survive(target: Target, act: str, examples: int) -> None:
    # `other` is not what this step asks; `login` computes a password hash each time, hence few.
    browser = target.world.browser()
    party = target.world.relying_party("carnet")

    @profile(examples)
    @given(mutated({"identifier": b"claire.dubois", "password": b"x"}, ("csrf_token",)), st.data())
    def probe(pairs: Pairs, data: st.DataObject) -> None:
        target.world.clock.advance(timedelta(seconds=20))
        form = browser.get(party.begin(login_hint="claire")).forms["signin-form"]
        body = data.draw(
            encoded(st.just([*((name, value.encode()) for name, value in form.fields.items() if name == "csrf_token"), *pairs]))
        )
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar.values()).encode()
        path = urlsplit(form.action).path.rpartition("/")[0] + f"/{act}"
        answer = target.wire.send(
            "POST", path, body=body, headers=[("Content-Type", FORM), ("Cookie", cookies), ("Origin", target.world.issuer.encode())]
        )
        target.wire.check(answer, {"path": path, "body": body})

    probe()
    assert target.wire.sent >= examples


def test_logout_survives(target: Target) -> None:
    valid = {
        "id_token_hint": target.signed_in.tokens.identity.encode(),
        "client_id": b"carnet",
        "post_logout_redirect_uri": b"https://carnet.example/au-revoir",
        "state": b"s",
        "ui_locales": b"fr",
    }

    @profile(share(400))
    @given(
        encoded(mutated(valid, ("logout_hint", "csrf_token"))),
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["/logout", "/logout/confirm"]),
    )
    def probe(sent: bytes, method: str, path: str) -> None:
        # Without the Session's cookie, which the first good request would end.
        headers = [("Content-Type", FORM)]
        query, body = (sent, b"") if method == "GET" else (b"", sent)
        answer = target.wire.send(method, path, query=query, body=body, headers=headers)
        target.wire.check(answer, {"sent": sent, "path": path})

    probe()
    assert target.wire.sent >= share(400)


def test_no_forged_token_is_believed(target: Target) -> None:
    party, tokens = target.signed_in.party, target.signed_in.tokens
    signer = target.world.relying_party("signataire")
    published = target.world.machine.get("/jwks")
    keys = published.json()["keys"]
    # The classic confusion: the published key, in every form it comes in, as the secret of an HMAC.
    secrets = (published.content, *(to_json(key) for key in keys), *(_pem(key) for key in keys), b"secret-of-nobody")
    good = (tokens.access, tokens.identity, signer.assertion())
    authorization = basic(party.client_id, party.registered.secret or "").encode()

    @profile(share(450))
    @given(forged(good, tuple(key["kid"] for key in keys), secrets))
    def probe(token: str) -> None:
        wire = target.wire
        raw = quote_from_bytes(token.encode("utf-8", "surrogatepass"), safe="").encode()
        answer = wire.send("GET", "/userinfo", headers=[("Authorization", b"Bearer " + token.encode("utf-8", "surrogatepass"))])
        wire.check_json(answer, {"token": token})
        assert answer.status in {400, 401}
        answer = wire.send("POST", "/introspect", body=b"token=" + raw, headers=[("Content-Type", FORM), ("Authorization", authorization)])
        wire.check_json(answer, {"token": token})
        assert json.loads(answer.body).get("active") is not True
        fields = b"grant_type=client_credentials&client_assertion_type=%s&client_assertion=%s" % (ASSERTION_TYPE.encode(), raw)
        answer = wire.send("POST", "/token", body=fields, headers=[("Content-Type", FORM)])
        wire.check_json(answer, {"token": token})
        assert answer.status in {400, 401}
        for query in (b"id_token_hint=%s&client_id=carnet&post_logout_redirect_uri=https://carnet.example/au-revoir" % raw,):
            answer = wire.send("GET", "/logout", query=query)
            wire.check(answer, {"token": token})
            assert answer.status == 400
        answer = wire.send("GET", "/authorize", query=urlsplit(party.begin(prompt="none")).query.encode() + b"&id_token_hint=" + raw)
        wire.check(answer, {"token": token})
        assert "error=invalid_request" in answer.header("Location") or answer.status == 400

    probe()
    assert target.wire.sent >= share(2000)


def _pem(key: dict[str, str]) -> bytes:
    imported = RSAKey.import_key(key) if key["kty"] == "RSA" else ECKey.import_key(key)  # type: ignore[arg-type]  # a JWK as it was published
    return imported.as_pem(private=False)


def test_authorize_survives_any_character_in_any_parameter(target: Target) -> None:
    for parameter in ("response_type", "scope", "prompt", "state", "nonce", "response_mode", "client_id", "redirect_uri"):
        for character in sorted({*string.punctuation, "\t", "\x7f", "\x00", "é", "\u2028"}):
            url = target.signed_in.party.begin(**{parameter: f"code{character}{character}"})
            answer = target.wire.send("GET", "/authorize", query=urlsplit(url).query.encode())
            target.wire.check(answer, {"url": url})


@pytest.mark.parametrize(
    "authorization",
    [b"Basic \xe9\xe9", b"Basic ====", b"Basic " + base64.b64encode(b"\xff:\xff"), b"Basic " + base64.b64encode(b"%00%ff:x")],
)
def test_token_endpoint_survives_credentials_that_are_no_text(target: Target, authorization: bytes) -> None:
    answer = target.wire.send(
        "POST", "/token", body=b"grant_type=client_credentials", headers=[("Content-Type", FORM), ("Authorization", authorization)]
    )
    target.wire.check_json(answer, {"authorization": authorization})
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "claims", [{"sub": "\ud800"}, {"sub": "\x00"}, {"sub": ["signataire"]}, {"jti": "\ud800"}, {"jti": ["a"]}, {"exp": 1e300}, {"exp": "x"}]
)
def test_token_endpoint_survives_assertions_that_are_no_sense(target: Target, claims: dict[str, Any]) -> None:
    # Signed with the client's real key: only what is in it is wrong.
    party = target.world.relying_party("signataire")
    key = party.registered.key
    assert key is not None
    payload = {**read_claims(party.assertion()), **claims}
    assertion = jws.serialize_compact({"alg": "ES256", "kid": key.kid}, to_json(payload), key, algorithms=["ES256"])
    body = f"grant_type=client_credentials&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}".encode()
    answer = target.wire.send("POST", "/token", body=body, headers=[("Content-Type", FORM)])
    target.wire.check_json(answer, {"claims": claims})
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "invalid_client")
