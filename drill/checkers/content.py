"""The user's own files and what they say of them are at the new site, as they are on disk."""

from collections.abc import Iterator

from drill.checkers.evidence import ContentFile, Evidence
from drill.checkers.record import PostRecord, record_of, unread
from drill.history import History
from drill.stores import PostRow, SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "content"


def content(history: History, evidence: Evidence) -> Finding:
    """Compare each file of the manifest, made from the disk, with the serving site's stores.

    A text that the workload may have edited is left to `acknowledged`.
    """
    if evidence.serving is None:
        return unread(NAME)
    record = record_of(history)
    stores = evidence.serving
    violations = [
        Witness(what=f"{_shown(file)} {wrong}", key=post, site=stores.site)
        for post, file in evidence.content.items()
        for wrong in _wrong_with(post, file, stores, record)
    ]
    counts = {"files": len(evidence.content), "wrong": len(violations)}
    return finding(NAME, violations=violations, counts=counts)


def _shown(file: ContentFile) -> str:
    return f"file {file.path!r}"


def _wrong_with(post: str, file: ContentFile, stores: SiteStores, record: PostRecord) -> Iterator[str]:
    row = stores.posts.get(post)
    if row is None:
        if not record.may_be_deleted(post):
            yield f"is not at {stores.site}: post {post} is missing"
        return
    found = stores.objects.get(row.object_key)
    if found is None:
        yield f"has its post, and no bytes: {row.object_key} is not at {stores.site}"
    elif (found.sha256, found.size) != (file.sha256, file.size):
        yield (
            f"has {file.size} bytes, sha256 {file.sha256[:12]}..., on disk, "
            f"and {found.size} bytes, sha256 {found.sha256[:12]}..., at {stores.site}"
        )
    yield from _wrong_metadata(row, file, edited=post in record.edits)


def _wrong_metadata(row: PostRow, file: ContentFile, *, edited: bool) -> Iterator[str]:
    names = ("audio", "author") if edited else ("title", "caption", "tags", "audio", "author")
    for name in names:
        expected, found = getattr(file, name), getattr(row, name)
        if expected != found:
            yield f"has {name} {found!r} at {row.id}, and {expected!r} on disk"
