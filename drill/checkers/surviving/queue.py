"""The distribution queue: one entry for each acknowledged upload, and done stays done."""

from collections import Counter

from drill.checkers.office import offices
from drill.checkers.surviving.tally import Tally
from drill.history import Operation


def queue(tally: Tally) -> None:
    """Judge `queue`: a post that is not queued is never shown to anybody."""
    entries = Counter(row.post_id for row in tally.stores.queue.values())
    held = sorted(tally.stores.hidden.get("queue", {}))
    for post, upload in tally.record.uploads.items():
        if post in tally.stores.posts:
            _queued_once(tally, post, upload, entries[post], held)
    _parted(tally)
    done = _seen_done(tally)
    _waits_again(tally, done)
    _seen_waiting(tally, done)


def _queued_once(tally: Tally, post: str, upload: Operation, entries: int, held: list[str]) -> None:
    site = tally.stores.site
    if entries > 1:
        tally.wrong("duplicated_queue", upload, f"post {post} is queued {entries} times at {site}", key=post)
    if entries == 0 and tally.record.must_exist(post):
        if held:
            tally.hidden(upload, "queue", *held)
        else:
            tally.wrong("lost_queue", upload, f"post {post} is at {site}, but not in its queue", key=post)


def _parted(tally: Tally) -> None:
    held = tally.stores.hidden.get("posts", {})
    for row in tally.stores.queue.values():
        if row.post_id not in tally.stores.posts and row.post_id not in held:
            what = f"queue entry {row.id} is at {tally.stores.site}, and its post {row.post_id} is not"
            tally.foreign("parted_queue", str(row.id), what)


def _waits_again(tally: Tally, done: dict[str, Operation]) -> None:
    for row in tally.stores.queue.values():
        if row.state == "waiting" and row.post_id in done:
            what = f"post {row.post_id} was seen distributed, and waits again at {tally.stores.site}"
            tally.lost("returned_queue", done[row.post_id], what, key=row.post_id)


def _seen_done(tally: Tally) -> dict[str, Operation]:
    """Return who was first to be answered that a post is done, for each that was seen so."""
    seen: dict[str, Operation] = {}
    for operation in sorted(tally.history.of("queue"), key=lambda read: read.ends):
        for post in _posts(operation, "done"):
            seen.setdefault(post, operation)
    return seen


def _seen_waiting(tally: Tally, done: dict[str, Operation]) -> None:
    """Find answers in which a post waits that was done before they were asked for."""
    if not done:
        return
    office = offices(tally.history)
    for operation in tally.history.of("queue"):
        if not operation.ok or not office.speaks(operation):
            continue
        for post in _posts(operation, "waiting"):
            known = done.get(post)
            if known is None or known.begins in tally.apart:
                continue  # until it was home again, nobody else could show it
            if known.ends < operation.begins and not tally.optional(known):
                what = f"post {post} was seen distributed, and a later answer shows it waiting"
                tally.wrong("returned_queue", operation, what, key=post)


def _posts(operation: Operation, state: str) -> tuple[str, ...]:
    posts = operation.answered.get(state) if operation.ok else None
    return tuple(map(str, posts)) if isinstance(posts, list | tuple) else ()
