"""Fills `Parts` with real adapters: the one place where they are picked."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from cutover.adapters.clock import SystemClock
from cutover.adapters.postgres.applier import PostgresApplier
from cutover.adapters.postgres.changelog import PostgresLog
from cutover.adapters.postgres.connect import PostgresAddress
from cutover.adapters.postgres.rows import PostgresRows
from cutover.adapters.postgres.site import PostgresSite
from cutover.adapters.postgres.survey import survey
from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.objects import S3Objects
from cutover.adapters.s3.witness import WITNESS, S3Journal, S3Register
from cutover.cli.selection import read_credentials
from cutover.engine.parts import Parts
from cutover.errors import BadInput
from cutover.model.outputs import Credentials, Outputs, SiteOutputs
from cutover.model.plan import Plan
from cutover.ports.database import ChangeLog
from cutover.protocol.preflight import problems

ADMIN = "cutover_admin"
"""Role that puts fence, publication and slots in place, and reads the log and the rows."""
APPLIER = "cutover_applier"
"""Role that writes what comes from the peer; the fence knows it by this name."""


_Adapter = TypeVar("_Adapter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One site, with what this process may use there."""

    name: str
    outputs: SiteOutputs
    credentials: Credentials

    def address(self, role: str) -> PostgresAddress:
        password = self.credentials.postgres.get(role)
        if password is None:
            raise BadInput(
                f"site {self.name!r}: {self.outputs.credentials_file!r} has no password of role {role!r}. "
                f"Add it, or name the outputs of a viewer that has it."
            )
        where = self.outputs.postgres
        return PostgresAddress(
            host=where.host, port=where.port, database=where.database, user=role, password=password
        )


@asynccontextmanager
async def opened(plan: Plan, outputs: Outputs) -> AsyncIterator[Parts]:
    """The parts of one process, as this viewer reaches everything; connections are closed at the end.

    Nothing is connected to before it is used, so that a site which is down
    stands in nobody's way.
    """
    async with AsyncExitStack() as closing:
        yield _parts(plan, outputs, closing)


def _parts(plan: Plan, outputs: Outputs, closing: AsyncExitStack) -> Parts:
    def kept(adapter: _Adapter, close: Callable[[_Adapter], Awaitable[None]]) -> _Adapter:
        closing.push_async_callback(close, adapter)
        return adapter

    places = [place(name, outputs.sites[name]) for name in (plan.source, plan.target)]
    stores = {one.name: kept(_store(one), S3Objects.close) for one in places}
    key = read_credentials(Path(outputs.witness.credentials_file)).s3
    witness, prefix = S3Address.of(outputs.witness.s3, key), outputs.witness.prefix
    return Parts(
        plan=plan,
        sites={one.name: kept(_site(plan, one), PostgresSite.close_connections) for one in places},
        rows={one.name: kept(_rows(plan, one), PostgresRows.close_connections) for one in places},
        stores=stores,
        logs={one.name: _log(plan, one) for one in places},
        appliers={one.name: kept(_applier(plan, one), PostgresApplier.close) for one in places},
        register=kept(S3Register(witness, prefix), S3Register.close),
        journal=kept(S3Journal(witness, prefix), S3Journal.close),
        clock=SystemClock(),
        random=random.SystemRandom(),
        preflight=_preflight(plan, places, witness),
    )


def place(name: str, outputs: SiteOutputs) -> Place:
    """A site as its outputs and its credentials file describe it."""
    credentials = read_credentials(Path(outputs.credentials_file))
    return Place(name=name, outputs=outputs, credentials=credentials)


def _site(plan: Plan, one: Place) -> PostgresSite:
    return PostgresSite(site=one.name, connection=one.address(ADMIN), plan=plan)


def _rows(plan: Plan, one: Place) -> PostgresRows:
    return PostgresRows(one.address(ADMIN), site=one.name, plan=plan)


def _applier(plan: Plan, one: Place) -> PostgresApplier:
    return PostgresApplier(one.address(APPLIER), site=one.name, plan=plan)


def _log(plan: Plan, one: Place) -> Callable[[], ChangeLog]:
    return lambda: PostgresLog(one.address(ADMIN), site=one.name, plan=plan)


def _store(one: Place) -> S3Objects:
    return S3Objects(S3Address.of(one.outputs.s3, one.credentials.s3), one.name)


def _preflight(plan: Plan, places: Sequence[Place], witness: S3Address) -> Callable[[], Awaitable[list[str]]]:
    """Everything that must be mended first, at both databases and in every bucket; nothing is changed."""

    async def look() -> list[str]:
        source, target = [await survey(one.address(ADMIN), plan=plan, site=one.name) for one in places]
        found = list(problems(plan, source, target))
        for name, bucket in _buckets(plan, places, witness):
            found += [f"store of {name!r}: {problem}" for problem in await _proven(name, bucket)]
        return found

    return look


def _buckets(plan: Plan, places: Sequence[Place], witness: S3Address) -> Iterator[tuple[str, S3Address]]:
    """Both sites' own buckets and those that the plan names, and that of register and journal."""
    named = sorted({item.bucket for table in plan.tables for item in table.objects if item.bucket})
    for one in places:
        own = S3Address.of(one.outputs.s3, one.credentials.s3)
        for bucket in dict.fromkeys([own.bucket, *named]):
            yield one.name, replace(own, bucket=bucket)
    yield WITNESS, witness


async def _proven(name: str, bucket: S3Address) -> list[str]:
    store = S3Objects(bucket, name)
    try:
        return await store.prove_conditions()
    finally:
        await store.close()
