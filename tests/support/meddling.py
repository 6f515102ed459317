"""Somebody who holds the database and not the key: with the triggers put aside, whatever SQL can do to the audit trail."""

import sqlite3
from typing import Any

import psycopg

TABLES = ("events", "seals", "purged_ranges")


def meddle(url: str, *statements: str) -> None:
    """Run statements on a store behind the program's back."""
    if url.startswith("sqlite:"):
        stranger = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)
        triggers = stranger.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        try:
            _run(stranger, [f"DROP TRIGGER {name}" for name, _ in triggers], statements, [sql for _, sql in triggers])
        finally:
            stranger.close()
        return
    with psycopg.connect(url, autocommit=True) as owner:
        put_aside = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in TABLES]
        _run(owner, put_aside, statements, [sql.replace("DISABLE", "ENABLE") for sql in put_aside])


def _run(connection: Any, *groups: Any) -> None:
    for group in groups:
        for statement in group:
            connection.execute(statement)
