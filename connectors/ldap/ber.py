"""BER (X.690, definite lengths only) as far as controls and message frames need it, where ldap3 leaves values undecoded.

Pure, and no ldap3. Everything here raises ValueError for bytes that are not what they should be.
"""

from collections.abc import Iterator

INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET, BOOLEAN = 0x02, 0x04, 0x0A, 0x30, 0x31, 0x01
LONGEST_LENGTH = 8  # bytes of a length; what is longer is nonsense


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of `data`: tag byte and content."""
    at = 0
    while at < len(data):
        end = extent(data, at)
        if end is None or end[1] > len(data):
            raise ValueError("a BER element is cut short")
        yield data[at], data[end[0] : end[1]]
        at = end[1]


def only(data: bytes) -> tuple[int, bytes]:
    """The one element that `data` is."""
    found = list(elements(data))
    if len(found) != 1:
        raise ValueError("one BER element was expected")
    return found[0]


def extent(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Where the content of the element at `at` begins and ends, perhaps past the end of `data`; None when too little of it is there to tell."""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 0 < size <= LONGEST_LENGTH:
            raise ValueError("a BER length that is none")
        if len(data) < begin + size:
            return None
        length, begin = int.from_bytes(data[begin : begin + size], "big"), begin + size
    return begin, begin + length


def encode(tag: int, *contents: bytes) -> bytes:
    """An element."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
