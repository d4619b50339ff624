"""Ways past a lesser fence: each is tried on the fence that it gets past, and then on ours.

The lesser fence is planted on a real server, so that a trick which would get
past nothing is noticed: it must get past the fence that it is meant for.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest
from psycopg import AsyncConnection, errors

from cutover.adapters.postgres import closing
from cutover.errors import Refused, StaleTerm
from cutover.model.action import Guard
from cutover.model.observation import FenceState
from resilience_tests.contract.database.server import SUPERUSER, Database, Server
from resilience_tests.contract.database.sites import G1, opened, prepared

FENCED = errors.ReadOnlySqlTransaction
INSERT = "insert into post values (2, 'late')"
POSTS = "select id, title from post order by id"
LEASE_SECONDS = 0.2
STILL_SERVING = "select cutover.still_serving(1)"
Close = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Trick:
    """What a writer does before and after the site is closed."""

    before: Sequence[str]
    after: Sequence[str]
    role: str = "platform"


TRICKS = {
    "a snapshot from before": Trick(
        ("begin isolation level repeatable read", "select * from elsewhere"), (INSERT, "commit")
    ),
    "a serializable snapshot from before": Trick(
        ("begin isolation level serializable", "select * from elsewhere"), (INSERT, "commit")
    ),
    "constraints set immediate": Trick(("begin", INSERT, "set constraints all immediate"), ("commit",)),
    "a prepared transaction": Trick(
        ("begin", INSERT, "prepare transaction 'late'"), ("commit prepared 'late'",)
    ),
    "the role of a replica": Trick(("set session_replication_role = replica",), (INSERT,), SUPERUSER),
    "a truncate": Trick((), ("truncate post",)),
    "the applier's name": Trick((), ("set role cutover_applier", INSERT), SUPERUSER),
}

_STATE = (
    "create table naive (is_open boolean)",
    "insert into naive values (true)",
    "create function naive() returns trigger language plpgsql as $$ begin"
    " if not (select is_open from naive) then raise read_only_sql_transaction; end if;"
    " return null; end $$",
)
_STATEMENT = "create trigger naive before insert or update or delete {more} on post execute function naive()"
_ALWAYS = "alter table post enable always trigger naive"
_DEFERRED = (
    "create constraint trigger naive after insert or update or delete on post"
    " deferrable initially deferred for each row execute function naive()"
)
_BY_NAME = (
    "create or replace function naive() returns trigger language plpgsql as $$ begin"
    " if current_user <> 'cutover_applier' and not (select is_open from naive) then"
    " raise read_only_sql_transaction; end if; return null; end $$"
)
CHECKED_FIRST = (*_STATE, _STATEMENT.format(more="or truncate"), _ALWAYS)
"""A check before each statement, of a row, that holds nothing until the commit."""

NAIVE: dict[str, tuple[str, ...]] = {
    "a snapshot from before": CHECKED_FIRST,
    "a serializable snapshot from before": CHECKED_FIRST,
    "constraints set immediate": (*_STATE, _DEFERRED, _ALWAYS),
    "a prepared transaction": (*_STATE, _DEFERRED, _ALWAYS),
    "the role of a replica": (*_STATE, _STATEMENT.format(more="or truncate")),
    "a truncate": (*_STATE, _STATEMENT.format(more=""), _ALWAYS),
    "the applier's name": (*_STATE, _BY_NAME, _STATEMENT.format(more="or truncate"), _ALWAYS),
}
"""The lesser fence that each trick gets past."""


async def gets_past(database: Database, trick: Trick, close: Close) -> bool:
    """Whether anything changed after the site was closed; a close that is refused closes nothing."""
    await database.run("insert into post values (1, 'early')")
    async with database.session(trick.role) as writer:
        await _run(writer, trick.before)
        closed = await close()
        before = await database.rows(POSTS)
        with suppress(FENCED):
            await _run(writer, trick.after)
    return closed and await database.rows(POSTS) != before


async def _run(writer: AsyncConnection, statements: Sequence[str]) -> None:
    for statement in statements:
        await writer.execute(statement.encode())


@pytest.mark.parametrize("name", NAIVE)
async def test_each_trick_gets_past_the_fence_that_it_is_meant_for(database: Database, name: str) -> None:
    await database.run("create table post (id bigint primary key, title text)", "create table elsewhere ()")
    await database.run(*NAIVE[name])

    async def close() -> bool:
        await database.run("update naive set is_open = false")
        return True

    assert await gets_past(database, TRICKS[name], close)
    with pytest.raises(FENCED):
        await database.run("insert into post values (3, 'plain')")


@pytest.mark.parametrize("name", TRICKS)
async def test_no_trick_gets_past_ours(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "WAIT_SECONDS", 0.2)
    async with prepared(database) as east:
        await opened(east)

        async def close() -> bool:
            with suppress(Refused):
                await east.close(guard=G1)
                return True
            return False

        assert not await gets_past(database, TRICKS[name], close)


# -- who freezes and wakes up late -------------------------------------------------------------


@asynccontextmanager
async def frozen(pids: Sequence[int]) -> AsyncIterator[None]:
    """Stop these processes of the server where they are, and let them go on at the end."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


