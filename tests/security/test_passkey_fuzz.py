"""Whatever a browser sends in place of a passkey's answer is refused with a reason, and nothing else is raised."""

import json
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.errors import Refused
from idp.signin.passkey_answer import (
    Site,
    decode,
    encode,
    read_assertion,
    read_challenge,
    read_registration,
    verify_assertion,
    verify_registration,
)
from tests.support.authenticator import Authenticator

ORIGIN = "https://connexion.example"
SITE = Site("connexion.example", ORIGIN)
CHALLENGE = b"c" * 32
CREATE = json.dumps(
    {
        "rp": {"id": SITE.rp_id},
        "user": {"id": encode(b"x" * 43)},
        "challenge": encode(CHALLENGE),
        "pubKeyCredParams": [{"alg": -7}],
        "excludeCredentials": [],
    }
)
GET = json.dumps({"rpId": SITE.rp_id, "challenge": encode(CHALLENGE), "allowCredentials": []})
HOLDER = Authenticator(ORIGIN)
CREATED = HOLDER.create(CREATE)
MADE = verify_registration(read_registration(CREATED), CHALLENGE, SITE)
SIGNED = HOLDER.get(GET)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=60).map(encode),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
WHERE = st.sampled_from(
    ["id", "rawId", "type", "response", "clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]
)


def judge_registration(text: str) -> None:
    answer = read_registration(text)
    read_challenge(answer.response.client_data_json)
    verify_registration(answer, CHALLENGE, SITE)


def judge_assertion(text: str) -> None:
    answer = read_assertion(text)
    read_challenge(answer.response.client_data_json)
    verify_assertion(answer, CHALLENGE, SITE, public_key=MADE.public_key)


def changed(text: str, where: str, value: Any) -> str:
    answer = json.loads(text)
    (answer if where in answer else answer["response"])[where] = value
    return json.dumps(answer)


def only_refused(judge: Any, text: str) -> None:
    with suppress(Refused):
        judge(text)


@given(text=st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    for judge in (judge_registration, judge_assertion):
        with pytest.raises(Refused):
            judge(text)


@given(where=WHERE, value=ANYTHING)
def test_any_field_may_hold_anything(where: str, value: Any) -> None:
    only_refused(judge_registration, changed(CREATED, where, value))
    only_refused(judge_assertion, changed(SIGNED, where, value))


@given(said=st.dictionaries(st.sampled_from(["type", "challenge", "origin", "crossOrigin", "tokenBinding", "topOrigin"]), ANYTHING))
def test_client_data_may_say_anything(said: dict[str, Any]) -> None:
    truth = json.loads(decode(json.loads(SIGNED)["response"]["clientDataJSON"]))
    only_refused(judge_assertion, changed(SIGNED, "clientDataJSON", encode(json.dumps({**truth, **said}).encode())))


@given(position=st.integers(min_value=0), value=st.integers(min_value=1, max_value=255))
def test_no_changed_byte_of_what_was_signed_is_taken(position: int, value: int) -> None:
    data = bytearray(decode(json.loads(SIGNED)["response"]["authenticatorData"]))
    data[position % len(data)] ^= value
    with pytest.raises(Refused):
        judge_assertion(changed(SIGNED, "authenticatorData", encode(bytes(data))))


@given(position=st.integers(min_value=0), value=st.integers(min_value=1, max_value=255))
def test_attestation_with_any_changed_byte_raises_nothing_else(position: int, value: int) -> None:
    data = bytearray(decode(json.loads(CREATED)["response"]["attestationObject"]))
    data[position % len(data)] ^= value
    only_refused(judge_registration, changed(CREATED, "attestationObject", encode(bytes(data))))


@given(fmt=ANYTHING, statement=ANYTHING, data=st.binary(max_size=200))
def test_attestation_may_be_anything(fmt: Any, statement: Any, data: bytes) -> None:
    made = cbor2.dumps({"fmt": fmt, "attStmt": statement, "authData": data})
    only_refused(judge_registration, changed(CREATED, "attestationObject", encode(made)))
