"""How names are compared and put in order: as a French reader does, capitals, accents and punctuation apart, a family name before the given one.

Pure, and the same on every database: what it makes is kept beside the names (accounts.sort_name, account_words) and compared byte by byte, so that
neither SQLite nor the locale of a PostgreSQL server decides. A change here needs a migration that writes them again.
"""

import unicodedata

LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"})
LONGEST_PART = 80
# Sorts before the space between two words: everybody called Le comes before those called Le Goff.
BEFORE_GIVEN = "\t"


def plain(text: str) -> str:
    """The words of a name as they are compared: small letters and digits without accents, one space between two."""
    folded = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS))
    return " ".join("".join(one if one.isalnum() else " " for one in folded if not unicodedata.combining(one)).split())


def sort_name(given_name: str, family_name: str, username: str | None) -> str:
    """Where a person comes in a list: by family name, then given name; by username who has neither (Account.name)."""
    family, given = (plain(part)[:LONGEST_PART] for part in (family_name, given_name))
    return f"{family}{BEFORE_GIVEN}{given}" if family or given else f"{plain(username or '')[:LONGEST_PART]}{BEFORE_GIVEN}"


def in_order(name: str) -> tuple[str, str]:
    """The key that puts short lists of names in order; names that differ by capitals or accents alone stay in one order too."""
    return plain(name), name
