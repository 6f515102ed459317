"""The audit trail, sealed: each line signed in its writer's chain, seals of all chains, records of what was purged, and how far streams are."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The six months below which access logs are not kept (CNIL, deliberation 2021-122): nothing younger can be deleted, whoever asks.
FLOOR_DAYS = 180
# A line may go when it is old enough and a record of its purge is there. One from before has no writer: its record is of ids.
LINE_COVERED = """EXISTS (
    SELECT 1 FROM {schema}purged_ranges p
    WHERE p.writer = COALESCE(OLD.writer, '') AND COALESCE(OLD.sequence, OLD.id) BETWEEN p.first AND p.last)"""
SEAL_COVERED = """EXISTS (
    SELECT 1 FROM {schema}purged_ranges p WHERE p.writer = 'seals' AND OLD.number BETWEEN p.first AND p.last)"""
SQLITE_DELETE = """
CREATE TRIGGER {table}_no_DELETE BEFORE DELETE ON {table}
WHEN OLD.at >= (CAST(strftime('%s', 'now') AS INTEGER) - {days} * 86400) * 1000000 OR NOT {covered}
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
SQLITE_NO = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
# REPLACE deletes the row it replaces without asking the DELETE trigger (recursive_triggers is off by default).
SQLITE_NO_REPLACE = """
CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
# Tables are named with their schema: a temporary one of the same name would be found first, and anybody may make one.
POSTGRESQL_TRIGGER = """
CREATE OR REPLACE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  floor_at bigint := (extract(epoch FROM now()) - {days} * 86400) * 1000000;
BEGIN
  IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'events' THEN
    IF OLD.at < floor_at AND {line_covered} THEN RETURN OLD; END IF;
  ELSIF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'seals' THEN
    IF OLD.at < floor_at AND {seal_covered} THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION 'the audit trail is append-only';
END $$
"""
POSTGRESQL_TABLE = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION events_append_only();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION events_append_only();
"""
# With the owner's right to delete, for a program that has none; the triggers say what may go.
POSTGRESQL_PURGE = """
CREATE FUNCTION {name}({argument}) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema_name}, pg_temp AS $$
DECLARE
  gone bigint;
BEGIN
  DELETE FROM {schema}{table} t WHERE {which};
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
"""


def upgrade() -> None:
    op.add_column("events", sa.Column("writer", sa.String(length=36), nullable=True))
    op.add_column("events", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.add_column("events", sa.Column("previous", sa.String(length=43), nullable=True))
    op.add_column("events", sa.Column("mac", sa.String(length=43), nullable=True))
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("heads", sa.Text(), nullable=False),
        sa.Column("unsigned", sa.BigInteger(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.String(length=43), nullable=False),
        sa.Column("mac", sa.String(length=43), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seals")),
    )
    op.create_table(
        "purged_ranges",
        sa.Column("writer", sa.String(length=36), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.String(length=43), nullable=False),
        sa.Column("last_mac", sa.String(length=43), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("retention", sa.String(length=40), nullable=False),
        sa.Column("purged_at", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.String(length=43), nullable=False),
        sa.PrimaryKeyConstraint("writer", "first", name=op.f("pk_purged_ranges")),
    )
    op.create_table(
        "stream_cursors",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("trouble", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_stream_cursors")),
    )
    if op.get_bind().dialect.name == "sqlite":
        _upgrade_sqlite()
    else:
        _upgrade_postgresql()


def _upgrade_sqlite() -> None:
    op.execute("DROP TRIGGER events_no_DELETE")
    for table, covered in (("events", LINE_COVERED), ("seals", SEAL_COVERED)):
        op.execute(SQLITE_DELETE.format(table=table, days=FLOOR_DAYS, covered=covered.format(schema="")))
    op.execute(SQLITE_NO.format(table="seals", verb="UPDATE"))
    for verb in ("UPDATE", "DELETE"):
        op.execute(SQLITE_NO.format(table="purged_ranges", verb=verb))
    op.execute(SQLITE_NO_REPLACE.format(table="seals", same="number = NEW.number"))
    op.execute(SQLITE_NO_REPLACE.format(table="purged_ranges", same="writer = NEW.writer AND first = NEW.first"))


def _upgrade_postgresql() -> None:
    name = str(op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar())
    schema = f"{name}."
    covered = {"line_covered": LINE_COVERED.format(schema=schema), "seal_covered": SEAL_COVERED.format(schema=schema)}
    op.execute(POSTGRESQL_TRIGGER.format(days=FLOOR_DAYS, **covered))
    for table in ("seals", "purged_ranges"):
        op.execute(POSTGRESQL_TABLE.format(table=table))
    for function, argument, table, which in (
        ("purge_events", "ids bigint[]", "events", "t.id = ANY(ids)"),
        ("purge_seals", "last_number bigint", "seals", "t.number <= last_number"),
    ):
        words = {"name": function, "argument": argument, "table": table, "which": which, "schema": schema, "schema_name": name}
        op.execute(POSTGRESQL_PURGE.format(**words))
