"""Looking at a site's database before anything in it is changed."""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row
from psycopg.sql import SQL, Identifier

from cutover.adapters.postgres import names
from cutover.adapters.postgres.connect import AS_SERVED, PostgresAddress, connect, errors
from cutover.adapters.postgres.fetch import number
from cutover.adapters.postgres.statements import statement
from cutover.model.plan import Plan, Table
from cutover.model.survey import (
    Column,
    ForeignKey,
    IdSequence,
    Kind,
    LongTransaction,
    Survey,
    TableSurvey,
    UniqueIndex,
)

OLDEST_MAJOR = 15
"""An older server is not looked at any further: it lacks what the look asks for."""

LONG_SECONDS = 30.0
"""A writing transaction that has run for so long (s) is likely to outlast the start of a slot."""

KINDS = {"r": Kind.TABLE, "p": Kind.PARTITIONED, "f": Kind.FOREIGN, "v": Kind.VIEW, "m": Kind.VIEW}


async def survey(address: PostgresAddress, *, plan: Plan, site: str) -> Survey:
    """What preflight must know of one site; changes nothing. SiteUnreachable when it does not answer."""
    connection = await connect(address, site=site, settings=AS_SERVED)
    with errors(site, effect=False):
        try:
            version = await number(connection, SQL("show server_version_num"), ()) // 10_000
            if version < OLDEST_MAJOR:
                return Survey(site=site, version=version)
            return await _survey(connection, address, plan, Survey(site=site, version=version))
        finally:
            await connection.close()


@dataclass(frozen=True, kw_only=True)
class _Server:
    """The server as `survey_server.sql` reads it."""

    standby: bool
    encoding: str
    wal_level: str
    settings_off: list[str]
    slots_free: int
    slot_ours: bool
    walsenders_free: int
    missing_rights: list[str]
    foreign_schema: bool
    installed: bool
    prepared: list[str]
    large_objects: bool


async def _survey(connection: AsyncConnection, address: PostgresAddress, plan: Plan, known: Survey) -> Survey:
    parameters = {"slot": names.slot(address.database), "applier": names.APPLIER}
    async with connection.cursor(row_factory=class_row(_Server)) as cursor:
        server = await (await cursor.execute(statement("survey_server"), parameters)).fetchone()
    assert server is not None
    tables = [await _table(connection, table) for table in plan.tables]
    return Survey(
        site=known.site,
        version=known.version,
        standby=server.standby,
        encoding=server.encoding,
        wal_level=server.wal_level,
        settings_off=tuple(server.settings_off),
        slots_free=server.slots_free,
        slot_ours=server.slot_ours,
        walsenders_free=server.walsenders_free,
        missing_rights=tuple(server.missing_rights),
        pooled=await number(connection, SQL("select pg_backend_pid()"), ()) != connection.info.backend_pid,
        foreign_schema=server.foreign_schema,
        installed=server.installed,
        prepared=tuple(server.prepared),
        long_transactions=await _long_transactions(connection),
        large_objects=server.large_objects,
        tables=tuple(table for table in tables if table is not None),
    )


async def _long_transactions(connection: AsyncConnection) -> tuple[LongTransaction, ...]:
    async with connection.cursor(row_factory=class_row(LongTransaction)) as cursor:
        await cursor.execute(statement("survey_transactions"), {"seconds": LONG_SECONDS})
        return tuple(await cursor.fetchall())


async def _table(connection: AsyncConnection, table: Table) -> TableSurvey | None:
    parameters = {
        "quoted": names.quoted(table),
        "applier": names.APPLIER,
        "trigger": names.TRIGGER,
        "publication": names.PUBLICATION,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        row = await (await cursor.execute(statement("survey_table"), parameters)).fetchone()
    return None if row is None else await _table_survey(connection, table, row)


async def _table_survey(connection: AsyncConnection, table: Table, row: dict[str, Any]) -> TableSurvey:
    kind = KINDS.get(row.pop("kind"), Kind.OTHER)
    columns, indexes, references = (row.pop(name) for name in ("columns", "indexes", "foreign_keys"))
    rest: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
    }
    return TableSurvey(
        name=table.qualified,
        kind=kind,
        has_rows=kind is Kind.TABLE and row["admin_owns"] and await _has_rows(connection, table),
        columns=tuple(Column(**column) for column in columns),
        indexes=tuple(UniqueIndex(**index | {"columns": tuple(index["columns"])}) for index in indexes),
        foreign_keys=tuple(ForeignKey(**key) for key in references),
        sequences=await _sequences(connection, table),
        **rest,
    )


async def _sequences(connection: AsyncConnection, table: Table) -> tuple[IdSequence, ...]:
    """As the site's adapter finds them, so that what is judged is what will be moved."""
    found = await connection.execute(statement("sequences"), {"tables": [names.quoted(table)]})
    return tuple(
        IdSequence(name=name, lowest=lowest, highest=highest, step=step, usable=usable)
        for name, _, lowest, highest, step, usable in await found.fetchall()
    )


async def _has_rows(connection: AsyncConnection, table: Table) -> bool:
    query = SQL("select exists (select from {})::int").format(Identifier(table.schema, table.name))
    return bool(await number(connection, query, ()))
