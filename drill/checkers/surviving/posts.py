"""Uploads, edits and deletes: the post is there, once, and says what was last acknowledged."""

from collections import Counter
from collections.abc import Sequence

from drill.checkers.record import Text, as_text, text_of
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
            tally.lost(
                "lost_posts", upload, f"post {post} is lost: it is not at {tally.stores.site}", key=post
            )
        return
    if not upload.ok:
        tally.counts["recovered_posts"] += 1
    deletes = tally.record.gone_by(post) if tally.record.may_be_deleted(post) else ()
    if deletes:
        _back(tally, post, deletes)
        return
    wrong = _wrong_with(row, upload) or _wrong_text(tally, row)
    if wrong and not tally.hidden(upload, "posts", post):
        tally.wrong("wrong_posts", upload, f"post {post} at {tally.stores.site} {wrong}", key=post)


def _back(tally: Tally, post: str, deletes: Sequence[Operation]) -> None:
    """Blame a delete that must have had its effect, if there is one, before one that may be stranded.

    A user's edit beats a concurrent delete; that delete is then in quarantine, which is not its loss.
    """
    blamed = next((delete for delete in deletes if not tally.optional(delete)), deletes[0])
    if not tally.hidden(blamed, "posts", post, count="hidden_deletes"):
        what = f"post {post} is back at {tally.stores.site} after its delete"
        tally.lost("returned_posts", blamed, what)


def _wrong_with(row: PostRow, upload: Operation) -> str | None:
    asked = upload.asked
    if row.request_id != upload.invoke.request:
        return f"was made by request {row.request_id!r}, and its upload was {upload.invoke.request!r}"
    for name, field, found in (
        ("author", "user", row.author),
        ("audio", "audio", row.audio),
        ("sha256", "sha256", row.sha256),
        ("size", "size", row.size),
    ):
        expected = asked.get(field)
        if expected is not None and found != expected:
            return f"has {name} {found!r}, and its upload said {expected!r}"
    return None


def _wrong_text(tally: Tally, row: PostRow) -> str | None:
    """Return what is wrong with the text; edits that are stranded are noted as such, and are not wrong."""
    writes = tally.record.writes(row.id)
    if len(writes) == 1 and _says(row, writes[0]):
        return None
    allowed = possible_texts(writes)
    text = as_text(row.title, row.caption, row.tags)
    if text in allowed:
        return None
    kept = max((write.begins for write in writes if write.ok and not tally.optional(write)), default=-1)
    newest = max((write.ends for write in writes if text_of(write) == text), default=-1)
    if newest < kept or newest < 0:
        return f"says {text!r}, which is none of what may stand there last: {sorted(allowed)!r}"
    for write in writes:
        if write.ok and write.begins > newest:
            tally.lost("lost_edits", write, f"an edit of post {row.id} is not at {tally.stores.site}")
    return None


def _says(row: PostRow, write: Operation) -> bool:
    asked = write.asked
    return (
        row.title == asked.get("title")
        and row.caption == asked.get("caption")
        and list(row.tags) == asked.get("tags")
    )


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
