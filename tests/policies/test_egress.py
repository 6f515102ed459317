"""Which addresses may be spoken to: policies/egress.py."""

from ipaddress import ip_address, ip_network

import pytest

from policies.egress import may_reach


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])
def test_public_address_is_reached(address: str) -> None:
    assert may_reach(ip_address(address), ())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "64:ff9b:1:a00:1::5db8:d822",
        "::127.0.0.1",
        "3fff::1",
        "192.88.99.1",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
    ],
)
def test_address_that_only_we_can_reach_is_not(address: str) -> None:
    assert not may_reach(ip_address(address), ())


def test_private_address_is_reached_when_its_network_is_allowed() -> None:
    allowed = (ip_network("10.20.0.0/16"), ip_network("fd12::/16"))
    assert may_reach(ip_address("10.20.1.1"), allowed)
    assert may_reach(ip_address("fd12::1"), allowed)
    assert may_reach(ip_address("::ffff:10.20.1.1"), allowed)
    assert not may_reach(ip_address("10.21.1.1"), allowed)
    assert not may_reach(ip_address("127.0.0.1"), allowed)
