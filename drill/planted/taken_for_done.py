"""412 taken for done: whatever lies under the key at the target counts as the copy.

To make an earlier, broken copy lie there, one object in four is first sent
half, as by a copier that does not write in one piece, and the link breaks; the
retry then meets the occupied key. Reading the bytes would show it, so the
compare is taken out.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import sha256

from cutover.engine.parts import Parts
from cutover.errors import Inconclusive, Missing
from cutover.model.change import ObjectName
from cutover.model.objects import Copied, ObjectInfo
from cutover.ports.objects import Body, ObjectStore
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare

HALF_ONE_IN = 4


@dataclass(frozen=True, slots=True)
class Half:
    """The first half of a body, as if it were all."""

    info: ObjectInfo
    data: bytes

    @property
    def sha256(self) -> str:
        """Of the half."""
        return sha256(self.data).hexdigest()

    async def blocks(self) -> AsyncIterator[bytes]:
        """The half at once."""
        yield self.data


async def copy_unread(source: ObjectStore, target: ObjectStore, name: ObjectName) -> Copied | str:
    """Copy, and never look at what an occupied key holds."""
    try:
        async with source.fetch(name.key, bucket=name.bucket) as body:
            if int(body.sha256, 16) % HALF_ONE_IN == 0:
                await _break_off(target, name, body)
            new = await target.put_if_absent(name.key, body, bucket=name.bucket)
            return Copied(sha256=body.sha256, size=body.info.size, already=not new)
    except Missing:
        return f"object {name.key!r} is not in the store of {source.site}"


async def _break_off(target: ObjectStore, name: ObjectName, body: Body) -> None:
    data = b"".join([block async for block in body.blocks()])
    half = data[: len(data) // 2]
    if await target.put_if_absent(
        name.key, Half(replace(body.info, size=len(half)), half), bucket=name.bucket
    ):
        raise Inconclusive(f"the link broke while {name.key!r} was sent")


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, copy_object=copy_unread))


TAKEN_FOR_DONE = Plant(
    name="taken-for-done",
    rule="S2",
    checker="attached",
    about="an occupied key at the target is taken for a finished copy, and its bytes are not read",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
