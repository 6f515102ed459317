"""policies.network: whose address it is behind our proxies, and when nobody can tell."""

from __future__ import annotations

import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.network import MAX_HOPS, ClientAddress, resolve

TRUSTED = (ip_network("10.0.0.0/24"), ip_network("fd00::/8"), ip_network("::ffff:10.9.0.0/112"))
PROXY, INNER = "10.0.0.1", "10.0.0.2"
CLIENT = "203.0.113.7"


def _sure(address: str, *chain: str) -> ClientAddress:
    return ClientAddress(address, (*chain, address), is_doubtful=False, why="forwarded_by_trusted_proxy")


def _doubtful(why: str, *chain: str, claimed: tuple[str, ...] = ()) -> ClientAddress:
    return ClientAddress(chain[-1], chain, is_doubtful=True, why=why, claimed=claimed)


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        (CLIENT, (), ClientAddress(CLIENT, (CLIENT,), is_doubtful=False, why="direct")),
        (CLIENT, ("10.0.0.9",), ClientAddress(CLIENT, (CLIENT,), is_doubtful=False, why="headers_ignored")),
        ("::ffff:203.0.113.7", (), ClientAddress(CLIENT, (CLIENT,), is_doubtful=False, why="direct")),
        (PROXY, (CLIENT,), _sure(CLIENT, PROXY)),
        (PROXY, (f"198.51.100.1, {CLIENT}",), _sure(CLIENT, PROXY)),
        (PROXY, ("198.51.100.1", f"{CLIENT}\t, {INNER}"), _sure(CLIENT, PROXY, INNER)),
        (PROXY, (f"<script>, {CLIENT}",), _sure(CLIENT, PROXY)),
        (PROXY, (f"{CLIENT}:51234",), _sure(CLIENT, PROXY)),
        (PROXY, ("[2001:DB8::0:1]:443",), _sure("2001:db8::1", PROXY)),
        (PROXY, ("2001:db8::1",), _sure("2001:db8::1", PROXY)),
        (PROXY, ("fe80::1%eth0",), _sure("fe80::1", PROXY)),
        (PROXY, ("[fe80::1%25eth0]",), _sure("fe80::1", PROXY)),
        (PROXY, ("::ffff:203.0.113.7",), _sure(CLIENT, PROXY)),
        ("fd00::5", (CLIENT,), _sure(CLIENT, "fd00::5")),
        ("::ffff:10.0.0.1", (CLIENT,), _sure(CLIENT, PROXY)),
        ("10.9.0.3", (CLIENT,), _sure(CLIENT, "10.9.0.3")),
        (PROXY, (), _doubtful("no_forwarding_header", PROXY)),
        (PROXY, ("", "  "), _doubtful("no_forwarding_header", PROXY)),
        (PROXY, (INNER,), _doubtful("every_hop_is_a_proxy", PROXY, INNER)),
        (PROXY, (f"{CLIENT}, ",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, (f"{CLIENT}, nonsense, {INNER}",), _doubtful("hop_unreadable", PROXY, INNER)),
        (PROXY, ("unknown",), _doubtful("hop_hidden", PROXY)),
        (PROXY, ("_gateway",), _doubtful("hop_hidden", PROXY)),
        (PROXY, (f"{CLIENT}:99999",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, (f"{CLIENT}:",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, (f"[{CLIENT}]",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, ("203.0.113.007",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, ("٢٠٣.0.113.7",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, (f"{CLIENT}\n",), _doubtful("hop_unreadable", PROXY)),
        (PROXY, ("1" * 5000,), _doubtful("hop_unreadable", PROXY)),
        ("", (CLIENT,), ClientAddress("", (), is_doubtful=True, why="peer_unreadable")),
        ("unix:", (CLIENT,), ClientAddress("", (), is_doubtful=True, why="peer_unreadable")),
    ],
)
def test_x_forwarded_for_is_walked_from_the_right(peer: str, lines: tuple[str, ...], expected: ClientAddress) -> None:
    assert resolve(peer, lines, (), TRUSTED) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"for={CLIENT}",), _sure(CLIENT, PROXY)),
        ((f"For={CLIENT};Proto=https;by={PROXY}",), _sure(CLIENT, PROXY)),
        ((f'for="{CLIENT}:8080" ; host="a, b; c\\" d"',), _sure(CLIENT, PROXY)),
        (('for="[2001:db8::1]:4711"',), _sure("2001:db8::1", PROXY)),
        (("for=[2001:db8::1]",), _sure("2001:db8::1", PROXY)),
        ((f"for={CLIENT}", f"for={INNER};proto=http"), _sure(CLIENT, PROXY, INNER)),
        # A stranger's open quote must not swallow what our proxy appended.
        ((f'for="198.51.100.1, for={CLIENT}',), _sure(CLIENT, PROXY)),
        ((f'x="\\, for={CLIENT}, for="{INNER}:80"',), _sure(CLIENT, PROXY, INNER)),
        (("for=unknown",), _doubtful("hop_hidden", PROXY)),
        (('for="_hidden:_port"',), _doubtful("hop_hidden", PROXY)),
        (("proto=https",), _doubtful("hop_unreadable", PROXY)),
        ((f"for={CLIENT};for=198.51.100.1",), _doubtful("hop_unreadable", PROXY)),
        ((f"for={CLIENT} x",), _doubtful("hop_unreadable", PROXY)),
        ((f'for="{CLIENT}',), _doubtful("hop_unreadable", PROXY)),
        ((f"for={CLIENT},",), _doubtful("hop_unreadable", PROXY)),
        ((CLIENT,), _doubtful("hop_unreadable", PROXY)),
        ((f'for={CLIENT};x="{"y" * 600}"',), _doubtful("hop_unreadable", PROXY)),
        (("," * 40 + f"for={INNER}",), _doubtful("hop_unreadable", PROXY, INNER)),
        ((f"for={INNER}",), _doubtful("every_hop_is_a_proxy", PROXY, INNER)),
    ],
)
def test_forwarded_is_walked_from_the_right(lines: tuple[str, ...], expected: ClientAddress) -> None:
    assert resolve(PROXY, (), lines, TRUSTED) == expected


