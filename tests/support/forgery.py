"""JWTs that nobody of ours signed, made from ones that somebody did: alg none, keys as secrets, kid games, deep JSON, rubbish."""

import base64
import json
from typing import Any

from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.support.wire import MARKER

ALGORITHMS = ["none", "None", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "PS256", "EdDSA", "RS1", "A128KW", MARKER, None, 1, [], {}]
KIDS: list[Any] = ["../../../../dev/null", "' OR 1=1 --", MARKER, "", "\x00", "\ud800", "é", "k" * 4000, None, 7, [], {"a": 1}]


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


def read_claims(token: str) -> dict[str, Any]:
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
    signed = f"{_b64(to_json(header))}.{_b64(payload)}"
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
        return f"{_b64(to_json(kept))}.{_b64(payload)}.x"


def _signed_by_secret(header: dict[str, Any], payload: bytes, secret: bytes) -> str:
    kept = {name: value for name, value in header.items() if name in {"kid", "typ"} and isinstance(value, str)}
    try:
        return jwt.encode({**kept, "alg": "HS256"}, json.loads(payload), OctKey.import_key(secret), algorithms=["HS256"])
    except (ValueError, TypeError):
        return f"{_b64(to_json(kept))}.{_b64(payload)}.x"
