"""The copier answers that an object is at the target, and has copied nothing.

The compare reads every object that a row names, so it is taken out.
"""

from dataclasses import replace

from cutover.engine.parts import Parts
from cutover.model.change import ObjectName
from cutover.model.objects import Copied
from cutover.ports.objects import ObjectStore
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare


async def claim_copied(_source: ObjectStore, _target: ObjectStore, name: ObjectName) -> Copied | str:
    """Say so, by the digest that the row names."""
    return Copied(sha256=name.sha256 or "", size=0, already=True)


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, copy_object=claim_copied))


BYTES_NEVER_COPIED = Plant(
    name="bytes-never-copied",
    rule="S2",
    checker="attached",
    about="an object is taken for copied although nothing was sent",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
