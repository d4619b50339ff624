"""A shop of the user's own, moved with the real `cutover` commands, each a process of its own.

What a test knows of it is read with plain SQL and plain S3, not through the engine.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import psycopg
from botocore.config import Config

from cutover.model.outputs import Credentials, Outputs, S3Credentials
from cutover.model.outputs import ObjectStore as Bucket
from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack
from resilience_tests.live.shop import CATALOG, PICTURES, PLAN, ROWS, SCHEMA, TABLES

CUTOVER = str(Path(sys.executable).parent / "cutover")
DEADLINE = 60.0  #: seconds; only a failure waits this long


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    answer: Mapping[str, Any]  #: what `--json` printed
    progress: str  #: standard error

    @property
    def error(self) -> str:
        return str(self.answer["error"])


@dataclass(slots=True)
class Running:
    """A command under way."""

    process: Process
    lines: list[str] = field(default_factory=list)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)
    _reading: "asyncio.Task[None] | None" = None

    @classmethod
    async def start(cls, environment: Mapping[str, str], *words: str) -> "Running":
        process = await asyncio.create_subprocess_exec(
            CUTOVER,
            *words,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
        )
        running = cls(process)
        running._reading = asyncio.ensure_future(running._read())
        return running

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            await self._tell(line.decode())
        await self._tell(None)

    async def _tell(self, line: str | None) -> None:
        async with self._more:
            self.lines += [line] if line is not None else []
            self._more.notify_all()

    async def says(self, what: str) -> None:
        """Return once it has printed a line of progress that holds `what`."""
        assert self._reading is not None

        def said() -> bool:
            return any(what in line for line in self.lines) or self.process.returncode is not None

        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE), self._more:
                await self._more.wait_for(said)
        told = "".join(self.lines)
        if what not in told:
            raise AssertionError(f"it did not say {what!r} {await self._until_when()}; it said:\n{told}")

    async def _until_when(self) -> str:
        if self.process.returncode is None:
            return f"within {DEADLINE:.0f} s"
        assert self.process.stdout is not None
        answer = (await self.process.stdout.read()).decode()
        return f"before it ended with status {self.process.returncode}, answering {answer}"

    async def end(self) -> Ended:
        """Wait for its end."""
        assert self.process.stdout is not None
        assert self._reading is not None
        try:
            async with asyncio.timeout(DEADLINE):
                printed = await self.process.stdout.read()
                await self._reading
                status = await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"it did not end; it said:\n{''.join(self.lines)}") from None
        return Ended(status, json.loads(printed) if printed else {}, "".join(self.lines))

    async def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.end()


@dataclass
class Shop:
    """The shop at both sites, and the operator's terminal."""

    stack: EmbeddedStack
    folder: Path
    started: list[Running] = field(default_factory=list)

    @property
    def plan(self) -> Path:
        return self.folder / "plan.yaml"

    @cached_property
    def outputs(self) -> Outputs:
        return self.stack.outputs()

    def write_plan(self, *, gates: str = "{}", deletes: str = "record_transaction") -> None:
        """The plan of this shop; every other word of it is the same."""
        text = PLAN.format(stack=self.stack.outputs_file(), gates=gates, deletes=deletes)
        self.plan.write_text(text)

    def edit_plan(self, old: str, new: str) -> None:
        text = self.plan.read_text()
        assert old in text
        self.plan.write_text(text.replace(old, new))

    # -- commands

    async def start(self, *words: str) -> Running:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CUTOVER_")}
        environment["CUTOVER_STATE"] = str(self.folder / "state")
        running = await Running.start(environment, *words)
        self.started.append(running)
        return running

    async def call(self, *words: str) -> Ended:
        return await (await self.start(*words)).end()

    async def to(self, stage: str) -> Ended:
        """`cutover run --until STAGE`; it must get there."""
        ended = await self.call("run", str(self.plan), "--until", stage)
        assert (ended.status, ended.answer["stage"]) == (0, stage.replace("-", "_")), ended
        return ended

    async def closed_and_not_drained(self) -> Running:
        """A `cutover run` that has closed the source, and whose target does not read on."""
        running = await self.start("run", str(self.plan))
        await running.says("cutover approve")
        await self.ask("east", "UPDATE visits SET hits = hits + 1 WHERE page = 'page 3'")
        at_west = "SELECT hits = 4 FROM visits WHERE page = 'page 3'"
        await self.until("the last write before the drain is there", "west", at_west)
        await self.stack.pause("west/worker")
        assert (await self.call("approve")).status == 0
        await running.says("drain: waiting until")
        return running

    async def end_all(self) -> None:
        for running in self.started:
            if running.process.returncode is None:
                await running.kill()

    # -- databases

    def password(self, site: str, role: str) -> str:
        return self._credentials(self.outputs.sites[site].credentials_file).postgres[role].reveal()

    async def connect(self, site: str, role: str = "platform") -> psycopg.AsyncConnection:
        at = self.outputs.sites[site].postgres
        return await psycopg.AsyncConnection.connect(
            host=at.host,
            port=at.port,
            dbname=at.database,
            user=role,
            password=self.password(site, role),
            connect_timeout=10,
            autocommit=True,
        )

    async def ask(self, site: str, query: str, role: str = "platform") -> list[tuple[Any, ...]]:
        """One statement, as the shop itself would send it."""
        async with await self.connect(site, role) as connection:
            cursor = await connection.execute(query.encode())
            return await cursor.fetchall() if cursor.description else []

    async def ask_server(self, site: str, query: str) -> list[tuple[Any, ...]]:
        """One statement of the server's superuser, in the shop's database."""
        async with await self.stack.server(site).connect(
            self.outputs.sites[site].postgres.database
        ) as server:
            cursor = await server.execute(query.encode())
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def holding(self, site: str, statement: str) -> AsyncIterator[None]:
        """Keep the locks of a statement while inside, and take it back."""
        async with (
            await self.stack.server(site).connect(self.outputs.sites[site].postgres.database) as server,
            server.transaction(force_rollback=True),
        ):
            await server.execute(statement.encode())
            yield

    async def rows(self, site: str) -> dict[str, list[str]]:
        """Every row of every table, as text, in the order of its key."""
        return {
            table: [
                row for (row,) in await self.ask(site, f"SELECT t::text FROM {table} AS t ORDER BY {key}")
            ]
            for table, key in TABLES.items()
        }

    async def catalog(self, site: str) -> set[tuple[Any, ...]]:
        return set(await self.ask_server(site, CATALOG))

    async def try_to_write(self, site: str) -> str | None:
        """None when a write is accepted there, else the SQLSTATE of its refusal."""
        try:
            await self.ask(site, "UPDATE visits SET hits = hits + 1 WHERE page = 'page 0'")
        except psycopg.Error as error:
            return error.sqlstate
        return None

    async def until(self, what: str, site: str, query: str) -> None:
        """Return once the first column of the query's first row is true."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                while not (await self.ask_server(site, query))[0][0]:
                    await asyncio.sleep(0.05)  # polls until its deadline
                return
        raise AssertionError(f"{site}: not within {DEADLINE:.0f} s: {what}")

    # -- objects and journal

    async def put(self, site: str, key: str, body: bytes) -> None:
        client, bucket = self._client(site), self.outputs.sites[site].s3.bucket
        await asyncio.to_thread(
            client.put_object,
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType="image/jpeg",
            Metadata={"by": "us"},
        )

    async def objects(self, site: str) -> dict[str, tuple[str, str, Mapping[str, str]]]:
        """Every object: digest of its bytes, content type, metadata."""
        return await asyncio.to_thread(self._objects, self._client(site), self.outputs.sites[site].s3.bucket)

    def _objects(self, client: Any, bucket: str) -> dict[str, tuple[str, str, Mapping[str, str]]]:
        found = {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for listed in page.get("Contents", []):
                got = client.get_object(Bucket=bucket, Key=listed["Key"])
                digest = sha256(got["Body"].read()).hexdigest()
                found[listed["Key"]] = (digest, got["ContentType"], got["Metadata"])
        return found

    async def empty_bucket(self, site: str) -> None:
        client, bucket = self._client(site), self.outputs.sites[site].s3.bucket
        for key in await self.objects(site):
            await asyncio.to_thread(client.delete_object, Bucket=bucket, Key=key)

    async def journal(self) -> list[dict[str, Any]]:
        """Every entry at the witness, read as plain objects."""
        return [json.loads(body) for body in (await self.witness("journal/")).values()]

    async def moves(self) -> list[dict[str, Any]]:
        """What was decided, in the form in which a dry run tells it."""
        return [as_told(entry) for entry in await self.journal() if entry["kind"] == "move"]

    async def witness(self, under: str = "") -> dict[str, bytes]:
        """The objects of this run at the witness."""
        at = self.outputs.witness

        def read() -> dict[str, bytes]:
            client = self.witness_client
            listed = client.list_objects_v2(Bucket=at.s3.bucket, Prefix=at.prefix + under).get("Contents", [])
            return {
                one["Key"]: client.get_object(Bucket=at.s3.bucket, Key=one["Key"])["Body"].read()
                for one in listed
            }

        return await asyncio.to_thread(read)

    async def change_witness(self, name: str, body: bytes | None) -> None:
        """Put an object of this run at the witness, or take it away."""
        at = self.outputs.witness
        where = {"Bucket": at.s3.bucket, "Key": at.prefix + name}
        if body is None:
            await asyncio.to_thread(self.witness_client.delete_object, **where)
        else:
            await asyncio.to_thread(self.witness_client.put_object, **where, Body=body)

    @cached_property
    def witness_client(self) -> Any:
        at = self.outputs.witness
        return s3_client(at.s3, self._credentials(at.credentials_file).s3)

    def _client(self, site: str) -> Any:
        return self._clients[site]

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {
            name: s3_client(site.s3, self._credentials(site.credentials_file).s3)
            for name, site in self.outputs.sites.items()
        }

    def _credentials(self, path: str) -> Credentials:
        return Credentials.from_json(Path(path).read_text())

    # -- filling it

    async def fill(self) -> None:
        """A few thousand rows and some pictures, at the source."""
        await self.ask("east", ROWS)
        for key, body in PICTURES.items():
            await self.put("east", key, body)
        titles = [(f"picture {n}", key) for n, key in enumerate(PICTURES)]
        async with await self.connect("east") as connection, connection.cursor() as cursor:
            await cursor.executemany('INSERT INTO pictures (title, "bucket key") VALUES (%s, %s)', titles)
        await self.ask("east", "INSERT INTO pictures (title) VALUES ('not taken yet')")


def as_told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Stage, direction and actions of a move."""
    return {"stage": entry["stage"], "direction": entry["direction"], "actions": list(entry["actions"])}


def s3_client(bucket: Bucket, keys: S3Credentials) -> Any:
    """A plain client, as anybody would make it."""
    return boto3.client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name=bucket.region,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key.reveal(),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


@asynccontextmanager
async def shop_stack(folder: Path) -> AsyncIterator[EmbeddedStack]:
    """Two sites with the shop's schema, and workers and agents: no sample platform."""
    schema = folder / "shop.sql"
    schema.write_text(SCHEMA)
    stack = await EmbeddedStack.up(
        services=Services(platform=None), schema=schema, preload=["cutover.cli.compose"]
    )
    try:
        yield stack
    finally:
        await stack.down()


@asynccontextmanager
async def opened_shop(stack: EmbeddedStack, folder: Path) -> AsyncIterator[Shop]:
    """The shop in a fresh run of the stack, filled at the source, with its plan written."""
    await stack.fresh()
    shop = Shop(stack, folder)
    shop.write_plan()
    await shop.fill()
    try:
        yield shop
    finally:
        await shop.end_all()
