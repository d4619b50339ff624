"""A memory database is dangerous where PostgreSQL is, and nowhere else."""

import asyncio
from random import Random

from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.session import MemorySession, Work
from drill.sample_plan import sample_plan
from drill.simulator.loop import run
from drill.simulator.records import USERS

ADA = ("ada",)


def _add(work: Work) -> bool:
    """Make Ada, unless she is there; say whether she is new."""
    if work.get(USERS, ADA) is not None:
        return False
    work.insert(USERS, ADA, {"name": "ada"})
    return True


async def _two_at_once(seed: int) -> list[tuple[bool, bool]]:
    chance = Random(seed)
    loop = asyncio.get_running_loop()

    async def reach() -> None:
        await asyncio.sleep(chance.random())

    server = MemoryServer("east", sample_plan(), loop.time, reach)

    async def client(name: str) -> tuple[bool, bool]:
        new = await MemorySession(server).write(name, _add)
        return new, ADA in server.rows(USERS)

    return list(await asyncio.gather(client("one"), client("two")))


def test_who_finds_a_row_that_is_being_committed_waits_until_it_can_be_read() -> None:
    for seed in range(50):
        answers = run(seed, lambda seed=seed: _two_at_once(seed))  # type: ignore[misc]
        assert sorted(new for new, _ in answers) == [False, True]
        assert all(readable for _, readable in answers), f"seed {seed}: {answers}"
