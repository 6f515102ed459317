"""What servers say about changes, as bytes: read right when it is right, and refused in one way when it is anything else."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ldap.ber import BOOLEAN, ENUMERATED, INTEGER, OCTETS, SEQUENCE, SET, elements, encode, only
from connectors.ldap.line import messages_in
from connectors.ldap.persistent import DELETE, persistent_search, read_change
from connectors.ldap.sync_info import (
    NEW_COOKIE,
    REFRESH_PRESENT,
    SYNC_REQUEST,
    is_after,
    last_of_each_server,
    read_info,
    read_state,
    sync_request,
    written_at,
)
from connectors.ldap.watch import Place, read_place

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SOMEBODY = uuid.UUID("b374a4b6-7a7a-1041-8049-89238de0123c")
CSN = "20261122044141.873606Z#000000#001#000000"
COOKIE = f"rid=000,csn={CSN};20261122044150.000001Z#000000#002#000000,delcsn=20271122044141.873606Z#000000#001#000000".encode()


@given(st.lists(st.tuples(st.sampled_from((OCTETS, SEQUENCE, 0x80, 0xA1)), st.binary(max_size=400)), max_size=5))
def test_elements_come_back_as_they_were_written(parts: list[tuple[int, bytes]]) -> None:
    written = b"".join(encode(tag, content) for tag, content in parts)
    assert list(elements(written)) == parts


@given(st.binary(max_size=60))
def test_anything_else_is_refused_as_one_kind_of_error(data: bytes) -> None:
    for read in (only, read_state, read_info):
        with suppress(ValueError):
            read(data)
    with suppress(ValueError, StopIteration):
        read_change(data)
    with suppress(ValueError):
        messages_in(bytearray(data), NOW)
    assert read_place(data) is None
    written_at(data)
    last_of_each_server(data)


@given(st.lists(st.integers(0, 40_000), max_size=8), st.integers(1, 700), st.integers(0, 2**31 - 1))
def test_messages_are_found_however_they_are_cut(sizes: list[int], step: int, number: int) -> None:
    name = number.to_bytes(4, "big") if number >= 0x80 else bytes([number])
    sent = b"".join(encode(SEQUENCE, encode(INTEGER, name), encode(0x64, b"x" * size)) for size in sizes)
    buffer, found = bytearray(), []
    for at in range(0, len(sent), max(step, len(sent) // 50 + 1)):
        buffer += sent[at : at + max(step, len(sent) // 50 + 1)]
        found += messages_in(buffer, NOW)
    assert b"".join(one.data for one in found) == sent
    assert [(one.number, one.kind) for one in found] == [(number, "entry")] * len(sizes)
    assert buffer == b""


def test_states_and_messages_are_read_as_rfc_4533_says() -> None:
    value = encode(SEQUENCE, encode(ENUMERATED, b"\x03"), encode(OCTETS, SOMEBODY.bytes), encode(OCTETS, COOKIE))
    state = read_state(value)
    assert (state.state, state.uuid, state.cookie) == ("delete", str(SOMEBODY), COOKIE)
    assert read_info(encode(NEW_COOKIE, COOKIE)).cookie == COOKIE
    assert read_info(encode(REFRESH_PRESENT)).is_done, "refreshDone is TRUE by default"
    assert not read_info(encode(REFRESH_PRESENT, encode(BOOLEAN, b"\x00"))).is_done
    gone = read_info(encode(0xA3, encode(BOOLEAN, b"\xff"), encode(SET, encode(OCTETS, SOMEBODY.bytes))))
    assert (gone.are_gone, gone.uuids) == (True, (str(SOMEBODY),))
    assert read_change(encode(SEQUENCE, encode(ENUMERATED, bytes([DELETE])), encode(INTEGER, b"\x07"))) == DELETE
    with pytest.raises(ValueError, match="no known kind"):
        read_state(encode(SEQUENCE, encode(ENUMERATED, b"\x09"), encode(OCTETS, SOMEBODY.bytes)))


def test_requests_say_what_is_wanted() -> None:
    name, value = sync_request(b"c")
    assert (name, value) == (SYNC_REQUEST, bytes.fromhex("30060a0103040163"))
    assert sync_request(None)[1] == bytes.fromhex("30030a0103")
    assert persistent_search()[1] == bytes.fromhex("300902010f0101ff0101ff")


def test_cookie_tells_how_far_each_server_was_heard() -> None:
    last = last_of_each_server(COOKIE)
    assert set(last) == {"001", "002"}
    assert not is_after(CSN, last)
    assert is_after("20261122044141.873607Z#000000#001#000000", last)
    assert is_after("20261122044141.873606Z#000000#003#000000", last), "of a server that was never heard"
    assert is_after(None, last)
    assert written_at(CSN) == datetime(2026, 11, 22, 4, 41, 41, 873606, tzinfo=UTC)
    assert written_at("20260230000000.000000Z#000000#000#000000") is None
    assert written_at(None) is None


def test_place_is_read_as_it_was_written() -> None:
    place = Place(COOKIE, b"rid=\xff", "ab")
    assert read_place(place.written()) == place
    assert Place(b"").written() is None