@pytest.mark.parametrize(
    ("x_forwarded_for", "forwarded", "expected"),
    [
        (CLIENT, f"for={CLIENT}", _sure(CLIENT, PROXY)),
        (f"{CLIENT}, {INNER}", f"for={CLIENT}", _sure(CLIENT, PROXY, INNER)),
        (CLIENT, "for=198.51.100.1", _doubtful("headers_disagree", PROXY, claimed=(CLIENT, "198.51.100.1"))),
        (
            f"{CLIENT}, {INNER}",
            f"for=198.51.100.1, for={INNER}",
            _doubtful("headers_disagree", PROXY, INNER, claimed=(CLIENT, "198.51.100.1")),
        ),
        (CLIENT, "for=unknown", _doubtful("headers_disagree", PROXY, claimed=(CLIENT,))),
        ("rubbish", f"for={CLIENT}", _doubtful("headers_disagree", PROXY, claimed=(CLIENT,))),
        ("unknown", "for=unknown", _doubtful("hop_hidden", PROXY)),
        # Blanked by the HTTP server because a stranger put bytes in it that are not ASCII: it must not leave the other to be believed.
        ("", f"for={CLIENT}", _doubtful("headers_disagree", PROXY, claimed=(CLIENT,))),
        (CLIENT, " ", _doubtful("headers_disagree", PROXY, claimed=(CLIENT,))),
        ("", " ", _doubtful("no_forwarding_header", PROXY)),
    ],
)
def test_two_headers_are_believed_only_when_they_agree(x_forwarded_for: str, forwarded: str, expected: ClientAddress) -> None:
    assert resolve(PROXY, (x_forwarded_for,), (forwarded,), TRUSTED) == expected


