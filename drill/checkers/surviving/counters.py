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
        if operation.possible and (operation.ok or pair not in possible):
            possible[pair] = operation
    for pair, operation in possible.items():
        if operation.ok and pair not in tally.stores.likes:
            _missing_like(tally, pair, operation)
    for pair in sorted(tally.stores.likes.keys() - possible.keys() - tally.before.likes.keys()):
        what = f"the like of {pair[0]} by {pair[1]} is at {tally.stores.site}, and nobody gave it"
        tally.foreign("unexpected_post_likes", "/".join(pair), what)
    _counted_likes(tally)


def _missing_like(tally: Tally, pair: tuple[str, str], operation: Operation) -> None:
    key = "/".join(pair)
    if tally.record.may_be_deleted(pair[0]) or tally.hidden(operation, "post_likes", key, post=pair[0]):
        return
    what = f"the like of {pair[0]} by {pair[1]} is lost: it is not at {tally.stores.site}"
    tally.wrong("lost_post_likes", operation, what, key=key)


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
    acknowledged: Counter[str] = Counter()
    attempted: Counter[str] = Counter()
    example: dict[str, list[Operation]] = defaultdict(list)
    for operation in tally.history.of("view"):
        if operation.possible:
            attempted[operation.key] += 1
            if operation.ok:
                acknowledged[operation.key] += 1
                example[operation.key] = [operation]
    for post, row in tally.stores.posts.items():
        base = _views_before(tally, post)
        low, high = base + acknowledged[post], base + attempted[post]
        if not low <= row.views <= high:
            _out_of_bounds(tally, row, (low, high), example.get(post, []))


def _views_before(tally: Tally, post: str) -> int:
    row = tally.before.posts.get(post)
    return row.views if row else 0


def _out_of_bounds(tally: Tally, row: PostRow, bounds: tuple[int, int], example: list[Operation]) -> None:
    low, high = bounds
    what = (
        f"post {row.id} at {tally.stores.site} counts {row.views} views, "
        f"and {low} were acknowledged of {high} attempted"
    )
    if example:
        tally.wrong("miscounted_views", example[0], what)
    else:
        tally.foreign("miscounted_views", row.id, what)
