"""Whose ticket a PAC says it is: the Windows security id (SID) in it, which is never given again, where names are.

Reads two of a PAC's parts, handed in as libkrb5 gives them once it has verified the PAC's signature (acceptor.py sees to that). Pure.
Sources: [MS-PAC] sections 2.5 (KERB_VALIDATION_INFO) and 2.10 (UPN_DNS_INFO), [MS-DTYP] section 2.4.2.2 (SID), [MS-RPCE] section 2.2.6 (NDR).
"""

import struct
from struct import unpack_from

HAS_SID = 0x2  # of UPN_DNS_INFO's flags: the name and the SID follow
SID_PARTS = 15
HEADERS = 16  # of type serialization 1


class PacMalformed(Exception):
    """The PAC cannot be read."""


def sid_of(upn_dns_info: bytes | None, logon_info: bytes | None) -> str | None:
    """The SID that the parts agree on, as text (S-1-5-21-…); None when neither says one. Raises PacMalformed, also when they differ."""
    try:
        said = [_of_upn(upn_dns_info) if upn_dns_info else None, _of_logon(logon_info) if logon_info else None]
    except (struct.error, IndexError) as error:
        raise PacMalformed("a part of the PAC is cut short") from error
    found = {sid for sid in said if sid is not None}
    if len(found) > 1:
        raise PacMalformed("two parts of the PAC name two people")
    return found.pop() if found else None


def _of_upn(info: bytes) -> str | None:
    """Domain controllers since November 2021 write it."""
    (flags,) = unpack_from("<I", info, 8)
    if not flags & HAS_SID:
        return None
    length, offset = unpack_from("<HH", info, 16)
    if offset + length > len(info):
        raise PacMalformed("the SID is not in its part of the PAC")
    return _sid(info[offset : offset + length])


def _of_logon(info: bytes) -> str | None:
    """The domain's SID and the person's number in it; what the pointers lead to follows in their order (NDR)."""
    user_id, _primary_group = unpack_from("<II", info, HEADERS + 4 + 100)
    pointers = [unpack_from("<I", info, HEADERS + 4 + offset)[0] for offset in (52, 60, 68, 76, 84, 92)]
    (groups,) = unpack_from("<I", info, HEADERS + 4 + 112)
    servers = [unpack_from("<I", info, HEADERS + 4 + offset)[0] for offset in (140, 148)]
    (domain,) = unpack_from("<I", info, HEADERS + 4 + 152)
    if not domain or not user_id:
        return None
    at = HEADERS + 4 + 216
    for pointer in pointers:
        at = _past_string(info, at) if pointer else at
    if groups:
        (count,) = unpack_from("<I", info, at)
        at += 4 + 8 * count
    for pointer in servers:
        at = _past_string(info, at) if pointer else at
    (count,) = unpack_from("<I", info, at)
    return f"{_sid(info[at + 4 : at + 12 + 4 * count])}-{user_id}"


def _past_string(info: bytes, at: int) -> int:
    """Behind a conformant and varying array of UTF-16 units, aligned to four octets."""
    _, _, units = unpack_from("<III", info, at)
    end: int = at + 12 + 2 * units
    return end + -end % 4


def _sid(written: bytes) -> str:
    revision, count = unpack_from("<BB", written, 0)
    if revision != 1 or not 1 <= count <= SID_PARTS or len(written) != 8 + 4 * count:
        raise PacMalformed("a SID that is none")
    parts = unpack_from(f"<{count}I", written, 8)
    return "-".join(map(str, ("S", revision, int.from_bytes(written[2:8], "big"), *parts)))
