"""One writer is not under the fence: the counter of views has a role of its own.

It asks nobody before it writes and nobody afterwards, so that views are taken
at a site that was left.
"""

from typing import Any

from cutover.adapters.memory.session import Work
from drill.planted.plant import Plant
from sample_platform.errors import NotFound
from sample_platform.model import Answer
from sample_platform.platform import Platform

POSTS = "public.posts"


class Unfrozen(Platform):
    """The platform, with a back door for views."""

    async def view(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Count it, whoever serves."""
        server: Any = self._records.server  # type: ignore[attr-defined]
        await server.reach()
        work = Work(server)
        row = work.get(POSTS, (post,))
        if row is None:
            raise NotFound(f"no post {post!r}", site=self.site)
        work.update(POSTS, (post,), row | {"views": str(int(str(row["views"])) + 1)})
        transaction = server.commit(work.changes, request=request)
        await server.reach()
        server.show(transaction)
        return Answer(value=post, site=self.site, epoch=server.epoch or None)


WRITER_NOT_FROZEN = Plant(
    name="writer-not-frozen",
    rule="S1a",
    checker="one_writer",
    about="one kind of write does not pass the fence, so that it goes on at the site that was left",
    origin="pg_easy_replicate#164",
    processes=frozenset({"platform"}),
    simulated_only=True,
    platform=Unfrozen,
)
