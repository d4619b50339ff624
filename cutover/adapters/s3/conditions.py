"""Whether a store keeps the promises that we rest on: each is tried against the real bucket.

A server that answers 200 to a condition it does not know is more dangerous
than one that says no, and there are many: nothing may rest on a condition that was
not seen to hold against this very bucket.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from cutover.adapters.memory.objects import MemoryBody
from cutover.adapters.s3.again import Slow, ask_again, ask_patiently
from cutover.adapters.s3.answers import SLOW, Answer, refusal
from cutover.adapters.s3.upload import CHECKSUM, ONLY_NEW, Upload, encoded
from cutover.adapters.s3.wire import Request, Wire
from cutover.errors import SiteUnreachable
from cutover.model.objects import ObjectInfo
from cutover.model.outputs import PATHS

SCRATCH = ".cutover-preflight/"
RACERS, ROUNDS = 6, 4
NO_TAG = {"If-Match": '"00000000000000000000000000000000"'}
CARRIED = {
    "Content-Type": "text/x-cutover; charset=utf-8",
    "Cache-Control": "private, max-age=60",
    "Content-Disposition": 'attachment; filename="a b.txt"',
    "Content-Encoding": "x-none",
    "Content-Language": "en, de",
    "Expires": "Thu, 01 Jan 2099 00:00:00 GMT",
    "x-amz-meta-owner": "a=b; c, d",
}


async def prove(wire: Wire) -> list[str]:
    """Name each condition that the store gets wrong; leaves nothing behind.

    Raises Refused when the scratch keys cannot be written at all, else as `Wire.ask`.
    """
    scratch = Scratch(wire)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(scratch.remove)
        await scratch.check_access()
        where = f"{wire.place!r} ({wire.address.endpoint}, bucket {wire.address.bucket!r})"
        return [f"{where}: {sentence}" for sentence, holds in PROMISES if not await holds(scratch)]


class Scratch:
    """Keys of our own in the bucket, and what was put there."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._prefix = f"{SCRATCH}{secrets.token_hex(8)}/"
        self._keys: set[str] = set()

    @property
    def keys(self) -> str:
        """What the store is said to do with keys."""
        return self._wire.address.keys

    async def send(self, name: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Write one key."""
        self._keys.add(name)
        request = Request(method="PUT", key=self._prefix + name, body=body, headers=headers)
        return await ask_patiently(self._wire, request)

    async def send_in_parts(self, name: str, data: bytes) -> Answer:
        """Write one key that must be new, as large objects are written."""
        body = MemoryBody(ObjectInfo(size=len(data), etag=""), data)
        answer = await Upload(wire=self._wire, key=self._prefix + name, bucket=None, body=body).in_parts({})
        if answer.status in SLOW:
            raise SiteUnreachable(self._wire.place, str(Slow(answer)))
        return answer

    async def get(self, name: str) -> Answer:
        """Read one key."""
        return await ask_again(self._wire, Request(method="GET", key=self._prefix + name))

    async def delete(self, name: str, headers: dict[str, str]) -> Answer:
        """Delete one key."""
        request = Request(method="DELETE", key=self._prefix + name, headers=headers)
        return await ask_again(self._wire, request)

    async def check_access(self) -> None:
        """Raise Refused unless a key can be written, read and deleted."""
        for answer in (await self.send("access", b"x", {}), await self.get("access")):
            if answer.status != 200:
                raise refusal(self._wire.address, self._wire.address.bucket, answer, "keep a scratch object")
        answer = await self.delete("access", {})
        if answer.status not in (200, 204):
            raise refusal(self._wire.address, self._wire.address.bucket, answer, "delete a scratch object")

    async def remove(self) -> None:
        """Delete everything that was put here."""
        for name in sorted(self._keys):
            await self.delete(name, {})


async def _new_only(scratch: Scratch) -> bool:
    await scratch.send("new", b"first", ONLY_NEW)
    second = await scratch.send("new", b"second", ONLY_NEW)
    return second.status == 412 and (await scratch.get("new")).body == b"first"


async def _new_only_in_parts(scratch: Scratch) -> bool:
    await scratch.send("parts", b"first", {})
    second = await scratch.send_in_parts("parts", b"second")
    return second.status == 412 and (await scratch.get("parts")).body == b"first"


async def _match(scratch: Scratch) -> bool:
    first = await scratch.send("match", b"first", {})
    wrong = await scratch.send("match", b"wrong", NO_TAG)
    untouched = (await scratch.get("match")).body == b"first"
    right = await scratch.send("match", b"second", {"If-Match": first.tag})
    late = await scratch.send("match", b"late", {"If-Match": first.tag})
    kept = (await scratch.get("match")).body == b"second"
    return (wrong.status, right.status, late.status) == (412, 200, 412) and untouched and kept


async def _match_needs_object(scratch: Scratch) -> bool:
    answer = await scratch.send("nothing", b"wrong", NO_TAG)
    return answer.status in (404, 412) and (await scratch.get("nothing")).status == 404


async def _delete_match(scratch: Scratch) -> bool:
    put = await scratch.send("delete", b"kept", {})
    wrong = await scratch.delete("delete", NO_TAG)
    untouched = (await scratch.get("delete")).body == b"kept"
    right = await scratch.delete("delete", {"If-Match": put.tag})
    gone = (await scratch.get("delete")).status == 404
    return wrong.status == 412 and untouched and right.status in (200, 204) and gone


async def _digest(scratch: Scratch) -> bool:
    wrong = encoded(hashlib.sha256(b"other bytes").hexdigest())
    answer = await scratch.send("digest", b"these bytes", {CHECKSUM: wrong})
    return answer.status == 400 and (await scratch.get("digest")).status == 404


async def _metadata(scratch: Scratch) -> bool:
    await scratch.send("metadata", b"x", CARRIED)
    headers = (await scratch.get("metadata")).headers
    return all(headers.get(name.lower()) == value for name, value in CARRIED.items())


async def _paths(scratch: Scratch) -> bool:
    return await _kept_apart(scratch, ("p/x", "P/x", "p/.x", "p/x.", "p/y/x", "p/ü\u0308+%41 &"))


async def _keys(scratch: Scratch) -> bool:
    if scratch.keys == PATHS:
        return True
    return await _kept_apart(scratch, ("k//x", "k/x", "k/./x", "k/../x", "k/x/"))


async def _kept_apart(scratch: Scratch, names: Sequence[str]) -> bool:
    for name in names:
        await scratch.send(name, name.encode(), {})
    return all([(await scratch.get(name)).body == name.encode() for name in names])


async def _race_new(scratch: Scratch) -> bool:
    return all([await _raced(scratch, f"race {number}", ONLY_NEW) for number in range(ROUNDS)])


async def _race_match(scratch: Scratch) -> bool:
    for _ in range(ROUNDS):
        tag = (await scratch.send("race", secrets.token_bytes(8), {})).tag
        if not await _raced(scratch, "race", {"If-Match": tag}):
            return False
    return True


async def _raced(scratch: Scratch, name: str, condition: dict[str, str]) -> bool:
    """Whether of several writers at once exactly one is told that it won, and did."""
    bodies = [secrets.token_bytes(16) for _ in range(RACERS)]
    answers = await asyncio.gather(*(scratch.send(name, body, condition) for body in bodies))
    won = [body for body, answer in zip(bodies, answers, strict=True) if answer.status == 200]
    return len(won) == 1 and (await scratch.get(name)).body == won[0]


PROMISES: tuple[tuple[str, Callable[[Scratch], Awaitable[bool]]], ...] = (
    ("a put with If-None-Match: * is not refused when the object exists", _new_only),
    ("an upload in parts with If-None-Match: * is not refused when the object exists", _new_only_in_parts),
    ("a put with If-Match does not compare the tag", _match),
    ("a put with If-Match makes an object that was not there", _match_needs_object),
    ("a delete with If-Match does not compare the tag", _delete_match),
    ("a body that does not have the sha256 sent along is stored", _digest),
    ("content headers or user metadata do not come back as they were sent", _metadata),
    ("keys are changed: two plain paths that differ are taken for one, or cannot be kept", _paths),
    (
        "keys are changed: two that differ, as k//x and k/x do, are taken for one, or cannot be kept. If all "
        f'keys of yours are plain paths, say so: "keys": "{PATHS}" beside the bucket in the outputs',
        _keys,
    ),
    ("of several writers at once with If-None-Match: *, not exactly one wins", _race_new),
    ("of several writers at once with If-Match, not exactly one wins", _race_match),
)
