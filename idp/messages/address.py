"""Where people are reached: phone numbers and e-mail addresses, parsed from what people type, and masked as they may be shown.

Pure. A mask lets its owner recognise which of hers it is, and tells nobody else enough to reach her. Raises ValueError, whose text repeats nothing.
"""

import re
from collections.abc import Iterable

EMAIL = re.compile(r"^[^@\s\"<>(),;:\\]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")
E164 = re.compile(r"^\+[1-9]\d{6,14}$")
LONGEST_EMAIL = 254


def parse_phone(text: str) -> str:
    """A phone number in E.164; a French one may be written with or without +33, and without the zero a spreadsheet ate."""
    digits = re.sub(r"[\s.\-()/\u00a0\u202f]", "", text.strip().lstrip("'"))
    if digits.startswith("+330"):
        digits = "+33" + digits[4:]
    elif digits.startswith("00"):
        digits = "+" + digits[2:]
    elif re.fullmatch(r"0\d{9}", digits, re.ASCII):
        digits = "+33" + digits[1:]
    elif re.fullmatch(r"[1-9]\d{8}", digits, re.ASCII):
        digits = "+33" + digits
    if not digits.isascii() or not E164.match(digits):
        raise ValueError("is not a phone number")
    return digits


def is_served(number: str, prefixes: Iterable[str]) -> bool:
    """Whether SMS are sent to an E.164 number, by the beginnings of those that are; a French number has its nine digits."""
    if number.startswith("+33") and len(number) != 12:
        return False
    return number.startswith(tuple(prefixes))


def mask_phone(number: str) -> str:
    """`06 ** ** ** 42` for a French number in E.164, `+32 *** 42` for another."""
    if number.startswith("+33") and len(number) == 12:
        return f"0{number[3]} ** ** ** {number[-2:]}"
    return f"{number[:3]} *** {number[-2:]}"


def mask_email(address: str) -> str:
    """`c***@t***.example`: the first letters, and what the domain ends with."""
    name, _, domain = address.rpartition("@")
    host, _, end = domain.rpartition(".")
    return f"{name[:1]}***@{host[:1]}***.{end}"
