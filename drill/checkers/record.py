"""What the workload's own record says of each post: who made it, changed it, asked for its end."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from drill.history import History, Operation
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

Text = tuple[str, str, tuple[str, ...]]
"""What an edit replaces as a whole: title, caption, tags."""


@dataclass(frozen=True, slots=True)
class PostRecord:
    """Everything that clients asked of posts. Definite failures are left out: they had no effect."""

    uploads: dict[str, Operation]
    edits: dict[str, list[Operation]]
    deletes: dict[str, list[Operation]]

    def may_be_deleted(self, post: str) -> bool:
        """A user asked for its deletion, and was not refused."""
        return post in self.deletes

    def must_exist(self, post: str) -> bool:
        """Its upload was acknowledged, and nobody asked for its deletion."""
        upload = self.uploads.get(post)
        return upload is not None and upload.ok and post not in self.deletes

    def gone_by(self, post: str) -> list[Operation]:
        """Return every acknowledged delete that began after the upload was acknowledged."""
        upload = self.uploads.get(post)
        made = upload.ends if upload else -1
        return [delete for delete in self.deletes.get(post, ()) if delete.ok and delete.begins > made]

    def writes(self, post: str) -> list[Operation]:
        """Return the upload and the edits that may have set its text."""
        upload = self.uploads.get(post)
        return ([upload] if upload else []) + self.edits.get(post, [])


def record_of(history: History) -> PostRecord:
    """Index what `history` says of posts."""
    return PostRecord(
        uploads={post_of(upload): upload for upload in history.of("upload") if upload.possible},
        edits=_by_post(history.of("edit")),
        deletes=_by_post(history.of("delete")),
    )


def _by_post(operations: Sequence[Operation]) -> dict[str, list[Operation]]:
    grouped: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.possible:
            grouped[operation.key].append(operation)
    return dict(grouped)


def post_of(upload: Operation) -> str:
    """Return the id of the post that `upload` makes; it follows from the request id."""
    if upload.invoke.key is not None:
        return upload.invoke.key
    return "p-" + sha256((upload.invoke.request or "").encode()).hexdigest()[:24]


def text_of(write: Operation) -> Text:
    """Return the title, caption and tags that an upload or an edit asks for."""
    return as_text(write.asked.get("title"), write.asked.get("caption"), write.asked.get("tags"))


def as_text(title: object, caption: object, tags: object) -> Text:
    """Return the three in one shape, whether they come from a row or from JSON."""
    listed = tuple(str(tag) for tag in tags) if isinstance(tags, list | tuple) else ()
    return str(title or ""), str(caption or ""), listed


def integer(value: object) -> int | None:
    """Return `value` if it is a whole number, None when the answer left it out."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def witness(operation: Operation, what: str, *, key: str | None = None, site: str | None = None) -> Witness:
    """Return `operation` as the witness of `what`; the site defaults to the one that acknowledged it."""
    completion = operation.completion if operation.ok else None
    return Witness(
        what=what,
        key=key or operation.key,
        acknowledged_at=completion.t if completion else None,
        by=operation.invoke.process,
        site=site or (completion.site if completion else None),
    )


def hidden_reason(stores: SiteStores, table: str, *keys: object) -> str | None:
    """Return why the engine set the row aside or holds it in quarantine; None when it does not."""
    held = stores.hidden.get(table, {})
    return next((held[str(key)] for key in keys if str(key) in held), None)


def unread(checker: str, *, site: str = "the serving site") -> Finding:
    """Conclude nothing, for want of what stands in a site's stores."""
    return finding(checker, doubts=[Witness(what=f"the stores of {site} could not be read")])
