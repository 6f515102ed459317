"""The password policy response control (draft-behera-ldap-password-policy-10 section 6.2), which ldap3 leaves undecoded.

Pure. OpenLDAP's ppolicy and 389 Directory Server send it with the answers to binds and password changes when it was asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105 - a control's name
CONTEXT_0, CONTEXT_1, NESTED_0 = 0x80, 0x81, 0xA0


class PolicyError(IntEnum):
    """What the policy objects to; UNKNOWN stands for a number that the draft does not have."""

    PASSWORD_EXPIRED = 0
    ACCOUNT_LOCKED = 1
    CHANGE_AFTER_RESET = 2
    PASSWORD_MOD_NOT_ALLOWED = 3
    MUST_SUPPLY_OLD_PASSWORD = 4
    INSUFFICIENT_PASSWORD_QUALITY = 5
    PASSWORD_TOO_SHORT = 6
    PASSWORD_TOO_YOUNG = 7
    PASSWORD_IN_HISTORY = 8
    UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """`is_present`: the server has a password policy and spoke of it. `grace_left`: the password has expired, and so many binds still work."""

    is_present: bool = False
    error: PolicyError | None = None
    grace_left: int | None = None


def read_policy_answer(value: bytes | None) -> PolicyAnswer:
    """Decode the control's value; raises ValueError when it is not as the draft says. None: the control was not sent."""
    if value is None:
        return PolicyAnswer()
    error: PolicyError | None = None
    grace: int | None = None
    for outer in _elements(value):
        for tag, content in _elements(outer[1]):
            if tag == CONTEXT_1:
                number = int.from_bytes(content, "big")
                error = PolicyError(number) if number in PolicyError.__members__.values() else PolicyError.UNKNOWN
            elif tag == NESTED_0:
                grace = next((int.from_bytes(inner, "big") for kind, inner in _elements(content) if kind == CONTEXT_1), grace)
    return PolicyAnswer(is_present=True, error=error, grace_left=grace)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The BER elements of `data`: tag byte and content, definite lengths only."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("a BER element is cut short")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("a BER element is longer than its message")
        yield tag, data[at : at + length]
        at += length
