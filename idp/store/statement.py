"""Statements of the hot paths: SQLAlchemy Core compiled once a dialect, then run on the driver's own cursor.

Core writes the SQL and converts the values, for SQLite and PostgreSQL alike; what is left out is the work it does at every execution, which costs
ten times what SQLite itself needs (docs/performance.md). Rows come back as lists in the order of the selected columns. Statements with a list of
unknown length, or built from what the caller asks, are executed by Core in the usual way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ClauseElement, Connection, Dialect, Executable, Select, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

Convert = Callable[[Any], Any]


class Statement:
    """One prepared statement. `columns` names the columns of an INSERT, whose values always come all together."""

    def __init__(self, core: Executable, *, columns: Sequence[str] | None = None) -> None:
        self._core = core
        self._columns = list(columns) if columns is not None else None
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Execute; how many rows it touched."""
        return int(self._execute(connection, values)[0].rowcount)

    def first(self, connection: Connection, values: Mapping[str, Any]) -> list[Any] | None:
        """The first row, or None."""
        cursor, compiled = self._execute(connection, values)
        row = cursor.fetchone()
        return None if row is None else compiled.convert(row)

    def all(self, connection: Connection, values: Mapping[str, Any]) -> list[list[Any]]:
        """Every row."""
        cursor, compiled = self._execute(connection, values)
        return [compiled.convert(row) for row in cursor.fetchall()]

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Any, "_Compiled"]:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self._core, self._columns, dialect)
        driver: Any = connection.connection.driver_connection
        return driver.execute(compiled.sql, compiled.bind(values)), compiled


class _Compiled:
    """A statement in one dialect: its text, and how values go in and come out."""

    def __init__(self, core: Executable, columns: list[str] | None, dialect: Dialect) -> None:
        compiled: Any = cast(ClauseElement, core).compile(dialect=dialect, column_keys=columns)
        self.sql = str(compiled)
        positions: list[str] | None = compiled.positiontup
        self._is_positional = positions is not None
        binds: dict[str, Any] = compiled.binds
        # Each parameter in the order of the statement, with what converts it.
        self._into = [(name, _incoming(binds[name].type, dialect)) for name in (positions if positions is not None else binds)]
        # Literals of the statement itself ('active') are binds too, with a value of their own.
        self._own = {name: bind.effective_value for name, bind in binds.items() if not bind.required and bind.effective_value is not None}
        selected = core.selected_columns if isinstance(core, Select) else ()
        outs = [(index, _outgoing(column.type, dialect)) for index, column in enumerate(selected)]
        self._out = [(index, convert) for index, convert in outs if convert]

    def bind(self, values: Mapping[str, Any]) -> Any:
        """The driver's parameters: a tuple in order for SQLite, a mapping for PostgreSQL."""
        given = {**self._own, **values} if self._own else values
        if self._is_positional:
            return tuple([given[name] if convert is None else convert(given[name]) for name, convert in self._into])
        return {name: given[name] if convert is None else convert(given[name]) for name, convert in self._into}

    def convert(self, row: Any) -> list[Any]:
        """A row of the driver as a list of Python values."""
        found = list(row)
        for index, convert in self._out:
            found[index] = convert(found[index])
        return found


def _incoming(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _outgoing(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def insert_into(connection: Connection, table: Table) -> Any:
    """An INSERT of the connection's dialect, which can say what to do when the row is there already: the same words on both."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # a dialect that SQLite deployments need not load

    return postgresql.insert(table)


class InsertUnlessThere:
    """An INSERT that does nothing when a row with the same key is there already. Values of all `columns` come together."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = [column.name for column in table.columns]
        self._prepared: dict[str, Statement] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> bool:
        """Whether the row is new. Of several at once exactly one is told True."""
        statement = self._prepared.get(connection.dialect.name)
        if statement is None:
            core = insert_into(connection, self._table).on_conflict_do_nothing()
            statement = self._prepared[connection.dialect.name] = Statement(core, columns=self._columns)
        return statement.run(connection, values) == 1


def insert_or_replace(connection: Connection, table: Table, values: Mapping[str, Any]) -> None:
    """Insert a row, or give the one with the same key these values: one statement, so that two at once make no error."""
    query = insert_into(connection, table).values(values)
    keys = [column.name for column in table.primary_key]
    changed = {name: query.excluded[name] for name in values if name not in keys}
    connection.execute(query.on_conflict_do_update(index_elements=keys, set_=changed))
