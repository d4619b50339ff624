"""The platform's logic: coroutines over its ports, so that it also runs in a simulator."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import TypeVar

from sample_platform import feed, limits
from sample_platform.errors import NotFound, PlatformError, Unavailable, Unknown
from sample_platform.model import (
    Answer,
    Comment,
    Counts,
    FeedPage,
    NewPost,
    Post,
    QueueEntry,
    QueuePage,
    Registration,
    Revision,
    Seen,
    Served,
    Standing,
    Taste,
    Written,
    post_id,
    session_token,
)
from sample_platform.ports import Body, Download, Objects, Records, ServingCheck
from sample_platform.retry import RetryBudget

T = TypeVar("T")

REMEMBERED_MAX = 1_000
"""Posts whose last known row is kept, to be served as stale while the database is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A post and its bytes, not read yet. Whoever gets it closes the download."""

    post: Post
    download: Download


class Platform:
    """A video platform at one site. Fulfils PlatformApi.

    An upload is acknowledged when its bytes are durable, its row and its queue entry are
    committed, and a read that began after that commit showed the site still in office.
    """

    def __init__(
        self, *, site: str, records: Records, objects: Objects, serving: ServingCheck, random: Random
    ) -> None:
        self.site = site
        self._records = records
        self._objects = objects
        self._serving = serving
        self._random = random
        self._budget = RetryBudget(random)
        self._remembered: OrderedDict[str, tuple[float, Post]] = OrderedDict()

    # Writes

    async def log_in(self, *, user: str, request: str) -> Answer[str]:
        """Open a session for a user, who is made if need be; the value is its token."""
        limits.check_name("user", user)
        token = session_token(limits.check_request(request))
        return await self._write(lambda: self._records.open_session(user=user, token=token, request=request))

    async def upload(self, new: NewPost, body: Body, *, request: str) -> Answer[str]:
        """Store the bytes, then register and queue them in one transaction."""
        post = post_id(limits.check_request(request))
        made = Registration(new=limits.check_new_post(new), sha256=body.sha256, size=body.size)
        await self._told(self._budget.spend(lambda: self._objects.put_if_absent(made.key, body)))
        return await self._write(lambda: self._records.register_upload(post=post, made=made, request=request))

    async def edit(self, post: str, revision: Revision, *, user: str, request: str) -> Answer[str]:
        """Replace title, caption and tags of one's own post."""
        _check_change(post, user, request)
        limits.check_revision(revision)
        return await self._write(
            lambda: self._records.edit(post=post, user=user, revision=revision, request=request)
        )

    async def delete(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Delete the row of one's own post; the bytes stay, another post may own them."""
        _check_change(post, user, request)
        answer = await self._write(lambda: self._records.delete(post=post, user=user, request=request))
        self._remembered.pop(post, None)
        return answer

    async def like(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Count a like, once for a user."""
        _check_change(post, user, request)
        return await self._write(lambda: self._records.like(post=post, user=user, request=request))

    async def view(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Count a view, once for a request."""
        _check_change(post, user, request)
        return await self._write(lambda: self._records.view(post=post, request=request))

    async def comment(self, post: str, *, user: str, body: str, request: str) -> Answer[int]:
        """Add a comment."""
        _check_change(post, user, request)
        limits.check_text("comment", body)
        return await self._write(
            lambda: self._records.comment(post=post, user=user, body=body, request=request)
        )

    async def earn(self, *, account: str, cents: int, request: str, post: str | None = None) -> Answer[int]:
        """Book cents on an account, for a post or for none."""
        _check_change(post or "", account, request)
        limits.check_cents(cents)
        return await self._write(
            lambda: self._records.earn(account=account, cents=cents, post=post, request=request)
        )

    async def work_queue(self, *, limit: int = 100) -> Answer[int]:
        """Deliver waiting entries whose object is whole, and mark them done.

        The value is how many were marked. What cannot be delivered stays waiting.
        """
        waiting = await self._read(lambda: self._records.waiting(limit=limits.check_page(limit)))
        delivered = [entry.id for entry in waiting.value if await self._deliverable(entry)]
        if not delivered or not waiting.standing.serves:
            return self._answer(0, waiting.standing)
        request = f"queue-{self._random.getrandbits(64):016x}"
        return await self._write(lambda: self._records.finish(entries=delivered, request=request))

    # Reads

    async def session(self, token: str) -> Answer[str]:
        """The user who opened a session."""
        seen = await self._read(lambda: self._records.session_user(token))
        if seen.value is None:
            raise NotFound("no such session here: log in again", site=self.site)
        return self._answer(seen.value, seen.standing)

    async def look(self, post: str) -> Answer[Post]:
        """A post's row; the last known one, marked stale, while the database is away."""
        limits.check_text("post", post)
        try:
            seen = await self._read(lambda: self._records.post(post))
        except Unknown:
            return self._recall(post)
        if seen.value is None:
            self._check_absence_is_known(post, seen.standing)
            self._remembered.pop(post, None)
            raise NotFound(f"no post {post!r}", site=self.site, epoch=seen.standing.epoch)
        self._remember(seen.value)
        return self._answer(seen.value, seen.standing)

    async def open(self, post: str) -> Answer[Opened]:
        """A post and its bytes, for whoever passes them on."""
        seen = await self.look(post)
        try:
            download = await self._objects.open(seen.value.object_key)
        except PlatformError as error:
            raise Unknown(f"the bytes of {post!r} cannot be read: {error}", site=self.site) from error
        return Answer(
            value=Opened(post=seen.value, download=download),
            site=seen.site,
            epoch=seen.epoch,
            state=seen.state,
            age_s=seen.age_s,
        )

    async def get(self, post: str) -> Answer[Served]:
        """A post, and the digest of its bytes as they were read."""
        opened = await self.open(post)
        digest, size = sha256(), 0
        try:
            async for chunk in opened.value.download.chunks():
                digest.update(chunk)
                size += len(chunk)
        except Unavailable as error:
            raise Unknown(f"the bytes of {post!r} broke off: {error}", site=self.site) from error
        finally:
            await opened.value.download.close()
        served = Served(post=opened.value.post, sha256=digest.hexdigest(), size=size)
        return Answer(
            value=served, site=opened.site, epoch=opened.epoch, state=opened.state, age_s=opened.age_s
        )

    async def list(self, *, limit: int = 100, after: str | None = None) -> Answer[tuple[str, ...]]:
        """Ids of posts, newest first."""
        limits.check_page(limit)
        if after is not None:
            limits.check_text("after", after)
        seen = await self._read(lambda: self._records.newest(limit=limit, after=after))
        return self._answer(seen.value, seen.standing)

    async def comments(self, post: str) -> Answer[tuple[Comment, ...]]:
        """The comments of a post, oldest first."""
        limits.check_text("post", post)
        seen = await self._read(lambda: self._records.comments(post, limit=limits.PAGE_MAX))
        return self._answer(seen.value, seen.standing)

    async def feed(self, user: str) -> Answer[FeedPage]:
        """Posts picked by the user's likes; marked degraded when those cannot be read."""
        limits.check_name("user", user)
        pool = await self._read(lambda: self._records.recent(limit=feed.POOL_LENGTH))
        page = FeedPage(posts=feed.impersonal(pool.value), degraded=True)
        liked = await self._likes_if_known(user)
        if liked is not None:
            page = FeedPage(posts=feed.personal(user, liked, pool.value), degraded=False)
        return self._answer(page, pool.standing)

    async def queue(self) -> Answer[QueuePage]:
        """The distribution queue."""
        seen = await self._read(lambda: self._records.queue(limit=limits.PAGE_MAX))
        return self._answer(seen.value, seen.standing)

    async def counts(self) -> Answer[Counts]:
        """Totals of the site's database."""
        seen = await self._read(self._records.counts)
        return self._answer(seen.value, seen.standing)

    async def health(self) -> Answer[Standing]:
        """Whether the database lets this site serve, and under which epoch."""
        seen = await self._read(lambda: self._records.session_user(""))
        return Answer(value=seen.standing, site=self.site, epoch=seen.standing.epoch)

    # How an answer comes about

    async def _write(self, attempt: Callable[[], Awaitable[Written[T]]]) -> Answer[T]:
        written = await self._told(self._budget.spend(attempt))
        await self._confirm(written.epoch)
        return Answer(value=written.item, site=self.site, epoch=written.epoch, fresh=written.fresh)

    async def _confirm(self, epoch: int | None) -> None:
        """Raise Unknown unless the site still serves, now that the commit has returned.

        A site that was frozen between its commit and its answer may have been succeeded:
        what it wrote is stranded there, neither done nor undone.
        """
        try:
            serving = await self._serving.still_serving(epoch)
        except PlatformError as error:
            raise Unknown(
                f"committed at {self.site}, but whether it still serves could not be asked: {error}",
                site=self.site,
                epoch=epoch,
            ) from error
        if not serving:
            raise Unknown(
                f"committed at {self.site} under epoch {epoch}, which it no longer serves",
                site=self.site,
                epoch=epoch,
            )

    async def _told(self, work: Awaitable[T]) -> T:
        """Say in every refusal which site refused."""
        try:
            return await work
        except PlatformError as error:
            error.site = self.site
            raise

    async def _read(self, attempt: Callable[[], Awaitable[Seen[T]]]) -> Seen[T]:
        try:
            return await self._budget.spend(attempt)
        except Unavailable as error:
            raise Unknown(f"not known at {self.site}: {error}", site=self.site) from error

    def _answer(self, value: T, standing: Standing) -> Answer[T]:
        if standing.serves:
            return Answer(value=value, site=self.site, epoch=standing.epoch)
        return Answer(value=value, site=self.site, epoch=standing.epoch, state="stale", age_s=None)

    def _check_absence_is_known(self, post: str, standing: Standing) -> None:
        """A site that does not serve may simply not have it yet: absence there is not known (S9)."""
        if not standing.serves:
            raise Unknown(f"post {post!r} is not at {self.site}, which does not serve", site=self.site)

    async def _likes_if_known(self, user: str) -> tuple[Taste, ...] | None:
        try:
            return (await self._read(lambda: self._records.likes_of(user, limit=feed.LIKES_MAX))).value
        except Unknown:
            return None

    async def _deliverable(self, entry: QueueEntry) -> bool:
        try:
            return await self._objects.size(entry.object_key) == entry.size
        except Unavailable:
            return False

    def _remember(self, post: Post) -> None:
        self._remembered[post.id] = (asyncio.get_running_loop().time(), post)
        self._remembered.move_to_end(post.id)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _recall(self, post: str) -> Answer[Post]:
        if post not in self._remembered:
            raise Unknown(f"post {post!r} is not known at {self.site} now", site=self.site)
        seen_at, row = self._remembered[post]
        age_s = asyncio.get_running_loop().time() - seen_at
        return Answer(value=row, site=self.site, epoch=None, state="stale", age_s=age_s)


def _check_caller(user: str, request: str) -> None:
    limits.check_name("user", user)
    limits.check_request(request)


def _check_change(post: str, user: str, request: str) -> None:
    limits.check_text("post", post)
    _check_caller(user, request)
