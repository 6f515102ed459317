"""What a browser offers in its Authorization header, read as far as is needed before libkrb5 does: Kerberos or NTLM, which authenticator.

Believes nothing of it and verifies nothing: that is libkrb5's, in acceptor.py. Pure. Sources: RFC 4178 section 4.2 (SPNEGO), RFC 4121 section 4.1,
RFC 4120 sections 5.5.1 and 5.9.1, X.690 (DER).
"""

from dataclasses import dataclass
from typing import Literal

SPNEGO = bytes.fromhex("06062b0601050502")
KERBEROS = bytes.fromhex("06092a864886f712010202")
KERBEROS_OF_MICROSOFT = bytes.fromhex("06092a864882f712010202")  # what Windows 2000 wrote, and Windows still names first
NTLM = bytes.fromhex("060a2b06010401823702020a")
NTLM_BEGINS = b"NTLMSSP\0"
REQUEST, ERROR = b"\x01\x00", b"\x03\x00"  # RFC 4121 section 4.1: what follows is an AP-REQ, a KRB-ERROR


class Malformed(Exception):
    """This is no DER, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`authenticator` is the ciphertext that makes a token one and no other, of Kerberos only."""

    kind: Literal["kerberos", "ntlm"]
    authenticator: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """One DER element: its identifier octet, what it holds, and how it was written."""

    tag: int
    content: bytes
    written: bytes

    def parts(self) -> "list[Part]":
        """The elements that it holds, one after the other. Raises Malformed."""
        found, rest = [], self.content
        while rest:
            part, rest = _take(rest)
            found.append(part)
        return found

    def field(self, number: int) -> "Part":
        """What its context-specific field holds. Raises Malformed when it has none."""
        for part in self.parts():
            if part.tag == 0xA0 | number:
                return _only(part.content)
        raise Malformed(f"no field {number}")


def read_offer(token: bytes) -> Offer:
    """What a token is. Raises Malformed for anything that is neither a Kerberos token, in SPNEGO or bare, nor NTLM's."""
    if token.startswith(NTLM_BEGINS):
        return Offer("ntlm")
    mechanism, rest = _open(token)
    if mechanism == SPNEGO:
        init = _expect(_only(rest), 0xA0)
        sequence = _expect(_only(init.content), 0x30)
        mechanisms = [part.written for part in _expect(sequence.field(0), 0x30).parts()]
        if not mechanisms:
            raise Malformed("no mechanism")
        # Windows names NTLM last in every list, for want of better: what counts is what comes first, and what it has sent of it.
        if mechanisms[0] == NTLM:
            return Offer("ntlm")
        inner = _expect(sequence.field(2), 0x04).content
        if inner.startswith(NTLM_BEGINS):
            return Offer("ntlm")
        mechanism, rest = _open(inner)
    if mechanism not in {KERBEROS, KERBEROS_OF_MICROSOFT}:
        raise Malformed("neither Kerberos nor NTLM")
    return Offer("kerberos", _authenticator(rest))


def error_of(answer: bytes) -> int | None:
    """The number of the KRB-ERROR that libkrb5 would have the browser read (RFC 4120 section 7.5.9); None when there is none."""
    try:
        if answer[:1] == b"\xa1":
            answer = _expect(_expect(_only(answer), 0xA1).parts()[0].field(2), 0x04).content
        _, rest = _open(answer)
        if not rest.startswith(ERROR):
            return None
        error = _expect(_expect(_only(rest[2:]), 0x7E).parts()[0].field(6), 0x02)
        return int.from_bytes(error.content, "big")
    except (Malformed, IndexError):
        return None


def _authenticator(rest: bytes) -> bytes:
    if not rest.startswith(REQUEST):
        raise Malformed("no request")
    request = _only(_expect(_only(rest[2:]), 0x6E).content)
    return _expect(request.field(4).field(2), 0x04).content


def _open(token: bytes) -> tuple[bytes, bytes]:
    """The mechanism, as written, and what follows it (RFC 2743 section 3.1)."""
    outer = _expect(_only(token), 0x60)
    mechanism, rest = _take(outer.content)
    return _expect(mechanism, 0x06).written, rest


def _expect(part: Part, tag: int) -> Part:
    if part.tag != tag:
        raise Malformed(f"{part.tag:#x} where {tag:#x} should be")
    return part


def _only(data: bytes) -> Part:
    part, rest = _take(data)
    if rest:
        raise Malformed("more than one element")
    return part


def _take(data: bytes) -> tuple[Part, bytes]:
    """The first element, and the rest. Definite lengths of at most four octets."""
    if len(data) < 2:
        raise Malformed("cut short")
    length, start = data[1], 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(data) < 2 + count:
            raise Malformed("a length that is none")
        length, start = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if data[0] & 0x1F == 0x1F or len(data) < start + length:
        raise Malformed("cut short")
    return Part(data[0], data[start : start + length], data[: start + length]), data[start + length :]
