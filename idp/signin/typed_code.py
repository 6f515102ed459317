"""Codes that people copy from paper or hear on the telephone: Crockford's base32 in groups, read again however they were typed."""

import unicodedata

from idp.clock import CROCKFORD, Clock

# What Crockford's alphabet leaves out because it is misread.
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1"})


def make_code(clock: Clock, *, groups: int, length: int) -> str:
    """`groups` groups of `length` characters, 5 random bits each."""
    return "-".join(clock.new_code(length) for _ in range(groups))


def read_code(typed: str) -> str:
    """What was typed, as the characters that count: capitals without spaces or dashes, misread letters put right; "" when it cannot be a code."""
    capitals = unicodedata.normalize("NFKC", typed[:200]).upper().translate(_MISREAD)
    kept = "".join(character for character in capitals if character.isalnum())
    return kept if all(character in CROCKFORD for character in kept) else ""


def read_digits(typed: str, length: int) -> str | None:
    """A code of digits without the spaces people put in it; None when it is not `length` digits."""
    kept = "".join(
        character for character in unicodedata.normalize("NFKC", typed[:50]) if not character.isspace() and character not in "-."
    )
    return kept if len(kept) == length and kept.isascii() and kept.isdecimal() else None
