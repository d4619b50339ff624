"""Uploads, edits and deletes: the post is there, once, and says what was last acknowledged."""

from collections import Counter

from drill.checkers.record import PostRecord, Text, as_text, text_of
from drill.checkers.surviving.tally import Tally
from drill.history import Operation
from drill.stores import PostRow


def posts(tally: Tally) -> None:
    """Judge `posts` against every upload, edit and delete."""
    for post, upload in tally.record.uploads.items():
        _present_or_gone(tally, post, upload)
    _unexpected(tally)
    _duplicated(tally)


def _present_or_gone(tally: Tally, post: str, upload: Operation) -> None:
    row = tally.stores.posts.get(post)
    if row is None:
        if tally.record.must_exist(post) and not tally.hidden(upload, "posts", post):
            tally.wrong(
                "lost_posts", upload, f"post {post} is lost: it is not at {tally.stores.site}", key=post
            )
        return
    if not upload.ok:
        tally.counts["recovered_posts"] += 1
    delete = tally.record.must_be_gone(post)
    if delete is not None:
        if not tally.hidden(delete, "posts", post):
            tally.wrong(
                "returned_posts", delete, f"post {post} is back at {tally.stores.site} after its delete"
            )
        return
    wrong = _wrong_with(row, upload, tally.record)
    if wrong and not tally.hidden(upload, "posts", post):
        tally.wrong("wrong_posts", upload, f"post {post} at {tally.stores.site} {wrong}", key=post)


def _wrong_with(row: PostRow, upload: Operation, record: PostRecord) -> str | None:
    asked = upload.asked
    for name, found in (
        ("author", row.author),
        ("audio", row.audio),
        ("sha256", row.sha256),
        ("size", row.size),
    ):
        expected = asked.get("user" if name == "author" else name)
        if expected is not None and found != expected:
            return f"has {name} {found!r}, and its upload said {expected!r}"
    allowed = possible_texts(record.writes(row.id))
    text = as_text(row.title, row.caption, row.tags)
    if text not in allowed:
        return f"says {text!r}, which is none of what may stand there last: {sorted(allowed)!r}"
    return None


def possible_texts(writes: list[Operation]) -> set[Text]:
    """Return what may be the last of `writes` to have had its effect.

    A write is out of the question once an acknowledged one began after its end;
    one that was never answered may come at any time.
    """
    latest = max((write.begins for write in writes if write.ok), default=-1)
    return {text_of(write) for write in writes if write.ends >= latest}


def _unexpected(tally: Tally) -> None:
    foreign = tally.stores.posts.keys() - tally.record.uploads.keys() - tally.before.posts.keys()
    for post in sorted(foreign):
        what = f"post {post} is at {tally.stores.site}, and no client uploaded it, or its upload was refused"
        tally.foreign("unexpected_posts", post, what)


def _duplicated(tally: Tally) -> None:
    made = Counter(row.request_id for row in tally.stores.posts.values() if row.request_id)
    for request, times in made.items():
        if times > 1:
            tally.foreign(
                "duplicated_posts", request, f"request {request} made {times} posts at {tally.stores.site}"
            )
