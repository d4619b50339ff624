"""Links between places: what passes, what waits, what is lost, and what the ends are told."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field

import pytest
import uvloop

from infra.embedded.relay import Mode, Route

DEADLINE = 10.0  #: seconds; only a failure waits this long


@dataclass
class Echo:
    """A destination that answers with what it got, and keeps it."""

    got: bytearray = field(default_factory=bytearray)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(1 << 16):
                self.got += data
                self.came.set()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@dataclass
class Link:
    """A relayed destination, and the connections to it that a test opened."""

    echo: Echo
    route: Route
    server: asyncio.Server
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.route.listen)
        self.writers.append(writer)
        return reader, writer

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes) -> bytes:
        writer.write(said)
        return await asyncio.wait_for(reader.readexactly(len(said)), DEADLINE)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Story = Callable[[Link], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def tell(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Run a story over a link, on each kind of loop that the relay may run in."""

    def run(story: Story) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(_with_link(story))

    return run


async def _with_link(story: Story) -> None:
    echo = Echo()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()
    route = Route("east-west", "s3", ("127.0.0.1", free_port()), upstream)
    await route.open()
    link = Link(echo, route, server)
    try:
        await asyncio.wait_for(story(link), 3 * DEADLINE)
    finally:
        for writer in link.writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in link.writers), return_exceptions=True)
        await route.set(Mode.REFUSE, 0)
        server.close()
        await server.wait_closed()


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Say whether the connection came to an end, reset or closed, with nothing more to read."""
    try:
        return await asyncio.wait_for(reader.read(1), DEADLINE) == b""
    except ConnectionError:
        return True


async def settle() -> None:
    """Let everything pass that could pass: a round trip over another connection pair of the loop."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    _, other = await asyncio.open_connection(sock=theirs)
    for _ in range(20):
        other.write(b"x")
        await asyncio.wait_for(reader.readexactly(1), DEADLINE)
    for one in (writer, other):
        one.close()
        await one.wait_closed()


def test_bytes_pass_in_order_however_many(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        body = bytes(range(256)) * 40_000
        answer = asyncio.ensure_future(reader.readexactly(len(body)))
        writer.write(body)
        assert await asyncio.wait_for(answer, DEADLINE) == body

    tell(story)


def test_the_end_of_a_request_reaches_the_server_and_its_answer_comes_back(
    tell: Callable[[Story], None],
) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        writer.write(b"all of it")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b"all of it"
        writer.close()
        await writer.wait_closed()
        await settle()
        assert not link.route.pairs

    tell(story)


def test_what_was_sent_into_a_cut_link_arrives_after_the_heal(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        await link.say(reader, writer, b"before")
        await link.route.set(Mode.CUT, 0)
        writer.write(b"during")
        await settle()
        assert bytes(link.echo.got) == b"before"
        await link.route.set(Mode.OPEN, 0)
        assert await asyncio.wait_for(reader.readexactly(6), DEADLINE) == b"during"

    tell(story)


def test_new_connections_wait_for_the_heal_of_a_cut_link(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        await link.route.set(Mode.CUT, 0)
        reader, writer = await link.connect()
        writer.write(b"hello")
        await settle()
        assert not link.echo.writers
        await link.route.set(Mode.OPEN, 0)
        assert await asyncio.wait_for(reader.readexactly(5), DEADLINE) == b"hello"

    tell(story)


def test_with_only_the_way_back_cut_the_request_is_done_and_nobody_is_told(
    tell: Callable[[Story], None],
) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        await link.say(reader, writer, b"before")
        link.echo.came.clear()
        await link.route.set(Mode.CUT_BACK, 0)
        writer.write(b"pay once")
        await asyncio.wait_for(link.echo.came.wait(), DEADLINE)
        assert bytes(link.echo.got) == b"beforepay once"
        answer = asyncio.ensure_future(reader.readexactly(8))
        await settle()
        assert not answer.done()
        await link.route.set(Mode.OPEN, 0)
        assert await asyncio.wait_for(answer, DEADLINE) == b"pay once"

    tell(story)


def test_with_only_the_way_there_cut_the_server_hears_nothing_but_can_still_speak(
    tell: Callable[[Story], None],
) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        await link.say(reader, writer, b"before")
        await link.route.set(Mode.CUT_TO, 0)
        writer.write(b"unheard")
        await settle()
        assert bytes(link.echo.got) == b"before"
        link.echo.writers[0].write(b"news")
        assert await asyncio.wait_for(reader.readexactly(4), DEADLINE) == b"news"

    tell(story)


def test_a_hanging_link_never_delivers_and_its_heal_resets(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        await link.say(reader, writer, b"before")
        await link.route.set(Mode.HANG, 0)
        writer.write(b"lost")
        await settle()
        await link.route.set(Mode.OPEN, 0)
        assert await is_ended(reader)
        assert bytes(link.echo.got) == b"before"

    tell(story)


def test_a_refusing_link_resets_what_stands_and_refuses_what_is_new(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        await link.say(reader, writer, b"before")
        await link.route.set(Mode.REFUSE, 0)
        assert await is_ended(reader)
        with pytest.raises(ConnectionRefusedError):
            await link.connect()
        await link.route.set(Mode.OPEN, 0)
        assert await link.say(*await link.connect(), b"again") == b"again"

    tell(story)


def test_a_resetting_link_accepts_and_resets(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        await link.route.set(Mode.RESET, 0)
        reader, _ = await link.connect()
        assert await is_ended(reader)
        assert not link.echo.writers

    tell(story)


def test_when_nobody_serves_behind_a_link_the_client_is_told_at_once(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        link.server.close()
        await link.server.wait_closed()
        reader, writer = await link.connect()
        writer.write(b"anybody?")
        assert await is_ended(reader)

    tell(story)


def test_a_slow_link_delivers_later_and_in_order(tell: Callable[[Story], None]) -> None:
    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        await link.route.set(Mode.DELAY, 0.01)
        assert await link.say(reader, writer, b"first") == b"first"
        await link.route.set(Mode.DELAY, 3600)
        writer.write(b"second ")
        await settle()
        assert bytes(link.echo.got) == b"first"
        await link.route.set(Mode.OPEN, 0)
        writer.write(b"third")
        assert await asyncio.wait_for(reader.readexactly(12), DEADLINE) == b"second third"

    tell(story)
