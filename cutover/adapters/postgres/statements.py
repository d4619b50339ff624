"""The SQL files of this adapter."""

from functools import cache
from importlib.resources import files

from psycopg import sql


@cache
def statement(name: str) -> sql.SQL:
    """The text of `sql/NAME.sql`."""
    text = files("cutover.adapters.postgres").joinpath("sql", f"{name}.sql").read_text("utf-8")
    return sql.SQL(text)


def look() -> sql.Composed:
    """The one statement of a whole look."""
    return statement("look").format(
        fence=statement("fence_facts"), facts=statement("site_facts"), end=statement("end_of_log")
    )


def end_of_log() -> sql.Composed:
    """The end of the log alone, for a database that has nothing of ours."""
    return sql.SQL("select {}").format(statement("end_of_log"))


def lead() -> sql.Composed:
    """The one statement of a lead."""
    return statement("lead").format(sequences=statement("sequences"))
