"""Lists of the console a page at a time: which one is asked, and how to ask for the next. Knows nothing of what is listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from flask import request

T = TypeVar("T")
SIZE = 50
LAST = 2_000


@dataclass(frozen=True, slots=True)
class Pager:
    """Which page is shown, from 1; `query` is the rest of the address, ready to have `page=` added."""

    number: int
    has_more: bool
    query: str


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list to read: ask the store for `limit`, one more than is shown."""

    number: int
    size: int = SIZE

    @property
    def offset(self) -> int:
        """How many come before it."""
        return (self.number - 1) * self.size

    @property
    def limit(self) -> int:
        """How many to read."""
        return self.size + 1

    def cut(self, found: Sequence[T], **query: str) -> tuple[Sequence[T], Pager]:
        """What is shown of what was read, and the way on; `query` is what else the address says."""
        kept = {name: value for name, value in query.items() if value}
        return found[: self.size], Pager(self.number, len(found) > self.size, f"{urlencode(kept)}&" if kept else "")


def window() -> Window:
    """The page that the address asks for; the first when it says none."""
    asked = request.args.get("page", "")
    number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) <= 4 else 1
    return Window(min(max(number, 1), LAST))
