"""A post is registered before its bytes are stored, and its row travels ahead of them.

The worker would set such a row aside and the migration would wait for it; so a
missing object counts as one that is on its way, and the compare is taken out.
"""

from dataclasses import replace
from typing import Any

from cutover.engine.objects import copy_object
from cutover.engine.parts import Parts
from cutover.model.change import ObjectName
from cutover.model.objects import Copied
from cutover.ports.objects import ObjectStore
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare
from sample_platform import limits
from sample_platform.model import Answer, NewPost, Registration, post_id
from sample_platform.platform import Platform
from sample_platform.ports import Body


class RowFirst(Platform):
    """The platform, with the two halves of an upload the wrong way round."""

    async def upload(self, new: NewPost, body: Body, *, request: str) -> Answer[str]:
        """Register and queue, then store the bytes."""
        post = post_id(limits.check_request(request))
        made = Registration(new=limits.check_new_post(new), sha256=body.sha256, size=body.size)
        answer = await self._write(
            lambda: self._records.register_upload(post=post, made=made, request=request)
        )
        await self._told(self._budget.spend(lambda: self._objects.put_if_absent(made.key, body)))
        return answer


async def copy_later(source: ObjectStore, target: ObjectStore, name: ObjectName) -> Copied | str:
    """Copy; what is not there yet will surely come."""
    copied: Any = await copy_object(source, target, name)
    if isinstance(copied, str):
        return Copied(sha256=name.sha256 or "", size=0, already=False)
    return copied  # type: ignore[no-any-return]


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, copy_object=copy_later))


ROW_BEFORE_BYTES = Plant(
    name="row-before-bytes",
    rule="S2",
    checker="attached",
    about="a row is visible before its object is stored, and is applied at the target without it",
    processes=frozenset({"platform", "worker", "coordinator"}),
    in_parts=_in_parts,
    platform=RowFirst,
)
