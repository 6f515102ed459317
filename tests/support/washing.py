"""Databases of a PostgreSQL server used for one test after another: what a test wrote is taken out again, which costs a tenth of a new copy.

A copy is six hundred files. What a test changed of the database itself (a table, a trigger, a right) cannot be washed out: that one is thrown away.
"""

from dataclasses import dataclass
from time import monotonic, sleep

import psycopg
from psycopg import sql

# What was deleted stays in the files, and is passed over again each time.
USES = 40
ASIDE = "as_it_was"
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"
SEQUENCES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY relname"
# All but the rows: columns, triggers, functions, rights, and what is set for the database.
SHAPE = """
SELECT array_agg(part ORDER BY part) FROM (
    SELECT format('relation %s %s %s %s', relname, relkind, relacl, reloptions) FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('column %s %s %s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull, attisdropped, attacl) FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL
    SELECT format('trigger %s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, convalidated) FROM pg_constraint
    UNION ALL
    SELECT format('function %s %s %s', oid::regprocedure, md5(prosrc), proacl) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL
    SELECT format('setting %s %s', setrole, setconfig) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
        WHERE datname = current_database()
    UNION ALL
    SELECT format('database %s %s %s', datallowconn, datconnlimit, datacl) FROM pg_database WHERE datname = current_database()
) AS parts(part)
"""
OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
LONGEST_END_SECONDS = 10


@dataclass(slots=True)
class Washable:
    """A database that can be made again what it is now. Nobody else may be connected while it is made one."""

    name: str
    url: str
    _connection: psycopg.Connection
    _shape: object
    _uses: int = 0

    @classmethod
    def of(cls, name: str, url: str) -> "Washable":
        """Put aside what a database holds now, and write down how to put it back."""
        connection = psycopg.connect(url, autocommit=True)
        tables = [name for (name,) in connection.execute(TABLES)]
        with_rows = [
            table for table in tables if _first(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
        ]
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(ASIDE)))
        for table in with_rows:
            connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(sql.Identifier(ASIDE, table), sql.Identifier("public", table)))
        statements = [sql.SQL("DELETE FROM {};").format(sql.Identifier("public", table)) for table in tables]
        for table in with_rows:
            here, aside = sql.Identifier("public", table), sql.Identifier(ASIDE, table)
            statements.append(sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE SELECT * FROM {};").format(here, aside))
        for (sequence,) in connection.execute(SEQUENCES).fetchall():
            at = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier("public", sequence))).fetchone()
            assert at is not None
            statements.append(sql.SQL("PERFORM setval({}, {}, {});").format(f"public.{sequence}", *at))
        body = sql.SQL("BEGIN {} END").format(sql.SQL(" ").join(statements)).as_string(connection)
        # Neither triggers nor references have a say: the trail cannot be emptied otherwise.
        wash = sql.SQL("CREATE FUNCTION {}() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS {}")
        connection.execute(wash.format(sql.Identifier(ASIDE, "wash"), body))
        return cls(name, url, connection, _first(connection, SHAPE))

    def wash(self) -> bool:
        """End whoever is connected, and put back what there was. False when that cannot be: it must be dropped."""
        self._uses += 1
        try:
            deadline = monotonic() + LONGEST_END_SECONDS
            while self._connection.execute(OTHERS).fetchall():
                if monotonic() > deadline:
                    return False
                sleep(0.001)  # PostgreSQL, asked to wait until they are gone, looks ten times a second
            if self._uses >= USES or _first(self._connection, SHAPE) != self._shape:
                return False
            self._connection.execute(sql.SQL("SELECT {}()").format(sql.Identifier(ASIDE, "wash")))
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def _first(connection: psycopg.Connection, query: str | sql.Composed) -> object:
    row = connection.execute(query).fetchone()  # type: ignore[arg-type]  # written here
    return None if row is None else row[0]
