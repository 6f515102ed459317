"""What a seal is called outside: its number and its signature in one word, to be noted, printed or streamed; and instants as they are stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from idp.errors import VestibuleError
from idp.store.tables import EPOCH, MICROSECOND

SIGNATURE_LENGTH = 43


def seal_value(seal: Mapping[str, Any]) -> str:
    """`<number>-<signature>`."""
    return f"{seal['number']}-{seal['mac']}"


def read_seal_value(text: str) -> tuple[int, str]:
    """The number and the signature of a seal as noted; VestibuleError when it cannot be one."""
    number, dash, signature = text.strip().partition("-")
    if not dash or not number.isdecimal() or len(number) > 15 or len(signature) != SIGNATURE_LENGTH:
        raise VestibuleError("not_a_seal", f"{text!r} is not the value of a seal: a number, a dash and {SIGNATURE_LENGTH} characters")
    return int(number), signature


def micros(instant: datetime) -> int:
    """An instant as the store keeps it."""
    return (instant - EPOCH) // MICROSECOND


def instant(stored: int) -> datetime:
    """An instant as it was kept."""
    return EPOCH + stored * MICROSECOND
