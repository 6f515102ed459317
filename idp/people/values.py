"""What may be written in an Account: identifiers, names, phone numbers, days; each parsed once, from what people really type.

Identifiers are normalised by the sign-in room's own function, so that what is accepted here is found there.
"""

import re
import unicodedata
from datetime import date, timedelta

from idp.errors import VestibuleError
from idp.messages.address import EMAIL, LONGEST_EMAIL, parse_phone
from idp.signin.local import normalise_identifier

USERNAME = re.compile(r"^[a-z0-9](?:[a-z0-9._'+-]{0,118}[a-z0-9])?$")
STAFF_NUMBER = re.compile(r"^[a-z0-9](?:[a-z0-9./_-]{0,38}[a-z0-9])?$")
FRENCH_DAY = re.compile(r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})$")
SPREADSHEET_EPOCH = date(1899, 12, 30)


class ValueRefused(VestibuleError):
    """A value cannot be written. `reason` is the name of the value, `detail` says what is wrong with it, in English, for an operator."""


def username(text: str) -> str:
    """A normalised username; raises ValueRefused."""
    value = normalise_identifier(_plain(text))
    if not USERNAME.match(value):
        raise ValueRefused("username", f"{text!r}: letters without accents, digits and . _ - ' + only, 120 at most")
    return value


def email(text: str) -> str:
    """A normalised e-mail address; raises ValueRefused."""
    value = normalise_identifier(text)
    if len(value) > LONGEST_EMAIL or not EMAIL.match(value):
        raise ValueRefused("email", f"{text!r} is not an e-mail address")
    return value


def staff_number(text: str) -> str:
    """A normalised staff number; raises ValueRefused."""
    if re.fullmatch(r"\d[.,]\d+E\+\d+", text.strip(), re.IGNORECASE):
        raise ValueRefused("staff_number", f"{text!r} was rounded by the spreadsheet: format the column as text and export again")
    value = normalise_identifier(text)
    if not STAFF_NUMBER.match(value):
        raise ValueRefused("staff_number", f"{text!r}: letters, digits and . / _ - only, 40 at most")
    return value


def person_name(text: str, what: str) -> str:
    """A given or family name, spaces collapsed; raises ValueRefused named `what`."""
    value = " ".join(unicodedata.normalize("NFC", text).split())
    if len(value) > 80 or any(unicodedata.category(character)[0] == "C" for character in value) or re.search(r"[<>{}@;=]|://", value):
        raise ValueRefused(what, f"{text!r} is not a name of at most 80 characters")
    return value


def phone_number(text: str) -> str:
    """A phone number in E.164, as people write it in France too; raises ValueRefused."""
    try:
        return parse_phone(text)
    except ValueError as error:
        raise ValueRefused("phone", f"{text!r} is not a phone number") from error


def day(text: str, what: str) -> date:
    """A day written 2026-12-31 or 31/12/2026, or as a spreadsheet's day number; raises ValueRefused named `what`."""
    text = text.strip()
    try:
        if match := FRENCH_DAY.match(text):
            return date(int(match[3]), int(match[2]), int(match[1]))
        if re.fullmatch(r"[2-9]\d{4}", text):
            return SPREADSHEET_EPOCH + timedelta(days=int(text))
        return date.fromisoformat(text.removesuffix(" 00:00:00"))
    except ValueError as error:
        raise ValueRefused(what, f"{text!r} is not a day such as 2026-12-31 or 31/12/2026") from error


def _plain(text: str) -> str:
    """Without accents: nobody types them in a username twice the same way."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character))
