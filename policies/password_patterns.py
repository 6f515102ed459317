"""How little of a password is its owner's own: listed words, years, keyboard walks and disguises cost one point each.

Owns folding (case, accents, leet), the BlockList and the count of points. Does not judge: policies.passwords sets the
thresholds. Bounded: time grows with the length of the password times the longest listed word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

# "l" goes to "i" on both sides of the comparison, so that "so1eil" and "pisc1ne" need one reading of "1", not two.
_LEET = str.maketrans(dict(zip("01!|£l23€4@5$697+8(", "oiiiiizeeaassggttbc", strict=True)))
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "\u2019": "'"})
_SEPARATORS = str.maketrans(dict.fromkeys(" -_.,;:/'*~\t\u00a0"))

_STRAIGHT_LINES = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "&e\"'(-e_ca)=",
    "1aqw",
    "2zsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1aqw2zsx3edc4rfv5tgb6yhn",
    "1a2z3e4r5t6y7u8i9o0p",
    "a1z2e3r4t5y6u7i8o9p0",
    "1q2w3e4r5t6y7u8i9o0p",
    "7410",
    "8520",
    "9630",
    "159",
    "357",
    "789456123",
)
_LONGEST_WALK = 64
_SHORTEST_WALK = 3
_SHORTEST_WORD_INSIDE = 4


def _steps() -> dict[str, frozenset[int]]:
    steps: dict[str, set[int]] = {}
    lines = (*_STRAIGHT_LINES, *(line[::-1] for line in _STRAIGHT_LINES))
    for number, line in enumerate(lines):
        for first, second in pairwise(line):
            steps.setdefault(first + second, set()).add(number)
    return {pair: frozenset(numbers) for pair, numbers in steps.items()}


_STEPS = _steps()
_SAME_CHARACTER = frozenset({-1})
_NO_LINE: frozenset[int] = frozenset()


def fold(text: str) -> str:
    """Lower case, without accents or ligatures: how a list entry, a name and a password are compared."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_LIGATURES))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def unleet(folded: str) -> str:
    """The letters that digits and signs stand for; one character for one, so that positions stay the same."""
    return folded.translate(_LEET)


def unseparated(folded: str) -> str:
    """Without the spaces, dots and dashes that people put inside a word."""
    return folded.translate(_SEPARATORS)


@dataclass(frozen=True, slots=True)
class BlockList:
    """Words that no password may consist of, folded, and the same words with disguises removed."""

    words: frozenset[str]
    undisguised: frozenset[str]
    longest: int

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> BlockList:
        """From the lines of a list, one entry a line, in any case; an entry also counts without its spaces.

        Blank lines and lines starting with a hash and a space are skipped.
        """
        entries = (line.strip() for line in lines if not line.startswith("# "))
        folded = {fold(entry) for entry in entries if entry != "#"}
        words = frozenset(word for word in folded | {unseparated(word) for word in folded} if word)
        return cls(words=words, undisguised=frozenset(map(unleet, words)), longest=max(map(len, words), default=0))

    def __contains__(self, word: str) -> bool:
        return fold(word) in self.words


@dataclass(frozen=True, slots=True)
class Points:
    """What a password costs to guess in pieces; `has_listed_word` when the cheapest reading uses the list."""

    total: int
    has_listed_word: bool


def is_listed_word(folded: str, blocked: BlockList) -> bool:
    """Whether the text is one listed word, disguised or not, with any run of digits and signs before and after."""
    letters = [position for position, character in enumerate(folded) if character.isalpha()]
    # Without letters every character may be the word or what surrounds it ("123456" and more digits).
    first, last = (letters[0], letters[-1] + 1) if letters else (len(folded), 0)
    disguised = unleet(folded)
    for start in range(min(first, len(folded) - 1) + 1):
        for end in range(max(last, start + 1), min(len(folded), start + blocked.longest) + 1):
            if folded[start:end] in blocked.words or disguised[start:end] in blocked.undisguised:
                return True
    return False


def count_points(folded: str, blocked: BlockList) -> Points:
    """The fewest pieces that make up the text: a listed word, a year, a walk or a repeated character is one piece,
    and so is each other character.
    """
    disguised = unleet(folded)
    cheapest: list[tuple[int, bool]] = [(0, False)] * (len(folded) + 1)
    for start in range(len(folded) - 1, -1, -1):
        total, has_word = cheapest[start + 1]
        best = (total + 1, has_word)
        walk = _walk_length(folded, start)
        if _is_year(folded[start : start + 4]):
            walk = max(walk, 4)
        for end in range(start + _SHORTEST_WALK, start + walk + 1):
            total, has_word = cheapest[end]
            if total + 1 < best[0]:
                best = (total + 1, has_word)
        for end in range(start + _SHORTEST_WORD_INSIDE, min(len(folded), start + blocked.longest) + 1):
            total, has_word = cheapest[end]
            if total + 1 <= best[0] and (folded[start:end] in blocked.words or disguised[start:end] in blocked.undisguised):
                best = (total + 1, True)
        cheapest[start] = best
    total, has_word = cheapest[0]
    return Points(total, has_listed_word=has_word)


def repeated_unit(text: str) -> str:
    """The shortest text of which this is a repetition, itself when it is none ("Ab1Ab1A" gives "Ab1").

    By the border table of Knuth, Morris and Pratt: linear in the length.
    """
    border = [0] * len(text)
    for position in range(1, len(text)):
        length = border[position - 1]
        while length and text[position] != text[length]:
            length = border[length - 1]
        border[position] = length + (text[position] == text[length])
    period = len(text) - border[-1] if text else 0
    return text[:period] if 2 * period <= len(text) else text


def _walk_length(folded: str, start: int) -> int:
    """How many characters from `start` follow one line of a keyboard or of the alphabet; 0 below three."""
    on: frozenset[int] | None = None
    end = start + 1
    while end < len(folded) and end - start < _LONGEST_WALK:
        pair = folded[end - 1 : end + 1]
        step = _SAME_CHARACTER if pair[0] == pair[1] else _STEPS.get(pair, _NO_LINE)
        on = step if on is None else on & step
        if not on:
            break
        end += 1
    length = end - start
    return length if length >= _SHORTEST_WALK else 0


def _is_year(text: str) -> bool:
    return len(text) == 4 and text[:2] in ("19", "20") and text[2:].isascii() and text[2:].isdigit()
