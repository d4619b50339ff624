"""What only a witness behind a network can do to us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from cutover.adapters.s3.address import Limits
from cutover.adapters.s3.witness import S3Journal, S3Register
from cutover.errors import Inconclusive, Refused, SiteUnreachable, Superseded
from resilience_tests.contract.objects.server import HASTY, QUICK, SECRET, S3Server
from resilience_tests.contract.witness.conftest import BUCKET, RUNS
from resilience_tests.contract.witness.grants import entry, grant


@dataclass(slots=True)
class Network:
    """Clients of one real witness, each closed when the test is over."""

    server: S3Server
    prefix: str
    stack: AsyncExitStack

    def register(self, *, bucket: str = BUCKET, limits: Limits = QUICK, **changed: str) -> S3Register:
        """A client of the register."""
        client = S3Register(self.server.address(bucket, **changed), self.prefix, limits)
        self.stack.push_async_callback(client.close)
        return client

    def journal(self, *, bucket: str = BUCKET, limits: Limits = QUICK) -> S3Journal:
        """A client of the journal."""
        client = S3Journal(self.server.address(bucket), self.prefix, limits)
        self.stack.push_async_callback(client.close)
        return client

    async def strike(self, do: str, **limits: object) -> None:
        """Put a fault on this run's keys."""
        await self.server.strike(do, key_prefix=self.prefix, **limits)


@pytest.fixture
async def network(server: S3Server) -> AsyncIterator[Network]:
    await server.make_bucket(BUCKET)
    async with AsyncExitStack() as stack:
        yield Network(server, f"network {next(RUNS)}/", stack)
        await server.strike("heal")


async def test_a_witness_without_its_bucket_is_not_an_empty_one(network: Network) -> None:
    with pytest.raises(Refused, match=r"bucket 'no-such-bucket'.*NoSuchBucket"):
        await network.register(bucket="no-such-bucket").read()
    with pytest.raises(Refused, match="NoSuchBucket"):
        await network.register(bucket="no-such-bucket").create(grant("first"))
    with pytest.raises(Refused, match="NoSuchBucket"):
        await network.journal(bucket="no-such-bucket").read()


async def test_a_wrong_key_pair_is_named_without_its_secret(network: Network) -> None:
    register = network.register(secret=SECRET + "?")
    with pytest.raises(Refused, match="SignatureDoesNotMatch") as caught:
        await register.create(grant("first"))
    assert SECRET not in str(caught.value)
    with pytest.raises(Refused, match="Check endpoint"):
        await register.read()


async def test_a_witness_that_only_asks_to_be_spared_is_unreachable(network: Network) -> None:
    await network.strike("fail503")
    with pytest.raises(SiteUnreachable):
        await network.register().create(grant("first"))
    with pytest.raises(SiteUnreachable):
        await network.journal().append(entry(0))
    with pytest.raises(SiteUnreachable):
        await network.journal().read()


async def test_a_write_that_is_done_and_never_answered_nor_read_back_is_inconclusive(
    network: Network,
) -> None:
    register = network.register(limits=HASTY)
    seen = await register.create(grant("first"))
    await network.strike("lose_acknowledgement", method="PUT")
    await network.strike("fail503", method="GET")
    with pytest.raises(Inconclusive):
        await register.compare_and_set(seen, grant("second"))
    with pytest.raises(Inconclusive):
        await network.journal(limits=HASTY).append(entry(0))


async def test_a_write_that_nobody_answers_is_inconclusive(network: Network) -> None:
    register = network.register(limits=HASTY)
    seen = await register.create(grant("first"))
    await network.strike("hang", method="PUT")
    with pytest.raises(Inconclusive):
        await register.compare_and_set(seen, grant("second"))


async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_changed(network: Network) -> None:
    """The key pair is withdrawn, or a clock jumps, between a write that went in and its repetition."""
    asked = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += request.method == "PUT"
        if asked == 1 and request.method == "PUT":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=403, body=b"<Error><Code>RequestTimeTooSkewed</Code></Error>")

    async with RawTestServer(answer) as skewed:
        register = network.register(limits=HASTY, endpoint=str(skewed.make_url("")))
        with pytest.raises(Inconclusive):
            await register.create(grant("first"))
    assert asked == HASTY.attempts


async def test_a_write_that_loses_every_answer_is_still_known_to_be_in(network: Network) -> None:
    register = network.register()
    seen = await register.create(grant("first"))
    await network.strike("lose_acknowledgement", method="PUT")
    assert (await register.compare_and_set(seen, grant("second"))).grant == grant("second")


async def test_a_late_writer_that_loses_its_answer_learns_that_it_was_late(network: Network) -> None:
    register = network.register()
    first = await register.create(grant("first"))
    await register.compare_and_set(first, grant("second"))
    await network.strike("lose_acknowledgement", method="PUT", count=1)
    with pytest.raises(Superseded):
        await register.compare_and_set(first, grant("late"))


async def test_reading_while_others_append_never_sees_a_gap(network: Network) -> None:
    writer, reader = network.journal(), network.journal()

    async def write() -> None:
        for n in range(40):
            await writer.append(entry(n))

    writing = asyncio.create_task(write())
    seen: list[int] = []
    while not writing.done():
        seen = [one.n for one in await reader.read()]
        assert seen == list(range(len(seen)))
    await writing
    assert len(await reader.read()) == 40
