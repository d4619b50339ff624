"""At each site, every row has its object, the object has the row's bytes, and no promised row is missing."""

from collections import defaultdict
from collections.abc import Iterator

from drill.checkers.evidence import Evidence
from drill.checkers.record import PostRecord, hidden_reason, post_of, record_of, unread, witness
from drill.checkers.stranding import strandable
from drill.history import History, Operation
from drill.stores import ObjectFacts, PostRow, SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "attached"
WRONG_OBJECT = ", but its object "
"""In each sentence about a row whose object is missing or has other bytes, and in no other."""


def attached(history: History, evidence: Evidence) -> Finding:
    """Judge both sites by the bytes that were read there (S2).

    An object without a row is what an unacknowledged upload leaves behind, and
    the reaper takes it; so it is a violation only where its upload was
    acknowledged, or where the reaper has already come to its end.
    """
    if evidence.serving is None:
        return unread(NAME)
    record = record_of(history)
    optional = strandable(history, evidence.stranded)
    by_digest = _uploads_by_digest(record)
    violations = [*_rows(evidence.serving, record), *_objects(evidence.serving)]
    violations += _orphans(evidence.serving, record, by_digest, reaped=evidence.reaped, optional=optional)
    if evidence.other is not None:
        violations += [*_rows(evidence.other, record), *_objects(evidence.other)]
        if evidence.follows and evidence.serving_is_up:  # else its row could not come any more
            violations += _orphans(evidence.other, record, by_digest, reaped=False, optional=optional)
    return finding(NAME, violations=violations, counts={"wrong": len(violations)})


def _rows(stores: SiteStores, record: PostRecord) -> Iterator[Witness]:
    for row in stores.posts.values():
        wrong = _wrong_with(row, stores.objects.get(row.object_key))
        if wrong:
            upload = record.uploads.get(row.id)
            what = f"post {row.id} is visible at {stores.site}{WRONG_OBJECT}{row.object_key} {wrong}"
            yield (
                witness(upload, what, key=row.id, site=stores.site)
                if upload
                else Witness(what=what, key=row.id, site=stores.site)
            )


def _wrong_with(row: PostRow, found: ObjectFacts | None) -> str | None:
    if found is None:
        return "is not there"
    if found.sha256 != row.sha256:
        return f"has other bytes (sha256 {found.sha256[:12]}..., the row says {row.sha256[:12]}...)"
    if found.size != row.size:
        return f"has {found.size} bytes, and the row says {row.size}"
    return None


def _objects(stores: SiteStores) -> Iterator[Witness]:
    """Find objects whose name promises a digest that their bytes do not have."""
    for key, found in stores.objects.items():
        promised = key.removeprefix("objects/")
        if promised != key and promised != found.sha256:
            what = f"object {key} at {stores.site} holds other bytes (sha256 {found.sha256[:12]}...)"
            yield Witness(what=what, key=key, site=stores.site)


def _orphans(
    stores: SiteStores,
    record: PostRecord,
    by_digest: dict[str, list[Operation]],
    *,
    reaped: bool,
    optional: frozenset[int],
) -> Iterator[Witness]:
    """Find objects without a row; that of a stranded row may have been copied ahead of it."""
    owned = {row.object_key for row in stores.posts.values()}
    for key in stores.objects:
        if key in owned or hidden_reason(stores, "objects", key):
            continue
        missing = [
            upload
            for upload in by_digest.get(key.removeprefix("objects/"), ())
            if record.must_exist(post_of(upload))
            and upload.begins not in optional
            and not hidden_reason(stores, "posts", post_of(upload))
        ]
        if missing:
            what = f"object {key} is at {stores.site}, but the post that owns it, acknowledged, has no row"
            yield witness(missing[0], what, key=post_of(missing[0]), site=stores.site)
        elif reaped:
            what = f"object {key} at {stores.site} has no row, is not set aside, and the reaper left it"
            yield Witness(what=what, key=key, site=stores.site)


def _uploads_by_digest(record: PostRecord) -> dict[str, list[Operation]]:
    grouped: dict[str, list[Operation]] = defaultdict(list)
    for upload in record.uploads.values():
        grouped[str(upload.asked.get("sha256"))].append(upload)
    return dict(grouped)
