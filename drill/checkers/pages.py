"""A page that is not full leaves out nothing that had been acknowledged: an empty one is no default (S9)."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drill.checkers.bounds import NEVER
from drill.checkers.no_ghosts import posts_shown
from drill.checkers.record import PostRecord, integer, post_of
from drill.history import History, Operation

Shown = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Promised:
    """What every page has to show, unless it is full."""

    posts: Sequence[tuple[float, str]]  #: line from which a post must show, and the post, in order
    sent: Sequence[int]  #: lines at which uploads were sent, in order
    deleting: Mapping[str, int]  #: post -> line at which its first delete was sent
    authors: Mapping[str, str]
    likes: Mapping[str, Mapping[str, int]]  #: user -> post -> line at which their first like was sent
    before: int  #: how many posts were there before the drill


def promised(
    history: History,
    record: PostRecord,
    *,
    optional: frozenset[int],
    disputed: frozenset[str],
    before: int,
) -> Promised:
    """Arrange the acknowledged uploads; what may be stranded or is held back is promised to nobody."""
    posts = sorted(
        (upload.ends, post)
        for post, upload in record.uploads.items()
        if upload.ok and upload.begins not in optional and post not in disputed
    )
    likes: dict[str, dict[str, int]] = defaultdict(dict)
    for like in history.of("like"):
        if like.possible:
            likes[str(like.asked.get("user"))].setdefault(like.key, like.begins)
    return Promised(
        posts=posts,
        sent=sorted(upload.begins for upload in record.uploads.values()),
        deleting={post: deletes[0].begins for post, deletes in record.deletes.items()},
        authors={post_of(upload): str(upload.asked.get("user")) for upload in record.uploads.values()},
        likes=likes,
        before=before,
    )


def left_out(read: Operation, scene: Promised) -> Iterator[str]:
    """Find what an answered list, feed or queue had room for and does not show.

    How much has room its client wrote down: `page`, and for a feed `of`, from
    how many of the newest posts it is chosen. Without that nothing is known.
    """
    shown = _room_for_more(read, scene)
    if shown is None:
        return
    missing = list(_missing(read, scene, frozenset(shown)))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield (
            f"{read.invoke.f} shows {len(shown)} posts and has room for more, "
            f"and leaves out {missing[0]}{more}, whose upload had been acknowledged"
        )


def _room_for_more(read: Operation, scene: Promised) -> Shown | None:
    """Return the posts of a page that is not full; None for a full one."""
    page = integer(read.asked.get("page"))
    if page is None:
        return None
    if read.invoke.f == "queue":
        parts = [_posts(read, state) for state in ("waiting", "done")]
        return None if any(len(part) >= page for part in parts) else parts[0] + parts[1]
    of = integer(read.asked.get("of"))
    if of is not None and scene.before + bisect_left(scene.sent, read.ends) > of:
        return None
    shown = posts_shown(read)
    return None if len(shown) >= page else shown


def _posts(read: Operation, state: str) -> Shown:
    posts = read.answered.get(state)
    return tuple(map(str, posts)) if isinstance(posts, list | tuple) else ()


def _missing(read: Operation, scene: Promised, shown: frozenset[str]) -> Iterator[str]:
    personal = read.invoke.f == "feed"
    likes = scene.likes.get(read.key, {}) if personal else {}
    for line, post in scene.posts:
        if line >= read.begins:
            return
        if post in shown or scene.deleting.get(post, NEVER) < read.ends:
            continue
        if personal and (scene.authors[post] == read.key or likes.get(post, NEVER) < read.ends):
            continue
        yield post
