"""Where we may send something that an application asked us to send: public addresses, and those that the configuration allows.

An address that an application names is a way to make us speak to what only we can reach (server-side request forgery, RFC 8935 section 5.4).
Pure: who looks addresses up is idp/egress.py.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# What carries an IPv4 address to a translator (RFC 6052): the address inside is what counts.
_NAT64 = IPv6Network("64:ff9b::/96")
# Of IANA's special-purpose registries, what older Pythons take for global; a site's own translators (RFC 8215) put the IPv4 address where they like.
_SPECIAL: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("100:0:0:1::/64"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
)


def may_reach(address: Address, allowed: Collection[Network]) -> bool:
    """Whether an address is public, or in one of the networks that are allowed. Whatever hides another address in itself is judged by that one."""
    inner = _carried(address)
    if inner is not None:
        return may_reach(inner, allowed)
    if any(address.version == network.version and address in network for network in allowed):
        return True
    if any(address.version == network.version and address in network for network in _SPECIAL):
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_unspecified and not address.is_reserved


def _carried(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None
