"""Whatever is sent as a ticket, or stands in a keytab or a PAC, is taken or refused: nothing else is raised, and nothing takes long."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kerberos.keytab import KeytabUnreadable, read_keytab
from connectors.kerberos.offer import NTLM_BEGINS, Malformed, error_of, read_offer
from connectors.kerberos.pac import PacMalformed, sid_of

OFFER = bytes.fromhex("604606062b0601050502a03c303aa00e300c060a2b06010401823702020aa2280426")
SID = bytes.fromhex("010500000000000515000000") + struct.pack("<4I", 1111, 2222, 3333, 1104)
TEXT = "S-1-5-21-1111-2222-3333-1104"


def upn_dns_info(sid: bytes, *, flags: int = 2) -> bytes:
    """UPN_DNS_INFO with a SID at its end ([MS-PAC] section 2.10)."""
    return struct.pack("<HHHHIHHHH", 0, 24, 0, 24, flags, 0, 24, len(sid), 24) + bytes(4) + sid


def logon_info(*, user_id: int = 1104, names: tuple[str, ...] = ("a.claire", "", "x", "", "é", ""), groups: int = 3) -> bytes:
    """KERB_VALIDATION_INFO in NDR, as far as it is read ([MS-PAC] section 2.5)."""

    def text(value: str) -> bytes:
        units = value.encode("utf-16-le")
        padded = units + bytes(-len(units) % 4)
        return struct.pack("<III", len(value), 0, len(value)) + padded

    strings = b"".join(struct.pack("<HHI", 2 * len(name), 2 * len(name), 7 if name else 0) for name in names)
    fixed = bytes(48) + strings + bytes(4) + struct.pack("<III", user_id, 513, groups) + struct.pack("<I", 7 if groups else 0)
    fixed += bytes(20) + struct.pack("<HHI", 6, 6, 7) + struct.pack("<HHI", 10, 10, 7) + struct.pack("<I", 7)
    fixed += bytes(216 - len(fixed))
    deferred = b"".join(text(name) for name in names if name)
    deferred += (struct.pack("<I", groups) + bytes(8 * groups) if groups else b"") + text("DC1") + text("EHPAD")
    domain = bytes.fromhex("010400000000000515000000") + struct.pack("<3I", 1111, 2222, 3333)
    return bytes(20) + fixed + deferred + struct.pack("<I", 4) + domain


@given(
    st.binary(max_size=400)
    | st.binary(max_size=80).map(lambda end: OFFER + end)
    | st.binary(max_size=80).map(lambda end: b"\x60\x50" + end)
)
def test_any_token_is_read_or_refused(token: bytes) -> None:
    try:
        assert read_offer(token).kind in {"kerberos", "ntlm"}
    except Malformed:
        assert not token.startswith(NTLM_BEGINS)
    error_of(token)


@given(st.binary(max_size=300), st.binary(max_size=300) | st.integers(0, 400).map(lambda end: logon_info()[:end]))
def test_any_pac_is_read_or_refused(upn: bytes, logon: bytes) -> None:
    try:
        found = sid_of(upn, logon)
    except PacMalformed:
        return
    assert found is None or found.startswith("S-1-")


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_keytab_is_read_or_refused(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "keytab"
    path.write_bytes(b"\x05\x02" + written)
    try:
        read_keytab(path)
    except KeytabUnreadable:
        return


def test_the_security_id_is_read_from_either_part_of_a_pac() -> None:
    assert sid_of(upn_dns_info(SID), None) == TEXT
    assert sid_of(None, logon_info()) == TEXT
    assert sid_of(None, logon_info(names=("",) * 6, groups=0)) == TEXT
    assert sid_of(upn_dns_info(SID), logon_info()) == TEXT
    assert sid_of(upn_dns_info(SID, flags=0), None) is None
    assert sid_of(None, None) is None


@pytest.mark.parametrize(
    ("upn", "logon"),
    [
        (upn_dns_info(SID), logon_info(user_id=500)),
        (upn_dns_info(SID[:-2]), None),
        (upn_dns_info(b"\x02" + SID[1:]), None),
        (upn_dns_info(SID)[:-4], None),
        (None, logon_info()[:-4]),
    ],
    ids=["two people", "cut short", "another revision", "beyond its part", "no domain"],
)
def test_a_pac_that_does_not_hold_is_refused(upn: bytes | None, logon: bytes | None) -> None:
    with pytest.raises(PacMalformed):
        sid_of(upn, logon)
