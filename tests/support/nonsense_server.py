"""A server that lets everybody in and answers searches with whatever a test says: for what a directory must never do."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from connectors.ldap.ber import ENUMERATED, INTEGER, OCTETS, SEQUENCE, encode, extent

FINE = (encode(ENUMERATED, b"\x00"), encode(OCTETS), encode(OCTETS))
BIND, SEARCH = 0x60, 0x63
Answer = Callable[[bytes, bytes], bytes]
"""What to answer to a search; given all of it, and its number as it is written."""

# The number of the search in what is said below: ldap3 counts through all connections of a process.
ASKED = b"\x7d\x7e\x7f\x7e"


def message(number: bytes, *parts: bytes) -> bytes:
    """One message; `number` is ASKED for what answers the search."""
    return encode(SEQUENCE, encode(INTEGER, number), *parts)


def entry(dn: str, *controls: bytes, values: Mapping[str, Sequence[bytes]] | None = None) -> bytes:
    """An entry that was found."""
    said = (
        encode(SEQUENCE, encode(OCTETS, name.encode()), encode(0x31, *(encode(OCTETS, one) for one in those)))
        for name, those in (values or {}).items()
    )
    return message(ASKED, encode(0x64, encode(OCTETS, dn.encode()), encode(SEQUENCE, *said)), *controls)


def done(code: int) -> bytes:
    """The end of the search."""
    said = code.to_bytes(2, "big").lstrip(b"\x00") or b"\x00"
    return message(ASKED, encode(0x65, encode(ENUMERATED, said), encode(OCTETS), encode(OCTETS, b"words")))


@contextmanager
def saying(words: bytes | Answer) -> Iterator[int]:
    """A server on a free port that takes every bind and answers each search with `words`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(30)
            buffer = b""
            while data := client.recv(65536):
                buffer += data
                while (frame := extent(buffer, 0)) is not None and frame[1] <= len(buffer):
                    number = extent(buffer, frame[0])
                    assert number is not None
                    written = buffer[number[0] : number[1]].rjust(4, b"\x00")
                    if buffer[number[1]] == BIND:
                        client.sendall(message(written, encode(0x61, *FINE)))
                    elif buffer[number[1]] == SEARCH:
                        said = words if isinstance(words, bytes) else words(buffer[: frame[1]], written)
                        client.sendall(said.replace(ASKED, written))
                    buffer = buffer[frame[1] :]

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(35)
        listener.close()
