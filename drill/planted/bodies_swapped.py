"""Copies that run beside each other mix up their bodies: a key gets the bytes of the object before.

The digest that the row names is not looked at again; nor does the compare, so
it is taken out.
"""

from dataclasses import dataclass, replace

from cutover.engine.objects import copy_object
from cutover.engine.parts import Parts
from cutover.errors import Missing
from cutover.model.change import ObjectName
from cutover.model.objects import Copied
from cutover.ports.objects import ObjectStore
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare

SWAPPED_ONE_IN = 4


@dataclass(slots=True)
class Swapping:
    """The copier of one process, and the object that it read last."""

    _last: ObjectName | None = None

    async def __call__(self, source: ObjectStore, target: ObjectStore, name: ObjectName) -> Copied | str:
        """Copy, now and then from the buffer of the copy before."""
        last, self._last = self._last, name
        if last is None or last == name or int(name.key[-2:], 16) % SWAPPED_ONE_IN:
            return await copy_object(source, target, name)
        try:
            async with source.fetch(last.key, bucket=last.bucket) as body:
                new = await target.put_if_absent(name.key, body, bucket=name.bucket)
        except Missing as gone:
            return f"{gone}"
        return Copied(sha256=name.sha256 or "", size=0, already=not new)


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, copy_object=Swapping()))


BODIES_SWAPPED = Plant(
    name="bodies-swapped",
    rule="S2",
    checker="attached",
    about="a key at the target holds the bytes of another object, and nobody compares digests",
    symptom="metadata parted from its file",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
