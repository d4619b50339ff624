"""The front of a store that stands elsewhere: bytes pass it unchanged, and it dies like the store that it is.

Each test has a front in a process of its own, and behind it somebody's server: a listener of the test.
"""

import ast
import asyncio
import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.s3_engines import front
from resilience_tests.contract.front.tls import make_certificate, serving
from resilience_tests.contract.s3.servers import free_port

HOST = "127.0.0.1"
DEADLINE = 5.0
SILENCE = 0.3
"""How long nothing must come from a process that is frozen (seconds)."""

RUN = (
    "import asyncio, json, sys; from infra.s3_engines.front import serve; "
    "asyncio.run(serve(json.loads(sys.argv[1]), lambda: print('ready', flush=True)))"
)
CHECKOUT = Path(__file__).parents[3]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Standing:
    """A front that is up."""

    process: "subprocess.Popen[str]"
    port: int

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def end(self) -> str:
        """Ask it to end; return what it had to say."""
        self.process.terminate()
        return self.process.communicate(timeout=DEADLINE)[1]


Stand = Callable[..., Standing]


@pytest.fixture
def stand() -> Iterator[Stand]:
    """Starts fronts, and ends them."""
    made: list[Standing] = []

    def start(to: int, *, host: str = HOST, tls: bool = False, trusted: Path | None = None) -> Standing:
        port = free_port()
        told = {"host": HOST, "port": port, "to": [host, to], "tls": tls}
        trust = {} if trusted is None else {"SSL_CERT_FILE": str(trusted)}
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(told)],
            cwd=CHECKOUT,
            env={**os.environ, **trust},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        made.append(Standing(process, port))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate()


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[int]:
    """Somebody's server, which does this with each connection; its port."""
    handling: set[asyncio.Task[object]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        try:
            with suppress(ConnectionError):
                await serve(reader, writer)
        finally:
            writer.close()

    async with asyncio.timeout(DEADLINE):
        listening = await asyncio.start_server(handle, HOST, port, ssl=tls)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
            for one in handling:
                one.cancel()
            await asyncio.gather(*handling, return_exceptions=True)


def break_off(writer: asyncio.StreamWriter) -> None:
    """End a connection as a machine does that dies: the other end is told that it is broken."""
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 14):
        writer.write(data)
        await writer.drain()


async def test_bytes_pass_both_ways_at_once_and_arrive_as_they_were_sent(stand: Stand) -> None:
    """More than all buffers on the way hold."""
    sent = random.Random(1).randbytes(8 << 20)
    async with server(echo) as port, stand(port).connected() as (reader, writer):

        async def send() -> None:
            writer.write(sent)
            writer.write_eof()

        back, _ = await asyncio.gather(reader.read(-1), send())
    assert back == sent


async def test_an_end_that_has_said_its_last_still_hears_the_answer(stand: Stand) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.read(-1))

    async with server(answer_at_the_end) as port, stand(port).connected() as (reader, writer):
        writer.write(b"all")
        writer.write_eof()
        assert await reader.read(-1) == b"heard all"


async def test_a_killed_front_ends_what_stands_and_refuses_what_comes(stand: Stand) -> None:
    async with server(echo) as port:
        standing = stand(port)
        async with standing.connected() as (reader, writer):
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            standing.process.kill()
            standing.process.wait()
            assert await ended(reader)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, standing.port)


async def test_a_paused_front_is_silent_and_goes_on_where_it_was(stand: Stand) -> None:
    async with server(echo) as port:
        standing = stand(port)
        async with standing.connected() as (reader, writer):
            standing.process.send_signal(signal.SIGSTOP)
            writer.write(b"meanwhile")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(9), SILENCE)
            standing.process.send_signal(signal.SIGCONT)
            assert await reader.readexactly(9) == b"meanwhile"


async def test_a_server_that_is_away_is_a_reset_connection_and_is_used_again_when_it_is_back(
    stand: Stand,
) -> None:
    port = free_port()
    standing = stand(port)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):  # it may come before the connection is known to stand
            async with asyncio.timeout(DEADLINE), standing.connected() as (reader, _writer):
                await reader.read(1)
    async with server(echo, port=port), standing.connected() as (reader, writer):
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
    assert standing.end().count("was not reached") == 1  # said once, and not for each connection


async def test_a_server_that_does_not_answer_is_given_up_in_time(stand: Stand) -> None:
    """Its queue of connections is full, so that the kernel passes over one more."""
    with ExitStack() as closing:
        deaf, *filling = [closing.enter_context(socket.socket()) for _ in range(5)]
        deaf.bind((HOST, 0))
        deaf.listen(0)
        for one in filling:
            one.setblocking(False)  # noqa: FBT003 - takes no keyword
            one.connect_ex(deaf.getsockname())
        async with stand(deaf.getsockname()[1]).connected() as (reader, _):
            async with asyncio.timeout(front.CONNECT_SECONDS_MAX + DEADLINE):
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)


async def test_an_answer_that_breaks_off_is_a_reset_and_never_looks_whole(stand: Stand) -> None:
    async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of it")
        await writer.drain()
        await reader.readexactly(5)
        break_off(writer)

    async with server(half_an_answer) as port, stand(port).connected() as (reader, writer):
        assert await reader.readexactly(10) == b"half of it"
        writer.write(b"go on")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)


async def test_a_client_that_breaks_off_is_broken_off_at_the_server_too(stand: Stand) -> None:
    """A half-sent object must not look like a whole one."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"go on")
        try:
            heard.set_result(await reader.read(-1))
        except ConnectionError as error:
            heard.set_exception(error)

    async with server(listen) as port, stand(port).connected() as (reader, writer):
        await reader.readexactly(5)
        writer.write(b"half of it")
        break_off(writer)
        with pytest.raises(ConnectionResetError):
            await heard


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether a connection is over, at its end or broken."""
    try:
        return await asyncio.wait_for(reader.read(1), DEADLINE) == b""
    except ConnectionError:
        return True


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


async def test_tls_is_spoken_with_a_server_that_shows_its_certificate(
    stand: Stand, certificate: Path
) -> None:
    async with server(echo, serving(certificate)) as port:
        standing = stand(port, host="localhost", tls=True, trusted=certificate)
        async with standing.connected() as (reader, writer):
            writer.write(b"in the clear up to here")
            assert await reader.readexactly(23) == b"in the clear up to here"
            writer.write_eof()
            assert await ended(reader)


@pytest.mark.parametrize(
    ("host", "trusting"),
    [
        pytest.param("localhost", False, id="nobody vouches for it"),
        pytest.param(HOST, True, id="it has another name"),
    ],
)
async def test_a_server_that_is_not_who_it_says_gets_nothing(
    stand: Stand, certificate: Path, host: str, *, trusting: bool
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))

    async with server(listen, serving(certificate)) as port:
        standing = stand(port, host=host, tls=True, trusted=certificate if trusting else None)
        async with standing.connected() as (reader, writer):
            writer.write(b"a signed request")
            assert await ended(reader)
    assert "certificate verify failed" in standing.end()
    assert heard == []


def test_it_imports_nothing_but_the_standard_library() -> None:
    """So that it starts in a moment, and no other image needs more than Python for it."""
    tree = ast.parse(Path(str(front.__file__)).read_text())
    named = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= sys.stdlib_module_names