async def test_what_commits_late_at_a_frozen_backend_is_not_acknowledged(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statement passed the fence, so its commit goes through: only what is asked after it tells.

    A platform that takes the commit's own answer for the acknowledgement, the
    naive variant, acknowledges here what its peer, promoted meanwhile, never sees.
    """
    monkeypatch.setattr(closing, "WAIT_SECONDS", 0.2)
    async with prepared(database) as east, database.session() as writer:
        await opened(east)
        await writer.execute("begin")
        await writer.execute(INSERT)
        pid = writer.info.backend_pid
        async with frozen([pid]):
            committing = asyncio.create_task(writer.execute("commit"))
            with pytest.raises(Refused, match=rf"pid {pid} of platform"):
                await east.close(guard=G1)
            assert (await east.fence()).state is FenceState.OPEN
            await east.renew_lease(epoch=1, started=await east.instant(), seconds=-1)
            assert not committing.done()
        await committing
        assert await database.rows(POSTS) == [(2, "late")]
        assert await (await writer.execute(STILL_SERVING)).fetchone() == (False,)
        end = await east.close(guard=G1)
        assert (await east.look()).end.reaches(end)


async def test_a_close_goes_on_when_the_backend_that_was_frozen_wakes_up(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        await opened(east)
        await writer.execute("begin")
        await writer.execute(INSERT)
        async with frozen([writer.info.backend_pid]):
            committing = asyncio.create_task(writer.execute("commit"))
            close = asyncio.create_task(east.close(guard=G1))
            await database.until(
                "select count(*) > 0 from pg_locks where locktype = 'advisory' and not granted"
            )
            assert not close.done()
        await committing
        end = await close
        assert await database.rows(POSTS) == [(2, "late")]
        assert (await east.look()).end.reaches(end)


WITHOUT_A_LEASE = """
create or replace function cutover.fence() returns trigger language plpgsql security definer as $$ begin
    perform pg_advisory_xact_lock_shared(7166762404106564097);
    if (select last_value % 2 = 0 from cutover.fence_state) then raise read_only_sql_transaction; end if;
    return null;
end $$
"""


@pytest.mark.parametrize("naive", [True, False], ids=["a fence without a lease", "ours"])
async def test_a_site_that_wakes_up_with_an_old_lease_takes_no_write(
    database: Database, server: Server, *, naive: bool
) -> None:
    async with prepared(database) as east, database.session() as writer:
        await opened(east)
        if naive:
            await database.run(WITHOUT_A_LEASE, role="cutover_admin")
        await writer.execute("insert into post values (1, 'early')")
        assert await (await writer.execute(STILL_SERVING)).fetchone() == (True,)
        started = await east.instant()
        await east.renew_lease(epoch=1, started=started, seconds=LEASE_SECONDS)
        async with frozen(server.processes()):
            await lease_runs_out()
        assert await (await writer.execute(STILL_SERVING)).fetchone() == (False,)
        if naive:
            await writer.execute(INSERT)  # a second writer, if its peer was promoted meanwhile
            return
        with pytest.raises(FENCED, match="open without a live lease at epoch 1"):
            await writer.execute(INSERT)
        # What its agent had sent before the freeze arrives now, and counts from then.
        await east.renew_lease(epoch=1, started=started, seconds=LEASE_SECONDS)
        assert not (await east.fence()).lease_live


async def lease_runs_out() -> None:
    """Wait for as long as a lease lasts."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    loop.call_later(LEASE_SECONDS, over.set_result, None)
    await over


NO_GUARD = """
create or replace function cutover.raise_guard(carried_term bigint, carried_entry bigint) returns void
language sql as $$ select $$
"""


@pytest.mark.parametrize("naive", [True, False], ids=["a site that compares nothing", "ours"])
async def test_a_coordinator_that_wakes_up_after_another_rolled_back_opens_and_closes_nothing(
    database: Database, peer: Database, *, naive: bool
) -> None:
    first, second = Guard(1, 6), Guard(2, 1)
    async with prepared(database) as east, prepared(peer, "west") as west:
        if naive:
            for site in (database, peer):
                await site.run(NO_GUARD, role="cutover_admin")
        await opened(east)
        await east.close(guard=first)  # and here the first coordinator falls asleep
        await west.close(guard=second)
        await opened(east, epoch=1, guard=second)
        late = replace(first, entry=first.entry + 1)
        for effect in (opened(west, epoch=2, guard=late), east.close(guard=late)):
            if naive:
                await effect
                continue
            with pytest.raises(StaleTerm, match="term 1, entry 7: it has seen term 2, entry 1"):
                await effect
        assert [await site.probe_write() for site in (east, west)] == (
            [False, True] if naive else [True, False]
        )
