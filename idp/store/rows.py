"""Rows to records: the one mapping between a SQL row and a frozen record.

A record's fields are the table's columns by the same names; the few that are kept in another form (amr as words, JSON lists as tuples) are
converted here.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def reader(record: Callable[..., T], **convert: Callable[[Any], Any]) -> Callable[[Sequence[Any]], T]:
    """A function that makes a `record` of a row selected with the record's columns in the record's order."""
    names = tuple(field.name for field in fields(record))  # type: ignore[arg-type]  # a dataclass type, seen as its constructor
    converters = tuple((index, convert[name]) for index, name in enumerate(names) if name in convert)

    def read(row: Sequence[Any]) -> T:
        values = list(row)
        for index, converter in converters:
            values[index] = converter(values[index])
        return record(**dict(zip(names, values, strict=True)))

    return read


def columns(record: type, table: Any) -> list[Any]:
    """The table's columns that a record shows, in the record's order."""
    return [table.c[field.name] for field in fields(record)]


def words(text: str) -> tuple[str, ...]:
    """Space-separated words as a tuple."""
    return tuple(text.split())
