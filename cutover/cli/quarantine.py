"""`cutover quarantine`: rows that could not be applied, and versions that lost and wait for a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.answer import Answer, Outcome
from cutover.cli.options import PlanOption, StackOption

if TYPE_CHECKING:
    from cutover.cli.migration import Migration
    from cutover.engine.parts import Parts
    from cutover.model.change import Row
    from cutover.model.merge import Kept
    from cutover.model.outputs import SiteOutputs

ROWS_MAX = 1000
"""Most rows of a site that are listed, the oldest; `cutover status` counts them all."""
SHORT = 48
"""Longest value of a row that is shown whole (characters)."""

LIST = """
select table_name, key, reason, at::text from cutover.set_aside
order by at, table_name, key limit %s
"""

NumberArgument = Annotated[
    int, typer.Argument(metavar="NUMBER", help="Of the version, as `quarantine list` shows it.", min=1)
]
TakeOption = Annotated[bool, typer.Option("--take", help="Write this version over what stands there now.")]
LeaveOption = Annotated[bool, typer.Option("--leave", help="What stands there now stays.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="SITE",
        help="Whose quarantine; needed where both sites have that number.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One kept version, beside what stands in its place now."""

    at: str  #: the site in whose quarantine it lies
    number: int
    kept: "Kept" = field(repr=False)
    stands: "Row | None" = field(repr=False)  #: None: nothing

    @property
    def name(self) -> str:
        """Table and key."""
        return f"{self.kept.table} {'/'.join(self.kept.key)}"

    def described(self) -> list[str]:
        """For people."""
        asked = f", for request {self.kept.request}" if self.kept.request else ""
        return [
            f"{self.at} {self.number}: {self.name}, as {self.kept.site} had it{asked}: {self.kept.reason}",
            f"    kept:   {_in_words(self.kept.row)}",
            f"    stands: {_in_words(self.stands)}",
        ]

    def to_json(self) -> dict[str, object]:
        kept = self.kept
        return {
            "site": self.at,
            "number": self.number,
            "table": kept.table,
            "key": list(kept.key),
            "written_at": kept.site,
            "reason": kept.reason,
            "request": kept.request,
            "holds": shortened(kept.row),
            "stands": shortened(self.stands),
        }


