"""A connection that is lost: what was certainly not done, and what nobody can know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import psycopg
import pytest

from resilience_tests.contract.platform.servers import ENGINE, Server
from resilience_tests.contract.platform.world import log_in
from sample_platform.body import BytesBody
from sample_platform.client import Client
from sample_platform.database import Address, Database, Query
from sample_platform.errors import Unavailable, Unknown
from sample_platform.model import NewPost
from sample_platform.postgres import PostgresRecords

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[int]:
    """A server of one's own; gives its port."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def relayed(address: Address, *, words: bytes, forward: bool) -> AsyncIterator[Address]:
    """The database behind a relay that cuts at the first request that holds `words`.

    With `forward` the request gets through and its answer does not; without, neither.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(address.host, address.port)
        answers = asyncio.create_task(_pump(up_reader, writer))
        data = await _until(words, reader, up_writer)
        answers.cancel()
        with suppress(asyncio.CancelledError):
            await answers
        if data and forward:
            up_writer.write(data)
            await up_reader.read(1)
        await _close(writer)
        await _close(up_writer)

    async with listening(handle) as port:
        yield replace(address, port=port)


DEADLINE_SECONDS = 20.0


async def _until(words: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Pass requests on, up to the first that holds `words`; return that one, or nothing."""
    while (data := await reader.read(65_536)) and words not in data:
        writer.write(data)
    return data


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


async def _earn_behind(address: Address, *, words: bytes, forward: bool) -> None:
    async with relayed(address, words=words, forward=forward) as at:
        database = Database(at)
        try:
            await PostgresRecords(database).earn(account="ada", cents=5, post=None, request="m-1")
        finally:
            await database.close()


async def _cents(address: Address) -> int:
    database = Database(address)
    records = PostgresRecords(database)
    counts = (await records.counts()).value
    await database.close()
    return counts.cents


@pytest.mark.parametrize("forward", [False, True], ids=["request lost", "answer lost"])
async def test_a_connection_lost_before_commit_means_not_done(
    fresh_database: Address, *, forward: bool
) -> None:
    with pytest.raises(Unavailable):
        await _earn_behind(fresh_database, words=b"insert into ledger", forward=forward)
    assert await _cents(fresh_database) == 0


@pytest.mark.parametrize(("forward", "cents"), [(False, 0), (True, 5)], ids=["commit lost", "answer lost"])
async def test_lost_at_commit_is_unknown_and_a_retry_settles_it(
    fresh_database: Address, *, forward: bool, cents: int
) -> None:
    with pytest.raises(Unknown):
        await _earn_behind(fresh_database, words=b"commit\0", forward=forward)
    assert await _cents(fresh_database) == cents
    database = Database(fresh_database)
    again = await PostgresRecords(database).earn(account="ada", cents=5, post=None, request="m-1")
    await database.close()
    assert again.fresh is not forward
    assert await _cents(fresh_database) == 5


async def test_connections_that_died_idle_are_replaced(fresh_database: Address) -> None:
    """A restarted server leaves a pool of dead connections: one attempt clears them all."""
    database = Database(fresh_database)
    records = PostgresRecords(database)
    await asyncio.gather(*(log_in(records, f"u{n}") for n in range(6)))
    killer = Database(fresh_database)
    async with killer._lent() as connection:
        await connection.execute(
            b"select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            b" where datname = current_database() and pid <> pg_backend_pid()"
        )
    with pytest.raises(Unavailable):
        await records.counts()
    assert (await records.counts()).value.users == 6
    await database.close()
    await killer.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops"])
async def test_a_request_that_was_sent_and_not_answered_by_the_platform_is_unknown(answer: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await _close(writer)

    async with listening(handle) as port, Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unknown):
            await client.like("p-1", user="ada", request="l-1")
        with pytest.raises(Unknown):
            await client.upload(NewPost(author="a", title="t"), BytesBody(b"x"), request="up-1")
        with pytest.raises(Unknown):
            await client.get("p-1")


async def test_a_platform_that_never_answers_is_unknown_in_bounded_time() -> None:
    held = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        await _close(writer)

    async with listening(handle) as port, Client(f"http://127.0.0.1:{port}", patience_s=0.05) as client:
        with pytest.raises(Unknown):
            await client.delete("p-1", user="ada", request="d-1")
        held.set()


async def test_a_question_that_was_under_way_when_the_engine_was_noticed_is_asked_again(
    server: Server, fresh_database: Address
) -> None:
    """It is told that there is an engine, not who serves: that is no word for "not this site"."""
    server.execute(ENGINE, fresh_database.database)
    database, at = Database(fresh_database), fresh_database
    slow = Query("select {standing}, pg_advisory_xact_lock_shared(1)::text")
    with psycopg.connect(host=at.host, port=at.port, dbname=at.database, user=at.user) as held:
        held.execute("select pg_advisory_lock(1)")
        late = asyncio.ensure_future(database.read(slow))
        async with asyncio.timeout(DEADLINE_SECONDS):
            waits = "select 1 from pg_locks where locktype = 'advisory' and not granted"
            while not await asyncio.to_thread(server.execute, waits):
                pass
        assert (await database.standing()).epoch == 1
        held.execute("select pg_advisory_unlock(1)")
    assert (await late)[1].epoch == 1
    await database.close()
