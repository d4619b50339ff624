"""Likes as a set, and the two plain counters of a post inside their bounds."""

from collections import Counter, defaultdict

from drill.checkers.surviving.tally import Tally
from drill.history import Operation
from drill.stores import PostRow


def likes(tally: Tally) -> None:
    """Judge `post_likes` as a set of (post, user), and `posts.likes` as its size."""
    possible: dict[tuple[str, str], Operation] = {}
    for operation in tally.history.of("like"):
        pair = (operation.key, str(operation.asked.get("user")))
        if operation.possible and _says_more(tally, operation, possible.get(pair)):
            possible[pair] = operation
    for pair, operation in possible.items():
        if operation.ok and pair not in tally.stores.likes:
            _missing_like(tally, pair, operation)
    for pair in sorted(tally.stores.likes.keys() - possible.keys() - tally.before.likes.keys()):
        what = f"the like of {pair[0]} by {pair[1]} is at {tally.stores.site}, and nobody gave it"
        tally.foreign("unexpected_post_likes", "/".join(pair), what)
    _parted(tally)
    _counted_likes(tally)


def _parted(tally: Tally) -> None:
    """Find likes whose post is not there: an applier's cascades are off, so a lost delete leaves them."""
    held = tally.stores.hidden.get("posts", {})
    for post, user in sorted(tally.stores.likes):
        if post not in tally.stores.posts and post not in held:
            what = f"the like of {post} by {user} is at {tally.stores.site}, and its post is not"
            tally.foreign("parted_post_likes", f"{post}/{user}", what)


def _says_more(tally: Tally, operation: Operation, known: Operation | None) -> bool:
    """Whether `operation` promises its like more firmly than the one that is known: some may be stranded."""
    if known is None:
        return True
    return operation.ok and (not known.ok or tally.optional(known))


def _missing_like(tally: Tally, pair: tuple[str, str], operation: Operation) -> None:
    key = "/".join(pair)
    if tally.record.may_be_deleted(pair[0]) or tally.hidden(operation, "post_likes", key, post=pair[0]):
        return
    what = f"the like of {pair[0]} by {pair[1]} is lost: it is not at {tally.stores.site}"
    tally.lost("lost_post_likes", operation, what, key=key)


def _counted_likes(tally: Tally) -> None:
    rows = Counter(post for post, _ in tally.stores.likes)
    for post, row in tally.stores.posts.items():
        if row.likes != rows[post]:
            what = (
                f"post {post} at {tally.stores.site} counts {row.likes} likes, and {rows[post]} users like it"
            )
            tally.foreign("miscounted_likes", post, what)


def views(tally: Tally) -> None:
    """Judge `posts.views`: acknowledged <= counted <= attempted, refusals left out."""
    acknowledged: dict[str, list[Operation]] = defaultdict(list)
    attempted: Counter[str] = Counter()
    for operation in tally.history.of("view"):
        if operation.possible:
            post = operation.key
            attempted[post] += 1
            if operation.ok and operation.begins not in tally.elsewhere:
                acknowledged[post].append(operation)
    for post, row in tally.stores.posts.items():
        base, given = _views_before(tally, post), acknowledged.get(post, [])
        low, high = base + len(given), base + attempted[post]
        if not low <= row.views <= high:
            _out_of_bounds(tally, row, (low, high), given)


def _absence(tally: Tally, view: Operation) -> tuple[bool, float]:
    """Sort views that may be missing: last come those whose requests are, and of these the latest."""
    return view.invoke.request not in tally.stores.requests, view.ends


def _views_before(tally: Tally, post: str) -> int:
    row = tally.before.posts.get(post)
    return row.views if row else 0


def _out_of_bounds(tally: Tally, row: PostRow, bounds: tuple[int, int], given: list[Operation]) -> None:
    low, high = bounds
    what = (
        f"post {row.id} at {tally.stores.site} counts {row.views} views, "
        f"and {low} were acknowledged of {high} attempted"
    )
    excused = [view for view in given if tally.optional(view)]
    if low - len(excused) <= row.views < low:
        for view in sorted(excused, key=lambda view: _absence(tally, view))[row.views - low :]:
            tally.lost("lost_views", view, what)
    elif given:
        tally.wrong("miscounted_views", given[-1], what)
    else:
        tally.foreign("miscounted_views", row.id, what)
