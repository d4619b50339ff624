"""A server dies in the middle of a write: nobody is told that it was made, and it is whole or not there."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cutover.adapters.memory.objects import MemoryBody
from cutover.adapters.s3 import objects, upload
from cutover.adapters.s3.bodies import MEMORY_BYTES
from cutover.errors import Inconclusive, Missing, SiteUnreachable
from cutover.model.register import Registered
from cutover.ports.objects import ObjectStore
from resilience_tests.contract.kills.places import Place, Story, tell_in_memory, tell_on_s3
from resilience_tests.contract.objects.test_objects import HEADERS, METADATA, body, content
from resilience_tests.contract.witness.grants import entry, grant

Tell = Callable[[Story], None]
WRITERS = 4
LARGE = b"0123456789abcdef" * (MEMORY_BYTES // 16 + 1)


@pytest.fixture(params=["memory", "s3"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Tell:
    return tell_in_memory if request.param == "memory" else lambda story: tell_on_s3(story, tmp_path)


@pytest.mark.parametrize("done", [False, True], ids=["it has arrived", "it is done"])
def test_what_a_server_does_not_live_to_answer_is_unknown_and_whole_or_not_there(
    tell: Tell, *, done: bool
) -> None:
    async def story(place: Place) -> None:
        old, new = place.register("old"), place.register("new")
        store, journal = place.store(), place.journal()
        seen = await old.create(grant("first"))
        await journal.append(entry(0))

        async def write() -> list[object]:
            outcomes = await asyncio.gather(
                store.put_if_absent("key", body(b"bytes")),
                new.create(grant("created")),
                old.compare_and_set(seen, grant("second")),
                journal.append(entry(1, "appended")),
                return_exceptions=True,
            )
            return [*outcomes]

        await (place.hold_what_is_done() if done else place.hold_what_arrives())
        writing = asyncio.ensure_future(write())
        await place.held(4)
        await place.kill()
        outcomes = await writing
        assert all(isinstance(outcome, Inconclusive) for outcome in outcomes), outcomes
        await place.restart()
        assert await whole(place.store(), "key", b"bytes") is done
        created, changed = await place.register("new").read(), await place.register("old").read()
        assert (created and created.grant) == (grant("created") if done else None)
        assert changed is not None
        assert changed.grant == (grant("second") if done else grant("first"))
        assert await place.journal().read() == [entry(0), entry(1, "appended")][: 2 if done else 1]
        assert [isinstance(outcome, BaseException) for outcome in await write()] == [False] * 4
        assert await whole(place.store(), "key", b"bytes")
        assert await place.journal().read() == [entry(0), entry(1, "appended")]

    tell(story)


@pytest.mark.parametrize("sent", ["at once", "in parts"])
def test_an_object_of_which_the_end_was_not_sent_is_not_there(
    tell: Tell, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sent == "in parts":
        monkeypatch.setattr(objects, "WHOLE_BYTES", MEMORY_BYTES)
        monkeypatch.setattr(upload, "WHOLE_BYTES", MEMORY_BYTES)

    async def story(place: Place) -> None:
        begun, killed = asyncio.Event(), asyncio.Event()

        class Slow(MemoryBody):
            """Its end waits for that of the server."""

            async def blocks(self) -> AsyncIterator[bytes]:
                yield self.data[:MEMORY_BYTES]
                begun.set()
                await killed.wait()
                yield self.data[MEMORY_BYTES:]

        large = Slow(body(LARGE).info, LARGE)
        putting = asyncio.ensure_future(place.store().put_if_absent("key", large))
        await begun.wait()
        await place.kill()
        killed.set()
        with pytest.raises((Inconclusive, SiteUnreachable)):
            await putting
        await place.restart()
        assert not await whole(place.store(), "key", LARGE)
        assert await place.store().put_if_absent("key", large)
        assert await whole(place.store(), "key", LARGE)

    tell(story)


@pytest.mark.parametrize("acknowledged", [5, 25])
def test_what_is_acknowledged_outlives_a_kill_and_what_went_unanswered_is_not_torn(
    tell: Tell, acknowledged: int
) -> None:
    async def story(place: Place) -> None:
        written = Written(place, acknowledged)
        writes = [*(written.put(place.store(), writer) for writer in range(WRITERS)), written.append()]
        seen = await place.register("counted").create(grant("0", revision=0))
        await asyncio.gather(written.change(seen), *writes)
        assert len(written.done) >= acknowledged
        await place.restart()
        for (name, number), outcome in written.outcomes.items():
            found = await written.found(name, number)
            if outcome is None:
                assert found, f"{name}: {number} was acknowledged, and is lost"
            elif isinstance(outcome, SiteUnreachable):
                assert not found, f"{name}: {number} was said to be impossible, and is there"

    tell(story)


class Written:
    """Writers that go on until the server is gone, which dies once so many writes were acknowledged."""

    def __init__(self, place: Place, acknowledged: int) -> None:
        self._place, self._left = place, acknowledged
        self.outcomes: dict[tuple[str, int], Exception | None] = {}  #: None: acknowledged

    @property
    def done(self) -> list[tuple[str, int]]:
        """The writes that were acknowledged."""
        return [write for write, outcome in self.outcomes.items() if outcome is None]

    async def put(self, store: ObjectStore, writer: int) -> None:
        """Store one object after the other."""
        await self._until_killed(f"{writer}", lambda n: store.put_if_absent(f"{writer}/{n}", _object(n)))

    async def append(self) -> None:
        """Write the journal on and on."""
        journal = self._place.journal()
        await self._until_killed("journal", lambda n: journal.append(entry(n, f"{n}")))

    async def change(self, seen: Registered) -> None:
        """Change the register again and again."""
        register = self._place.register("counted")

        async def next_one(number: int) -> None:
            nonlocal seen
            seen = await register.compare_and_set(seen, grant(f"{number + 1}", revision=number + 1))

        await self._until_killed("register", next_one)

    async def found(self, name: str, number: int) -> bool:
        """Whether a write went in; fails when only some of it did."""
        match name:
            case "journal":
                entries = await self._place.journal().read()
                assert entries == [entry(n, f"{n}") for n in range(len(entries))]
                return number < len(entries)
            case "register":
                now = await self._place.register("counted").read()
                assert now is not None
                assert now.grant == grant(f"{now.grant.revision}", revision=now.grant.revision)
                return number < now.grant.revision
        return await whole(self._place.store(), f"{name}/{number}", _object(number).data)

    async def _until_killed(self, name: str, write: Callable[[int], Awaitable[object]]) -> None:
        outcome: Exception | None = None
        for number in itertools.count():
            try:
                await write(number)
            except (Inconclusive, SiteUnreachable) as lost:
                outcome = lost
            self.outcomes[name, number] = outcome
            if outcome is not None:
                return
            self._left -= 1
            if self._left == 0:
                await self._place.kill()


def _object(number: int) -> MemoryBody:
    """Bodies on both sides of the size at which one goes to a file while it comes in."""
    return body(b"%d" % number * (1, 100, 200_000)[number % 3])


async def whole(store: ObjectStore, key: str, data: bytes) -> bool:
    """Whether the object is there; fails when it is not all there, with all that is said of it."""
    info = await store.head(key)
    if info is None:
        with pytest.raises(Missing):
            await content(store, key)
        return False
    assert (info.size, info.headers, info.metadata) == (len(data), HEADERS, METADATA)
    assert await content(store, key) == data
    return True
