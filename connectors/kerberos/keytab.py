"""What a keytab file holds: principals, versions and kinds of keys; never the keys. libkrb5 reads the keys themselves.

Pure but for the reading of the file. Source: MIT Kerberos, "The Kerberos Version 5 keytab file format", version 2.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from

AES = {17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96", 19: "aes128-cts-hmac-sha256-128", 20: "aes256-cts-hmac-sha384-192"}
WEAK = {1: "des-cbc-crc", 3: "des-cbc-md5", 16: "des3-cbc-sha1", 23: "arcfour-hmac"}


class KeytabUnreadable(Exception):
    """The file cannot be read, or is no keytab."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key: whose, which version of theirs, of what kind (RFC 3961's number)."""

    principal: str
    version: int
    kind: int

    @property
    def kind_name(self) -> str:
        """The kind in words."""
        return AES.get(self.kind) or WEAK.get(self.kind) or f"kind {self.kind}"


def read_keytab(path: Path) -> tuple[Entry, ...]:
    """Every key of the file. Raises KeytabUnreadable."""
    try:
        written = path.read_bytes()
    except OSError as error:
        raise KeytabUnreadable(f"cannot read {path}: {error.strerror}") from error
    if written[:2] != b"\x05\x02":
        raise KeytabUnreadable(f"{path} is not a keytab")
    found, at = [], 2
    try:
        while at + 4 <= len(written):
            (size,) = unpack_from(">i", written, at)
            at += 4
            if size > 0:  # a negative one is a hole that a deleted key has left
                found.append(_entry(written[at : at + size]))
            elif size == 0:
                break
            at += abs(size)
    except (struct.error, UnicodeDecodeError) as error:
        raise KeytabUnreadable(f"{path} is not a keytab, or is cut short") from error
    return tuple(found)


def _entry(record: bytes) -> Entry:
    (count,) = unpack_from(">H", record, 0)
    texts, at = [], 2
    for _ in range(count + 1):
        (length,) = unpack_from(">H", record, at)
        texts.append(record[at + 2 : at + 2 + length].decode())
        at += 2 + length
    _, _, version, kind, length = unpack_from(">IIBHH", record, at)
    at += 13 + length
    if len(record) - at >= 4:  # versions beyond 255
        version = unpack_from(">I", record, at)[0] or version
    return Entry(f"{'/'.join(texts[1:])}@{texts[0]}", version, kind)
