"""One attempt of one operation at one site, and how its answer stands in the history."""

from typing import Any

from drill.workload.wishes import LIST_POSTS, Wish
from sample_platform.body import BytesBody
from sample_platform.model import Answer, FeedPage, NewPost, QueuePage, Revision, Served
from sample_platform.ports import PlatformApi


async def call(api: PlatformApi, wanted: Wish, request: str) -> Answer[Any]:
    """Send it once. Raises what PlatformApi raises."""
    said: dict[str, Any] = wanted.value
    match wanted.f:
        case "log_in":
            return await api.log_in(user=wanted.user, request=request)
        case "upload":
            return await api.upload(_new_post(said), BytesBody(wanted.body), request=request)
        case "edit":
            revision = Revision(title=said["title"], caption=said["caption"], tags=tuple(said["tags"]))
            return await api.edit(wanted.key, revision, user=wanted.user, request=request)
        case "delete":
            return await api.delete(wanted.key, user=wanted.user, request=request)
        case "like":
            return await api.like(wanted.key, user=wanted.user, request=request)
        case "view":
            return await api.view(wanted.key, user=wanted.user, request=request)
        case "comment":
            return await api.comment(wanted.key, user=wanted.user, body=said["body"], request=request)
        case "earn":
            post, cents = said["post"], said["cents"]
            return await api.earn(account=wanted.key, cents=cents, request=request, post=post)
        case "get":
            return await api.get(wanted.key)
        case "list":
            return await api.list(limit=LIST_POSTS)
        case "feed":
            return await api.feed(wanted.user)
        case "queue":
            return await api.queue()
    raise ValueError(f"no operation is called {wanted.f!r}")


def _new_post(said: dict[str, Any]) -> NewPost:
    return NewPost(
        author=said["user"],
        title=said["title"],
        caption=said.get("caption", ""),
        tags=tuple(said.get("tags", ())),
        audio=said.get("audio", ""),
    )


def shown(f: str, answer: Answer[Any]) -> dict[str, object]:
    """The answer as the history keeps it; a stale read says so."""
    value: Any = answer.value
    told: dict[str, object] = {} if answer.state == "known" else {"state": answer.state}
    match f, value:
        case "upload", str():
            return {"post": value}
        case "comment", int():
            return {"comment": value}
        case "earn", int():
            return {"entry": value}
        case "log_in", str():
            return {"token": value}
        case "get", Served():
            return told | _served(value)
        case "list", tuple():
            return told | {"posts": list(value)}
        case "feed", FeedPage():
            return told | {"posts": list(value.posts), "degraded": value.degraded}
        case "queue", QueuePage():
            return told | {"waiting": list(value.waiting), "done": list(value.done)}
    return told


def _served(served: Served) -> dict[str, object]:
    post = served.post
    return {
        "title": post.title,
        "caption": post.caption,
        "tags": list(post.tags),
        "audio": post.audio,
        "likes": post.likes,
        "views": post.views,
        "sha256": served.sha256,
        "size": served.size,
    }
