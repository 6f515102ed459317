"""Migrations, forward only, tested from empty and from the last release. `upgrade` is called at start and by `vestibule migrate`."""

from pathlib import Path

from sqlalchemy import inspect, text

from idp.store.database import Database, Transaction


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to the newest revision, in one transaction; the revisions before and after.

    Several processes may start at once: BEGIN IMMEDIATE on SQLite, a lock by name on PostgreSQL, make the second one wait and find nothing to do.
    """
    newest = newest_revision()
    with database.read() as tx:
        before = _revision(tx)
    if before == newest:
        return before, newest
    # Only now: alembic takes a quarter of a second to import, and a server that has nothing to migrate should answer sooner.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.write() as tx:
        tx.take_time()
        tx.lock("migration")
        before = _revision(tx)
        if before == newest:
            return before, newest
        config.attributes["connection"] = tx.connection
        command.upgrade(config, "head")
    return before, newest


def newest_revision() -> str:
    """The revision this program expects; versions are files named `<number>_<what>.py`, each following the one before."""
    return max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*_*.py"))


def current_revision(database: Database) -> str | None:
    """The revision of a store; None when it is empty."""
    with database.read() as tx:
        return _revision(tx)


def _revision(tx: Transaction) -> str | None:
    if not inspect(tx.connection).has_table("alembic_version"):
        return None
    revision: str | None = tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
