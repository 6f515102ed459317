"""Whether a new local password is good enough: the CNIL's cases, the French block list, the person's own words.

Owns the thresholds and the refusal codes. Does not hash, remember or read the list file (whoever composes reads it),
and does not look at passwords that a directory holds. CNIL délibération 2022-100 (password alone, 80 bits),
ANSSI-PG-078 (never under 8 characters, a block list, no low maximum).
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from policies.password_patterns import (
    BlockList,
    count_points,
    fold,
    is_listed_word,
    repeated_unit,
    unleet,
    unseparated,
)

__all__ = ["BlockList", "PasswordFacts", "check", "entropy_bits"]

TOO_LONG = "too_long"
TOO_SHORT = "too_short"
NOT_ENOUGH_CLASSES = "not_enough_classes"
REPEATED = "repeated"
BLOCKED = "blocked"
TOO_PREDICTABLE = "too_predictable"
CONTAINS_PERSONAL_WORD = "contains_personal_word"

# Not a limit on people (any phrase fits) but on the work one request may cost; argon2 reads all of it.
MAX_BYTES = 1024
MIN_LENGTH = 8
LENGTH_WITH_FOUR_CLASSES = 12
LENGTH_WITH_THREE_CLASSES = 14
WORDS_OF_A_PASSPHRASE = 7
MIN_BITS = 80.0
MIN_POINTS = 6
MIN_DISTINCT_CHARACTERS = 6

# The alphabets behind the CNIL's figures: 26 + 26 + 10 + 37 signs; a word is one of the 7776 of a dice list.
_LOWER, _UPPER, _DIGIT, _SIGN = 26, 26, 10, 37
_BITS_PER_WORD = math.log2(7776)
_SHORTEST_WORD_COUNTED = 3
_SHORTEST_PERSONAL_WORD = 4
_BETWEEN_WORDS = re.compile(r"[\s\-_.,;:/'\u2019]+")
_NOT_IN_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class PasswordFacts:
    """The password as typed (nothing trimmed) and words that belong to the person or the place.

    `personal_words`: identifier, e-mail address, staff number, given and family name, establishment name and town,
    as they are written; they are cut into their parts here, and parts under four characters are left aside.
    """

    password: str
    personal_words: tuple[str, ...]

    def __repr__(self) -> str:
        return "PasswordFacts(…)"  # a traceback or a log line must not show the password


def check(facts: PasswordFacts, blocked: BlockList) -> tuple[str, ...]:
    """Every reason to refuse the password, as codes in a fixed order; empty means good.

    too_long (alone: nothing else is computed), too_short, not_enough_classes, repeated, blocked, too_predictable,
    contains_personal_word.
    """
    if len(facts.password) > MAX_BYTES or len(facts.password.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return (TOO_LONG,)
    password = unicodedata.normalize("NFC", facts.password)
    folded = fold(password)
    once = repeated_unit(password)
    codes = [*_complexity(password), *_predictability(folded, blocked)]
    is_repeated = once != password and (_complexity(once) or _predictability(fold(once), blocked))
    if is_repeated or len(set(folded)) < MIN_DISTINCT_CHARACTERS:
        codes.append(REPEATED)
    if _contains_personal_word(folded, facts.personal_words):
        codes.append(CONTAINS_PERSONAL_WORD)
    return tuple(code for code in _ORDER if code in codes)


def entropy_bits(password: str) -> float:
    """The naive entropy of the CNIL's own tool: length x log2(size of the alphabets used).

    A text that reads as words and separators is counted by distinct words, never above the naive figure: by letters,
    three words of a lullaby would pass for random.
    """
    classes = _classes(password)
    alphabet = sum(classes)
    bits = len(password) * math.log2(alphabet) if alphabet else 0.0
    words = _BETWEEN_WORDS.split(password.strip())
    if len(words) >= 3 and all(word.isalpha() for word in words):
        return min(bits, len(set(map(fold, words))) * _BITS_PER_WORD)
    return bits


_ORDER = (TOO_LONG, TOO_SHORT, NOT_ENOUGH_CLASSES, REPEATED, BLOCKED, TOO_PREDICTABLE, CONTAINS_PERSONAL_WORD)


def _complexity(password: str) -> tuple[str, ...]:
    """The published examples or the 80 bits: twelve characters of all 99 signs make 79.55 bits, so the CNIL's own
    example would fail its own figure.
    """
    length = len(password)
    classes = len(_classes(password))
    words = {fold(word) for word in _BETWEEN_WORDS.split(password) if len(word) >= _SHORTEST_WORD_COUNTED}
    is_good = length >= MIN_LENGTH and (
        (length >= LENGTH_WITH_FOUR_CLASSES and classes == 4)
        or (length >= LENGTH_WITH_THREE_CLASSES and classes >= 3)
        or len(words) >= WORDS_OF_A_PASSPHRASE
        or entropy_bits(password) >= MIN_BITS
    )
    if is_good:
        return ()
    return (TOO_SHORT,) if length < LENGTH_WITH_FOUR_CLASSES else (NOT_ENOUGH_CLASSES,)


def _classes(password: str) -> tuple[int, ...]:
    """The sizes of the alphabets used, one per class present. Letters without case and all else count as signs."""
    has_lower = any(character.islower() for character in password)
    has_upper = any(character.isupper() for character in password)
    has_digit = any(character.isdecimal() for character in password)
    has_sign = any(not (character.islower() or character.isupper() or character.isdecimal()) for character in password)
    present = ((has_lower, _LOWER), (has_upper, _UPPER), (has_digit, _DIGIT), (has_sign, _SIGN))
    return tuple(size for is_present, size in present if is_present)


def _predictability(folded: str, blocked: BlockList) -> tuple[str, ...]:
    if is_listed_word(folded, blocked) or is_listed_word(unseparated(folded), blocked):
        return (BLOCKED,)
    points = count_points(folded, blocked)
    if points.total >= MIN_POINTS:
        return ()
    return (BLOCKED,) if points.has_listed_word else (TOO_PREDICTABLE,)


def _contains_personal_word(folded: str, personal_words: tuple[str, ...]) -> bool:
    plain = _NOT_IN_A_WORD.sub("", folded)
    undisguised = _NOT_IN_A_WORD.sub("", unleet(folded))
    for personal_word in personal_words:
        pieces = _NOT_IN_A_WORD.split(fold(personal_word))
        for word in {*pieces, "".join(pieces)}:
            if len(word) < _SHORTEST_PERSONAL_WORD:
                continue
            if word in plain or word[::-1] in plain:
                return True
            # A staff number undisguised would be letters: 0451 is not "oasi".
            if not word.isdigit() and unleet(word) in undisguised:
                return True
    return False
