"""Which objects a compare may leave unread."""

from dataclasses import replace

from cutover.adapters.memory.objects import MemoryBody
from cutover.engine.act import Executor
from cutover.engine.register import change_register
from cutover.model.action import CompareSites, Guard
from cutover.model.change import Insert
from cutover.model.objects import ObjectInfo
from resilience_tests.simulated.apart import FIRST, HOME, POSTS, Apart, ending, post, wrote
from resilience_tests.spec.protocol.worlds import GRANT


def test_an_object_that_was_read_at_one_site_is_read_at_the_other_when_that_follows() -> None:
    """One process compares the target before the cutover, and the source after it."""

    async def story(apart: Apart) -> None:
        executor = await _compared(apart)
        await change_register(apart.parts, lambda grant: replace(grant, serving="west", epoch=2))
        bad = MemoryBody(ObjectInfo(size=4, etag="e"), b"bad!")
        store = apart.parts.stores["east"]
        store._store.objects["objects", "film"] = bad  # type: ignore[attr-defined]
        assert not (await executor.carry_out(CompareSites(), HOME))["clean"]

    ending(story)


def test_a_full_compare_reads_what_an_earlier_one_has_read() -> None:
    """An operator asks for another one because something may have changed behind the rows."""

    async def story(apart: Apart) -> None:
        executor = await _compared(apart)
        apart.parts.stores["west"]._store.objects.clear()  # type: ignore[attr-defined]
        assert not (await executor.carry_out(CompareSites(), Guard(1, 2)))["clean"]

    ending(story)


async def _compared(apart: Apart) -> Executor:
    """Both sites hold a post and its film, and are equal; who found that."""
    await apart.parts.register.create(GRANT)
    for site in ("east", "west"):
        await apart.stored(site)
    wrote(apart.east, Insert(POSTS, ("1",), post("1", "clip", film=True)))
    await apart.applied()
    executor = Executor(apart.parts)
    assert (await executor.carry_out(CompareSites(), FIRST))["clean"]
    return executor
