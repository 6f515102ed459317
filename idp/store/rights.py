"""PostgreSQL: the rights of the program's own role, given by the owner of the tables. The trail it may read and add to, and purge by one function.

The triggers stay for everybody, the owner too; whoever owns the tables could drop them, which is why the program does not. Calls nothing but SQL.
"""

from psycopg import sql

from idp.errors import VestibuleError
from idp.store.database import Transaction

# Read and added to: never changed or deleted by the program.
APPENDED = ("events", "seals", "purged_ranges")
# Written by migrations alone.
READ = ("alembic_version",)
FUNCTIONS = ("purge_events(bigint[])", "purge_seals(bigint)")


def give(tx: Transaction, role: str) -> tuple[bool, str]:
    """Give `role` its rights, making it when it is not there; whether it was made, and who owns the tables.

    VestibuleError when this role owns nothing, may make no roles, or is the very one that the rights are for.
    """
    from sqlalchemy import text

    connection = tx.connection
    owner = connection.execute(
        text("SELECT tableowner FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'events'")
    ).scalar()
    us = connection.execute(text("SELECT current_user")).scalar()
    if owner != us:
        raise VestibuleError("not_the_owner", f"the tables are {owner}'s: run this with the database.url of {owner}, not of {us}")
    if role == owner:
        raise VestibuleError("the_owner", f"{role} owns the tables and can do anything with them: name another role for the program")
    known = connection.execute(
        text("SELECT rolsuper OR pg_has_role(rolname, :owner, 'MEMBER') FROM pg_roles WHERE rolname = :role"),
        {"role": role, "owner": owner},
    ).first()
    if known is not None and known[0]:
        raise VestibuleError("too_powerful", f"{role} is a superuser or a member of {owner}: no right can be kept from it")
    made = known is None
    if made and not connection.execute(text("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")).scalar():
        raise VestibuleError(
            "no_create_role", f"{us} may make no roles: CREATE ROLE {role} LOGIN as an administrator of PostgreSQL, then run this again"
        )
    driver = connection.connection.driver_connection
    name = sql.Identifier(role)
    schema = sql.Identifier(str(connection.execute(text("SELECT current_schema()")).scalar()))
    database = sql.Identifier(str(connection.execute(text("SELECT current_database()")).scalar()))
    statements = [sql.SQL("CREATE ROLE {} LOGIN").format(name)] if made else []
    statements += [
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, name),
        sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(schema, name),
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schema, name),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}").format(schema, name),
        sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}").format(schema, name),
        *(sql.SQL("REVOKE UPDATE, DELETE ON {}.{} FROM {}").format(schema, sql.Identifier(table), name) for table in APPENDED),
        *(sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {}.{} FROM {}").format(schema, sql.Identifier(table), name) for table in READ),
        *(sql.SQL("GRANT EXECUTE ON FUNCTION {}.{} TO {}").format(schema, sql.SQL(function), name) for function in FUNCTIONS),
    ]
    for statement in statements:
        driver.execute(statement)  # type: ignore[union-attr]  # psycopg's own connection
    return made, str(owner)
