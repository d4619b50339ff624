"""Nothing disappears unless a user asked for it, by the workload's own record.

A ghost post was seen, or its upload was acknowledged, and it is gone with no
delete that anybody issued. What the engine's log says of deletes is no
evidence here: a deletion inferred from an absence is in that log too.
"""

from collections.abc import Iterator

from drill.checkers.evidence import Evidence
from drill.checkers.record import PostRecord, hidden_reason, record_of, unread, witness
from drill.checkers.stranding import strandable
from drill.history import History, Operation
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "no_ghosts"

Missing = tuple[Operation, str, str, str]
"""Who saw it last, its table, its key, and how it was known to exist."""


def no_ghosts(history: History, evidence: Evidence) -> Finding:
    """Judge every post and comment that was known to exist and is not at the serving site."""
    if evidence.serving is None:
        return unread(NAME)
    record = record_of(history)
    ghosts: list[Witness] = []
    hidden: list[Witness] = []
    stranded: list[Witness] = []
    optional = strandable(history, evidence.stranded)
    for operation, table, key, known in _missing(history, record, evidence.serving):
        reason = hidden_reason(evidence.serving, table, key) or hidden_reason(
            evidence.serving, "posts", operation.key
        )
        site = evidence.serving.site
        if reason is None and _may_be_stranded(operation, key, record, evidence, optional):
            stranded.append(witness(operation, f"{known}, announced as stranded", key=key, site=site))
        elif reason is None:
            what = f"{known}, gone at {site}, and no user asked for its deletion"
            ghosts.append(witness(operation, what, key=key, site=site))
        else:
            what = f"{known}, held back at {site} ({reason})"
            hidden.append(witness(operation, what, key=key, site=site))
    counts = {"ghosts": len(ghosts), "hidden": len(hidden), "stranded": len(stranded)}
    doubts = stranded if evidence.conflicts_expected else hidden + stranded
    return finding(NAME, violations=ghosts, doubts=doubts, counts=counts)


def _may_be_stranded(
    operation: Operation, key: str, record: PostRecord, evidence: Evidence, optional: frozenset[int]
) -> bool:
    """Whether only the site that stayed away may have it: it acknowledged it, or nobody but it showed it.

    Where its disk can be read, it has to be there.
    """
    if evidence.stranded is None or (evidence.left is not None and not _has(evidence.left, operation, key)):
        return False
    if operation.invoke.f == "comment":
        return operation.begins in optional
    upload = record.uploads.get(key)
    if operation.invoke.f == "upload" or (upload is not None and upload.ok):
        return (upload or operation).begins in optional
    return operation.completion is not None and operation.completion.site == evidence.stranded.site


def _has(stores: SiteStores, operation: Operation, key: str) -> bool:
    return int(key) in stores.comments if operation.invoke.f == "comment" else key in stores.posts


def _missing(history: History, record: PostRecord, stores: SiteStores) -> Iterator[Missing]:
    for post, (operation, known) in _known_posts(history, record).items():
        if post not in stores.posts and not record.may_be_deleted(post):
            yield operation, "posts", post, known
    for comment in history.of("comment"):
        row = comment.answered.get("comment")
        if not comment.ok or not isinstance(row, int) or record.may_be_deleted(comment.key):
            continue
        if row not in stores.comments:
            yield comment, "comments", str(row), f"comment {row} on {comment.key} was acknowledged"


def _known_posts(history: History, record: PostRecord) -> dict[str, tuple[Operation, str]]:
    """Return the posts that a client has seen, in a list or by itself, or whose upload was acknowledged."""
    known: dict[str, tuple[Operation, str]] = {}
    for f in ("list", "feed", "get"):
        for operation in history.of(f):
            for post in posts_shown(operation):
                known[post] = (operation, f"post {post} was seen by a {f}")
    for post, upload in record.uploads.items():
        if upload.ok:
            known[post] = (upload, f"post {post} was acknowledged")
    return known


def posts_shown(operation: Operation) -> tuple[str, ...]:
    """Return the posts that an answered get, list or feed shows."""
    if not operation.ok:
        return ()
    if operation.invoke.f == "get":
        return () if not_found(operation) else (operation.key,)
    posts = operation.answered.get("posts")
    return tuple(map(str, posts)) if isinstance(posts, list | tuple) else ()


def not_found(operation: Operation) -> bool:
    """Whether a get was answered, and the answer is that there is no such post.

    A client records it as failed with `status` 404, or as ok with `found` false.
    """
    completion = operation.completion
    if completion is None or not completion.value:
        return False
    return completion.value.get("status") == 404 or completion.value.get("found") is False
