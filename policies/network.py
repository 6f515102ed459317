"""Which address a request really came from, when proxies stand in front of us.

Owns the walk of X-Forwarded-For and Forwarded (RFC 7239) from the right, and the doubt about what it finds. Reads no
request: idp/web hands over the peer and the raw header lines. Never raises, whatever the text. Everything to the left
of the first hop that is not ours was written by a stranger and is not even read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

DIRECT = "direct"
HEADERS_IGNORED = "headers_ignored"
FORWARDED_BY_TRUSTED_PROXY = "forwarded_by_trusted_proxy"
PEER_UNREADABLE = "peer_unreadable"
NO_FORWARDING_HEADER = "no_forwarding_header"
EVERY_HOP_IS_A_PROXY = "every_hop_is_a_proxy"
HOP_UNREADABLE = "hop_unreadable"
HOP_HIDDEN = "hop_hidden"
TOO_MANY_HOPS = "too_many_hops"
HEADERS_DISAGREE = "headers_disagree"

MAX_HOPS = 16
_MAX_ADDRESS_LENGTH = 80
_MAX_ELEMENT_LENGTH = 512
_MAX_COMMAS_PER_ELEMENT = 4

_PORT = r"(?::(?P<port>[0-9]{1,5}|_[A-Za-z0-9._-]{1,32}))?"
_BRACKETED = re.compile(r"\[(?P<address>[^\[\]]+)\]" + _PORT + r"\Z")
_IPV4_WITH_PORT = re.compile(r"(?P<address>[0-9.]+)" + _PORT + r"\Z")
_HIDDEN = re.compile(r"(?:unknown|_[A-Za-z0-9._-]+)" + _PORT + r"\Z", re.IGNORECASE)

# RFC 7239 section 4: forwarded-element = [ pair ] *( ";" [ pair ] ). "[" "]" ":" are not token characters, yet
# proxies that forget the quotes around an IPv6 address are common and unambiguous.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t !-~\x80-\xff])*"'
_PAIR = re.compile(rf"[ \t]*(?P<name>{_NAME})=(?P<value>{_QUOTED}|[\[\]:!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;|\Z)")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """`address`: normalised text (IPv4-mapped IPv6 as IPv4, no port, no zone id); "" when the peer is unreadable.

    `chain`: from our peer outwards, ending with `address`. `why`: a reason code of this module.
    `is_doubtful`: `address` is the last machine known for sure, a proxy and perhaps on the inside network. It must
    never be taken for the person's place: treat as outside, and do not count failures of strangers against it.
    `claimed`: where headers disagree, what each of them says behind proxies of ours only. One may be a stranger's word:
    good for refusing whoever comes from a blocked network, never for letting anybody in.
    """

    address: str
    chain: tuple[str, ...]
    is_doubtful: bool
    why: str
    claimed: tuple[str, ...] = ()


def resolve(
    peer: str,
    x_forwarded_for: tuple[str, ...],
    forwarded: tuple[str, ...],
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...],
) -> ClientAddress:
    """The client's address, from the socket's `peer` and the raw lines of both headers in the order received.

    Headers count only when `peer` is a trusted proxy, and each further hop only when the one before it is. A trusted
    proxy that names nobody, or only other trusted proxies, hides its clients: doubtful. Both headers may be present
    when they lead to the same address; no line at all means that the header is absent. At most MAX_HOPS hops are read.
    """
    peer_address = _read(peer)
    if peer_address is None:
        return ClientAddress("", (), is_doubtful=True, why=PEER_UNREADABLE)
    networks = tuple(_unmapped_network(network) for network in trusted_proxies)
    start = str(peer_address)
    has_xff = any(line.strip() for line in x_forwarded_for)
    has_forwarded = any(line.strip() for line in forwarded)
    if not _is_within(peer_address, networks):
        why = HEADERS_IGNORED if has_xff or has_forwarded else DIRECT
        return ClientAddress(start, (start,), is_doubtful=False, why=why)
    if not has_xff and not has_forwarded:
        return ClientAddress(start, (start,), is_doubtful=True, why=NO_FORWARDING_HEADER)
    walks = []
    # A header that is there and says nothing is one that could not be read (HTTP servers blank what is not ASCII): were it passed over, a stranger
    # could blank the one that our proxy writes and be believed by the other.
    if x_forwarded_for:
        walks.append(_walk(start, _x_forwarded_for_hops(x_forwarded_for), networks))
    if forwarded:
        walks.append(_walk(start, _forwarded_hops(forwarded), networks))
    return walks[0] if len(walks) == 1 else _agreement(walks[0], walks[1])


def _walk(start: str, hops: Iterator[str | None], networks: tuple[IPv4Network | IPv6Network, ...]) -> ClientAddress:
    chain: tuple[str, ...] = (start,)
    for hop in hops:
        if len(chain) > MAX_HOPS:
            return ClientAddress(chain[-1], chain, is_doubtful=True, why=TOO_MANY_HOPS)
        address = None if hop is None else _read(hop)
        if address is None:
            is_hidden = hop is not None and len(hop) <= _MAX_ADDRESS_LENGTH and _HIDDEN.match(hop) is not None
            return ClientAddress(chain[-1], chain, is_doubtful=True, why=HOP_HIDDEN if is_hidden else HOP_UNREADABLE)
        chain = (*chain, str(address))
        if not _is_within(address, networks):
            return ClientAddress(chain[-1], chain, is_doubtful=False, why=FORWARDED_BY_TRUSTED_PROXY)
    return ClientAddress(chain[-1], chain, is_doubtful=True, why=EVERY_HOP_IS_A_PROXY)


def _agreement(one: ClientAddress, other: ClientAddress) -> ClientAddress:
    """A proxy that writes one header lets a stranger's other header through: only agreement is believed."""
    if one == other or (one.address == other.address and not one.is_doubtful and not other.is_doubtful):
        return one
    shared = 0
    for left, right in zip(one.chain, other.chain, strict=False):
        if left != right:
            break
        shared += 1
    chain = one.chain[:shared]
    # Both walks stop at the first stranger, so what they share is our proxies only, the last of them known for sure.
    claimed = tuple(walk.address for walk in (one, other) if not walk.is_doubtful)
    return ClientAddress(chain[-1], chain, is_doubtful=True, why=HEADERS_DISAGREE, claimed=claimed)