@pytest.mark.parametrize(("hops", "why"), [(MAX_HOPS, "every_hop_is_a_proxy"), (MAX_HOPS + 1, "too_many_hops")])
def test_a_chain_that_is_too_long_is_doubted(hops: int, why: str) -> None:
    by_list = resolve(PROXY, (", ".join([INNER] * hops),), (), TRUSTED)
    by_pairs = resolve(PROXY, (), (", ".join([f"for={INNER}"] * hops),), TRUSTED)
    assert (by_list.why, by_pairs.why) == (why, why)
    assert by_list.is_doubtful
    assert len(by_list.chain) == MAX_HOPS + 1


def test_a_client_is_found_behind_as_many_proxies_as_are_read() -> None:
    lines = (", ".join([CLIENT, *[INNER] * (MAX_HOPS - 1)]),)
    assert resolve(PROXY, lines, (), TRUSTED).address == CLIENT


@pytest.mark.parametrize("text", [",", "for=", 'for="', "for=a;", '"\\', "for=10.0.0.2,", ';,="', "[:"])
def test_a_huge_header_costs_little(text: str) -> None:
    huge = text * (1_000_000 // len(text))
    started = time.process_time()
    assert resolve(PROXY, (huge,), (huge,), TRUSTED).is_doubtful
    assert time.process_time() - started < 0.5


_address = st.ip_addresses().map(str)
_fragment = st.sampled_from(
    [
        *("for=", "For=", '"', "\\", ",", ";", "=", "[", "]", ":", "%", " ", "\t", "unknown", "_x", PROXY, INNER),
        *(CLIENT, "2001:db8::1", "::ffff:10.0.0.1", "by=", "proto=https", "10.0.0.2:80", "\n", "é", "\ud800"),
    ]
)
_line = st.one_of(st.text(), st.lists(_fragment, max_size=12).map("".join))
_lines = st.lists(_line, max_size=4).map(tuple)


@given(st.one_of(_line, st.just(PROXY)), _lines, _lines)
def test_resolve_never_raises_and_always_names_a_real_address(
    peer: str, x_forwarded_for: tuple[str, ...], forwarded: tuple[str, ...]
) -> None:
    client = resolve(peer, x_forwarded_for, forwarded, TRUSTED)
    if client.why == "peer_unreadable":
        assert (client.address, client.chain, client.is_doubtful) == ("", (), True)
        return
    assert str(ip_address(client.address)) == client.address
    assert client.chain[-1] == client.address
    assert len(client.chain) <= MAX_HOPS + 1
    for hop in client.chain[:-1]:
        assert _is_trusted(hop)
    if client.is_doubtful:
        assert _is_trusted(client.address)


@given(_address, _lines, _lines)
def test_headers_of_an_untrusted_peer_never_change_the_address(
    peer: str, x_forwarded_for: tuple[str, ...], forwarded: tuple[str, ...]
) -> None:
    alone = resolve(peer, (), (), ())
    with_headers = resolve(peer, x_forwarded_for, forwarded, ())
    assert (with_headers.address, with_headers.chain) == (alone.address, alone.chain)
    assert not with_headers.is_doubtful


@given(_lines, _address)
def test_what_a_stranger_sends_never_changes_what_our_proxy_appends(sent: tuple[str, ...], stranger: str) -> None:
    address = resolve(stranger, (), (), ()).address
    if _is_trusted(address):
        return
    by_list = resolve(PROXY, (*sent, stranger), (), TRUSTED)
    node = f'"[{stranger}]"' if ":" in stranger else stranger
    by_pairs = resolve(PROXY, (), (*sent, f"for={node};proto=https"), TRUSTED)
    assert by_list == by_pairs == _sure(address, PROXY)


def _is_trusted(address: str) -> bool:
    networks: tuple[IPv4Network | IPv6Network, ...] = (*TRUSTED[:2], ip_network("10.9.0.0/16"))
    return any(ip_address(address) in network for network in networks)
