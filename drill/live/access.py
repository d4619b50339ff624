"""How the harness itself reaches an embedded stack: as clients do, and as an operator does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.witness import S3Journal, S3Register
from cutover.cli.compose import opened, place
from cutover.cli.selection import read_credentials
from cutover.engine.parts import Parts
from cutover.engine.router import route
from cutover.errors import CutoverError
from cutover.model.outputs import Outputs
from cutover.model.plan import Plan
from drill.live.stacks import Stack
from drill.stores_live import BucketAccess, DatabaseAccess, EngineQueries, LiveStoreReader
from sample_platform.client import Client

CHECKER = "checker"
HIDDEN = "select table_name, key::text, reason from cutover.set_aside"
KEPT = "select table_name, key::text, reason from cutover.quarantine"
FENCE = (
    "select case when last_value % 2 = 1 then 'open' else 'closed' end, last_value / 2 "
    "from cutover.fence_state"
)


@dataclass(slots=True)
class Access:
    """Open for one drill."""

    clients: dict[str, Client]
    register: S3Register
    journal: S3Journal
    parts: Parts  #: as an operator reaches both sites: to look, never to act

    async def route(self) -> str | None:
        """The site that the router names to clients."""
        try:
            named = await route(self.register)
        except CutoverError:
            return None
        return None if named is None else named.site


@asynccontextmanager
async def access(stack: Stack, plan: Plan) -> AsyncIterator[Access]:
    """Open clients, router and the operator's view of the stack's present run."""
    async with AsyncExitStack() as closing:
        seen = stack.outputs("clients")
        clients = {}
        for name, site in seen.sites.items():
            clients[name] = await closing.enter_async_context(Client(site.platform, patience_s=4.0))
        address = S3Address.of(seen.witness.s3, read_credentials(Path(seen.witness.credentials_file)).s3)
        register = S3Register(address, seen.witness.prefix)
        closing.push_async_callback(register.close)
        journal = S3Journal(address, seen.witness.prefix)
        closing.push_async_callback(journal.close)
        parts = await closing.enter_async_context(opened(plan, stack.outputs()))
        yield Access(clients, register, journal, parts)


def store_reader(outputs: Outputs, site: str) -> LiveStoreReader:
    """Reads both stores of a site directly, as the checkers want it."""
    one = place(site, outputs.sites[site])
    where, bucket, key = one.outputs.postgres, one.outputs.s3, one.credentials.s3
    database = DatabaseAccess(
        host=where.host,
        port=where.port,
        database=where.database,
        user=CHECKER,
        password=one.credentials.postgres[CHECKER].reveal(),
    )
    objects = BucketAccess(
        endpoint=bucket.endpoint,
        bucket=bucket.bucket,
        region=bucket.region,
        access_key=key.access_key,
        secret_key=key.secret_key.reveal(),
    )
    return LiveStoreReader(site, database, objects, EngineQueries(hidden=HIDDEN, kept=KEPT, fence=FENCE))