def _x_forwarded_for_hops(lines: tuple[str, ...]) -> Iterator[str | None]:
    # One more than is walked, so that a longer list is told from one that just fits; the rest stays one unread string.
    for hop in reversed(",".join(lines).rsplit(",", MAX_HOPS + 1)):
        yield hop.strip(" \t")


def _forwarded_hops(lines: tuple[str, ...]) -> Iterator[str | None]:
    """The `for` of each element, rightmost first; None where an element is malformed or names nobody.

    Read from the right, because a stranger's open quote on the left would otherwise swallow what our proxy appended.
    That is unambiguous: if a well-formed element started inside another's quoted string, the two readings would need
    an odd and an even number of quotes in the same text.
    """
    text = ",".join(lines)
    end = len(text)
    while end >= 0:
        cut = end
        pairs: tuple[tuple[str, str], ...] | None = None
        for _ in range(_MAX_COMMAS_PER_ELEMENT):
            cut = text.rfind(",", max(0, end - _MAX_ELEMENT_LENGTH), cut)
            if cut < 0 and end > _MAX_ELEMENT_LENGTH:
                break
            pairs = _pairs(text[cut + 1 : end])
            if pairs is not None or cut < 0:
                break
        names = () if pairs is None else tuple(value for name, value in pairs if name == "for")
        yield names[0] if len(names) == 1 else None
        end = cut


def _pairs(element: str) -> tuple[tuple[str, str], ...] | None:
    element = element.strip(" \t")
    found = []
    position = 0
    while position < len(element):
        match = _PAIR.match(element, position)
        if match is None:
            return None
        value = match["value"]
        if value.startswith('"'):
            value = _ESCAPE.sub(r"\1", value[1:-1])
        found.append((match["name"].lower(), value))
        position = match.end()
    return tuple(found) or None


def _read(text: str) -> IPv4Address | IPv6Address | None:
    if len(text) > _MAX_ADDRESS_LENGTH:
        return None
    match = _BRACKETED.match(text) or _IPV4_WITH_PORT.match(text)
    port = None if match is None else match["port"]
    if port is not None and port.isdigit() and int(port) > 65535:
        return None
    try:
        address = ip_address(text if match is None else match["address"])
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address if match is None or not text.startswith("[") else None
    return address.ipv4_mapped or IPv6Address(int(address))


def _is_within(address: IPv4Address | IPv6Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)


def _unmapped_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
