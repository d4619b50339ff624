"""The databases of one server: a template with roles and schema, and a fresh copy for each run."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import psycopg
from psycopg import sql

from cutover.model.secret import Secret
from infra.embedded.postgres import Server

TEMPLATE = "stack_template"
ROLES = ("platform", "cutover_admin", "cutover_applier", "checker")


async def make_template(server: Server, passwords: Mapping[str, Secret], schema: Path | None) -> None:
    """Make the roles and the database that every run starts as a copy of.

    `schema` is a SQL file that the role `platform` runs, so that it owns what
    the file makes.
    """
    async with await server.connect() as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    async with await server.connect(TEMPLATE) as connection:
        await grant(connection)
        for role in ROLES:
            await _set_password(connection, role, passwords[role])
        await connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO platform").format(sql.Identifier(TEMPLATE))
        )
        if schema is not None:
            await connection.execute("SET SESSION AUTHORIZATION platform")
            await connection.execute(schema.read_bytes())


async def grant(connection: psycopg.AsyncConnection) -> None:
    """Give our roles their rights in the connection's database."""
    await connection.execute(files("infra.embedded").joinpath("sql/roles.sql").read_bytes())


async def _set_password(connection: psycopg.AsyncConnection, role: str, password: Secret) -> None:
    """Set a password without it ever standing in a statement or a log."""
    hashed = connection.pgconn.encrypt_password(password.reveal().encode(), role.encode(), b"scram-sha-256")
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(role), sql.Literal(hashed.decode())
    )
    await connection.execute(statement)


async def create_run(server: Server, database: str) -> None:
    """Make the database of a new run from the template."""
    async with await server.connect() as connection:
        await connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER platform").format(
                sql.Identifier(database), sql.Identifier(TEMPLATE)
            )
        )
    async with await server.connect(database) as connection:
        await grant(connection)


async def drop_run(server: Server, database: str) -> None:
    """Drop the database of a past run, and all that it left in the server as a whole.

    In this order: a database with a slot in use or a prepared transaction cannot
    be dropped, and an origin in use by a session neither. Slots that nobody uses
    go with their database. Origins belong to no database: of those that others have
    in the server, whose subscriptions would begin anew, none is dropped.
    """
    async with await server.connect() as connection:
        exists = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        if await exists.fetchone() is None:
            return
        await connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(database))
        )
        await connection.execute(_END_SESSIONS, [database])
    await _roll_back_prepared(server, database)
    async with await server.connect() as connection:
        await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        await connection.execute(_DROP_ORIGIN, [f"cutover_{database}"])


async def _roll_back_prepared(server: Server, database: str) -> None:
    async with await server.connect() as connection:
        found = await connection.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [database])
        names = [str(row[0]) for row in await found.fetchall()]
        if not names:
            return
        await connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(database))
        )
    async with await server.connect(database) as connection:
        for name in names:
            await connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(name)))


_DROP_ORIGIN = "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = %s"

_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid()
"""
