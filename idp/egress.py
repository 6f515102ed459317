"""Going out to addresses that applications gave us: each name is looked up once, each address judged, and the connection made to what was judged.

Owns the httpx transport that logout tokens and Security Event Tokens are sent by; the rule is policies/egress.py's. Redirects are never followed
by those who use it. A name that is looked up twice can answer with another address the second time (DNS rebinding): here it is not.
"""

import socket
from collections.abc import Callable, Collection
from ipaddress import ip_address

import httpx

from policies.egress import Address, Network, may_reach

Resolve = Callable[[str, int], tuple[Address, ...]]
PORTS = {"http": 80, "https": 443}


class AddressRefused(Exception):
    """The address may not be spoken to. The text names what was looked up, for operators: it is no secret and no person's."""


class GuardedTransport(httpx.BaseTransport):
    """Sends by HTTP/1.1 to addresses that may be reached, and to no other. Raises AddressRefused, httpx.TransportError."""

    def __init__(self, allowed: Collection[Network], *, resolve: Resolve | None = None, inner: httpx.BaseTransport | None = None) -> None:
        """`allowed`: networks beside the public ones."""
        self._allowed = tuple(allowed)
        self._resolve = resolve or look_up
        # A connection is never used again: the next request may be for another name at the same address, whose certificate nobody checked.
        self._inner = inner or httpx.HTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, to the first of the judged addresses that answers."""
        url = request.url
        host = url.raw_host.decode("ascii")
        addresses = self._judged(host, url.port or PORTS.get(url.scheme, 443))
        for address in addresses[:-1]:
            try:
                return self._inner.handle_request(_aimed(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_aimed(request, host, addresses[-1]))

    def close(self) -> None:
        """Let go of connections."""
        self._inner.close()

    def _judged(self, host: str, port: int) -> tuple[Address, ...]:
        addresses = self._resolve(host, port)
        for address in addresses:
            # One that may not be reached among others is no accident, or a mistake to be told of: none is used.
            if not may_reach(address, self._allowed):
                raise AddressRefused(f"{address} may not be reached (egress.networks)")
        return addresses


def look_up(host: str, port: int) -> tuple[Address, ...]:
    """The addresses of a host, each once, in the system's order. httpx.ConnectError when there is none."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError("the name has no address") from error
    # A scope ("fe80::1%eth0") says on which link: what is on a link is never reached anyway.
    texts = dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)
    if not texts:
        raise httpx.ConnectError("the name has no address")
    return tuple(ip_address(text) for text in texts)


def _aimed(request: httpx.Request, host: str, address: Address) -> httpx.Request:
    """The same request with the address in the place of the name; the certificate is still that of the name, and so is the Host header."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
