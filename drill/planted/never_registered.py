"""An upload is acknowledged when its bytes are stored, and registered behind the answer.

One process in eight dies in between: the bytes are there, and no row, no queue
entry and no view will ever name them.
"""

from drill.planted.plant import Plant
from sample_platform import limits
from sample_platform.model import Answer, NewPost, Registration, post_id
from sample_platform.platform import Platform
from sample_platform.ports import Body

DIES_ONE_IN = 8


class AnswerFirst(Platform):
    """The platform, answering an upload before its row is there."""

    async def upload(self, new: NewPost, body: Body, *, request: str) -> Answer[str]:
        """Store the bytes, say yes, and register if nothing happens."""
        if self._random.randrange(DIES_ONE_IN):
            return await super().upload(new, body, request=request)
        post = post_id(limits.check_request(request))
        made = Registration(new=limits.check_new_post(new), sha256=body.sha256, size=body.size)
        await self._told(self._budget.spend(lambda: self._objects.put_if_absent(made.key, body)))
        return Answer(value=post, site=self.site, epoch=await self._serving.epoch())


NEVER_REGISTERED = Plant(
    name="never-registered",
    rule="S2",
    checker="attached",
    about="an upload is acknowledged once its bytes are stored, and the process dies before the row is",
    symptom="upload stored, never registered",
    processes=frozenset({"platform"}),
    platform=AnswerFirst,
)