def list_rows(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """List the rows that were set aside at either site, and the versions that lost and were kept.

    A row that was set aside leaves the list by itself when a later change of it
    can be applied. A version that lost to a concurrent change stays until
    somebody decides: `quarantine resolve`. Long values are shown shortened.
    """
    import asyncio

    return asyncio.run(_list(plan, stack))


def resolve(
    number: NumberArgument,
    *,
    take: TakeOption = False,
    leave: LeaveOption = False,
    site: AtOption = None,
    plan: PlanOption = None,
    stack: StackOption = None,
) -> Answer:
    """Decide on a version that lost: --take writes it over what stands there, --leave lets that stand.

    Either way the version stays on record, and is not listed any more. Taking
    it goes through the fence, so only the site that serves can take one, and
    the other site follows as after any write. The counters of a row that stands
    there stay as they are. The objects that the version owns are brought first;
    when one cannot be had, nothing is changed.
    """
    import asyncio

    if take is leave:
        raise typer.BadParameter("say either --take or --leave")
    return asyncio.run(_resolve(number, site, plan, stack, take=take))


async def _resolve(
    number: int, site: str | None, plan: Path | None, stack: str | None, *, take: bool
) -> Answer:
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        decided = await decide(migration.parts, number, site, take=take)
        left = await versions(migration.parts, [decided.at])
        done = "was written over what stood there" if take else "was left in favour of what stands there"
        return Answer(
            text=f"version {number} of {decided.name} {done}; {len(left)} more at {decided.at}",
            next_steps=(migration.selection.command("quarantine list" if left else "status"),),
            details={"decided": decided.to_json(), "taken": take, "left": len(left)},
        )


async def decide(parts: "Parts", number: int, site: str | None, *, take: bool) -> Version:
    """Carry out the decision, and return what was decided on; Refused when it is not there, or may not be."""
    from cutover.errors import Refused

    chosen = await the_one(parts, number, site)
    against = await reason_against_taking(parts, chosen) if take else None
    if take and against is None:
        against = await _reason_of_objects(parts, chosen)
    if against is not None:
        raise Refused(f"{against} Nothing was changed.")
    await parts.sites[chosen.at].resolve(number, take=take)
    return chosen


async def the_one(parts: "Parts", number: int, site: str | None) -> Version:
    """The version of that number; Refused when there is none, or when both sites have one."""
    from cutover.errors import BadInput, Refused

    if site is not None and site not in parts.sites:
        raise BadInput(f"{site!r} is not a site of this plan, which has {', '.join(sorted(parts.sites))}.")
    where = [site] if site is not None else list(parts.sites)
    found = [one for one in await versions(parts, where) if one.number == number]
    if not found:
        raise Refused(
            f"no undecided version in quarantine has the number {number}. Nothing was changed. "
            f"`cutover quarantine list` shows what there is."
        )
    if len(found) > 1:
        raise Refused(f"both sites have a version {number}: name one with --site. Nothing was changed.")
    return found[0]


async def reason_against_taking(parts: "Parts", version: Version) -> str | None:
    """Why the fence would refuse it; None: it may be taken."""
    from cutover.engine.register import read_register

    serving = (await read_register(parts)).grant.serving
    if version.at == serving:
        return None
    return (
        f"version {version.number} lies at {version.at!r}, and {serving!r} serves, so the fence would refuse "
        f"it. Make the change at {serving!r} through your application, and leave this version."
    )


async def _reason_of_objects(parts: "Parts", version: Version) -> str | None:
    """Bring what the version owns to where it is to stand; why that cannot be done."""
    from cutover.engine.supply import reason_against_version

    reason = await reason_against_version(parts, version.at, version.kept)
    if reason is None:
        return None
    return (
        f"version {version.number} owns an object that {version.at!r} does not have: {reason}. Put the bytes "
        f"that it names under that key at {version.at!r} and take it again, or leave it, and make the change "
        f"through your application."
    )


async def versions(parts: "Parts", sites: "list[str]") -> list[Version]:
    """The undecided versions at these sites, oldest first, each beside what stands there now."""
    found: list[Version] = []
    for site in sites:
        kept = await parts.sites[site].quarantine()
        tables: dict[str, list[tuple[str, ...]]] = {}
        for one in kept:
            tables.setdefault(one.kept.table, []).append(one.kept.key)
        rows = {table: await parts.rows[site].rows_of(table, keys) for table, keys in tables.items()}
        found += [
            Version(at=site, number=one.number, kept=one.kept, stands=rows[one.kept.table].get(one.kept.key))
            for one in kept
        ]
    return found


async def _list(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen
    from cutover.errors import SiteUnreachable

    async with chosen(plan, stack) as migration:
        rows: list[dict[str, object]] = []
        kept: list[Version] = []
        silent: list[str] = []
        for site in (migration.parts.plan.source, migration.parts.plan.target):
            try:
                rows += await set_aside(site, migration.selection.outputs.sites[site])
                kept += await versions(migration.parts, [site])
            except SiteUnreachable as error:
                silent.append(str(error))
        return _listed(migration, rows, kept, silent)


def _listed(
    migration: "Migration", rows: list[dict[str, object]], kept: list[Version], silent: list[str]
) -> Answer:
    command = migration.selection.command
    told = [f"{row['site']}: {row['table']} {row['key']}: {row['reason']}" for row in rows]
    told += [line for one in kept for line in one.described()]
    decide_next = (
        (
            command(f"quarantine resolve {kept[0].number} --leave"),
            command(f"quarantine resolve {kept[0].number} --take"),
        )
        if kept
        else ()
    )
    return Answer(
        outcome=Outcome.UNREACHABLE if silent else Outcome.DONE,
        error=" ".join(silent) or None,
        text="\n".join(told) or "no row is set aside, and no version waits for a decision",
        next_steps=(*decide_next, command("status")) if rows or kept else (),
        details={"rows": rows, "kept": [one.to_json() for one in kept]},
    )


def shortened(row: "Row | None") -> dict[str, str | None] | None:
    """The row's values, long ones cut; None: there is no row (what was kept is a delete)."""
    if row is None:
        return None
    return {column: _short(value) for column, value in row.items()}


def _short(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return "(not in the log)"
    return value if len(value) <= SHORT else f"{value[: SHORT - 12]}... ({len(value)})"


def _in_words(row: "Mapping[str, object] | None") -> str:
    if row is None:
        return "nothing (deleted)"
    return ", ".join(f"{column}={_short(value)!r}" for column, value in row.items())


async def set_aside(site: str, outputs: "SiteOutputs") -> list[dict[str, object]]:
    """The rows set aside at one site; none where nothing of ours is installed."""
    from psycopg import Error
    from psycopg.errors import InvalidSchemaName, UndefinedTable

    from cutover.adapters.postgres.connect import connect, meaning
    from cutover.cli.compose import ADMIN, place

    async with await connect(place(site, outputs).address(ADMIN), site=site) as connection:
        try:
            found = await (await connection.execute(LIST, [ROWS_MAX])).fetchall()
        except (UndefinedTable, InvalidSchemaName):
            return []
        except Error as error:
            raise meaning(error, site, effect=False) from error
    names = ("table", "key", "reason", "at")
    return [{"site": site} | dict(zip(names, row, strict=True)) for row in found]
